"""The screens and their keys: all athletes, one athlete, help. Each draws itself anew when the app says so."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar, Final, cast

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import Screen

from monitor.contract import Priority
from monitor.dashboard import palette
from monitor.dashboard.bars import DETAIL_KEYS, GRID_KEYS, Heading, footer_lines, header_lines
from monitor.dashboard.canvas import Canvas
from monitor.dashboard.cramped import cramped_lines, is_cramped, size_lines
from monitor.dashboard.detail import DETAIL_DOTS_PER_S, detail_dots, detail_lines, gone_lines
from monitor.dashboard.drawing import Line, fit, stack
from monitor.dashboard.layout import Placement, neighbour, pages
from monitor.dashboard.order import ORDERS, arrange
from monitor.dashboard.palette import DIM, PLAIN, paint
from monitor.dashboard.pieces import TileMood
from monitor.dashboard.snapshot import AthleteView, Key, Snapshot
from monitor.dashboard.tiles import DOTS_PER_S, tile, wave_cells
from monitor.dashboard.trace import TraceWindow
from monitor.live_state import ActiveAlarm

if TYPE_CHECKING:
    from monitor.dashboard.app import DashboardApp

_REARRANGE_S: Final = 2.0
"""How often tiles may change places while nobody calls; a list that moves all the time cannot be read."""


class DrawnScreen(Screen[None]):
    """A screen of one canvas between header and footer.

    Attributes
    ----------
    canvas : Canvas
        What is drawn on.
    cramped : bool
        The terminal has room for the most urgent alarm and nothing else, so the keys mean that one.
    """

    keys: tuple[tuple[str, str], ...] = GRID_KEYS

    def __init__(self) -> None:
        super().__init__()
        self.canvas = Canvas()
        self.cramped = False

    def compose(self) -> ComposeResult:
        """Put the canvas on the screen."""
        yield self.canvas

    @property
    def dashboard(self) -> "DashboardApp":
        """The app."""
        return cast("DashboardApp", self.app)

    def draw(self, snapshot: Snapshot, heading: Heading, now: float) -> None:
        """Draw everything; `now` is the steady clock of the waveforms, in seconds."""
        width, height = self.size
        if width <= 0 or height <= 0:
            return
        self.cramped = is_cramped(width, height)
        if self.cramped:
            self.hide()
            everybody = len(snapshot.athletes)
            self.canvas.show(cramped_lines(snapshot, heading, width, height, hidden=everybody))
            return
        above = header_lines(snapshot, heading, width)
        # Its height is needed before it is known how many are not shown, which a page can only have fewer of.
        small = size_lines(width, height, len(snapshot.athletes))
        below = footer_lines(heading, width, self.keys)
        room = max(0, height - len(above) - len(small) - len(below))
        body = self.body(snapshot, heading, width, room, now)
        above = header_lines(snapshot, self.headed(heading), width)
        small = stack(size_lines(width, height, self.hidden()), width, len(small))
        below = self.below(footer_lines(self.headed(heading), width, self.keys), width)
        self.canvas.show([*above, *small, *body, *below][:height])

    def hide(self) -> None:
        """Forget what was drawn, since no key may act on what nobody sees."""

    def hidden(self) -> int:
        """Return how many athletes should be in sight and have no room."""
        return 0

    def headed(self, heading: Heading) -> Heading:
        """Return the heading with what this screen adds to it."""
        return heading

    def below(self, lines: list[Line], _width: int) -> list[Line]:
        """Return the lines at the bottom."""
        return lines

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:
        """Return exactly `height` lines."""
        raise NotImplementedError

    def acknowledges(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:
        """Return the alarm that the key ``a`` means: `target`, or the only one in sight."""
        return DrawnScreen.target(self, snapshot) if self.cramped else self.target(snapshot)

    def pauses(self, snapshot: Snapshot) -> Key | None:
        """Return whose alarms the key ``p`` means: `whom`, or those of the only one in sight."""
        return DrawnScreen.whom(self, snapshot) if self.cramped else self.whom(snapshot)

    def target(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:
        """Return the alarm to acknowledge: by default the most urgent of all."""
        return next(iter(snapshot.calling), None)

    def without_target(self, _snapshot: Snapshot) -> str:
        """Return why there is nothing for the key ``a``."""
        return "No alarm to acknowledge"

    @property
    def pointed(self) -> Key | str | None:
        """The athlete, or the alarm's identity, that the user has chosen; None if nothing."""
        return None

    def whom(self, snapshot: Snapshot) -> Key | None:
        """Return whose alarms to pause: by default those of whoever calls most urgently."""
        return next((view.key for view, _ in snapshot.calling), None)


class GridScreen(DrawnScreen):
    """All athletes, page by page; whoever calls comes first and brings the first page up."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "move(0,-1)", show=False),
        Binding("down", "move(0,1)", show=False),
        Binding("left", "move(-1,0)", show=False),
        Binding("right", "move(1,0)", show=False),
        Binding("pageup", "page(-1)", show=False),
        Binding("pagedown,space", "page(1)", show=False),
        Binding("home", "page(-999)", show=False),
        Binding("end", "page(999)", show=False),
        Binding("enter", "detail", show=False),
        Binding("slash", "filter", show=False),
        Binding("s", "sort", show=False),
        Binding("escape", "back", show=False),
    ]

    def __init__(self) -> None:
        super().__init__()
        self.cursor: Key | None = None
        self.page = 0
        self.order = ORDERS[0]
        self.wanted = ""
        self._typing: str | None = None
        self._arranged: list[Key] = []
        self._arranged_for: tuple[object, ...] = ()
        self._arranged_at = 0.0
        self._views: list[AthleteView] = []
        self._pages: list[list[Placement]] = []

    def call(self) -> None:
        """Bring those who call on screen."""
        self.page = 0

    def hide(self) -> None:
        """Forget cursor and tiles."""
        self.cursor = None
        self._pages = []
        self.dashboard.feed.watch(())

    def hidden(self) -> int:
        """Return how many athletes are not on this page."""
        return len(self._views) - len(self.shown)

    def headed(self, heading: Heading) -> Heading:
        """Return the heading with page, order and filter."""
        return Heading(
            now=heading.now,
            lit=heading.lit,
            page=self.page + 1,
            pages=max(1, len(self._pages)),
            order=self.order,
            wanted=self.wanted,
            status=heading.status,
            redis=heading.redis,
        )

    def below(self, lines: list[Line], width: int) -> list[Line]:
        """Return the footer, or what is being typed as a filter."""
        if self._typing is None:
            return lines
        on = palette.SELECTED_BAR
        typed = Line(
            (" show only: ", paint(palette.TEXT, on=on)),
            (self._typing, paint(palette.BRIGHT, on=on, bold=True)),
        )
        typed.add("▏", paint(palette.BRIGHT, on=on)).add(
            "   Enter keeps it, Esc shows all", paint(palette.TEXT, on=on)
        )
        return [*lines[:-1], typed.fill(width, paint(palette.TEXT, on=on))]

    def body(self, snapshot: Snapshot, _heading: Heading, width: int, height: int, now: float) -> list[Line]:
        """Return the tiles of the page."""
        self._views = self._arrange(snapshot, now)
        self._pages = pages([view.calling is not None for view in self._views], width, height)
        self.page = min(max(0, self.page), max(0, len(self._pages) - 1))
        shown = self._pages[self.page] if self._pages else []
        self.dashboard.feed.watch(self._views[p.athlete].key for p in shown)
        if not shown:
            return stack([Line(), *self._nobody(snapshot)], width, height)
        show_team = len({view.state.team for view in snapshot.athletes}) > 1
        rows: list[list[tuple[int, Line]]] = [[] for _ in range(height)]
        for placement in shown:
            view = self._views[placement.athlete]
            mood = TileMood(selected=view.key == self.cursor, lit=_heading.lit, show_team=show_team)
            wave = self.dashboard.wave(
                view.key, wave_cells(placement.width, placement.height), DOTS_PER_S, now
            )
            for y, line in enumerate(tile(view, wave, placement.width, placement.height, mood).lines):
                rows[placement.y + y].append((placement.x, line))
        return [_beside(row, width) for row in rows]

    def _arrange(self, snapshot: Snapshot, now: float) -> list[AthleteView]:
        by_key = {view.key: view for view in snapshot.athletes}
        situation = (
            self.order,
            self.wanted,
            frozenset(by_key),
            tuple((view.key, alarm.identity) for view, alarm in snapshot.calling),
        )
        if situation != self._arranged_for or now - self._arranged_at > _REARRANGE_S:
            self._arranged = [view.key for view in arrange(snapshot.athletes, self.order, self.wanted)]
            self._arranged_for, self._arranged_at = situation, now
        return [by_key[key] for key in self._arranged]

    def _nobody(self, snapshot: Snapshot) -> list[Line]:
        if not snapshot.connected and not snapshot.ever_connected:
            reason = f" ({snapshot.trouble})" if snapshot.trouble else ""
            return [
                Line(("  Redis has not answered yet; trying again until it does.", PLAIN)),
                Line((f"  {reason}", DIM)),
            ]
        if self.wanted and snapshot.athletes:
            return [Line((f"  Nobody matches {self.wanted!r}; Esc shows all.", PLAIN))]
        return [Line(("  No athletes yet: they appear here when their straps send.", PLAIN))]

    def target(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:
        """Return the alarm of the athlete under the cursor if there is one, else the most urgent of all."""
        own = next((pair for pair in snapshot.calling if pair[0].key == self.cursor), None)
        return own or super().target(snapshot)

    @property
    def pointed(self) -> Key | None:
        """The athlete under the cursor."""
        return self.cursor

    def whom(self, snapshot: Snapshot) -> Key | None:
        """Return the athlete under the cursor, else whoever calls most urgently."""
        return self.cursor or super().whom(snapshot)

    @property
    def shown(self) -> Sequence[AthleteView]:
        """The athletes on the page."""
        return [self._views[p.athlete] for p in self._pages[self.page]] if self._pages else []

    def action_move(self, dx: int, dy: int) -> None:
        """Move the cursor; at the edge of a page go on to the next."""
        if not self._pages:
            return
        page = self._pages[self.page]
        here = next((p.athlete for p in page if self._views[p.athlete].key == self.cursor), None)
        if here is None:
            self.cursor = self._views[page[0].athlete].key
            return
        there = neighbour(page, here, dx, dy)
        if there is None and (dx or dy):
            step = 1 if dx + dy > 0 else -1
            if not 0 <= self.page + step < len(self._pages):
                return
            self.page += step
            there = self._pages[self.page][0 if step > 0 else -1].athlete
        if there is not None:
            self.cursor = self._views[there].key

    def action_page(self, step: int) -> None:
        """Turn pages."""
        self.page = min(max(0, self.page + step), max(0, len(self._pages) - 1))
        self.cursor = None

    def action_detail(self) -> None:
        """Open the athlete under the cursor, else the first on the page."""
        shown = self.shown
        key = (
            self.cursor if any(view.key == self.cursor for view in shown) else shown[0].key if shown else None
        )
        if key is not None:
            self.cursor = key
            self.app.push_screen(DetailScreen(key, [view.key for view in self._views]))

    def action_sort(self) -> None:
        """Take the next order."""
        self.order = ORDERS[(ORDERS.index(self.order) + 1) % len(ORDERS)]
        self.dashboard.notice(f"Sorted by {self.order}")

    def action_filter(self) -> None:
        """Begin to type a filter."""
        self._typing = ""

    def action_back(self) -> None:
        """Take back the filter, then the cursor."""
        if self.wanted:
            self.wanted = ""
        else:
            self.cursor = None

    async def on_event(self, event: events.Event) -> None:
        """While a filter is typed, letters belong to it and are no keys."""
        if self._typing is not None and isinstance(event, events.Key) and event.key != "ctrl+c":
            event.stop()
            event.prevent_default()
            self._type(event)
            return
        await super().on_event(event)

    def _type(self, event: events.Key) -> None:
        typed = self._typing or ""
        if event.key in {"enter", "escape"}:
            self.wanted = typed if event.key == "enter" else ""
            self._typing = None
            return
        if event.key == "backspace":
            typed = typed[:-1]
        elif event.character and event.is_printable and len(typed) < 40:
            typed += event.character
        self._typing = self.wanted = typed


class OneAthleteScreen(DrawnScreen):
    """A screen about one athlete, whose keys mean that athlete and nobody else."""

    def __init__(self, key: Key) -> None:
        super().__init__()
        self.key = key

    def target(self, snapshot: Snapshot) -> tuple[AthleteView, ActiveAlarm] | None:
        """Return this athlete's most urgent alarm; never that of another."""
        return next((pair for pair in snapshot.calling if pair[0].key == self.key), None)

    def without_target(self, _snapshot: Snapshot) -> str:
        """Return who has no alarm."""
        return f"{self.dashboard.called(self.key)} has no alarm to acknowledge"

    @property
    def pointed(self) -> Key:
        """The athlete that the screen is about."""
        return self.key

    def whom(self, _snapshot: Snapshot) -> Key | None:
        """Return this athlete."""
        return self.key


class DetailScreen(OneAthleteScreen):
    """One athlete in full."""

    keys = DETAIL_KEYS

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,enter", "back", show=False),
        Binding("up,left", "other(-1)", show=False),
        Binding("down,right", "other(1)", show=False),
    ]

    def __init__(self, key: Key, among: Sequence[Key]) -> None:
        super().__init__(key)
        self._among = list(among)

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:
        """Return the athlete in full."""
        feed = self.dashboard.feed
        feed.watch([self.key])
        feed.look_closely(self.key)
        view = next((v for v in snapshot.athletes if v.key == self.key), None)
        if view is None:
            return gone_lines(self.key.athlete, width, height)
        wave = self._wave(width, now)
        return detail_lines(view, wave, feed.closeup, width, height, lit=heading.lit)

    def _wave(self, width: int, now: float) -> TraceWindow | None:
        return self.dashboard.wave(self.key, detail_dots(width) // 2, DETAIL_DOTS_PER_S, now)

    def action_other(self, step: int) -> None:
        """Go to the next or previous athlete in the order of the grid."""
        if self.key in self._among:
            self.key = self._among[(self._among.index(self.key) + step) % len(self._among)]
            self.dashboard.grid.cursor = self.key

    def action_back(self) -> None:
        """Return to all athletes."""
        self.dashboard.feed.look_closely(None)
        self.app.pop_screen()


_HELP: Final = (
    ("↑ ↓ ← →", "move the cursor; at the edge, the next page.  PgUp PgDn turn pages"),
    ("Enter", "one athlete in full: waveform, last beats, alarms.  Esc goes back"),
    ("a", "acknowledge the chosen alarm: under the cursor, else in the top bar"),
    ("p", "no sound for 2 min from the chosen athlete (‖1:43); again: sound"),
    ("l   h", "active alarms;  all so far (history).  Tab: from one to the other"),
    ("f   y", "there: say that the chosen alarm was false, or true (yes)"),
    ("e", "exercise: ventricular beats by phase and zone, RR statistics"),
    ("t", "for testers: beats against truth.  Tab: the misses, d draws one"),
    ("/   s", "show only names, teams, sources that contain what you type;  sort"),
    ("q", "leave (the monitor goes on)"),
    ("Beats", "N normal, S supraventricular, V ventricular, F fusion,"),
    ("", "Q not classifiable, ? unsure, · not yet classified"),
    ("HIGH", "act at once: red.    A bell for each new alarm, unless paused;"),
    ("MEDIUM", "act soon: yellow.    a more urgent one, and every new high one,"),
    ("LOW", "look after it: cyan. ends a pause. Information calls nobody"),
    ("UNANSWERED", "nobody acknowledged in time: it goes out through every receiver"),
    ("TEST ALARM", "one every 15 s goes the whole way; missing: alarms may not arrive"),
    ("MONITORING", "LOST: no monitor gives a sign of life, nobody is watched"),
    ("Signal", "good, noisy, flat, railed, lead off, settling; a bar from 0 to 1;"),
    ("", "the share of the session monitored well. Grey numbers are old."),
)


class HelpScreen(DrawnScreen):
    """What the keys do and what the signs mean; alarms stay in sight above."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,question_mark", "back", show=False)]

    def body(self, snapshot: Snapshot, heading: Heading, width: int, height: int, now: float) -> list[Line]:  # noqa: ARG002 - one signature for all screens
        """Return the help."""
        lines = [Line()] if height > len(_HELP) else []
        strong: dict[str, Priority] = {"HIGH": "high", "MEDIUM": "medium", "LOW": "low"}
        for left, right in _HELP:
            style = paint(palette.BRIGHT, bold=True)
            if left in strong:
                style = palette.alarm_fill(strong[left])
            label = f" {left} " if left in strong else left
            lines.append(Line((" ", PLAIN), (label, style)).fill(12).add(fit(right, width - 12), PLAIN))
        return stack(lines, width, height)

    def action_back(self) -> None:
        """Close the help."""
        self.app.pop_screen()


def _beside(parts: list[tuple[int, Line]], width: int) -> Line:
    line = Line()
    for x, part in sorted(parts, key=lambda pair: pair[0]):
        line.fill(x).extend(part)
    return line.fill(width)
