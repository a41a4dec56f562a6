"""What is measured of a heart to compare synthetic athletes with recordings: RR series, spectrum, shapes of beats.

References
----------
Task Force of the European Society of Cardiology and the North American Society of Pacing and Electrophysiology. Heart
rate variability: standards of measurement, physiological interpretation, and clinical use. Circulation
93(5):1043-1065, 1996.
Peng CK, Havlin S, Stanley HE, Goldberger AL. Quantification of scaling exponents and crossover phenomena in
nonstationary heartbeat time series. Chaos 5(1):82-87, 1995.
"""

from collections.abc import Iterator
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES
from simulators.annotations import Truth
from simulators.records import Record

_Array: TypeAlias = NDArray[np.float64]

WINDOW_S: Final = 300.0
RR_MEASURES: Final[dict[str, str]] = {
    "rate_bpm": "mean rate, /min",
    "sdnn_share": "SDNN / mean RR",
    "rmssd_share": "RMSSD / mean RR",
    "pnn50": "pNN50",
    "low_over_high": "LF power / HF power",
    "dfa_alpha1": "DFA alpha 1",
}
SHAPE_MEASURES: Final[dict[str, str]] = {
    "low_band": "power 0.5 to 5 Hz",
    "middle_band": "power 5 to 15 Hz",
    "high_band": "power 15 to 40 Hz",
    "qrs_mv": "QRS height, mV",
    "qrs_ms": "QRS width at half height, ms",
    "t_over_qrs": "T / QRS height",
    "p_over_qrs": "P / QRS height",
    "v_over_n_width": "width of V / width of N",
    "v_over_n_height": "height of V / height of N",
    "v_over_n_slope": "steepest of V / steepest of N",
}
_N, _V = AAMI_CLASSES.index("N"), AAMI_CLASSES.index("V")
_NORMAL_RHYTHMS: Final = frozenset({"N", "SBR"})
_CLEAN_SHARE: Final = 0.95
_COMPLEX_S: Final = 0.12
_EVEN_HZ: Final = 4.0
_BANDS: Final = {"low_band": (0.5, 5.0), "middle_band": (5.0, 15.0), "high_band": (15.0, 40.0)}
_LOW_HZ: Final = (0.04, 0.15)
_HIGH_HZ: Final = (0.15, 0.4)


def rr_windows(truth: Truth) -> Iterator[dict[str, float]]:
    """Yield measures of the RR series in each five minutes of normal rhythm.

    A window counts where at least 95 % of the beats are N and no other rhythm is named; intervals at other beats are
    left out of the measures.
    """
    if len(truth) == 0:
        return
    length = round(WINDOW_S * truth.rate_hz)
    for first in range(0, int(truth.r_samples[-1]) - length + 1, length):
        part = truth.between(first, first + length)
        named = {span.kind for span in part.rhythms}
        if len(part) < 100 or len(part.unscored) or not named <= _NORMAL_RHYTHMS:
            continue
        if np.mean(part.classes == _N) >= _CLEAN_SHARE:
            yield rr_measures(part)


def rr_measures(truth: Truth) -> dict[str, float]:
    """Return the measures named in `RR_MEASURES` of a stretch; intervals with a beat that is no N are left out."""
    r_s = truth.r_samples / truth.rate_hz
    normal = (truth.classes[1:] == _N) & (truth.classes[:-1] == _N)
    rr_s = np.diff(r_s)[normal]
    steps = np.diff(np.diff(r_s))[normal[1:] & normal[:-1]]
    mean = float(rr_s.mean())
    low, high = _band_powers(r_s[1:][normal], rr_s)
    return {
        "rate_bpm": 60.0 / mean,
        "sdnn_share": float(rr_s.std()) / mean,
        "rmssd_share": float(np.sqrt(np.mean(steps**2))) / mean,
        "pnn50": float(np.mean(np.abs(steps) > 0.05)),
        "low_over_high": low / high if high > 0.0 else float("nan"),
        "dfa_alpha1": dfa_alpha1(rr_s),
    }


def dfa_alpha1(rr_s: _Array) -> float:
    """Return the short-term scaling exponent, over 4 to 16 beats, of RR intervals, shape ``[n]``."""
    profile = np.cumsum(rr_s - rr_s.mean())
    sizes = np.arange(4, 17)
    fluctuation = []
    for size in sizes.tolist():
        boxes = profile[: len(profile) // size * size].reshape(-1, size)
        place = np.arange(size) - (size - 1) / 2
        slope = boxes @ place / (place @ place)
        residual = boxes - boxes.mean(axis=1, keepdims=True) - slope[:, np.newaxis] * place
        fluctuation.append(np.sqrt(np.mean(residual**2)))
    if min(fluctuation) <= 0.0:
        return float("nan")
    return float(np.polyfit(np.log(sizes), np.log(fluctuation), 1)[0])


def even_rr(r_s: _Array, rr_s: _Array) -> _Array:
    """Return RR intervals on an even grid of 4 Hz, their mean taken away."""
    grid = np.arange(r_s[0], r_s[-1], 1.0 / _EVEN_HZ)
    even: _Array = np.interp(grid, r_s, rr_s)
    even -= even.mean()
    return even


def rr_spectrum(r_s: _Array, rr_s: _Array) -> tuple[_Array, _Array]:
    """Return frequencies in hertz and the power density of an RR series in s²/Hz."""
    from scipy.signal import welch

    series = even_rr(r_s, rr_s)
    frequency, power = welch(series, _EVEN_HZ, nperseg=min(len(series), 512), detrend="linear")
    return np.asarray(frequency), np.asarray(power)


def signal_spectrum(record: Record) -> tuple[_Array, _Array]:
    """Return frequencies in hertz and the power density of a record's valid samples in mV²/Hz."""
    from scipy.signal import welch

    millivolts = np.where(record.valid, record.millivolts, 0.0).astype(np.float64)
    frequency, power = welch(
        millivolts - np.median(millivolts), record.rate_hz, nperseg=int(4 * record.rate_hz)
    )
    return np.asarray(frequency), np.asarray(power)


def shape_measures(record: Record) -> dict[str, float]:
    """Return the measures named in `SHAPE_MEASURES` of a record; NaN where it has no such beats."""
    frequency, power = signal_spectrum(record)
    shares = {
        name: float(power[(frequency >= low) & (frequency < high)].sum())
        for name, (low, high) in _BANDS.items()
    }
    whole = sum(shares.values())
    measures = {name: share / whole for name, share in shares.items()}
    normal, ventricular = mean_beat(record, _N), mean_beat(record, _V)
    nothing = float("nan")
    measures |= dict.fromkeys(SHAPE_MEASURES.keys() - _BANDS.keys(), nothing)
    if normal is None:
        return measures
    time_s, beat = normal
    height = float(np.abs(beat[np.abs(time_s) < 0.06]).max())
    after = beat[(time_s > 0.16) & (time_s < 0.45)]
    before = beat[(time_s > -0.24) & (time_s < -0.08)]
    measures |= {
        "qrs_mv": height,
        "qrs_ms": 1e3 * width_s(time_s, beat),
        "t_over_qrs": float(np.abs(after).max()) / height,
        "p_over_qrs": float(before.max() - np.median(before)) / height,
    }
    if ventricular is not None:
        inside = np.abs(time_s) < _COMPLEX_S
        measures["v_over_n_width"] = width_s(*ventricular) / width_s(time_s, beat)
        heights, slopes = (
            [float(np.abs(part[inside]).max()) for part in parts]
            for parts in (
                (ventricular[1], beat),
                (np.gradient(ventricular[1], time_s), np.gradient(beat, time_s)),
            )
        )
        measures["v_over_n_height"] = heights[0] / heights[1]
        measures["v_over_n_slope"] = slopes[0] / slopes[1]
    return measures


def mean_beat(record: Record, class_index: int, *, least: int = 10) -> tuple[_Array, _Array] | None:
    """Return times around the R peak in seconds and the median beat of a class in mV; None if there are too few."""
    from scipy.signal import butter, sosfiltfilt

    if record.truth is None:
        return None
    reach = int(0.5 * record.rate_hz)
    beats = record.truth.r_samples[record.truth.classes == class_index]
    beats = beats[(beats >= reach) & (beats < len(record) - reach)]
    if len(beats) < least:
        return None
    sections = butter(2, 0.5, "highpass", fs=record.rate_hz, output="sos")
    signal = sosfiltfilt(sections, np.where(record.valid, record.millivolts, 0.0))
    around = signal[beats[:, np.newaxis] + np.arange(-reach, reach + 1)]
    beat = np.median(around, axis=0)
    time_s = np.arange(-reach, reach + 1) / record.rate_hz
    quiet = np.abs(time_s + 0.28) < 0.06
    return time_s, beat - float(np.median(beat[quiet]))


def width_s(time_s: _Array, beat: _Array) -> float:
    """Return for how long a QRS complex stays beyond half its height, in seconds, between samples by lines."""
    inside = np.abs(time_s) < 0.15
    fine = np.linspace(-0.15, 0.15, 1201)
    height = np.abs(np.interp(fine, time_s[inside], beat[inside]))
    peak = int(np.argmax(height * (np.abs(fine) < 0.06)))
    beyond = height >= height[peak] / 2
    first = peak - int(np.argmin(beyond[peak::-1]))
    last = peak + int(np.argmin(beyond[peak:]))
    return float(fine[last] - fine[first])


def irregularity(truth: Truth, rhythm: str) -> dict[str, float]:
    """Return of a rhythm the RR interval's variation, its memory of the one before, and how many there are."""
    intervals = [
        np.diff(truth.between(span.onset_sample, span.end_sample).r_samples)
        for span in truth.rhythms
        if span.kind == rhythm
    ]
    pairs = [(rr[:-1], rr[1:]) for rr in intervals if len(rr) > 2]
    if sum(len(first) for first, _ in pairs) < 50:
        return {}
    first, second = (np.concatenate(part).astype(np.float64) for part in zip(*pairs, strict=True))
    return {
        "intervals": float(len(first)),
        "rate_bpm": 60.0 * truth.rate_hz / float(first.mean()),
        "sd_share": float(first.std() / first.mean()),
        "rmssd_share": float(np.sqrt(np.mean((second - first) ** 2)) / first.mean()),
        "memory": float(np.corrcoef(first, second)[0, 1]),
    }


def fibrillation_measures(record: Record) -> dict[str, float]:
    """Return the main frequency of a record's ventricular flutter or fibrillation, and how sharp it is."""
    from scipy.signal import welch

    if record.truth is None or not len(record.truth.unscored):
        return {}
    first, end = max(record.truth.unscored.tolist(), key=lambda span: span[1] - span[0])
    signal = record.millivolts[first:end].astype(np.float64)
    frequency, power = welch(signal - signal.mean(), record.rate_hz, nperseg=int(4 * record.rate_hz))
    band = (frequency >= 1.0) & (frequency <= 15.0)
    peak_hz = float(frequency[band][np.argmax(power[band])])
    near = band & (np.abs(frequency - peak_hz) <= 0.75)
    return {
        "seconds": (end - first) / record.rate_hz,
        "peak_hz": peak_hz,
        "sharpness": float(power[near].sum() / power[band].sum()),
        "millivolts": float(signal.std()),
    }


def _band_powers(r_s: _Array, rr_s: _Array) -> tuple[float, float]:
    frequency, power = rr_spectrum(r_s, rr_s)
    low, high = (
        float(power[(frequency >= low_hz) & (frequency < high_hz)].sum())
        for low_hz, high_hz in (_LOW_HZ, _HIGH_HZ)
    )
    return low, high
