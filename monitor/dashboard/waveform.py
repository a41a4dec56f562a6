"""A waveform window as styled lines: the trace, and the letter of each beat at its R peak."""

from rich.style import Style

from monitor.dashboard import palette
from monitor.dashboard.braille import DOTS_PER_CELL, braille_rows
from monitor.dashboard.drawing import Line, fit
from monitor.dashboard.palette import DIM, paint
from monitor.dashboard.trace import TraceWindow


def wave_lines(wave: TraceWindow | None, cells: int, rows: int, *, overlay: bool, live: bool) -> list[Line]:
    """Return the waveform as `rows` lines of `cells`, with the letters of the beats.

    Parameters
    ----------
    wave : TraceWindow or None
        ``2 * cells`` dots; None before the first sample.
    cells, rows : int
        Size.
    overlay : bool
        Beats stand in the top line of the waveform; otherwise in a line of their own above it, one of `rows`.
    live : bool
        Whether it is of now; an old waveform is grey.
    """
    if rows <= 0:
        return []
    if wave is None:
        text = fit("waiting for the waveform", cells) if live else ""
        return [Line((text, DIM)).fill(cells), *(Line().fill(cells) for _ in range(rows - 1))]
    drawn = braille_rows(
        wave.low, wave.high, bottom=wave.bottom, top=wave.top, rows=rows if overlay else rows - 1
    )
    letters: dict[int, str] = {}
    tinted: dict[int, str] = {}
    for mark in wave.marks:
        cell = mark.dot // DOTS_PER_CELL
        letters[cell] = mark.label
        if live and mark.label not in {"", "N"}:
            tinted.update(dict.fromkeys(range(cell - 2, cell + 4), palette.label_colour(mark.label)))
    base = palette.TRACE if live else palette.FAINT
    if overlay:
        first = _wave_row(
            drawn[0], {c: label for c, label in letters.items() if label}, tinted, base, live=live
        )
        return [first, *(_wave_row(row, {}, tinted, base, live=live) for row in drawn[1:])]
    return [
        _letters(letters, cells, live=live),
        *(_wave_row(row, {}, tinted, base, live=live) for row in drawn),
    ]


def _letters(letters: dict[int, str], cells: int, *, live: bool) -> Line:
    line = Line()
    for cell in sorted(letters):
        if line.width <= cell < cells:
            line.add(" " * (cell - line.width))
            line.add(*_letter(letters[cell], live=live))
    return line.fill(cells)


def _letter(label: str, *, live: bool) -> tuple[str, Style]:
    return palette.label_letter(label), palette.label_style(label) if live else palette.GONE


def _wave_row(row: str, letters: dict[int, str], tinted: dict[int, str], base: str, *, live: bool) -> Line:
    """Return one row of braille, cut where its colour changes or a letter stands."""
    if not letters and not tinted:
        return Line().add(row, paint(base), len(row))
    line = Line()
    begun, colour = 0, base
    for cell in sorted({*letters, *tinted, *(after + 1 for after in tinted)}):
        wanted = tinted.get(cell, base)
        if not 0 <= cell < len(row) or (wanted == colour and cell not in letters):
            continue
        line.add(row[begun:cell], paint(colour), cell - begun)
        begun, colour = cell, wanted
        if cell in letters:
            line.add(*_letter(letters[cell], live=live))
            begun += 1
    return line.add(row[begun:], paint(colour), len(row) - begun)
