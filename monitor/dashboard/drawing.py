"""Lines of styled text of an exact width: what every part of the dashboard is drawn with."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Self

from rich.cells import cell_len, set_cell_size
from rich.console import Console, ConsoleOptions, RenderResult
from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.palette import PLAIN

Piece = tuple[str, Style]


class Line:
    """One line of text, built from left to right.

    Attributes
    ----------
    segments : list of rich.segment.Segment
        The pieces so far.
    width : int
        Cells they take.
    """

    __slots__ = ("segments", "width")

    def __init__(self, *pieces: Piece) -> None:
        self.segments: list[Segment] = []
        self.width = 0
        for text, style in pieces:
            self.add(text, style)

    def add(self, text: str, style: Style = PLAIN, cells: int | None = None) -> Self:
        """Add `text`, `cells` wide where the caller knows."""
        if text:
            self.segments.append(Segment(text, style))
            self.width += cell_len(text) if cells is None else cells
        return self

    def extend(self, other: "Line") -> Self:
        """Add another line's pieces."""
        self.segments.extend(other.segments)
        self.width += other.width
        return self

    def fill(self, width: int, style: Style = PLAIN) -> Self:
        """Make the line exactly `width` cells: pad with blanks of `style`, or cut."""
        if self.width < width:
            self.segments.append(Segment(" " * (width - self.width), style))
        elif self.width > width:
            self.segments = Segment.adjust_line_length(self.segments, width, style)
        self.width = width
        return self

    @property
    def text(self) -> str:
        """The characters without their style."""
        return "".join(segment.text for segment in self.segments)


def spread(left: Line, right: Line, width: int, style: Style = PLAIN) -> Line:
    """Return one line with `left` at its left end and `right` at its right end; `right` is kept whole."""
    return left.fill(max(0, width - right.width), style).extend(right).fill(width, style)


def fit(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, shortened between words and marked with an ellipsis."""
    if cell_len(text) <= width:
        return text
    if width <= 0:
        return ""
    kept = set_cell_size(text, width - 1).rstrip()
    if not text[len(kept) :].startswith(" ") and " " in kept:
        kept = kept.rsplit(" ", 1)[0]
    return kept.rstrip(" ,;:.-") + "…"


def clip(text: str, width: int) -> str:
    """Return `text` in at most `width` cells, cut anywhere and marked with an ellipsis: for names."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def wrap(text: str, width: int, lines: int) -> list[str]:
    """Return `text` broken between words into at most `lines` lines of `width` cells; the last is shortened."""
    broken: list[str] = []
    words = text.split()
    while words and len(broken) < lines - 1:
        row = words.pop(0)
        while words and cell_len(row) + 1 + cell_len(words[0]) <= width:
            row = f"{row} {words.pop(0)}"
        broken.append(fit(row, width))
    if words and lines > 0:
        broken.append(fit(" ".join(words), width))
    return broken


@dataclass(frozen=True)
class Drawing:
    """Lines as something that rich and Textual can print."""

    lines: Sequence[Line]

    def __rich_console__(self, _console: Console, _options: ConsoleOptions) -> RenderResult:
        for line in self.lines:
            yield from line.segments
            yield Segment.line()

    @property
    def text(self) -> str:
        """All characters without their style."""
        return "\n".join(line.text for line in self.lines)


def stack(lines: Iterable[Line], width: int, height: int) -> list[Line]:
    """Return exactly `height` lines of exactly `width` cells: blank lines are added, surplus ones left out."""
    taken = [line.fill(width) for _, line in zip(range(height), lines, strict=False)]
    taken.extend(Line().fill(width) for _ in range(height - len(taken)))
    return taken
