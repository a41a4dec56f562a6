"""Ventricular beats an hour by heart-rate zone and by phase of effort, and whether they become more frequent with it.

Ventricular beats that vanish with effort are common and mostly harmless in athletes; those that become more frequent
are the sign that matters. The rates at rest and at effort are compared as two Poisson counts.

References
----------
A. Pelliccia et al., "2020 ESC Guidelines on sports cardiology and exercise in patients with cardiovascular disease",
Eur. Heart J. 42 (2021): premature ventricular beats that increase with exercise.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    EFFORT_PHASES,
    TRUSTED_QUALITY,
    EffortPhase,
    IntArray,
    RhythmKind,
)
from monitor.rhythm.items import BEAT, END, ONSET, VERDICT, Found, Items, emit, room_for
from monitor.rhythm.rate import ZONES_FROM
from monitor.rows import Rows, RowStage

MIN_EFFORT_BEATS: Final = 10
"""So many ventricular beats at effort there must be."""
MIN_REST_S: Final = 60.0
MIN_EFFORT_S: Final = 120.0
CONFIDENT_Z: Final = 1.645
"""The lower one-sided 95 % bound of the ratio of rates must be above one."""
MAX_RR_S: Final = 3.0

KINDS: Final[tuple[RhythmKind, ...]] = ("ventricular_burden_rising",)
_V = AAMI_CLASSES.index("V")
_PHASES, _ZONES = len(EFFORT_PHASES), len(ZONES_FROM)
_REST, _EFFORT = EFFORT_PHASES.index("rest"), EFFORT_PHASES.index("effort")
_LAST_R, _ONSET, _FIBRILLATING = range(3)
_BEATS, _VENTRICULAR, _SECONDS = range(3)


@dataclass(frozen=True, slots=True)
class Burden:
    """Ventricular beats in one phase and zone.

    Attributes
    ----------
    phase : str
        See `monitor.contract.EFFORT_PHASES`.
    zone : int
        Heart-rate zone, 0 to 5.
    beats, ventricular : int
        Trusted beats, and how many of them were ventricular.
    seconds : float
        For how long beats were seen.
    """

    phase: EffortPhase
    zone: int
    beats: int
    ventricular: int
    seconds: float

    @property
    def per_hour(self) -> float:
        """Ventricular beats an hour; NaN where nothing was seen."""
        return 3600.0 * self.ventricular / self.seconds if self.seconds > 0.0 else float("nan")


@compiled
def _rises(counts: NDArray[np.float64]) -> float:
    """Return by how many standard errors the logarithm of effort's rate lies above that of rest's; NaN: too little."""
    at_rest, rest_s, at_effort, effort_s = 0.0, 0.0, 0.0, 0.0
    for zone in range(_ZONES):
        at_rest += counts[_REST, zone, _VENTRICULAR]
        rest_s += counts[_REST, zone, _SECONDS]
        at_effort += counts[_EFFORT, zone, _VENTRICULAR]
        effort_s += counts[_EFFORT, zone, _SECONDS]
    if at_effort < MIN_EFFORT_BEATS or rest_s < MIN_REST_S or effort_s < MIN_EFFORT_S:
        return np.nan
    ratio = np.log((at_effort + 0.5) / effort_s) - np.log((at_rest + 0.5) / rest_s)
    return float(ratio / np.sqrt(1.0 / (at_effort + 0.5) + 1.0 / (at_rest + 0.5)))


@compiled
def _advance(
    rows: NDArray[np.int64],
    first: NDArray[np.int64],
    sort: NDArray[np.int64],
    known: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    quality: NDArray[np.float64],
    phases: NDArray[np.int64],
    zones: NDArray[np.int64],
    rate_hz: float,
    integers: NDArray[np.int64],
    all_counts: NDArray[np.float64],
    events: NDArray[np.int64],
    rates: NDArray[np.float64],
) -> int:
    n = 0
    for place in range(len(rows)):
        row = rows[place]
        i = integers[row]
        counts = all_counts[row]
        for item in range(first[place], first[place + 1]):
            if sort[item] == VERDICT:
                i[_FIBRILLATING] = label[item]
                i[_LAST_R] = -1
            if sort[item] != BEAT or i[_FIBRILLATING] == 1:
                continue
            r = r_sample[item]
            here = counts[phases[item], zones[item]]
            rr_s = (r - i[_LAST_R]) / rate_hz
            if i[_LAST_R] >= 0 and 0.0 < rr_s < MAX_RR_S:
                here[_SECONDS] += rr_s
            i[_LAST_R] = r
            if quality[item] < TRUSTED_QUALITY:
                continue
            here[_BEATS] += 1
            if label[item] != _V:
                continue
            here[_VENTRICULAR] += 1
            above = _rises(counts)
            if i[_ONSET] < 0 and above > CONFIDENT_Z:
                i[_ONSET] = r
                n = emit(events, rates, n, row, 0, ONSET, r, known[item], known[item], 8, np.nan)
            elif i[_ONSET] >= 0 and not above > 0.5 * CONFIDENT_Z:
                n = emit(events, rates, n, row, 0, END, i[_ONSET], known[item], known[item], 0, np.nan)
                i[_ONSET] = -1
    return n


class BurdenMachine(RowStage):
    """Counts ventricular beats by zone and phase in the rows of a bank.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._rate_hz = rate_hz
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("integers", np.int64, (3,), np.array([-1, -1, 0]))  # last beat, onset, fibrillation
        self._state.add("counts", np.float64, (_PHASES, _ZONES, 3))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def restart(self, rows: IntArray, end: IntArray, *, for_good: bool) -> Found:
        """Let `rows` go on after a gap from `end` on; what was counted stays."""
        integers = self._state["integers"]
        events, rates = room_for(len(rows), 0)
        n = 0
        integers[rows, _LAST_R] = -1
        if for_good:
            for row, last in zip(rows.tolist(), end.tolist(), strict=True):
                onset, known = int(integers[row, _ONSET]), max(last - 1, 0)
                if onset >= 0:
                    n = emit(events, rates, n, row, 0, END, onset, known, known, 0, np.nan)
                integers[row, _ONSET] = -1
        return Found(KINDS, events[:n], rates[:n])

    def process(self, items: Items, phases: IntArray, zones: IntArray) -> Found:
        """Take what became known, with the phase of effort and the zone at each beat."""
        events, rates = room_for(len(items.rows), len(items))
        n = _advance(
            items.rows,
            items.first,
            items.sort,
            items.known,
            items.r_sample,
            items.label,
            items.quality,
            phases,
            zones,
            self._rate_hz,
            self._state["integers"],
            self._state["counts"],
            events,
            rates,
        )
        return Found(KINDS, events[:n], rates[:n])

    def burden(self, row: int) -> list[Burden]:
        """Return what was counted in one row, by phase and zone, where anything was."""
        counts = self._state["counts"][row]
        return [
            Burden(phase, zone, int(beats), int(ventricular), float(seconds))
            for place, phase in enumerate(EFFORT_PHASES)
            for zone, (beats, ventricular, seconds) in enumerate(counts[place].tolist())
            if beats or seconds
        ]
