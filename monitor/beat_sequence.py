"""What a beat is among the athlete's last beats: its RR interval and its P wave against those before it.

A beat alone, however well its shape is known, does not tell an early beat where early beats are the rule, nor an
irregular one where all are. This stage describes each beat by the last 32: RR against the long intervals among them
(pauses show the sinus rate that a run of early beats hides), whether it is of a run that began from one beat to the
next, how irregular they are, how far P waves agree with each other, and what the beats before were called. What it says
goes, with the class of the beat alone, to a small network.

Sources: D. E. Lake, J. R. Moorman, "Accurate estimation of entropy in very short physiological time series: the problem
of atrial fibrillation detection in implanted ventricular devices", Am. J. Physiol. 300 (2011), for the coefficient of
sample entropy; J. Lian, L. Wang, D. Muessig, "A simple method to detect atrial fibrillation using RR intervals", Am. J.
Cardiol. 107 (2011), for cells in the map of RR intervals against their changes.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import (
    AAMI_CLASSES,
    CONTEXT_FIELDS,
    WINDOW_POINTS,
    Beats,
    FloatArray,
    IntArray,
    RowState,
)
from monitor.qrs_presence import lacks_qrs
from monitor.rows import Rows, RowStage
from monitor.sequence_network import SequenceNetwork
from monitor.sudden_onset import follow_run
from monitor.template import LONG_GAP_S

SEQUENCE_FIELDS: Final = (
    "rr_before_long_ratio",
    "rr_before_longer_ratio",
    "rr_before_longest_ratio",
    "rr_after_long_ratio",
    "rr_before_recent_ratio",
    "rr_before_previous_ratio",
    "rr_previous_second_ratio",
    "rr_after_before_ratio",
    "rr_change_ratio",
    "rr_change_share",
    "rr_cells_share",
    "rr_entropy",
    "rr_long_spread_ratio",
    "rr_known_share",
    "p_coherence",
    "n_share_slow",
    "s_share_slow",
    "v_share_slow",
    "n_share_fast",
    "s_share_fast",
    "v_share_fast",
    "n_before",
    "s_before",
    "v_before",
    "n_second",
    "s_second",
    "v_second",
    "rr_before_usual_ratio",
    "rr_before_high_ratio",
    "run_rr_ratio",
    "run_onset_ratio",
    "run_length",
)
"""What the stage adds to a beat, in order; NaN where unknown."""
RR_KEPT: Final = 32
_LEAST_RR: Final = 6
_R: Final = WINDOW_POINTS // 2
_P_FIRST: Final = _R - 96
_P_POINTS: Final = 36
_P_STEP: Final = 2
_QRS: Final = (_R - 36, _R + 54)
_LIKE: Final = 0.8
_LIKENESS: Final = CONTEXT_FIELDS.index("qrs_correlation")
_USUAL: Final = CONTEXT_FIELDS.index("rr_before_usual_ratio")
_HIGH: Final = CONTEXT_FIELDS.index("rr_before_high_ratio")
_MEAN_SHARE: Final = 1 / 16
# Classes N, S and V of the beats before: means over some 33 and some 5 beats.
_NAMED: Final = 3
_SLOW: Final = np.float32(0.03)
_FAST: Final = np.float32(0.2)
_LONG_RUN: Final = 10
"""Doublings of a run's length that come to 1."""
_CELL_S: Final = 0.025
_NEAR_S: Final = 0.03


@compiled
def _p_wave(window: NDArray[np.float32], tall: float, out: NDArray[np.float32]) -> None:
    """Fill in the P zone without its straight line, over the height of the QRS."""
    n = len(out)
    mean = 0.0
    slope = 0.0
    size = 0.0
    for j in range(n):
        at = _P_FIRST + j * _P_STEP
        out[j] = (window[at] + window[at + 1]) / 2 / tall
        mean += out[j]
        slope += out[j] * (j - (n - 1) / 2)
        size += (j - (n - 1) / 2) ** 2
    mean /= n
    slope /= size
    for j in range(n):
        out[j] -= mean + slope * (j - (n - 1) / 2)


@compiled
def _height(window: NDArray[np.float32], first: int, end: int) -> float:
    low = window[first]
    high = window[first]
    for j in range(first, end):
        low = min(low, window[j])
        high = max(high, window[j])
    return float(high - low)


@compiled
def _rhythm(rr: float, after: float, last: NDArray[np.float32], out: NDArray[np.float32]) -> None:
    """Fill in what the last RR intervals, the newest first, say."""
    n = len(last)
    out[13] = n / RR_KEPT
    if n > 0:
        out[5] = rr / last[0]
    if n > 1:
        out[6] = last[0] / last[1]
    out[7] = after / rr
    if n < _LEAST_RR:
        return
    ordered = np.sort(last)
    recent = np.sort(last[: min(n, 16)])
    long = ordered[(n * 9) // 10]
    middle = ordered[n // 2]
    out[0] = rr / long
    out[1] = rr / recent[(len(recent) * 3) // 4]
    out[2] = rr / last[:6].max()
    out[3] = after / long
    out[4] = rr / np.median(last[:8])
    out[12] = long / middle
    change = np.abs(last[1:] - last[:-1])
    out[8] = np.median(change) / middle
    out[9] = (change > 0.1 * middle).mean()
    cells = np.empty(n - 1, np.int64)
    for k in range(n - 1):
        cells[k] = int(last[k] / _CELL_S) * 4096 + int((last[k] - last[k + 1]) / _CELL_S + 2048.5)
    cells.sort()
    distinct = 1
    for k in range(1, n - 1):
        distinct += cells[k] != cells[k - 1]
    out[10] = distinct / (n - 1)
    near = 0
    both = 0
    for i in range(n - 1):
        for j in range(i + 1, n - 1):
            if abs(last[i] - last[j]) < _NEAR_S:
                near += 1
                both += abs(last[i + 1] - last[j + 1]) < _NEAR_S
    out[11] = -np.log((both + 0.5) / (near + 1.0)) - np.log(last.mean() / 0.8)


@compiled
def _describe(  # noqa: C901 - one pass over the beats; numba inlines no closures over many arrays
    rows: NDArray[np.int64],
    r_sample: NDArray[np.int64],
    complete: NDArray[np.bool_],
    window: NDArray[np.float32],
    template: NDArray[np.float32],
    context: NDArray[np.float32],
    probabilities: NDArray[np.float32],
    rate_hz: float,
    last_r: NDArray[np.int64],
    last_rr: NDArray[np.float32],
    rr_count: NDArray[np.int64],
    p_mean: NDArray[np.float32],
    p_energy: NDArray[np.float32],
    p_count: NDArray[np.int64],
    shares: NDArray[np.float32],
    share_weights: NDArray[np.float32],
    last_classes: NDArray[np.float32],
    run_level: NDArray[np.float32],
    run_first: NDArray[np.float32],
    run_means: NDArray[np.float32],
    run_length: NDArray[np.int64],
    out: NDArray[np.float32],
) -> None:
    wave = np.empty(_P_POINTS, np.float32)
    for i in range(len(rows)):
        row = rows[i]
        if last_r[row] >= 0 and (r_sample[i] - last_r[row]) / rate_hz > LONG_GAP_S:
            rr_count[row] = 0
            p_count[row] = 0
            shares[row] = 0.0
            share_weights[row] = 0.0
            last_classes[row] = 0.0
            run_length[row] = 0
        last_r[row] = r_sample[i]
        rr = context[i, 0]
        known = min(rr_count[row], RR_KEPT)
        _rhythm(rr, context[i, 1], last_rr[row, :known], out[i])
        out[i, 27] = context[i, _USUAL]
        out[i, 28] = context[i, _HIGH]
        follow_run(rr, out[i, 27], last_rr[row, :known], row, run_level, run_first, run_means, run_length)
        out[i, 31] = np.log2(1.0 + run_length[row]) / _LONG_RUN
        if run_length[row] > 0:
            out[i, 29] = rr / run_level[row]
            out[i, 30] = run_first[row] / run_level[row]
        like = context[i, _LIKENESS]
        # A beat that no backend could name says nothing of the classes.
        if probabilities[i].sum() > 0.5:
            for c in range(_NAMED):
                for k in range(2):
                    out[i, 15 + k * _NAMED + c] = shares[row, k, c] / max(share_weights[row, k], 1e-6)
                    out[i, 21 + k * _NAMED + c] = last_classes[row, k, c]
                shares[row, 0, c] += _SLOW * (probabilities[i, c] - shares[row, 0, c])
                shares[row, 1, c] += _FAST * (probabilities[i, c] - shares[row, 1, c])
                last_classes[row, 1, c] = last_classes[row, 0, c]
                last_classes[row, 0, c] = probabilities[i, c]
            share_weights[row, 0] += _SLOW * (1 - share_weights[row, 0])
            share_weights[row, 1] += _FAST * (1 - share_weights[row, 1])
        if complete[i]:
            tall = _height(template[i], _QRS[0], _QRS[1])
            if tall < 1e-4:
                tall = _height(window[i], _QRS[0], _QRS[1]) + 1e-4
            _p_wave(window[i], tall, wave)
            if p_count[row] > 0:
                out[i, 14] = (p_mean[row] ** 2).mean() / (p_energy[row] + 1e-9)
            # A beat of another shape has no P wave where this looks, or none at all.
            if not like < _LIKE:
                share = max(1.0 / (p_count[row] + 1.0), _MEAN_SHARE)
                p_mean[row] += np.float32(share) * (wave - p_mean[row])
                p_energy[row] += np.float32(share) * ((wave**2).mean() - p_energy[row])
                p_count[row] += 1
        if not np.isnan(rr):
            for k in range(RR_KEPT - 1, 0, -1):
                last_rr[row, k] = last_rr[row, k - 1]
            last_rr[row, 0] = rr
            rr_count[row] += 1


_CORRECTION: Final = "correction"


class SequenceBank(RowStage):
    """Judges each beat among the athlete's last beats, then learns from it.

    Adds no delay: it works on beats whose window has closed, in the order in which they did.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    network : SequenceNetwork, optional
        Without one beats keep the class that they have alone.
    """

    def __init__(self, rate_hz: float, *, capacity: int, network: SequenceNetwork | None = None) -> None:
        self._rate_hz = rate_hz
        self._network = network
        self._state = Rows(version=4, capacity=capacity)
        self._state.add("last_r", np.int64, fill=-1)
        self._state.add("last_rr", np.float32, (RR_KEPT,))
        self._state.add("rr_count", np.int64)
        self._state.add("p_mean", np.float32, (_P_POINTS,))
        self._state.add("p_energy", np.float32)
        self._state.add("p_count", np.int64)
        self._state.add("shares", np.float32, (2, _NAMED))
        self._state.add("share_weights", np.float32, (2,))
        self._state.add("last_classes", np.float32, (2, _NAMED))
        self._state.add("run_level", np.float32)
        self._state.add("run_first", np.float32)
        self._state.add("run_means", np.float32, (2,))
        self._state.add("run_length", np.int64)
        # Hardly anybody has one, and in every row it would take as much as all the rest.
        self._corrections: dict[int, FloatArray] = {}

    def process(self, beats: Beats) -> Beats:
        """Return `beats`, which have the class that each has alone, with the class that they have in sequence."""
        network = self._network
        if network is None or len(beats) == 0:
            return beats
        hidden, logits = network.layers(beats.probabilities, self.describe(beats))
        for row, correction in self._corrections.items():
            own = beats.rows == row
            if own.any():
                # One product a beat: a product over all of them would depend on how many come together.
                by_hidden = np.matmul(correction[:, :-1], hidden[own][:, :, np.newaxis])[:, :, 0]
                logits[own] += by_hidden + correction[:, -1]
        exponential = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities = exponential / exponential.sum(axis=1, keepdims=True)
        # Cut short, or no backend could name them.
        probabilities[~beats.probabilities.any(axis=1)] = 0.0
        empty = lacks_qrs(beats.window, beats.template)
        return beats.classified(probabilities, network.labels(probabilities, beats.quality, empty))

    def describe(self, beats: Beats) -> FloatArray:
        """Move on by `beats`; return their `SEQUENCE_FIELDS`, float32 of shape ``[beats, len(SEQUENCE_FIELDS)]``."""
        described = np.full((len(beats), len(SEQUENCE_FIELDS)), np.nan, np.float32)
        state = self._state
        _describe(
            beats.rows,
            beats.r_sample,
            beats.complete,
            beats.window,
            beats.template,
            beats.context,
            beats.probabilities,
            self._rate_hz,
            state["last_r"],
            state["last_rr"],
            state["rr_count"],
            state["p_mean"],
            state["p_energy"],
            state["p_count"],
            state["shares"],
            state["share_weights"],
            state["last_classes"],
            state["run_level"],
            state["run_first"],
            state["run_means"],
            state["run_length"],
            described,
        )
        return described

    def correct(self, row: int, correction: FloatArray | None) -> None:
        """Let one row's logits be corrected by what `SequenceNetwork.layers` gives; None for no longer.

        Parameters
        ----------
        row : int
            Of the bank.
        correction : ndarray of float32, shape ``[5, hidden + 1]``, or None
            Weights, and a constant last.

        Raises
        ------
        ValueError
            If the shape is another.
        """
        if correction is None:
            self._corrections.pop(row, None)
            return
        needed = (len(AAMI_CLASSES), (self._network.hidden if self._network is not None else 0) + 1)
        if correction.shape != needed:
            raise ValueError(f"correction has shape {correction.shape}, {needed} is needed")
        self._corrections[row] = correction.copy()

    def forget(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)
        for row in rows.tolist():
            self._corrections.pop(row, None)

    def export_row(self, row: int) -> RowState:
        """Return a copy of one row's state, with its correction if it has one."""
        state = super().export_row(row)
        correction = self._corrections.get(row)
        return state if correction is None else {**state, _CORRECTION: correction.copy()}

    def import_row(self, row: int, state: RowState) -> None:
        """Take over what `export_row` gave.

        Raises
        ------
        ValueError
            If it is not of this stage and version; nothing is changed then.
        """
        before, kept = self._corrections.get(row), state.get(_CORRECTION)
        if kept is not None and kept.dtype.kind != "f":
            raise ValueError(f"correction is {kept.dtype}, float32 is needed")
        self.correct(row, None if kept is None else kept.astype(np.float32))
        try:
            super().import_row(row, {name: value for name, value in state.items() if name != _CORRECTION})
        except ValueError:
            self.correct(row, before)
            raise
