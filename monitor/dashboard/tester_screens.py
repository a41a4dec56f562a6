"""The tester's screens: beats against truth, and one miss in full."""

from typing import ClassVar

from textual.binding import Binding, BindingType

from monitor.dashboard.bars import Heading
from monitor.dashboard.drawing import Line, stack
from monitor.dashboard.miss_strip import miss_lines
from monitor.dashboard.palette import DIM
from monitor.dashboard.screens import DrawnScreen
from monitor.dashboard.snapshot import Key, Snapshot
from monitor.dashboard.tester import (
    TesterChoice,
    key_of,
    miss_list_lines,
    misses_of,
    tester_lines,
    worst_first,
)
from monitor.scores import Miss

TESTER_KEYS = (
    ("↑↓", "choose"),
    ("Tab", "misses"),
    ("d", "show the miss"),
    ("Esc", "back"),
    ("?", "help"),
    ("q", "leave"),
)
_STRIP_HEIGHT = 24
_WITH_LIST = 30
MISS_KEYS = (("↑↓", "other miss"), ("Esc", "back"), ("?", "help"), ("q", "leave"))


class TesterScreen(DrawnScreen):
    """Beats against truth; the first line of the list of athletes stands for all."""

    keys = TESTER_KEYS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,t", "back", show=False),
        Binding("up", "move(-1)", show=False),
        Binding("down", "move(1)", show=False),
        Binding("pageup", "move(-10)", show=False),
        Binding("pagedown", "move(10)", show=False),
        Binding("tab,left,right", "other_list", show=False),
        Binding("d,enter", "show_miss", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.of_misses = False
        self.athlete: Key | None = None
        self.miss: Miss | None = None

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the tester's view."""
        trained_on = frozenset(view.key for view in snapshot.athletes if view.state.trained_on)
        feed = self.dashboard.feed
        feed.watch(())
        feed.tester.wanted = True
        choice = TesterChoice(self.of_misses, self.athlete, self.index, trained_on)
        return tester_lines(feed.tester.verdicts(), choice, width, height, name=self.dashboard.called)

    @property
    def misses(self) -> list[Miss]:
        """The misses in the list, the newest first."""
        return misses_of(self.dashboard.feed.tester.verdicts(), self.athlete)

    @property
    def index(self) -> int:
        """Where in the list the chosen miss is."""
        misses = self.misses
        return misses.index(self.miss) if self.miss in misses else 0

    def action_move(self, step: int) -> None:
        """Move the cursor; above the first athlete stand all of them."""
        if self.of_misses:
            misses = self.misses
            if misses:
                self.miss = misses[min(max(0, self.index + step), len(misses) - 1)]
            return
        keys: list[Key | None] = [None]
        keys += [key_of(score) for score in worst_first(self.dashboard.feed.tester.verdicts().scores)]
        here = keys.index(self.athlete) if self.athlete in keys else 0
        self.athlete = keys[min(max(0, here + step), len(keys) - 1)]
        self.miss = None

    def action_other_list(self) -> None:
        """Go from the athletes to the misses and back."""
        self.of_misses = not self.of_misses
        if self.of_misses and self.miss is None:
            self.miss = next(iter(self.misses), None)

    def action_show_miss(self) -> None:
        """Show the chosen miss, or the newest of the chosen athlete."""
        misses = self.misses
        if not misses:
            self.dashboard.notice("No miss to show")
            return
        if self.miss not in misses:
            # The newest that somebody has to look into comes first.
            own = [miss for miss in misses if miss.microvolts and miss.cause == "unexplained"]
            self.miss = next(iter(own), misses[0])
        self.of_misses = True
        self.app.push_screen(MissScreen(self))

    def action_back(self) -> None:
        """Return to all athletes."""
        self.dashboard.feed.tester.wanted = False
        self.app.pop_screen()


class MissScreen(DrawnScreen):
    """One miss with the signal around it."""

    keys = MISS_KEYS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,d,enter", "back", show=False),
        Binding("up,left", "other(-1)", show=False),
        Binding("down,right", "other(1)", show=False),
    ]

    def __init__(self, tester: TesterScreen) -> None:
        super().__init__()
        self._tester = tester

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the miss, and below it the list it is from."""
        tester = self._tester
        miss, misses = tester.miss, tester.misses
        if miss is None:
            return stack([Line((" No miss", DIM))], width, height)
        upper = height if height < _WITH_LIST else _STRIP_HEIGHT
        called = self.dashboard.called
        drawn = stack(miss_lines(miss, called(key_of(miss)), width, upper), width, upper)
        choice = TesterChoice(of_misses=True, athlete=tester.athlete, miss=tester.index)
        title = called(tester.athlete) if tester.athlete is not None else "all athletes"
        listed = miss_list_lines(misses, choice, title, width, max(0, height - upper - 1), called)
        return stack([*drawn, Line(), *listed] if height > upper else drawn, width, height)

    def action_other(self, step: int) -> None:
        """Go to the next or previous miss."""
        self._tester.action_move(step)

    def action_back(self) -> None:
        """Return to the list."""
        self.app.pop_screen()
