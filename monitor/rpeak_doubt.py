"""A second, wider look at a candidate while the last beats were doubtful: what clear beats were, and what went before.

Noise spoils what the first look rests on: levels, template and rhythm of the last beats. So the second one sees,
beside all that the first saw, the strap's beats as they were when nothing was in doubt, in their own size, and the
probabilities of the last candidates, laid out in time and in units of the RR interval: a regular rhythm shows there
even where some of its beats were rejected and some noise was not. A larger network reads it; it is asked only in
doubt.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.rpeak_candidates import FROM, INPUTS, SHIFTS, elapsed_since_beat, log_ratio
from monitor.rpeak_state import (
    C_HEIGHT,
    C_LIKENESS,
    C_PROBABILITY,
    C_R,
    C_SHAPE,
    C_SIZE,
    F_CONFIDENCE,
    F_HIGH,
    F_KNOWN_HEIGHT,
    F_KNOWN_RR,
    F_RR,
    I_KNOWN,
    I_REMEMBERED,
    POINTS,
    REMEMBERED,
    Settings,
    Strap,
)

_KNOWN_NUMBERS = 10
_NUMBERS = 3
_TIMES = 12
_STEP_S = 0.05
_PHASES = 30
_PHASE = 0.1
_RR_S = (0.25, 2.0)
_FIRST_RR_S = 0.8
_LEAST_KNOWN_RR_S = 0.5
_LEAST_RR_S = 0.35
WIDE_INPUTS: Final = INPUTS + _KNOWN_NUMBERS + _NUMBERS + 2 * _TIMES + 2 * _PHASES
"""What a doubtful candidate is described by: what every one is, clear beats, and the candidates before it."""


@compiled
def may_look_twice(settings: Settings, strap: Strap) -> bool:
    """Return whether a second look is trusted: it has learnt from hearts at rest, and knows no fast ones."""
    f = strap.floats
    slow = f[F_KNOWN_RR] > _LEAST_KNOWN_RR_S * settings.second
    return bool(slow and f[F_RR] > _LEAST_RR_S * settings.second)


@compiled
def remember(candidate: NDArray[np.float64], strap: Strap) -> None:
    """Keep a judged candidate for those that follow it."""
    kept = strap.recent[strap.integers[I_REMEMBERED] % REMEMBERED]
    kept[0], kept[1] = candidate[C_R], candidate[C_PROBABILITY]
    kept[2] = max(candidate[C_LIKENESS], 0.0)
    strap.integers[I_REMEMBERED] += 1


@compiled
def _compare_with_known(candidate: NDArray[np.float64], strap: Strap, inputs: NDArray[np.float32]) -> None:
    """Compare a candidate, in its own size, with what the strap's beats were when nothing was in doubt."""
    f, i, known = strap.floats, strap.integers, strap.known
    inputs[:] = 0.0
    if i[I_KNOWN] == 0:
        return
    shape, size = candidate[C_SHAPE:], candidate[C_SIZE]
    best, factor, rest, at = -2.0, 0.0, 1.0, 0
    for shift in range(-SHIFTS, SHIFTS + 1):
        product, one, other = 0.0, 0.0, 0.0
        for g in range(FROM, POINTS - SHIFTS):
            value = shape[g + shift] * size
            product += value * known[g]
            one += value * value
            other += known[g] * known[g]
        if one * other <= 0.0:
            continue
        value = product / np.sqrt(one * other)
        if value > best:
            best, at = value, shift
            factor = product / other
            rest = (one - 2.0 * product + other) / other
    elapsed = elapsed_since_beat(int(candidate[C_R]), i)
    inputs[0] = best
    inputs[1] = min(max(factor, -3.0), 3.0)
    inputs[2] = log_ratio(abs(factor), 1.0)
    inputs[3] = log_ratio(rest, 1.0)
    inputs[4] = at / SHIFTS
    inputs[5] = min(i[I_KNOWN], 16) / 16.0
    inputs[6] = log_ratio(candidate[C_HEIGHT], f[F_KNOWN_HEIGHT])
    inputs[7] = min(elapsed / max(f[F_KNOWN_RR], 1.0), 3.0)
    inputs[8] = log_ratio(f[F_HIGH], f[F_KNOWN_HEIGHT])
    inputs[9] = log_ratio(f[F_RR] + 1.0, f[F_KNOWN_RR] + 1.0)


@compiled
def describe_widely(
    candidate: NDArray[np.float64],
    first: float,
    settings: Settings,
    strap: Strap,
    inputs: NDArray[np.float32],
) -> None:
    """Add to a candidate's description what only a doubtful one is asked for.

    Parameters
    ----------
    candidate : ndarray of float64, shape ``[CANDIDATE]``
        Cut out and aligned.
    first : float
        Its probability at first sight.
    settings : Settings
        Durations in samples.
    strap : Strap
        What is known of the strap.
    inputs : ndarray of float32, shape ``[WIDE_INPUTS]``
        The first `INPUTS` are there; the rest is filled in.
    """
    f, i = strap.floats, strap.integers
    _compare_with_known(candidate, strap, inputs[INPUTS : INPUTS + _KNOWN_NUMBERS])
    rr_s = _FIRST_RR_S
    if i[I_KNOWN] > 0:
        rr_s = f[F_KNOWN_RR] / settings.second
    elif f[F_RR] > 0.0:
        rr_s = f[F_RR] / settings.second
    rr_s = min(max(rr_s, _RR_S[0]), _RR_S[1])
    p = min(max(first, 1e-4), 1.0 - 1e-4)
    n = inputs[INPUTS + _KNOWN_NUMBERS :]
    n[0] = np.log(p / (1.0 - p)) / 3.0
    n[1] = f[F_CONFIDENCE]
    n[2] = rr_s
    times = n[_NUMBERS:]
    phases = n[_NUMBERS + 2 * _TIMES :]
    times[:] = 0.0
    for k in range(min(i[I_REMEMBERED], REMEMBERED)):
        before_s = (candidate[C_R] - strap.recent[k, 0]) / settings.second
        if before_s < 0.0:
            continue
        at = int(before_s / _STEP_S)
        if at < _TIMES:
            times[at] = max(times[at], strap.recent[k, 1])
            times[_TIMES + at] = max(times[_TIMES + at], strap.recent[k, 2])
        at = int(before_s / rr_s / _PHASE + 0.5)
        if at < _PHASES:
            phases[at] = max(phases[at], strap.recent[k, 1])
            phases[_PHASES + at] = max(phases[_PHASES + at], strap.recent[k, 2])
