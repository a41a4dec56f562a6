"""A stretch of signal with marks above and below it and its time underneath, as styled lines."""

from dataclasses import dataclass, field
from typing import Final

import numpy as np

from monitor.contract import FloatArray
from monitor.dashboard import palette
from monitor.dashboard.braille import DOTS_PER_CELL, braille_rows, envelope
from monitor.dashboard.drawing import Line
from monitor.dashboard.palette import DIM, GONE, PLAIN, paint

NAMES: Final = 9
"""Cells at the left in which each line says what it is."""
_LEAST_MV: Final = 1.0
_STEPS_S: Final = (1, 2, 5, 10)
_HERE: Final = paint("#161000", on=palette.CAUTION, bold=True)


@dataclass(frozen=True, slots=True)
class Marks:
    """Beats on one side of the signal.

    Attributes
    ----------
    title : str
        Who says so.
    beats : dict of int to str
        Class by R peak.
    wanted : bool
        A beat belongs at the chosen place; without one, its absence is marked.
    """

    title: str
    beats: dict[int, str]
    wanted: bool = True


@dataclass(frozen=True, slots=True)
class Ribbon:
    """What is drawn.

    Attributes
    ----------
    millivolts : ndarray of float32, shape ``[n]``
        The signal; NaN where there is none.
    rate_hz : float
        Sampling rate.
    first_sample : int
        Index of the first sample.
    zero_sample : int
        Where the time scale is 0.
    above, below : Marks or None
        Beats.
    chosen : bool
        `zero_sample` is a place to look at, and stands out.
    stretches : list of (int, int, str)
        First sample, first after, and what it is.
    """

    millivolts: FloatArray
    rate_hz: float
    first_sample: int
    zero_sample: int
    above: Marks
    below: Marks | None = None
    chosen: bool = False
    stretches: list[tuple[int, int, str]] = field(default_factory=list)

    def cell(self, sample: float, cells: int) -> int:
        """Return the cell of `sample` among `cells`."""
        return int((sample - self.first_sample) * cells // len(self.millivolts))


def strip_lines(ribbon: Ribbon, width: int, height: int) -> list[Line]:
    """Draw a stretch of signal on `height` lines of at most `width` cells; nothing where there is no room."""
    cells = width - NAMES - 1
    beside = 2 + (ribbon.below is not None) + bool(ribbon.stretches)
    rows = height - beside
    if cells < 10 or rows < 2 or not len(ribbon.millivolts):
        return []
    edges = np.linspace(0, len(ribbon.millivolts), cells * DOTS_PER_CELL + 1).astype(np.int64)
    low, high = envelope(ribbon.millivolts, edges)
    bottom, top = _range_mv(ribbon.millivolts)
    here = ribbon.cell(ribbon.zero_sample, cells) if ribbon.chosen else -1
    lines = [_marks(ribbon, ribbon.above, here, cells)]
    trace = paint(palette.TRACE)
    for row in braille_rows(low, high, bottom=bottom, top=top, rows=rows):
        line = Line((" " * NAMES, PLAIN))
        if here >= 0:
            # The column of the chosen beat stands out, whatever the colour of the rest.
            line.add(row[:here], trace).add(
                row[here : here + 1], paint(palette.TRACE, on=palette.SELECTED_BAR)
            )
        lines.append(line.add(row[max(0, here + 1) :], trace))
    if ribbon.below is not None:
        lines.append(_marks(ribbon, ribbon.below, here, cells))
    if ribbon.stretches:
        lines.append(_stretches(ribbon, cells))
    lines.append(_scale(ribbon, cells, top - bottom))
    return lines


def _marks(ribbon: Ribbon, marks: Marks, here: int, cells: int) -> Line:
    line = Line((f" {marks.title:<{NAMES - 1}}", DIM))
    labels = {ribbon.cell(r, cells): label for r, label in marks.beats.items()}
    for at in range(cells):
        label = labels.get(at)
        if label is not None:
            near = here >= 0 and marks.wanted and abs(at - here) <= 1
            line.add(palette.label_letter(label), _HERE if near else palette.label_style(label))
        elif at == here and not marks.wanted and not any(abs(at - c) <= 1 for c in labels):
            line.add("✗", _HERE)
        else:
            line.add(" ")
    return line


def _stretches(ribbon: Ribbon, cells: int) -> Line:
    row = [" "] * cells
    for first, end, words in ribbon.stretches:
        begin = max(0, ribbon.cell(first, cells))
        stop = min(cells, max(begin + 1, ribbon.cell(end - 1, cells) + 1))
        row[begin:stop] = "▔" * (stop - begin)
        # Words may run on to the right of a short stretch: what it was is worth more than its exact end.
        row[begin : begin + len(words)] = words
    return Line((f" {'ledger':<{NAMES - 1}}", DIM), ("".join(row)[:cells], paint(palette.CAUTION)))


def _scale(ribbon: Ribbon, cells: int, span_mv: float) -> Line:
    row = [" "] * cells
    n, rate_hz = len(ribbon.millivolts), ribbon.rate_hz
    step = next((s for s in _STEPS_S if cells * s * rate_hz / n >= 9), 30)
    first = int(np.ceil((ribbon.first_sample - ribbon.zero_sample) / rate_hz / step))
    last = int((ribbon.first_sample + n - ribbon.zero_sample) / rate_hz / step)
    for tick in range(first, last + 1):
        text = f"|{tick * step:+d} s" if tick else "|0"
        at = ribbon.cell(ribbon.zero_sample + tick * step * rate_hz, cells)
        if at >= 0 and at + len(text) <= cells:
            row[at : at + len(text)] = text
    words = f"{span_mv:.1f} mV"
    return Line((f" {words:<{NAMES - 1}}", DIM), ("".join(row), GONE))


def _range_mv(millivolts: FloatArray) -> tuple[float, float]:
    known = millivolts[np.isfinite(millivolts)]
    if not len(known):
        return -_LEAST_MV / 2, _LEAST_MV / 2
    # A single spike must not flatten everything else.
    low, high = (float(edge) for edge in np.quantile(known, [0.002, 0.998]))
    spare = max(0.0, _LEAST_MV - (high - low)) / 2 + 0.05
    return low - spare, high + spare
