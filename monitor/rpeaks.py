"""R peaks, found as the signal streams: a compiled detector over a bank, with a small network as its judge.

A band of the signal (`monitor.filters.detector_sections`) is differentiated, rectified and averaged over 80 ms, as in
Pan and Tompkins (1985) and Hamilton and Tompkins (1986). Every peak of that feature is a candidate. What
follows differs:

- A candidate is described by its shape, by the shape of the strap's own beats, by ratios to their levels and by its
  place in the rhythm (`monitor.rpeak_candidates`), and a small network says how probable an R peak is
  (`monitor.rpeak_judge`). Nothing it sees has a unit, so gain and polarity decide nothing.
- A probable one is announced at once; a likely one is held for 0.15 s and a doubtful one for 0.2 s, lest a likelier one
  follows. So the delay is short where the signal is clear, and is spent where it is not.
- The likeliest rejected candidate is announced after all when the next beat is overdue (search back).
- Levels of beats sink while none comes, so a fall of the amplitude is followed; a beat found far below the old level
  sets the level anew; one beat counts for at most twice the level, so an artefact of volts silences nothing.
- The first seconds are learnt from a buffer of candidates and then announced, not lost.
- Positions are the extremum of the band, narrowed once more so that a complex has one peak and not two, corrected for
  the filters' delay; in doubt, near where clear beats fit best (`monitor.rpeak_position`). Every peak carries the last
  sample it needed.

Delay: `SURE` candidates are known 0.1 s after the peak of their feature, others within `MAX_DELAY_S` of their R peak,
unless they are only recovered when the next beat is overdue.

References
----------
J. Pan, W. J. Tompkins, "A real-time QRS detection algorithm", IEEE Trans. Biomed. Eng. 32 (1985).
P. S. Hamilton, W. J. Tompkins, "Quantitative investigation of QRS detection rules using the MIT/BIH arrhythmia
database", IEEE Trans. Biomed. Eng. 33 (1986).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import IntArray, Peaks
from monitor.filters import detector_sections, group_delay_s, position_sections
from monitor.rows import Rows, RowStage
from monitor.rpeak_candidates import (
    INPUTS,
    align,
    cut_out,
    describe,
    elapsed_since_beat,
    sunk,
)
from monitor.rpeak_doubt import WIDE_INPUTS, describe_widely, may_look_twice, remember
from monitor.rpeak_judge import Judge, load_judge, probability, second_probability, trust
from monitor.rpeak_levels import announce, begin_levels
from monitor.rpeak_position import locate
from monitor.rpeak_relearn import BLIND_S, FAR_ABOVE, recall, relearn
from monitor.rpeak_state import (
    BEATS_OF_TRUST,
    C_AT,
    C_HEIGHT,
    C_LIKENESS,
    C_PROBABILITY,
    C_R,
    C_SHIFT,
    CANDIDATE,
    F_CONFIDENCE,
    F_DOUBT,
    F_HIGH,
    F_KNOWN_HEIGHT,
    F_KNOWN_RR,
    F_MAX,
    F_PENDING_HEIGHT,
    F_PREVIOUS_HEIGHT,
    F_PREVIOUS_PROBABILITY,
    F_RIVAL,
    F_RR,
    F_SUM,
    FLOATS,
    I_HELD,
    I_KNOWN,
    I_LAST_MARK,
    I_LAST_R,
    I_LEARNT,
    I_MAX_AT,
    I_PENDING_AT,
    I_PREVIOUS_R,
    I_RRS,
    I_SAMPLES,
    I_SECOND_R,
    I_THIRD_R,
    I_VOID,
    I_WAITING,
    INTEGERS,
    JUDGED,
    KEPT,
    POINTS,
    POINTS_BEFORE,
    REMEMBERED,
    STEP_S,
    WAITING,
    Output,
    Settings,
    Strap,
    Trace,
)

MAX_DELAY_S: Final = 0.45
LEARNING_S: Final = 2.0
REFRACTORY_S: Final = 0.2
SURE: Final = 0.985
BEAT: Final = 0.6
RECOVERED: Final = 0.2
"""Probabilities from which a candidate is announced: at once, after the hold, and when the next beat is overdue."""

_DERIVATIVE_S = 0.012
_AVERAGE_S = 0.08
_FALL_S = 0.08
_AFTER_S = 0.1
_RIVAL_S = 0.2
_LIKELY = 0.9
_HOLD_S = 0.15
_SEARCH_BACK_FROM_S = 0.3
_SEARCH_BACK_RR = 1.5
_RING_S = 0.7
_RUN_IN_S = 0.25
_BEGINNING_S = 0.15
_QRS_HZ = 12.0
# 80 ms mean of 12 ms differences, in mV: about what a QRS of 20 µV in the detector's band gives.
_FLOOR_MV = 0.002
# Below this share of the beats' height nothing is worth a look.
_WORTH = 0.04
_FIRST_CONFIDENCE = 0.9
_NO_TRACE: Final = Trace(
    np.empty((0, WIDE_INPUTS), np.float32), np.empty((0, JUDGED), np.float64), np.empty((1, 0), np.float32)
)


@compiled
def _settle(row: int, known: int, settings: Settings, strap: Strap, out: Output, n: int) -> int:
    """Decide about the candidate that is held."""
    f, i, held = strap.floats, strap.integers, strap.held
    i[I_HELD] = 0
    since = held[C_R] - i[I_LAST_R]
    if i[I_LAST_R] >= 0 and since < settings.refractory:
        return n
    if held[C_PROBABILITY] > BEAT:
        return announce(row, held, known, settings, strap, out, n)
    f[F_RIVAL] = max(f[F_RIVAL], held[C_HEIGHT])
    f[F_DOUBT] = max(f[F_DOUBT], held[C_PROBABILITY])
    if i[I_LAST_R] < 0 or since >= settings.back:
        waiting = strap.waiting
        if i[I_WAITING] == len(waiting):
            worst = 0
            for k in range(1, len(waiting)):
                if waiting[k, C_PROBABILITY] < waiting[worst, C_PROBABILITY]:
                    worst = k
            for k in range(worst, len(waiting) - 1):
                waiting[k] = waiting[k + 1]
            i[I_WAITING] -= 1
        waiting[i[I_WAITING]] = held
        i[I_WAITING] += 1
    return n


@compiled
def _consider(
    row: int,
    candidate: NDArray[np.float64],
    known: int,
    settings: Settings,
    judge: Judge,
    strap: Strap,
    trace: Trace,
    out: Output,
    counts: NDArray[np.int64],
) -> None:
    """Judge a candidate: announce it, hold it, or leave it to the one that is held already."""
    f, i, held = strap.floats, strap.integers, strap.held
    r = candidate[C_R]
    if i[I_LAST_R] >= 0 and r - i[I_LAST_R] < settings.refractory:
        return
    if i[I_HELD] == 1 and r - held[C_R] >= settings.refractory:
        counts[0] = _settle(row, known, settings, strap, out, counts[0])
        if i[I_LAST_R] >= 0 and r - i[I_LAST_R] < settings.refractory:
            return
    inputs = np.zeros(WIDE_INPUTS, np.float32)
    describe(candidate, settings, strap, inputs)
    first = probability(inputs[:INPUTS], judge)
    p = first
    traced = counts[1] < len(trace.inputs)
    doubtful = f[F_CONFIDENCE] < judge.doubt[0] and i[I_RRS] >= KEPT and may_look_twice(settings, strap)
    if traced or doubtful:
        describe_widely(candidate, first, settings, strap, inputs)
    if doubtful:
        p = second_probability(inputs, judge)
    if trace.dictated.shape[1] > 0:
        p = float(trace.dictated[row, int(r)])
    candidate[C_PROBABILITY] = p
    remember(candidate, strap)
    if traced:
        trace.inputs[counts[1]] = inputs
        trace.judged[counts[1], 0] = row
        trace.judged[counts[1], 1] = r
        trace.judged[counts[1], 2] = p
        trace.judged[counts[1], 3] = f[F_CONFIDENCE]
        trace.judged[counts[1], 4] = first
        counts[1] += 1
    f[F_PREVIOUS_HEIGHT] = candidate[C_HEIGHT]
    f[F_PREVIOUS_PROBABILITY] = p
    i[I_PREVIOUS_R] = int(r)
    if i[I_HELD] == 0 or p > held[C_PROBABILITY]:
        held[:] = candidate
        i[I_HELD] = 1
    if p > SURE:
        counts[0] = _settle(row, known, settings, strap, out, counts[0])


@compiled
def _learn(
    row: int,
    known: int,
    settings: Settings,
    judge: Judge,
    strap: Strap,
    trace: Trace,
    out: Output,
    counts: NDArray[np.int64],
) -> None:
    """Set the levels by the candidates of the first seconds, then judge these."""
    i = strap.integers
    count = i[I_WAITING]
    seen = strap.waiting[:count].copy()
    heights = np.sort(seen[:, C_HEIGHT])
    # The second largest, so that one artefact does not set the scale; a rate of 30 bpm or more gives two beats
    # in two and a half seconds, a slower one is found all the same.
    level = 0.0
    if count >= 2:
        level = max(heights[count - 2], 0.4 * heights[count - 1])
    elif count == 1:
        level = heights[0]
    i[I_WAITING] = 0
    i[I_SAMPLES] = 0
    if level <= _FLOOR_MV:
        return
    model = 0
    for k in range(count):
        if abs(seen[k, C_HEIGHT] - level) < abs(seen[model, C_HEIGHT] - level):
            model = k
    begin_levels(level, seen[model], strap)
    i[I_LEARNT] = 1
    i[I_HELD] = 0
    for k in range(count):
        align(seen[k], strap.templates)
        _consider(row, seen[k], known, settings, judge, strap, trace, out, counts)


@compiled
def _search_back(
    row: int, known: int, settings: Settings, strap: Strap, out: Output, counts: NDArray[np.int64]
) -> None:
    """Announce the likeliest rejected candidate, now that the next beat is overdue."""
    f, i, waiting = strap.floats, strap.integers, strap.waiting
    best = 0
    for k in range(1, i[I_WAITING]):
        if waiting[k, C_PROBABILITY] > waiting[best, C_PROBABILITY]:
            best = k
    if waiting[best, C_PROBABILITY] > RECOVERED:
        f[F_RIVAL] = 0.0
        counts[0] = announce(row, waiting[best].copy(), known, settings, strap, out, counts[0])


@compiled
def _detect(  # noqa: C901, PLR0912, PLR0915 - one pass over the samples, in the order in which they arrive
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    banded: NDArray[np.float64],
    settings: Settings,
    judge: Judge,
    bank: Strap,
    trace: Trace,
    out: Output,
) -> NDArray[np.int64]:
    mask = bank.ring.shape[1] - 1
    counts = np.zeros(2, np.int64)
    derivative, average = settings.derivative, settings.average
    lag = settings.delay + settings.after + settings.rival
    candidate = np.zeros(CANDIDATE)
    for position in range(len(rows)):
        row = rows[position]
        strap = Strap(
            bank.ring[row],
            bank.floats[row],
            bank.integers[row],
            bank.heights[row],
            bank.noises[row],
            bank.sizes[row],
            bank.slopes[row],
            bank.rrs[row],
            bank.templates[row],
            bank.waiting[row],
            bank.held[row],
            bank.known[row],
            bank.recent[row],
        )
        x, f, i = strap.ring, strap.floats, strap.integers
        # What changes with every sample stays out of memory meanwhile.
        feature, largest, largest_at = f[F_SUM], f[F_MAX], i[I_MAX_AT]
        pending_at, pending_height, samples = i[I_PENDING_AT], f[F_PENDING_HEIGHT], i[I_SAMPLES]
        for j in range(banded.shape[1]):
            s = first_sample[position] + j
            value = banded[position, j]
            x[s & mask] = value
            left = x[(s - average) & mask] - x[(s - average - derivative) & mask]
            feature += abs(value - x[(s - derivative) & mask]) - abs(left)
            samples += 1

            # One peak of the feature ends when it has fallen to half, or has not grown for a while.
            if feature > largest:
                largest = feature
                largest_at = s
            elif largest > 0.0 and (feature < 0.5 * largest or s - largest_at > settings.fall):
                height = largest / average
                largest = 0.0
                if pending_at < 0 or height > pending_height:
                    # A larger peak before the one before it was judged replaces that.
                    pending_at = largest_at
                    pending_height = height

            if pending_at >= 0 and s - pending_at >= settings.after:
                at, height = pending_at, pending_height
                pending_at = -1
                i[I_SAMPLES] = samples
                far_above = i[I_KNOWN] >= KEPT and f[F_HIGH] > FAR_ABOVE * f[F_KNOWN_HEIGHT]
                if far_above and elapsed_since_beat(s - lag, i) > max(
                    settings.second, _SEARCH_BACK_RR * f[F_KNOWN_RR]
                ):
                    recall(strap)
                if i[I_LEARNT] == 0:
                    # The filter's own beginning is no candidate.
                    begun = samples - (s - at) >= settings.beginning
                    if begun and height > _FLOOR_MV and i[I_WAITING] < len(strap.waiting):
                        cut_out(candidate, at, height, settings, strap)
                        candidate[C_LIKENESS] = 0.0
                        candidate[C_SHIFT] = 0.0
                        locate(candidate, s, settings, strap)
                        strap.waiting[i[I_WAITING]] = candidate
                        i[I_WAITING] += 1
                elif height > _FLOOR_MV and height > _WORTH * f[F_HIGH] * sunk(
                    elapsed_since_beat(s, i), settings, f
                ):
                    cut_out(candidate, at, height, settings, strap)
                    align(candidate, strap.templates)
                    locate(candidate, s, settings, strap)
                    _consider(row, candidate, s, settings, judge, strap, trace, out, counts)
                    if i[I_WAITING] > 0 and elapsed_since_beat(s - lag, i) > settings.blind:
                        relearn(settings, strap)

            if i[I_LEARNT] == 0:
                if samples >= settings.learning:
                    i[I_SAMPLES] = samples
                    _learn(row, s, settings, judge, strap, trace, out, counts)
                    samples = i[I_SAMPLES]
                continue
            if i[I_HELD] == 1 and s - strap.held[C_AT] >= settings.after + (
                settings.hold if strap.held[C_PROBABILITY] > _LIKELY else settings.rival
            ):
                i[I_SAMPLES] = samples
                counts[0] = _settle(row, s, settings, strap, out, counts[0])
            # Asked here, not in there: a call that hands over so many arrays costs more than the answer.
            if i[I_WAITING] > 0 and f[F_RR] > 0.0:
                i[I_SAMPLES] = samples
                if elapsed_since_beat(s - lag, i) > _SEARCH_BACK_RR * f[F_RR]:
                    _search_back(row, s, settings, strap, out, counts)
        f[F_SUM], f[F_MAX], i[I_MAX_AT] = feature, largest, largest_at
        i[I_PENDING_AT], f[F_PENDING_HEIGHT], i[I_SAMPLES] = pending_at, pending_height, samples
    for k in range(counts[0]):
        out.quality[k] = trust(out.trust[k], judge)
    return counts


def _settings(rate_hz: float) -> Settings:
    def samples(seconds: float) -> int:
        return max(1, round(seconds * rate_hz))

    offsets = (np.arange(POINTS) - POINTS_BEFORE) * STEP_S * rate_hz
    base = np.floor(offsets + 1e-9)
    fraction = np.where(offsets - base > 1e-6, offsets - base, 0.0)
    narrow = position_sections(rate_hz)
    narrow_delay_s = group_delay_s(narrow, rate_hz, _QRS_HZ)
    return Settings(
        derivative=samples(_DERIVATIVE_S),
        average=samples(_AVERAGE_S),
        fall=samples(_FALL_S),
        after=samples(_AFTER_S) + 1,
        rival=samples(_RIVAL_S),
        hold=samples(_HOLD_S),
        refractory=samples(REFRACTORY_S),
        learning=samples(LEARNING_S),
        delay=round(group_delay_s(detector_sections(rate_hz), rate_hz, _QRS_HZ) * rate_hz),
        second=samples(1.0),
        extra=samples(0.02),
        back=samples(_SEARCH_BACK_FROM_S),
        blind=samples(BLIND_S),
        beginning=samples(_BEGINNING_S),
        run_in=samples(_RUN_IN_S),
        narrow_delay=round(narrow_delay_s * rate_hz),
        narrow=np.concatenate([narrow[0, :3], narrow[0, 4:]]),
        base=base.astype(np.int64),
        fraction=fraction,
    )


class RPeakBank(RowStage):
    """Streaming R-peak detection over the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    judge : Judge, optional
        Weights; those that come with the package by default.
    """

    def __init__(self, rate_hz: float, *, capacity: int, judge: Judge | None = None) -> None:
        self._settings = _settings(rate_hz)
        self._judge = judge or load_judge()
        self._peaks_per_sample = 1.0 / self._settings.refractory
        floats = np.zeros(FLOATS)
        floats[F_CONFIDENCE] = _FIRST_CONFIDENCE
        integers = np.zeros(INTEGERS, np.int64)
        integers[[I_PENDING_AT, I_LAST_MARK, I_LAST_R, I_PREVIOUS_R, I_SECOND_R, I_THIRD_R]] = -1
        state = Rows(version=5, capacity=capacity)
        state.add("ring", np.float64, (1 << int(np.ceil(np.log2(_RING_S * rate_hz))),))
        state.add("floats", np.float64, (FLOATS,), floats)
        state.add("integers", np.int64, (INTEGERS,), integers)
        for name in ("heights", "noises", "sizes", "slopes", "rrs"):
            state.add(name, np.float64, (KEPT,))
        state.add("templates", np.float64, (2, POINTS))
        state.add("waiting", np.float64, (WAITING, CANDIDATE))
        state.add("held", np.float64, (CANDIDATE,))
        state.add("known", np.float64, (POINTS,))
        state.add("recent", np.float64, (REMEMBERED, 3))
        self._state = state

    def process(self, rows: IntArray, first_sample: IntArray, banded: NDArray[np.float64]) -> Peaks:
        """Find R peaks in the next samples.

        Parameters
        ----------
        rows, first_sample : ndarray of int64, shape ``[rows]``
            Rows, and the index of their first sample.
        banded : ndarray of float64, shape ``[rows, n]``
            Millivolt, filtered by `monitor.filters.detector_sections`.
        """
        return self.traced(rows, first_sample, banded, _NO_TRACE)[0]

    def traced(
        self, rows: IntArray, first_sample: IntArray, banded: NDArray[np.float64], trace: Trace
    ) -> tuple[Peaks, NDArray[np.float64], int]:
        """Do as `process`, and keep what training needs.

        Parameters
        ----------
        rows, first_sample, banded
            See `process`.
        trace : Trace
            Filled in with each candidate that was judged; may dictate the decisions.

        Returns
        -------
        Peaks
            The R peaks.
        ndarray of float64, shape ``[peaks, BEATS_OF_TRUST]``
            What their quality was read from.
        int
            How many candidates were judged.
        """
        room = len(rows) * (int(banded.shape[1] * self._peaks_per_sample) + WAITING + 2)
        out = Output(
            np.empty((room, 3), np.int64), np.empty((room, BEATS_OF_TRUST)), np.empty(room, np.float32)
        )
        bank = Strap(*(self._state[name] for name in Strap._fields))
        counts = _detect(rows, first_sample, banded, self._settings, self._judge, bank, trace, out)
        found = out.peaks[: counts[0]]
        peaks = Peaks(
            rows=found[:, 0].copy(),
            r_sample=found[:, 1].copy(),
            known_sample=found[:, 2].copy(),
            quality=out.quality[: counts[0]].copy(),
        )
        return peaks, out.trust[: counts[0]], int(counts[1])

    def restart(self, rows: IntArray) -> None:
        """Let `rows` go on after a gap: what was learnt stays, the RR interval over the gap is void."""
        state = self._state
        state.reset(rows, ("ring", "waiting", "held"))
        floats, integers = state["floats"], state["integers"]
        for column in (F_SUM, F_MAX, F_RIVAL, F_DOUBT):
            floats[rows, column] = 0.0
        for column in (I_PENDING_AT, I_LAST_MARK, I_LAST_R, I_PREVIOUS_R, I_SECOND_R, I_THIRD_R):
            integers[rows, column] = -1
        integers[rows, I_VOID] = 1
        for column in (I_HELD, I_SAMPLES, I_WAITING):
            integers[rows, column] = 0

    def forget(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
