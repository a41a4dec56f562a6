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
_IS_SECONDS: Final = np.array([name.endswith("_s") for name in CONTEXT_FIELDS])


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
    varied[:, _IS_SECONDS] *= np.exp(random.normal(0.0, 0.3, (beats, 1)))
    not_yet: NDArray[np.bool_] = random.random(beats) < 0.4
    varied[not_yet[:, np.newaxis] & _IS_AFTER] = np.nan
    varied[(random.random(beats) < 0.3)[:, np.newaxis] & _IS_SECONDS] = np.nan
    varied[random.random(beats) < 0.02] = np.nan
    return varied.astype(np.float32)


def quicken(
    window: FloatArray, context: FloatArray, chosen: NDArray[np.bool_], random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Turn chosen beats into ones of a regular fast rhythm, 85 to 190 a minute, as exercise brings it.

    Holter recordings of patients hold next to no sinus tachycardia, so a network fitted to them alone takes closely
    following beats for early ones. The beat's own complex is laid down again at even intervals, overlapping where
    they do, and its RR context is made to match; width and shape of the complex stay.

    Parameters
    ----------
    window, context : ndarray of float32, shapes ``[beats, 600]`` and ``[beats, 6]``
        See `monitor.contract.Beats`.
    chosen : ndarray of bool, shape ``[beats]``
        Which beats; for N beats only, since an even rhythm is what makes the others N too.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    window, context : ndarray of float32
        Copies; beats not chosen are as they were.
    """
    window, context = window.copy(), context.copy()
    beats = int(chosen.sum())
    if beats == 0:
        return window, context
    points = window.shape[1]
    rr = random.uniform(60 / 190, 60 / 85, beats)
    varied = rr * np.exp(random.normal(0.0, 0.03, (4, beats)))
    before, after, previous, median = varied
    complexes = _complex_alone(window[chosen])
    laid = np.zeros_like(complexes)
    reach = int(np.ceil(0.84 / rr.min()))
    for place in range(-reach, reach + 1):
        offset = place * rr + np.where(place < 0, rr - before, 0.0) + np.where(place > 0, after - rr, 0.0)
        source = np.arange(points) - np.rint(offset * 360.0).astype(np.int64)[:, np.newaxis]
        inside = (source >= 0) & (source < points)
        taken = np.take_along_axis(complexes, np.clip(source, 0, points - 1), axis=1)
        size = 1.0 if place == 0 else np.exp(random.normal(0.0, 0.05, (beats, 1)))
        laid += np.where(inside, taken, 0.0) * size
    window[chosen] = laid
    # The R peak after is known when the window closes, unless the detector needs longer for it.
    known = after < random.uniform(0.55, 0.8, beats)
    after = np.where(known, after, np.nan)
    context[chosen] = np.stack(
        [before, after, median, before / median, after / median, before / previous], axis=1
    )
    return window, context


def _complex_alone(window: FloatArray) -> NDArray[np.float64]:
    """Return windows faded to nothing before the P wave and after the T wave of the beat in the middle."""
    points = window.shape[1]
    time_s = (np.arange(points) - points // 2) / 360.0
    level = np.median(window, axis=1, keepdims=True)
    fade = np.clip((time_s + 0.28) / 0.08, 0.0, 1.0) * np.clip((0.50 - time_s) / 0.12, 0.0, 1.0)
    return np.asarray((window - level) * fade, np.float64)


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
