"""The verdict on a soak: nothing lost unexplained, nothing told twice, nothing growing."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

import numpy as np

from benchmarks.faults.soak_faults import Happened
from benchmarks.faults.soak_reader import Told
from benchmarks.faults.soak_squad import PACKET_S, Undisturbed
from benchmarks.faults.steadfast_herd import Sender
from monitor.contract import Alarm
from monitor.filters import SETTLING_S
from monitor.live_state import AthleteState, BeatEntry, MonitorState
from monitor.rpeaks import MAX_DELAY_S

COMES_BACK_S: Final = 12.0
"""How long after its end a fault may still tell: clients wait up to 10 s before they try again."""
TEMPLATE_S: Final = 120.0
"""How long after a gap a beat's class may still differ: the athlete's usual beat is learnt from the last minutes."""
NEAR_S: Final = 0.15


@dataclass(slots=True)
class Tally:
    """What became of everything.

    Attributes
    ----------
    packets : Counter
        ``made``, ``taken``, ``lost by the radio``, ``lost with the broker``, ``at an edge``, ``again``, ``adrift``.
    beats : Counter
        Of those whose radio was good: ``expected``, ``identical``, ``unwritten`` while the server was away,
        ``beside packets lost with the broker``, ``unexplained``. Of the others: ``seen through losses``, ``hidden``,
        ``missed``.
    alarms : Counter
        ``expected``, ``raised``, ``acknowledged``, ``twice``, ``missing``, ``extra``, ``explained``.
    failures : list of str
        What must not be.
    """

    packets: "Counter[str]" = field(default_factory=Counter)
    beats: "Counter[str]" = field(default_factory=Counter)
    alarms: "Counter[str]" = field(default_factory=Counter)
    technical: "Counter[str]" = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


class Verdict:
    """Judges a soak.

    Parameters
    ----------
    happened : sequence of Happened
        The faults.
    stood_still : sequence of (float, float)
        When the straps did not run.
    start_at : dict of (str, str) to float
        When each strap took its sample 0, in Unix time.
    """

    # A beat that was told says how late the monitor was then: so late it would have told those after it.
    _LATE_FOR_S: Final = 30

    def __init__(
        self,
        happened: Sequence[Happened],
        stood_still: Sequence[tuple[float, float]],
        start_at: dict[tuple[str, str], float],
    ) -> None:
        self.tally = Tally()
        self._happened = happened
        self._stood_still = stood_still
        self._start_at = start_at
        self._late_s: dict[int, float] = {}

    def lateness(self, sender: Sender, beats: list[Told]) -> None:
        """Take how late one athlete's beats were told; to be called for all before any is judged."""
        key, rate_hz = (sender.strap.team, sender.strap.athlete), sender.strap.record.rate_hz
        for beat in beats:
            at = self.at(key, beat.known_sample, rate_hz)
            self._late_s[int(at)] = max(self._late_s.get(int(at), 0.0), beat.entered_at - at)

    def athlete(
        self,
        sender: Sender,
        expected: Undisturbed,
        beats: list[Told],
        state: AthleteState | None,
        *,
        lossy: bool,
    ) -> None:
        """Judge one athlete's packets and beats."""
        strap, rate_hz = sender.strap, sender.strap.record.rate_hz
        key = (strap.team, strap.athlete)
        if state is None:
            self.tally.failures.append(f"{strap.athlete}: no state")
            return
        with_the_broker = self._packets(sender, state)
        told = {beat.r_sample: beat for beat in beats}
        if len(told) != len(beats):
            self.tally.beats["told twice"] += len(beats) - len(told)
        end = sender.made * expected.packet_samples
        wanted = {r: beat for r, beat in expected.beats.items() if beat.known_sample < end}
        if lossy and sender.lost:
            self._through_losses(sender, expected, wanted, told)
            return
        different: list[BeatEntry | Told] = [
            beat for r, beat in wanted.items() if (found := told.get(r)) is None or found.label != beat.label
        ]
        different += [beat for r, beat in told.items() if r not in wanted]
        self.tally.beats["expected"] += len(wanted)
        self.tally.beats["identical"] += len(wanted) - sum(beat.r_sample in wanted for beat in different)
        for beat in different:
            at = self.at(key, beat.known_sample, rate_hz)
            missing = beat.r_sample not in told
            if with_the_broker and self._near(at, "broker", after_s=TEMPLATE_S):
                self.tally.beats["beside packets lost with the broker"] += 1
            elif missing and self.while_server_away(at):
                self.tally.beats["unwritten"] += 1
            elif not missing and beat.r_sample in wanted:
                self.tally.beats["renamed"] += 1
            else:
                self.tally.beats["unexplained"] += 1
                if self.tally.beats["unexplained"] <= 20:
                    self.tally.failures.append(
                        f"{strap.athlete}: beat at {beat.r_sample} ({at:.1f}) "
                        f"{'missing' if missing else 'extra' if beat.r_sample not in wanted else 'renamed'}"
                    )

    def alarms(
        self, key: tuple[str, str], expected: Undisturbed, found: list[Alarm], end: int, rate_hz: float,
        *, touched: bool,
    ) -> None:  # fmt: skip
        """Judge one athlete's alarms; with `touched` packets were lost, which may hide or make one."""
        told = Counter((alarm.identity, alarm.transition) for alarm in found)
        twice = sum(count - 1 for count in told.values())
        if twice:
            self.tally.alarms["twice"] += twice
            self.tally.failures.append(f"{key[1]}: {twice} transitions twice")
        self.tally.technical.update(
            alarm.kind for alarm in found if alarm.technical and alarm.transition == "raised"
        )
        raised: Counter[tuple[str, int]] = Counter(
            (alarm.kind, alarm.episode)
            for alarm in found
            if alarm.transition == "raised" and not alarm.technical
        )
        wanted = Counter({what: count for what, count in expected.alarms.items() if what[1] < end})
        self.tally.alarms["expected"] += wanted.total()
        self.tally.alarms["raised"] += raised.total()
        self.tally.alarms["acknowledged"] += sum(
            alarm.transition == "acknowledged" for alarm in found if not alarm.technical
        )
        for name, difference in (("missing", wanted - raised), ("extra", raised - wanted)):
            for (kind, episode), count in difference.items():
                at = self.at(key, episode, rate_hz)
                # What ends with the signal may or may not have become known.
                if touched or episode > end - round(10 * rate_hz):
                    self.tally.alarms[f"{name}, explained by loss"] += count
                else:
                    self.tally.alarms[name] += count
                    self.tally.failures.append(f"{key[1]}: {kind} at {episode} ({at:.1f}) {name}")

    def heartbeat(self, state: MonitorState | None) -> None:
        """Compare what was not written with what the monitor says that it could not write."""
        unwritten = state.unwritten.get("beats", 0) if state is not None else 0
        if self.tally.beats["unwritten"] > unwritten:
            self.tally.failures.append(
                f"{self.tally.beats['unwritten']} beats are not in the server, {unwritten} are told as unwritten"
            )
        left_out = state.left_out if state is not None else {}
        relieved = sum(count for name, count in left_out.items() if name != "waveforms")
        if self.tally.beats["renamed"] > relieved:
            self.tally.failures.append(
                f"{self.tally.beats['renamed']} beats have another name, {relieved} are told as left out under load"
            )
        if self.tally.beats["unexplained"]:
            self.tally.failures.append(f"{self.tally.beats['unexplained']} beats unexplained")
        dropped = state.packets_dropped if state is not None else 0
        if self.tally.packets["adrift"] > dropped:
            self.tally.failures.append(
                f"{self.tally.packets['adrift']} packets of which nobody knows; {dropped} are told as dropped"
            )

    def at(self, key: tuple[str, str], sample: int, rate_hz: float) -> float:
        """Return when a sample was taken, in Unix time; while straps stood still they took none.

        A packet that was not yet due then went out afterwards, with all its samples.
        """
        taken_s = sample / rate_hz
        length = round(PACKET_S * rate_hz)
        due_s = (sample // length + 1) * length / rate_hz
        begun_at = self._start_at[key]
        for begin_at, end_at in self._stood_still:
            if begun_at + due_s > begin_at:
                begun_at += end_at - begin_at
        return begun_at + taken_s

    def _packets(self, sender: Sender, state: AthleteState) -> int:
        """Balance one strap's packets and return how many were lost with the broker."""
        own = set(sender.lost)
        arrived = [number for number in (*range(200), *range(max(sender.made - 200, 0), sender.made))
                   if number not in own]  # fmt: skip
        first, last = min(arrived), max(arrived)
        at_an_edge = sum(not first <= number <= last for number in own)
        taken = state.packets_received - state.packets_duplicate - state.packets_late - state.packets_other
        with_the_broker = state.packets_lost - (len(own) - at_an_edge)
        adrift = sender.made - taken - state.packets_lost - at_an_edge
        if with_the_broker and not any(each.reach == "broker" for each in self._happened):
            adrift = max(abs(adrift), abs(with_the_broker))
        self.tally.packets.update(
            {
                "made": sender.made,
                "taken": taken,
                "lost by the radio": len(own),
                "lost with the broker": with_the_broker,
                "at an edge": at_an_edge,
                "again": state.packets_duplicate,
                "adrift": abs(adrift) + sender.forgotten + sender.waiting,
            }
        )
        return with_the_broker

    def _through_losses(
        self,
        sender: Sender,
        expected: Undisturbed,
        wanted: dict[int, BeatEntry],
        told: dict[int, Told],
    ) -> None:
        """Count what an athlete with a bad radio kept; what lies beside a gap could not be seen."""
        rate_hz, n = sender.strap.record.rate_hz, expected.packet_samples
        key = (sender.strap.team, sender.strap.athlete)
        gaps = np.array(sorted(sender.lost), np.int64) * n
        before, after = round(MAX_DELAY_S * rate_hz), round(SETTLING_S * rate_hz)
        seen = np.array(sorted(told), np.int64)
        for r, beat in wanted.items():
            position = int(np.searchsorted(gaps, r + before, side="right")) - 1
            hidden = position >= 0 and r < gaps[position] + n + after
            nearest = np.abs(seen - r).min() if len(seen) else n
            if nearest <= NEAR_S * rate_hz:
                self.tally.beats["seen through losses"] += 1
            elif hidden:
                self.tally.beats["hidden by losses"] += 1
            elif self.while_server_away(self.at(key, beat.known_sample, rate_hz)):
                self.tally.beats["unwritten"] += 1
            else:
                self.tally.beats["missed after losses"] += 1

    def while_server_away(self, at: float) -> bool:
        """Whether what became known at a time would have been told while the server was away."""
        seconds = range(int(at) - self._LATE_FOR_S, int(at) + 1)
        late_s = max(COMES_BACK_S, *(self._late_s.get(second, 0.0) for second in seconds))
        return any(
            each.reach == "server" and each.begin_at - late_s <= at <= each.end_at + COMES_BACK_S
            for each in self._happened
        )

    def _near(self, at: float, reach: str, *, after_s: float = COMES_BACK_S) -> bool:
        return any(
            each.reach == reach and each.begin_at - COMES_BACK_S <= at <= each.end_at + after_s
            for each in self._happened
        )


def growth(lines: list[dict[str, Any]]) -> dict[str, Any]:
    """Return how much the monitor held, in the first sixth after warming up and in the last.

    Parameters
    ----------
    lines : list of dict
        What `observed_monitor` wrote, in order.
    """
    # Every athlete has been heard for ten minutes by then: history, evidence and template are full.
    begun = lines[0]["at"]
    warm = [line for line in lines if line["at"] - begun >= min(600.0, (lines[-1]["at"] - begun) / 3)]
    share = max(len(warm) // 6, 1)
    found: dict[str, Any] = {"observations": len(lines)}
    for name in ("resident_bytes", "python_blocks", "handles", "threads", "tasks"):
        first, last = (median(line[name] for line in part) for part in (warm[:share], warm[-share:]))
        found[name] = {"begin": first, "end": last, "most": max(line[name] for line in warm)}
        # Connections come and go with faults: the first half shows how many there may be.
        found[name]["most in the first half"] = max(line[name] for line in lines[: max(len(lines) // 2, 1)])
    held = found["resident_bytes"]
    found["memory_growth"] = round(held["end"] / held["begin"] - 1.0, 4)
    return found
