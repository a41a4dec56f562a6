"""One miss in full: the signal as the strap sent it, what the monitor told above it, what the reference says below."""

import datetime as dt
from typing import Final

import numpy as np

from monitor.dashboard import palette
from monitor.dashboard.braille import DOTS_PER_CELL, braille_rows, envelope
from monitor.dashboard.drawing import Line, fit
from monitor.dashboard.palette import DIM, GONE, PLAIN, paint
from monitor.dashboard.tester import cause_words, miss_words
from monitor.scores import HOLE, Miss

_NAMES: Final = 9
_LEAST_MV: Final = 1.0
_HEADING: Final = paint(palette.BRIGHT, bold=True)
_HERE: Final = paint("#161000", on=palette.CAUTION, bold=True)


def miss_lines(miss: Miss, name: str, width: int, height: int) -> list[Line]:
    """Draw a miss.

    Parameters
    ----------
    miss : Miss
        What differs, with the signal around it.
    name : str
        What the athlete is called on screen.
    width, height : int
        Cells.

    Returns
    -------
    list of Line
        At most `height` lines.
    """
    at = dt.datetime.fromtimestamp(miss.at).astimezone().strftime("%H:%M:%S") if miss.at else "unknown time"
    head = [
        Line(
            (f" {name}  {miss_words(miss)}", _HEADING),
            (f"  {at}, sample {miss.r_sample:,} of boot {miss.boot}", DIM),
        ),
        Line((f" {fit(_sentence(miss), width - 2)}", PLAIN)),
    ]
    cells = width - _NAMES - 1
    rows = height - len(head) - 4
    if not miss.microvolts or cells < 10 or rows < 2:
        return [*head, Line((" No strip was kept of it: there were too many at once.", DIM))][:height]
    millivolts = np.frombuffer(miss.microvolts, "<i2").astype(np.float32)
    millivolts[millivolts == HOLE] = np.nan
    millivolts /= np.float32(1000.0)
    n = len(millivolts)
    edges = np.linspace(0, n, cells * DOTS_PER_CELL + 1).astype(np.int64)
    low, high = envelope(millivolts, edges)
    bottom, top = _range_mv(millivolts)

    def cell(sample: int) -> int:
        return (sample - miss.first_sample) * cells // n

    here = cell(miss.r_sample)
    told = {cell(r): label for r, label in miss.beats}
    truth = {cell(r): label for r, label in miss.truth}
    lines = [*head, _marks("monitor", told, here, cells, wanted=miss.kind != "missed")]
    for row in braille_rows(low, high, bottom=bottom, top=top, rows=rows):
        line = Line((" " * _NAMES, PLAIN))
        # The column of the miss stands out, whatever the colour of the rest.
        line.add(row[:here], paint(palette.TRACE)).add(
            row[here : here + 1], paint(palette.TRACE, on=palette.SELECTED_BAR)
        )
        lines.append(line.add(row[here + 1 :], paint(palette.TRACE)))
    lines.append(_marks("truth", truth, here, cells, wanted=miss.kind != "false"))
    lines.append(_troubles(miss, cells, n))
    lines.append(_scale(miss, cells, n, top - bottom))
    return lines


def _sentence(miss: Miss) -> str:
    why = cause_words(miss.cause)
    if miss.kind == "missed":
        said = f"The reference has a beat ({miss.reference}) here, the monitor found none"
    elif miss.kind == "false":
        said = f"The monitor told a beat ({miss.called}), the reference has none within 150 ms"
    else:
        said = f"The reference calls this beat {miss.reference}, the monitor {miss.called}"
    if why == "unexplained":
        return f"{said}. Nothing in the ledger explains it: this is the monitor's own."
    return f"{said}. What the ledger knows: {why}."


def _marks(title: str, labels: dict[int, str], here: int, cells: int, *, wanted: bool) -> Line:
    line = Line((f" {title:<{_NAMES - 1}}", DIM))
    for at in range(cells):
        label = labels.get(at)
        near = wanted and label is not None and abs(at - here) <= 1
        if label is not None:
            line.add(palette.label_letter(label), _HERE if near else palette.label_style(label))
        elif at == here and not wanted and not any(abs(at - c) <= 1 for c in labels):
            line.add("✗", _HERE)
        else:
            line.add(" ")
    return line


def _troubles(miss: Miss, cells: int, n: int) -> Line:
    row = [" "] * cells
    for first, end, cause in miss.troubles:
        begin = max(0, (first - miss.first_sample) * cells // n)
        stop = min(cells, max(begin + 1, -(-(end - miss.first_sample) * cells // n)))
        row[begin:stop] = "▔" * (stop - begin)
        words = cause_words(cause)[: stop - begin]
        row[begin : begin + len(words)] = words
    return Line((f" {'ledger':<{_NAMES - 1}}", DIM), ("".join(row[:cells]), paint(palette.CAUTION)))


def _scale(miss: Miss, cells: int, n: int, span_mv: float) -> Line:
    row = [" "] * (cells + 8)
    for second in range(-4, 5):
        at = round((miss.r_sample + second * miss.rate_hz - miss.first_sample) * cells / n)
        text = f"|{second:+d} s" if second else "|0"
        if at >= 0 and at + len(text) <= cells:
            row[at : at + len(text)] = text
    words = f"{span_mv:.1f} mV"
    return Line((f" {words:<{_NAMES - 1}}", DIM), ("".join(row[:cells]), GONE))


def _range_mv(millivolts: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]") -> tuple[float, float]:
    known = millivolts[np.isfinite(millivolts)]
    if not len(known):
        return -_LEAST_MV / 2, _LEAST_MV / 2
    low, high = (float(edge) for edge in np.quantile(known, [0.002, 0.998]))
    spare = max(0.0, _LEAST_MV - (high - low)) / 2 + 0.05
    return low - spare, high + spare
