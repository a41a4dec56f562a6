"""R-peak detection: found in time, where they are, whatever the blocks, the rate, the size or the sign."""

from dataclasses import fields
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal as dsp

from monitor.contract import Peaks
from monitor.filters import detector_sections
from monitor.rpeak_judge import Judge, load_judge
from monitor.rpeaks import LEARNING_S, MAX_DELAY_S, REFRACTORY_S, RPeakBank
from simulators.ectopy import Pause, PrematureBeat, VentricularRun
from simulators.noise import make_noise
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ = 360.0
ROW = np.array([0])
FIRST_LOOK = load_judge()._replace(doubt=np.zeros(1))
"""A judge that takes no second look at candidates while the last beats were doubtful."""
Banded = NDArray[np.float64]


@cache
def _heart(
    rate_hz: float = RATE_HZ, rate_bpm: float = 75.0, seconds: float = 30.0, seed: int = 1
) -> tuple[Banded, NDArray[np.int64]]:
    """Return the detector's band of a synthetic athlete, and its true R peaks."""
    athlete = SyntheticAthlete(rate_bpm=rate_bpm)
    record = synthesize(athlete, rate_hz=rate_hz, seconds=seconds, seed=seed)
    assert record.truth is not None
    return _band(record.millivolts, rate_hz), record.truth.r_samples


@cache
def _eventful(seed: int) -> Banded:
    athlete = SyntheticAthlete(
        noise_mv=0.05,
        events=(
            PrematureBeat(at_s=4.0),
            VentricularRun(at_s=7.0, beats=4),
            Pause(at_s=11.0, length_s=4.0),
        ),
    )
    return _band(synthesize(athlete, rate_hz=RATE_HZ, seconds=20.0, seed=seed).millivolts, RATE_HZ)


@cache
def _spoilt(seed: int, rate_bpm: float = 75.0) -> Banded:
    """Return a heart that is clear for 15 s and then under electrode motion, so that candidates are doubtful."""
    record = synthesize(SyntheticAthlete(rate_bpm=rate_bpm), rate_hz=RATE_HZ, seconds=45.0, seed=seed)
    millivolts = record.millivolts.astype(np.float64)
    begin = round(15.0 * RATE_HZ)
    noise = make_noise(
        "electrode", len(millivolts) - begin, rate_hz=RATE_HZ, random=np.random.default_rng(seed)
    )
    millivolts[begin:] += 2.0 * noise
    return _band(millivolts.astype(np.float32), RATE_HZ)


def _band(millivolts: NDArray[np.float32], rate_hz: float) -> Banded:
    sections = detector_sections(rate_hz)
    steady = dsp.sosfilt_zi(sections) * float(millivolts[0])
    banded: Banded = dsp.sosfilt(sections, millivolts.astype(np.float64), zi=steady)[0]
    return banded


def _run(bank: RPeakBank, banded: Banded, lengths: list[int], *, begin: int = 0, row: int = 0) -> Peaks:
    """Give one row `banded` from `begin` on in blocks of `lengths`, the last one over and over."""
    parts = []
    sizes, size, at = iter(lengths), 1, begin
    while at < len(banded):
        size = next(sizes, size)
        end = min(at + size, len(banded))
        new = bank.process(np.array([row]), np.array([at]), banded[np.newaxis, at:end])
        # Told in the block that makes it known, never before.
        assert ((new.known_sample >= at) & (new.known_sample < end)).all()
        parts.append(new)
        at = end
    return Peaks.join(parts)


def _alone(
    banded: Banded, lengths: list[int] | None = None, rate_hz: float = RATE_HZ, judge: Judge | None = None
) -> Peaks:
    return _run(RPeakBank(rate_hz, capacity=1, judge=judge), banded, lengths or [3600])


def _looked_once(banded: Banded, lengths: list[int] | None = None) -> Peaks:
    return _alone(banded, lengths, judge=FIRST_LOOK)


def _same(one: Peaks, other: Peaks) -> bool:
    return all(getattr(one, f.name).tobytes() == getattr(other, f.name).tobytes() for f in fields(Peaks))


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 250.0, 360.0, 500.0, 1000.0])
@pytest.mark.parametrize("rate_bpm", [45.0, 75.0, 180.0, 210.0])
def test_every_beat_is_found_where_it_is(rate_hz: float, rate_bpm: float) -> None:
    """All beats of a clean signal are found, the first ones included, within 25 ms, and nothing else."""
    banded, truth = _heart(rate_hz, rate_bpm)
    found = _alone(banded, rate_hz=rate_hz).r_sample
    due = truth[truth < len(banded) - MAX_DELAY_S * rate_hz]
    nearest = np.abs(due[:, np.newaxis] - found).min(axis=1)
    assert (nearest[1:] <= 0.025 * rate_hz + 1).all()
    assert len(due) - 1 <= len(found) <= len(truth)


@pytest.mark.parametrize("rate_hz", [100.0, 250.0, 360.0, 1000.0])
def test_peaks_are_known_within_the_stated_delay(rate_hz: float) -> None:
    """Once learnt, a peak is known within `MAX_DELAY_S` of itself; those learnt from are known at the end of that."""
    banded, _ = _heart(rate_hz)
    peaks = _alone(banded, rate_hz=rate_hz)
    delay_s = (peaks.known_sample - peaks.r_sample) / rate_hz
    early = peaks.known_sample < LEARNING_S * rate_hz + 1
    assert early.any()
    assert (peaks.known_sample[early] == round(LEARNING_S * rate_hz) - 1).all()
    assert (delay_s[~early] <= MAX_DELAY_S).all()
    assert (delay_s >= 0.0).all()


def test_peaks_keep_the_refractory_distance() -> None:
    """However wild the signal, peaks come in order and never closer than the refractory time."""
    for seed in range(6):
        noise = np.random.default_rng(seed).normal(0.0, 1.0, 7200).astype(np.float32)
        peaks = _alone(_band(noise, RATE_HZ))
        assert len(peaks)
        assert (np.diff(peaks.r_sample) >= round(REFRACTORY_S * RATE_HZ)).all()
        assert (np.diff(peaks.known_sample) >= 0).all()
        assert ((peaks.quality >= 0.0) & (peaks.quality <= 1.0)).all()


def test_quality_tells_noise_from_a_clean_signal() -> None:
    """Peaks of a clean signal are trusted, those of noise alone are less."""
    clean = _alone(_heart()[0]).quality
    noise = _alone(_band(np.random.default_rng(0).normal(0.0, 0.3, 7200).astype(np.float32), RATE_HZ)).quality
    assert clean.min() > 0.5
    assert np.median(noise) < np.median(clean)


@pytest.mark.parametrize("factor", [0.25, 0.5, 2.0, 4.0, -1.0, -0.5])
def test_size_and_sign_do_not_matter(factor: float) -> None:
    """Scaled by a power of two or upside down, the same peaks are found at the same samples."""
    for seed in (1, 2):
        for find, banded in (
            (_alone, _eventful(seed)),
            (_alone, _spoilt(seed)),
            (_looked_once, _spoilt(seed)),
        ):
            assert find(banded * factor).r_sample.tolist() == find(banded).r_sample.tolist()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(1, 4), lengths=st.lists(st.integers(1, 700), min_size=1, max_size=60))
def test_blocks_of_any_length_give_the_same_bits(seed: int, lengths: list[int]) -> None:
    """However the samples are cut, peaks are the same to the last bit, in noise too."""
    for find, banded in ((_alone, _eventful(seed)), (_alone, _spoilt(seed)), (_looked_once, _spoilt(seed))):
        assert _same(find(banded, [*lengths, 97]), find(banded))


def test_a_second_look_is_taken_in_doubt_only() -> None:
    """Under electrode motion the second look is asked, and changes what is found; in a clear signal nothing."""
    assert _same(_looked_once(_heart()[0]), _alone(_heart()[0]))
    assert any(not _same(_looked_once(_spoilt(seed)), _alone(_spoilt(seed))) for seed in (1, 2, 3))


def test_a_second_look_is_not_taken_at_fast_hearts() -> None:
    """At a rate that the second look has not learnt from the first one decides alone, however doubtful."""
    for seed in (1, 2, 3):
        assert _same(_looked_once(_spoilt(seed, 170.0)), _alone(_spoilt(seed, 170.0)))


def test_a_bump_beside_a_beat_draws_fewer_marks_away() -> None:
    """Beside bumps larger than the complex most beats are marked where they lie; by the extremum alone 44 % were."""
    near = count = 0
    for seed in (1, 2, 3):
        record = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=60.0, seed=seed)
        assert record.truth is not None
        millivolts, random = record.millivolts.astype(np.float64), np.random.default_rng(seed)
        beats = record.truth.r_samples
        beats = beats[(beats > 26.0 * RATE_HZ) & (beats < 59.0 * RATE_HZ)]
        seconds = np.arange(len(millivolts)) / RATE_HZ
        for beat_s in beats / RATE_HZ:
            sign = random.choice([-1.0, 1.0])
            at_s = beat_s + random.choice([-1.0, 1.0]) * random.uniform(0.06, 0.09)
            millivolts += sign * 1.6 * np.exp(-0.5 * ((seconds - at_s) / 0.018) ** 2)
        found = _alone(_band(millivolts.astype(np.float32), RATE_HZ)).r_sample
        distance = np.abs(beats[:, np.newaxis] - found).min(axis=1)
        assert (distance <= 0.15 * RATE_HZ).all()
        near += int((distance <= 0.05 * RATE_HZ).sum())
        count += len(beats)
    assert near > 0.55 * count


def test_the_future_changes_no_known_peak() -> None:
    """Corrupting the signal after a sample changes no peak known by it."""
    banded = _eventful(1)
    whole = _alone(banded)
    for sample in np.random.default_rng(0).integers(10, len(banded) - 10, 40).tolist():
        corrupt = banded.copy()
        corrupt[sample + 1 :] = np.random.default_rng(sample).normal(0.0, 1.0, len(banded) - sample - 1)
        for one, other in ((_alone(corrupt), whole), (whole, _alone(corrupt))):
            early = one.known_sample <= sample
            assert one.r_sample[early].tolist() == other.r_sample[: int(early.sum())].tolist()
            assert one.quality[early].tolist() == other.quality[: int(early.sum())].tolist()


@settings(max_examples=10, deadline=None)
@given(cut=st.integers(1, 7000), noisy=st.booleans())
def test_a_row_goes_on_elsewhere(cut: int, noisy: bool) -> None:  # noqa: FBT001 - drawn by hypothesis
    """After export and import peaks come as if the row had never moved."""
    banded = _spoilt(3)[3600:] if noisy else _eventful(3)
    bank = RPeakBank(RATE_HZ, capacity=1)
    other = RPeakBank(RATE_HZ, capacity=4)
    early = _run(bank, banded[:cut], [211])
    other.import_row(2, bank.export_row(0))
    late = _run(other, banded, [97], begin=cut, row=2)
    late.rows[:] = 0
    assert _same(Peaks.join([early, late]), _alone(banded))


def test_rows_are_independent() -> None:
    """Rows of one block, in any order, give what each gives alone."""
    signals = [_eventful(seed) for seed in range(1, 5)]
    bank = RPeakBank(RATE_HZ, capacity=4)
    parts = []
    for begin in range(0, 7200, 240):
        order = np.random.default_rng(begin).permutation(4)
        block = np.stack([signals[row][begin : begin + 240] for row in order])
        parts.append(bank.process(order, np.full(4, begin), block))
    together = Peaks.join(parts)
    for row, banded in enumerate(signals):
        chosen = together.rows == row
        alone = _alone(banded)
        assert together.r_sample[chosen].tolist() == alone.r_sample.tolist()
        assert together.known_sample[chosen].tolist() == alone.known_sample.tolist()
        assert together.quality[chosen].tolist() == alone.quality.tolist()


@pytest.mark.parametrize("level", [0.0, 1e-5, 1e-4])
def test_next_to_nothing_holds_no_beats(level: float) -> None:
    """Zeros and the noise of a good amplifier hold no beats, from the start and after a rhythm."""
    silence = np.random.default_rng(0).normal(0.0, level, 7200)
    assert len(_alone(silence)) == 0
    banded = _heart()[0][:3600]
    peaks = _alone(np.concatenate([banded, silence]))
    assert (peaks.r_sample < 3600 + 0.1 * RATE_HZ).all()


@pytest.mark.parametrize("factor", [0.3, 3.0, 10.0])
def test_a_change_of_size_does_not_silence_it(factor: float) -> None:
    """When beats become larger or smaller at once, they are found again within 6 s and then all of them."""
    athlete = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=60.0, seed=2)
    assert athlete.truth is not None
    millivolts = athlete.millivolts.copy()
    millivolts[7200:] *= np.float32(factor)
    found = _alone(_band(millivolts, RATE_HZ)).r_sample
    late = athlete.truth.r_samples
    late = late[(late > 7200 + 12 * RATE_HZ) & (late < len(millivolts) - RATE_HZ)]
    assert (np.abs(late[:, np.newaxis] - found).min(axis=1) < 0.15 * RATE_HZ).all()
    assert ((found > 7200 + RATE_HZ) & (found < 7200 + 6 * RATE_HZ)).any()


def test_a_forgotten_row_is_a_fresh_one() -> None:
    """A row that forgets its strap gives what a new bank gives."""
    bank = RPeakBank(RATE_HZ, capacity=1)
    _run(bank, 20.0 * _eventful(1), [360])
    bank.forget(ROW)
    assert _same(_run(bank, _eventful(2), [360]), _alone(_eventful(2)))
