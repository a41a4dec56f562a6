"""The screen with all alarms: active ones or history, and the chosen one in full."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from monitor.dashboard.alarm_view import AlarmRow, active_rows, alarm_screen_lines, history_rows
from monitor.dashboard.bars import Heading
from monitor.dashboard.drawing import Line
from monitor.dashboard.screens import DetailScreen, DrawnScreen
from monitor.dashboard.snapshot import AthleteView, Key, Snapshot
from monitor.live_state import ActiveAlarm

_BEFORE = (("↑↓", ""), ("a", "acknowledge"), ("p", "pause"), ("f", "false"), ("y", "true"))
_AFTER = (("Esc", "back"), ("?", "help"))
ALARM_KEYS = (*_BEFORE, ("Tab", "history"), *_AFTER)
HISTORY_KEYS = (*_BEFORE, ("Tab", "active"), *_AFTER)


class AlarmsScreen(DrawnScreen):
    """Active alarms, or all there were."""

    keys = ALARM_KEYS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "back", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("home", "move(-9999)", show=False),
        Binding("end", "move(9999)", show=False),
        Binding("tab", "other_list", show=False),
        Binding("h", "history(True)", show=False),
        Binding("l", "history(False)", show=False),
        Binding("enter", "athlete", show=False),
        Binding("f", "say('false')", show=False),
        Binding("y", "say('true')", show=False),
    ]

    def __init__(self, *, history: bool) -> None:
        super().__init__()
        self._identity = ""
        self.action_history(history)
        self._rows: list[AlarmRow] = []

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the list and the chosen alarm."""
        feed = self.dashboard.feed
        feed.watch(())
        feed.said.wanted = True
        self._rows = history_rows(snapshot) if self.history else active_rows(snapshot)
        return alarm_screen_lines(
            snapshot, self._rows, self._at(), width, height, history=self.history, said=feed.said.said
        )

    @property
    def chosen(self) -> AlarmRow | None:
        """The alarm under the cursor."""
        return self._rows[self._at()] if self._rows else None

    def _at(self) -> int:
        return next((n for n, row in enumerate(self._rows) if row.identity == self._identity), 0)

    def target(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:  # noqa: ARG002 - one signature for all screens
        """Return the chosen alarm if it still waits for somebody; never another one than the eye is on."""
        row = self.chosen
        if row is None or row.active is None or row.active.acknowledged_by:
            return None
        return row.view, row.active

    def whom(self, snapshot: Snapshot) -> Key | None:  # noqa: ARG002 - one signature for all screens
        """Return whose alarms the key ``p`` pauses."""
        return self.chosen.view.key if self.chosen is not None else None

    def action_move(self, step: int) -> None:
        """Move the cursor."""
        if self._rows:
            self._identity = self._rows[min(max(0, self._at() + step), len(self._rows) - 1)].identity

    def action_history(self, history: bool) -> None:  # noqa: FBT001 - a key binding hands it over by position
        """Show all alarms there were, or the active ones."""
        self.history = history
        self.keys = HISTORY_KEYS if history else ALARM_KEYS

    def action_other_list(self) -> None:
        """Go from the active alarms to all there were and back."""
        self.action_history(not self.history)

    def action_athlete(self) -> None:
        """Open the athlete whose alarm this is."""
        if self.chosen is not None:
            self.app.push_screen(DetailScreen(self.chosen.view.key, [self.chosen.view.key]))

    def action_say(self, verdict: str) -> None:
        """Say whether the chosen alarm was right."""
        row = self.chosen
        if row is None:
            self.dashboard.notice("No alarm to judge")
        elif verdict == "true":
            self.dashboard.say(row.identity, "true")
        else:
            self.dashboard.say(row.identity, "false")

    def action_back(self) -> None:
        """Return to where one came from."""
        self.dashboard.feed.said.wanted = False
        self.app.pop_screen()
