"""A waveform as braille text: two columns of four dots in every character."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray

DOTS_PER_CELL: Final = 2
"""Dot columns in a character."""
DOT_ROWS: Final = 4
"""Dot rows in a character."""

_BLANK: Final = 0x2800
# Unicode numbers the dots down the left column, then the right, with the lowest row added last. From the bottom up:
_LEFT: Final = (0x40, 0x04, 0x02, 0x01)
_RIGHT: Final = (0x80, 0x20, 0x10, 0x08)


def _bits(column: tuple[int, ...]) -> NDArray[np.uint32]:
    """Return the bits of one column for dots ``[first, after)`` counted from the bottom, shape ``[5, 5]``."""
    return np.array(
        [[sum(column[first:after]) for after in range(DOT_ROWS + 1)] for first in range(DOT_ROWS + 1)],
        dtype=np.uint32,
    )


_LEFT_BITS: Final = _bits(_LEFT)
_RIGHT_BITS: Final = _bits(_RIGHT)


def envelope(samples: FloatArray, edges: NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    """Return the lowest and highest sample of each dot column.

    Parameters
    ----------
    samples : ndarray of float32, shape ``[n]``
        Any unit; NaN where there is no signal.
    edges : ndarray of int64, shape ``[columns + 1]``
        Index of each column's first sample, then the index after the last column; ascending, 0 to n.

    Returns
    -------
    low, high : ndarray of float32, shape ``[columns]``
        NaN where a column has no sample.
    """
    columns = len(edges) - 1
    low = np.full(columns, np.nan, np.float32)
    high = np.full(columns, np.nan, np.float32)
    filled = np.flatnonzero(edges[1:] > edges[:-1])
    if len(filled):
        starts = edges[:-1][filled]
        until = samples[: edges[-1]]
        low[filled] = np.fmin.reduceat(until, starts)
        high[filled] = np.fmax.reduceat(until, starts)
    return low, high


def braille_rows(low: FloatArray, high: FloatArray, *, bottom: float, top: float, rows: int) -> list[str]:
    """Draw an envelope as lines of braille, top line first.

    Neighbouring columns are joined, so that a steep slope is a line and not scattered dots.

    Parameters
    ----------
    low, high : ndarray of float32, shape ``[columns]``
        See `envelope`; NaN leaves the column blank. An odd last column is padded.
    bottom, top : float
        Values at the lowest and highest dot, in the unit of `low`; what lies outside is drawn at the edge.
    rows : int
        Lines of text.

    Returns
    -------
    list of str
        `rows` lines of ``ceil(columns / 2)`` characters; a character without dots is a blank.
    """
    cells = (len(low) + 1) // DOTS_PER_CELL
    if cells == 0 or rows <= 0:
        return [""] * max(rows, 0)
    dots = rows * DOT_ROWS
    padded = np.full((2, cells * DOTS_PER_CELL), np.nan, np.float32)
    padded[0, : len(low)], padded[1, : len(high)] = low, high
    padded -= bottom
    padded *= (dots - 1) / max(top - bottom, 1e-9)
    np.rint(padded, out=padded)
    np.maximum(np.minimum(padded, dots - 1, out=padded), 0, out=padded)
    seen = padded[0] == padded[0]  # NaN is unlike itself
    # Where there is nothing the first dot lies above the last, so that none is lit.
    first = np.where(seen, padded[0], dots).astype(np.int32)
    after = np.where(seen, padded[1] + 1, 0).astype(np.int32)

    both = seen[1:] & seen[:-1]
    joined_first, joined_after = first.copy(), after.copy()
    joined_first[1:] = np.where(both, np.minimum(first[1:], after[:-1]), first[1:])
    joined_after[1:] = np.where(both, np.maximum(after[1:], first[:-1]), after[1:])

    floors = np.arange(dots - DOT_ROWS, -1, -DOT_ROWS, dtype=np.int32)[:, np.newaxis]
    begin = np.minimum(np.maximum(joined_first - floors, 0), DOT_ROWS)
    end = np.minimum(np.maximum(joined_after - floors, 0), DOT_ROWS)
    codes = _LEFT_BITS[begin[:, ::2], end[:, ::2]] + _RIGHT_BITS[begin[:, 1::2], end[:, 1::2]]
    codes += _BLANK
    codes[codes == _BLANK] = ord(" ")
    text = codes.astype("<u4").tobytes().decode("utf-32-le")
    return [text[start : start + cells] for start in range(0, rows * cells, cells)]
