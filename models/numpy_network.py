"""Grunet in NumPy: the live monitor's runtime, quick to start and without torch.

Time is the first axis throughout, ``[steps, beats, channels]``, so that a convolution is one matrix product over
shifted views and a GRU step works on rows that lie together. Batch norms are folded into the convolutions before them;
a sigmoid is half a tanh, so its half is folded into the GRU's weights.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from monitor.contract import WINDOW_POINTS, FloatArray

Weights = Mapping[str, FloatArray]
_BATCH_NORM_EPSILON: Final = 1e-5


class _Convolution:
    """Convolution, batch norm and rectifier."""

    def __init__(self, weights: Weights, name: str) -> None:
        gain = weights[f"{name}.1.weight"] / np.sqrt(weights[f"{name}.1.running_var"] + _BATCH_NORM_EPSILON)
        kernel = weights[f"{name}.0.weight"] * gain[:, np.newaxis, np.newaxis]
        self.points = kernel.shape[2]
        # Rows in the order in which `__call__` lays the shifted views side by side.
        self.matrix = np.ascontiguousarray(kernel.transpose(2, 1, 0).reshape(-1, kernel.shape[0]), np.float32)
        self.bias = (weights[f"{name}.1.bias"] - weights[f"{name}.1.running_mean"] * gain).astype(np.float32)

    def product(self, columns: FloatArray) -> FloatArray:
        answer: FloatArray = columns @ self.matrix
        answer += self.bias
        return np.maximum(answer, 0, out=answer)

    def __call__(self, signal: FloatArray) -> FloatArray:
        steps, beats, channels = signal.shape
        if self.points == 1:
            return self.product(signal.reshape(-1, channels)).reshape(steps, beats, -1)
        half = self.points // 2
        columns = np.zeros((steps, beats, self.points, channels), np.float32)
        for k in range(self.points):
            first, end = max(half - k, 0), min(steps + half - k, steps)
            columns[first:end, :, k] = signal[first + k - half : end + k - half]
        return self.product(columns.reshape(steps * beats, -1)).reshape(steps, beats, -1)


class _Gru:
    """The standard GRU over time, from rest."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.units = len(weights[f"{name}.weight_ih_l0"]) // 3
        half = np.ones((3 * self.units, 1), np.float32)
        half[: 2 * self.units] = 0.5
        self.inner = np.ascontiguousarray((weights[f"{name}.weight_ih_l0"] * half).T)
        self.outer = np.ascontiguousarray((weights[f"{name}.weight_hh_l0"] * half).T)
        # Of the recurrent bias only the candidate's stays apart: it is multiplied by the reset gate.
        self.bias = weights[f"{name}.bias_ih_l0"] * half[:, 0]
        self.bias[: 2 * self.units] += weights[f"{name}.bias_hh_l0"][: 2 * self.units] * 0.5
        self.candidate_bias = weights[f"{name}.bias_hh_l0"][2 * self.units :]

    def __call__(self, signal: FloatArray) -> FloatArray:
        steps, beats, channels = signal.shape
        units, gates = self.units, 2 * self.units
        inner = (signal.reshape(-1, channels) @ self.inner).reshape(steps, beats, -1)
        inner += self.bias
        answer = np.empty((steps, beats, units), np.float32)
        state = np.zeros((beats, units), np.float32)
        for step in range(steps):
            outer = state @ self.outer
            gate = inner[step, :, :gates]
            gate += outer[:, :gates]
            np.tanh(gate, out=gate)
            gate *= np.float32(0.5)
            gate += np.float32(0.5)
            candidate = outer[:, gates:]
            candidate += self.candidate_bias
            candidate *= gate[:, :units]
            candidate += inner[step, :, gates:]
            np.tanh(candidate, out=candidate)
            state = np.subtract(state, candidate, out=answer[step])
            state *= gate[:, units:]
            state += candidate
        return answer


class _Down:
    def __init__(self, weights: Weights, name: str) -> None:
        self.first = _Convolution(weights, f"{name}.convolutions.0")
        self.second = _Convolution(weights, f"{name}.convolutions.1")
        self.gru = _Gru(weights, f"{name}.gru")

    def __call__(self, signal: FloatArray) -> FloatArray:
        pairs = len(signal) // 2 * 2
        shorter = np.maximum(signal[0:pairs:2], signal[1:pairs:2])
        return self.gru(self.second(self.first(shorter)))


def _up(convolution: _Convolution, signal: FloatArray, beside: FloatArray) -> FloatArray:
    longer = _stretch(len(signal), len(beside)) @ signal.reshape(len(signal), -1)
    longer = longer.reshape(len(beside), *signal.shape[1:])
    return convolution(np.concatenate([longer, beside], axis=2))


def _stretch(shorter: int, longer: int) -> FloatArray:
    """Return the matrix of linear interpolation between the middles of steps, shape ``[longer, shorter]``."""
    place = np.clip((np.arange(longer) + 0.5) * (shorter / longer) - 0.5, 0, shorter - 1)
    left = np.minimum(np.floor(place).astype(np.int64), max(shorter - 2, 0))
    share = (place - left).astype(np.float32)
    matrix = np.zeros((longer, shorter), np.float32)
    matrix[np.arange(longer), left] += 1 - share
    matrix[np.arange(longer), np.minimum(left + 1, shorter - 1)] += share
    return matrix


class NumpyGrunet:
    """The product's network, for answers only.

    Parameters
    ----------
    weights : mapping of str to ndarray of float32
        The tensors of `models.grunet.Grunet`, by name.
    config : mapping
        Its sizes, see `models.grunet.GrunetConfig`.
    """

    def __init__(self, weights: Weights, config: Mapping[str, Any]) -> None:
        self._stride = int(config["stem_stride"])
        self._bins = int(config["out_bins"])
        self._stem = _Convolution(weights, "stem")
        self._down = [_Down(weights, f"down{step}") for step in (1, 2, 3)]
        self._up2 = _Convolution(weights, "up2.convolution")
        self._up1 = _Convolution(weights, "up1.convolution")
        self._out = _Convolution(weights, "out_convolution")
        self._layers = {
            name: (np.ascontiguousarray(weights[f"{name}.weight"].T), weights[f"{name}.bias"])
            for name in ("context.1", "context.3", "head.1", "head.3")
        }

    def __call__(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return logits ``[beats, 5]`` of encoded windows ``[beats, 2, 600]`` and contexts."""
        return self.logits(self.hidden(window, context))

    def logits(self, hidden: FloatArray) -> FloatArray:
        """Return logits ``[beats, 5]`` of the last hidden layer."""
        return self._linear("head.3", hidden, rectify=False)

    def hidden(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return the last hidden layer ``[beats, head_width]`` of encoded windows and contexts."""
        beats = len(window)
        long = self._down[0](self._shorten(window))
        middle = self._down[1](long)
        signal = _up(self._up2, self._down[2](middle), middle)
        shape = self._out(_up(self._up1, signal, long))
        pooled = shape.reshape(self._bins, -1, *shape.shape[1:]).mean(axis=1)
        # The head knows channels before time.
        flat = pooled.transpose(1, 2, 0).reshape(beats, -1)
        known = self._linear("context.3", self._linear("context.1", context, rectify=True), rectify=True)
        joint = np.concatenate([flat, known], axis=1)
        return self._linear("head.1", joint, rectify=True)

    def _shorten(self, window: FloatArray) -> FloatArray:
        stem = self._stem
        half = stem.points // 2
        padded = np.zeros((*window.shape[:2], WINDOW_POINTS + 2 * half), np.float32)
        padded[:, :, half : half + WINDOW_POINTS] = window
        views = sliding_window_view(padded, stem.points, axis=2)[:, :, :: self._stride]
        columns = views.transpose(2, 0, 3, 1)
        steps, beats = columns.shape[:2]
        return stem.product(columns.reshape(steps * beats, -1)).reshape(steps, beats, -1)

    def _linear(self, name: str, values: FloatArray, *, rectify: bool) -> FloatArray:
        matrix, bias = self._layers[name]
        answer: FloatArray = values @ matrix
        answer += bias
        return np.maximum(answer, 0, out=answer) if rectify else answer
