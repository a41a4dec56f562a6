"""The large tile: a frame, tall numerals, the alarm in full, and a waveform with the beats above it."""

from rich.style import Style

from monitor.dashboard import palette
from monitor.dashboard.digits import DIGIT_WIDTH, tall_rate
from monitor.dashboard.drawing import Line, clip, fit, spread, stack
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import (
    TRAINED_ON,
    TileMood,
    acknowledged_line,
    alarm_words,
    counts_line,
    filled_line,
    full_name,
    name_style,
    old_line,
    quality_line,
    rate_style,
    shown_rate,
    strip_line,
)
from monitor.dashboard.snapshot import AthleteView, Life
from monitor.dashboard.trace import TraceWindow
from monitor.dashboard.waveform import wave_lines

_RATE_WIDTH = 3 * DIGIT_WIDTH + 2


def box_tile(
    view: AthleteView, wave: TraceWindow | None, width: int, height: int, mood: TileMood
) -> list[Line]:
    """Draw an athlete in a frame; parameters as `monitor.dashboard.tiles.tile`."""
    inner = width - 4
    frame = _frame_style(view, mood)
    corners = "┏┓┗┛━┃" if view.calling is not None or mood.selected else "╭╮╰╯─│"

    body_height = height - 2
    body = _head(view, inner)
    body += _alarm(view, inner, body_height - len(body), mood)
    rows = body_height - len(body)
    body += wave_lines(wave, inner, rows, overlay=rows < 4, live=view.life is Life.LIVE)

    side = Line((corners[5], frame))
    framed = [
        Line((corners[5], frame), (" ", PLAIN)).extend(part).add(" ").extend(side)
        for part in stack(body, inner, body_height)
    ]
    bottom = Line((corners[2] + corners[4] * (width - 2) + corners[3], frame))
    return [_top(view, width, mood, corners), *framed, bottom]


def _top(view: AthleteView, width: int, mood: TileMood, corners: str) -> Line:
    frame = _frame_style(view, mood)
    inner = width - 4
    left = Line((f" {clip(full_name(view, mood), inner // 2)} ", name_style(view, mood)))
    right = Line()
    if view.paused_words:
        right.add(f" alarms paused {view.paused_words} ", paint(palette.CAUTION, bold=True))
    if view.state.trained_on:
        right.add(f" {TRAINED_ON} ", paint(palette.CAUTION, bold=True))
    if view.state.source:
        right.add(f" {fit(view.state.source, inner - left.width - right.width - 4)} ", paint(palette.SOURCE))
    rule = corners[4] * max(0, width - 4 - left.width - right.width)
    line = Line((corners[0] + corners[4], frame)).extend(left).add(rule, frame).extend(right)
    return line.add(corners[4] + corners[1], frame)


def _head(view: AthleteView, inner: int) -> list[Line]:
    """Return three lines: the heart rate in tall numerals, with quality, coverage and the last beats beside it."""
    state, live = view.state, view.life is Life.LIVE
    side = inner - _RATE_WIDTH - 5
    quality = quality_line(view, cells=8 if side > 40 else 5)
    if live:
        status = Line(
            ("live", paint(palette.TRACE)), (f"  lead {state.lead or '?'}, {state.rate_hz:g} Hz", DIM)
        )
        if status.width + quality.width + 1 > side:
            status = Line(("live", paint(palette.TRACE)))
    else:
        status = old_line(view, side - quality.width - 1)
    rows = [
        spread(status, quality, side),
        counts_line(view, side),
        strip_line(state.recent_labels, side, live=live),
    ]
    return [
        Line((numeral, rate_style(view)), (f" {unit} ", DIM)).extend(row.fill(side))
        for numeral, unit, row in zip(tall_rate(shown_rate(view)), ("bpm", "   ", "   "), rows, strict=True)
    ]


def _alarm(view: AthleteView, inner: int, room: int, mood: TileMood) -> list[Line]:
    if not view.pressing:
        return []
    alarm = view.pressing[0]
    more = f" +{len(view.pressing) - 1} more " if len(view.pressing) > 1 else ""
    if alarm.acknowledged_by:
        return [spread(acknowledged_line(alarm, inner - len(more)), Line((more, DIM)), inner)]
    what = f" ▲ {alarm.priority.upper()}  {alarm_words(alarm)}"
    if len(what) + 24 < inner - len(more):
        what += f": {alarm.message}"
    tail = filled_line(more, alarm, len(more), lit=mood.lit)
    lines = [filled_line(what, alarm, inner - len(more), lit=mood.lit).extend(tail)]
    if room >= 3:
        lines.append(filled_line(f" → {alarm.action}", alarm, inner, lit=mood.lit))
    return lines


def _frame_style(view: AthleteView, mood: TileMood) -> Style:
    if view.calling:
        return palette.alarm_text(view.calling.priority)
    return paint("#7db8f0", bold=True) if mood.selected else paint(palette.FAINT)
