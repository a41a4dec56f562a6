"""The lines around the tiles: who this is for, how the monitor is, the most urgent alarm, and the keys."""

import datetime as dt
from dataclasses import dataclass
from typing import Final

from monitor.dashboard import palette
from monitor.dashboard.drawing import Line, fit, spread
from monitor.dashboard.palette import BAR, paint
from monitor.dashboard.pieces import alarm_words
from monitor.dashboard.snapshot import OVERLOADED, TEST_ALARM_MISSING, Snapshot, monitor_words

WIDE: Final = 150
"""Screen width from which header and alarm share a line, and footer and status too."""
NOTICE: Final = "research software, not a medical device"

_ON: Final = paint(palette.TEXT, on=BAR)
_SOFT: Final = paint(palette.MUTED, on=BAR)
_KEY: Final = paint(palette.BRIGHT, on=BAR, bold=True)

GRID_KEYS: Final = (
    ("↑↓←→", ""),
    ("Enter", "detail"),
    ("a", "acknowledge"),
    ("l", "alarms"),
    ("/", "filter"),
    ("t", "test"),
    ("?", "help"),
)
DETAIL_KEYS: Final = (
    ("↑↓", "other athlete"),
    ("a", "acknowledge"),
    ("p", "pause"),
    ("e", "exercise"),
    ("Esc", "back"),
    ("?", "help"),
    ("q", "leave"),
)


@dataclass(frozen=True, slots=True)
class Heading:
    """What the bars say beside the snapshot.

    Attributes
    ----------
    now : float
        Unix time in seconds, for the clock.
    lit : bool
        The bright half of the slow blink.
    page, pages : int
        Which page of how many, from 1.
    order, wanted : str
        How athletes are sorted; what is filtered for, or empty.
    status : str
        A line from whoever runs the dashboard; empty for none.
    redis : str
        Where Redis is looked for, without a password.
    """

    now: float
    lit: bool = True
    page: int = 1
    pages: int = 1
    order: str = "alarm"
    wanted: str = ""
    status: str = ""
    redis: str = ""


def header_lines(snapshot: Snapshot, heading: Heading, width: int) -> list[Line]:
    """Return the top of the screen: one line on a wide screen, two on a narrow one."""
    words, well = monitor_words(snapshot)
    clock = dt.datetime.fromtimestamp(heading.now).astimezone().strftime("%H:%M:%S")
    state = (
        f" {words} ",
        paint(palette.TRACE, on=BAR) if well else palette.alarm_fill("high", lit=heading.lit),
    )
    name = Line((" strapwatch", _KEY), (f" · {NOTICE} ", _SOFT))
    number = len(snapshot.athletes)
    right = Line((f" {number} athlete{'s' * (number != 1)} ", _SOFT), state, (f" {clock} ", _ON))
    if width >= WIDE:
        middle = alarm_bar(snapshot, heading, width - name.width - right.width - 1)
        return [name.add(" ", _ON).extend(middle).extend(right).fill(width, _ON)]
    if name.width + right.width > width:
        name = Line((f" {NOTICE} ", _SOFT))
    if name.width + right.width > width:
        right = Line(state, (f" {clock} ", _ON))
    return [spread(name, right, width, _ON), alarm_bar(snapshot, heading, width)]


def alarm_bar(snapshot: Snapshot, heading: Heading, width: int) -> Line:
    """Return the most urgent alarm of all athletes on one line, or what else must be known first."""
    if not snapshot.connected and snapshot.ever_connected:
        fill = palette.alarm_fill("high", lit=heading.lit)
        return Line((fit(" Redis does not answer: what is shown is old. Trying again.", width), fill)).fill(
            width, fill
        )
    if not snapshot.connected:
        return Line((fit(f" Waiting for Redis at {heading.redis}", width), _ON)).fill(width, _ON)
    calling = snapshot.calling
    if not calling:
        held = sum(1 for view in snapshot.athletes if view.pressing)
        words, well = monitor_words(snapshot)
        if not well:
            text = f" {words[:1].upper()}{words[1:]}: {_consequence(words)}"
            style = paint(palette.CAUTION, on=BAR, bold=True)
        elif held:
            text, style = f" {held} acknowledged alarm{'s' * (held != 1)}, none new", _ON
        else:
            text, style = " No active alarm", _SOFT
        return Line((fit(text, width), style)).fill(width, style)
    view, alarm = calling[0]
    fill = palette.alarm_fill(alarm.priority, lit=heading.lit)
    more = f" +{len(calling) - 1} more " if len(calling) > 1 else " "
    text = f" ▲ {view.name}: {alarm_words(alarm)} → {alarm.action}"
    return spread(Line((fit(text, width - len(more)), fill)), Line((more, fill)), width, fill)


def _consequence(words: str) -> str:
    if words.startswith(OVERLOADED):
        return "beats and alarms go on, late"
    if words == TEST_ALARM_MISSING:
        return "alarms may not arrive"
    return "they have reached nobody yet" if words.endswith("waiting") else "nobody is watched"


def footer_lines(heading: Heading, width: int, keys: tuple[tuple[str, str], ...] = GRID_KEYS) -> list[Line]:
    """Return the bottom of the screen: keys, order and filter, and the status line if there is one."""
    line = Line((" ", _ON))
    for key, words in keys:
        line.add(key, _KEY).add(f" {words}  " if words else "  ", _SOFT)
    right = Line()
    if keys is GRID_KEYS:
        page = f"page {heading.page}/{heading.pages}" if heading.pages > 1 else ""
        order = f"by {heading.order}  "
        shown = f"only {heading.wanted!r}  " if heading.wanted else ""
        told = next((t for t in (shown + order + page, page) if line.width + len(t) <= width), "")
        right.add(told, _SOFT)
    if not heading.status:
        return [_joined(line, right, width)]
    if width >= WIDE:
        room = width - line.width - right.width - 2
        middle = Line((fit(heading.status, room), paint(palette.SOURCE, on=BAR)))
        return [
            line.extend(spread(Line(), middle.add("  ", _ON), room + 2, _ON)).extend(right).fill(width, _ON)
        ]
    status = Line((f" {fit(heading.status, width - 2)}", paint(palette.SOURCE, on=BAR))).fill(width, _ON)
    return [status, _joined(line, right, width)]


def _joined(left: Line, right: Line, width: int) -> Line:
    return spread(left, right, width, _ON) if left.width + right.width <= width else left.fill(width, _ON)
