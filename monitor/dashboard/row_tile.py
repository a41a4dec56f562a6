"""The smallest tile: one line an athlete, and a second one for whoever has an alarm that nobody has acknowledged."""

from functools import lru_cache
from typing import Final

from monitor.dashboard import palette
from monitor.dashboard.drawing import Line, clip, spread
from monitor.dashboard.palette import BACKGROUND, paint
from monitor.dashboard.pieces import (
    TRAINED_ON,
    TileMood,
    acknowledged_line,
    alarm_words,
    filled_line,
    name_and_pause,
    name_style,
    old_line,
    quality_line,
    rate_style,
    rate_text,
    strip_line,
    without_left,
)
from monitor.dashboard.snapshot import AthleteView, Life
from monitor.dashboard.trace import TraceWindow
from monitor.dashboard.waveform import wave_lines

_NAME: Final = 11
_QUALITY: Final = 17
_STRIP: Final = 12
BESIDE_WAVE: Final = 1 + _NAME + 1 + 3 + 1 + _QUALITY + 1 + _STRIP + 1
"""Cells of the row's width that the waveform does not get."""


def row_tile(
    view: AthleteView, wave: TraceWindow | None, width: int, height: int, mood: TileMood
) -> list[Line]:
    """Draw an athlete on one or two lines; parameters as `monitor.dashboard.tiles.tile`."""
    line = Line().extend(_still(view, mood))
    note = Line((f" {TRAINED_ON}" if view.state.trained_on else "", paint(palette.CAUTION)))
    if view.life is not Life.LIVE:
        line = spread(line.extend(old_line(view, width - line.width - note.width)), note, width)
    elif view.pressing and not view.calling:
        quiet = acknowledged_line(view.pressing[0], width - line.width - note.width)
        line = spread(line.extend(quiet), note, width)
    else:
        line.extend(strip_line(view.state.recent_labels, _STRIP, live=True)).add(" ")
        drawn = wave_lines(wave, max(0, width - BESIDE_WAVE), 1, overlay=True, live=True)[0]
        if view.state.trained_on:
            line.add(f"{TRAINED_ON} ", paint(palette.CAUTION))
            drawn = without_left(drawn, len(TRAINED_ON) + 1)
        line.extend(drawn)
    calling = view.calling
    if calling is None or height < 2:
        return [line]
    words = f" {calling.priority.upper()} {alarm_words(calling)} → {calling.action}"
    return [line, filled_line(words, calling, width, lit=mood.lit)]


@lru_cache(maxsize=512)
def _still(view: AthleteView, mood: TileMood) -> Line:
    style = name_style(view, mood, on=BACKGROUND)
    line = Line(("▲" if view.calling else "▶" if mood.selected else " ", style))
    line.add(clip(name_and_pause(view, mood, countdown=False), _NAME), style).fill(1 + _NAME, style)
    line.add(" ").add(rate_text(view), rate_style(view)).add(" ")
    return line.extend(quality_line(view, cells=3).fill(_QUALITY)).add(" ")
