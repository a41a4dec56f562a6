"""Rhythm: what the beats of one athlete mean together, on the sample clock.

Two things arrive: R peaks, soon after they happened, and classified beats, a window later. Rate, pause and asystole
are read from the peaks and from the clock itself; couplets, runs and bigeminy from the classes. Everything is taken
in the order in which it became known, so blocks of any length give the same events.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from monitor.contract import (
    AAMI_CLASSES,
    UNSURE_LABEL,
    Beats,
    EpisodeTransition,
    IntArray,
    Peaks,
    RhythmEvent,
    RhythmKind,
)
from monitor.rows import Rows, RowStage
from monitor.rpeaks import MAX_DELAY_S

RATE_BEATS: Final = 8
RUN_BEATS: Final = 3
BIGEMINY_BEATS: Final = 6
SUSTAINED_S: Final = 5.0
"""How long a rate must lie beyond its limit before it is an episode."""
HYSTERESIS_BPM: Final = 5.0
TRUSTED_QUALITY: Final = 0.5
FIRST_BEAT_S: Final = 4.0
"""Grace after a (re)start before missing beats count: the filters settle and the detector learns."""
GAP_GRACE_S: Final = 2.0
"""The same after a short gap, for the time that is added up: the detector has learnt already."""

_V: Final = AAMI_CLASSES.index("V")
_WITHOUT_BEATS: Final[tuple[RhythmKind, RhythmKind]] = ("pause", "asystole")
_EVIDENCE: Final = 16
_BEAT, _CLOCK = 1, 0


@dataclass(frozen=True, kw_only=True)
class AthleteLimits:
    """Limits of one athlete.

    Attributes
    ----------
    bradycardia_bpm, tachycardia_bpm : float
        Heart rates below and above which an episode begins.
    pause_s, asystole_s : float
        Seconds without an R peak.
    """

    bradycardia_bpm: float = 40.0
    tachycardia_bpm: float = 200.0
    pause_s: float = 2.0
    asystole_s: float = 4.0


class RhythmBank(RowStage):
    """Reads rhythms over the rows of a bank.

    Delay: none beyond that of the peaks and beats it is given; a pause is known `MAX_DELAY_S` after it has become
    one, since an R peak may take that long to be known.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._margin = round(MAX_DELAY_S * rate_hz)
        state = Rows(version=2, capacity=capacity)
        state.add("limits", np.float64, (4,))
        state.add("last_r", np.int64, fill=-1)
        state.add("since", np.int64)  # from where missing beats count
        state.add("unbeaten", np.int64)  # samples without a beat, seen before short gaps
        state.add("deadline", np.int64, (2,), np.iinfo(np.int64).max)
        state.add("paused", np.int64, (2,), -1)  # onset of the pause and the asystole under way
        state.add("rr", np.float64, (RATE_BEATS,))
        state.add("rr_count", np.int64)
        state.add("slow", np.int64, (2,), -1)  # first peak beyond the limit, onset of the episode
        state.add("fast", np.int64, (2,), -1)
        state.add("run", np.int64, (3,), -1)  # onset, length, whether announced
        state.add("previous_label", np.int64, fill=UNSURE_LABEL)
        state.add("alternating", np.int64, (3,), -1)  # onset, length, whether announced
        state.add("evidence", np.float64, (_EVIDENCE, 4), np.nan)  # r_sample, label, probability, quality
        self._state = state

    def begin(self, rows: IntArray, first_sample: IntArray, limits: AthleteLimits) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self.set_limits(rows, limits)
        self._wait_for_first_beat(rows, first_sample)

    def set_limits(self, rows: IntArray, limits: AthleteLimits) -> None:
        """Change the limits of `rows`; they hold from the next beat on."""
        self._state["limits"][rows] = (
            limits.bradycardia_bpm,
            limits.tachycardia_bpm,
            limits.pause_s,
            limits.asystole_s,
        )

    def restart(self, rows: IntArray, end: IntArray, first_sample: IntArray) -> list[RhythmEvent]:
        """Let `rows` go on at `first_sample` after a stretch from `end` on in which nothing could be seen.

        Episodes that need unbroken beats end where the signal did; RR intervals over the gap are void, and so is
        the time without beats. Only asystole is added up over short gaps, from what could be seen between them: else a
        link that loses a packet every few seconds would hide it.
        """
        events: list[RhythmEvent] = []
        for position, (row, last) in enumerate(zip(rows.tolist(), end.tolist(), strict=True)):
            known = max(last - 1, 0)
            self._add_unbeaten(row, last, int(first_sample[position]))
            self._end_pauses(row, known, known, events)
            self._end_run(row, known, events)
            self._end_alternation(row, known, events)
            self._end_rate(row, "slow", "bradycardia", known, events)
            self._end_rate(row, "fast", "tachycardia", known, events)
        for name in ("last_r", "rr", "rr_count", "previous_label"):
            self._state.reset(rows, (name,))
        self._wait_for_first_beat(rows, first_sample)
        return events

    def process(self, rows: IntArray, ends: IntArray, peaks: Peaks, beats: Beats) -> list[RhythmEvent]:
        """Take what became known of `rows` up to `ends`, and return the events it brings.

        Parameters
        ----------
        rows, ends : ndarray of int64, shape ``[rows]``
            Rows, and the first sample of each that is not known yet.
        peaks : Peaks
            New R peaks.
        beats : Beats
            New classified beats.
        """
        items: dict[int, list[tuple[int, int, int]]] = {}
        for index, (row, known) in enumerate(
            zip(peaks.rows.tolist(), peaks.known_sample.tolist(), strict=True)
        ):
            items.setdefault(row, []).append((known, _CLOCK, index))
        for index, (row, known) in enumerate(
            zip(beats.rows.tolist(), beats.known_sample.tolist(), strict=True)
        ):
            items.setdefault(row, []).append((known, _BEAT, index))
        overdue = rows[self._state["deadline"][rows].min(axis=1) < ends]
        for row in overdue.tolist():
            items.setdefault(row, [])
        if not items:
            return []
        end_of = dict(zip(rows.tolist(), ends.tolist(), strict=True))
        events: list[RhythmEvent] = []
        for row, known_items in items.items():
            for known, sort, index in sorted(known_items):
                self._clock(row, known, events)
                if sort == _CLOCK:
                    self._peak(row, int(peaks.r_sample[index]), known, float(peaks.quality[index]), events)
                else:
                    label = int(beats.label[index])
                    self._beat(
                        row,
                        int(beats.r_sample[index]),
                        known,
                        label,
                        float(beats.probabilities[index, label]) if label != UNSURE_LABEL else 0.0,
                        float(beats.quality[index]),
                        events,
                    )
            if row in end_of:
                self._clock(row, end_of[row], events)
        return events

    def rate_bpm(self, row: int) -> float:
        """Return the heart rate over the last beats of one row; NaN until there are two, and after a gap."""
        count = min(int(self._state["rr_count"][row]), RATE_BEATS)
        if count == 0 or (self._state["paused"][row] >= 0).any():
            return float("nan")
        return 60.0 / float(self._state["rr"][row, :count].mean())

    def recent_beats(self, row: int) -> list[tuple[int, int, float]]:
        """Return the last beats of one row as (R peak, index in `LABELS`, probability of that label)."""
        recent = self._state["evidence"][row]
        return [(int(r), int(label), float(p)) for r, label, p, _ in recent[~np.isnan(recent[:, 0])]]

    def _wait_for_first_beat(self, rows: IntArray, first_sample: IntArray) -> None:
        since = first_sample + round(FIRST_BEAT_S * self._rate_hz)
        self._state["since"][rows] = first_sample
        deadline = self._state["deadline"]
        deadline[rows, 0] = np.iinfo(np.int64).max
        asystole = np.round(self._state["limits"][rows, 3] * self._rate_hz).astype(np.int64)
        deadline[rows, 1] = since + asystole + self._margin
        unbeaten = self._state["unbeaten"][rows]
        sooner = first_sample + round(GAP_GRACE_S * self._rate_hz) + self._margin
        sooner += np.maximum(asystole - unbeaten, 0)
        deadline[rows, 1] = np.where(unbeaten > 0, np.minimum(deadline[rows, 1], sooner), deadline[rows, 1])

    def _add_unbeaten(self, row: int, end: int, first_sample: int) -> None:
        """Add up how long no beat was seen before a gap; a gap as long as an asystole says nothing."""
        state = self._state
        last_r = int(state["last_r"][row])
        if last_r >= 0:
            state["unbeaten"][row] = 0
            seen_from = last_r
        else:
            seen_from = int(state["since"][row]) + round(GAP_GRACE_S * self._rate_hz)
        asystole = round(float(state["limits"][row, 3]) * self._rate_hz)
        if first_sample - end > asystole:
            state["unbeaten"][row] = 0
        else:
            state["unbeaten"][row] += max(end - self._margin - seen_from, 0)

    def _clock(self, row: int, until: int, events: list[RhythmEvent]) -> None:
        """Let the clock reach `until`: whatever falls due before it happens now."""
        deadline = self._state["deadline"][row]
        for which in np.argsort(deadline, kind="stable").tolist():
            kind = _WITHOUT_BEATS[which]
            if deadline[which] < until:
                known = int(deadline[which])
                last_r = int(self._state["last_r"][row])
                onset = last_r if last_r >= 0 else int(self._state["since"][row])
                self._state["paused"][row, which] = onset
                deadline[which] = np.iinfo(np.int64).max
                # A beat within the margin may not be known yet: until there, none was.
                events.append(
                    self._event(row, kind, "onset", onset, known, float("nan"), until=known - self._margin)
                )

    def _peak(self, row: int, r: int, known: int, quality: float, events: list[RhythmEvent]) -> None:
        state = self._state
        last_r = int(state["last_r"][row])
        longest = np.round(state["limits"][row, 2:4] * self._rate_hz).astype(np.int64)
        if last_r >= 0:
            self._find_pauses(row, last_r, r, known, longest, events)
        self._end_pauses(row, r, known, events)
        if last_r >= 0 and r > last_r:
            count = int(state["rr_count"][row])
            state["rr"][row, count % RATE_BEATS] = (r - last_r) / self._rate_hz
            state["rr_count"][row] = count + 1
            if count + 1 >= RATE_BEATS and quality >= TRUSTED_QUALITY:
                self._rate(row, r, known, events)
        state["last_r"][row] = r
        state["unbeaten"][row] = 0
        # A peak that was recovered late leaves nothing to fall due before the sample at which it became known.
        state["deadline"][row] = np.maximum(r + self._margin + longest, known)

    def _find_pauses(
        self, row: int, last_r: int, r: int, known: int, longest: IntArray, events: list[RhythmEvent]
    ) -> None:
        """Announce an interval that was too long, though its second peak became known before the deadline."""
        paused = self._state["paused"][row]
        for which in np.argsort(longest, kind="stable").tolist():
            if paused[which] < 0 and r - last_r >= longest[which]:
                paused[which] = last_r
                events.append(
                    self._event(row, _WITHOUT_BEATS[which], "onset", last_r, known, float("nan"), until=r)
                )

    def _end_pauses(self, row: int, at: int, known: int, events: list[RhythmEvent]) -> None:
        paused = self._state["paused"][row]
        for which, kind in enumerate(_WITHOUT_BEATS):
            onset = int(paused[which])
            if onset >= 0:
                events.append(self._event(row, kind, "end", onset, known, float("nan"), until=at))
                paused[which] = -1

    def _rate(self, row: int, r: int, known: int, events: list[RhythmEvent]) -> None:
        limits = self._state["limits"][row]
        rate = self.rate_bpm(row)
        tests: tuple[tuple[str, RhythmKind, bool, bool], ...] = (
            ("slow", "bradycardia", rate < limits[0], rate > limits[0] + HYSTERESIS_BPM),
            ("fast", "tachycardia", rate > limits[1], rate < limits[1] - HYSTERESIS_BPM),
        )
        for name, kind, beyond, back in tests:
            first, onset = self._state[name][row].tolist()
            if onset >= 0:
                if back:
                    self._end_rate(row, name, kind, known, events)
            elif not beyond:
                self._state[name][row, 0] = -1
            elif first < 0:
                self._state[name][row, 0] = r
            elif (r - first) / self._rate_hz >= SUSTAINED_S:
                self._state[name][row, 1] = first
                events.append(self._event(row, kind, "onset", first, known, rate))

    def _end_rate(self, row: int, name: str, kind: RhythmKind, known: int, events: list[RhythmEvent]) -> None:
        onset = int(self._state[name][row, 1])
        if onset >= 0:
            events.append(self._event(row, kind, "end", onset, known, self.rate_bpm(row)))
        self._state[name][row] = -1

    def _beat(
        self,
        row: int,
        r: int,
        known: int,
        label: int,
        probability: float,
        quality: float,
        events: list[RhythmEvent],
    ) -> None:
        state = self._state
        if quality < TRUSTED_QUALITY:
            label = UNSURE_LABEL
        evidence = state["evidence"][row]
        evidence[:-1] = evidence[1:].copy()
        evidence[-1] = (r, label, probability, quality)
        ventricular = label == _V
        run = state["run"][row]
        if ventricular:
            if run[0] < 0:
                run[:] = (r, 1, 0)
            else:
                run[1] += 1
            if run[1] == RUN_BEATS:
                run[2] = 1
                self._run_event(row, "ventricular_run", "onset", known, events)
            elif run[1] > RUN_BEATS:
                self._run_event(row, "ventricular_run", "update", known, events)
        else:
            self._end_run(row, known, events)
        self._alternate(row, r, known, label, events)
        state["previous_label"][row] = label

    def _alternate(self, row: int, r: int, known: int, label: int, events: list[RhythmEvent]) -> None:
        """Bigeminy: a V after every beat that is none, three times over."""
        alternating = self._state["alternating"][row]
        previous = int(self._state["previous_label"][row])
        turns = UNSURE_LABEL not in (label, previous) and (label == _V) != (previous == _V)
        if not turns:
            self._end_alternation(row, known, events)
            return
        if alternating[0] < 0:
            alternating[:] = (r, 2, 0)
        else:
            alternating[1] += 1
        if alternating[1] >= BIGEMINY_BEATS and not alternating[2] and label == _V:
            alternating[2] = 1
            events.append(
                self._event(
                    row, "bigeminy", "onset", int(alternating[0]), known, self.rate_bpm(row), evidence=6
                )
            )

    def _end_alternation(self, row: int, known: int, events: list[RhythmEvent]) -> None:
        alternating = self._state["alternating"][row]
        if alternating[2] == 1:
            events.append(self._event(row, "bigeminy", "end", int(alternating[0]), known, self.rate_bpm(row)))
        alternating[:] = -1

    def _end_run(self, row: int, known: int, events: list[RhythmEvent]) -> None:
        run = self._state["run"][row]
        length = int(run[1])
        if length == 2:
            self._run_event(row, "ventricular_couplet", "onset", known, events)
            self._run_event(row, "ventricular_couplet", "end", known, events)
        elif length >= RUN_BEATS:
            self._run_event(row, "ventricular_run", "end", known, events)
        run[:] = -1

    def _run_event(
        self, row: int, kind: RhythmKind, transition: EpisodeTransition, known: int, events: list[RhythmEvent]
    ) -> None:
        onset, length, _ = self._state["run"][row].tolist()
        beats = [e for e in self._state["evidence"][row] if e[0] >= onset and e[1] == _V][:length]
        span = (beats[-1][0] - beats[0][0]) / self._rate_hz if len(beats) > 1 else 0.0
        rate = 60.0 * (len(beats) - 1) / span if span > 0 else float("nan")
        events.append(self._event(row, kind, transition, onset, known, rate, evidence=length + 1))

    def _event(
        self,
        row: int,
        kind: RhythmKind,
        transition: EpisodeTransition,
        onset: int,
        known: int,
        rate: float,
        *,
        evidence: int = 0,
        until: int | None = None,
    ) -> RhythmEvent:
        recent = self._state["evidence"][row][-evidence:] if evidence else np.empty((0, 4))
        recent = recent[~np.isnan(recent[:, 0])]
        return RhythmEvent(
            row=row,
            kind=kind,
            episode=onset,
            transition=transition,
            onset_sample=onset,
            known_sample=known,
            rate_bpm=float(rate),
            beats=tuple((int(r), int(label), float(p)) for r, label, p, _ in recent),
            duration_s=((known if until is None else until) - onset) / self._rate_hz,
            quality=float(recent[:, 3].min()) if len(recent) else 1.0,
        )
