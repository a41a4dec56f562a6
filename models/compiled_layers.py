"""Layers for training on a processor: what torch's layers compute, forwards and backwards, several times as fast.

Each function takes a torch layer's own parameters and tensors laid out ``[time, channel, beat]``, so a network keeps
its modules, its weights and its checkpoints. Results and slopes equal torch's up to the order of sums
(`tests/models/test_compiled_layers.py`); `benchmarks/training.py` measures both side by side. `Gru` is a drop-in for
`torch.nn.GRU` where the rest of a network stays as it is.
"""

import ctypes
import ctypes.util
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function

from models import compiled_loops as loops
from monitor.contract import FloatArray

_TRIM_THRESHOLD: Final = -1
_MMAP_THRESHOLD: Final = -3
_LARGEST_KEPT: Final = 32 << 20


def keep_freed_memory() -> bool:
    """Let the C library keep what is freed for the next step, instead of giving it back and asking again.

    A training step frees and takes some hundred megabytes; having every page zeroed anew costs an eighth of it.

    Returns
    -------
    bool
        Whether the C library has that switch (glibc's `mallopt`).
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if ctypes.util.find_library("c") else None
    if mallopt is None:
        return False
    return bool(mallopt(_MMAP_THRESHOLD, _LARGEST_KEPT)) and bool(mallopt(_TRIM_THRESHOLD, 2**31 - 1))


def _array(tensor: Tensor) -> FloatArray:
    return cast("FloatArray", tensor.detach().contiguous().numpy())


def _columns(weight: Tensor) -> Tensor:
    """Return a kernel ``[outputs, inputs, points]`` as `compiled_loops.convolve` reads it."""
    return weight.detach().transpose(1, 2).flatten(1).contiguous()


class _Convolution(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(signal, weight)
        out = signal.new_empty(len(signal), len(weight), signal.shape[2])
        loops.convolve(_array(signal), _array(_columns(weight)), weight.shape[2], out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, Tensor]:
        signal, weight = ctx.saved_tensors
        slope = _array(slopes[0])
        points = weight.shape[2]
        of_signal = None
        if ctx.needs_input_grad[0]:
            # Each point goes where it came from: channels change sides, and the kernel runs backwards.
            turned = _columns(weight.transpose(0, 1).flip(2))
            of_signal = torch.empty_like(signal)
            loops.convolve(slope, _array(turned), points, of_signal.numpy())
        of_weight = torch.zeros(len(weight), points * weight.shape[1])
        loops.convolution_weights(_array(signal), slope, points, of_weight.numpy())
        return of_signal, of_weight.reshape(len(weight), points, -1).transpose(1, 2).contiguous()


class _NormRectified(Function):
    @staticmethod
    def forward(
        ctx: Any, signal: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, deviation: Tensor
    ) -> Tensor:
        scale = weight.detach() / deviation
        shift = bias.detach() - mean * scale
        ctx.save_for_backward(signal, scale, shift, mean, deviation)
        out = torch.empty_like(signal)
        loops.scale_and_rectify(_array(signal), scale.numpy(), shift.numpy(), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        signal, scale, shift, mean, deviation = ctx.saved_tensors
        of_signal, of_weight, of_bias = (
            torch.empty_like(signal),
            torch.empty_like(scale),
            torch.empty_like(scale),
        )
        loops.normalised_slopes(
            *(_array(each) for each in (signal, slopes[0], scale, shift, mean, deviation)),
            *(each.numpy() for each in (of_signal, of_weight, of_bias)),
        )
        return of_signal, of_weight, of_bias, None, None


class _Halved(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor) -> Tensor:
        ctx.save_for_backward(signal)
        out = signal.new_empty(len(signal) // 2, *signal.shape[1:])
        loops.halve(_array(signal), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Tensor:
        (signal,) = ctx.saved_tensors
        of_signal = torch.empty_like(signal)
        loops.halved_slope(_array(signal), _array(slopes[0]), of_signal.numpy())
        return of_signal


class _WidenedBeside(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, beside: Tensor) -> Tensor:
        ctx.shapes = signal.shape, beside.shape
        out = signal.new_empty(len(beside), signal.shape[1] + beside.shape[1], signal.shape[2])
        loops.widen_beside(_array(signal), _array(beside), out.numpy())
        return out

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, Tensor]:
        of_signal, of_beside = (torch.empty(shape) for shape in ctx.shapes)
        loops.widened_slopes(_array(slopes[0]), of_signal.numpy(), of_beside.numpy())
        return of_signal, of_beside


class _Gru(Function):
    @staticmethod
    def forward(
        ctx: Any, signal: Tensor, weight_in: Tensor, weight_on: Tensor, bias_in: Tensor, bias_on: Tensor
    ) -> Tensor:
        times, _, beats = signal.shape
        units = weight_on.shape[1]
        kept, states = signal.new_empty(times, 4 * units, beats), signal.new_empty(times, units, beats)
        weights = _array(weight_in), _array(weight_on), _array(bias_in), _array(bias_on)
        loops.gru(_array(signal), *weights, kept.numpy(), states.numpy())
        ctx.save_for_backward(signal, weight_in, weight_on, kept, states)
        return states

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, ...]:
        signal, weight_in, weight_on, kept, states = ctx.saved_tensors
        of_signal = torch.empty_like(signal)
        of_in, of_on = torch.zeros_like(weight_in), torch.zeros_like(weight_on)
        of_biases = torch.zeros(2, len(weight_in))
        loops.gru_slopes(
            *(_array(each) for each in (signal, states, kept, slopes[0], weight_in.T, weight_on.T)),
            *(each.numpy() for each in (of_signal, of_in, of_on, of_biases)),
        )
        return of_signal, of_in, of_on, of_biases[0], of_biases[1]


class _Rnn(Function):
    @staticmethod
    def forward(ctx: Any, signal: Tensor, weight_in: Tensor, weight_on: Tensor, bias: Tensor) -> Tensor:
        states = signal.new_empty(len(signal), len(weight_on), signal.shape[2])
        loops.rnn(_array(signal), _array(weight_in), _array(weight_on), _array(bias), states.numpy())
        ctx.save_for_backward(signal, weight_in, weight_on, states)
        return states

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor, ...]:
        signal, weight_in, weight_on, states = ctx.saved_tensors
        of_signal = torch.empty_like(signal)
        of_in, of_on = torch.zeros_like(weight_in), torch.zeros_like(weight_on)
        of_bias = torch.zeros(len(weight_in))
        loops.rnn_slopes(
            *(_array(each) for each in (signal, states, slopes[0], weight_in.T, weight_on.T)),
            *(each.numpy() for each in (of_signal, of_in, of_on, of_bias)),
        )
        return of_signal, of_in, of_on, of_bias


def _apply(function: type[Function], *inputs: Tensor) -> Tensor:
    return cast("Tensor", function.apply(*inputs))  # type: ignore[no-untyped-call] # torch leaves it so


def convolve(signal: Tensor, layer: nn.Conv1d) -> Tensor:
    """Return what a convolution gives that keeps the number of points.

    Parameters
    ----------
    signal : Tensor, shape ``[time, inputs, beats]``
        float32, on the processor.
    layer : Conv1d
        Odd kernel, padded by half of it, stride 1.

    Returns
    -------
    Tensor, shape ``[time, outputs, beats]``

    Raises
    ------
    ValueError
        If the layer is another kind of convolution.
    """
    points = layer.kernel_size[0]
    if points % 2 == 0 or layer.padding != (points // 2,) or layer.stride != (1,) or layer.groups != 1:
        raise ValueError(
            f"{layer}: take a convolution of odd kernel, stride 1 and padding of half the kernel"
        )
    out = _apply(_Convolution, signal, layer.weight)
    return out if layer.bias is None else out + layer.bias[:, None]


def normalise_and_rectify(signal: Tensor, layer: nn.BatchNorm1d) -> Tensor:
    """Return what a batch norm in training and a rectifier after it give; its running values move as torch's do.

    Parameters
    ----------
    signal : Tensor, shape ``[time, channels, beats]``
        float32, on the processor.
    layer : BatchNorm1d
        In training, with weight, bias, running values and a fixed momentum.

    Raises
    ------
    ValueError
        If the layer is another kind of batch norm, or not in training.
    """
    mean, variance, momentum = layer.running_mean, layer.running_var, layer.momentum
    if not layer.training or mean is None or variance is None or momentum is None or not layer.affine:
        raise ValueError(
            f"{layer}: take a batch norm in training, with weight, bias, running values and a momentum"
        )
    seen_mean, seen_variance = np.empty(signal.shape[1]), np.empty(signal.shape[1])
    loops.moments(_array(signal), seen_mean, seen_variance)
    n = len(signal) * signal.shape[2]
    with torch.no_grad():
        mean.lerp_(torch.from_numpy(seen_mean).float(), momentum)
        variance.lerp_(torch.from_numpy(seen_variance * n / (n - 1)).float(), momentum)
        if layer.num_batches_tracked is not None:
            layer.num_batches_tracked.add_(1)
    deviation = np.sqrt(seen_variance + layer.eps)
    own = (torch.from_numpy(each).float() for each in (seen_mean, deviation))
    return _apply(_NormRectified, signal, layer.weight, layer.bias, *own)


def halve(signal: Tensor) -> Tensor:
    """Return max-pooling by 2 of ``[time, channels, beats]``; an odd last point is dropped."""
    return _apply(_Halved, signal)


def widen_beside(signal: Tensor, beside: Tensor) -> Tensor:
    """Return `signal`, interpolated linearly to the length of `beside`, and `beside` after its channels."""
    return _apply(_WidenedBeside, signal, beside)


def gru(signal: Tensor, layer: nn.GRU) -> Tensor:
    """Return the states ``[time, units, beats]`` of a GRU that begins with zeros.

    Parameters
    ----------
    signal : Tensor, shape ``[time, inputs, beats]``
        float32, on the processor.
    layer : GRU
        One layer, one direction, with biases.

    Raises
    ------
    ValueError
        If the layer is another kind of GRU.
    """
    return _apply(_Gru, signal, *_parameters(layer))


def rnn(signal: Tensor, layer: nn.RNN) -> Tensor:
    """Return the states of a recurrent layer with tanh; see `gru`."""
    weight_in, weight_on, bias_in, bias_on = _parameters(layer)
    if layer.nonlinearity != "tanh":
        raise ValueError(f"{layer}: take a recurrent layer with tanh")
    return _apply(_Rnn, signal, weight_in, weight_on, bias_in + bias_on)


def _parameters(layer: nn.RNNBase) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    if layer.num_layers != 1 or layer.bidirectional or not layer.bias or layer.proj_size:
        raise ValueError(f"{layer}: take one layer in one direction, with biases and without projection")
    ((weight_in, weight_on, bias_in, bias_on),) = layer.all_weights
    return weight_in, weight_on, bias_in, bias_on
