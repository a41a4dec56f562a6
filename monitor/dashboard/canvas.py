"""The one widget: shows lines, and repaints only those that changed."""

from collections.abc import Sequence

from rich.segment import Segment
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from monitor.dashboard.drawing import Line
from monitor.dashboard.palette import PLAIN


class Canvas(Widget):
    """Lines of the screen's width, drawn by whoever owns the screen."""

    DEFAULT_CSS = "Canvas { width: 100%; height: 100%; }"

    def __init__(self) -> None:
        super().__init__()
        self._lines: Sequence[Line] = ()

    def show(self, lines: Sequence[Line]) -> None:
        """Show `lines` from now on."""
        old, self._lines = self._lines, lines
        if len(old) != len(lines):
            self.refresh()
            return
        changed = [
            Region(0, y, self.size.width, 1)
            for y, (was, now) in enumerate(zip(old, lines, strict=True))
            if was.segments != now.segments
        ]
        if changed:
            self.refresh(*changed)

    @property
    def lines(self) -> list[list[Segment]]:
        """What is shown."""
        return [line.segments for line in self._lines]

    @property
    def text(self) -> str:
        """What is shown, without its style."""
        return "\n".join(line.text for line in self._lines)

    def render_line(self, y: int) -> Strip:
        """Return one line for Textual."""
        if y >= len(self._lines):
            return Strip([Segment(" " * self.size.width, PLAIN)], self.size.width)
        line = self._lines[y]
        return Strip(line.segments, line.width).adjust_cell_length(self.size.width, PLAIN)
