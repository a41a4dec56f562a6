"""Loops behind `models.compiled_layers`: every array is laid out ``[time, channel, beat]``, beats last.

With beats innermost each loop runs along memory whatever the number of channels, a convolution's neighbourhood of
one point is one block of memory, and a recurrent step is a small matrix product. On a processor without a graphics
card that is several times as fast as general kernels are at these small widths; `benchmarks/training.py` prints it.

One file holds them all, because numba asks only whether a function's own file has changed when it takes machine code
from its cache.
"""

from collections.abc import Callable
from typing import Final, ParamSpec, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_TALL: Final = 8
_WIDE: Final = 4
_ZERO: Final = np.float32(0)
_HALF: Final = np.float32(0.5)
_ONE: Final = np.float32(1)
_TWO: Final = np.float32(2)
_LOG2_E: Final = np.float32(np.log2(np.e))
_LIMIT: Final = np.float32(120)
_EXPONENT_OF_ONE: Final = np.float32(127)
_EXPONENT_STEP: Final = np.int32(1 << 23)
_C1, _C2, _C3, _C4, _C5, _C6 = (
    np.float32(np.log(2) ** n / k) for n, k in ((1, 1), (2, 2), (3, 6), (4, 24), (5, 120), (6, 720))
)
"""Of the series of 2 to the power of x."""


def _loop(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    # Sums may be taken in any order, which is what lets them run over several beats at once.
    decorate = numba.njit(
        cache=True, nogil=True, error_model="numpy", fastmath={"reassoc", "contract", "nsz", "arcp"}
    )
    return cast("Callable[_Parameters, _Result]", decorate(function))


@_loop
def _sigmoid(x: np.float32) -> np.float32:
    power = min(max(-x * _LOG2_E, -_LIMIT), _LIMIT)
    whole = np.floor(power + _HALF)
    rest = power - whole
    fraction = _ONE + rest * (_C1 + rest * (_C2 + rest * (_C3 + rest * (_C4 + rest * (_C5 + rest * _C6)))))
    # The whole part of the power is put where a float keeps its exponent.
    scale = np.int32(np.int32(whole + _EXPONENT_OF_ONE) * _EXPONENT_STEP).view(np.float32)
    return np.float32(_ONE / (_ONE + fraction * scale))


@_loop
def add_product(weight: FloatArray, skip: int, rows: FloatArray, out: FloatArray) -> None:
    """Add to `out` ``[m, beats]`` the product of ``weight[:, skip : skip + k]`` and `rows` ``[k, beats]``.

    Eight by four at a time: as many weights as registers hold, and few passes over `out`.
    """
    m, k, beats = out.shape[0], rows.shape[0], rows.shape[1]
    tall, wide = m - m % _TALL, k - k % _WIDE
    for i in range(0, tall, _TALL):
        o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
        o4, o5, o6, o7 = out[i + 4], out[i + 5], out[i + 6], out[i + 7]
        w0, w1, w2, w3 = weight[i], weight[i + 1], weight[i + 2], weight[i + 3]
        w4, w5, w6, w7 = weight[i + 4], weight[i + 5], weight[i + 6], weight[i + 7]
        for p in range(0, wide, _WIDE):
            x0, x1, x2, x3 = rows[p], rows[p + 1], rows[p + 2], rows[p + 3]
            q = skip + p
            a00, a01, a02, a03 = w0[q], w0[q + 1], w0[q + 2], w0[q + 3]
            a10, a11, a12, a13 = w1[q], w1[q + 1], w1[q + 2], w1[q + 3]
            a20, a21, a22, a23 = w2[q], w2[q + 1], w2[q + 2], w2[q + 3]
            a30, a31, a32, a33 = w3[q], w3[q + 1], w3[q + 2], w3[q + 3]
            a40, a41, a42, a43 = w4[q], w4[q + 1], w4[q + 2], w4[q + 3]
            a50, a51, a52, a53 = w5[q], w5[q + 1], w5[q + 2], w5[q + 3]
            a60, a61, a62, a63 = w6[q], w6[q + 1], w6[q + 2], w6[q + 3]
            a70, a71, a72, a73 = w7[q], w7[q + 1], w7[q + 2], w7[q + 3]
            for b in range(beats):
                y0, y1, y2, y3 = x0[b], x1[b], x2[b], x3[b]
                o0[b] += a00 * y0 + a01 * y1 + a02 * y2 + a03 * y3
                o1[b] += a10 * y0 + a11 * y1 + a12 * y2 + a13 * y3
                o2[b] += a20 * y0 + a21 * y1 + a22 * y2 + a23 * y3
                o3[b] += a30 * y0 + a31 * y1 + a32 * y2 + a33 * y3
                o4[b] += a40 * y0 + a41 * y1 + a42 * y2 + a43 * y3
                o5[b] += a50 * y0 + a51 * y1 + a52 * y2 + a53 * y3
                o6[b] += a60 * y0 + a61 * y1 + a62 * y2 + a63 * y3
                o7[b] += a70 * y0 + a71 * y1 + a72 * y2 + a73 * y3
    for i in range(m):
        for p in range(wide if i < tall else 0, k):
            one, row, factor = out[i], rows[p], weight[i, skip + p]
            for b in range(beats):
                one[b] += factor * row[b]


@_loop
def add_outer(left: FloatArray, right: FloatArray, skip: int, out: FloatArray) -> None:
    """Add to ``out[:, skip : skip + k]`` the product over beats of `left` ``[m, beats]`` and `right` ``[k, beats]``."""
    m, k, beats = left.shape[0], right.shape[0], left.shape[1]
    tall, wide = m - m % _WIDE, k - k % _WIDE
    for i in range(0, tall, _WIDE):
        d0, d1, d2, d3 = left[i], left[i + 1], left[i + 2], left[i + 3]
        for p in range(0, wide, _WIDE):
            x0, x1, x2, x3 = right[p], right[p + 1], right[p + 2], right[p + 3]
            a00 = a01 = a02 = a03 = a10 = a11 = a12 = a13 = _ZERO
            a20 = a21 = a22 = a23 = a30 = a31 = a32 = a33 = _ZERO
            for b in range(beats):
                e0, e1, e2, e3 = d0[b], d1[b], d2[b], d3[b]
                y0, y1, y2, y3 = x0[b], x1[b], x2[b], x3[b]
                a00 += e0 * y0
                a01 += e0 * y1
                a02 += e0 * y2
                a03 += e0 * y3
                a10 += e1 * y0
                a11 += e1 * y1
                a12 += e1 * y2
                a13 += e1 * y3
                a20 += e2 * y0
                a21 += e2 * y1
                a22 += e2 * y2
                a23 += e2 * y3
                a30 += e3 * y0
                a31 += e3 * y1
                a32 += e3 * y2
                a33 += e3 * y3
            o0, o1, o2, o3 = out[i], out[i + 1], out[i + 2], out[i + 3]
            q = skip + p
            o0[q] += a00
            o0[q + 1] += a01
            o0[q + 2] += a02
            o0[q + 3] += a03
            o1[q] += a10
            o1[q + 1] += a11
            o1[q + 2] += a12
            o1[q + 3] += a13
            o2[q] += a20
            o2[q + 1] += a21
            o2[q + 2] += a22
            o2[q + 3] += a23
            o3[q] += a30
            o3[q + 1] += a31
            o3[q + 2] += a32
            o3[q + 3] += a33
    for i in range(m):
        for p in range(wide if i < tall else 0, k):
            one, row, total = left[i], right[p], _ZERO
            for b in range(beats):
                total += one[b] * row[b]
            out[i, skip + p] += total


@_loop
def convolve(signal: FloatArray, weight: FloatArray, kernel: int, out: FloatArray) -> None:
    """Convolve over time, as many points out as in.

    Parameters
    ----------
    signal : ndarray of float32, shape ``[time, inputs, beats]``
        Points beyond its ends are zero.
    weight : ndarray of float32, shape ``[outputs, kernel * inputs]``
        The kernel's points one after the other.
    kernel : int
        Odd.
    out : ndarray of float32, shape ``[time, outputs, beats]``
        Overwritten.
    """
    times, inputs, beats = signal.shape
    rows, reach = signal.reshape(times * inputs, beats), kernel // 2
    for t in range(times):
        out[t] = _ZERO
        first, last = max(t - reach, 0), min(t + reach + 1, times)
        add_product(weight, (first - t + reach) * inputs, rows[first * inputs : last * inputs], out[t])


@_loop
def convolution_weights(signal: FloatArray, slope: FloatArray, kernel: int, out: FloatArray) -> None:
    """Add to `out` the slope of `convolve`'s weights, given that of what came out."""
    times, inputs, beats = signal.shape
    rows, reach = signal.reshape(times * inputs, beats), kernel // 2
    for t in range(times):
        first, last = max(t - reach, 0), min(t + reach + 1, times)
        add_outer(slope[t], rows[first * inputs : last * inputs], (first - t + reach) * inputs, out)


@_loop
def moments(signal: FloatArray, mean: NDArray[np.float64], variance: NDArray[np.float64]) -> None:
    """Write each channel's mean and variance over time and beats (T. F. Chan et al., 1983: merged row by row)."""
    times, channels, beats = signal.shape
    for c in range(channels):
        middle, squares, seen = 0.0, 0.0, 0
        for t in range(times):
            row = signal[t, c]
            total = _ZERO
            for b in range(beats):
                total += row[b]
            own = total / np.float32(beats)
            spread = _ZERO
            for b in range(beats):
                off = row[b] - own
                spread += off * off
            step = np.float64(own) - middle
            middle += step * beats / (seen + beats)
            squares += spread + step * step * seen * beats / (seen + beats)
            seen += beats
        mean[c], variance[c] = middle, squares / seen


@_loop
def scale_and_rectify(signal: FloatArray, scale: FloatArray, shift: FloatArray, out: FloatArray) -> None:
    """Write ``max(signal * scale + shift, 0)``, channel by channel."""
    times, channels, beats = signal.shape
    for t in range(times):
        for c in range(channels):
            row, one, by, more = signal[t, c], out[t, c], scale[c], shift[c]
            for b in range(beats):
                one[b] = max(row[b] * by + more, _ZERO)


@_loop
def normalised_slopes(
    signal: FloatArray,
    slope: FloatArray,
    scale: FloatArray,
    shift: FloatArray,
    mean: FloatArray,
    deviation: FloatArray,
    out: FloatArray,
    of_weight: FloatArray,
    of_bias: FloatArray,
) -> None:
    """Write the slopes of a batch norm with rectifier: of its input, its weight and its bias."""
    times, channels, beats = signal.shape
    sums, products = np.zeros(channels), np.zeros(channels)
    for t in range(times):
        for c in range(channels):
            row, up, by, more, middle = signal[t, c], slope[t, c], scale[c], shift[c], mean[c]
            total, product = _ZERO, _ZERO
            for b in range(beats):
                let = up[b] if row[b] * by + more > _ZERO else _ZERO
                total += let
                product += let * (row[b] - middle)
            sums[c] += total
            products[c] += product
    n = times * beats
    for c in range(channels):
        of_bias[c], of_weight[c] = sums[c], products[c] / deviation[c]
    for t in range(times):
        for c in range(channels):
            row, up, one = signal[t, c], slope[t, c], out[t, c]
            by, more, middle = scale[c], shift[c], mean[c]
            level = np.float32(sums[c] / n)
            tilt = np.float32(products[c] / (n * np.float64(deviation[c]) ** 2))
            for b in range(beats):
                let = up[b] if row[b] * by + more > _ZERO else _ZERO
                one[b] = by * (let - level - (row[b] - middle) * tilt)


@_loop
def halve(signal: FloatArray, out: FloatArray) -> None:
    """Write the larger of every two points."""
    for t in range(out.shape[0]):
        for c in range(out.shape[1]):
            first, second, one = signal[2 * t, c], signal[2 * t + 1, c], out[t, c]
            for b in range(out.shape[2]):
                one[b] = max(first[b], second[b])


@_loop
def halved_slope(signal: FloatArray, slope: FloatArray, out: FloatArray) -> None:
    """Write the slope of `halve`'s input: the larger point has all of it, of two equal ones the first."""
    if 2 * slope.shape[0] < out.shape[0]:
        out[-1] = _ZERO
    for t in range(slope.shape[0]):
        for c in range(slope.shape[1]):
            first, second, up = signal[2 * t, c], signal[2 * t + 1, c], slope[t, c]
            one, other = out[2 * t, c], out[2 * t + 1, c]
            for b in range(slope.shape[2]):
                share = up[b] if first[b] >= second[b] else _ZERO
                one[b] = share
                other[b] = up[b] - share


@_loop
def widen_beside(signal: FloatArray, beside: FloatArray, out: FloatArray) -> None:
    """Write `signal`, interpolated to the length of `beside`, and `beside` after its channels."""
    times, channels = out.shape[0], signal.shape[1]
    shrink = signal.shape[0] / times
    for t in range(times):
        place = max((t + 0.5) * shrink - 0.5, 0.0)
        low = int(place)
        high = min(low + 1, signal.shape[0] - 1)
        late = np.float32(place - low)
        for c in range(channels):
            first, second, one = signal[low, c], signal[high, c], out[t, c]
            for b in range(out.shape[2]):
                one[b] = (_ONE - late) * first[b] + late * second[b]
        out[t, channels:] = beside[t]


@_loop
def widened_slopes(slope: FloatArray, of_signal: FloatArray, of_beside: FloatArray) -> None:
    """Write the slopes of `widen_beside`'s inputs."""
    times, channels = slope.shape[0], of_signal.shape[1]
    shrink = of_signal.shape[0] / times
    of_signal[:] = _ZERO
    for t in range(times):
        place = max((t + 0.5) * shrink - 0.5, 0.0)
        low = int(place)
        high = min(low + 1, of_signal.shape[0] - 1)
        late = np.float32(place - low)
        for c in range(channels):
            first, second, up = of_signal[low, c], of_signal[high, c], slope[t, c]
            for b in range(slope.shape[2]):
                first[b] += (_ONE - late) * up[b]
            for b in range(slope.shape[2]):
                second[b] += late * up[b]
        of_beside[t] = slope[t, channels:]


@_loop
def _fill(out: FloatArray, values: FloatArray) -> None:
    for i in range(out.shape[0]):
        out[i] = values[i]


@_loop
def gru(
    signal: FloatArray,
    weight_in: FloatArray,
    weight_on: FloatArray,
    bias_in: FloatArray,
    bias_on: FloatArray,
    kept: FloatArray,
    out: FloatArray,
) -> None:
    """Run a GRU from a state of zeros, gates in torch's order: reset, update, new.

    Parameters
    ----------
    signal : ndarray of float32, shape ``[time, inputs, beats]``
        What it is given.
    weight_in, weight_on : ndarray of float32, shape ``[3 * units, inputs]`` and ``[3 * units, units]``
        Of the input and of the state.
    bias_in, bias_on : ndarray of float32, shape ``[3 * units]``
        Likewise.
    kept : ndarray of float32, shape ``[time, 4 * units, beats]``
        Receives the three gates, and the state's part of the new one, for `gru_slopes`.
    out : ndarray of float32, shape ``[time, units, beats]``
        Receives the states.
    """
    times, units, beats = out.shape
    reset_and_update, on_new = weight_on[: 2 * units], weight_on[2 * units :]
    bias = bias_in.copy()
    bias[: 2 * units] += bias_on[: 2 * units]
    state = np.zeros((units, beats), np.float32)
    for t in range(times):
        gates, part = kept[t, : 3 * units], kept[t, 3 * units :]
        _fill(gates, bias)
        _fill(part, bias_on[2 * units :])
        add_product(weight_in, 0, signal[t], gates)
        add_product(reset_and_update, 0, state, gates[: 2 * units])
        add_product(on_new, 0, state, part)
        for i in range(units):
            r, z, n, on = gates[i], gates[units + i], gates[2 * units + i], part[i]
            before, after = state[i], out[t, i]
            for b in range(beats):
                r[b] = _sigmoid(r[b])
                z[b] = _sigmoid(z[b])
                new = _TWO * _sigmoid(_TWO * (n[b] + r[b] * on[b])) - _ONE
                n[b] = new
                after[b] = new + z[b] * (before[b] - new)
        state = out[t]


@_loop
def gru_slopes(
    signal: FloatArray,
    states: FloatArray,
    kept: FloatArray,
    slope: FloatArray,
    turned_in: FloatArray,
    turned_on: FloatArray,
    of_signal: FloatArray,
    of_in: FloatArray,
    of_on: FloatArray,
    of_biases: FloatArray,
) -> None:
    """Write the slopes of `gru`'s input, and add those of its weights and biases (``[2, 3 * units]``).

    `turned_in` and `turned_on` are the transposed weights.
    """
    times, units, beats = states.shape
    nothing = np.zeros((units, beats), np.float32)
    of_state = np.zeros((units, beats), np.float32)
    through_in = np.empty((3 * units, beats), np.float32)
    through_on = np.empty((3 * units, beats), np.float32)
    for t in range(times - 1, -1, -1):
        state = states[t - 1] if t > 0 else nothing
        for i in range(units):
            r, z, n, on = kept[t, i], kept[t, units + i], kept[t, 2 * units + i], kept[t, 3 * units + i]
            up, before, carried = slope[t, i], state[i], of_state[i]
            in_r, in_z, in_n = through_in[i], through_in[units + i], through_in[2 * units + i]
            on_r, on_z, on_n = through_on[i], through_on[units + i], through_on[2 * units + i]
            for b in range(beats):
                whole = up[b] + carried[b]
                new = whole * (_ONE - z[b]) * (_ONE - n[b] * n[b])
                update = whole * (before[b] - n[b]) * z[b] * (_ONE - z[b])
                reset = new * on[b] * r[b] * (_ONE - r[b])
                in_r[b] = reset
                in_z[b] = update
                in_n[b] = new
                on_r[b] = reset
                on_z[b] = update
                on_n[b] = new * r[b]
                carried[b] = whole * z[b]
            for k in range(3):
                total, total_on = _ZERO, _ZERO
                row, row_on = through_in[k * units + i], through_on[k * units + i]
                for b in range(beats):
                    total += row[b]
                    total_on += row_on[b]
                of_biases[0, k * units + i] += total
                of_biases[1, k * units + i] += total_on
        of_signal[t] = _ZERO
        add_product(turned_in, 0, through_in, of_signal[t])
        add_product(turned_on, 0, through_on, of_state)
        add_outer(through_in, signal[t], 0, of_in)
        add_outer(through_on, state, 0, of_on)


@_loop
def rnn(
    signal: FloatArray, weight_in: FloatArray, weight_on: FloatArray, bias: FloatArray, out: FloatArray
) -> None:
    """Run a recurrent layer with tanh from a state of zeros; see `gru` for shapes."""
    times, units, beats = out.shape
    state = np.zeros((units, beats), np.float32)
    for t in range(times):
        _fill(out[t], bias)
        add_product(weight_in, 0, signal[t], out[t])
        add_product(weight_on, 0, state, out[t])
        for i in range(units):
            row = out[t, i]
            for b in range(beats):
                row[b] = _TWO * _sigmoid(_TWO * row[b]) - _ONE
        state = out[t]


@_loop
def rnn_slopes(
    signal: FloatArray,
    states: FloatArray,
    slope: FloatArray,
    turned_in: FloatArray,
    turned_on: FloatArray,
    of_signal: FloatArray,
    of_in: FloatArray,
    of_on: FloatArray,
    of_bias: FloatArray,
) -> None:
    """Write the slopes of `rnn`'s input, and add those of its weights and bias; see `gru_slopes`."""
    times, units, beats = states.shape
    nothing = np.zeros((units, beats), np.float32)
    of_state = np.zeros((units, beats), np.float32)
    through = np.empty((units, beats), np.float32)
    for t in range(times - 1, -1, -1):
        for i in range(units):
            up, carried, at, row, total = slope[t, i], of_state[i], states[t, i], through[i], _ZERO
            for b in range(beats):
                row[b] = (up[b] + carried[b]) * (_ONE - at[b] * at[b])
                total += row[b]
            of_bias[i] += total
        of_signal[t] = _ZERO
        of_state[:] = _ZERO
        add_product(turned_in, 0, through, of_signal[t])
        add_product(turned_on, 0, through, of_state)
        add_outer(through, signal[t], 0, of_in)
        add_outer(through, states[t - 1] if t > 0 else nothing, 0, of_on)
