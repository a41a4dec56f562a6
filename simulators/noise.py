"""Noise that an ECG meets in training, and how much of it: at a signal-to-noise ratio as WFDB's ``nst`` defines it.

``nst`` takes as the signal's power an eighth of the square of the QRS complexes' peak-to-peak amplitude, and as the
noise's power the square of its RMS about the mean of each second; both are means of which the smallest and the largest
5 % were left out. So 0 dB means the same here as in the MIT-BIH Noise Stress Test Database.

References
----------
Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. Computers in Cardiology 11:381-384, 1984.
``nst(1)`` and ``sigamp(1)`` in Moody GB, WFDB Applications Guide.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, FloatArray, IntArray
from monitor.errors import RecordError, UsageError

NoiseKind = Literal["mains", "wander", "muscle", "motion", "electrode", "white", "record"]
NOISE_KINDS: Final[tuple[NoiseKind, ...]] = get_args(NoiseKind)
DEFAULT_MAINS_HZ: Final = 50.0
CADENCE_HZ: Final = (2.5, 3.0)
"""Steps a second, at rest and at full effort."""
MEASURED_BEATS: Final = 300
MEASURED_S: Final = 300
"""How many QRS complexes, and how many one-second pieces of noise, ``nst`` measures."""

_Array: TypeAlias = NDArray[np.float64]
_QRS_S: Final = 0.05
_TRIMMED_PART: Final = 20
_MEASURED_CLASSES: Final = (AAMI_CLASSES.index("N"), AAMI_CLASSES.index("S"))
_HARMONICS: Final = (1.0, 0.6, 0.45, 0.3, 0.2, 0.12)
_MOST_FRACTION: Final = 1000


@dataclass(frozen=True, slots=True, eq=False)
class Effort:
    """What an athlete does, sample by sample: motion follows it.

    Attributes
    ----------
    effort : ndarray of float32, shape ``[n]``
        0 to 1.
    steps_hz : ndarray of float32, shape ``[n]``
        Steps a second; 0 while standing.
    rate_hz : float
        Sampling rate.
    """

    effort: FloatArray
    steps_hz: FloatArray
    rate_hz: float

    def after(self, seconds: float) -> "Effort":
        """Return the effort from a time on."""
        first = round(seconds * self.rate_hz)
        return Effort(self.effort[first:], self.steps_hz[first:], self.rate_hz)


def qrs_power(millivolts: NDArray[np.floating[Any]], r_samples: IntArray, *, rate_hz: float) -> float:
    """Return the power that ``nst`` gives an ECG, in mV².

    Parameters
    ----------
    millivolts : ndarray of float, shape ``[n]``
        The clean signal; beats near samples that are NaN are left out.
    r_samples : ndarray of int64, shape ``[beats]``
        Its normally conducted beats; the first 300 are measured.
    rate_hz : float
        Sampling rate.

    Raises
    ------
    RecordError
        If there is no beat to measure.
    """
    reach = round(_QRS_S * rate_hz)
    inside = r_samples[(r_samples >= reach) & (r_samples + reach < len(millivolts))][:MEASURED_BEATS]
    windows = millivolts[inside[:, None] + np.arange(-reach, reach + 1)].astype(np.float64)
    windows = windows[np.isfinite(windows).all(axis=1)]
    if len(windows) == 0:
        raise RecordError(
            "no normal beat whose amplitude could be measured; give the noise as rms_mv instead"
        )
    amplitude = _trimmed_mean(windows.max(axis=1) - windows.min(axis=1))
    return amplitude**2 / 8.0


def normal_beats(r_samples: IntArray, classes: NDArray[np.int8]) -> IntArray:
    """Return the beats that ``nst`` measures: those conducted over the normal path, premature or not."""
    normal: IntArray = r_samples[np.isin(classes, _MEASURED_CLASSES)]
    return normal


def noise_power(noise: NDArray[np.floating[Any]], *, rate_hz: float) -> float:
    """Return the power that ``nst`` gives a noise, in its unit squared.

    Parameters
    ----------
    noise : ndarray of float, shape ``[n]``
        The first 300 s are measured, second by second; what is shorter than a second counts as one.
    rate_hz : float
        Sampling rate.
    """
    second = min(round(rate_hz), len(noise))
    pieces = min(len(noise) // second, MEASURED_S) if second else 0
    if pieces == 0:
        return 0.0
    seconds = np.asarray(noise[: pieces * second], np.float64).reshape(pieces, second)
    rms: _Array = seconds.std(axis=1)
    return _trimmed_mean(rms) ** 2


def noise_gain(signal_power: float, power_of_noise: float, snr_db: float) -> float:
    """Return the factor on a noise that makes ``10 log10(S / (N factor²))`` equal `snr_db`.

    Raises
    ------
    UsageError
        If the noise has no power.
    """
    if power_of_noise <= 0.0:
        raise UsageError(
            "noise without power has no signal-to-noise ratio; use another noise or a longer stretch"
        )
    return float(np.sqrt(signal_power / power_of_noise / 10.0 ** (snr_db / 10.0)))


def make_noise(
    kind: NoiseKind,
    samples: int,
    *,
    rate_hz: float,
    random: np.random.Generator,
    hz: float = DEFAULT_MAINS_HZ,
    growth: float = 1.0,
    effort: Effort | None = None,
) -> _Array:
    """Return noise of one kind, with a mean near 0 and an amplitude near 1 mV, shape ``[samples]``.

    Parameters
    ----------
    kind : str
        ``"mains"``: `hz` and its third harmonic, waxing and waning; ``"wander"``: 0.05 to 0.6 Hz, as the chest moves;
        ``"muscle"``: 20 Hz and more, in bursts; ``"motion"``: steps of 2.5 to 3 Hz with their harmonics, every second
        one stronger, faster and larger as the effort grows; ``"electrode"``: jumps and slow recoveries that look like
        beats; ``"white"``.
    samples : int
        How many.
    rate_hz : float
        Sampling rate.
    random : numpy.random.Generator
        What it is drawn from.
    hz : float
        Mains frequency.
    growth : float
        Of ``"motion"`` without an effort: amplitude at the end over that at the beginning.
    effort : Effort, optional
        Of ``"motion"``: the athlete's own steps and effort, `samples` of them.

    Raises
    ------
    UsageError
        If the mains frequency does not exist at this sampling rate, or the kind is none of these.
    """
    time_s = np.arange(samples) / rate_hz
    if kind == "mains":
        return _mains(time_s, rate_hz, random, hz)
    if kind == "wander":
        return _band_noise(samples, rate_hz, random, 0.05, 0.6)
    if kind == "muscle":
        burst = 1.0 + 0.8 * np.clip(_band_noise(samples, rate_hz, random, 0.1, 1.5), -1.0, 2.0)
        muscle: _Array = burst * _band_noise(samples, rate_hz, random, 20.0, 0.45 * rate_hz)
        return muscle
    if kind == "motion":
        if effort is None:
            effort = _growing_effort(samples, rate_hz, growth)
        return _motion(effort, rate_hz, random)
    if kind == "electrode":
        return _electrode(samples, rate_hz, random)
    if kind == "white":
        return random.standard_normal(samples)
    raise UsageError(f"noise {kind!r}: use {', '.join(NOISE_KINDS[:-1])}, or a record's name")


def resampled(noise: NDArray[np.floating[Any]], *, from_hz: float, to_hz: float) -> _Array:
    """Return a recorded noise at another sampling rate, band-limited; samples that are NaN count as 0."""
    from scipy import signal

    plain = np.nan_to_num(np.asarray(noise, np.float64))
    if from_hz == to_hz:
        return plain
    ratio = (Fraction(to_hz) / Fraction(from_hz)).limit_denominator(_MOST_FRACTION)
    changed: _Array = signal.resample_poly(plain, ratio.numerator, ratio.denominator)
    return changed


def _trimmed_mean(values: _Array) -> float:
    aside = len(values) // _TRIMMED_PART
    return float(np.sort(values)[aside : len(values) - aside].mean())


def _mains(time_s: _Array, rate_hz: float, random: np.random.Generator, hz: float) -> _Array:
    if not 0.0 < hz < rate_hz / 2.0:
        raise UsageError(f"mains of {hz:g} Hz do not exist at {rate_hz:g} Hz; use a higher sampling rate")
    phase, third, slow = random.uniform(0.0, 2.0 * np.pi, 3)
    # The mains itself is never exactly at its name.
    drift = hz * (1.0 + random.uniform(-1e-3, 1e-3))
    wave: _Array = np.sin(2.0 * np.pi * drift * time_s + phase)
    if 3.0 * drift < rate_hz / 2.0:
        wave += 0.2 * np.sin(2.0 * np.pi * 3.0 * drift * time_s + third)
    wave *= 1.0 + 0.2 * np.sin(2.0 * np.pi * 0.1 * time_s + slow)
    return wave


def _band_noise(
    samples: int, rate_hz: float, random: np.random.Generator, low_hz: float, high_hz: float
) -> _Array:
    """Return Gaussian noise of unit variance whose spectrum is flat between two frequencies and empty outside."""
    frequency = np.fft.rfftfreq(max(samples, 2), 1.0 / rate_hz)
    spectrum = random.standard_normal(len(frequency)) + 1j * random.standard_normal(len(frequency))
    spectrum[(frequency < low_hz) | (frequency > high_hz) | (frequency == 0.0)] = 0.0
    noise: _Array = np.fft.irfft(spectrum, max(samples, 2))[:samples]
    spread = float(noise.std()) if samples else 0.0
    # A stretch too short for one turn of the lowest frequency holds none of it.
    return noise / spread if spread > 0.0 else noise


def _growing_effort(samples: int, rate_hz: float, growth: float) -> Effort:
    """Return an effort that grows steadily, and with it steps of 2.5 to 3 Hz."""
    share = np.linspace(0.0, 1.0, samples)
    slow, fast = CADENCE_HZ
    effort = (1.0 + (growth - 1.0) * share) / max(growth, 1.0)
    return Effort(effort.astype(np.float32), (slow + (fast - slow) * share).astype(np.float32), rate_hz)


def _motion(effort: Effort, rate_hz: float, random: np.random.Generator) -> _Array:
    n = len(effort.effort)
    if n == 0:
        return np.zeros(0)
    cadence = effort.steps_hz * (1.0 + 0.02 * _band_noise(n, rate_hz, random, 0.02, 0.5))
    turns = np.cumsum(cadence) / rate_hz + random.uniform()
    wave = np.zeros(n)
    for number, height in enumerate(_HARMONICS, start=1):
        if number * 1.1 * CADENCE_HZ[1] < rate_hz / 2.0:
            wave += height * np.cos(2.0 * np.pi * (number * turns + random.uniform()))
    # Left and right foot differ.
    wave *= 1.0 + 0.25 * np.cos(np.pi * turns)
    wave *= 1.0 + 0.3 * np.clip(_band_noise(n, rate_hz, random, 0.1, 1.0), -2.0, 2.0)
    # Who stands does not shake the strap.
    grown: _Array = wave * effort.effort * (effort.steps_hz > 0.0)
    return grown


def _electrode(samples: int, rate_hz: float, random: np.random.Generator) -> _Array:
    """Return jumps of the electrode's potential that recover, and pulses about as wide as a QRS complex."""
    wave = 0.3 * _band_noise(samples, rate_hz, random, 0.3, 10.0)
    length_s = samples / rate_hz
    for at_s in np.sort(random.uniform(0.0, length_s, random.poisson(0.8 * length_s))).tolist():
        begin = int(at_s * rate_hz)
        height = random.normal(0.0, 1.2)
        recovery = random.uniform(0.05, 0.6)
        after_s = np.arange(min(samples - begin, int(5.0 * recovery * rate_hz))) / rate_hz
        rise = 1.0 - np.exp(-after_s / random.uniform(0.005, 0.03))
        wave[begin : begin + len(after_s)] += height * rise * np.exp(-after_s / recovery)
    return wave
