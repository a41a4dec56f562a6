"""A synthetic athlete: ECG after the dynamical model of McSharry et al., with ectopic beats and exact truth.

A point turns on a circle, once a beat; P, Q, R, S and T are Gaussians of its phase, and the time a turn takes follows
an RR series whose spectrum has the low-frequency and the respiratory peak of a living heart. Here the trajectory is
written down in closed form, beat by beat, instead of integrated: the same waves, hundreds of times real time.

References
----------
McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic electrocardiogram
signals. IEEE Trans Biomed Eng 50(3):289-294, 2003.
"""

from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES
from monitor.errors import UsageError
from monitor.wire import MAX_RATE_HZ, MIN_RATE_HZ
from simulators.annotations import Truth
from simulators.ectopy import Ectopy, Rhythm, place
from simulators.records import Record, record_of_counts

SYNTHETIC_NAME: Final = "synthetic"
MICROVOLTS_PER_COUNT: Final = 2.5

_Array: TypeAlias = NDArray[np.float64]
_TACHOGRAM_HZ = 4.0
_WAVE_REACH = 5.0
_CLASS_N, _CLASS_S, _CLASS_V = (AAMI_CLASSES.index(name) for name in ("N", "S", "V"))


@dataclass(frozen=True, slots=True)
class Wave:
    """One Gaussian of a beat.

    Attributes
    ----------
    millivolts : float
        Its height.
    phase : float
        Where it lies, as a share of a turn at 60 beats a minute; the R peak is at 0. So also seconds at that rate.
    width : float
        Its standard deviation, in the same unit.
    with_rate : float
        Exponent by which position and width follow the RR interval: 0 for the QRS complex, which conduction shapes,
        0.5 for the T wave, as in Bazett's rule.
    """

    millivolts: float
    phase: float
    width: float
    with_rate: float = 0.0


P: Final = Wave(0.12, -0.167, 0.025, 0.3)
Q: Final = Wave(-0.12, -0.035, 0.010)
R: Final = Wave(1.1, 0.0, 0.012)
S: Final = Wave(-0.22, 0.035, 0.011)
T: Final = Wave(0.30, 0.30, 0.050, 0.5)
SINUS_BEAT: Final = (P, Q, R, S, T)
SUPRAVENTRICULAR_BEAT: Final = (Wave(-0.08, -0.115, 0.018, 0.3), Q, R, S, T)
"""The QRS of a sinus beat after a P wave from elsewhere, inverted and close to it."""
VENTRICULAR_BEAT: Final = (
    Wave(-0.15, -0.075, 0.020),
    Wave(1.50, 0.0, 0.034),
    Wave(-0.60, 0.095, 0.036),
    Wave(-0.45, 0.29, 0.060, 0.5),
)
"""No P wave, a wide QRS of about 0.16 s, and a T wave against it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticAthlete:
    """An athlete's heart.

    Attributes
    ----------
    rate_bpm : float or tuple of (float, float)
        Mean sinus rate, or (seconds, rate) points between which it changes steadily, held before and after.
    variability : float
        Standard deviation of the RR interval as a share of it.
    respiration_hz, low_frequency_hz : float
        Centres of the two peaks in the spectrum of the RR series.
    low_to_high : float
        Power of the low-frequency peak over that of the respiratory one.
    gain : float
        Factor on all waves.
    wander_mv : float
        Amplitude of the baseline's movement with respiration.
    noise_mv : float
        Standard deviation of white measurement noise.
    events : tuple of Ectopy
        What interrupts the sinus rhythm, see `simulators.ectopy`.
    """

    rate_bpm: float | tuple[tuple[float, float], ...] = 75.0
    variability: float = 0.03
    respiration_hz: float = 0.25
    low_frequency_hz: float = 0.1
    low_to_high: float = 0.5
    gain: float = 1.0
    wander_mv: float = 0.05
    noise_mv: float = 0.01
    events: tuple[Ectopy, ...] = field(default=())


def synthesize(
    athlete: SyntheticAthlete, *, rate_hz: float, seconds: float, seed: int, name: str = SYNTHETIC_NAME
) -> Record:
    """Return a record of a synthetic athlete with exact truth.

    The same seed gives the same heart at every sampling rate; only the noise differs.

    Parameters
    ----------
    athlete : SyntheticAthlete
        Whose.
    rate_hz : float
        Sampling rate, 100 to 1,000 Hz.
    seconds : float
        Length.
    seed : int
        Of everything random in it.
    name : str
        The record's name.

    Returns
    -------
    Record
        Lead ``"synthetic"``; `Record.truth` has the sample nearest to each R peak.

    Raises
    ------
    UsageError
        If a value is out of range, or two events overlap.
    """
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UsageError(f"rate {rate_hz:g} Hz: use {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz")
    if not 1.0 <= seconds <= 24 * 3600:
        raise UsageError(f"{seconds:g} s of synthetic ECG: use 1 to {24 * 3600} s")
    heart, noise = (np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(2))
    rhythm = place(athlete.events, _sinus_rhythm(athlete, seconds, heart))
    samples = round(seconds * rate_hz)
    millivolts = athlete.gain * _waves(rhythm, samples, rate_hz)
    time_s = np.arange(samples) / rate_hz
    millivolts += athlete.wander_mv * np.sin(2.0 * np.pi * athlete.respiration_hz * time_s)
    millivolts += athlete.noise_mv * noise.standard_normal(samples)
    r_samples = np.rint(rhythm.r_s * rate_hz).astype(np.int64)
    inside = (r_samples >= 0) & (r_samples < samples)
    return record_of_counts(
        name=name,
        rate_hz=rate_hz,
        lead="synthetic",
        counts=np.rint(millivolts * 1e3 / MICROVOLTS_PER_COUNT).astype(np.int16),
        microvolts_per_count=MICROVOLTS_PER_COUNT,
        truth=Truth(
            r_samples=r_samples[inside],
            classes=rhythm.classes[inside],
            unscored=np.empty((0, 2), np.int64),
            rate_hz=rate_hz,
        ),
    )


def _sinus_rhythm(athlete: SyntheticAthlete, seconds: float, random: np.random.Generator) -> Rhythm:
    """Return R peaks at every whole turn of a phase whose speed is the inverse of the RR series."""
    points = athlete.rate_bpm if isinstance(athlete.rate_bpm, tuple) else ((0.0, athlete.rate_bpm),)
    rates = np.array([rate for _, rate in points])
    if not ((rates >= 20.0) & (rates <= 300.0)).all() or np.any(np.diff([at for at, _ in points]) <= 0):
        raise UsageError(f"rate_bpm {athlete.rate_bpm}: use 20 to 300 a minute, at rising times")
    if not 0.0 <= athlete.variability <= 0.2:
        raise UsageError(f"variability {athlete.variability:g}: use 0 to 0.2")
    # Premature beats may draw later ones nearer, so that there must be more than `seconds` of them.
    spare_s = 5.0 + sum(event.may_advance_s for event in athlete.events)
    n = 2 * int(np.ceil((seconds + spare_s) * _TACHOGRAM_HZ / 2.0))
    time_s = np.arange(n) / _TACHOGRAM_HZ
    mean_rr_s = 60.0 / np.interp(time_s, [at for at, _ in points], rates)
    rr_s = mean_rr_s * (1.0 + athlete.variability * _variability(athlete, n, random))
    turns = np.concatenate([[0.0], np.cumsum(1.0 / rr_s) / _TACHOGRAM_HZ])
    first = random.uniform(0.3, 0.9)
    whole = np.arange(first, turns[-1])
    r_s = np.interp(whole, turns, np.arange(n + 1) / _TACHOGRAM_HZ)
    return Rhythm(
        r_s=r_s, classes=np.full(len(r_s), _CLASS_N, np.int8), cycle_s=np.interp(r_s, time_s, mean_rr_s)
    )


def _variability(athlete: SyntheticAthlete, n: int, random: np.random.Generator) -> _Array:
    """Return a series of unit variance with two Gaussian peaks in its spectrum, phases random, at 4 Hz."""
    frequency = np.fft.rfftfreq(n, 1.0 / _TACHOGRAM_HZ)
    width_hz = 0.01
    power = athlete.low_to_high * np.exp(-0.5 * ((frequency - athlete.low_frequency_hz) / width_hz) ** 2)
    power += np.exp(-0.5 * ((frequency - athlete.respiration_hz) / width_hz) ** 2)
    power[0] = 0.0
    phase = random.uniform(0.0, 2.0 * np.pi, len(frequency))
    series: _Array = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), n)
    spread = float(series.std())
    # A stretch too short to hold either peak has no variability.
    return np.clip(series / spread, -3.0, 3.0) if spread > 0.0 else series


def _waves(rhythm: Rhythm, samples: int, rate_hz: float) -> _Array:
    millivolts = np.zeros(samples)
    for class_index, beat in (
        (_CLASS_N, SINUS_BEAT),
        (_CLASS_S, SUPRAVENTRICULAR_BEAT),
        (_CLASS_V, VENTRICULAR_BEAT),
    ):
        of_class = rhythm.classes == class_index
        if not of_class.any():
            continue
        # The largest wave's flank under its neighbours moves the peak of their sum; truth is the peak of the sum.
        at_s = rhythm.r_s[of_class] - _peak_s(beat)
        for wave in beat:
            scale = rhythm.cycle_s[of_class] ** wave.with_rate
            _add_wave(millivolts, wave, at_s + wave.phase * scale, wave.width * scale, rate_hz)
    return millivolts


def _peak_s(beat: tuple[Wave, ...]) -> float:
    """Return where the highest point of a beat's QRS lies, in seconds after its centre."""
    time_s = np.linspace(-0.05, 0.05, 2001)
    height: NDArray[Any] = sum(
        (wave.millivolts * np.exp(-0.5 * ((time_s - wave.phase) / wave.width) ** 2) for wave in beat),
        start=np.zeros_like(time_s),
    )
    return float(time_s[np.argmax(height)])


def _add_wave(millivolts: _Array, wave: Wave, centre_s: _Array, width_s: _Array, rate_hz: float) -> None:
    """Add one wave of many beats at once, each within `_WAVE_REACH` standard deviations of its centre."""
    reach = int(np.ceil(_WAVE_REACH * float(width_s.max()) * rate_hz))
    middle = np.rint(centre_s * rate_hz).astype(np.int64)
    samples = middle[:, None] + np.arange(-reach, reach + 1)
    distance = (samples / rate_hz - centre_s[:, None]) / width_s[:, None]
    value = wave.millivolts * np.exp(-0.5 * distance**2)
    inside = (samples >= 0) & (samples < len(millivolts))
    millivolts += np.bincount(samples[inside], value[inside], minlength=len(millivolts))
