"""Where a candidate's R peak lies: the extremum of the band, and in doubt where the strap's clear beats fit best.

In noise the extremum is often that of a bump beside the complex. So in doubt the slope of the signal is laid against
the slope of the strap's beats as they were while nothing was in doubt: a matched filter, in its own size, for noise
that slopes alone make about white. Where it fits much better elsewhere, the extremum is sought there. A usual RR
interval counts in favour of a place, and no more than that.
"""

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.rpeak_state import (
    C_AT,
    C_LIKENESS,
    C_MARK,
    C_OFFSET,
    C_R,
    C_SHIFT,
    F_CONFIDENCE,
    F_KNOWN_OFFSET,
    F_OFFSET,
    F_RR,
    I_KNOWN,
    I_LAST_MARK,
    I_TEMPLATE_BEATS,
    KEPT,
    POINTS_BEFORE,
    STEP_S,
    Settings,
    Strap,
)

CONFIDENT = 0.95
"""Below this mean probability of the last beats the signal is taken for noisy."""
_ALIKE = 0.7
_FITTED_BELOW = 0.999
# Points of a beat that are fitted, from 160 ms before the peak of its feature to 40 ms after it; places tried.
_FIRST, _LAST = POINTS_BEFORE - 13, POINTS_BEFORE + 3
_EARLIEST, _LATEST = -20, 12
_STEPS_A_SECOND = 200
_LEAST_FIT = 0.3
_BETTER_BY = 0.1
_RHYTHM = 0.3
_OFF_RHYTHM_S = 0.1


@compiled
def _largest(first: int, last: int, at: int, newest: int, settings: Settings, strap: Strap) -> int:
    """Return where in a stretch the band, narrowed, is largest."""
    ring, mask, narrow = strap.ring, len(strap.ring) - 1, settings.narrow
    one, two, largest, found = 0.0, 0.0, -1.0, at
    for place in range(at - settings.run_in, min(last + settings.narrow_delay, newest) + 1):
        value = ring[place & mask]
        smooth = narrow[0] * value + one
        one = narrow[1] * value - narrow[3] * smooth + two
        two = narrow[2] * value - narrow[4] * smooth
        if place - settings.narrow_delay >= first and abs(smooth) > largest:
            largest = abs(smooth)
            found = place - settings.narrow_delay
    return found


@compiled
def _fit(at: int, settings: Settings, strap: Strap) -> float:
    """Return the factor by which the slope of clear beats, whose feature peaks at `at`, best explains the signal's."""
    ring, mask, known = strap.ring, len(strap.ring) - 1, strap.known
    product, energy, before = 0.0, 0.0, 0.0
    for g in range(_FIRST, _LAST + 1):
        place = at + settings.base[g]
        value = ring[place & mask]
        if settings.fraction[g] > 0.0:
            value += settings.fraction[g] * (ring[(place + 1) & mask] - value)
        if g > _FIRST:
            step = known[g] - known[g - 1]
            product += (value - before) * step
            energy += step * step
        before = value
    return product / energy if energy > 0.0 else 0.0


@compiled
def _off_rhythm(place: int, settings: Settings, strap: Strap) -> float:
    """Return how far from the usual RR interval after the last beat a place is, 0 to 1; 1 where there is none."""
    f, last = strap.floats, strap.integers[I_LAST_MARK]
    if last < 0 or f[F_RR] <= 0.0:
        return 1.0
    off_s = abs(place - settings.delay - last - f[F_RR]) / settings.second
    return min(float(off_s / _OFF_RHYTHM_S), 1.0)


@compiled
def _fitting(at: int, found: int, newest: int, settings: Settings, strap: Strap) -> int:
    """Return where clear beats have their R peak if they lie where they fit best; `found` if that is as good."""
    offset = int(np.floor(strap.floats[F_KNOWN_OFFSET] + 0.5))
    best, best_fit, best_place, here = -9.0, 0.0, found, -9.0
    for k in range(_EARLIEST, _LATEST + 1):
        there = at + int(np.floor(k * settings.second / _STEPS_A_SECOND + 0.5))
        if there + settings.base[_LAST] + 1 > newest:
            break
        # Farther, a mark could come to lie after what is known, once it has kept the distance to the one before it.
        if abs(there + offset - found) > settings.average:
            continue
        fit = _fit(there, settings, strap)
        worth = fit - _RHYTHM * _off_rhythm(there + offset, settings, strap)
        if abs(there + offset - found) <= settings.extra:
            here = max(here, worth)
        if worth > best:
            best, best_fit, best_place = worth, fit, there + offset
    if best_fit > _LEAST_FIT and best > here + _BETTER_BY:
        return best_place
    return found


@compiled
def locate(candidate: NDArray[np.float64], newest: int, settings: Settings, strap: Strap) -> None:
    """Set a candidate's R peak: where the band, narrowed, is largest.

    In the narrower band a complex has one peak, not two of nearly one size. In noise only the neighbourhood of where
    the strap's beats had it is searched, and in doubt that of where its clear beats fit best.
    """
    at = int(candidate[C_AT])
    f, i = strap.floats, strap.integers
    shifted = candidate[C_SHIFT] * STEP_S * settings.second
    first, last = at - settings.average - settings.extra, at
    doubtful = f[F_CONFIDENCE] < CONFIDENT and i[I_TEMPLATE_BEATS] >= 4
    if doubtful and candidate[C_LIKENESS] > _ALIKE:
        middle = at + int(np.floor(f[F_OFFSET] + shifted + 0.5))
        first, last = middle - settings.extra, middle + settings.extra
    found = _largest(first, last, at, newest, settings, strap)
    candidate[C_OFFSET] = found - at - shifted
    mark = found
    if f[F_CONFIDENCE] < _FITTED_BELOW and i[I_KNOWN] >= KEPT:
        fitting = _fitting(at, found, newest, settings, strap)
        if fitting != found:
            mark = _largest(fitting - settings.extra, fitting + settings.extra, at, newest, settings, strap)
    candidate[C_R] = max(found - settings.delay, 0)
    candidate[C_MARK] = max(mark - settings.delay, 0)
