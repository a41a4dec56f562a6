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
_CHOOSE = "Choose an alarm first: ↑ ↓"
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
        self.history = history
        self.keys = HISTORY_KEYS if history else ALARM_KEYS
        self._rows: list[AlarmRow] = []
        self._identity = ""
        self._place = 0

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the list and the chosen alarm."""
        feed = self.dashboard.feed
        feed.watch(())
        feed.said.wanted = True
        self._rows = history_rows(snapshot) if self.history else active_rows(snapshot)
        if self._rows and not self._identity:
            # What is drawn as chosen stays chosen, whatever comes above it: the next key means what the eye saw.
            self._identity = self._rows[0].identity
        at = self._at()
        self._place = min(self._place, max(0, len(self._rows) - 1)) if at is None else at
        return alarm_screen_lines(
            snapshot,
            self._rows,
            self._place,
            width,
            height,
            chosen=at is not None,
            history=self.history,
            said=feed.said.said,
        )

    def hide(self) -> None:
        """Forget the rows; which alarm is chosen stays."""
        self._rows = []

    @property
    def chosen(self) -> AlarmRow | None:
        """The alarm under the cursor; None if there is none, or the chosen one has left the list."""
        at = self._at()
        return None if at is None else self._rows[at]

    @property
    def pointed(self) -> str:
        """The chosen alarm's identity."""
        return self._identity

    def _at(self) -> int | None:
        return next((n for n, row in enumerate(self._rows) if row.identity == self._identity), None)

    def target(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:  # noqa: ARG002 - one signature for all screens
        """Return the chosen alarm if it still waits for somebody; never another one than the eye is on."""
        row = self.chosen
        if row is None or row.active is None or row.active.acknowledged_by:
            return None
        return row.view, row.active

    def without_target(self, snapshot: Snapshot) -> str:
        """Return why the chosen alarm cannot be acknowledged."""
        row = self.chosen
        if row is None:
            return _CHOOSE if self._rows else super().without_target(snapshot)
        by = row.active.acknowledged_by if row.active is not None else ""
        name = row.view.name
        return f"{name}: acknowledged before, by {by}" if by else f"{name}: that alarm is over"

    def whom(self, snapshot: Snapshot) -> Key | None:  # noqa: ARG002 - one signature for all screens
        """Return whose alarms the key ``p`` pauses."""
        return self.chosen.view.key if self.chosen is not None else None

    def action_move(self, step: int) -> None:
        """Move the cursor; from nowhere to where it was last."""
        if not self._rows:
            return
        at = self._at()
        if at is None:
            at, step = self._place, step if abs(step) > 1 else 0
        self._identity = self._rows[min(max(0, at + step), len(self._rows) - 1)].identity

    def action_history(self, history: bool) -> None:  # noqa: FBT001 - a key binding hands it over by position
        """Show all alarms there were, or the active ones; what is chosen stays so if the other list has it."""
        if history == self.history:
            return
        self.history = history
        self.keys = HISTORY_KEYS if history else ALARM_KEYS
        snapshot = self.dashboard.snapshot
        self._rows = history_rows(snapshot) if history else active_rows(snapshot)
        if self._at() is None:
            self._identity, self._place = "", 0

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
            self.dashboard.notice(_CHOOSE if self._rows else "No alarm to judge")
        elif verdict == "true":
            self.dashboard.say(row.identity, "true")
        else:
            self.dashboard.say(row.identity, "false")

    def action_back(self) -> None:
        """Return to where one came from."""
        self.dashboard.feed.said.wanted = False
        self.app.pop_screen()
