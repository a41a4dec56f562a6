"""One athlete in full: large waveform, the last beats with their probabilities, counters, and all alarms."""

import datetime as dt
from typing import Final

from monitor.contract import AAMI_CLASSES, LABELS
from monitor.dashboard import palette
from monitor.dashboard.alarm_list import clock, short_clock
from monitor.dashboard.braille import DOTS_PER_CELL
from monitor.dashboard.digits import tall_rate
from monitor.dashboard.drawing import Line, clip, fit, spread, stack, wrap
from monitor.dashboard.ledger import AlarmRecord, describe
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import (
    TRAINED_ON,
    alarm_words,
    kind_words,
    old_line,
    quality_line,
    rate_style,
    shown_rate,
    strip_line,
)
from monitor.dashboard.snapshot import AthleteView, Closeup, Life
from monitor.dashboard.trace import TraceWindow
from monitor.dashboard.waveform import wave_lines
from monitor.live_state import BeatEntry

DETAIL_DOTS_PER_S: Final = 40.0
"""Horizontal scale of the large waveform: 25 ms a dot."""
_BEATS_WIDTH: Final = 44
_HEADING: Final = paint(palette.BRIGHT, bold=True)


def detail_dots(width: int) -> int:
    """Return how many dots of waveform the detail view shows across."""
    return (width - 2) * DOTS_PER_CELL


def detail_lines(
    view: AthleteView,
    wave: TraceWindow | None,
    closeup: Closeup | None,
    width: int,
    height: int,
    *,
    lit: bool = True,
) -> list[Line]:
    """Draw the detail view.

    Parameters
    ----------
    view : AthleteView
        The athlete.
    wave : TraceWindow or None
        Waveform of `detail_dots` dots; None before the first sample.
    closeup : Closeup or None
        The last beats; None before they are read.
    width, height : int
        Cells.
    lit : bool
        The bright half of the slow blink of an alarm.

    Returns
    -------
    list of Line
        Exactly `height` lines of `width` cells.
    """
    inner = width - 2
    head = [_title(view, inner), *_notes(view, inner), *_vitals(view, inner), *_alarms(view, inner, lit=lit)]
    left = height - len(head)
    lower = min(max(7, left // 2), 26) if left >= 14 else max(0, left - 6)
    wave_height = left - lower
    body = [*head, *_wave(view, wave, inner, wave_height), *_lower(view, closeup, inner, lower)]
    return [Line((" ", PLAIN)).extend(line).fill(width) for line in stack(body, inner, height)]


def gone_lines(name: str, width: int, height: int) -> list[Line]:
    """Draw the detail view of an athlete of whom nothing is known any more."""
    return stack(
        [Line(), Line((fit(f" Nothing is known of {name}. Esc goes back.", width), PLAIN))], width, height
    )


def _title(view: AthleteView, width: int) -> Line:
    state = view.state
    left = Line(
        (clip(view.name, 32), _HEADING),
        (f"  team {fit(state.team, 20)}  strap {fit(state.strap, 20)}", DIM),
    )
    right = Line()
    if state.trained_on:
        right.add(TRAINED_ON, paint(palette.CAUTION, bold=True))
    if state.source:
        right.add(f"  {state.source}", paint(palette.SOURCE))
    return spread(left, right, width)


def _notes(view: AthleteView, width: int) -> list[Line]:
    """Return what the roster says of the athlete, for a physician who does not know them."""
    person = view.person
    if person is None:
        return []
    known = [f"pseudonym {view.state.athlete}"] if person.label else []
    known += [f"{person.age} years"] if person.age is not None else []
    known += [f"rest {person.resting_bpm:g} bpm"] if person.resting_bpm is not None else []
    known += [f"maximum {person.maximum_bpm:g} bpm"] if person.maximum_bpm is not None else []
    lines = [Line((fit(", ".join(known), width), DIM))] if known else []
    if person.notes:
        lines += [
            Line((part, paint(palette.CAUTION, bold=True)))
            for part in wrap(f"Note: {person.notes}", width, 2)
        ]
    return lines


def _vitals(view: AthleteView, width: int) -> list[Line]:
    state, live = view.state, view.life is Life.LIVE
    side = width - 17
    if live:
        status = Line(
            ("live", paint(palette.TRACE)), (f"  lead {state.lead or '?'}, {state.rate_hz:g} Hz", DIM)
        )
    else:
        status = old_line(view, side)
        status.add(f"  lead {state.lead or '?'}, {state.rate_hz:g} Hz", DIM)
    link = (
        f"{state.packets_received:,} packets, {state.packets_lost:,} lost, "
        f"{state.packets_duplicate:,} double, {state.packets_refused:,} refused"
    )
    rows = [
        spread(status, quality_line(view, cells=8), side),
        Line((fit(link, side), DIM)),
        _counts(view, side),
    ]
    return [
        Line((numeral, rate_style(view)), (f" {unit}  ", DIM)).extend(row.fill(side))
        for numeral, unit, row in zip(tall_rate(shown_rate(view)), ("bpm", "   ", "   "), rows, strict=True)
    ]


def _counts(view: AthleteView, width: int) -> Line:
    line = Line(("beats ", DIM))
    for label in LABELS:
        number = f"{view.state.counts.get(label, 0):,}"
        if line.width + len(number) + 3 <= width:
            line.add(f" {palette.label_letter(label)} ", palette.label_style(label)).add(number, PLAIN)
    return line


def _alarms(view: AthleteView, width: int, *, lit: bool) -> list[Line]:
    """Return every alarm that is not over with its sentence and what to do, at most three."""
    lines: list[Line] = []
    if view.paused_words:
        words = f"‖ Alarms up to {view.state.paused_covers} priority make no sound for {view.paused_words}"
        by = f", paused by {view.state.paused_by}; p ends it" if view.state.paused_by else "; p ends it"
        lines.append(Line((fit(words + by, width), paint(palette.CAUTION, bold=True))))
    for alarm in view.alarms[:3]:
        fill = palette.alarm_fill(alarm.priority, lit=lit)
        if alarm.acknowledged_by or alarm.priority == "information":
            told = f", acknowledged by {alarm.acknowledged_by}" if alarm.acknowledged_by else ", information"
            text = f"{'✓' if alarm.acknowledged_by else 'i'} {alarm_words(alarm)}{told} → {alarm.action}"
            lines.append(Line((fit(text, width), palette.alarm_text(alarm.priority))))
            continue
        text = f"▲ {alarm.priority.upper()}  {alarm_words(alarm)}: {alarm.message}"
        lines.extend(Line((f" {part}", fill)).fill(width, fill) for part in wrap(text, width - 2, 2))
        lines.append(Line((fit(f" → {alarm.action}", width), fill)).fill(width, fill))
    if len(view.alarms) > 3:
        lines.append(Line((f"and {len(view.alarms) - 3} more below", DIM)))
    return lines


def _wave(view: AthleteView, wave: TraceWindow | None, cells: int, height: int) -> list[Line]:
    live = view.life is Life.LIVE
    if height < 4:
        return wave_lines(wave, cells, height, overlay=True, live=live)
    seconds = cells * DOTS_PER_CELL / DETAIL_DOTS_PER_S
    words = f"{seconds:.1f} s across"
    if wave is not None:
        words += f", {wave.top - wave.bottom:.1f} mV high"
    rule = Line(("─" * max(0, cells - len(words) - 2), palette.GONE), (f" {words} ", DIM))
    return [*wave_lines(wave, cells, height - 1, overlay=False, live=live), rule]


def _lower(view: AthleteView, closeup: Closeup | None, width: int, height: int) -> list[Line]:
    if height <= 0:
        return []
    left_width = min(_BEATS_WIDTH, max(20, width - 34))
    left = stack(_beats(view, closeup, left_width, height), left_width, height)
    right_width = width - left_width - 3
    right = stack(_history(view, right_width, height), right_width, height)
    return [Line().extend(a).add(" │ ", palette.GONE).extend(b) for a, b in zip(left, right, strict=True)]


def _beats(view: AthleteView, closeup: Closeup | None, width: int, height: int) -> list[Line]:
    lines = [strip_line(view.state.recent_labels, width, live=view.life is Life.LIVE)]
    newest = closeup.beats[0] if closeup is not None and closeup.beats else None
    # No room for a date in every row: beats of one list are minutes apart at most.
    day = _day(newest.due_at) if newest is not None else ""
    heading = f"{day or 'time':<11}RR s  " + "".join(f"{name:>4}" for name in AAMI_CLASSES) + "   qual"
    lines.append(Line((fit(heading, width), DIM)))
    if closeup is None:
        return [*lines, Line(("reading the beats", DIM))]
    if not closeup.beats:
        return [*lines, Line(("no beats yet", DIM))]
    lines.extend(_beat(beat) for beat in closeup.beats[: height - 2])
    return lines


def _beat(beat: BeatEntry) -> Line:
    line = Line((palette.label_letter(beat.label), palette.label_style(beat.label)))
    line.add(f" {_clock(beat.due_at)}", DIM)
    line.add(f" {beat.rr_s:5.2f}  " if beat.rr_s is not None else "     -  ", PLAIN)
    if beat.probabilities:
        for name, probability in zip(AAMI_CLASSES, beat.probabilities, strict=False):
            chosen = name == beat.label
            style = (
                palette.label_style(name)
                if chosen
                else paint(palette.FAINT if probability < 0.05 else palette.MUTED)
            )
            line.add(f"{probability:4.0%}", style)
    else:
        line.add(f"{'not classified':<20}", DIM)
    return line.add(f"  {beat.quality:4.2f}", DIM)


def _history(view: AthleteView, width: int, height: int) -> list[Line]:
    if not view.history:
        return [Line(("no alarms so far", DIM))]
    number = len(view.history)
    lines = [Line((f"{number} alarm{'s' * (number != 1)}, newest first", DIM))]
    for record in view.history:
        lines.extend(_record(record, view, width))
    if len(lines) > height > 1:
        lines = [*lines[: height - 1], Line(("… more: strapwatch alerts", DIM))]
    return lines


def _record(record: AlarmRecord, view: AthleteView, width: int) -> list[Line]:
    alarm = record.latest
    words = describe(record, view.alarms)
    style = palette.alarm_text(alarm.priority) if not words.startswith("over") else paint(palette.TEXT)
    at = clock(record.raised_at)
    at = at if len(at) <= width // 3 else short_clock(record.raised_at)
    first = Line((f"{at} ", DIM), (fit(kind_words(alarm.kind), width - len(at) - 1), style))
    lines = [first, Line((fit(f"  {alarm.priority}, {words}", width), DIM))]
    lines.extend(Line((f"  {part}", PLAIN)) for part in wrap(alarm.message, width - 2, 2))
    return lines


def _clock(at: float) -> str:
    return dt.datetime.fromtimestamp(at).astimezone().strftime("%H:%M:%S")


def _day(at: float) -> str:
    """Return the date of a Unix time here; empty if it is today."""
    day = dt.datetime.fromtimestamp(at).astimezone().date()
    return "" if day == dt.datetime.now().astimezone().date() else day.isoformat()
