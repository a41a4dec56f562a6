"""The screen that shows what exercise does to one athlete's heart."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from monitor.dashboard.bars import Heading
from monitor.dashboard.detail import gone_lines
from monitor.dashboard.drawing import Line
from monitor.dashboard.exercise import exercise_lines
from monitor.dashboard.screens import OneAthleteScreen
from monitor.dashboard.snapshot import Key, Snapshot, by_name


class ExerciseScreen(OneAthleteScreen):
    """One athlete's exercise panel."""

    keys = (("↑↓", "other athlete"), ("a", "acknowledge"), ("Esc", "back"), ("?", "help"), ("q", "leave"))

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,e,enter", "back", show=False),
        Binding("up,left", "other(-1)", show=False),
        Binding("down,right", "other(1)", show=False),
    ]

    def __init__(self, key: Key) -> None:
        super().__init__(key)
        self._among: list[Key] = []

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the panel."""
        self.dashboard.feed.watch(())
        views = by_name(snapshot)
        self._among = [view.key for view in views]
        view = next((view for view in views if view.key == self.key), None)
        if view is None:
            return gone_lines(self.key.athlete, width, height)
        return exercise_lines(view, width, height)

    def action_other(self, step: int) -> None:
        """Go to the next or previous athlete by name."""
        if self.key in self._among:
            self.key = self._among[(self._among.index(self.key) + step) % len(self._among)]

    def action_back(self) -> None:
        """Return to where one came from."""
        self.app.pop_screen()
