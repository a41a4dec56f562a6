"""What the R-peak detector keeps of each strap: names of the columns, and a row's arrays under one name."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

KEPT: Final = 8
"""Beats, noise peaks and RR intervals that make a level."""
WAITING: Final = 24
"""Candidates kept until they are announced or forgotten."""

STEP_S: Final = 0.0125
POINTS_BEFORE: Final = 24
POINTS_AFTER: Final = 8
POINTS: Final = POINTS_BEFORE + POINTS_AFTER + 1
"""A candidate's shape: this many points, `STEP_S` apart, around the peak of its feature."""
REMEMBERED: Final = 24
"""Judged candidates kept as the neighbourhood in which a doubtful one is seen."""
JUDGED: Final = 5
"""What a trace keeps of each: row, R peak, probability, confidence in the last beats, probability at first sight."""
BEATS_OF_TRUST: Final = 9
"""How many numbers the quality of a beat is read from."""

# Columns of a candidate; its shape follows.
C_R, C_AT, C_HEIGHT, C_SIZE, C_SLOPE, C_PROBABILITY, C_LIKENESS, C_SHIFT, C_OFFSET, C_MARK = range(10)
C_SHAPE: Final = 10
CANDIDATE: Final = C_SHAPE + POINTS

# Columns of the float state.
(
    F_SUM,
    F_MAX,
    F_PENDING_HEIGHT,
    F_RIVAL,
    F_HIGH,
    F_LOW,
    F_SIZE,
    F_SLOPE,
    F_RR,
    F_PREVIOUS_HEIGHT,
    F_PREVIOUS_PROBABILITY,
    F_CONFIDENCE,
    F_RR_SPREAD,
    F_LAST_PROBABILITY,
    F_SECOND_PROBABILITY,
    F_DOUBT,
    F_DOUBT_MEAN,
    F_LIKENESS_MEAN,
    F_OFFSET,
    F_KNOWN_HEIGHT,
    F_KNOWN_RR,
    F_KNOWN_OFFSET,
) = range(22)
FLOATS: Final = 22

# Columns of the integer state.
(
    I_SAMPLES,
    I_MAX_AT,
    I_PENDING_AT,
    I_HELD,
    I_LAST_R,
    I_BEATS,
    I_NOISES,
    I_RRS,
    I_LEARNT,
    I_WAITING,
    I_VOID,
    I_PREVIOUS_R,
    I_TEMPLATE_BEATS,
    I_UNLIKE,
    I_SECOND_R,
    I_THIRD_R,
    I_KNOWN,
    I_REMEMBERED,
    I_LAST_MARK,
) = range(19)
INTEGERS: Final = 19


class Settings(NamedTuple):
    """Durations in samples, and how shapes are laid on the samples."""

    derivative: int
    average: int
    fall: int
    after: int
    rival: int
    hold: int
    refractory: int
    learning: int
    delay: int
    second: int
    extra: int
    back: int
    blind: int
    beginning: int
    run_in: int
    narrow_delay: int
    narrow: NDArray[np.float64]
    base: NDArray[np.int64]
    fraction: NDArray[np.float64]


class Strap(NamedTuple):
    """One strap's state."""

    ring: NDArray[np.float64]
    floats: NDArray[np.float64]
    integers: NDArray[np.int64]
    heights: NDArray[np.float64]
    noises: NDArray[np.float64]
    sizes: NDArray[np.float64]
    slopes: NDArray[np.float64]
    rrs: NDArray[np.float64]
    templates: NDArray[np.float64]
    waiting: NDArray[np.float64]
    held: NDArray[np.float64]
    known: NDArray[np.float64]
    recent: NDArray[np.float64]


class Output(NamedTuple):
    """Where peaks are written to: row, R peak and last sample needed; what their quality is read from; quality."""

    peaks: NDArray[np.int64]
    trust: NDArray[np.float64]
    quality: NDArray[np.float32]


class Trace(NamedTuple):
    """What training needs and the monitor does not: descriptions of candidates, and decisions dictated by the truth.

    Empty arrays switch it off.
    """

    inputs: NDArray[np.float32]
    judged: NDArray[np.float64]
    dictated: NDArray[np.float32]
