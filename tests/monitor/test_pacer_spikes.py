"""Spikes of a pacemaker: without a complex after them they are not trusted, with one they change nothing."""

from dataclasses import fields

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.front_end import blocks
from monitor.contract import TRUSTED_QUALITY, Peaks
from monitor.filters import FilterBank, detector_sections
from monitor.pacer_spikes import SpikeBank
from monitor.rpeaks import RPeakBank
from simulators.synthetic import SyntheticAthlete, synthesize

BEGIN_S, END_S, SECONDS = 20.0, 30.0, 40.0
EVERY_S, SPIKE_MV = 0.85, 5.0
ROW = np.array([0])
RATES_HZ = (128.0, 360.0, 1000.0)


def _heart(rate_hz: float) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    record = synthesize(SyntheticAthlete(), rate_hz=rate_hz, seconds=SECONDS, seed=5)
    assert record.truth is not None
    return record.millivolts, record.truth.r_samples


def _lone_spikes(rate_hz: float) -> NDArray[np.float32]:
    """Return a heart that stands still for ten seconds of spikes, each as long as a sample or 2 ms."""
    millivolts = _heart(rate_hz)[0].copy()
    begin, end = round(BEGIN_S * rate_hz), round(END_S * rate_hz)
    millivolts[begin:end] = millivolts[begin]
    for k in range(max(1, round(0.002 * rate_hz))):
        millivolts[begin + round(0.3 * rate_hz) + k : end : round(EVERY_S * rate_hz)] += SPIKE_MV
    return millivolts


def _look(
    millivolts: NDArray[np.float32], rate_hz: float, block_s: float = 1.0, spikes: SpikeBank | None = None
) -> tuple[Peaks, Peaks]:
    """Return the peaks as the detector tells them, and as they are after the look at the samples."""
    ear, detector = FilterBank(detector_sections(rate_hz), capacity=1), RPeakBank(rate_hz, capacity=1)
    spikes = spikes or SpikeBank(rate_hz, capacity=1)
    told, looked = [], []
    for block in blocks(millivolts[np.newaxis], max(1, int(block_s * rate_hz))):
        told.append(detector.process(block.rows, block.first_sample, ear.process(block)))
        looked.append(spikes.process(block, told[-1]))
    return Peaks.join(told), Peaks.join(looked)


def _same(one: Peaks, other: Peaks) -> bool:
    return all(getattr(one, f.name).tobytes() == getattr(other, f.name).tobytes() for f in fields(Peaks))


@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_spikes_that_nothing_follows_are_not_trusted(rate_hz: float) -> None:
    """Of a train of spikes without capture no beat is trusted; all beats outside are as they were."""
    told, looked = _look(_lone_spikes(rate_hz), rate_hz)
    inside = (told.r_sample > (BEGIN_S + 0.2) * rate_hz) & (told.r_sample < END_S * rate_hz)
    assert (told.quality[inside] >= TRUSTED_QUALITY).any()
    assert (looked.quality[inside] < TRUSTED_QUALITY).all()
    assert looked.quality[~inside].tolist() == told.quality[~inside].tolist()
    assert looked.r_sample.tolist() == told.r_sample.tolist()


@pytest.mark.parametrize("spike_mv", [5.0, -5.0, 20.0])
@pytest.mark.parametrize("rate_hz", RATES_HZ)
def test_spikes_that_capture_change_nothing(rate_hz: float, spike_mv: float) -> None:
    """A complex 40 ms after each spike is trusted as before, however tall the spike."""
    millivolts, beats = _heart(rate_hz)
    spiked = millivolts.copy()
    spiked[beats[beats > 5.0 * rate_hz] - round(0.04 * rate_hz)] += np.float32(spike_mv)
    told, looked = _look(spiked, rate_hz)
    assert _same(told, looked)


@pytest.mark.parametrize("block_s", [0.0, 0.013, 0.1, 7.0])
def test_blocks_of_any_length_give_the_same_bits(block_s: float) -> None:
    """However the samples are cut, the same beats are doubted."""
    spiked = _lone_spikes(360.0)
    assert _same(_look(spiked, 360.0, block_s)[1], _look(spiked, 360.0)[1])


def test_a_row_goes_on_elsewhere() -> None:
    """After export and import in the middle of the train the same beats are doubted."""
    rate_hz, millivolts = 360.0, _lone_spikes(360.0)
    ear, detector = FilterBank(detector_sections(rate_hz), capacity=1), RPeakBank(rate_hz, capacity=1)
    spikes, looked = SpikeBank(rate_hz, capacity=1), []
    for k, block in enumerate(blocks(millivolts[np.newaxis], 360)):
        if k == round(BEGIN_S) + 3:
            other = SpikeBank(rate_hz, capacity=3)
            other.import_row(0, spikes.export_row(0))
            spikes = other
        peaks = detector.process(block.rows, block.first_sample, ear.process(block))
        looked.append(spikes.process(block, peaks))
    assert _same(Peaks.join(looked), _look(millivolts, rate_hz)[1])


def test_nothing_is_looked_at_across_a_gap() -> None:
    """A beat so close after a gap that its neighbourhood is not there is left as it is."""
    rate_hz, spikes = 360.0, SpikeBank(360.0, capacity=1)
    _look(_heart(rate_hz)[0], rate_hz, spikes=spikes)
    first = round(60.0 * rate_hz)
    spikes.restart(ROW, np.array([first]))
    lone = np.zeros((1, 360), np.float32)
    lone[0, [10, 200]] = SPIKE_MV
    block = next(iter(blocks(lone, 360)))
    block = type(block)(block.rows, np.array([first]), block.samples, block.trusted)
    peaks = Peaks(
        np.zeros(2, np.int64),
        np.array([first + 10, first + 200]),
        np.array([first + 80, first + 270]),
        np.ones(2, np.float32),
    )
    assert spikes.process(block, peaks).quality.tolist() == [1.0, 0.0]
