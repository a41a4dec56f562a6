"""Variation for training: what another strap, another detector or a later R peak would have changed.

Time is never stretched, and R peaks move by a few samples only: how wide a beat is, and how early, is what tells the
classes apart.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import CONTEXT_FIELDS, FloatArray

MAX_JITTER: Final = 6
"""Samples of the 360 Hz grid by which a window moves, at most (17 ms)."""
_IS_AFTER: Final = np.array([name.startswith("rr_after") for name in CONTEXT_FIELDS])
_SECONDS: Final = [place for place, name in enumerate(CONTEXT_FIELDS) if name.endswith("_s")]


def augment_windows(window: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return windows shifted, with baseline wander, noise and another gain; some faded beside the beat or upside down.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]``
        Millivolt.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    ndarray of float32, shape ``[beats, 600]``
    """
    beats, points = window.shape
    shift = random.integers(-MAX_JITTER, MAX_JITTER + 1, (beats, 1))
    # Beyond its edge a shifted window repeats its last point: nothing outside the window is made up.
    place = np.clip(np.arange(points) + shift, 0, points - 1)
    varied = np.take_along_axis(window, place, axis=1)
    size = np.std(varied, axis=1, keepdims=True)
    seconds = np.arange(points) / 360.0
    frequency = random.uniform(0.3, 1.2, (beats, 1))
    wander = np.sin(2 * np.pi * (frequency * seconds + random.uniform(0, 1, (beats, 1))))
    varied = varied + size * _sometimes(beats, 0.5, 0.3, random) * wander
    varied = varied + size * _sometimes(beats, 0.5, 0.1, random) * _smooth_noise(beats, points, random)
    sign = np.where(random.random((beats, 1)) < 0.1, -1.0, 1.0)
    gain = np.exp(random.normal(0.0, 0.2, (beats, 1)))
    faded = varied * sign * gain * _spotlight(beats, points, random)
    return np.asarray(faded, np.float32)


def augment_context(context: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return RR contexts with jitter, another overall heart rate, and now and then unknown values.

    Parameters
    ----------
    context : ndarray of float32, shape ``[beats, 6]``
        See `monitor.contract.CONTEXT_FIELDS`.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    ndarray of float32, shape ``[beats, 6]``
    """
    beats = len(context)
    varied = context * np.exp(random.normal(0.0, 0.02, context.shape))
    varied[:, _SECONDS] *= np.exp(random.normal(0.0, 0.3, (beats, 1)))
    not_yet: NDArray[np.bool_] = random.random(beats) < 0.4
    varied[not_yet[:, np.newaxis] & _IS_AFTER] = np.nan
    varied[random.random(beats) < 0.02] = np.nan
    return varied.astype(np.float32)


def _sometimes(beats: int, share: float, size: float, random: np.random.Generator) -> NDArray[np.float64]:
    chosen = random.random((beats, 1)) < share
    return np.asarray(chosen * random.uniform(0, size, (beats, 1)))


def _spotlight(beats: int, points: int, random: np.random.Generator) -> NDArray[np.float64]:
    """Fade what lies beside the beat in a third of the windows: few patients must not be known by their heart rate."""
    distance = np.abs(np.arange(points) - points // 2) / 360.0
    reach_s = np.where(random.random((beats, 1)) < 0.35, random.uniform(0.25, 0.6, (beats, 1)), 1.0)
    return np.clip((reach_s - distance) / 0.05, 0.0, 1.0)


def _smooth_noise(beats: int, points: int, random: np.random.Generator) -> NDArray[np.float32]:
    white = random.standard_normal((beats, points + 4), dtype=np.float32)
    # Five-point mean: muscle noise as it is left by the low-pass before the window.
    summed = np.cumsum(white, axis=1)
    smooth = np.empty((beats, points), np.float32)
    smooth[:, 0] = summed[:, 4]
    smooth[:, 1:] = summed[:, 5:] - summed[:, :-5]
    return np.asarray(smooth / np.float32(np.sqrt(5.0)))
