"""The filters of both paths: causal, kept state, the same however the samples are cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import signal

from monitor.contract import Block
from monitor.filters import (
    CLASSIFIER_BAND_HZ,
    DETECTOR_BAND_HZ,
    SETTLING_S,
    FilterBank,
    classifier_sections,
    detector_sections,
    group_delay_s,
)

RATE_HZ = 360.0
Signal = NDArray[np.float32]


def _block(samples: Signal, rows: list[int], first: int = 0) -> Block:
    return Block(np.array(rows), np.full(len(rows), first), samples, np.ones(samples.shape, np.bool_))


def _noise(rows: int, n: int, seed: int = 0) -> Signal:
    return np.random.default_rng(seed).normal(size=(rows, n)).astype(np.float32)


def _gain(sections: NDArray[np.float64], rate_hz: float, at_hz: float) -> float:
    return float(np.abs(signal.sosfreqz(sections, worN=[at_hz], fs=rate_hz)[1][0]))


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 250.0, 360.0, 1000.0])
def test_the_bands_are_the_stated_ones(rate_hz: float) -> None:
    """Half power lies at the stated edges at every rate, and every cascade is stable."""
    eye, ear = classifier_sections(rate_hz), detector_sections(rate_hz)
    for edge_hz in CLASSIFIER_BAND_HZ:
        assert _gain(eye, rate_hz, edge_hz) == pytest.approx(np.sqrt(0.5), rel=0.01)
    for edge_hz in DETECTOR_BAND_HZ:
        assert _gain(ear, rate_hz, edge_hz) == pytest.approx(np.sqrt(0.5), rel=0.01)
    assert _gain(eye, rate_hz, 10.0) == pytest.approx(1.0, rel=0.01)
    for sections in (eye, ear):
        assert np.abs(signal.sos2zpk(sections)[1]).max() < 1.0


def test_the_notch_exists_only_where_the_mains_do() -> None:
    """The mains are notched out where the rate can hold them, and left alone where it cannot."""
    assert _gain(classifier_sections(360.0, 50.0), 360.0, 50.0) < 1e-6
    assert _gain(classifier_sections(360.0, 60.0), 360.0, 60.0) < 1e-6
    assert np.array_equal(classifier_sections(100.0, 50.0), classifier_sections(100.0))
    assert np.array_equal(classifier_sections(120.0, 60.0), classifier_sections(120.0))


def test_the_stated_delay_is_the_delay() -> None:
    """A burst at 12 Hz comes out later by the group delay the detector corrects for."""
    sections = detector_sections(RATE_HZ)
    time_s = np.arange(1440) / RATE_HZ
    burst = np.exp(-0.5 * ((time_s - 2.0) / 0.15) ** 2) * np.cos(2 * np.pi * 12.0 * (time_s - 2.0))
    filtered = np.abs(signal.hilbert(signal.sosfilt(sections, burst)))
    assert np.argmax(filtered) / RATE_HZ - 2.0 == pytest.approx(
        group_delay_s(sections, RATE_HZ, 12.0), abs=0.006
    )


@settings(max_examples=25, deadline=None)
@given(lengths=st.lists(st.integers(0, 200), min_size=1, max_size=20))
def test_blocks_of_any_length_give_the_same_bits(lengths: list[int]) -> None:
    """However the samples are cut, with however many rows beside them, the answer is the same to the last bit."""
    n = sum(lengths)
    samples = _noise(3, n) + np.float32(5.0)
    for sections in (classifier_sections(RATE_HZ, 50.0), detector_sections(RATE_HZ)):
        whole = FilterBank(sections, capacity=3).process(_block(samples, [0, 1, 2]))
        bank = FilterBank(sections, capacity=4)
        at = 0
        for count, length in enumerate(lengths):
            order = np.random.default_rng(count).permutation(3)
            part = samples[order, at : at + length]
            got = bank.process(_block(part, order.tolist(), at))
            assert np.array_equal(got, whole[order, at : at + length])
            at += length


@settings(max_examples=15, deadline=None)
@given(lengths=st.lists(st.integers(1, 150), min_size=1, max_size=5), rows=st.integers(1, 70))
def test_the_compiled_loop_equals_scipy(lengths: list[int], rows: int) -> None:
    """However many rows lie side by side, the answer is `scipy.signal.sosfilt`'s to the last bit."""
    samples = _noise(rows, sum(lengths), seed=rows) - np.float32(2.0)
    for sections in (classifier_sections(RATE_HZ, 50.0), detector_sections(RATE_HZ)):
        steady = signal.sosfilt_zi(sections)[:, np.newaxis, :] * samples[:, :1].astype(np.float64)
        reference = signal.sosfilt(sections, samples, axis=-1, zi=steady)[0]
        bank = FilterBank(sections, capacity=rows)
        at = 0
        for length in lengths:
            part = samples[:, at : at + length]
            got = bank.process(_block(part, list(range(rows)), at))
            assert np.array_equal(got, reference[:, at : at + length])
            at += length


def test_the_first_sample_counts_as_having_lasted_for_ever() -> None:
    """A constant offset, however large, gives nothing at either filter's output, also after a restart."""
    for sections in (classifier_sections(RATE_HZ), detector_sections(RATE_HZ)):
        bank = FilterBank(sections, capacity=1)
        for level in (1000.0, -0.3):
            bank.restart(np.array([0]))
            filtered = bank.process(_block(np.full((1, 720), level, np.float32), [0]))
            assert np.abs(filtered).max() < 1e-6 * abs(level)


def test_the_transient_of_a_restart_dies_within_the_settling_time() -> None:
    """A second after a restart less than a fifth of the offset it began with is left in the classifier's path."""
    time_s = np.arange(20 * 360) / RATE_HZ
    wave = (np.sin(2 * np.pi * 8.0 * time_s) + 0.5 * np.sin(2 * np.pi * 0.3 * time_s)).astype(np.float32)
    whole = FilterBank(classifier_sections(RATE_HZ), capacity=1).process(_block(wave[np.newaxis], [0]))
    worst = 0.0
    for begin in range(3000, 3400, 9):
        late = FilterBank(classifier_sections(RATE_HZ), capacity=1).process(
            _block(wave[np.newaxis, begin:], [0], begin)
        )
        settled = round(SETTLING_S * RATE_HZ)
        worst = max(worst, float(np.abs(late[0, settled:] - whole[0, begin + settled :]).max()))
    assert worst < 0.2 * np.abs(wave).max()


def test_other_rows_are_not_touched() -> None:
    """Rows that are not in a block, or not restarted, keep their state."""
    samples = _noise(2, 400)
    bank = FilterBank(classifier_sections(RATE_HZ), capacity=2)
    alone = FilterBank(classifier_sections(RATE_HZ), capacity=1).process(_block(samples[1:], [0]))
    first = bank.process(_block(samples[1:, :200], [1]))
    bank.process(_block(samples[:1], [0]))
    bank.restart(np.array([0]))
    bank.grow(8)
    second = bank.process(_block(samples[1:, 200:], [1], 200))
    assert np.array_equal(np.concatenate([first, second], axis=1), alone)


def test_a_row_goes_on_elsewhere() -> None:
    """A row exported in mid-signal goes on bit for bit in another bank; another cascade refuses it."""
    samples = _noise(1, 500)
    sections = detector_sections(RATE_HZ)
    whole = FilterBank(sections, capacity=1).process(_block(samples, [0]))
    bank, other = FilterBank(sections, capacity=1), FilterBank(sections, capacity=6)
    bank.process(_block(samples[:, :123], [0]))
    other.import_row(4, bank.export_row(0))
    assert np.array_equal(other.process(_block(samples[:, 123:], [4], 123)), whole[:, 123:])
    with pytest.raises(ValueError, match="row state"):
        FilterBank(classifier_sections(RATE_HZ), capacity=1).import_row(0, bank.export_row(0))
