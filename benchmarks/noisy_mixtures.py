"""Recordings in noise at stated signal-to-noise ratios, to train the detector's second look and to choose by.

Recorded wander and muscle noise, electrode motion of our own making, and mixtures of these; stretches of noise
alternate with clear ones, as an electrode works loose and settles. Nothing of the noise stress records' electrode
motion is in it, nor record 118. Of the recorded noises the last 30 % are kept for choosing, as is every fifth
recording or so.
"""

import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import signal

from benchmarks.spoiled import NOISE_RATE_HZ, Spoiled, clean, electrode, read_noise
from simulators.noise import make_noise, noise_gain, noise_power, qrs_power
from simulators.records import Record

TRAINING_SNR_DB: Final = (-8.0, 13.0)
CHOICE_SNR_DB: Final = (6.0, 0.0, -6.0)
CLEAR_DB: Final = 99.0
"""What stands for the ratio where no noise was added."""
_KEPT_SHARE: Final = 0.3
_CHOICE_EVERY: Final = 5
_Random = np.random.Generator
_Signal = NDArray[np.float64]


def is_for_choice(record: Record) -> bool:
    """Return whether a recording is kept out of training, to choose by."""
    return zlib.crc32(record.name.encode()) % _CHOICE_EVERY == 0


def mixture(record: Record, random: _Random, *, kept: bool) -> tuple[Spoiled, _Signal]:
    """Return a recording with stretches of noise, and the ratio in dB that each sample has.

    Parameters
    ----------
    record : Record
        With its truth.
    random : numpy.random.Generator
        What the noise is drawn from.
    kept : bool
        Whether to use what training does not: the last part of the recorded noises, at ratios of `CHOICE_SNR_DB`.
    """
    whole = clean(record)
    rate_hz, x = whole.rate_hz, whole.millivolts.astype(np.float64)
    power = qrs_power(x, whole.r_samples, rate_hz=rate_hz)
    snr_db = np.full(len(x), CLEAR_DB)
    at = int(rate_hz * random.uniform(20.0, 60.0))
    while at < len(x) - 20 * rate_hz:
        length = min(int(rate_hz * random.uniform(40.0, 130.0)), len(x) - at)
        ratio = float(random.choice(CHOICE_SNR_DB)) if kept else random.uniform(*TRAINING_SNR_DB)
        noise = _noise(length, rate_hz, random, kept=kept)
        x[at : at + length] += noise * noise_gain(power, noise_power(noise, rate_hz=rate_hz), ratio)
        snr_db[at : at + length] = ratio
        at += length + int(rate_hz * random.uniform(10.0, 50.0))
    x += 0.003 * random.normal(size=len(x))
    return Spoiled(x.astype(np.float32), whole.r_samples, whole.unscored, rate_hz), snr_db


def _noise(n: int, rate_hz: float, random: _Random, *, kept: bool) -> _Signal:
    kind = random.choice(["bw", "ma", "electrode", "bumps", "walk", "made", *["mixture"] * 4])
    if kind in {"bw", "ma"}:
        return _recorded(str(kind), n, rate_hz, random, kept=kept)
    if kind == "electrode":
        return electrode(n, rate_hz, random)
    if kind == "bumps":
        return _bumps(n, rate_hz, random)
    if kind == "walk":
        return _walk(n, rate_hz, random)
    if kind == "made":
        made = make_noise(random.choice(["electrode", "motion", "muscle"]), n, rate_hz=rate_hz, random=random)
        return np.asarray(made / made.std())
    parts = (
        _recorded("bw", n, rate_hz, random, kept=kept),
        _recorded("ma", n, rate_hz, random, kept=kept),
        electrode(n, rate_hz, random),
        _bumps(n, rate_hz, random),
        _walk(n, rate_hz, random),
    )
    shares = np.sqrt(random.dirichlet(np.full(len(parts), 0.7)))
    return np.asarray(sum(share * part for share, part in zip(shares, parts, strict=True)))


def _recorded(name: str, n: int, rate_hz: float, random: _Random, *, kept: bool) -> _Signal:
    channels = read_noise(name)
    cut = int((1.0 - _KEPT_SHARE) * channels.shape[1])
    part = channels[:, cut:] if kept else channels[:, :cut]
    line = np.roll(part[random.integers(2)], random.integers(part.shape[1]))
    line = np.resize(line, int(np.ceil(n * NOISE_RATE_HZ / rate_hz)) + 10)
    line = np.interp(np.arange(n) * NOISE_RATE_HZ / rate_hz, np.arange(len(line)), line)
    return np.asarray((line - line.mean()) / line.std())


def _bumps(n: int, rate_hz: float, random: _Random) -> _Signal:
    """Return bumps of all sizes that rise fast and decay, some of them with two phases: they look like beats."""
    x = np.zeros(n)
    gap_s = np.exp(random.uniform(np.log(0.15), np.log(1.0)))
    tail, fast_s = random.uniform(0.4, 1.0), random.uniform(0.02, 0.08)
    at = 0
    while at < n:
        rise_s = fast_s * np.exp(0.5 * random.normal())
        decay_s = rise_s * np.exp(random.uniform(0.0, 2.3))
        length = min(int(rate_hz * min(6.0 * (rise_s + decay_s), 3.0)) + 2, n - at)
        time_s = np.arange(length) / rate_hz
        bump = (1.0 - np.exp(-time_s / rise_s)) * np.exp(-time_s / decay_s)
        if random.random() < 0.4 and length > 3:
            bump = np.gradient(bump)
        bump /= np.abs(bump).max() + 1e-9
        x[at : at + length] += random.normal() * np.exp(tail * random.normal()) * bump
        at += max(1, int(rate_hz * random.exponential(gap_s)))
    return np.asarray(x / (x.std() + 1e-9))


def _walk(n: int, rate_hz: float, random: _Random) -> _Signal:
    """Return a random walk with heavy-tailed steps, in a band, waxing and waning: an electrode that slides."""
    low_hz, high_hz = random.uniform(0.3, 2.0), random.uniform(6.0, 25.0)
    x = np.cumsum(random.standard_t(3, size=n))
    x = signal.sosfilt(signal.butter(1, low_hz, "highpass", fs=rate_hz, output="sos"), x)
    x = signal.sosfilt(signal.butter(random.integers(1, 3), high_hz, fs=rate_hz, output="sos"), x)
    knots_s = np.arange(0.0, n / rate_hz + 2.0, 0.7)
    x = x * np.exp(0.7 * np.interp(np.arange(n) / rate_hz, knots_s, random.normal(size=len(knots_s))))
    return np.asarray(x / x.std())
