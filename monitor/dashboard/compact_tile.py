"""The small tile: a title bar, tall numerals at the left, and beats, alarm and waveform at the right."""

from functools import lru_cache
from typing import Final, NamedTuple

from monitor.dashboard import palette
from monitor.dashboard.digits import DIGIT_WIDTH, tall_rate
from monitor.dashboard.drawing import Line, clip, spread, wrap
from monitor.dashboard.palette import PLAIN, paint
from monitor.dashboard.pieces import (
    TRAINED_ON,
    TileMood,
    acknowledged_line,
    filled_line,
    kind_words,
    name_and_pause,
    name_style,
    old_line,
    quality_line,
    rate_style,
    shown_rate,
    strip_line,
    without_left,
)
from monitor.dashboard.snapshot import AthleteView, Life
from monitor.dashboard.trace import TraceWindow
from monitor.dashboard.waveform import wave_lines

_RATE_WIDTH: Final = 3 * DIGIT_WIDTH + 2
BESIDE_WAVE: Final = _RATE_WIDTH + 3
"""Cells of the tile's width that the waveform does not get."""


class _Still(NamedTuple):
    """What does not move with the waveform: drawn once for each snapshot."""

    title: Line
    left: tuple[Line, ...]
    info: tuple[Line, ...]


def compact_tile(
    view: AthleteView, wave: TraceWindow | None, width: int, height: int, mood: TileMood
) -> list[Line]:
    """Draw an athlete under a title bar; parameters as `monitor.dashboard.tiles.tile`."""
    still = _still(view, width, height, mood)
    cells = max(0, width - BESIDE_WAVE)
    waves = height - 1 - len(still.info)
    drawn = wave_lines(wave, cells, waves, overlay=waves < 3, live=view.life is Life.LIVE)
    if drawn and view.state.trained_on and (view.pressing or view.life is not Life.LIVE):
        # The line that otherwise says so is taken by something more urgent.
        note = Line((f"{TRAINED_ON} ", paint(palette.CAUTION)))
        drawn[-1] = note.extend(without_left(drawn[-1], note.width))
    lines = [still.title]
    for left, right in zip(still.left, [*still.info, *drawn], strict=False):
        lines.append(Line().extend(left).extend(right.fill(cells)))
    return lines


@lru_cache(maxsize=512)
def _still(view: AthleteView, width: int, height: int, mood: TileMood) -> _Still:
    rows = height - 1
    numerals = [*tall_rate(shown_rate(view)), *([" " * _RATE_WIDTH] * rows)][:rows]
    left = tuple(Line((" ", PLAIN), (numeral, rate_style(view)), ("  ", PLAIN)) for numeral in numerals)
    return _Still(_title(view, width, mood), left, tuple(_info(view, width - BESIDE_WAVE, rows, mood)))


def _title(view: AthleteView, width: int, mood: TileMood) -> Line:
    calling = view.calling
    style = name_style(view, mood, on=palette.BAR)
    background = style.bgcolor.name if style.bgcolor else palette.BAR
    ink = style.color.name if calling and style.color else None
    note = f" {view.state.source}"
    if calling:
        note = f" {calling.priority.upper()}, over" if calling.cleared else f" {calling.priority.upper()}"
    name = name_and_pause(view, mood)

    def quality(cells: int) -> Line:
        return quality_line(view, on=background, ink=ink, cells=cells).add(" ", style)

    # Priority and name are worth more than a long bar; a source is not.
    right = quality(5)
    if calling and 1 + len(name) + len(note) + right.width > width:
        right = quality(2)
    left = Line(("▲" if calling else "▶" if mood.selected else " ", style))
    left.add(clip(name, width - right.width - 1 - (len(note) if calling else 0)), style)
    if len(note) > 1 and left.width + len(note) + right.width <= width:
        left.add(note, style if calling else paint(palette.SOURCE, on=background))
    return spread(left, right, width, style)


def _info(view: AthleteView, cells: int, rows: int, mood: TileMood) -> list[Line]:
    """Return the lines above the waveform: why it is not live, the alarm, or the last beats."""
    info: list[Line] = []
    if view.life is not Life.LIVE:
        info.append(old_line(view, cells))
    calling = view.calling
    if calling:
        info.append(filled_line(f" {kind_words(calling.kind)}", calling, cells, lit=mood.lit))
        # What to do is worth more than a last line of waveform, unless that line must say whose signal it is.
        steps = wrap(calling.action, cells - 1, 1 if rows - len(info) < 3 and view.state.trained_on else 2)
        info.extend(filled_line(f" {step}", calling, cells, lit=mood.lit) for step in steps)
    elif view.pressing:
        info.append(acknowledged_line(view.pressing[0], cells))
    elif not info:
        note = f" {TRAINED_ON}" if view.state.trained_on else ""
        strip = strip_line(view.state.recent_labels, max(0, cells - len(note)), live=True)
        info.append(strip.add(note, paint(palette.CAUTION)))
    return [line.fill(cells) for line in info]
