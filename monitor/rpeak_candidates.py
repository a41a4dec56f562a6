"""Candidates for an R peak: cut out of the ring, laid against what beats looked like, described in numbers.

Everything a candidate is described by is free of units: its shape is divided by its size, and its size, height and
slope are given as ratios to those of the last beats. So neither gain nor polarity changes a decision.
"""

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.rpeak_state import (
    C_AT,
    C_HEIGHT,
    C_LIKENESS,
    C_R,
    C_SHAPE,
    C_SHIFT,
    C_SIZE,
    C_SLOPE,
    F_CONFIDENCE,
    F_HIGH,
    F_LAST_PROBABILITY,
    F_LOW,
    F_PREVIOUS_HEIGHT,
    F_PREVIOUS_PROBABILITY,
    F_RIVAL,
    F_RR,
    F_RR_SPREAD,
    F_SECOND_PROBABILITY,
    F_SIZE,
    F_SLOPE,
    I_LAST_R,
    I_PREVIOUS_R,
    I_RRS,
    I_SAMPLES,
    I_SECOND_R,
    I_TEMPLATE_BEATS,
    I_THIRD_R,
    KEPT,
    POINTS,
    POINTS_BEFORE,
    Settings,
    Strap,
)

NUMBERS = 28
INPUTS = 2 * POINTS + NUMBERS
"""What a candidate is described by: its shape, the template, and numbers about both and about the rhythm."""

SHIFTS = 4
FROM = 8
_SINK_AFTER_RR = 1.5
_SINK_HALF_LIFE_S = 0.5
_SINK_FLOOR = 1.0 / 16.0
_FIRST_RR_S = 0.8
_NEAR = 9


@compiled
def elapsed_since_beat(r: int, i: NDArray[np.int64]) -> int:
    """Return the samples since the last beat; before the first one after a (re)start, since that."""
    return int(r - i[I_LAST_R] if i[I_LAST_R] >= 0 else i[I_SAMPLES])


@compiled
def sunk(elapsed: int, settings: Settings, f: NDArray[np.float64]) -> float:
    """Return the factor to which the levels of beats have sunk after so long without one."""
    rr_s = min(max(f[F_RR] / settings.second, 0.5), 1.5)
    over = elapsed / settings.second - _SINK_AFTER_RR * rr_s
    if over <= 0.0:
        return 1.0
    return max(float(0.5 ** (over / _SINK_HALF_LIFE_S)), _SINK_FLOOR)


@compiled
def likeness(shape: NDArray[np.float64], template: NDArray[np.float64], end: int, shift: int) -> float:
    """Return the correlation of a shape with a template, -1 to 1."""
    product, one, other = 0.0, 0.0, 0.0
    for g in range(FROM, end):
        k = g + shift
        product += shape[k] * template[g]
        one += shape[k] * shape[k]
        other += template[g] * template[g]
    # The product of two small numbers may be zero though neither is.
    if one * other <= 0.0:
        return 0.0
    return float(product / np.sqrt(one * other))


@compiled
def measure_shape(candidate: NDArray[np.float64], size: float) -> None:
    """Fill in size and slope of a candidate whose shape is in millivolt, and divide this by the size."""
    shape, slope = candidate[C_SHAPE:], 0.0
    for g in range(POINTS_BEFORE - _NEAR, POINTS_BEFORE + 1):
        slope = max(slope, abs(shape[g + 1] - 2.0 * shape[g] + shape[g - 1]))
    for g in range(POINTS):
        shape[g] /= size
    candidate[C_SIZE] = size
    candidate[C_SLOPE] = slope


@compiled
def cut_out(candidate: NDArray[np.float64], at: int, height: float, settings: Settings, strap: Strap) -> None:
    """Fill in a candidate whose feature had its peak at sample `at`."""
    ring, mask = strap.ring, len(strap.ring) - 1
    best = -1.0
    for back in range(at - settings.average - settings.extra, at + 1):
        best = max(best, abs(ring[back & mask]))
    shape = candidate[C_SHAPE:]
    for g in range(POINTS):
        place = at + settings.base[g]
        value = ring[place & mask]
        if settings.fraction[g] > 0.0:
            value += settings.fraction[g] * (ring[(place + 1) & mask] - value)
        shape[g] = value
    measure_shape(candidate, best)
    candidate[C_AT] = at
    candidate[C_HEIGHT] = height


@compiled
def likenesses(
    shape: NDArray[np.float64], template: NDArray[np.float64], end: int, reach: int
) -> NDArray[np.float64]:
    """Return the correlations of a shape with a template at all shifts up to `reach`, side by side."""
    count = 2 * reach + 1
    products, ones, other = np.zeros(count), np.zeros(count), 0.0
    for g in range(FROM, end):
        point = template[g]
        other += point * point
        for k in range(count):
            value = shape[g - reach + k]
            products[k] += value * point
            ones[k] += value * value
    for k in range(count):
        # The product of two small numbers may be zero though neither is.
        both = ones[k] * other
        products[k] = products[k] / np.sqrt(both) if both > 0.0 else 0.0
    return products


@compiled
def align(candidate: NDArray[np.float64], templates: NDArray[np.float64]) -> None:
    """Find the shift at which a candidate looks most like a beat."""
    values = likenesses(candidate[C_SHAPE:], templates[0], POINTS - SHIFTS, SHIFTS)
    at = np.argmax(values)
    candidate[C_LIKENESS] = values[at]
    candidate[C_SHIFT] = at - SHIFTS


@compiled
def log_ratio(one: float, other: float) -> float:
    """Return the ratio of two sizes in octaves, -4 to 4."""
    return min(max(float(np.log2((one + 1e-12) / (other + 1e-12))), -4.0), 4.0)


@compiled
def describe(
    candidate: NDArray[np.float64], settings: Settings, strap: Strap, inputs: NDArray[np.float32]
) -> None:
    """Describe a candidate by its shape, the shape of beats, ratios to their levels, and its place in the rhythm.

    Parameters
    ----------
    candidate : ndarray of float64, shape ``[CANDIDATE]``
        Cut out and aligned.
    settings : Settings
        Durations in samples.
    strap : Strap
        What is known of the strap.
    inputs : ndarray of float32, shape ``[INPUTS]``
        Filled in.
    """
    f, i, template = strap.floats, strap.integers, strap.templates[0]
    shape, r = candidate[C_SHAPE:], int(candidate[C_R])
    largest, sign = 0.0, 1.0
    for g in range(POINTS):
        if abs(template[g]) > largest:
            largest = abs(template[g])
            sign = 1.0 if template[g] > 0.0 else -1.0
    for g in range(POINTS):
        inputs[g] = min(max(sign * shape[g], -2.0), 2.0)
        inputs[POINTS + g] = sign * template[g]
    elapsed = elapsed_since_beat(r, i)
    factor = sunk(elapsed, settings, f)
    height = candidate[C_HEIGHT]
    rr = f[F_RR] if f[F_RR] > 0.0 else _FIRST_RR_S * settings.second
    last_rr = strap.rrs[(i[I_RRS] - 1) % KEPT] if i[I_RRS] > 0 else rr
    other = likenesses(shape, strap.templates[1], POINTS - 3, 2).max()
    n = inputs[2 * POINTS :]
    n[0] = log_ratio(height, factor * f[F_HIGH])
    n[1] = log_ratio(height, f[F_LOW])
    n[2] = log_ratio(candidate[C_SIZE], factor * f[F_SIZE])
    n[3] = log_ratio(candidate[C_SLOPE], factor * f[F_SLOPE])
    n[4] = log_ratio(f[F_LOW], f[F_HIGH])
    n[5] = min(elapsed / rr, 3.0)
    n[6] = log_ratio(elapsed, rr)
    n[7] = min(elapsed / settings.second, 3.0)
    n[8] = rr / settings.second
    n[9] = min(last_rr / rr, 3.0)
    n[10] = candidate[C_LIKENESS]
    n[11] = likeness(shape, template, POINTS - SHIFTS, 0)
    n[12] = other
    n[13] = log_ratio(f[F_RIVAL], height)
    n[14] = log_ratio(f[F_PREVIOUS_HEIGHT], height)
    n[15] = min((r - i[I_PREVIOUS_R]) / settings.second, 1.0) if i[I_PREVIOUS_R] >= 0 else 1.0
    n[16] = f[F_PREVIOUS_PROBABILITY]
    n[17] = f[F_CONFIDENCE]
    n[18] = 1.0 if i[I_LAST_R] < 0 else 0.0
    n[19] = min(i[I_TEMPLATE_BEATS], 8) / 8.0
    n[20] = f[F_RR_SPREAD]
    n[21] = np.log2(factor)
    n[22] = 1.0 if i[I_SECOND_R] < 0 else 0.0
    n[23] = candidate[C_SHIFT] / SHIFTS
    n[24] = f[F_LAST_PROBABILITY]
    n[25] = f[F_SECOND_PROBABILITY]
    n[26] = min((r - i[I_SECOND_R]) / rr, 4.0) if i[I_SECOND_R] >= 0 else 0.0
    n[27] = min((r - i[I_THIRD_R]) / rr, 5.0) if i[I_THIRD_R] >= 0 else 0.0
