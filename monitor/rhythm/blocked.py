"""Where the amplifier is blocked: an electrode popped, the baseline jumped, and nothing can be seen until it is back.

In the recovery from a jump of some millivolts QRS complexes are lost, and what looks like a pause is none. It is not a
gap either, and a heart may stop while an electrode slips: what follows from it is stated in `monitor.rhythm.pauses`.
The baseline is the median of a second, so that neither wide beats nor steps move it.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import FloatArray, IntArray
from monitor.rhythm.items import Verdicts
from monitor.rows import Rows, RowStage

MEASURED_HZ: Final = 20.0
JUMP_MV: Final = 0.9
"""The baseline of a second differs by so much from that of the second before: blocked."""
BACK_MV: Final = 0.35
_HALF: Final = 20
_PENDING: Final = 16

_FILLED, _PART, _ON, _N_PENDING = range(4)


@compiled
def _watch(
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    samples: NDArray[np.float32],
    decimation: int,
    integers: NDArray[np.int64],
    sums: NDArray[np.float64],
    rings: NDArray[np.float64],
    pending: NDArray[np.int64],
) -> None:
    older, newer = np.empty(_HALF), np.empty(_HALF)
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        ring = rings[row]
        for j in range(samples.shape[1]):
            sums[row] += samples[place, j]
            i[_PART] += 1
            if i[_PART] < decimation:
                continue
            ring[i[_FILLED] % (2 * _HALF)] = sums[row] / decimation
            sums[row] = 0.0
            i[_PART] = 0
            i[_FILLED] += 1
            if i[_FILLED] < 2 * _HALF or i[_FILLED] % 2 == 1:
                continue
            for k in range(_HALF):
                older[k] = ring[(i[_FILLED] + k) % (2 * _HALF)]
                newer[k] = ring[(i[_FILLED] + _HALF + k) % (2 * _HALF)]
            moved = abs(np.median(newer) - np.median(older))
            turns = moved > JUMP_MV if i[_ON] == 0 else moved < BACK_MV
            if turns and i[_N_PENDING] < len(pending[row]):
                i[_ON] = 1 - i[_ON]
                pending[row, i[_N_PENDING], 0] = first_sample[place] + j
                pending[row, i[_N_PENDING], 1] = i[_ON]
                i[_N_PENDING] += 1


class BlockedBank(RowStage):
    """Watches the raw signal in the rows of a bank for jumps of the baseline.

    Delay: half a second. What it found waits to be taken by `take`.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._decimation = max(1, round(rate_hz / MEASURED_HZ))
        self._state = Rows(version=1, capacity=capacity)
        self._state.add(
            "integers", np.int64, (4,)
        )  # values so far, samples in the present one, blocked, pending
        self._state.add("sum", np.float64)
        self._state.add("ring", np.float64, (2 * _HALF,))
        self._state.add("pending", np.int64, (_PENDING, 2))

    def restart(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap, or go on after a gap."""
        self._state.reset(rows)

    def process(self, rows: IntArray, first_sample: IntArray, samples: FloatArray) -> None:
        """Take the next raw samples, millivolt, shape ``[rows, n]``."""
        state = self._state
        _watch(
            rows,
            first_sample,
            samples,
            self._decimation,
            state["integers"],
            state["sum"],
            state["ring"],
            state["pending"],
        )

    def take(self, rows: IntArray) -> Verdicts:
        """Return what was found in `rows` since it was last taken: where the signal is blocked, and where no more."""
        state = self._state
        count = state["integers"][rows, _N_PENDING]
        with_news = rows[count > 0]
        if not len(with_news):
            return Verdicts.empty()
        of_row = np.repeat(with_news, count[count > 0])
        news = np.concatenate(
            [state["pending"][row, :n] for row, n in zip(with_news, count[count > 0], strict=True)]
        )
        state["integers"][with_news, _N_PENDING] = 0
        return Verdicts(
            rows=of_row,
            known_sample=news[:, 0],
            onset_sample=news[:, 0],
            begins=news[:, 1] == 1,
            rate_bpm=np.full(len(news), np.nan),
        )
