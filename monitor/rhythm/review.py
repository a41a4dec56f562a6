"""What a physician reviews after training: ectopic beats clustered by shape, one card a cluster, counts by phase.

This is the tier that misses nothing: every beat that may be ectopic enters, unsure ones too, whatever alarms said. A
beat joins the cluster whose mean shape it is most alike, or begins one; where there is no room, the smallest cluster of
least weight gives way and is counted as left out.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    EFFORT_PHASES,
    LABELS,
    WINDOW_POINTS,
    Beats,
    EffortPhase,
    FloatArray,
    IntArray,
)
from monitor.rows import Rows, RowStage

CLUSTERS: Final = 8
ALIKE: Final = 0.88
"""Correlation from which on two beats are of one shape."""
MAYBE_FROM: Final = 0.15
"""A beat called N or left unsure enters if V, S or F together are this likely."""
LEARNT_BEATS: Final = 50
"""So many beats a cluster's mean shape remembers."""
EXAMPLES: Final = 8

_STEP = 3
_LAGS = 4
_POINTS = 80
_BEGIN = WINDOW_POINTS // 2 - _STEP * _POINTS // 2
_PHASES = len(EFFORT_PHASES)
_N_LABELS = len(LABELS)
_N, _S, _V, _F = (AAMI_CLASSES.index(name) for name in "NSVF")
_COUNT, _FIRST, _LAST = range(3)


@dataclass(frozen=True, slots=True)
class ReviewCard:
    """Ectopic beats of one shape.

    Attributes
    ----------
    beats : int
        How many.
    labels, phases : dict of str to int
        How often they were called what, and how many came in which phase of effort.
    first_sample, last_sample : int
        R peaks of the first and the last.
    examples : list of int
        R peaks of some of them, the latest last.
    shape : ndarray of float32, shape ``[80]``
        Mean shape, millivolt, 120 points a second, R peak in the middle.
    """

    beats: int
    labels: dict[str, int]
    phases: dict[EffortPhase, int]
    first_sample: int
    last_sample: int
    examples: list[int]
    shape: FloatArray


@compiled
def _correlation(window: NDArray[np.float32], lag: int, shape: NDArray[np.float32]) -> float:
    own_mean, other_mean = 0.0, 0.0
    for k in range(_POINTS):
        own_mean += window[_BEGIN + _STEP * k + lag]
        other_mean += shape[k]
    own_mean /= _POINTS
    other_mean /= _POINTS
    both, own, other = 0.0, 0.0, 0.0
    for k in range(_POINTS):
        a = window[_BEGIN + _STEP * k + lag] - own_mean
        b = shape[k] - other_mean
        both += a * b
        own += a * a
        other += b * b
    return both / np.sqrt(own * other) if own * other > 0.0 else 0.0


@compiled
def _enter(
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    label: NDArray[np.int64],
    phase: NDArray[np.int64],
    windows: NDArray[np.float32],
    all_integers: NDArray[np.int64],
    all_labels: NDArray[np.int64],
    all_phases: NDArray[np.int64],
    all_examples: NDArray[np.int64],
    all_shapes: NDArray[np.float32],
    left_out: NDArray[np.int64],
) -> None:
    for beat in range(len(rows)):
        row = rows[beat]
        integers = all_integers[row]
        window = windows[beat]
        best, where, best_lag = ALIKE, -1, 0
        for cluster in range(CLUSTERS):
            if integers[cluster, _COUNT] == 0:
                continue
            for lag in range(-_LAGS * _STEP, _LAGS * _STEP + 1, _STEP):
                alike = _correlation(window, lag, all_shapes[row, cluster])
                if alike > best:
                    best, where, best_lag = alike, cluster, lag
        if where < 0:
            where = 0
            for cluster in range(CLUSTERS):
                if integers[cluster, _COUNT] < integers[where, _COUNT]:
                    where = cluster
            left_out[row] += integers[where, _COUNT]
            integers[where, _COUNT] = 0
            integers[where, _FIRST] = r_sample[beat]
            all_labels[row, where, :] = 0
            all_phases[row, where, :] = 0
            all_examples[row, where, :] = -1
        share = 1.0 / min(integers[where, _COUNT] + 1, LEARNT_BEATS)
        for k in range(_POINTS):
            value = window[_BEGIN + _STEP * k + best_lag]
            all_shapes[row, where, k] += np.float32(share) * (value - all_shapes[row, where, k])
        all_examples[row, where, integers[where, _COUNT] % EXAMPLES] = r_sample[beat]
        integers[where, _COUNT] += 1
        integers[where, _LAST] = r_sample[beat]
        all_labels[row, where, label[beat]] += 1
        all_phases[row, where, phase[beat]] += 1


class ReviewBank(RowStage):
    """Clusters ectopic beats in the rows of a bank.

    Parameters
    ----------
    capacity : int
        Rows to begin with.
    """

    def __init__(self, *, capacity: int) -> None:
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("integers", np.int64, (CLUSTERS, 3))
        self._state.add("labels", np.int64, (CLUSTERS, _N_LABELS))
        self._state.add("phases", np.int64, (CLUSTERS, _PHASES))
        self._state.add("examples", np.int64, (CLUSTERS, EXAMPLES), -1)
        self._state.add("shape", np.float32, (CLUSTERS, _POINTS))
        self._state.add("left_out", np.int64)

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def process(self, beats: Beats, phases: IntArray) -> None:
        """Take new beats, classified, each with the index of its phase in `monitor.contract.EFFORT_PHASES`."""
        p = beats.probabilities
        ectopic = np.isin(beats.label, (_S, _V, _F)) | (p[:, _S] + p[:, _V] + p[:, _F] >= MAYBE_FROM)
        chosen = np.flatnonzero(ectopic & beats.complete)
        if not len(chosen):
            return
        state = self._state
        _enter(
            beats.rows[chosen],
            beats.r_sample[chosen],
            beats.label[chosen].astype(np.int64),
            phases[chosen],
            beats.window[chosen],
            state["integers"],
            state["labels"],
            state["phases"],
            state["examples"],
            state["shape"],
            state["left_out"],
        )

    def cards(self, row: int) -> list[ReviewCard]:
        """Return the clusters of one row, the one with the most ventricular beats first."""
        state = self._state
        cards = []
        for cluster in range(CLUSTERS):
            count, first, last = state["integers"][row, cluster].tolist()
            if count == 0:
                continue
            examples = state["examples"][row, cluster]
            cards.append(
                ReviewCard(
                    beats=count,
                    labels=dict(zip(LABELS, state["labels"][row, cluster].tolist(), strict=True)),
                    phases=dict(zip(EFFORT_PHASES, state["phases"][row, cluster].tolist(), strict=True)),
                    first_sample=first,
                    last_sample=last,
                    examples=np.sort(examples[examples >= 0]).tolist(),
                    shape=state["shape"][row, cluster].copy(),
                )
            )
        return sorted(cards, key=lambda card: (-card.labels["V"], -card.beats))

    def left_out(self, row: int) -> int:
        """Return how many beats of one row are on no card, because there was no room."""
        return int(self._state["left_out"][row])
