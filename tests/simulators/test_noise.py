"""Noise: its level is nst's, its spectrum is its kind's, and the same seed gives the same noise."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.errors import RecordError, UsageError
from simulators.body import Noise, clean_power, trouble_record
from simulators.noise import (
    NOISE_KINDS,
    Effort,
    NoiseKind,
    make_noise,
    noise_gain,
    noise_power,
    qrs_power,
    resampled,
)
from simulators.noise_mixture import fitted_factor, stretch_levels_db
from simulators.records import read_record
from simulators.synthetic import SyntheticAthlete, synthesize

_RATE_HZ = 250.0
_MADE: tuple[NoiseKind, ...] = tuple(kind for kind in NOISE_KINDS if kind != "record")


def _noise(kind: NoiseKind, seconds: float = 60.0, rate_hz: float = _RATE_HZ, **options: Any) -> np.ndarray:
    random = np.random.default_rng(1)
    return make_noise(kind, round(seconds * rate_hz), rate_hz=rate_hz, random=random, **options)


def _share_between(noise: np.ndarray, low_hz: float, high_hz: float) -> float:
    power = np.abs(np.fft.rfft(noise)) ** 2
    frequency = np.fft.rfftfreq(len(noise), 1.0 / _RATE_HZ)
    return float(power[(frequency >= low_hz) & (frequency <= high_hz)].sum() / power.sum())


def test_signal_power_by_hand() -> None:
    """S is an eighth of the squared mean peak-to-peak amplitude within 50 ms of 300 beats, trimmed."""
    millivolts = np.zeros(40 * 100)
    r_samples = np.arange(20, 4000, 40)
    heights = np.linspace(1.0, 2.0, len(r_samples))
    millivolts[r_samples] = heights
    millivolts[r_samples + 5] = -0.5  # 50 ms after, just inside
    millivolts[r_samples + 6] = -9.0  # just outside
    aside = len(heights) // 20
    expected = float((np.sort(heights)[aside:-aside] + 0.5).mean()) ** 2 / 8.0
    assert qrs_power(millivolts, r_samples, rate_hz=100.0) == pytest.approx(expected)
    with pytest.raises(RecordError, match="no normal beat"):
        qrs_power(millivolts, np.empty(0, np.int64), rate_hz=100.0)


def test_noise_power_by_hand() -> None:
    """N is the squared mean of each second's RMS about its own mean: an offset and a slow drift have no power."""
    second = np.tile([1.0, -1.0], 50)
    assert noise_power(np.tile(second, 40) + 7.0, rate_hz=100.0) == pytest.approx(1.0)
    loud = np.concatenate([np.tile(second, 38), 100.0 * second, 0.0 * second])
    assert noise_power(loud, rate_hz=100.0) == pytest.approx(1.0)
    later = np.concatenate([np.tile(second, 300), 100.0 * np.tile(second, 100)])
    assert noise_power(later, rate_hz=100.0) == pytest.approx(1.0)


@settings(deadline=None, max_examples=8)
@given(snr_db=st.floats(-12.0, 30.0), kind=st.sampled_from(_MADE), seed=st.integers(0, 9))
def test_ratio_is_what_was_asked_for(snr_db: float, kind: NoiseKind, seed: int) -> None:
    """Measured as nst measures, clean record and added noise have the ratio that was asked for."""
    record = synthesize(SyntheticAthlete(noise_mv=0.0), rate_hz=_RATE_HZ, seconds=40.0, seed=1)
    noisy, touched = trouble_record(record, [Noise(kind=kind, snr_db=snr_db)], seed=seed)
    added = noisy.millivolts.astype(np.float64) - record.millivolts
    measured = 10.0 * np.log10(clean_power(record) / noise_power(added, rate_hz=_RATE_HZ))
    # The samples are whole counts of 2.5 µV, which adds a little of its own to very faint noise.
    assert measured == pytest.approx(snr_db, abs=0.2)
    assert touched[0].detail == {"kind": kind, "snr_db": snr_db}


def test_spectra() -> None:
    """Mains lies at its frequency, wander below 1 Hz, muscle above 20 Hz, motion at the steps and their harmonics."""
    assert _share_between(_noise("mains", hz=60.0), 58.0, 62.0) > 0.95
    assert _share_between(_noise("wander"), 0.0, 0.7) > 0.99
    assert _share_between(_noise("muscle"), 15.0, 125.0) > 0.99
    motion = _noise("motion", growth=3.0)
    assert _share_between(motion, 1.0, 20.0) > 0.95
    assert _share_between(motion, 2.2, 3.4) > 0.2
    # At twice the steps too: those of a runner are no sine.
    assert _share_between(motion, 4.7, 6.4) > 0.1
    grows = noise_power(motion[-2500:], rate_hz=_RATE_HZ) / noise_power(motion[:2500], rate_hz=_RATE_HZ)
    assert 4.0 < grows < 20.0


def test_motion_follows_the_athlete() -> None:
    """Who stands does not shake the strap; who works twice as hard shakes it twice as much."""
    n = 5000
    effort = np.repeat(np.array([0.0, 0.4, 0.8], np.float32), n)
    steps = np.repeat(np.array([0.0, 2.5, 2.5], np.float32), n)
    random = np.random.default_rng(3)
    moved = make_noise(
        "motion", 3 * n, rate_hz=_RATE_HZ, random=random, effort=Effort(effort, steps, _RATE_HZ)
    )
    assert not moved[:n].any()
    ratio = noise_power(moved[2 * n :], rate_hz=_RATE_HZ) / noise_power(moved[n : 2 * n], rate_hz=_RATE_HZ)
    assert ratio == pytest.approx(4.0, rel=0.4)


def test_noise_begins_without_a_step_and_is_seeded() -> None:
    """Outside its stretch nothing changes but the level; inside, the same seed gives the same samples."""
    record = synthesize(SyntheticAthlete(), rate_hz=_RATE_HZ, seconds=30.0, seed=2)
    trouble = Noise(kind="electrode", at_s=10.0, length_s=10.0, rms_mv=0.5)
    noisy, (touched,) = trouble_record(record, [trouble], seed=4)
    again, _ = trouble_record(record, [trouble], seed=4)
    other, _ = trouble_record(record, [trouble], seed=5)
    np.testing.assert_array_equal(noisy.counts, again.counts)
    assert (noisy.counts != other.counts).any()
    assert (touched.first_sample, touched.end_sample) == (2500, 5000)
    added = noisy.millivolts.astype(np.float64) - record.millivolts
    np.testing.assert_allclose(added[:2501], 0.0, atol=1e-4)
    assert np.ptp(added[5000:]) < 0.006
    assert noise_power(added[2500:5000], rate_hz=_RATE_HZ) == pytest.approx(0.25, rel=0.01)


def test_what_cannot_be_is_refused() -> None:
    """Mains beyond half the sampling rate, noise of no power, two levels at once and unknown kinds are named."""
    with pytest.raises(UsageError, match="50 Hz do not exist at 100 Hz"):
        _noise("mains", rate_hz=100.0)
    with pytest.raises(UsageError, match="without power"):
        noise_gain(1.0, 0.0, 6.0)
    with pytest.raises(UsageError, match="either snr_db or rms_mv"):
        Noise(kind="white", snr_db=3.0, rms_mv=1.0)
    with pytest.raises(UsageError, match="needs its record"):
        Noise(kind="record", snr_db=3.0)


@pytest.mark.data
@pytest.mark.parametrize(("name", "snr_db"), [("118e24", 24.0), ("118e12", 12.0), ("118e00", 0.0)])
def test_levels_of_the_noise_stress_database(recordings: Path, name: str, snr_db: float) -> None:
    """The database's own records measure as they are called: the second lead throughout, the first where em is steady.

    nst fits its factor to em's first five minutes, which are never added; em's first lead is 5 to 6 dB louder in five
    of the seven stretches that are.
    """
    levels = [
        stretch_levels_db(
            read_record(recordings / "mitdb" / "118", lead=lead),
            read_record(recordings / "nstdb" / name, lead=lead),
        )
        for lead in (0, 1)
    ]
    assert levels[1] == pytest.approx(np.full(7, snr_db), abs=1.5)
    assert levels[1].mean() == pytest.approx(snr_db, abs=0.5)
    steady = [3, 6]
    assert levels[0][steady] == pytest.approx(np.full(2, snr_db), abs=0.5)
    louder = np.delete(levels[0], steady)
    assert ((louder > snr_db - 7.0) & (louder < snr_db - 4.5)).all()


@pytest.mark.data
@pytest.mark.parametrize("lead", [0, 1])
def test_factor_of_the_noise_stress_database(recordings: Path, lead: int) -> None:
    """What nst must have measured of em's first five minutes is as loud as em is where it is steady."""
    clean = read_record(recordings / "mitdb" / "118", lead=lead)
    noisy = read_record(recordings / "nstdb" / "118e00", lead=lead)
    factor, rms = fitted_factor(clean, noisy, snr_db=0.0)
    assert factor == pytest.approx([2.961, 7.645][lead], rel=0.002)
    added = (noisy.millivolts - clean.millivolts)[1020 * 360 : 1140 * 360]
    in_counts = np.sqrt(noise_power(added, rate_hz=360.0)) * 1e3 / clean.microvolts_per_count / factor
    assert rms == pytest.approx(in_counts, rel=0.06)


def test_resampling_keeps_the_level() -> None:
    """A recorded noise at another rate is as loud as it was."""
    noise = np.sin(2 * np.pi * 7.0 * np.arange(3600) / 360.0)
    changed = resampled(noise, from_hz=360.0, to_hz=250.0)
    assert len(changed) == 2500
    assert changed[100:-100].std() == pytest.approx(noise.std(), rel=0.01)
