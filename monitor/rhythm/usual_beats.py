"""What a beat's window says, beside its class: that the athlete's usual beat goes on, or that there is no QRS at all.

Both compare with the athlete's own usual beat, so they say nothing as long as there is none. The first keeps a fast
sinus rhythm with wide beats, which is a fast wide wave too, from being taken for ventricular flutter; the second finds
an asystole in which the atria still beat, though P waves are taken for R peaks.
"""

from typing import Final

import numpy as np

from monitor.contract import (
    CONTEXT_FIELDS,
    TRUSTED_QUALITY,
    Beats,
    BoolArray,
)

USUAL_FROM: Final = 0.9
"""Correlation with the usual QRS from which on it goes on."""
TINY_BELOW: Final = 0.25
"""Size over that of the usual QRS below which there is none, unless it looks like the usual one all the same."""
SHRUNK_FROM: Final = 0.9
"""Correlation from which on a small complex is the usual one on an electrode that has slipped."""
MINUTE_BELOW: Final = 0.2
SURELY_FROM: Final = 0.98
"""The same below the size of `MINUTE_BELOW`: where the usual QRS is wide and plain, a P wave looks like a small one."""

_LIKE = CONTEXT_FIELDS.index("qrs_correlation")
_SIZE = CONTEXT_FIELDS.index("qrs_size_ratio")


def looks_usual(beats: Beats) -> BoolArray:
    """Return which beats are trusted and look as the athlete's usual one, shape ``[beats]``."""
    usual: BoolArray = (beats.context[:, _LIKE] >= USUAL_FROM) & (beats.quality >= TRUSTED_QUALITY)
    return usual


def has_qrs(beats: Beats) -> BoolArray:
    """Return which beats have a QRS complex, or may have one as far as is known, shape ``[beats]``."""
    like, size = beats.context[:, _LIKE], beats.context[:, _SIZE]
    # Without a usual beat both are NaN, and nothing compares with that; a window that a gap cut short has neither.
    asked = np.where(size < MINUTE_BELOW, SURELY_FROM, SHRUNK_FROM)
    tiny: BoolArray = (size > 0.0) & (size < TINY_BELOW) & (like < asked)
    has: BoolArray = ~tiny
    return has
