"""Recordings spoiled as training spoils them: noise, gain and polarity that jump, standstills, flat lines, gaps.

The detector's judge is trained on these beside the clean ones. Electrode motion is synthetic here, and training leaves
record 118 out, so that the noise stress records stay a test on a heart and a noise that it has not met.
"""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from monitor.contract import FloatArray, IntArray
from simulators.noise import make_noise
from simulators.records import Record, data_folder

RATES_HZ: Final = (128.0, 200.0, 250.0, 360.0)
NOISE_RATE_HZ: Final = 360.0
_Random = np.random.Generator


@dataclass(frozen=True, slots=True, eq=False)
class Spoiled:
    """A recording for training.

    Attributes
    ----------
    millivolts : ndarray of float32, shape ``[n]``
        The signal.
    r_samples : ndarray of int64, shape ``[beats]``
        Its beats.
    unscored : ndarray of int64, shape ``[k, 2]``
        Stretches nothing is learnt from.
    rate_hz : float
        Sampling rate.
    gaps : tuple of (int, int)
        Stretches that were lost: first sample, and first after.
    """

    millivolts: FloatArray
    r_samples: IntArray
    unscored: IntArray
    rate_hz: float
    gaps: tuple[tuple[int, int], ...] = ()


def clean(record: Record) -> Spoiled:
    """Return a recording as it is."""
    if record.truth is None:
        raise ValueError(f"{record.name} has no reference annotations")
    millivolts = np.nan_to_num(record.millivolts)
    return Spoiled(
        millivolts - np.median(millivolts), record.truth.r_samples, record.truth.unscored, record.rate_hz
    )


def spoil(record: Record, random: _Random) -> Spoiled:
    """Return a recording at another rate, with all that goes wrong on a strap."""
    whole = _resampled(clean(record), random)
    rate_hz, x, beats = whole.rate_hz, whole.millivolts.astype(np.float64), whole.r_samples
    n = len(x)
    reach = int(0.05 * rate_hz)
    measured = beats[(beats > reach) & (beats < n - reach)][::7]
    size = float(np.median([np.ptp(x[r - reach : r + reach]) for r in measured]))
    beats = _stand_still(x, beats, rate_hz, random)
    envelope = _stretches(n, rate_hz, random, (10.0, 120.0), lambda: _noise_rms(size, random))
    ramp = int(0.2 * rate_hz)
    x += np.convolve(envelope, np.ones(ramp) / ramp, "same") * _noise(n, rate_hz, random)
    x += 0.003 * random.normal(size=n)
    if random.random() < 0.5:
        x *= _stretches(n, rate_hz, random, (20.0, 120.0), lambda: _gain(random))
    beats = _lead_off(x, beats, rate_hz, random)
    return Spoiled(x.astype(np.float32), beats, whole.unscored, rate_hz, _gaps(n, rate_hz, random))


def _resampled(whole: Spoiled, random: _Random) -> Spoiled:
    own = whole.rate_hz
    rate_hz = min(float(random.choice([*RATES_HZ, own, own])), 2.0 * own)
    if rate_hz == own:
        return whole
    ratio = Fraction(rate_hz / own).limit_denominator(400)
    changed = signal.resample_poly(whole.millivolts, ratio.numerator, ratio.denominator)
    scale = rate_hz / own
    return Spoiled(
        changed.astype(np.float32),
        np.rint(whole.r_samples * scale).astype(np.int64),
        np.rint(whole.unscored * scale).astype(np.int64),
        rate_hz,
    )


def _stretches(
    n: int, rate_hz: float, random: _Random, lengths_s: tuple[float, float], value: Callable[[], float]
) -> NDArray[np.float64]:
    line = np.zeros(n)
    at = 0
    while at < n:
        length = int(rate_hz * random.uniform(*lengths_s))
        line[at : at + length] = value()
        at += length
    return line


def _noise_rms(size: float, random: _Random) -> float:
    snr_db = random.uniform(-2.0, 20.0)
    return float(np.sqrt(size**2 / 8.0 / 10.0 ** (snr_db / 10.0))) if random.random() < 0.6 else 0.0


def _gain(random: _Random) -> float:
    octaves = random.uniform(-1.5, 1.5) if random.random() < 0.7 else random.uniform(-2.6, 2.6)
    return float(np.exp2(octaves)) * (1.0 if random.random() < 0.85 else -1.0)


def _stand_still(x: NDArray[np.float64], beats: IntArray, rate_hz: float, random: _Random) -> IntArray:
    """Take QRS complexes and T waves out of a few stretches, P waves stay; return the beats that are left."""
    at = int(rate_hz * random.uniform(20.0, 80.0))
    while at < len(x) - 20 * rate_hz and random.random() < 0.9:
        length = rate_hz * random.uniform(2.0, 9.0)
        out = beats[(beats > at) & (beats < at + length)]
        for r in out.tolist():
            first, end = max(int(r - 0.07 * rate_hz), 0), min(int(r + 0.42 * rate_hz), len(x) - 1)
            following = beats[beats > r]
            if len(following):
                end = min(end, int(following[0] - 0.16 * rate_hz))
            if end > first + 2:
                x[first:end] = np.linspace(x[first], x[end], end - first)
        beats = np.setdiff1d(beats, out)
        at += int(length + rate_hz * random.uniform(40.0, 150.0))
    return beats


def _lead_off(x: NDArray[np.float64], beats: IntArray, rate_hz: float, random: _Random) -> IntArray:
    at = int(rate_hz * random.uniform(50.0, 150.0))
    while at < len(x) - 30 * rate_hz:
        length = int(rate_hz * random.choice([1.0, 5.0, 20.0]) * random.uniform(0.5, 1.5))
        x[at : at + length] = x[at] + 0.002 * random.normal(size=length) * (random.random() < 0.5)
        beats = beats[(beats < at) | (beats > at + length)]
        at += length + int(rate_hz * random.uniform(60.0, 200.0))
    return beats


def _gaps(n: int, rate_hz: float, random: _Random) -> tuple[tuple[int, int], ...]:
    gaps: list[tuple[int, int]] = []
    at = int(rate_hz * random.uniform(10.0, 50.0))
    if random.random() < 0.4:
        while at < n - 30 * rate_hz:
            length = int(rate_hz * random.uniform(0.2, 1.5))
            gaps.append((at, at + length))
            at += length + int(rate_hz * (random.exponential(25.0) + 1.0))
    return tuple(gaps)


def _noise(n: int, rate_hz: float, random: _Random) -> NDArray[np.float64]:
    """Return noise of RMS 1: recorded wander and muscle, synthetic electrode motion and steps, or a mixture."""
    kind = random.choice(["bw", "ma", "ma", "electrode", "electrode", "electrode", "mixture"])
    if kind == "mixture":
        return (
            _recorded("bw", n, rate_hz, random) * random.uniform(0.0, 1.0)
            + _recorded("ma", n, rate_hz, random) * random.uniform(0.0, 0.7)
            + electrode(n, rate_hz, random) * random.uniform(0.0, 1.0)
        )
    if kind != "electrode":
        return _recorded(str(kind), n, rate_hz, random)
    if random.random() < 0.7:
        return electrode(n, rate_hz, random)
    made = make_noise(random.choice(["electrode", "motion", "muscle"]), n, rate_hz=rate_hz, random=random)
    return np.asarray(made / made.std())


def _recorded(name: str, n: int, rate_hz: float, random: _Random) -> NDArray[np.float64]:
    channels = read_noise(name)
    line = np.roll(channels[random.integers(2)], random.integers(channels.shape[1]))
    line = np.resize(line, int(np.ceil(n * NOISE_RATE_HZ / rate_hz)) + 10)
    line = np.interp(np.arange(n) * NOISE_RATE_HZ / rate_hz, np.arange(len(line)), line)
    return np.asarray((line - line.mean()) / line.std())


@cache
def read_noise(name: str) -> NDArray[np.float64]:
    """Return both channels of a noise record of the noise stress database, millivolt."""
    import wfdb

    return np.asarray(wfdb.rdrecord(str(data_folder() / "nstdb" / name)).p_signal.T, np.float64)


def electrode(n: int, rate_hz: float, random: _Random) -> NDArray[np.float64]:
    """Return jumps that decay, bumps and swings of 1 to 8 Hz, over rough noise, with a mean power near 1."""
    x = np.zeros(n)
    at = 0
    while at < n:
        length = min(int(rate_hz * random.uniform(0.05, 3.0)), n - at)
        size = random.normal() * np.exp(0.7 * random.normal())
        time_s, share = np.arange(length) / rate_hz, np.arange(length) / max(length, 1)
        kind = random.integers(3)
        if kind == 0:
            x[at : at + length] += size * np.exp(-time_s / random.uniform(0.05, 1.0))
        elif kind == 1:
            x[at : at + length] += size * np.sin(np.pi * share) ** 2
        else:
            swing = np.sin(2 * np.pi * time_s * random.uniform(1.0, 8.0) + random.uniform(0.0, 6.0))
            x[at : at + length] += size * swing * np.sin(np.pi * share)
        at += int(rate_hz * random.exponential(0.35))
    x = signal.sosfilt(signal.butter(2, random.uniform(10.0, 25.0), fs=rate_hz, output="sos"), x)
    band = signal.butter(1, (1.0, random.uniform(8.0, 20.0)), "bandpass", fs=rate_hz, output="sos")
    rough = signal.sosfiltfilt(band, random.normal(size=n))
    return np.asarray(x / x.std() + rough / rough.std() * random.uniform(0.1, 1.0))
