"""Variation for training: what another strap, another detector or a later R peak would have changed.

Time is never stretched, and R peaks move by a few samples only: how wide a beat is, and how early, is what tells the
classes apart.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import CONTEXT_FIELDS, RR_FIELDS, FloatArray

MAX_JITTER: Final = 6
"""Samples of the 360 Hz grid by which a window moves, at most (17 ms)."""
NO_TEMPLATE: Final = 0.04
"""Share of beats that lose their template, as the first beats of an athlete have none."""
_PLACE: Final = {name: place for place, name in enumerate(CONTEXT_FIELDS)}
_IS_AFTER: Final = np.array([name.startswith("rr_after") and "least" not in name for name in CONTEXT_FIELDS])
_IS_SECONDS: Final = np.array([name.startswith("rr_") and name.endswith("_s") for name in CONTEXT_FIELDS])
_IS_LOGARITHMIC: Final = np.array([name.endswith(("_s", "_ratio")) for name in CONTEXT_FIELDS])
_P: Final = slice(210, 275)
_T: Final = slice(354, 460)


def augment_windows(
    window: FloatArray, template: FloatArray, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return windows shifted, with baseline wander, noise and another gain; some faded beside the beat or upside down.

    Parameters
    ----------
    window, template : ndarray of float32, shape ``[beats, 600]``
        Millivolt.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    window, template : ndarray of float32, shape ``[beats, 600]``
        The template turns and fades as its window does; noise, shift and a little gain are the window's own.
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
    both = np.where(random.random((beats, 1)) < 0.1, -1.0, 1.0) * _spotlight(beats, points, random)
    gain = np.exp(random.normal(0.0, 0.06, (beats, 1)))
    return np.asarray(varied * both * gain, np.float32), np.asarray(template * both, np.float32)


def augment_context(
    context: FloatArray, template: FloatArray, random: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Return contexts with jitter, another overall heart rate, and now and then unknown values or no template.

    Parameters
    ----------
    context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
        See `monitor.contract.CONTEXT_FIELDS`.
    template : ndarray of float32, shape ``[beats, 600]``
        Millivolt.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    context, template : ndarray of float32
    """
    beats = len(context)
    jitter = random.normal(0.0, 0.02, context.shape)
    varied = np.where(_IS_LOGARITHMIC, context * np.exp(jitter), context + jitter)
    varied[:, _IS_SECONDS] *= np.exp(random.normal(0.0, 0.3, (beats, 1)))
    not_yet: NDArray[np.bool_] = random.random(beats) < 0.3
    varied[not_yet[:, np.newaxis] & _IS_AFTER] = np.nan
    varied[(random.random(beats) < 0.3)[:, np.newaxis] & _IS_SECONDS] = np.nan
    varied[random.random(varied.shape) < 0.01] = np.nan
    early_on = random.random(beats) < NO_TEMPLATE
    varied[early_on, RR_FIELDS:] = np.nan
    return varied.astype(np.float32), np.where(early_on[:, np.newaxis], np.float32(0), template)


def quicken(
    window: FloatArray,
    template: FloatArray,
    context: FloatArray,
    chosen: NDArray[np.bool_],
    random: np.random.Generator,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Turn chosen beats into ones of a regular fast rhythm, 85 to 190 a minute, as exercise brings it.

    Holter recordings of patients hold next to no sinus tachycardia, so a network fitted to them alone takes closely
    following beats for early ones. The complexes of beat and template are laid down again at even intervals,
    overlapping where they do, and the context is made to match, with a history of minutes that may have been slower;
    width and shape of the complex stay.

    Parameters
    ----------
    window, template : ndarray of float32, shape ``[beats, 600]``
        See `monitor.contract.Beats`.
    context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
        Likewise.
    chosen : ndarray of bool, shape ``[beats]``
        Which beats; for N beats only, since an even rhythm is what makes the others N too.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    window, template, context : ndarray of float32
        Copies; beats not chosen are as they were.
    """
    window, template, context = window.copy(), template.copy(), context.copy()
    beats = int(chosen.sum())
    if beats == 0:
        return window, template, context
    rr = random.uniform(60 / 190, 60 / 85, beats)
    varied = rr * np.exp(random.normal(0.0, 0.025, (6, beats)))
    before, after = varied[0], varied[1]
    laid = _lay(window[chosen], rr, before, after, random)
    window[chosen] = laid
    template[chosen] = _lay(template[chosen], rr, rr, rr, random)
    # The R peak after is known when the window closes, unless the detector needs longer for it.
    known = after < random.uniform(0.55, 0.8, beats)
    context[chosen] = _even_context(
        context[chosen], varied, np.where(known, after, np.nan), laid, template[chosen], random
    )
    return window, template, context


def strange(window: FloatArray, random: np.random.Generator) -> FloatArray:
    """Return windows that hold no beat: noise, flutter, or the signal beside a beat that is not there.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]``
        Whose size and surroundings are taken, millivolt.
    random : Generator
        Where the chance comes from.

    Returns
    -------
    ndarray of float32, shape ``[beats, 600]``
    """
    beats, points = window.shape
    size = np.std(window, axis=1, keepdims=True) * np.exp(random.normal(0.0, 0.5, (beats, 1)))
    seconds = np.arange(points) / 360.0
    frequency = random.uniform(2.5, 6.0, (beats, 1))
    wave = np.sin(2 * np.pi * (frequency * seconds + random.uniform(0, 1, (beats, 1))))
    wave = np.sign(wave) * np.abs(wave) ** random.uniform(0.6, 1.5, (beats, 1))
    noise = _smooth_noise(beats, points, random)
    slow = np.cumsum(random.standard_normal((beats, points)), axis=1)
    slow -= slow.mean(axis=1, keepdims=True)
    slow /= np.std(slow, axis=1, keepdims=True) + 1e-9
    distance = np.abs(np.arange(points) - points // 2) / 360.0
    beside = (window - np.median(window, axis=1, keepdims=True)) * np.clip((distance - 0.2) / 0.1, 0, 1)
    kind = random.integers(0, 4, (beats, 1))
    made = np.select(
        [kind == 0, kind == 1, kind == 2], [size * noise, size * wave, size * (slow + 0.5 * noise)], beside
    )
    return np.asarray(made + 0.1 * size * noise, np.float32)


def _lay(
    shape: FloatArray,
    rr: NDArray[np.float64],
    before: NDArray[np.float64],
    after: NDArray[np.float64],
    random: np.random.Generator,
) -> FloatArray:
    beats, points = shape.shape
    complexes = _complex_alone(shape)
    laid = np.zeros_like(complexes)
    reach = int(np.ceil(0.84 / rr.min()))
    for place in range(-reach, reach + 1):
        offset = place * rr + np.where(place < 0, rr - before, 0.0) + np.where(place > 0, after - rr, 0.0)
        source = np.arange(points) - np.rint(offset * 360.0).astype(np.int64)[:, np.newaxis]
        inside = (source >= 0) & (source < points)
        taken = np.take_along_axis(complexes, np.clip(source, 0, points - 1), axis=1)
        size = 1.0 if place == 0 else np.exp(random.normal(0.0, 0.05, (beats, 1)))
        laid += np.where(inside, taken, 0.0) * size
    return laid.astype(np.float32)


def _even_context(
    context: FloatArray,
    varied: NDArray[np.float64],
    after: NDArray[np.float64],
    window: FloatArray,
    template: FloatArray,
    random: np.random.Generator,
) -> FloatArray:
    """Return contexts of an even rhythm of RR intervals `varied`: before, after, two before that, median, usual."""
    before, _, previous, second, median, usual = varied
    beats = len(before)
    values = {
        "rr_before_s": before,
        "rr_after_s": after,
        "rr_median_s": median,
        "rr_before_ratio": before / median,
        "rr_after_ratio": after / median,
        "rr_before_previous_ratio": before / previous,
        "rr_before_usual_ratio": before / usual,
        "rr_after_usual_ratio": after / usual,
        "rr_after_least_ratio": np.fmax(after, 0.84) / usual,
        "rr_previous_usual_ratio": previous / usual,
        "rr_second_usual_ratio": second / usual,
        "rr_step_ratio": random.uniform(0.005, 0.04, beats),
        "rr_long_step_ratio": random.uniform(0.005, 0.04, beats),
    }
    # Either the rate has been so for minutes, or it has been lower before.
    rising = np.where(random.random(beats) < 0.5, 0.0, random.uniform(0.0, 0.5, beats))
    spread = np.exp(random.uniform(0.01, 0.08, beats))
    middle = usual * np.exp(rising)
    values |= {
        "rr_before_low_ratio": before / (usual * np.exp(0.3 * rising) / np.sqrt(spread)),
        "rr_before_middle_ratio": before / middle,
        "rr_before_high_ratio": before / (middle * np.exp(0.3 * rising) * np.sqrt(spread)),
        "rr_spread_ratio": spread * np.exp(rising),
        "rr_before_rank": np.clip(random.uniform(0.0, 1.0, beats) - rising, 0.0, 1.0),
        "rr_near_usual_share": np.clip(random.uniform(0.6, 1.0, beats) - rising, 0.05, 1.0),
        "shape_rr_ratio": np.exp(random.normal(0.0, 0.03, beats)),
    }
    even = context.copy()
    for name, value in values.items():
        even[:, _PLACE[name]] = value
    for name, zone in (("p_correlation", _P), ("t_correlation", _T)):
        even[:, _PLACE[name]] = _correlation(window[:, zone], template[:, zone])
    # A context without a template stays one.
    bare = np.isnan(context[:, _PLACE["qrs_correlation"]])
    even[bare, _PLACE["p_correlation"]] = np.nan
    even[bare, _PLACE["t_correlation"]] = np.nan
    return even


def _correlation(one: FloatArray, other: FloatArray) -> NDArray[np.float64]:
    one, other = (part - part.mean(axis=1, keepdims=True) for part in (one, other))
    size = np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1)) + 1e-12
    return np.asarray((one * other).sum(axis=1) / size, np.float64)


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
    """Fade what lies beside the beat in some windows: few patients must not be known by their heart rate."""
    distance = np.abs(np.arange(points) - points // 2) / 360.0
    reach_s = np.where(random.random((beats, 1)) < 0.25, random.uniform(0.3, 0.6, (beats, 1)), 1.0)
    return np.clip((reach_s - distance) / 0.05, 0.0, 1.0)


def _smooth_noise(beats: int, points: int, random: np.random.Generator) -> NDArray[np.float32]:
    white = random.standard_normal((beats, points + 4), dtype=np.float32)
    # Five-point mean: muscle noise as it is left by the low-pass before the window.
    summed = np.cumsum(white, axis=1)
    smooth = np.empty((beats, points), np.float32)
    smooth[:, 0] = summed[:, 4]
    smooth[:, 1:] = summed[:, 5:] - summed[:, :-5]
    return np.asarray(smooth / np.float32(np.sqrt(5.0)))
