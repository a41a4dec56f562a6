"""Keys of the dashboard against a real server: what they act on is what stands on the screen, and nothing else."""

import asyncio
import time
from collections.abc import Collection
from typing import Any

import msgspec
import pytest

from monitor.dashboard import app as dashboard_app
from monitor.dashboard.alarm_view import AlarmRow, state_words
from monitor.dashboard.app import DashboardApp
from monitor.dashboard.screens import DetailScreen, OneAthleteScreen
from monitor.dashboard.snapshot import AthleteView, Key, Snapshot
from monitor.embedded import GuardedServer, InstalledRedis
from monitor.live_state import ActiveAlarm
from monitor.responses import Command, commands_key
from monitor.sinks import connection, feedback_of, known_alarms
from tests.monitor.dashboard_team import TEAM, Team
from tests.monitor.test_dashboard_app import SIZES, _published, _shows, _text, _until


def _marked(app: DashboardApp) -> list[str]:
    return [line for line in _text(app).splitlines() if line.startswith("▶")]


async def _acknowledged(team: Team) -> list[str]:
    """Return the identities of all that is acknowledged, in that order."""
    alarms = await known_alarms(team.client, TEAM)
    return [alarm.identity for alarm in reversed(alarms) if alarm.transition == "acknowledged"]


async def _paused(team: Team) -> list[str]:
    entries: Any = await team.client.xrange(commands_key(TEAM))
    return [
        msgspec.msgpack.decode(fields[b"command"], type=Command).athlete
        for _, fields in entries
        if b"command" in fields
    ]


@pytest.mark.parametrize("key", ["l", "h"])
@pytest.mark.parametrize("size", SIZES)
async def test_a_new_alarm_does_not_move_the_choice(
    redis_server: GuardedServer, size: tuple[int, int], key: str
) -> None:
    """What is marked when a list opens stays marked when something comes above it; keys act on that one."""
    async with _published(redis_server.url, 8) as team:
        first = await team.alarm("a02", "ventricular_couplet")
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=size) as pilot:
            await _shows(app, "▲ a02")
            await pilot.press(key)
            await _until(lambda: [line for line in _marked(app) if " a02 " in line])
            await team.alarm("a05", "asystole")
            await _shows(app, "first: 2")
            assert [" a02 " in line for line in _marked(app)] == [True]
            await pilot.press("p")
            await _shows(app, "Alarms of a02 make no sound")
            assert await _paused(team) == ["a02"]
            await pilot.press("f")
            await _shows(app, "FALSE alarm")
            assert [word.identity for word in await feedback_of(team.client, TEAM)] == [first]
            await pilot.press("a")
            await _shows(app, "Acknowledged by me")
            assert await _acknowledged(team) == [first]


@pytest.mark.parametrize("size", SIZES)
async def test_when_the_chosen_alarm_leaves_nothing_is_chosen(
    redis_server: GuardedServer, size: tuple[int, int]
) -> None:
    """No other alarm takes the place of one that is over: until an arrow is pressed the keys ask for a choice."""
    async with _published(redis_server.url, 8) as team:
        await team.alarm("a02", "tachycardia")
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=size) as pilot:
            await _shows(app, "▲ a02")
            await pilot.press("l")
            await _until(lambda: _marked(app))
            other = await team.alarm("a05", "ventricular_run")
            await _shows(app, "first: 2")
            team["a02"].alarms.clear()
            await team.transition("a02", "tachycardia", 1000, "cleared")
            await _shows(app, "first: 1", "Nothing is chosen")
            assert not _marked(app)
            for press in ("a", "f", "y"):
                await pilot.press("a", press)
                await _shows(app, "Choose an alarm first")
            await pilot.press("p")
            await _shows(app, "Nobody to pause")
            assert await _acknowledged(team) == []
            assert await _paused(team) == []
            await pilot.press("down")
            await _until(lambda: [line for line in _marked(app) if " a05 " in line])
            await pilot.press("a")
            await _shows(app, "Acknowledged by me")
            assert await _acknowledged(team) == [other]
            await pilot.press("tab")
            await _shows(app, "All alarms, newest first: 2")
            assert [" a05 " in line for line in _marked(app)] == [True]
            await pilot.press("down", "a")
            await _shows(app, "a02: that alarm is over")
            # The other list does not have it, so its first is chosen as when a list opens.
            await pilot.press("tab")
            await _shows(app, "Active alarms, most urgent first: 1")
            await _until(lambda: [line for line in _marked(app) if " a05 " in line])


async def test_a_nervous_second_tap_acknowledges_nothing(
    redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second ``a`` does not take the alarm that came up after the first; with a move or a while later it does."""
    monkeypatch.setattr(dashboard_app, "SAME_TAP_S", 3600.0, raising=False)
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=(80, 24)) as pilot:
            first = await team.alarm("a02", "asystole")
            second = await team.alarm("a07", "ventricular_run")
            third = await team.alarm("a03", "ventricular_couplet")
            await _shows(app, "▲ a02", "+2 more")
            await pilot.press("a")
            await _shows(app, "Acknowledged by me")
            await _shows(app, "▲ a07: Ventricular run", "+1 more")
            await pilot.press("a")
            await _shows(app, "Second a ignored: the alarm is a07's now")
            await _until(lambda: app.grid.shown[0].state.athlete == "a07")
            assert await _acknowledged(team) == [first]
            await pilot.press("down", "a")
            await _shows(app, "Acknowledged by me")
            await _shows(app, "▲ a03: Ventricular couplet")
            assert await _acknowledged(team) == [first, second]
            await pilot.press("a")
            await _shows(app, "Second a ignored: the alarm is a03's now")
            monkeypatch.setattr(dashboard_app, "SAME_TAP_S", 0.0)
            await pilot.press("a")
            await _shows(app, "3 acknowledged alarms, none new")
            assert await _acknowledged(team) == [first, second, third]


@pytest.mark.parametrize("more", [(), ("e",)])
async def test_the_page_of_one_athlete_acknowledges_nobody_else(
    redis_server: GuardedServer, more: tuple[str, ...]
) -> None:
    """On the page and the exercise panel of an athlete without an alarm ``a`` says so, whoever else calls."""
    async with _published(redis_server.url, 4) as team:
        other = await team.alarm("a03", "asystole")
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "▲ a03")
            app.push_screen(DetailScreen(Key(TEAM, "a01"), [Key(TEAM, "a01"), Key(TEAM, "a03")]))
            await pilot.press(*more, "a")
            await _shows(app, "a01 has no alarm to acknowledge", "▲ a03")
            assert await _acknowledged(team) == []
            assert isinstance(app.screen, OneAthleteScreen)
            while app.screen.key.athlete != "a03":
                await pilot.press("down")
            await pilot.press("a")
            await _shows(app, "Acknowledged by me")
            assert await _acknowledged(team) == [other]


async def test_an_answer_outlives_the_readers_connection(
    redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader that has to begin anew takes no answer with it that is on its way."""
    # The answer must not give up for another reason, however slow the machine.
    monkeypatch.setattr(connection, "SOCKET_TIMEOUT_S", 60.0)
    if not isinstance(redis_server, InstalledRedis):
        pytest.skip("needs a server that can hold back what is written")
    async with _published(redis_server.url, 4, live=False) as team:
        identity = await team.alarm("a02", "ventricular_run")
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "▲ a02")
            await pilot.press("l")
            await _until(lambda: _marked(app))
            await team.client.execute_command("CLIENT", "PAUSE", 60_000, "WRITE")
            await pilot.press("y")
            assert await _waiting(team, "xadd")
            readers = await _waiting(team, "xread")
            for reader in readers:
                await team.client.execute_command("CLIENT", "KILL", "ID", reader)
            assert await _waiting(team, "xread", but=readers)
            await team.client.execute_command("CLIENT", "UNPAUSE")
            await _shows(app, "Stored: a true alarm, says me; press f to correct it")
            await pilot.press("f")
            await _shows(app, "Stored: a false alarm, says me; press y to correct it", "FALSE alarm")
            said = await feedback_of(team.client, TEAM)
            assert {(word.identity, word.verdict) for word in said} >= {(identity, "false")}


async def _waiting(team: Team, command: str, but: Collection[str] = ()) -> set[str]:
    """Return the numbers of the clients that wait for an answer to `command`, as soon as there are any."""
    end = time.monotonic() + 20.0
    while time.monotonic() < end:
        listed: Any = await team.client.client_list()
        found = {c["id"] for c in listed if c["cmd"].startswith(command) and "b" in c["flags"]} - set(but)
        if found:
            return found
        await asyncio.sleep(0.02)
    pytest.fail(f"nobody waits for {command}: {listed}")


def test_how_often_an_alarm_came_back_is_plain_english() -> None:
    """Once is once, and more often has its number."""
    alarm = ActiveAlarm(
        identity="t.a.s.1.asystole.5",
        kind="asystole",
        priority="high",
        technical=False,
        message="No heartbeat.",
        action="STOP",
        raised_at=0.0,
    )
    words = []
    for repeats in (0, 1, 2):
        again = msgspec.structs.replace(alarm, repeats=repeats)
        view = AthleteView(Team(None, 1).athletes[0].state(), 0.0, (again,))  # type: ignore[arg-type]
        words.append(state_words(AlarmRow(view, again, None), Snapshot()))
    assert words == ["new", "new, came back once", "new, came back 2 times"]
