"""The physician's inbox: what lies in it, in which order, and that every answer arrives."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import redis.exceptions
from textual.widgets import DataTable, Input

from monitor.cancellation import end
from monitor.contract import Alarm, AlarmTransition, Priority, RhythmKind, Strip
from monitor.embedded import GuardedServer
from monitor.errors import StrapwatchError, UsageError
from monitor.inbox.app import InboxApp
from monitor.inbox.letters import details
from monitor.inbox.mail import Mailbox
from monitor.live_state import TEAMS_KEY, alarms_key, athlete_key, beats_key
from monitor.responses import feedback_key
from monitor.roster import Roster
from monitor.sinks import (
    AlarmScript,
    acknowledge,
    audit_trail,
    decode_alarm,
    feedback_of,
    follow_commands,
    give_feedback,
    open_redis,
    pause,
    resume,
)
from monitor.sinks.commands import MAX_WORDS
from tests.monitor.processes import environment, run

SINE = (500.0 * np.sin(np.arange(2000) / 20.0)).astype("<i2").tobytes()


def alarm_(
    kind: RhythmKind,
    transition: AlarmTransition = "raised",
    *,
    priority: Priority = "medium",
    at: float = 1000.0,
    athlete: str = "anna",
) -> Alarm:
    """Return a transition of an alarm with a strip."""
    return Alarm(
        team="red", athlete=athlete, strap="s1", boot=1, kind=kind, episode=1000, transition=transition,
        priority=priority, technical=False, known_sample=1500, rate_hz=250.0, at=at, onset_at=at, rate_bpm=70.0,
        quality=0.9, message=f"Something like a {kind}.", action="LOOK",
        strip=Strip(first_sample=0, rate_hz=250.0, microvolts=SINE, beats=[(500, "V", 0.9)]),
    )  # fmt: skip


@pytest.fixture
async def client(redis_server: GuardedServer) -> AsyncIterator[Any]:
    """Return a client of a server that holds four alarms of one team."""
    client: Any = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    script = AlarmScript(client)
    now = time.time()
    for alarm in (
        alarm_("bigeminy", priority="low", at=now - 50),
        alarm_("pause", at=now - 40),
        alarm_("asystole", priority="high", at=now - 30, athlete="bea"),
        alarm_("ventricular_run", at=now - 20),
    ):
        await script.add(alarm)
    await acknowledge(client, alarm_("pause").identity, "Dr. No")
    yield client
    await client.aclose()


async def until(condition: Callable[[], Awaitable[bool]], *, within_s: float = 15.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not await condition():  # noqa: ASYNC110 - a server is watched, which sets no event
            await asyncio.sleep(0.05)


async def test_what_nobody_has_answered_lies_on_top(client: Any) -> None:
    """The most urgent that waits comes first, then the others that wait, then what is answered, the newest first."""
    mailbox = Mailbox(client, "Dr. Who")
    await mailbox.read_back()
    assert [(x.record.latest.kind, x.unanswered) for x in mailbox.letters()] == [
        ("asystole", True), ("ventricular_run", True), ("bigeminy", True), ("pause", False),
    ]  # fmt: skip


async def test_an_entry_with_a_broken_character_is_left_out(client: Any) -> None:
    """Text that is no UTF-8 hides no other alarm, whether it came before the inbox was opened or after."""
    broken = msgspec.msgpack.encode(alarm_("pause", athlete="cleo")).replace(b"cleo", b"\xff\xfe\xff\xfe")
    await client.xadd(alarms_key("red"), {"alarm": broken})
    mailbox = Mailbox(client, "Dr. Who")
    reading = asyncio.create_task(mailbox.run())

    async def lie_there(count: int) -> bool:
        if reading.done():
            reading.result()
        return len(mailbox.letters()) == count

    await until(lambda: lie_there(4))
    await client.xadd(alarms_key("red"), {"alarm": broken})
    await AlarmScript(client).add(alarm_("pause", athlete="dora"))
    await until(lambda: lie_there(5))
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)


async def test_feedback_is_stored_with_the_alarm(client: Any) -> None:
    """Verdict, finding and words stand in their Stream with the alarm and its strip, and in the audit trail."""
    identity = alarm_("pause").identity
    await give_feedback(
        client, identity, by="Dr. Who", verdict="true", finding="sinus pause", comment="asleep"
    )
    await give_feedback(client, identity, by="Dr. No", verdict="false")
    first, second = await feedback_of(client, "red")
    assert (first.identity, first.by, first.verdict, first.finding) == (
        identity,
        "Dr. Who",
        "true",
        "sinus pause",
    )
    assert first.alarm is not None
    assert first.alarm.strip is not None
    assert first.alarm.strip.microvolts == SINE
    assert second.verdict == "false"
    trail = await audit_trail(client, "red")
    assert [(entry.by, entry.action) for entry in trail] == [("Dr. No", "feedback"), ("Dr. Who", "feedback")]
    mailbox = Mailbox(client, "Dr. Who")
    await mailbox.read_back()
    (letter,) = [x for x in mailbox.letters() if x.identity == identity]
    assert any("sinus pause, asleep" in line for line in details(letter, 80))


@pytest.mark.parametrize(
    ("answer", "error", "text"),
    [
        ({"identity": "red.nobody.s1.1.pause.1000", "verdict": "true"}, StrapwatchError, "not known"),
        ({"identity": "pause", "verdict": "true"}, UsageError, "team.athlete.strap"),
        ({"identity": "red.anna.s1.1.pause.1000", "verdict": "comment"}, UsageError, "without words"),
        (
            {"identity": "red.anna.s1.1.pause.1000", "verdict": "true", "finding": "x" * 501},
            UsageError,
            "500",
        ),
        ({"identity": "red.anna.s1.1.pause.1000", "verdict": "true", "by": ""}, UsageError, "64"),
    ],
)
async def test_feedback_that_cannot_be_is_refused_in_one_line(
    client: Any, answer: dict[str, Any], error: type[StrapwatchError], text: str
) -> None:
    """Unknown alarms, no words, too many words, no name: nothing is stored."""
    with pytest.raises(error, match=text):
        await give_feedback(client, **{"by": "Dr. Who", **answer})
    assert await feedback_of(client, "red") == []


async def test_pauses_reach_monitors_as_commands(client: Any) -> None:
    """A pause and its end come out at the other end in order; what cannot be is refused."""
    heard = []

    async def listen() -> None:
        async for command in follow_commands(client, since=0.0):
            heard.append((command.action, command.team, command.athlete, command.seconds, command.by))  # noqa: PERF401

    listening = asyncio.create_task(listen())
    await pause(client, "red", "anna", seconds=60.0, by="Dr. Who")
    await resume(client, "red", by="Dr. No")
    async with asyncio.timeout(10.0):
        while len(heard) < 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)
    assert heard == [("pause", "red", "anna", 60.0, "Dr. Who"), ("resume", "red", "", 0.0, "Dr. No")]
    for team, athlete, seconds in (("red", "anna", 0.5), ("red", "anna", 301.0), ("red", "an na", 9.0)):
        with pytest.raises(UsageError):
            await pause(client, team, athlete, seconds=seconds, by="x")
    with pytest.raises(StrapwatchError, match="teams seen: red"):
        await pause(client, "blue", seconds=9.0, by="x")


async def test_an_athlete_whom_nobody_has_seen_cannot_be_paused(client: Any) -> None:
    """A mistyped name is refused with those that were seen; one of whom there are only beats or alarms is known."""
    await client.xadd(beats_key("red", "cleo"), {"beat": b""})
    for athlete in ("anna", "bea", "cleo"):
        await pause(client, "red", athlete, seconds=9.0, by="x")
    with pytest.raises(
        StrapwatchError, match=r"'ana' of team red is not known; did you mean anna\? seen: anna, bea"
    ):
        await pause(client, "red", "ana", seconds=9.0, by="x")
    with pytest.raises(StrapwatchError, match=r"'zzz' of team red is not known; seen: anna, bea, cleo$"):
        await resume(client, "red", "zzz", by="x")
    assert await client.xlen("strapwatch:commands:{red}") == 3


def test_the_inbox_of_a_mistyped_team_is_no_empty_inbox(
    tmp_path_factory: pytest.TempPathFactory, redis_server: GuardedServer, client: Any
) -> None:
    """Listing, figures and review of a team that was never seen end with 1 and name those that were."""
    assert client is not None
    env = environment(tmp_path_factory.mktemp("home"))
    for words in (("inbox", "--list"), ("inbox", "figures"), ("review",)):
        done = run(*words, "--team", "rad", "--redis", redis_server.url, env=env)
        assert (done.returncode, done.stdout) == (1, ""), words
        assert "team 'rad' is not known; did you mean red? teams seen: red" in done.stderr, words
    done = run("inbox", "--json", "--team", "rad", "--redis", redis_server.url, env=env)
    assert (done.returncode, done.stdout) == (0, "")
    assert "team 'rad' is not known" in done.stderr


async def test_keys_answer_the_chosen_alarm(redis_server: GuardedServer, client: Any) -> None:
    """Each key's answer reaches the server; a new alarm rings and comes on top, and the chosen one stays chosen."""
    app = InboxApp(redis_server.url, "Dr. Who")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))
        chosen = app.chosen
        assert chosen is not None
        assert chosen.record.latest.kind == "asystole"
        assert any("⠉" <= sign <= "⣿" for sign in str(app.query_one("#details").render()))
        await pilot.press("a")
        await until(lambda: _acknowledged(client, chosen.identity, "Dr. Who"))
        await pilot.press("f")
        await until(lambda: _said(client, [("false", "")]))
        await pilot.press("t", *"artefact", "enter")
        await until(lambda: _said(client, [("false", ""), ("true", "artefact")]))
        await pilot.press("c", *"ok", "escape")
        await pilot.press("p")
        await until(lambda: _paused(client))
        rings = app.mailbox.rings
        await AlarmScript(client).add(alarm_("asystole", priority="high", athlete="carl", at=time.time()))
        await until(lambda: _is(any(x.record.latest.athlete == "carl" for x in app._letters.values())))
        assert app.mailbox.rings > rings
        assert next(iter(app._letters.values())).record.latest.athlete == "carl"
        assert app.chosen is not None
        assert app.chosen.identity == chosen.identity
        assert await app.mailbox._reader.waiting() == 0


def looked_at(app: InboxApp) -> str:
    """Return which alarm is chosen: its athlete and kind."""
    assert app.chosen is not None
    latest = app.chosen.record.latest
    return f"{latest.athlete} {latest.kind}"


async def _go_to(app: InboxApp, which: str) -> bool:
    """Move the cursor to an alarm, wherever it stands now; return whether it is there."""
    kinds = [f"{each.record.latest.athlete} {each.record.latest.kind}" for each in app._letters.values()]
    app.query_one("#list", DataTable).move_cursor(row=kinds.index(which))
    await asyncio.sleep(0.05)
    return looked_at(app) == which


def said(app: InboxApp) -> str:
    """Return the line that says what became of an answer."""
    return str(app.query_one("#said").render())


@pytest.mark.usefixtures("client")
async def test_an_answer_is_told_by_name_and_for_a_while(
    redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose alarm, which one, who acknowledged it and when; not under another alarm, and not for ever."""
    app = InboxApp(redis_server.url, "Dr. Who")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))
        for _ in range(2):
            await pilot.press("a")
            await until(lambda: _is("bea, Asystole: you acknowledged it at " in said(app)))
            await pilot.press("down")
            await until(lambda: _is(said(app) == ""))
            # What is answered sinks as soon as the cursor is elsewhere.
            await until(lambda: _go_to(app, "bea asystole"))
        await until(lambda: _go_to(app, "anna pause"))
        await pilot.press("a")
        await until(lambda: _is("anna, Pause: Dr. No had acknowledged it at " in said(app)))
        monkeypatch.setattr("monitor.inbox.app.SAID_S", 0.0)
        await until(lambda: _is(said(app) == ""))


@pytest.mark.usefixtures("client")
async def test_an_answered_alarm_stays_in_place_until_one_goes_on(redis_server: GuardedServer) -> None:
    """The cursor is carried nowhere; `n` goes to the next that waits, `?` shows all keys."""
    app = InboxApp(redis_server.url, "Dr. Who")

    def order() -> list[str]:
        return [letter.record.latest.kind for letter in app._letters.values()]

    async with app.run_test(size=(80, 24)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))
        before = order()
        await pilot.press("down", "a")
        await until(lambda: _is("you acknowledged it" in said(app)))
        await until(lambda: _is(app.chosen is not None and not app.chosen.unanswered))
        app.refresh_letters()
        await pilot.pause()
        assert order() == before
        assert looked_at(app) == "anna ventricular_run"
        await pilot.press("n")
        await until(lambda: _is(looked_at(app) == "anna bigeminy"))
        app.refresh_letters()
        assert order()[:2] == ["asystole", "bigeminy"]
        await pilot.press("n")
        await until(lambda: _is(looked_at(app) == "bea asystole"))
        await pilot.press("question_mark")
        await pilot.pause()
        assert "the next alarm that waits" in str(app.query_one("#details").render())
        app.refresh_letters()
        await pilot.press("question_mark")
        await pilot.pause()
        assert "Something like a asystole" in str(app.query_one("#details").render())


async def test_a_verdict_answers_and_information_asks_nobody(
    redis_server: GuardedServer, client: Any
) -> None:
    """What was called false waits no longer, for the monitor either; an escalation asks anew."""
    await AlarmScript(client).add(alarm_("bigeminy", priority="information", at=time.time(), athlete="dora"))
    app = InboxApp(redis_server.url, "Dr. Who")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 5))
        assert "3 to answer" in str(app.query_one("#watch").render())
        assert looked_at(app) == "bea asystole"
        asked = app.chosen
        assert asked is not None
        await pilot.press("f")
        await until(lambda: _is("2 to answer" in str(app.query_one("#watch").render())))
        await until(lambda: _acknowledged(client, asked.identity, "Dr. Who"))
        run_identity = alarm_("ventricular_run").identity
        await give_feedback(client, run_identity, by="script", verdict="true")
        await until(lambda: _is("1 to answer" in str(app.query_one("#watch").render())))
        await AlarmScript(client).add(
            alarm_("ventricular_run", "escalated", priority="high", at=time.time() + 1.0)
        )
        await until(lambda: _is("2 to answer" in str(app.query_one("#watch").render())))


async def test_words_are_for_the_alarm_they_were_asked_for_and_never_lost(
    redis_server: GuardedServer, client: Any
) -> None:
    """Too many cannot be written; what the server does not take stands there again, and it is said so."""
    app = InboxApp(redis_server.url, "Dr. Who")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))
        await pilot.press("c")
        field = app.query_one("#ask", Input)
        assert field.max_length == MAX_WORDS
        await pilot.press(*"loose", "enter")
        await until(lambda: _said(client, [("comment", "")]))
        # Meanwhile another one is chosen.
        await pilot.press("c", *"ok")
        app.query_one("#list", DataTable).move_cursor(row=2)
        await pilot.pause()
        await pilot.press("enter")
        await until(lambda: _said(client, [("comment", "")] * 2))
        assert {f.identity for f in await feedback_of(client, "red")} == {
            alarm_("asystole", athlete="bea").identity
        }
        await client.delete(feedback_key("red"))
        await client.set(feedback_key("red"), b"no Stream")
        await pilot.press("c", *"artefact", "enter")
        await until(lambda: _is("NOT CERTAIN" in said(app)))
        assert field.value == "artefact"
        assert field.has_focus
        await client.delete(feedback_key("red"))
        await pilot.press("enter")
        await until(lambda: _said(client, [("comment", "")]))
        assert (await feedback_of(client, "red"))[0].comment == "artefact"


async def test_what_was_stored_is_told_so_though_it_cannot_be_read_back(
    redis_server: GuardedServer, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer that the server has taken is stored, whatever it answers afterwards."""
    app = InboxApp(redis_server.url, "Dr. Who")
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))

        async def away() -> None:
            raise redis.exceptions.ConnectionError("gone")

        monkeypatch.setattr(app.mailbox, "look", away)
        await pilot.press("f")
        await until(lambda: _is("bea, Asystole: stored with the alarm: false" in said(app)))
        assert await _said(client, [("false", "")])


@pytest.mark.usefixtures("client")
async def test_a_roster_says_who_it_is(redis_server: GuardedServer, tmp_path: Path) -> None:
    """Bib and name in the list and in what is said, notes with the alarm."""
    file = tmp_path / "roster.toml"
    file.write_text('[athletes."red/bea"]\nname = "Bea [b]Lind"\nbib = 11\nnotes = "known [RBBB]"\n')
    file.chmod(0o600)
    app = InboxApp(redis_server.url, "Dr. Who", roster=Roster.load(file))
    async with app.run_test(size=(120, 40)) as pilot:
        await until(lambda: _is(len(app._letters) == 4))
        await pilot.pause()
        table = app.query_one("#list", DataTable)
        assert str(table.get_row_at(0)[1]) == "11 Bea [b]Lind"
        assert str(table.get_row_at(1)[1]) == "anna"
        shown = str(app.query_one("#details").render())
        assert "11 Bea [b]Lind" in shown
        assert "Note: known [RBBB]" in shown
        await pilot.press("c")
        assert "11 Bea [b]Lind, Asystole" in str(app.query_one("#ask", Input)._border_title)
        await pilot.press("escape", "p")
        await until(lambda: _is("11 Bea [b]Lind, Asystole: no sound for 120 s" in said(app)))
    env = environment(tmp_path / "home")
    done = run("inbox", "--json", "--roster", str(file), "--redis", redis_server.url, env=env)
    assert '"name":"11 Bea [b]Lind"' in done.stdout


@asynccontextmanager
async def reading(*mailboxes: Mailbox) -> AsyncIterator[None]:
    """Let mailboxes read until the end of the block."""
    tasks = [asyncio.create_task(mailbox.run()) for mailbox in mailboxes]
    try:
        await until(lambda: _is(all(len(mailbox.letters()) == 4 for mailbox in mailboxes)))
        yield
        for task in tasks:
            assert not task.done()
    finally:
        for task in tasks:
            await end(task)


async def test_each_of_a_persons_inboxes_shows_and_rings_everything(client: Any) -> None:
    """Whoever has one open at work and one at home misses nothing at either, and the account of it ends at nothing."""
    boxes = [Mailbox(client, "Dr. Who") for _ in range(2)]
    async with reading(*boxes):
        for number in range(5):
            await AlarmScript(client).add(alarm_("asystole", priority="high", athlete=f"a{number}"))
        await until(lambda: _is(all(len(box.letters()) == 9 for box in boxes)))
        assert [box.rings for box in boxes] == [5, 5]

        async def settled() -> bool:
            return await boxes[0]._reader.waiting() == 0

        await until(settled)


async def test_a_state_that_cannot_be_read_ends_no_inbox(client: Any) -> None:
    """Another version's state is left out; the alarms are there, and new ones come."""
    await client.hset(athlete_key("red", "anna"), "state", msgspec.msgpack.encode({"team": "red"}))
    await client.hset(athlete_key("red", "bea"), "state", b"\xa1\xff")
    box = Mailbox(client, "Dr. Who")
    async with reading(box):
        await AlarmScript(client).add(alarm_("asystole", priority="high", athlete="carl"))
        await until(lambda: _is(len(box.letters()) == 5))


async def test_what_an_inbox_remembers_is_bounded(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A season's transitions and answers do not pile up in one that stays open."""
    for name in ("KNOWN_KEPT", "ANSWERED_KEPT", "SAID_KEPT"):
        monkeypatch.setattr(f"monitor.inbox.mail.{name}", 2)
    for kind in ("pause", "bigeminy", "ventricular_run"):
        for word in ("one", "two", "three"):
            await give_feedback(client, alarm_(kind).identity, by="x", verdict="comment", comment=word)
    box = Mailbox(client, "Dr. Who")
    await box.read_back()
    assert len(box._known) == 2
    assert {k: [f.comment for f in said] for k, said in box._feedback.items()} == {
        alarm_(kind).identity: ["two", "three"] for kind in ("bigeminy", "ventricular_run")
    }
    assert len(box.letters()) == 4


async def _is(condition: bool) -> bool:  # noqa: FBT001 - its only argument
    return condition


async def _acknowledged(client: Any, identity: str, by: str) -> bool:
    entries = await client.xrange(alarms_key("red"))
    alarms = [a for _, fields in entries if (a := decode_alarm(fields)) is not None]
    return any((a.identity, a.transition, a.by) == (identity, "acknowledged", by) for a in alarms)


async def _said(client: Any, expected: list[tuple[str, str]]) -> bool:
    return [(f.verdict, f.finding) for f in await feedback_of(client, "red")] == expected


async def _paused(client: Any) -> bool:
    return int(await client.xlen("strapwatch:commands:{red}")) == 1


@pytest.mark.usefixtures("client")
def test_the_inbox_as_json_and_answers_from_a_script(
    tmp_path_factory: pytest.TempPathFactory, redis_server: GuardedServer
) -> None:
    """`--json` prints an object a line, and says on standard error that nobody watches; `answer` answers."""
    env = environment(tmp_path_factory.mktemp("home"))
    identity = alarm_("pause").identity
    answered = run(
        "inbox", "answer", identity, "--verdict", "false", "--by", "x", "--redis", redis_server.url, env=env
    )
    assert answered.returncode == 0, answered.stderr
    done = run("inbox", "--json", "--redis", redis_server.url, env=env)
    told = [msgspec.json.decode(line) for line in done.stdout.splitlines()]
    assert {one["kind"] for one in told} == {"asystole", "ventricular_run", "pause", "bigeminy"}
    (one,) = [one for one in told if one["identity"] == identity]
    assert one["feedback"][0]["verdict"] == "false"
    assert "nobody watches" in done.stderr
    wrong = run("inbox", "--redis", redis_server.url, env=env)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "--list" in wrong.stderr
