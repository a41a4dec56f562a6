"""What has been learnt of a strap: levels of beats and noise, template, RR intervals; how a beat changes them."""

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.rpeak_candidates import likeness, sunk
from monitor.rpeak_position import CONFIDENT
from monitor.rpeak_state import (
    C_HEIGHT,
    C_LIKENESS,
    C_MARK,
    C_OFFSET,
    C_PROBABILITY,
    C_R,
    C_SHAPE,
    C_SHIFT,
    C_SIZE,
    C_SLOPE,
    F_CONFIDENCE,
    F_DOUBT,
    F_DOUBT_MEAN,
    F_HIGH,
    F_KNOWN_HEIGHT,
    F_KNOWN_OFFSET,
    F_KNOWN_RR,
    F_LAST_PROBABILITY,
    F_LIKENESS_MEAN,
    F_LOW,
    F_OFFSET,
    F_RIVAL,
    F_RR,
    F_RR_SPREAD,
    F_SECOND_PROBABILITY,
    F_SIZE,
    F_SLOPE,
    I_BEATS,
    I_KNOWN,
    I_LAST_MARK,
    I_LAST_R,
    I_NOISES,
    I_RRS,
    I_SECOND_R,
    I_TEMPLATE_BEATS,
    I_THIRD_R,
    I_UNLIKE,
    I_VOID,
    I_WAITING,
    KEPT,
    POINTS,
    STEP_S,
    Output,
    Settings,
    Strap,
)

# Levels are upper quantiles: peaks of two sizes in turn leave the level at that of the larger ones.
_BEAT_QUANTILE = 0.65
_NOISE_QUANTILE = 0.8
# One beat counts for no more than this, so that an artefact of volts does not silence what follows.
_BEAT_CAP = 2.0
_FIRST_NOISE = 0.3
# A beat found this far below a sunk level shows that the amplitude has fallen: the levels follow at once.
_SUNK = 0.4
_LIKE = 0.6
_UNLIKE_BEATS = 4
# Beats are kept in mind for noisy times while the mean probability of the last ones is this high.
_CLEAR = 0.985
_SLOWLY = 1.0 / 16.0


@compiled
def quantile(values: NDArray[np.float64], count: int, at: float) -> float:
    """Return a quantile of the first `count` values, linear between them."""
    kept = np.empty(min(count, len(values)))
    # By insertion: a library's sort costs more than all the rest of what a beat brings.
    for k in range(len(kept)):
        hole = k
        while hole > 0 and kept[hole - 1] > values[k]:
            kept[hole] = kept[hole - 1]
            hole -= 1
        kept[hole] = values[k]
    place = at * (len(kept) - 1)
    below = int(place)
    if below + 1 >= len(kept):
        return float(kept[below])
    return float(kept[below] + (place - below) * (kept[below + 1] - kept[below]))


@compiled
def begin_levels(height: float, model: NDArray[np.float64], strap: Strap) -> None:
    """Set levels and template by one candidate, as the first seconds give it."""
    f, i = strap.floats, strap.integers
    strap.heights[:] = height
    strap.sizes[:] = model[C_SIZE]
    strap.slopes[:] = model[C_SLOPE]
    i[I_BEATS] = KEPT
    f[F_HIGH], f[F_SIZE], f[F_SLOPE] = height, model[C_SIZE], model[C_SLOPE]
    if i[I_NOISES] == 0:
        strap.noises[:] = _FIRST_NOISE * height
        i[I_NOISES] = KEPT
    f[F_LOW] = quantile(strap.noises, i[I_NOISES], _NOISE_QUANTILE)
    strap.templates[0] = model[C_SHAPE:]
    strap.templates[1] = 0.0
    i[I_TEMPLATE_BEATS] = 1
    f[F_OFFSET] = model[C_OFFSET]


@compiled
def _measure_rr(r: int, strap: Strap) -> None:
    f, i = strap.floats, strap.integers
    strap.rrs[i[I_RRS] % KEPT] = r - i[I_LAST_R]
    i[I_RRS] += 1
    f[F_RR] = quantile(strap.rrs, i[I_RRS], 0.5)
    if i[I_RRS] >= 3:
        kept = strap.rrs[: min(i[I_RRS], KEPT)]
        f[F_RR_SPREAD] = min(np.log2(kept.max() / max(kept.min(), 1.0)), 3.0)


@compiled
def _measure_levels(beat: NDArray[np.float64], factor: float, after_gap: int, strap: Strap) -> None:
    f, i = strap.floats, strap.integers
    if factor < _SUNK and beat[C_HEIGHT] < _SUNK * f[F_HIGH]:
        strap.heights[:] = beat[C_HEIGHT]
        strap.sizes[:] = beat[C_SIZE]
        strap.slopes[:] = beat[C_SLOPE]
        strap.noises[:] = np.minimum(strap.noises, _FIRST_NOISE * beat[C_HEIGHT])
        f[F_LOW] = quantile(strap.noises, i[I_NOISES], _NOISE_QUANTILE)
        f[F_RIVAL] = 0.0
    else:
        k = i[I_BEATS] % KEPT
        strap.heights[k] = min(beat[C_HEIGHT], _BEAT_CAP * f[F_HIGH])
        strap.sizes[k] = min(beat[C_SIZE], _BEAT_CAP * f[F_SIZE])
        strap.slopes[k] = min(beat[C_SLOPE], _BEAT_CAP * f[F_SLOPE])
    i[I_BEATS] += 1
    f[F_HIGH] = quantile(strap.heights, i[I_BEATS], _BEAT_QUANTILE)
    f[F_SIZE] = quantile(strap.sizes, i[I_BEATS], _BEAT_QUANTILE)
    f[F_SLOPE] = quantile(strap.slopes, i[I_BEATS], _BEAT_QUANTILE)
    # What came before the first beat after a gap may have been beats: the search back had no interval to go by.
    if f[F_RIVAL] > 0.0 and after_gap == 0:
        strap.noises[i[I_NOISES] % KEPT] = min(f[F_RIVAL], f[F_HIGH])
        i[I_NOISES] += 1
        f[F_LOW] = quantile(strap.noises, i[I_NOISES], _NOISE_QUANTILE)
    f[F_RIVAL] = 0.0


@compiled
def _learn_shape(shape: NDArray[np.float64], strap: Strap) -> None:
    i, template, other = strap.integers, strap.templates[0], strap.templates[1]
    if i[I_TEMPLATE_BEATS] < 4 or likeness(shape, template, POINTS - 3, 0) > _LIKE:
        weight = max(1.0 / (i[I_TEMPLATE_BEATS] + 1), 1.0 / KEPT)
        for g in range(POINTS):
            template[g] += weight * (min(max(shape[g], -2.0), 2.0) - template[g])
        i[I_TEMPLATE_BEATS] += 1
        i[I_UNLIKE] = 0
    else:
        for g in range(POINTS):
            other[g] += 0.5 * (min(max(shape[g], -2.0), 2.0) - other[g])
        i[I_UNLIKE] += 1
        if i[I_UNLIKE] >= _UNLIKE_BEATS:
            # The heart, or the electrodes, have changed for good.
            for g in range(POINTS):
                template[g] = other[g]
            i[I_UNLIKE] = 0
            i[I_TEMPLATE_BEATS] = 4


@compiled
def _learn_known(beat: NDArray[np.float64], settings: Settings, strap: Strap) -> None:
    """Keep in mind, slowly, what beats are while nothing is in doubt: their shape and size, height, RR interval."""
    f, i, known = strap.floats, strap.integers, strap.known
    weight = max(1.0 / (i[I_KNOWN] + 1), _SLOWLY)
    height, size = beat[C_HEIGHT], beat[C_SIZE]
    most = _BEAT_CAP * f[F_KNOWN_HEIGHT]
    if i[I_KNOWN] >= KEPT and height > most:
        # Steps in a run look like beats, too, of many times the size: these must not be all that is kept.
        size *= most / height
        height = most
    for g in range(POINTS):
        known[g] += weight * (beat[C_SHAPE + g] * size - known[g])
    f[F_KNOWN_HEIGHT] += weight * (height - f[F_KNOWN_HEIGHT])
    offset = beat[C_OFFSET] + beat[C_SHIFT] * STEP_S * settings.second
    f[F_KNOWN_OFFSET] += weight * (offset - f[F_KNOWN_OFFSET])
    f[F_KNOWN_RR] += weight * (f[F_RR] - f[F_KNOWN_RR])
    i[I_KNOWN] += 1


@compiled
def _log_odds(p: float) -> float:
    p = min(max(p, 1e-4), 1.0 - 1e-4)
    return float(np.log(p / (1.0 - p)))


@compiled
def _mark(beat: NDArray[np.float64], settings: Settings, strap: Strap) -> int:
    """Return where a beat is said to be: marks keep the distance of beats, too."""
    i, mark = strap.integers, int(beat[C_MARK])
    if i[I_LAST_MARK] >= 0:
        mark = max(mark, int(i[I_LAST_MARK]) + settings.refractory)
    i[I_LAST_MARK] = mark
    return mark


@compiled
def announce(
    row: int, beat: NDArray[np.float64], known: int, settings: Settings, strap: Strap, out: Output, n: int
) -> int:
    """Write down a beat as the `n`-th peak, learn from it, and return how many there are now.

    What its quality is read from: log odds of this beat, of the one before it, and of the likeliest candidate
    rejected between them; means of the same over the last beats; likeness to the template, its mean; noise over
    beats; how far the RR interval is from the usual one.
    """
    f, i = strap.floats, strap.integers
    r = int(beat[C_R])
    after_gap = i[I_VOID]
    has_interval = after_gap == 0 and i[I_LAST_R] >= 0
    factor = sunk(r - i[I_LAST_R] if i[I_LAST_R] >= 0 else 0, settings, f)
    unusual = 0.0
    if has_interval:
        if f[F_RR] > 0.0:
            unusual = min(abs(np.log2(max(r - i[I_LAST_R], 1) / f[F_RR])), 2.0)
        _measure_rr(r, strap)
    i[I_VOID] = 0
    f[F_DOUBT_MEAN] += 0.2 * (f[F_DOUBT] - f[F_DOUBT_MEAN])
    f[F_LIKENESS_MEAN] += 0.2 * (beat[C_LIKENESS] - f[F_LIKENESS_MEAN])
    f[F_CONFIDENCE] += 0.2 * (beat[C_PROBABILITY] - f[F_CONFIDENCE])
    if beat[C_LIKENESS] > _LIKE and f[F_CONFIDENCE] >= CONFIDENT:
        weight = 1.0 / min(max(i[I_TEMPLATE_BEATS], 1), KEPT)
        f[F_OFFSET] += weight * (beat[C_OFFSET] - f[F_OFFSET])
    if f[F_CONFIDENCE] > _CLEAR and beat[C_LIKENESS] > _LIKE and f[F_RR] > 0.0:
        _learn_known(beat, settings, strap)
    values = out.trust[n]
    values[0] = _log_odds(beat[C_PROBABILITY])
    values[1] = _log_odds(f[F_LAST_PROBABILITY])
    values[2] = _log_odds(f[F_DOUBT])
    values[3] = _log_odds(f[F_DOUBT_MEAN])
    values[4] = _log_odds(f[F_CONFIDENCE])
    values[5] = beat[C_LIKENESS]
    values[6] = f[F_LIKENESS_MEAN]
    values[7] = np.log2((f[F_LOW] + 1e-12) / (f[F_HIGH] + 1e-12))
    values[8] = unusual
    f[F_DOUBT] = 0.0
    _measure_levels(beat, factor, after_gap, strap)
    _learn_shape(beat[C_SHAPE:], strap)
    if after_gap == 1:
        f[F_SECOND_PROBABILITY] = 0.0
    else:
        i[I_THIRD_R] = i[I_SECOND_R]
        i[I_SECOND_R] = i[I_LAST_R]
        f[F_SECOND_PROBABILITY] = f[F_LAST_PROBABILITY]
    f[F_LAST_PROBABILITY] = beat[C_PROBABILITY]
    i[I_LAST_R] = r
    left = 0
    for k in range(i[I_WAITING]):
        if strap.waiting[k, C_R] >= r + settings.back:
            if left != k:
                strap.waiting[left] = strap.waiting[k]
            left += 1
    i[I_WAITING] = left
    out.peaks[n, 0] = row
    out.peaks[n, 1] = _mark(beat, settings, strap)
    out.peaks[n, 2] = known
    return n + 1
