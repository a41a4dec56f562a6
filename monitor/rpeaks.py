"""R peaks, found as the signal streams: a compiled adaptive-threshold detector over a bank.

After Hamilton and Tompkins (1986) and Hamilton (2002): a narrow band (`monitor.filters.detector_sections`) is
differentiated, rectified and averaged over 100 ms; its peaks are QRS complexes or noise by a threshold between the
levels of the last eight of each. Ours differs in this:

- Noise is the largest rejected peak between two beats, not every rejected peak, so the level is that of the waves that
  rival the QRS: a tall P or T wave, muscle, movement.
- Levels are upper quantiles, not medians: peaks of two sizes in turn leave the level at that of the larger ones.
- No rule of slopes tells a T wave; the threshold is higher early in the RR interval instead.
- The first seconds are learnt from a buffer of candidates and then announced, not lost.
- A threshold that finds nothing sinks, to a quarter and not below 1.2 times the noise (in a ventricular
  standstill the P waves go on): a fall of the amplitude to a fifth is followed. One beat counts for at most twice the
  level, so that an artefact of volts does not silence what follows.
- Positions are the extremum of the band-passed signal, corrected for the filter's delay, and every peak carries the
  last sample it needed.

Delay: a peak is held for 0.2 s to see whether a larger one follows; with the filter's and the average's own delay it is
known within `MAX_DELAY_S` of its R peak, unless it was below the threshold and is only recovered when the next
beat is overdue (search back, 1.5 median RR intervals after the beat before it).
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import IntArray, Peaks
from monitor.filters import detector_sections, group_delay_s
from monitor.rows import Rows, RowStage

MAX_DELAY_S: Final = 0.45
LEARNING_S: Final = 2.0
REFRACTORY_S: Final = 0.2

_DERIVATIVE_S = 0.01
_AVERAGE_S = 0.1
_FALL_S = 0.12
_KEPT = 8
_CANDIDATES = 24
# Levels: a high quantile of each, so that neither two peaks a beat nor one quiet beat pulls them down.
_BEAT_QUANTILE = 0.65
_NOISE_QUANTILE = 0.8
_NOISE_CAP = 0.7
_FIRST_NOISE = 0.3
_THRESHOLD = 0.45
_EARLY_PHASE = 0.8
_EARLY_RISE = 0.4
_SEARCH_BACK_FROM_S = 0.33
_SEARCH_BACK_RATIO = 0.45
_SEARCH_BACK_RR = 1.5
_SINK_AFTER_S = 2.0
_SINK_HALF_LIFE_S = 1.0
_SINK_FLOOR = 0.25
# P waves that go on alone are as tall as the noise between beats was: a threshold that sinks stops above it.
_ABOVE_NOISE = 1.2
# One beat raises the level by no more than this, so that an artefact of volts does not silence what follows.
_BEAT_CAP = 2.0
# 100 ms mean of 10 ms differences, in mV: about what a QRS of 30 µV in the detector's band gives.
_FLOOR_MV = 0.002
_QUALITY_HALF = 0.45

# Columns of the float state.
_SUM, _MAX, _HELD_HEIGHT, _BACK_HEIGHT, _NEXT_HEIGHT, _RIVAL, _HIGH, _LOW, _RR = range(9)
# Columns of the integer state.
(
    _SAMPLES,
    _MAX_AT,
    _HELD_AT,
    _HELD_R,
    _LAST_R,
    _BACK_R,
    _NEXT_R,
    _BEATS,
    _NOISES,
    _RRS,
    _LEARNT,
    _N_CANDIDATES,
    _VOID,
) = range(13)
# Columns of the settings.
(
    _P_DERIVATIVE,
    _P_AVERAGE,
    _P_FALL,
    _P_REFRACTORY,
    _P_SEARCH_BACK_FROM,
    _P_LEARNING,
    _P_DELAY,
    _P_SECOND,
    _P_EXTRA,
) = range(9)


@compiled
def _quantile(values: NDArray[np.float64], count: int, at: float) -> float:
    kept = np.sort(values[: min(count, len(values))])
    place = at * (len(kept) - 1)
    below = int(place)
    if below + 1 >= len(kept):
        return float(kept[below])
    return float(kept[below] + (place - below) * (kept[below + 1] - kept[below]))


@compiled
def _elapsed(r: int, i: NDArray[np.int64]) -> int:
    # Before the first beat after a (re)start the time is counted from there.
    return int(r - i[_LAST_R] if i[_LAST_R] >= 0 else i[_SAMPLES])


@compiled
def _noise(f: NDArray[np.float64]) -> float:
    return min(_ABOVE_NOISE * float(f[_LOW]), _NOISE_CAP * float(f[_HIGH]))


@compiled
def _threshold(r: int, settings: NDArray[np.int64], f: NDArray[np.float64], i: NDArray[np.int64]) -> float:
    high = float(f[_HIGH])
    low = min(float(f[_LOW]), _NOISE_CAP * high)
    threshold = low + _THRESHOLD * (high - low)
    elapsed = _elapsed(r, i)
    over = elapsed / settings[_P_SECOND] - _SINK_AFTER_S
    if over > 0.0:
        sunk = max(float(0.5 ** (over / _SINK_HALF_LIFE_S)), _SINK_FLOOR)
        threshold = max(sunk * threshold, _noise(f))
    if f[_RR] > 0.0 and i[_LAST_R] >= 0:
        threshold *= 1.0 + _EARLY_RISE * max(_EARLY_PHASE - elapsed / float(f[_RR]), 0.0)
    return threshold


@compiled
def _announce(
    row: int,
    r: int,
    known: int,
    height: float,
    f: NDArray[np.float64],
    i: NDArray[np.int64],
    beats: NDArray[np.float64],
    noises: NDArray[np.float64],
    rrs: NDArray[np.float64],
    out: NDArray[np.int64],
    out_quality: NDArray[np.float32],
    n_out: int,
) -> int:
    if i[_VOID] == 0 and i[_LAST_R] >= 0:
        rrs[i[_RRS] % _KEPT] = r - i[_LAST_R]
        i[_RRS] += 1
        f[_RR] = _quantile(rrs, i[_RRS], 0.5)
    was_void = i[_VOID] == 1
    i[_VOID] = 0
    beats[i[_BEATS] % _KEPT] = min(height, _BEAT_CAP * f[_HIGH])
    i[_BEATS] += 1
    f[_HIGH] = _quantile(beats, i[_BEATS], _BEAT_QUANTILE)
    # What came before the first beat after a gap may have been beats: the search back had no interval to go by.
    if f[_RIVAL] > 0.0 and not was_void:
        noises[i[_NOISES] % _KEPT] = f[_RIVAL]
        i[_NOISES] += 1
        f[_LOW] = _quantile(noises, i[_NOISES], _NOISE_QUANTILE)
    f[_RIVAL] = 0.0
    f[_BACK_HEIGHT] = 0.0
    f[_NEXT_HEIGHT] = 0.0
    i[_LAST_R] = r
    ratio = f[_LOW] / f[_HIGH] / _QUALITY_HALF
    out[n_out, 0] = row
    out[n_out, 1] = r
    out[n_out, 2] = known
    out_quality[n_out] = 1.0 / (1.0 + ratio**4)
    return n_out + 1


@compiled
def _judge(
    row: int,
    r: int,
    known: int,
    height: float,
    settings: NDArray[np.int64],
    f: NDArray[np.float64],
    i: NDArray[np.int64],
    beats: NDArray[np.float64],
    noises: NDArray[np.float64],
    rrs: NDArray[np.float64],
    out: NDArray[np.int64],
    out_quality: NDArray[np.float32],
    n_out: int,
) -> int:
    elapsed = _elapsed(r, i)
    if i[_LAST_R] >= 0 and elapsed < settings[_P_REFRACTORY]:
        return n_out
    if height > max(_threshold(r, settings, f, i), _FLOOR_MV):
        return _announce(row, r, known, height, f, i, beats, noises, rrs, out, out_quality, n_out)
    f[_RIVAL] = max(f[_RIVAL], min(height, f[_HIGH]))
    if elapsed >= settings[_P_SEARCH_BACK_FROM] and height > _FLOOR_MV:
        if height > f[_BACK_HEIGHT]:
            f[_BACK_HEIGHT] = height
            i[_BACK_R] = r
            f[_NEXT_HEIGHT] = 0.0
        elif height > f[_NEXT_HEIGHT] and r - i[_BACK_R] >= settings[_P_SEARCH_BACK_FROM]:
            f[_NEXT_HEIGHT] = height
            i[_NEXT_R] = r
    return n_out


@compiled
def _learn(
    row: int,
    known: int,
    settings: NDArray[np.int64],
    f: NDArray[np.float64],
    i: NDArray[np.int64],
    candidates: NDArray[np.float64],
    beats: NDArray[np.float64],
    noises: NDArray[np.float64],
    rrs: NDArray[np.float64],
    out: NDArray[np.int64],
    out_quality: NDArray[np.float32],
    n_out: int,
) -> int:
    count = i[_N_CANDIDATES]
    heights = np.sort(candidates[:count, 0])
    # The second largest, so that one artefact does not set the scale; a rate of 30 bpm or more gives two beats
    # in two and a half seconds, a slower one is found all the same.
    level = 0.0
    if count >= 2:
        level = max(heights[count - 2], 0.4 * heights[count - 1])
    elif count == 1:
        level = heights[0]
    i[_N_CANDIDATES] = 0
    i[_SAMPLES] = 0
    if level <= _FLOOR_MV:
        return n_out
    beats[:] = level
    i[_BEATS] = _KEPT
    f[_HIGH] = level
    if i[_NOISES] == 0:
        noises[:] = _FIRST_NOISE * level
        i[_NOISES] = _KEPT
    f[_LOW] = _quantile(noises, i[_NOISES], _NOISE_QUANTILE)
    i[_LEARNT] = 1
    for k in range(count):
        n_out = _judge(
            row,
            int(candidates[k, 1]),
            known,
            candidates[k, 0],
            settings,
            f,
            i,
            beats,
            noises,
            rrs,
            out,
            out_quality,
            n_out,
        )
    return n_out


@compiled
def _detect(  # noqa: C901, PLR0912, PLR0915 - one pass over the samples, in the order in which they arrive
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    banded: NDArray[np.float64],
    settings: NDArray[np.int64],
    ring: NDArray[np.float64],
    slopes: NDArray[np.float64],
    floats: NDArray[np.float64],
    integers: NDArray[np.int64],
    all_beats: NDArray[np.float64],
    all_noises: NDArray[np.float64],
    all_rrs: NDArray[np.float64],
    all_candidates: NDArray[np.float64],
    out: NDArray[np.int64],
    out_quality: NDArray[np.float32],
) -> int:
    mask = ring.shape[1] - 1
    n_out = 0
    derivative = settings[_P_DERIVATIVE]
    average = settings[_P_AVERAGE]
    for position in range(len(rows)):
        row = rows[position]
        f = floats[row]
        i = integers[row]
        x = ring[row]
        d = slopes[row]
        beats = all_beats[row]
        noises = all_noises[row]
        rrs = all_rrs[row]
        for j in range(banded.shape[1]):
            s = first_sample[position] + j
            value = banded[position, j]
            x[s & mask] = value
            change = abs(value - x[(s - derivative) & mask])
            f[_SUM] += change - d[(s - average) & mask]
            d[s & mask] = change
            feature = f[_SUM] / average
            i[_SAMPLES] += 1

            # One peak of the feature ends when it has fallen to half, or has not grown for a while.
            if feature > f[_MAX]:
                f[_MAX] = feature
                i[_MAX_AT] = s
            elif f[_MAX] > 0.0 and (feature < 0.5 * f[_MAX] or s - i[_MAX_AT] > settings[_P_FALL]):
                at = i[_MAX_AT]
                height = f[_MAX]
                f[_MAX] = 0.0
                if i[_HELD_AT] < 0 or height > f[_HELD_HEIGHT]:
                    # A larger peak within the hold replaces the one before it.
                    best = -1.0
                    best_at = at
                    for back in range(at - average - settings[_P_EXTRA], at + 1):
                        if abs(x[back & mask]) > best:
                            best = abs(x[back & mask])
                            best_at = back
                    i[_HELD_AT] = at
                    i[_HELD_R] = best_at - settings[_P_DELAY]
                    f[_HELD_HEIGHT] = height

            if i[_HELD_AT] >= 0 and s - i[_HELD_AT] >= settings[_P_REFRACTORY]:
                r = max(i[_HELD_R], 0)
                height = f[_HELD_HEIGHT]
                i[_HELD_AT] = -1
                if i[_LEARNT] == 1:
                    n_out = _judge(
                        row,
                        r,
                        s,
                        height,
                        settings,
                        f,
                        i,
                        beats,
                        noises,
                        rrs,
                        out,
                        out_quality,
                        n_out,
                    )
                elif i[_N_CANDIDATES] < len(all_candidates[row]):
                    k = i[_N_CANDIDATES]
                    all_candidates[row, k, 0] = height
                    all_candidates[row, k, 1] = r
                    i[_N_CANDIDATES] = k + 1

            if i[_LEARNT] == 0:
                if i[_SAMPLES] >= settings[_P_LEARNING]:
                    n_out = _learn(
                        row,
                        s,
                        settings,
                        f,
                        i,
                        all_candidates[row],
                        beats,
                        noises,
                        rrs,
                        out,
                        out_quality,
                        n_out,
                    )
                continue

            if f[_BACK_HEIGHT] > 0.0 and f[_RR] > 0.0:
                now = s - settings[_P_DELAY]
                if _elapsed(now, i) > _SEARCH_BACK_RR * f[_RR]:
                    threshold = max(_SEARCH_BACK_RATIO * _threshold(now, settings, f, i), _noise(f))
                    if f[_BACK_HEIGHT] > threshold:
                        height = f[_BACK_HEIGHT]
                        next_height = f[_NEXT_HEIGHT]
                        # The largest peak since the last beat is this beat: it says nothing about the noise.
                        f[_RIVAL] = 0.0
                        n_out = _announce(
                            row, i[_BACK_R], s, height, f, i, beats, noises, rrs, out, out_quality, n_out
                        )
                        f[_BACK_HEIGHT] = next_height
                        i[_BACK_R] = i[_NEXT_R]
    return n_out


class RPeakBank(RowStage):
    """Streaming R-peak detection over the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.

    References
    ----------
    P. S. Hamilton, W. J. Tompkins, "Quantitative investigation of QRS detection rules using the MIT/BIH arrhythmia
    database", IEEE Trans. Biomed. Eng. 33 (1986).
    P. S. Hamilton, "Open source ECG analysis", Computers in Cardiology 29 (2002).
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        def samples(seconds: float) -> int:
            return max(1, round(seconds * rate_hz))

        delay_s = group_delay_s(detector_sections(rate_hz), rate_hz, 12.0)
        self._settings = np.array(
            [
                samples(_DERIVATIVE_S),
                samples(_AVERAGE_S),
                samples(_FALL_S),
                samples(REFRACTORY_S),
                samples(_SEARCH_BACK_FROM_S),
                samples(LEARNING_S),
                round(delay_s * rate_hz),
                samples(1.0),
                samples(0.02),
            ],
            np.int64,
        )
        self._peaks_per_sample = 1.0 / samples(REFRACTORY_S)
        length = 1 << int(np.ceil(np.log2(samples(_AVERAGE_S + _FALL_S + 0.1))))
        self._state = Rows(version=2, capacity=capacity)
        self._state.add("ring", np.float64, (length,))
        self._state.add("slopes", np.float64, (length,))
        self._state.add("floats", np.float64, (9,))
        begin = np.zeros(13, np.int64)
        begin[[_HELD_AT, _LAST_R]] = -1
        self._state.add("integers", np.int64, (13,), begin)
        self._state.add("beats", np.float64, (_KEPT,))
        self._state.add("noises", np.float64, (_KEPT,))
        self._state.add("rrs", np.float64, (_KEPT,))
        self._state.add("candidates", np.float64, (_CANDIDATES, 2))

    def process(self, rows: IntArray, first_sample: IntArray, banded: NDArray[np.float64]) -> Peaks:
        """Find R peaks in the next samples.

        Parameters
        ----------
        rows, first_sample : ndarray of int64, shape ``[rows]``
            Rows, and the index of their first sample.
        banded : ndarray of float64, shape ``[rows, n]``
            Millivolt, filtered by `monitor.filters.detector_sections`.
        """
        room = len(rows) * (int(banded.shape[1] * self._peaks_per_sample) + _CANDIDATES + 2)
        out = np.empty((room, 3), np.int64)
        quality = np.empty(room, np.float32)
        state = self._state
        n = _detect(
            rows,
            first_sample,
            banded,
            self._settings,
            state["ring"],
            state["slopes"],
            state["floats"],
            state["integers"],
            state["beats"],
            state["noises"],
            state["rrs"],
            state["candidates"],
            out,
            quality,
        )
        found = out[:n]
        return Peaks(
            rows=found[:, 0].copy(),
            r_sample=found[:, 1].copy(),
            known_sample=found[:, 2].copy(),
            quality=quality[:n].copy(),
        )

    def restart(self, rows: IntArray) -> None:
        """Let `rows` go on after a gap: what was learnt stays, the RR interval over the gap is void."""
        state = self._state
        state.reset(rows, ("ring", "slopes", "candidates"))
        floats, integers = state["floats"], state["integers"]
        for column in (_SUM, _MAX, _BACK_HEIGHT, _NEXT_HEIGHT, _RIVAL):
            floats[rows, column] = 0.0
        integers[rows, _HELD_AT] = -1
        integers[rows, _LAST_R] = -1
        integers[rows, _VOID] = 1
        integers[rows, _SAMPLES] = 0
        integers[rows, _N_CANDIDATES] = 0

    def forget(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
