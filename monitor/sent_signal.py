"""The last minute of what a strap has sent, as it came to the broker: what a tester looks at after a miss."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.scores import HOLE
from monitor.wire import SamplePacket

KEPT_S: Final = 90.0
_MOST_SAMPLES: Final = 100_000
_LIMIT: Final = 32_767.0


class SentSignal:
    """One athlete's samples in a ring; another boot or rate begins it anew."""

    def __init__(self) -> None:
        self._boot = -1
        self._strap = ""
        self.rate_hz = 0.0
        self._ring: NDArray[np.int16] = np.empty(0, np.int16)
        self._end = 0
        self._clock = 0.0

    def add(self, packet: SamplePacket) -> None:
        """Take in a packet, in any order; what lies too far back is left out."""
        if (packet.boot, packet.strap, packet.rate_hz) != (self._boot, self._strap, self.rate_hz):
            self._boot, self._strap, self.rate_hz = packet.boot, packet.strap, packet.rate_hz
            self._ring = np.full(min(int(KEPT_S * packet.rate_hz), _MOST_SAMPLES), HOLE, np.int16)
            self._end = packet.first_sample
        size = len(self._ring)
        counts = packet.counts()[-size:]
        end = packet.end_sample
        first = end - len(counts)
        if first < self._end - size:
            return
        if end > self._end:
            # What is passed over is a hole until it comes.
            passed = np.arange(max(self._end, end - size), end) % size
            self._ring[passed] = HOLE
            self._end = end
            self._clock = packet.sent_at - end / packet.rate_hz
        microvolts = np.zeros(len(counts)) if packet.lead_off else counts * packet.microvolts_per_count
        self._ring[np.arange(first, end) % size] = np.clip(np.rint(microvolts), -_LIMIT, _LIMIT)

    def holds(self, boot: int) -> bool:
        """Whether this is the signal of `boot`."""
        return boot == self._boot

    def at(self, sample: int) -> float:
        """Return when a sample was taken by the strap's schedule, Unix seconds."""
        return self._clock + sample / self.rate_hz

    def stretch(self, first_sample: int, end_sample: int) -> NDArray[np.int16]:
        """Return microvolts, shape ``[end_sample - first_sample]``; `HOLE` where nothing came or it is forgotten."""
        samples = np.arange(first_sample, end_sample)
        taken = self._ring[samples % len(self._ring)].copy()
        taken[(samples < self._end - len(self._ring)) | (samples >= self._end)] = HOLE
        return taken
