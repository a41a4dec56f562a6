"""All machines of the rhythm over one bank: news in, events out, in the order in which they became known.

Two things arrive: R peaks, soon after they happened, and classified beats, a window later. Rate, pause and asystole
are read from the peaks and from the clock itself, everything else from the classes. The signal's own verdict that the
ventricles flutter or fibrillate silences what is read from beats.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    CONTEXT_FIELDS,
    TRUSTED_QUALITY,
    UNSURE_LABEL,
    Beats,
    EffortPhase,
    IntArray,
    Peaks,
    RhythmEvent,
    RowState,
)
from monitor.rhythm.atrial_fibrillation import AtrialFibrillationMachine
from monitor.rhythm.items import BEAT, END, ONSET, TRANSITIONS, VERDICT, Found, Items, Verdicts, gather
from monitor.rhythm.limits import AthleteLimits
from monitor.rhythm.patterns import PatternMachine
from monitor.rhythm.pauses import PauseMachine
from monitor.rhythm.rate import RateMachine
from monitor.rhythm.review import ReviewBank, ReviewCard
from monitor.rhythm.rr_statistics import RRBank, RRStatistics
from monitor.rhythm.ventricular_burden import Burden, BurdenMachine
from monitor.rhythm.ventricular_odds import VentricularOddsBank
from monitor.rhythm.ventricular_runs import RunMachine
from monitor.rhythm.verdict_gate import VerdictGate
from monitor.rows import Rows, RowStage

EVIDENCE_BEATS: Final = 64
"""So many beats at most are told with an event."""
_P_WAVE: Final = CONTEXT_FIELDS.index("p_correlation")


@compiled
def _remember(
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    quality: NDArray[np.float64],
    evidence: NDArray[np.float64],
) -> None:
    for beat in range(len(rows)):
        kept = evidence[rows[beat]]
        for k in range(EVIDENCE_BEATS - 1):
            kept[k] = kept[k + 1]
        called = label[beat]
        kept[-1, 0] = r_sample[beat]
        # A beat that cannot be trusted is no evidence for its class.
        kept[-1, 1] = called if quality[beat] >= TRUSTED_QUALITY else UNSURE_LABEL
        kept[-1, 2] = probabilities[beat, called] if called != UNSURE_LABEL else 0.0
        kept[-1, 3] = quality[beat]


class RhythmBank(RowStage):
    """Reads rhythms over the rows of a bank.

    Delay: none beyond that of the peaks and beats it is given; a pause is known `monitor.rpeaks.MAX_DELAY_S` after it
    has become one, since an R peak may take that long to be known.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._pauses = PauseMachine(rate_hz, capacity=capacity)
        self._rate = RateMachine(rate_hz, capacity=capacity)
        self._runs = RunMachine(rate_hz, capacity=capacity)
        self._patterns = PatternMachine(rate_hz, capacity=capacity)
        self._fibrillation = AtrialFibrillationMachine(rate_hz, capacity=capacity)
        self._burden = BurdenMachine(rate_hz, capacity=capacity)
        self._rr = RRBank(rate_hz, capacity=capacity)
        self._review = ReviewBank(capacity=capacity)
        self._odds = VentricularOddsBank(capacity=capacity)
        self._gate = VerdictGate(rate_hz, capacity=capacity)
        self._state = Rows(version=3, capacity=capacity)
        self._state.add(
            "evidence", np.float64, (EVIDENCE_BEATS, 4), np.nan
        )  # R peak, label, probability, quality
        self._state.add("ventricles", np.int64, fill=-1)  # onset of the ventricular fibrillation under way
        self._machines: dict[str, RowStage] = {
            "pauses": self._pauses,
            "rate": self._rate,
            "runs": self._runs,
            "patterns": self._patterns,
            "atrial_fibrillation": self._fibrillation,
            "burden": self._burden,
            "rr": self._rr,
            "review": self._review,
            "odds": self._odds,
            "gate": self._gate,
        }

    def begin(self, rows: IntArray, first_sample: IntArray, limits: AthleteLimits) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self._pauses.begin(rows, first_sample, limits)
        self._rate.begin(rows, limits)
        for machine in (self._runs, self._patterns, self._fibrillation, self._burden, self._rr):
            machine.begin(rows)
        self._review.begin(rows)
        self._odds.begin(rows)
        self._gate.restart(rows)

    def set_limits(self, rows: IntArray, limits: AthleteLimits) -> None:
        """Change the limits of `rows`; they hold from the next beat on."""
        self._pauses.set_limits(rows, limits)
        self._rate.set_limits(rows, limits)

    def restart(
        self, rows: IntArray, end: IntArray, first_sample: IntArray, *, for_good: bool = False
    ) -> list[RhythmEvent]:
        """Let `rows` go on at `first_sample` after a stretch from `end` on in which nothing could be seen.

        Episodes that need unbroken beats end where the signal did; RR intervals over the gap are void, and so is
        the time without beats. Only asystole is added up over short gaps, from what could be seen between them: else a
        link that loses a packet every few seconds would hide it. Brady- and tachycardia last over short gaps.

        Parameters
        ----------
        rows, end, first_sample : ndarray of int64, shape ``[rows]``
            Rows, first sample that could not be seen, and first that can.
        for_good : bool
            No samples will follow: everything ends.
        """
        found = [
            self._pauses.restart(rows, end, first_sample),
            self._runs.restart(rows, end, for_good=for_good),
            self._patterns.restart(rows, end),
            self._rate.restart(rows, end, first_sample, for_good=for_good),
            self._fibrillation.restart(rows, end, first_sample, for_good=for_good),
            self._burden.restart(rows, end, for_good=for_good),
        ]
        self._rr.restart(rows)
        self._gate.restart(rows)
        return self._events(found, rows, Beats.empty())

    def process(
        self,
        rows: IntArray,
        ends: IntArray,
        peaks: Peaks,
        beats: Beats,
        verdicts: Verdicts | None = None,
        blocked: Verdicts | None = None,
    ) -> list[RhythmEvent]:
        """Take what became known of `rows` up to `ends`, and return the events it brings.

        Parameters
        ----------
        rows, ends : ndarray of int64, shape ``[rows]``
            Rows, and the first sample of each that is not known yet.
        peaks : Peaks
            New R peaks.
        beats : Beats
            New classified beats.
        verdicts : Verdicts, optional
            Where the signal itself says that the ventricles begin or cease to flutter or fibrillate.
        blocked : Verdicts, optional
            Where the amplifier begins or ceases to be blocked.
        """
        odds = self._odds.process(beats)
        believed = self._gate.process(rows, ends, beats, verdicts or Verdicts.empty())
        items = gather(rows, ends, peaks, beats, odds, believed, blocked or Verdicts.empty())
        rate, phases, zones = self._rate.process(items)
        found = [
            self._ventricles(items),
            self._pauses.process(items),
            rate,
            self._runs.process(items, beats.window),
            self._patterns.process(items),
            self._fibrillation.process(items, np.ascontiguousarray(beats.context[:, _P_WAVE])),
            self._burden.process(items, phases, zones),
        ]
        events = self._events(found, rows, beats)
        if len(beats):
            self._keep(beats)
            self._rr.process(beats)
            of_beats = items.sort == BEAT
            phase = np.empty(len(beats), np.int64)
            phase[items.beat[of_beats]] = phases[of_beats]
            self._review.process(beats, phase)
        return events

    def rate_bpm(self, row: int) -> float:
        """Return the heart rate over the last beats of one row; NaN until there are two, and after a gap."""
        return float("nan") if self._pauses.is_paused(row) else self._rate.rate_bpm(row)

    def phase(self, row: int) -> EffortPhase:
        """Return the phase of effort of one row."""
        return self._rate.phase(row)

    def zone(self, row: int) -> int:
        """Return the heart-rate zone of one row, 0 to 5."""
        return self._rate.zone(row)

    def rr_statistics(self, row: int) -> RRStatistics:
        """Return what the last two minutes of RR intervals of one row say."""
        return self._rr.statistics(row)

    def ventricular_burden(self, row: int) -> list[Burden]:
        """Return how many ventricular beats one row had, by phase of effort and heart-rate zone."""
        return self._burden.burden(row)

    def atrial_fibrillation_burden(self, row: int) -> float:
        """Return the share of the time of one row that lay in atrial fibrillation, 0 to 1; NaN before any beat."""
        return self._fibrillation.burden(row)

    def review_cards(self, row: int) -> list[ReviewCard]:
        """Return the ectopic beats of one row, one card a shape."""
        return self._review.cards(row)

    def review_left_out(self, row: int) -> int:
        """Return how many ectopic beats of one row are on no card."""
        return self._review.left_out(row)

    def recent_beats(self, row: int) -> list[tuple[int, int, float]]:
        """Return the last beats of one row as (R peak, index in `LABELS`, probability of that label)."""
        recent = self._state["evidence"][row]
        return _told(recent[~np.isnan(recent[:, 0])])

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows."""
        super().grow(capacity)
        for machine in self._machines.values():
            machine.grow(capacity)

    def export_row(self, row: int) -> RowState:
        """Return a copy of one row's state as plain arrays."""
        state = dict(self._state.export_row(row))
        for name, machine in self._machines.items():
            state |= {f"{name}.{key}": value for key, value in machine.export_row(row).items()}
        return state

    def import_row(self, row: int, state: RowState) -> None:
        """Take over a state that `export_row` gave.

        Raises
        ------
        ValueError
            If it is not of this stage and version; nothing is changed then.
        """
        before = self.export_row(row)
        try:
            self._import(row, state)
        except ValueError:
            self._import(row, before)
            raise

    def _import(self, row: int, state: RowState) -> None:
        own = {key: value for key, value in state.items() if "." not in key}
        known = {key.partition(".")[0] for key in state if "." in key}
        if known - set(self._machines):
            raise ValueError(
                f"row state holds machines {sorted(known)}, this stage has {sorted(self._machines)}"
            )
        self._state.import_row(row, own)
        for name, machine in self._machines.items():
            start = f"{name}."
            machine.import_row(
                row, {key.removeprefix(start): value for key, value in state.items() if key.startswith(start)}
            )

    def _ventricles(self, items: Items) -> Found:
        """Turn the signal's verdicts into events."""
        rows = np.repeat(items.rows, np.diff(items.first))
        events, rates = [], []
        onsets = self._state["ventricles"]
        for item in np.flatnonzero(items.sort == VERDICT).tolist():
            row, known, at = int(rows[item]), int(items.known[item]), int(items.r_sample[item])
            begins = items.label[item] == 1
            if begins:
                onsets[row] = at
            onset = int(onsets[row])
            until = known if begins else max(at, onset)
            events.append((row, 0, ONSET if begins else END, onset, known, until, 0))
            rates.append(items.quality[item])
            if not begins:
                onsets[row] = -1
        return Found(
            ("ventricular_fibrillation",),
            np.array(events, np.int64).reshape(-1, 7),
            np.array(rates, np.float64),
        )

    def _keep(self, beats: Beats) -> None:
        _remember(
            beats.rows,
            beats.r_sample,
            beats.label.astype(np.int64),
            beats.probabilities,
            beats.quality.astype(np.float64),
            self._state["evidence"],
        )

    def _events(self, found: list[Found], rows: IntArray, beats: Beats) -> list[RhythmEvent]:
        if not any(len(part.events) for part in found):
            return []
        order = {row: place for place, row in enumerate(rows.tolist())}
        told = [
            (order[columns[0]], columns[4], machine, number, columns, rate)
            for machine, part in enumerate(found)
            for number, (columns, rate) in enumerate(
                zip(part.events.tolist(), part.rate_bpm.tolist(), strict=True)
            )
        ]
        events = []
        for _, _, machine, _, columns, rate in sorted(told):
            row, kind, transition, onset, known, until, evidence = columns
            recent = self._evidence(row, known, evidence, beats)
            events.append(
                RhythmEvent(
                    row=row,
                    kind=found[machine].kinds[kind],
                    episode=onset,
                    transition=TRANSITIONS[transition],
                    onset_sample=onset,
                    known_sample=known,
                    rate_bpm=rate,
                    beats=tuple(_told(recent)),
                    duration_s=(until - onset) / self._rate_hz,
                    quality=float(recent[:, 3].min()) if len(recent) else 1.0,
                )
            )
        return events

    def _evidence(self, row: int, known: int, count: int, beats: Beats) -> NDArray[np.float64]:
        """Return the last `count` beats of a row that were known with sample `known`."""
        if count == 0:
            return np.empty((0, 4))
        chosen = (beats.rows == row) & (beats.known_sample <= known)
        recent = _appended(self._state["evidence"][row], beats, chosen)[-min(count, EVIDENCE_BEATS) :]
        return recent[~np.isnan(recent[:, 0])]


def _appended(evidence: NDArray[np.float64], beats: Beats, chosen: NDArray[np.bool_]) -> NDArray[np.float64]:
    index = np.flatnonzero(chosen)
    index = index[np.argsort(beats.known_sample[index], kind="stable")][-EVIDENCE_BEATS:]
    label = beats.label[index].astype(np.int64)
    quality = beats.quality[index].astype(np.float64)
    of_label = np.where(
        label == UNSURE_LABEL, 0.0, beats.probabilities[index, np.minimum(label, UNSURE_LABEL - 1)]
    )
    # A beat that cannot be trusted is no evidence for its class.
    label = np.where(quality < TRUSTED_QUALITY, UNSURE_LABEL, label)
    new = np.stack([beats.r_sample[index], label, of_label, quality], axis=1)
    return np.concatenate([evidence, new])[-EVIDENCE_BEATS:]


def _told(beats: NDArray[np.float64]) -> list[tuple[int, int, float]]:
    return [(int(r), int(label), float(p)) for r, label, p, _ in beats]
