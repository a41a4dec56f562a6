"""How late a simulator is, in bounded memory."""

import numpy as np
from numpy.typing import NDArray

_BIN_S = 1e-4
_BINS = 20_000


class Lateness:
    """A histogram of seconds, in bins of 0.1 ms up to 2 s.

    What is later than that is counted in the last bin; `max_s` is exact.
    """

    def __init__(self) -> None:
        self._counts = np.zeros(_BINS, np.int64)
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        """Enter one; what is early counts as 0."""
        seconds = max(seconds, 0.0)
        self.max_s = max(self.max_s, seconds)
        self._counts[min(int(seconds / _BIN_S), _BINS - 1)] += 1

    def add_many(self, seconds: NDArray[np.float64]) -> None:
        """Enter several at once, shape ``[n]``."""
        if len(seconds) == 0:
            return
        late = np.maximum(seconds, 0.0)
        self.max_s = max(self.max_s, float(late.max()))
        self._counts += np.bincount(np.minimum((late / _BIN_S).astype(np.int64), _BINS - 1), minlength=_BINS)

    def __len__(self) -> int:
        """Return how many were entered."""
        return int(self._counts.sum())

    def quantile_s(self, share: float) -> float | None:
        """Return the seconds that `share` (0 to 1) of all do not exceed, to 0.1 ms; None where there are none."""
        total = len(self)
        if total == 0:
            return None
        reached = np.searchsorted(np.cumsum(self._counts), share * total)
        return min((int(reached) + 1) * _BIN_S, self.max_s)
