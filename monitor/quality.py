"""Signal quality: whether the signal is worth believing, and for what share of the session it was.

Per sample a row is in one of six categories. Flat and railed are seen in the samples themselves; noisy follows the
running mean of the R peaks' quality, for in strong noise single peaks look right; settling is a stated time after a
(re)start, in which the filters' transient dies away; lead off is what the strap says. Categories that last become
technical events, each after its own delay.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    QUALITY_CATEGORIES,
    TRUSTED_QUALITY,
    Block,
    IntArray,
    Peaks,
    QualityCategory,
    RhythmEvent,
    TechnicalKind,
)
from monitor.filters import SETTLING_S
from monitor.rows import Rows, RowStage

GOOD, NOISY, FLAT, RAILED, LEAD_OFF, SETTLING = range(len(QUALITY_CATEGORIES))

FLAT_MV: Final = 0.006
"""A sample within this of the stretch's first one does not move."""
FLAT_AFTER_S: Final = 0.5
RAILED_AFTER_S: Final = 0.1
RAILED_MV: Final = 3.0
"""A signal that stands still beyond this is an amplifier at its rail."""
NOISY_OVER: Final = 8
"""R peaks over whose quality the mean that tells noise runs, exponentially."""
CLEAR_AGAIN: Final = 0.7
"""Noise begins where that mean falls below `TRUSTED_QUALITY` and ends where it is above this."""
EVENT_AFTER_S: Final[dict[TechnicalKind, float]] = {"flat": 2.0, "railed": 1.0, "noisy": 10.0}

_KINDS: Final[dict[int, TechnicalKind]] = {NOISY: "noisy", FLAT: "flat", RAILED: "railed"}
_RUN, _SETTLED_AT, _CATEGORY, _SINCE, _WELL, _ELAPSED, _RAISED, _OFF_SINCE = range(8)
_REFERENCE, _QUALITY, _MEAN_QUALITY = range(3)


@compiled
def _categorise(  # noqa: C901, PLR0912 - one pass over the samples; numba inlines no closures over many arrays
    rows: NDArray[np.int64],
    first_sample: NDArray[np.int64],
    samples: NDArray[np.float32],
    peak_rows: NDArray[np.int64],
    peak_known: NDArray[np.int64],
    peak_quality: NDArray[np.float32],
    flat_after: int,
    railed_after: int,
    event_after: NDArray[np.int64],
    integers: NDArray[np.int64],
    floats: NDArray[np.float64],
    out: NDArray[np.int64],
) -> int:
    n_out = 0
    p = 0
    for position in range(len(rows)):
        row = rows[position]
        i = integers[row]
        f = floats[row]
        for j in range(samples.shape[1]):
            s = first_sample[position] + j
            while p < len(peak_rows) and peak_rows[p] == row and peak_known[p] <= s:
                f[_QUALITY] = peak_quality[p]
                f[_MEAN_QUALITY] += (peak_quality[p] - f[_MEAN_QUALITY]) / NOISY_OVER
                p += 1
            value = samples[position, j]
            if abs(value - f[_REFERENCE]) <= FLAT_MV:
                i[_RUN] += 1
            else:
                i[_RUN] = 0
                f[_REFERENCE] = value
            if i[_RUN] >= railed_after and abs(value) >= RAILED_MV:
                category = RAILED
            elif i[_RUN] >= flat_after:
                category = FLAT
            elif s < i[_SETTLED_AT]:
                category = SETTLING
            elif f[_MEAN_QUALITY] < (CLEAR_AGAIN if i[_CATEGORY] == NOISY else TRUSTED_QUALITY):
                category = NOISY
            else:
                category = GOOD
            i[_ELAPSED] += 1
            if category == GOOD:
                i[_WELL] += 1
            if category != i[_CATEGORY]:
                if i[_RAISED] == 1:
                    out[n_out, 0], out[n_out, 1], out[n_out, 2] = row, i[_CATEGORY], 0
                    out[n_out, 3], out[n_out, 4] = i[_SINCE], s
                    n_out += 1
                i[_CATEGORY] = category
                i[_SINCE] = s
                i[_RAISED] = 0
            elif i[_RAISED] == 0 and event_after[category] > 0 and s - i[_SINCE] >= event_after[category]:
                i[_RAISED] = 1
                out[n_out, 0], out[n_out, 1], out[n_out, 2] = row, category, 1
                out[n_out, 3], out[n_out, 4] = i[_SINCE], s
                n_out += 1
        while p < len(peak_rows) and peak_rows[p] == row:
            p += 1
    return n_out


class QualityBank(RowStage):
    """Signal quality over the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._settling = round(SETTLING_S * rate_hz)
        self._event_after = np.zeros(len(QUALITY_CATEGORIES), np.int64)
        for code, kind in _KINDS.items():
            self._event_after[code] = round(EVENT_AFTER_S[kind] * rate_hz)
        self._state = Rows(version=2, capacity=capacity)
        integers = np.zeros(8, np.int64)
        integers[_CATEGORY] = SETTLING
        integers[_OFF_SINCE] = -1
        self._state.add("integers", np.int64, (8,), integers)
        self._state.add("floats", np.float64, (3,), np.array([np.inf, 1.0, 1.0]))

    def process(self, block: Block, peaks: Peaks) -> list[RhythmEvent]:
        """Take the next raw samples and the R peaks found in them; return the technical events they bring."""
        integers = self._state["integers"]
        events = self._lead_on(block.rows, block.first_sample)
        n = block.samples.shape[1]
        out = np.empty((len(block.rows) * (n + 1), 5), np.int64)
        count = _categorise(
            block.rows,
            block.first_sample,
            block.samples,
            peaks.rows,
            peaks.known_sample,
            peaks.quality,
            round(FLAT_AFTER_S * self._rate_hz),
            round(RAILED_AFTER_S * self._rate_hz),
            self._event_after,
            integers,
            self._state["floats"],
            out,
        )
        for row, category, begins, onset, known in out[:count].tolist():
            events.append(self._event(row, _KINDS[category], onset, known, begins=begins == 1))
        return events

    def restart(
        self, rows: IntArray, end: IntArray, first_sample: IntArray, *, lead_off: bool
    ) -> list[RhythmEvent]:
        """Let `rows` go on at `first_sample` after a stretch from `end` on in which nothing could be seen."""
        integers = self._state["integers"]
        events = []
        for row, last, first in zip(rows.tolist(), end.tolist(), first_sample.tolist(), strict=True):
            state = integers[row]
            if state[_RAISED]:
                events.append(
                    self._event(row, _KINDS[int(state[_CATEGORY])], int(state[_SINCE]), last, begins=False)
                )
            state[_RUN] = 0
            state[_SETTLED_AT] = first + self._settling
            state[_ELAPSED] += first - last
            state[_SINCE] = first
            state[_RAISED] = 0
            if lead_off and state[_OFF_SINCE] < 0:
                state[_OFF_SINCE] = last
                events.append(self._event(row, "lead_off", last, last, begins=True))
            state[_CATEGORY] = LEAD_OFF if lead_off else SETTLING
            self._state["floats"][row] = (np.inf, 1.0, 1.0)
        return events

    def begin(self, rows: IntArray, first_sample: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        self._state["integers"][rows, _SETTLED_AT] = first_sample + self._settling

    def settled(self, rows: IntArray, samples: IntArray) -> NDArray[np.bool_]:
        """Whether `samples` of `rows` lie beyond the settling time."""
        settled: NDArray[np.bool_] = samples >= self._state["integers"][rows, _SETTLED_AT]
        return settled

    def quality(self, row: int) -> float:
        """Return the present quality of one row, 0 to 1."""
        if self._state["integers"][row, _CATEGORY] in (FLAT, RAILED, LEAD_OFF):
            return 0.0
        return float(self._state["floats"][row, _QUALITY])

    def category(self, row: int) -> QualityCategory:
        """Return the present category of one row."""
        return QUALITY_CATEGORIES[int(self._state["integers"][row, _CATEGORY])]

    def coverage(self, row: int) -> float:
        """Return the share of one row's session, gaps included, in which the signal was good."""
        elapsed = int(self._state["integers"][row, _ELAPSED])
        return int(self._state["integers"][row, _WELL]) / elapsed if elapsed else 0.0

    def _lead_on(self, rows: IntArray, first_sample: IntArray) -> list[RhythmEvent]:
        integers = self._state["integers"]
        off = integers[rows, _OFF_SINCE]
        events = []
        for position in np.flatnonzero(off >= 0).tolist():
            row = int(rows[position])
            events.append(
                self._event(row, "lead_off", int(off[position]), int(first_sample[position]), begins=False)
            )
            integers[row, _OFF_SINCE] = -1
        return events

    def _event(self, row: int, kind: TechnicalKind, onset: int, known: int, *, begins: bool) -> RhythmEvent:
        return RhythmEvent(
            row=row,
            kind=kind,
            episode=onset,
            transition="onset" if begins else "end",
            onset_sample=onset,
            known_sample=known,
            rate_bpm=float("nan"),
            duration_s=(known - onset) / self._rate_hz,
            quality=0.0,
        )
