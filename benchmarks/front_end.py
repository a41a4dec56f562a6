"""The streaming front end as a benchmark sees it: both filter paths, R peaks and quality, over a bank of straps."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from monitor.contract import Block, FloatArray, Peaks
from monitor.filters import FilterBank, classifier_sections, detector_sections
from monitor.pacer_spikes import SpikeBank
from monitor.quality import QualityBank
from monitor.rpeaks import RPeakBank


class FrontEnd:
    """What every sample passes before there are beats.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    straps : int
        Rows of the bank.
    """

    def __init__(self, rate_hz: float, straps: int) -> None:
        self.classifier_path = FilterBank(classifier_sections(rate_hz), capacity=straps)
        self.detector_path = FilterBank(detector_sections(rate_hz), capacity=straps)
        self.detector = RPeakBank(rate_hz, capacity=straps)
        self.spikes = SpikeBank(rate_hz, capacity=straps)
        self.quality = QualityBank(rate_hz, capacity=straps)
        self.quality.begin(np.arange(straps), np.zeros(straps, np.int64))

    def process(self, block: Block) -> Peaks:
        """Run a block through all of it."""
        self.classifier_path.process(block)
        banded = self.detector_path.process(block)
        peaks = self.spikes.process(block, self.detector.process(block.rows, block.first_sample, banded))
        self.quality.process(block, peaks)
        return peaks


def blocks(millivolts: FloatArray, length: int) -> Iterator[Block]:
    """Cut a bank's signal, shape ``[straps, samples]``, into blocks."""
    rows = np.arange(len(millivolts))
    for first in range(0, millivolts.shape[1], length):
        part = np.ascontiguousarray(millivolts[:, first : first + length])
        yield Block(rows, np.full(len(rows), first), part, np.ones(part.shape, np.bool_))


def find_peaks(millivolts: NDArray[np.floating], rate_hz: float) -> NDArray[np.int64]:
    """Return the R peaks of one recording, fed in blocks of a second."""
    front_end = FrontEnd(rate_hz, 1)
    bank = millivolts[np.newaxis].astype(np.float32)
    found = [front_end.process(block).r_sample for block in blocks(bank, int(rate_hz))]
    return np.unique(np.concatenate(found))
