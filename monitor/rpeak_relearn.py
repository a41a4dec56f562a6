"""A detector that finds nothing looks once more at what it has rejected, so that no belief about beats absorbs it.

Levels, template and RR interval are learnt from beats. Where these were another heart's (a run of tall ventricular
beats with their T waves taken for beats, an electrode that moved), the beats that follow may all be rejected, and what
is rejected teaches nothing. Levels that sink do not help when it is the shape and the rhythm that are believed.

So after `BLIND_S` without a beat the rejected candidates are compared with each other: `_ALIKE_BEATS` of one shape and
one size, a beat's distance apart and not small beside the beats that were, are beats of another kind. They set levels
and template anew; none of them is announced, since they are long past. P waves of an asystole are alike, too, but small
beside the beats there were: they start nothing.

Violent motion leaves levels that belong to no heart, and what follows is small beside them. Where levels lie far above
those that the strap's beats had while nothing was in doubt, and no beat has come for a second and one and a half RR
intervals, these are recalled.
"""

from typing import Final

import numpy as np

from monitor.compiled import compiled
from monitor.rpeak_candidates import SHIFTS, likenesses, measure_shape
from monitor.rpeak_levels import begin_levels
from monitor.rpeak_state import (
    C_AT,
    C_HEIGHT,
    C_OFFSET,
    C_SHAPE,
    CANDIDATE,
    F_CONFIDENCE,
    F_HIGH,
    F_KNOWN_HEIGHT,
    F_KNOWN_RR,
    F_OFFSET,
    F_RIVAL,
    F_RR,
    F_RR_SPREAD,
    I_HELD,
    I_KNOWN,
    I_NOISES,
    I_RRS,
    I_WAITING,
    KEPT,
    POINTS,
    Settings,
    Strap,
)

BLIND_S: Final = 5.0
"""Seconds without a beat after which what was rejected is looked at: later than an asystole is known."""

_ALIKE_BEATS: Final = 4
_LIKENESS: Final = 0.9
_HEIGHTS: Final = 0.6
_BESIDE_BEATS: Final = 0.3
_DOUBTFUL: Final = 0.5
FAR_ABOVE: Final = 3.0
"""Levels this many times those of clear beats belong to no heart."""


@compiled
def _alike(model: int, settings: Settings, strap: Strap) -> int:
    """Return how many of the rejected candidates look like one of them, none counted twice within a beat."""
    waiting = strap.waiting
    alike, last_at = 0, -1.0
    for k in range(strap.integers[I_WAITING]):
        ratio = waiting[k, C_HEIGHT] / waiting[model, C_HEIGHT]
        apart = last_at < 0.0 or waiting[k, C_AT] - last_at >= settings.back
        if apart and _HEIGHTS < ratio < 1.0 / _HEIGHTS:
            shape, other = waiting[k, C_SHAPE:], waiting[model, C_SHAPE:]
            if likenesses(shape, other, POINTS - SHIFTS, SHIFTS).max() > _LIKENESS:
                alike += 1
                last_at = waiting[k, C_AT]
    return alike


@compiled
def relearn(settings: Settings, strap: Strap) -> bool:
    """Set levels and template by the rejected candidates, if these look like beats.

    Parameters
    ----------
    settings : Settings
        Durations in samples.
    strap : Strap
        What is known of the strap; its rejected candidates lie in `waiting`, oldest first.

    Returns
    -------
    bool
        Whether they did.
    """
    f, i, waiting = strap.floats, strap.integers, strap.waiting
    count = i[I_WAITING]
    tallest = 0.0
    for k in range(count):
        tallest = max(tallest, waiting[k, C_HEIGHT])
    beats = min(f[F_HIGH], f[F_KNOWN_HEIGHT]) if i[I_KNOWN] > 0 else f[F_HIGH]
    least = max(_BESIDE_BEATS * beats, _HEIGHTS * tallest)
    best, most = -1, 0
    for k in range(count):
        if waiting[k, C_HEIGHT] >= least:
            alike = _alike(k, settings, strap)
            if alike > most:
                best, most = k, alike
    if most < _ALIKE_BEATS:
        return False
    begin_levels(waiting[best, C_HEIGHT], waiting[best].copy(), strap)
    f[F_RR], f[F_RR_SPREAD], f[F_RIVAL] = 0.0, 0.0, 0.0
    f[F_CONFIDENCE] = _DOUBTFUL
    i[I_RRS] = 0
    i[I_WAITING] = 0
    i[I_HELD] = 0
    return True


@compiled
def recall(strap: Strap) -> None:
    """Set levels, template and RR interval back to what the strap's beats were while nothing was in doubt.

    Parameters
    ----------
    strap : Strap
        What is known of the strap, clear beats among it.
    """
    f, i = strap.floats, strap.integers
    model = np.zeros(CANDIDATE)
    model[C_SHAPE:] = strap.known
    measure_shape(model, np.abs(strap.known).max())
    model[C_OFFSET] = f[F_OFFSET]
    i[I_NOISES] = 0
    begin_levels(f[F_KNOWN_HEIGHT], model, strap)
    strap.rrs[:] = f[F_KNOWN_RR]
    i[I_RRS] = KEPT
    f[F_RR], f[F_RR_SPREAD], f[F_RIVAL] = f[F_KNOWN_RR], 0.0, 0.0
    i[I_WAITING] = 0
    i[I_HELD] = 0
