"""The pieces that tiles and the detail view are put together from: each a short styled line about one athlete."""

from dataclasses import dataclass
from itertools import groupby
from typing import Final

from rich.style import Style

from monitor.contract import LABELS
from monitor.dashboard import palette
from monitor.dashboard.drawing import Line, fit, spread
from monitor.dashboard.palette import BACKGROUND, DIM, PLAIN, paint
from monitor.dashboard.snapshot import UNREADABLE_S, AthleteView, Life
from monitor.live_state import ActiveAlarm

TRAINED_ON: Final = "trained on this"
OLD: Final = paint("#161000", on=palette.CAUTION, bold=True)
"""The style of words that say why a value is not of now."""


@dataclass(frozen=True, slots=True)
class TileMood:
    """How a tile is to look, beside what it says.

    Attributes
    ----------
    selected : bool
        The cursor is on it.
    lit : bool
        The bright half of the slow blink of an alarm that nobody has acknowledged.
    show_team : bool
        The name carries the team.
    """

    selected: bool = False
    lit: bool = True
    show_team: bool = False


def full_name(view: AthleteView, mood: TileMood) -> str:
    """Return what to call the athlete, with the team where several teams are shown."""
    return f"{view.state.team}/{view.name}" if mood.show_team else view.name


def name_and_pause(view: AthleteView, mood: TileMood, *, countdown: bool = True) -> str:
    """Return `full_name` after the sign of a pause, where there is one, with its countdown if there is room."""
    name = full_name(view, mood)
    if not view.paused_words:
        return name
    return f"‖{view.paused_words} {name}" if countdown else f"‖{name}"


def category_words(category: str) -> str:
    """Return a quality category as words."""
    return category.replace("_", " ")


def bar(share: float, cells: int, colour: str, *, on: str = BACKGROUND, rest: str = palette.FAINT) -> Line:
    """Return a bar of `cells` that is filled to `share` (0 to 1)."""
    full = round(min(1.0, max(0.0, share)) * cells)
    return Line(("━" * full, paint(colour, on=on, bold=True)), ("━" * (cells - full), paint(rest, on=on)))


def quality_line(view: AthleteView, *, on: str = BACKGROUND, ink: str | None = None, cells: int = 5) -> Line:
    """Return signal quality in words and as a bar, then coverage in percent."""
    state = view.state
    live = view.life is Life.LIVE
    colour = ink or (palette.quality_colour(state.quality_category) if live else palette.FAINT)
    words = ink or (colour if live and state.quality_category != "good" else palette.MUTED)
    category = category_words(state.quality_category) if live else "--"
    return (
        Line((f"{category:>8} ", paint(words, on=on)))
        .extend(bar(state.quality if live else 0.0, cells, colour, on=on))
        .add(f" {state.coverage:4.0%}", paint(ink or palette.MUTED, on=on))
    )


def strip_line(labels: list[str], cells: int, *, live: bool) -> Line:
    """Return the classes of the last beats, newest at the right, coloured and lettered."""
    shown = labels[-cells:] if cells > 0 else []
    line = Line((" " * (cells - len(shown)), PLAIN))
    for label, alike in groupby(shown):
        letters = palette.label_letter(label) * len(list(alike))
        line.add(letters, palette.label_style(label) if live else palette.GONE)
    return line


def kind_words(kind: str) -> str:
    """Return an alarm's kind as words: ``ventricular_run`` becomes ``Ventricular run``."""
    words = kind.replace("_", " ").strip()
    return words[:1].upper() + words[1:]


def alarm_words(alarm: ActiveAlarm) -> str:
    """Return what an alarm is, in a few words."""
    words = kind_words(alarm.kind)
    if alarm.unanswered and not alarm.acknowledged_by:
        words = f"{words}, UNANSWERED"
    return f"{words}, now over" if alarm.cleared else words


def acknowledged_line(alarm: ActiveAlarm, width: int) -> Line:
    """Return an alarm that somebody has acknowledged, on one quiet line."""
    words = f"✓ {alarm_words(alarm)} → {alarm.action}"
    return Line((fit(words, width), palette.alarm_text(alarm.priority, bold=False)))


def filled_line(text: str, alarm: ActiveAlarm, width: int, *, lit: bool) -> Line:
    """Return words about an alarm that nobody has acknowledged, filled with its colour."""
    fill = palette.alarm_fill(alarm.priority, lit=lit)
    return Line((fit(text, width), fill)).fill(width, fill)


def old_line(view: AthleteView, width: int) -> Line:
    """Return why an athlete's values are not of now, and how old they are."""
    return Line((fit(f" {view.life_words} ", width), OLD))


def name_style(view: AthleteView, mood: TileMood, *, on: str = BACKGROUND) -> Style:
    """Return the style of the name: filled with the alarm's colour until somebody acknowledges it."""
    if view.calling:
        return palette.alarm_fill(view.calling.priority, lit=mood.lit)
    background = palette.SELECTED_BAR if mood.selected else on
    return paint(palette.BRIGHT if view.life is Life.LIVE else palette.MUTED, on=background, bold=True)


def rate_style(view: AthleteView) -> Style:
    """Return the style of the heart rate: bright only when it is of now."""
    if view.life is not Life.LIVE:
        return palette.GONE
    calling = view.calling
    if calling and not calling.technical:
        return palette.alarm_text(calling.priority)
    return paint(palette.BRIGHT, bold=True)


def shown_rate(view: AthleteView) -> float | None:
    """Return the heart rate that may be shown: none once it is older than `UNREADABLE_S`."""
    return None if view.old_s > UNREADABLE_S else view.state.rate_bpm


def rate_text(view: AthleteView) -> str:
    """Return the heart rate that may be shown, three cells wide."""
    rate = shown_rate(view)
    return f"{round(min(rate, 999.0)):3d}" if rate is not None else " --"


def counts_line(view: AthleteView, width: int) -> Line:
    """Return how many beats of each class there were, and lost packets, as far as they fit."""
    state = view.state
    line = Line()
    for label in LABELS:
        number = state.counts.get(label, 0)
        if number and line.width + len(f"{number:,}") + 4 <= width - 14:
            line.add(palette.label_letter(label), palette.label_style(label)).add(f" {number:,}  ", DIM)
    if state.packets_lost:
        return spread(line, Line((f"{state.packets_lost:,} lost", paint(palette.CAUTION))), width)
    return line.fill(width)


def without_left(line: Line, cells: int) -> Line:
    """Return `line` without its first `cells` characters, each of which must be one cell wide."""
    kept = Line()
    for segment in line.segments:
        cut = min(len(segment.text), cells)
        cells -= cut
        kept.add(segment.text[cut:], segment.style or PLAIN)
    return kept
