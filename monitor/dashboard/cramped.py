"""What a terminal below 80x24 shows: that it is too small, how much is missing, and the most urgent alarm."""

from typing import Final

from monitor.dashboard import palette
from monitor.dashboard.bars import Heading, alarm_bar
from monitor.dashboard.drawing import Line, clip, fit, stack, wrap
from monitor.dashboard.layout import LEAST_HEIGHT, LEAST_WIDTH, MIN_TILE_HEIGHT, MIN_TILE_WIDTH
from monitor.dashboard.palette import paint
from monitor.dashboard.pieces import alarm_words
from monitor.dashboard.snapshot import Snapshot, monitor_words

_BARS: Final = 6
"""Lines at most of header, size and footer; below them a tile must have room."""
_WARNING: Final = paint("#161000", on=palette.CAUTION, bold=True)


def is_cramped(width: int, height: int) -> bool:
    """Return whether there is room for bars only."""
    return width < MIN_TILE_WIDTH or height < _BARS + MIN_TILE_HEIGHT


def size_lines(width: int, height: int, hidden: int, most: int = 2) -> list[Line]:
    """Say that a terminal is too small; nothing of one that is large enough.

    Parameters
    ----------
    width, height : int
        Cells of the whole terminal.
    hidden : int
        How many athletes are not shown.
    most : int
        Lines at most.

    Returns
    -------
    list of Line
        Lines of `width` cells.
    """
    if width >= LEAST_WIDTH and height >= LEAST_HEIGHT:
        return []
    least = f"{LEAST_WIDTH}x{LEAST_HEIGHT}"
    missing = f" {hidden} athlete{'s' * (hidden != 1)} not shown" if hidden else ""
    texts = (
        f"terminal {width}x{height}: needs {least}{';' * bool(missing)}{missing}",
        f"{width}x{height}, needs {least}{':' * bool(missing)}{missing}",
    )
    broken = [wrap(text, width, most) for text in texts]
    whole = next((lines for lines, text in zip(broken, texts, strict=True) if " ".join(lines) == text), None)
    return [Line((part, _WARNING)).fill(width, _WARNING) for part in whole or broken[-1]]


def cramped_lines(
    snapshot: Snapshot, heading: Heading, width: int, height: int, *, hidden: int
) -> list[Line]:
    """Draw a terminal that has room for bars only: the alarm first, since it is why one looks.

    Parameters
    ----------
    snapshot : Snapshot
        Everything at this moment.
    heading : Heading
        What the bars say beside it.
    width, height : int
        Cells.
    hidden : int
        How many athletes are not shown.

    Returns
    -------
    list of Line
        Exactly `height` lines of `width` cells.
    """
    alarm = _alarm(snapshot, heading, width, height)
    lines = [*alarm, *size_lines(width, height, hidden, max(1, height - len(alarm)))]
    words, well = monitor_words(snapshot)
    if not well:
        lines.append(Line((fit(words, width), palette.alarm_fill("high", lit=heading.lit))))
    if heading.status:
        lines.append(Line((fit(heading.status, width), paint(palette.SOURCE))))
    return stack(lines, width, height)


def _alarm(snapshot: Snapshot, heading: Heading, width: int, height: int) -> list[Line]:
    calling = snapshot.calling
    if not snapshot.connected or not calling or height < 3:
        return [alarm_bar(snapshot, heading, width)]
    view, alarm = calling[0]
    fill = palette.alarm_fill(alarm.priority, lit=heading.lit)
    more = f" +{len(calling) - 1}" if len(calling) > 1 else ""
    what = clip(f"▲ {view.name}: {alarm_words(alarm)}", width - len(more)) + more
    return [Line((text, fill)).fill(width, fill) for text in (what, fit(f"→ {alarm.action}", width))]
