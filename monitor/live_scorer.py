"""Score beats against reference annotations while both still arrive, in bounded memory.

Truth comes in stretches of samples, each at least once and perhaps late; beats come one by one, each at least
once. What both sides have covered long enough ago is *settled*: matched, added to the counts, forgotten; see
`monitor.boot_scorer`.
"""

from collections import deque
from typing import Final

from monitor.boot_scorer import BootScorer, Finding, LiveScore
from monitor.contract import LABELS
from monitor.wire import TruthMessage

SETTLE_S: Final = 5.0
"""How far behind `LiveScorer.covered` beats are settled: a search back may still find one later."""
TRUTH_WAIT_S: Final = 30.0
"""How long a hole in the truth is waited for before it is passed over, unscored."""
_MAX_SAMPLE: Final = 2**53
_FINDINGS_KEPT: Final = 2_000


class LiveScorer:
    """Joins beats with truth, per athlete; a new boot begins anew, and its counts add to the athlete's.

    Parameters
    ----------
    settle_s : float
        How far behind the last covered sample beats are settled, in seconds.
    truth_wait_s : float
        How long to wait for a missing stretch of truth, in seconds of samples.
    """

    def __init__(self, *, settle_s: float = SETTLE_S, truth_wait_s: float = TRUTH_WAIT_S) -> None:
        self._settle_s = settle_s
        self._truth_wait_s = truth_wait_s
        self._boots: dict[tuple[str, str], BootScorer] = {}
        self._settled: dict[tuple[str, str], LiveScore] = {}
        self._findings: deque[Finding] = deque(maxlen=_FINDINGS_KEPT)

    def truth(self, team: str, athlete: str, message: TruthMessage) -> None:
        """Take in reference annotations; what is known already or of an earlier boot changes nothing."""
        if not 0 <= message.first_sample < message.end_sample <= _MAX_SAMPLE:
            return
        boot = self._boot(team, athlete, message.boot)
        if boot is not None:
            boot.add_truth(message)

    def beat(self, team: str, athlete: str, boot: int, r_sample: int, label: str, rate_hz: float) -> None:
        """Take in a beat as the monitor announced it.

        Parameters
        ----------
        team, athlete : str
            Whose.
        boot, r_sample : int
            Where.
        label : str
            One of `monitor.contract.LABELS`.
        rate_hz : float
            The strap's sampling rate.
        """
        state = self._boot(team, athlete, boot)
        if state is not None:
            state.rate_hz = rate_hz
            state.add_beat(r_sample, LABELS.index(label))

    def lost(
        self,
        team: str,
        athlete: str,
        boot: int,
        first_sample: int,
        end_sample: int,
        cause: str = "lost",
    ) -> None:
        """Take in what happened to samples, `first_sample` to before `end_sample`.

        Parameters
        ----------
        team, athlete : str
            Whose.
        boot, first_sample, end_sample : int
            Which.
        cause : str
            One of `RADIO_LOSSES` if they never reached the monitor, else what troubled them.
        """
        state = self._boot(team, athlete, boot)
        if state is not None and 0 <= first_sample < end_sample <= _MAX_SAMPLE:
            state.add_trouble(first_sample, end_sample, cause)

    def findings(self) -> list[Finding]:
        """Return, once, the beats at which both sides differ, in the order in which they were settled.

        Bounded: of more than `_FINDINGS_KEPT` the oldest are forgotten; the counts hold all.
        """
        found = list(self._findings)
        self._findings.clear()
        return found

    def covered(
        self, team: str, athlete: str, boot: int, known_sample: int, rate_hz: float | None = None
    ) -> None:
        """Take in that the monitor has seen the strap up to `known_sample`, and settle what that allows.

        Parameters
        ----------
        team, athlete : str
            Whose.
        boot, known_sample : int
            How far.
        rate_hz : float, optional
            The strap's sampling rate: needed where not a single beat may have been announced.
        """
        state = self._boot(team, athlete, boot)
        if state is None:
            return
        state.rate_hz = rate_hz or state.rate_hz
        state.known_sample = max(state.known_sample, known_sample)
        if state.rate_hz is None:
            return
        horizon = state.horizon(
            settle=round(self._settle_s * state.rate_hz), wait=round(self._truth_wait_s * state.rate_hz)
        )
        self._add(team, athlete, state.settle(horizon, whole=False))

    def finish(self, team: str, athlete: str) -> None:
        """Settle what is left, up to what both sides have covered.

        Only for a recording that has ended: a beat that is still to be announced would count as missed.
        """
        state = self._boots.get((team, athlete))
        if state is not None and state.rate_hz is not None:
            self._add(team, athlete, state.settle(min(state.known_sample + 1, state.truth_end), whole=True))

    def score(self, team: str, athlete: str) -> LiveScore | None:
        """Return what has been settled of an athlete; None while that is nothing."""
        settled = self._settled.get((team, athlete))
        return settled if settled is not None and settled.scored_samples else None

    def athletes(self) -> list[tuple[str, str]]:
        """Return the teams and athletes that have a score."""
        return [key for key, settled in self._settled.items() if settled.scored_samples]

    def _boot(self, team: str, athlete: str, boot: int) -> "BootScorer | None":
        """Return the state of this boot; None if it is over."""
        state = self._boots.get((team, athlete))
        if state is not None and state.boot == boot:
            return state
        if state is not None and boot < state.boot:
            return None
        self.finish(team, athlete)
        state = self._boots[team, athlete] = BootScorer(team, athlete, boot)
        return state

    def _add(self, team: str, athlete: str, new: "tuple[LiveScore, list[Finding]] | None") -> None:
        if new is None:
            return
        score, findings = new
        self._settled[team, athlete] = self._settled.get((team, athlete), LiveScore()) + score
        self._findings.extend(findings)
