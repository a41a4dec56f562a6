"""A waveform as braille text: two columns of four dots in every character."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray

DOTS_PER_CELL: Final = 2
"""Dot columns in a character."""
DOT_ROWS: Final = 4
"""Dot rows in a character."""

# Unicode numbers the dots down the left column, then the right, with the fourth row added last.
_WEIGHTS: Final = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], dtype=np.uint32)
_BLANK: Final = 0x2800


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
    scale = (dots - 1) / max(top - bottom, 1e-9)
    seen = np.isfinite(low)
    first = np.clip(np.rint((np.where(seen, low, bottom) - bottom) * scale), 0, dots - 1).astype(np.int32)
    last = np.clip(np.rint((np.where(seen, high, bottom) - bottom) * scale), 0, dots - 1).astype(np.int32)

    joined_first, joined_last = first.copy(), last.copy()
    both = seen[1:] & seen[:-1]
    joined_first[1:] = np.where(both & (last[:-1] < first[1:]), last[:-1] + 1, joined_first[1:])
    joined_last[1:] = np.where(both & (first[:-1] > last[1:]), first[:-1] - 1, joined_last[1:])

    heights = np.arange(dots - 1, -1, -1, dtype=np.int32)[:, np.newaxis]
    lit = np.zeros((dots, cells * DOTS_PER_CELL), np.uint32)
    lit[:, : len(low)] = (heights >= joined_first) & (heights <= joined_last) & seen
    weighted = lit.reshape(rows, DOT_ROWS, cells, DOTS_PER_CELL) * _WEIGHTS[np.newaxis, :, np.newaxis, :]
    codes = weighted.sum(axis=(1, 3), dtype=np.uint32) + _BLANK
    codes[codes == _BLANK] = ord(" ")
    return [row.astype("<u4").tobytes().decode("utf-32-le") for row in codes]
