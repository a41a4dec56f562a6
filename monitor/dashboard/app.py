"""The dashboard itself: reads Redis, draws at a steady pace, rings, acknowledges."""

import asyncio
import getpass
import math
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, ClassVar, Final, Literal, NamedTuple

import redis.asyncio
from redis.exceptions import RedisError
from textual.app import App, ScreenStackError
from textual.binding import Binding, BindingType

from monitor.cancellation import end
from monitor.contract import Priority
from monitor.dashboard.alarm_screens import AlarmsScreen
from monitor.dashboard.bars import Heading
from monitor.dashboard.exercise_screen import ExerciseScreen
from monitor.dashboard.feed import Feed
from monitor.dashboard.palette import BACKGROUND
from monitor.dashboard.screens import DrawnScreen, GridScreen, HelpScreen
from monitor.dashboard.snapshot import AthleteView, Key, Snapshot, by_name
from monitor.dashboard.tester_screens import TesterScreen
from monitor.dashboard.trace import TraceWindow
from monitor.errors import StrapwatchError
from monitor.live_state import ActiveAlarm
from monitor.sinks import acknowledge, give_feedback, open_redis, pause, resume, shown_url

if TYPE_CHECKING:
    # Reading rosters needs pydantic, showing none does not.
    from monitor.roster import Roster

FRAME_S: Final = 0.08
"""Seconds between two frames: two dots of waveform, the width of a character."""
CROWDED_FRAME_S: Final = 0.1
"""The same with more than `CROWD` waveforms on screen."""
CROWD: Final = 24
_SNAPSHOT_S: Final = 0.25
_BLINK_S: Final = 1.0
_NOTICE_S: Final = 5.0
PAUSE_S: Final = 120
"""How long the key ``p`` silences an athlete's alarms, in seconds."""
SAME_TAP_S: Final = 1.5
"""How soon after a key ``a`` another one is taken for the same nervous finger."""


class _Tap(NamedTuple):
    """The last key ``a``: which alarm it meant, what was chosen then, and when by the steady clock."""

    identity: str = ""
    pointed: Key | str | None = None
    at: float = -math.inf


class DashboardApp(App[None]):
    """A live view of all athletes, attached to Redis and to nothing else.

    Parameters
    ----------
    redis_url : str
        Address of Redis.
    teams : iterable of str, optional
        Only these teams; all by default.
    status : callable, optional
        Returns a line of text that is shown at the bottom; called a few times a second.
    by : str, optional
        Who acknowledges; the login name by default.
    own_signals : bool
        Leave cleanly on SIGTERM and SIGHUP. Not for a host that handles signals itself.
    roster : Roster, optional
        Who wears which pseudonym.

    Raises
    ------
    SettingsError
        If `redis_url` is no address of a Redis.
    """

    CSS = f"Screen {{ background: {BACKGROUND}; overflow: hidden; }}"
    ENABLE_COMMAND_PALETTE = False
    TITLE = "strapwatch"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("a", "acknowledge", show=False),
        Binding("p", "pause", show=False),
        Binding("l", "alarms(False)", show=False),
        Binding("h", "alarms(True)", show=False),
        Binding("e", "exercise", show=False),
        Binding("t", "tester", show=False),
        Binding("question_mark", "help", show=False),
    ]

    def __init__(
        self,
        redis_url: str,
        teams: Iterable[str] | None = None,
        *,
        status: Callable[[], str] | None = None,
        by: str | None = None,
        own_signals: bool = False,
        roster: "Roster | None" = None,
    ) -> None:
        super().__init__()
        self.feed = Feed(redis_url, teams, roster=roster)
        self.grid = GridScreen()
        self.snapshot = Snapshot()
        self._status = status
        self._by = by or _login_name()
        self._own_signals = own_signals
        self._snapshot_at = 0.0
        self._due = 0.0
        self._rung: set[tuple[str, Priority]] = set()
        self._notice = ("", 0.0)
        self._tap = _Tap()
        self._reading: asyncio.Task[None] | None = None
        self._responding: set[asyncio.Task[None]] = set()

    def get_default_screen(self) -> GridScreen:
        """Return the screen with all athletes."""
        return self.grid

    async def on_mount(self) -> None:
        """Begin to read and to draw."""
        self._reading = asyncio.create_task(self.feed.run())
        self._reading.add_done_callback(self._reading_ended)
        self.set_interval(FRAME_S / 4, self.frame)
        if self._own_signals:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGTERM, signal.SIGHUP):
                loop.add_signal_handler(number, self.exit, None, 128 + number)

    async def on_unmount(self) -> None:
        """End reading."""
        for task in [self._reading, *self._responding]:
            if task is not None:
                await end(task)

    def _reading_ended(self, reading: "asyncio.Task[None]") -> None:
        """Leave rather than show for ever what nobody reads any more."""
        if not reading.cancelled() and reading.exception() is not None:
            self.exit(
                return_code=1, message=f"strapwatch: reading from Redis has failed: {reading.exception()!r}"
            )

    def frame(self) -> None:
        """Draw one frame if it is time for one."""
        now = time.monotonic()
        if now < self._due:
            return
        period_s = CROWDED_FRAME_S if len(self.feed.traces) > CROWD else FRAME_S
        # The next is due a period after this one was, so that the scroll is even; but a late one is never made up for.
        self._due = max(self._due + period_s, now + period_s / 2)
        try:
            screen = self.screen
        except ScreenStackError:
            return  # on the way out
        if isinstance(screen, DrawnScreen):
            self.draw(screen, now)

    def draw(self, screen: DrawnScreen, now: float) -> None:
        """Draw everything as of `now` on the steady clock, in seconds."""
        if now - self._snapshot_at >= _SNAPSHOT_S:
            self._snapshot_at = now
            self.snapshot = self.feed.snapshot()
            self._ring()
        for trace in self.feed.traces.values():
            trace.play(now)
        heading = Heading(
            now=time.time(),
            lit=now % (2 * _BLINK_S) < _BLINK_S,
            status=self._status_words(now),
            redis=shown_url(self.feed.url),
        )
        screen.draw(self.snapshot, heading, now)

    def wave(self, key: Key, cells: int, dots_per_s: float, now: float) -> TraceWindow | None:
        """Return an athlete's waveform for `cells` characters; None before its first sample."""
        trace = self.feed.traces.get(key)
        return trace.window(2 * cells, dots_per_s, now) if trace else None

    def _status_words(self, now: float) -> str:
        words, until = self._notice
        if words and now < until:
            return words
        return self._status() if self._status else ""

    def notice(self, words: str) -> None:
        """Show `words` at the bottom for a few seconds."""
        self._notice = (words, time.monotonic() + _NOTICE_S)

    def _ring(self) -> None:
        """Ring once for each alarm that is new, or that has become more urgent, and bring it on screen."""
        views = self.snapshot.athletes
        alarms = [alarm for view in views for alarm in view.pressing]
        silenced = {a.identity for view in views for a in view.alarms if view.is_silenced(a)}
        present = {(alarm.identity, alarm.priority) for alarm in alarms}
        known = {identity for identity, _ in self._rung}
        # An acknowledged alarm is news only if it has escalated since, not when a dashboard first sees it.
        quiet = {(a.identity, a.priority) for a in alarms if a.acknowledged_by and a.identity not in known}
        quiet |= {(a.identity, a.priority) for a in alarms if a.identity in silenced}
        if present - quiet - self._rung:
            self.bell()
            self.grid.call()
        self._rung = present if self.snapshot.connected else self._rung | present

    def action_leave(self) -> None:
        """Leave."""
        self.exit(return_code=0)

    def action_interrupt(self) -> None:
        """Leave as Ctrl-C does."""
        self.exit(return_code=130)

    def action_help(self) -> None:
        """Show the help."""
        if not isinstance(self.screen, HelpScreen):
            self.push_screen(HelpScreen())

    def action_tester(self) -> None:
        """Show beats against truth."""
        if not any(isinstance(screen, TesterScreen) for screen in self.screen_stack):
            self.push_screen(TesterScreen())

    def called(self, key: Key) -> str:
        """Return what an athlete is called on screen."""
        views = self.snapshot.athletes
        name = next((view.name for view in views if view.key == key), key.athlete)
        return f"{key.team}/{name}" if len({view.state.team for view in views}) > 1 else name

    def action_alarms(self, history: bool) -> None:  # noqa: FBT001 - a key binding hands it over by position
        """Show the active alarms, or all there were."""
        if not any(isinstance(screen, AlarmsScreen) for screen in self.screen_stack):
            self.push_screen(AlarmsScreen(history=history))

    def action_exercise(self) -> None:
        """Show what exercise does to the athlete the present screen is about, else to the first by name."""
        screen = self.screen
        key = screen.whom(self.snapshot) if isinstance(screen, DrawnScreen) else None
        key = key or next((view.key for view in by_name(self.snapshot)), None)
        if key is not None:
            self.push_screen(ExerciseScreen(key))

    def action_pause(self) -> None:
        """Let the alarms of one athlete make no sound for a while, or let them again."""
        screen = self.screen
        key = screen.pauses(self.snapshot) if isinstance(screen, DrawnScreen) else None
        view = next((view for view in self.snapshot.athletes if view.key == key), None)
        if view is None:
            self.notice("Nobody to pause: move the cursor to an athlete first")
            return
        self._respond(self._pause(view))

    async def _pause(self, view: AthleteView) -> None:
        try:
            if view.paused_s > 0.0:
                async with self._answering() as client:
                    await resume(client, *view.key, by=self._by)
                self.notice(f"Alarms of {view.name} sound again")
            else:
                async with self._answering() as client:
                    await pause(client, *view.key, seconds=PAUSE_S, by=self._by)
                self.notice(
                    f"Alarms of {view.name} make no sound for {PAUSE_S // 60} min; a more urgent one does. p ends it"
                )
        except (RedisError, OSError, StrapwatchError) as error:
            self.notice(f"NOT paused ({error}); press p again")

    def say(self, identity: str, verdict: Literal["true", "false"]) -> None:
        """Store whether an alarm was right."""
        self._respond(self._say(identity, verdict))

    async def _say(self, identity: str, verdict: Literal["true", "false"]) -> None:
        try:
            async with self._answering() as client:
                await give_feedback(client, identity, by=self._by, verdict=verdict)
        except (RedisError, OSError, StrapwatchError) as error:
            self.notice(f"NOT stored ({error}); press the key again")
        else:
            other = "y" if verdict == "false" else "f"
            self.notice(f"Stored: a {verdict} alarm, says {self._by}; press {other} to correct it")

    @asynccontextmanager
    async def _answering(self) -> "AsyncIterator[redis.asyncio.Redis]":
        """Open a client for one answer: that of the readers is torn down whenever one of them has to begin anew."""
        client = open_redis(self.feed.url)
        try:
            yield client
        finally:
            with suppress(RedisError, OSError):
                await client.aclose()

    def _respond(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._responding.add(task)
        task.add_done_callback(self._responding.discard)

    def action_acknowledge(self) -> None:
        """Acknowledge the alarm that the present screen points at."""
        screen = self.screen
        if not isinstance(screen, DrawnScreen):
            return
        found = screen.acknowledges(self.snapshot)
        if found is None:
            self.notice(screen.without_target(self.snapshot))
            return
        view, alarm = found
        if self._is_same_tap(screen.pointed, view, alarm):
            self.notice(f"Second a ignored: the alarm is {view.name}'s now; wait 2 s, then a takes it")
            return
        self._respond(self._acknowledge(alarm.identity, f"{view.name}: {alarm.message}"))

    def _is_same_tap(self, pointed: Key | str | None, view: AthleteView, alarm: ActiveAlarm) -> bool:
        """Return whether a key ``a`` follows another so soon that it cannot mean the alarm that has just come up."""
        last, now = self._tap, time.monotonic()
        moved = pointed != last.pointed and pointed in {view.key, alarm.identity}
        if now - last.at < SAME_TAP_S and alarm.identity != last.identity and not moved:
            self._tap = last._replace(at=now)
            return True
        self._tap = _Tap(alarm.identity, pointed, now)
        return False

    async def _acknowledge(self, identity: str, words: str) -> None:
        try:
            async with self._answering() as client:
                await acknowledge(client, identity, self._by)
        except (RedisError, OSError, StrapwatchError) as error:
            self.notice(f"NOT acknowledged ({error}); press a again")
        else:
            self.notice(f"Acknowledged by {self._by}: {words}")


def _login_name() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "dashboard"
