"""One athlete's tile, from a full box down to a single line: state, age and waveform in, styled lines out."""

from typing import Final

from monitor.dashboard import compact_tile as compact
from monitor.dashboard import row_tile as row
from monitor.dashboard.box_tile import box_tile
from monitor.dashboard.drawing import Drawing, stack
from monitor.dashboard.pieces import TileMood
from monitor.dashboard.snapshot import AthleteView
from monitor.dashboard.trace import TraceWindow

DOTS_PER_S: Final = 25.0
"""Horizontal scale of every tile: 40 ms a dot, the small square of ECG paper."""
BOX_HEIGHT: Final = 8
"""Lines from which a tile has a frame."""
_ROW_HEIGHT: Final = 2


def wave_cells(width: int, height: int) -> int:
    """Return how many cells of waveform a tile of this size shows across."""
    if height >= BOX_HEIGHT:
        return width - 4
    return max(0, width - (row.BESIDE_WAVE if height <= _ROW_HEIGHT else compact.BESIDE_WAVE))


def tile(
    view: AthleteView, wave: TraceWindow | None, width: int, height: int, mood: TileMood | None = None
) -> Drawing:
    """Draw one athlete.

    Parameters
    ----------
    view : AthleteView
        State and age.
    wave : TraceWindow or None
        Waveform of ``2 * wave_cells(width, height)`` dots; None before the first sample.
    width, height : int
        Cells.
    mood : TileMood, optional
        Selection and blink.

    Returns
    -------
    Drawing
        Exactly `height` lines of `width` cells.
    """
    mood = mood or TileMood()
    if height >= BOX_HEIGHT:
        lines = box_tile(view, wave, width, height, mood)
    elif height > _ROW_HEIGHT:
        lines = compact.compact_tile(view, wave, width, height, mood)
    else:
        lines = row.row_tile(view, wave, width, height, mood)
    return Drawing(stack(lines, width, height))
