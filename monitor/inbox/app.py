"""The inbox on screen: a list, the strip and the story of the alarm that is chosen, and keys to answer it."""

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from redis.exceptions import RedisError
from rich.markup import escape
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.widgets import DataTable, Input, Static

from monitor.cancellation import end
from monitor.dashboard.alarm_list import PRIORITY_STYLE, clock
from monitor.dashboard.palette import BACKGROUND, BAR, TEXT
from monitor.dashboard.pieces import kind_words
from monitor.errors import ServerError, StrapwatchError
from monitor.inbox.letters import Letter, details, left_in_place
from monitor.inbox.mail import Mailbox
from monitor.sinks import acknowledge, give_feedback, open_redis, pause, resume
from monitor.sinks.commands import MAX_WORDS

if TYPE_CHECKING:
    # Reading rosters needs pydantic, showing none does not.
    from monitor.roster import Person, Roster

REFRESH_S: Final = 0.5
PAUSE_S: Final = 120.0
SAID_S: Final = 8.0
"""How long the line that says what became of an answer stays."""
_KEYS: Final = " n next that waits  a acknowledge  f false  t true  c comment  ? help  q leave"
"""Fits 80 columns: who is woken at night may sit before a small terminal."""
_HELP: Final = (
    "↑ ↓     the alarm above, below",
    "n       the next alarm that waits for an answer",
    "a       acknowledge: you have seen it; it stays where it is until you go on",
    "f       false: the alarm was wrong (also acknowledges)",
    "t       true, and what it is (also acknowledges)",
    "c       comment; of a false alarm: what it was, such as artefact",
    "Esc     leave what you are writing",
    f"p       {PAUSE_S:g} s without sound for this athlete, unless something worse comes",
    "r       the athlete's alarms sound again",
    "?       this page, and back",
    "q       leave; alarms go on without you",
)
_WIDE: Final = 110
_ASKS: Final = {
    "true": "true, and it is (Enter: as the alarm says; SVT, aberrant, fusion, sinus …)",
    "comment": "comment (of a false alarm: what it was, such as artefact)",
}
Verdict = Literal["true", "false", "comment"]


class InboxApp(App[None]):
    """The inbox of one person.

    Parameters
    ----------
    redis_url : str
        Address of the server.
    by : str
        Who answers.
    teams : sequence of str
        Only these; all by default.
    roster : Roster or None
        Says who the athletes are.
    """

    CSS = f"""
    Screen {{ background: {BACKGROUND}; color: {TEXT}; }}
    #watch {{ height: 1; background: {BAR}; }}
    #list {{ height: 40%; background: {BACKGROUND}; }}
    #story {{ height: 1fr; padding: 0 1; background: {BACKGROUND}; }}
    #ask {{ display: none; height: 3; }}
    #said, #keys {{ height: 1; background: {BAR}; }}
    """
    ENABLE_COMMAND_PALETTE = False
    TITLE = "strapwatch inbox"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q", "leave", show=False),
        Binding("ctrl+c", "interrupt", show=False, priority=True),
        Binding("a", "acknowledge", show=False),
        Binding("f", "feedback('false')", show=False),
        Binding("t", "ask('true')", show=False),
        Binding("c", "ask('comment')", show=False),
        Binding("n", "next", show=False),
        Binding("question_mark", "help", show=False),
        Binding("p", "pause", show=False),
        Binding("r", "resume", show=False),
        Binding("escape", "never_mind", show=False),
    ]

    def __init__(
        self, redis_url: str, by: str, teams: Sequence[str] = (), *, roster: "Roster | None" = None
    ) -> None:
        super().__init__()
        self._roster = roster
        self._client = open_redis(redis_url)
        self._by = by
        self.mailbox = Mailbox(self._client, by, teams)
        self._reading: asyncio.Task[None] | None = None
        self._answering: set[asyncio.Task[None]] = set()
        self._letters: dict[str, Letter] = {}
        self._rung = 0
        self._asking: tuple[Verdict, Letter] | None = None
        self._looked_at = ""
        self._said_at = 0.0
        self._helps = False

    def compose(self) -> ComposeResult:
        """Lay the screen out."""
        yield Static(id="watch")
        table: DataTable[Text | str] = DataTable(id="list", cursor_type="row", zebra_stripes=False)
        table.add_columns("time", "athlete", "priority", "state", "what")
        yield table
        with VerticalScroll(id="story"):
            yield Static(id="details", markup=False)
        yield Input(id="ask", max_length=MAX_WORDS)
        yield Static(id="said", markup=False)
        yield Static(_KEYS, id="keys", markup=False)

    def on_mount(self) -> None:
        """Begin to read."""
        self._reading = asyncio.create_task(self.mailbox.run())
        self.set_interval(REFRESH_S, self.refresh_letters)
        self.query_one("#list").focus()

    async def on_unmount(self) -> None:
        """Leave nothing running."""
        if self._reading is not None:
            await end(self._reading)
        for task in list(self._answering):
            await end(task)
        await self._client.aclose()

    def refresh_letters(self) -> None:
        """Show what there is now; the chosen alarm stays chosen."""
        if self._reading is not None and self._reading.done():
            self._reading.result()
        chosen = self.chosen
        found = self.mailbox.letters()
        if chosen is not None:
            found = left_in_place(found, list(self._letters), chosen.identity)
        if time.monotonic() - self._said_at > SAID_S:
            self._say_nothing()
        if self.mailbox.rings > self._rung:
            self._rung = self.mailbox.rings
            self.bell()
        self._letters = {letter.identity: letter for letter in found}
        table = self.query_one("#list", DataTable)
        table.clear()
        for letter in found:
            row = _row(letter, self._called(letter), wide=self.size.width >= _WIDE)
            table.add_row(*row, key=letter.identity)
        if chosen is not None and chosen.identity in self._letters:
            table.move_cursor(row=table.get_row_index(chosen.identity))
        self.query_one("#watch", Static).update(self._watch_line(found))
        self._show_details()

    @property
    def chosen(self) -> Letter | None:
        """The alarm under the cursor."""
        table = self.query_one("#list", DataTable)
        if not table.row_count:
            return None
        key = table.coordinate_to_cell_key(table.cursor_coordinate).row_key.value
        return self._letters.get(key or "")

    def on_data_table_row_highlighted(self) -> None:
        """Show the alarm that is chosen now."""
        identity = "" if self.chosen is None else self.chosen.identity
        if identity != self._looked_at:
            # The list is filled anew all the time; this is another alarm.
            self._looked_at, self._helps = identity, False
            self._say_nothing()
        self._show_details()

    def action_next(self) -> None:
        """Go to the next alarm that waits for an answer, from the top again after the last."""
        table = self.query_one("#list", DataTable)
        rows = [row for row, letter in enumerate(self._letters.values()) if letter.unanswered]
        if not rows:
            self._say_line("no alarm waits for an answer")
            return
        table.move_cursor(row=next((row for row in rows if row > table.cursor_row), rows[0]))

    def action_help(self) -> None:
        """Show all keys, or the chosen alarm again."""
        self._helps = not self._helps
        self._show_details()

    def action_acknowledge(self) -> None:
        """Acknowledge the chosen alarm."""
        if (letter := self.chosen) is not None:
            self._answer(letter, self._acknowledge(letter))

    def action_feedback(self, verdict: Verdict) -> None:
        """Say that the chosen alarm is false."""
        if (letter := self.chosen) is not None:
            self._answer(letter, self._say(letter, verdict, ""))

    def action_ask(self, verdict: Verdict) -> None:
        """Ask for words."""
        if (letter := self.chosen) is not None:
            self._ask(letter, verdict, "")

    def _ask(self, letter: Letter, verdict: Verdict, words: str) -> None:
        # Whatever happens to the list meanwhile, the words are for this alarm.
        self._asking = (verdict, letter)
        field = self.query_one("#ask", Input)
        field.border_title = escape(f"{self._which(letter)}: {verdict}")
        field.placeholder = _ASKS[verdict]
        field.value = words
        field.cursor_position = len(words)
        field.styles.display = "block"
        field.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Take the words."""
        asked, words = self._asking, event.value
        self.action_never_mind()
        if asked is None:
            return
        verdict, letter = asked

        def ask_again() -> None:
            # Nobody is to write it twice.
            if self._asking is None:
                self._ask(letter, verdict, words)

        self._answer(letter, self._say(letter, verdict, words), ask_again)

    def action_never_mind(self) -> None:
        """Ask no longer, and show the alarm again."""
        self._asking = None
        if self._helps:
            self.action_help()
        self.query_one("#ask").styles.display = "none"
        self.query_one("#list").focus()

    def action_pause(self) -> None:
        """Let the athlete's alarms make no sound for a while."""
        if (letter := self.chosen) is not None:
            self._answer(letter, self._pause(letter, PAUSE_S))

    def action_resume(self) -> None:
        """Let them sound again."""
        if (letter := self.chosen) is not None:
            self._answer(letter, self._pause(letter, 0.0))

    def action_leave(self) -> None:
        """Leave."""
        self.exit(return_code=0)

    def action_interrupt(self) -> None:
        """Leave as Ctrl-C does."""
        self.exit(return_code=130)

    def _answer(
        self, letter: Letter, work: Coroutine[Any, Any, str], ask_again: Callable[[], None] | None = None
    ) -> None:
        task = asyncio.create_task(self._answered(letter, work, ask_again))
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _answered(
        self, letter: Letter, work: Coroutine[Any, Any, str], ask_again: Callable[[], None] | None
    ) -> None:
        try:
            said = await work
        except (ServerError, RedisError, OSError) as error:
            said = f"NOT CERTAIN to be stored, try again: {error}"
        except StrapwatchError as error:
            said = f"not stored: {error}"
        else:
            ask_again = None
        if ask_again is not None:
            ask_again()
        self._say_line(f"{self._which(letter)}: {said}")

    def _say_line(self, said: str) -> None:
        self._said_at = time.monotonic()
        self.query_one("#said", Static).update(said)

    def _say_nothing(self) -> None:
        self.query_one("#said", Static).update("")

    async def _acknowledge(self, letter: Letter) -> str:
        addition = await acknowledge(self._client, letter.identity, self._by)
        done = addition.alarm if addition.added else addition.acknowledged
        if done is None:
            return "somebody had acknowledged it before"
        if done.by == self._by.strip():
            return f"you acknowledged it at {clock(done.at)}"
        return f"{done.by} had acknowledged it at {clock(done.at)}"

    async def _say(self, letter: Letter, verdict: Verdict, words: str) -> str:
        finding, comment = (words, "") if verdict == "true" else ("", words)
        await give_feedback(
            self._client, letter.identity, by=self._by, verdict=verdict, finding=finding, comment=comment
        )
        told = f"stored with the alarm: {verdict}{f', {words}' if words else ''}"
        if verdict != "comment" and letter.unanswered:
            # Who says whether it is right has seen it: nobody else is to be called.
            try:
                told = f"{told}; {await self._acknowledge(letter)}"
            except (StrapwatchError, OSError) as error:
                told = f"{told}; NOT acknowledged: {error}"
        with suppress(RedisError, OSError):
            # It is shown at once where the server goes on answering, else a little later.
            await self.mailbox.look()
        return told

    async def _pause(self, letter: Letter, seconds: float) -> str:
        team, athlete = letter.record.latest.team, letter.record.latest.athlete
        if seconds:
            await pause(self._client, team, athlete, seconds=seconds, by=self._by)
            return f"no sound for {seconds:g} s, unless something worse comes"
        await resume(self._client, team, athlete, by=self._by)
        return "this athlete's alarms sound again"

    def _person(self, letter: Letter) -> "Person | None":
        latest = letter.record.latest
        return None if self._roster is None else self._roster.person(latest.team, latest.athlete)

    def _called(self, letter: Letter) -> str:
        person = self._person(letter)
        return (person.label if person is not None else "") or letter.record.latest.athlete

    def _which(self, letter: Letter) -> str:
        return f"{self._called(letter)}, {kind_words(letter.record.latest.kind)}"

    def _show_details(self) -> None:
        letter = self.chosen
        width = max(20, self.size.width - 4)
        if self._helps:
            lines = list(_HELP)
        elif letter is None:
            lines = ["no alarms so far"]
        else:
            lines = details(letter, width, self._person(letter))
        self.query_one("#details", Static).update("\n".join(lines))

    def _watch_line(self, found: Sequence[Letter]) -> Text:
        waiting = sum(letter.unanswered for letter in found)
        line = Text(f" inbox of {self._by}   ")
        line.append(f"{waiting} to answer   ", "bold" if waiting else "")
        if self.mailbox.trouble:
            return line.append(f"server away: {self.mailbox.trouble}", "bold white on red")
        for alarm in self.mailbox.watchdog.active:
            return line.append(f"MONITORING LOST: {alarm.message}", "bold white on red")
        age_s = self.mailbox.watchdog.canary_age_s(time.monotonic())
        line.append("watched" if age_s is not None else "waiting for a monitor")
        if age_s is not None:
            line.append(f", last test alarm {age_s:.0f} s ago")
        paused = [
            f"{self._called(letter)} {left:.0f} s"
            for letter in found
            if (left := self.mailbox.paused_s(letter.record.latest.team, letter.record.latest.athlete)) > 0.0
        ]
        return line.append(f"   no sound: {', '.join(sorted(set(paused)))}" if paused else "")


def _row(letter: Letter, name: str, *, wide: bool) -> tuple[Text | str, ...]:
    latest = letter.record.latest
    style = PRIORITY_STYLE[latest.priority] if letter.listed.is_active else "dim"
    said = letter.feedback[-1].verdict if letter.feedback else ""
    return (
        clock(letter.record.raised_at),
        Text(name),
        Text(f" {latest.priority} ", style),
        f"{letter.state}{f', {said}' if said else ''}",
        # Below the list the chosen alarm says all; in a small terminal its state must not leave the screen.
        f"{kind_words(latest.kind)}: {latest.message}" if wide else kind_words(latest.kind),
    )
