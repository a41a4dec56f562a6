"""The dashboard against a real server: what comes on screen, what keys do, what happens when things go away."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from textual.pilot import Pilot

from monitor.cancellation import end
from monitor.contract import Alarm
from monitor.dashboard.app import DashboardApp
from monitor.dashboard.screens import DetailScreen, DrawnScreen, GridScreen, HelpScreen
from monitor.embedded import GuardedServer
from monitor.errors import SettingsError
from monitor.live_state import wave_key
from monitor.sinks import decode_alarm, known_alarms, open_redis
from tests.monitor.dashboard_team import TEAM, Team

SIZES = [(80, 24), (200, 50)]


@asynccontextmanager
async def _published(url: str, athletes: int, *, live: bool = True) -> AsyncIterator[Team]:
    client = open_redis(url)
    team = Team(client, athletes)
    await team.write()
    running = asyncio.create_task(team.run()) if live else None
    try:
        yield team
    finally:
        if running:
            await end(running)
        await client.aclose()


def _text(app: DashboardApp) -> str:
    screen = app.screen
    assert isinstance(screen, DrawnScreen)
    return screen.canvas.text


async def _until(condition: Callable[[], Any], within_s: float = 8.0) -> None:
    """Wait until `condition` holds; fail if it does not in time."""
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "did not happen in time"
        await asyncio.sleep(0.05)


async def _shows(app: DashboardApp, *words: str, within_s: float = 8.0) -> None:
    try:
        await _until(lambda: all(word in _text(app) for word in words), within_s)
    except AssertionError:
        pytest.fail(f"{words} not on screen:\n{_text(app)}")


def _bells(app: DashboardApp, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    rung: list[float] = []
    monkeypatch.setattr(app, "bell", lambda: rung.append(time.monotonic()))
    return rung


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("athletes", [8, 60])
async def test_an_alarm_comes_on_screen_by_itself_with_one_bell(
    redis_server: GuardedServer,
    size: tuple[int, int],
    athletes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever gets an alarm is first on screen, wherever one has paged to; one bell; waveform and action shown."""
    last = f"a{athletes:02d}"
    async with _published(redis_server.url, athletes) as team:
        app = DashboardApp(redis_server.url)
        rung = _bells(app, monkeypatch)
        async with app.run_test(size=size) as pilot:
            await _shows(
                app, "a01", "monitor live", f"{athletes} athletes", "not a medical device", "No active alarm"
            )
            await _until(lambda: any("\u2800" < c <= "\u28ff" for c in _text(app)))
            await pilot.press("end")
            assert not rung
            await team.alarm(last, "asystole")
            await _shows(app, f"▲ {last}: Asystole → STOP and CALL")
            await _until(lambda: app.grid.shown[0].state.athlete == last)
            await asyncio.sleep(0.8)
            assert len(rung) == 1


async def test_acknowledging_writes_the_transition(redis_server: GuardedServer) -> None:
    """``a`` acknowledges the top alarm, the Stream holds it with the name, and the screen grows calm."""
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url, by="Dr. Meyer")
        async with app.run_test(size=(80, 24)) as pilot:
            identity = await team.alarm("a05", "ventricular_run")
            await _shows(app, "▲ a05: Ventricular run")
            await pilot.press("a")
            await _shows(app, "✓ Ventricular run", "Acknowledged by Dr. Meyer", "1 acknowledged alarm")
            alarms: list[Alarm] = await known_alarms(team.client, TEAM)
            assert [(a.identity, a.transition, a.by) for a in alarms] == [
                (identity, "acknowledged", "Dr. Meyer"),
                (identity, "raised", ""),
            ]
            await pilot.press("a")
            await _shows(app, "No alarm to acknowledge")


async def test_the_cursor_decides_which_alarm_is_acknowledged(redis_server: GuardedServer) -> None:
    """With the cursor on an athlete who calls, it is that alarm and not the more urgent one."""
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=(200, 50)) as pilot:
            await team.alarm("a02", "asystole")
            second = await team.alarm("a07", "lead_off")
            await _shows(app, "▲ a02", "Lead off")
            await pilot.press("right", "right")
            assert app.grid.cursor is not None
            assert app.grid.cursor.athlete == "a07"
            await pilot.press("a")
            await _shows(app, "✓ Lead off")
            newest = (await known_alarms(team.client, TEAM))[0]
            assert (newest.identity, newest.transition) == (second, "acknowledged")


async def test_acknowledging_what_the_server_does_not_know_says_so(redis_server: GuardedServer) -> None:
    """An acknowledgement that fails is said plainly; the alarm goes on calling."""
    async with _published(redis_server.url, 2) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)) as pilot:
            await team.alarm("a01", "asystole")
            await _shows(app, "▲ a01: Asystole")
            await team.client.flushall()
            await pilot.press("a")
            await _shows(app, "NOT acknowledged", "▲ a01: Asystole")


@pytest.mark.parametrize("size", SIZES)
async def test_keys(redis_server: GuardedServer, size: tuple[int, int]) -> None:
    """Arrows, Enter, Esc, sort, filter, help and leave do what the footer says."""
    async with _published(redis_server.url, 8) as team:
        await team.alarm("a03", "ventricular_couplet")
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=size) as pilot:
            await _shows(app, "a08", "▲ a03")
            await pilot.press("down")
            assert app.grid.cursor is not None
            await pilot.press("enter")
            await _shows(app, "packets", "Two ventricular beats in a row", "92%", "s across")
            assert isinstance(app.screen, DetailScreen)
            assert app.screen.key.athlete == "a03"
            await pilot.press("down")
            await _shows(app, "no alarms so far", "▲ a03")
            await pilot.press("escape")
            assert isinstance(app.screen, GridScreen)
            await pilot.press("s", "s")
            await _shows(app, "Sorted by heart rate")
            await pilot.press("slash", "a", "0", "5", "q", "backspace", "enter")
            assert app.is_running
            await _until(lambda: "a06" not in _text(app))
            assert "a05" in _text(app)
            assert "▲ a03" in _text(app) or "▲a03" in _text(app)
            await pilot.press("escape")
            await _shows(app, "a06")
            await pilot.press("question_mark")
            await _shows(app, "acknowledge the chosen alarm", "▲ a03")
            assert isinstance(app.screen, HelpScreen)
            await pilot.press("escape", "q")
        assert app.return_code == 0


async def test_paging_reaches_everybody_and_only_the_page_is_watched(redis_server: GuardedServer) -> None:
    """60 athletes on 80 x 24: every one is on some page, and the server sees listeners for that page alone."""
    async with _published(redis_server.url, 60) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "60 athletes", "page 1/3")
            seen: set[str] = set()
            for _ in range(3):
                await asyncio.sleep(0.3)
                seen |= {view.state.athlete for view in app.grid.shown}
                await pilot.press("pagedown")
            assert seen == {athlete.name for athlete in team.athletes}
            await asyncio.sleep(0.5)
            shown = {view.state.athlete for view in app.grid.shown}
            channels = [wave_key(TEAM, athlete.name) for athlete in team.athletes]
            counts: list[tuple[bytes, int]] = await team.client.pubsub_numsub(*channels)
            listened = {name.decode().rpartition(":")[2] for name, number in counts if number}
            assert listened == shown
            await pilot.press("home", "down", *["down"] * 30)
            assert app.grid.page == 1


async def test_what_goes_away_is_said(redis_server: GuardedServer) -> None:
    """A silent strap, a strap that left, and a monitor that died each have their words, with seconds that count."""
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)):
            await _shows(app, "a01", "monitor live")
            team["a02"].silent = True
            team["a03"].online = False
            await _shows(app, "strap gone")
            await _shows(app, "no data 4 s")
            team.monitor_alive = False
            await _shows(app, "stale, 4 s old", within_s=10)
            await _shows(app, "MONITORING LOST", "nobody is watched", within_s=10)
            assert "good" not in _text(app)
            team.monitor_alive = True
            await _shows(app, "monitor live")
            await _until(lambda: "stale" not in _text(app))


async def test_it_reconnects_when_the_server_returns(redis_server: GuardedServer) -> None:
    """Without a server it says so with seconds and keeps what it knew, dimmed; afterwards all goes on by itself."""
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)) as pilot:
            identity = await team.alarm("a04", "asystole")
            await _shows(app, "▲ a04: Asystole", "live")
            await asyncio.to_thread(redis_server.stop)
            await _shows(app, "Redis unreachable", "Redis does not answer", "a04", "stale", within_s=12)
            await pilot.press("a")
            await _shows(app, "NOT acknowledged")
            await asyncio.to_thread(redis_server.start)
            await _shows(app, "monitor live", within_s=12)
            await _until(lambda: "stale" not in _text(app), within_s=10)
            await team.alarm("a06", "lead_off")
            await _shows(app, "a06", "Lead off")
            assert identity.startswith(TEAM)


async def test_it_starts_before_the_server(redis_server: GuardedServer) -> None:
    """Started first, it says what it waits for, without the password, and shows the athletes when they come."""
    await asyncio.to_thread(redis_server.stop)
    app = DashboardApp(redis_server.url.replace("redis://", "redis://:secret@"))
    plain = DashboardApp(redis_server.url)
    async with app.run_test(size=(80, 24)):
        await _shows(app, "Waiting for Redis", "not reached yet")
        assert "secret" not in _text(app)
    async with plain.run_test(size=(80, 24)):
        await _shows(plain, "Waiting for Redis")
        await asyncio.to_thread(redis_server.start)
        async with _published(redis_server.url, 2):
            await _shows(plain, "a01", "a02", "monitor live", within_s=12)


async def test_damaged_entries_do_no_harm(redis_server: GuardedServer) -> None:
    """Rubbish in every place that is read is counted, and the athletes stay on screen."""
    async with _published(redis_server.url, 2) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)):
            await _shows(app, "a01", "live")
            await team.client.hset("strapwatch:athlete:{falcons}:bad", "state", b"\xff\x00")
            await team.client.hset("strapwatch:athlete:{falcons}:none", "other", b"1")
            await team.client.set("strapwatch:monitor:bad", b"\xc1")
            await team.client.xadd("strapwatch:alarms:{falcons}", {"alarm": b"\xc1"})
            await team.client.xadd("strapwatch:alarms:{falcons}", {"what": b"1"})
            await team.client.publish(wave_key(TEAM, "a01"), b"\xc1\xff")
            await _until(lambda: app.feed.damaged >= 4)
            await team.alarm("a02", "asystole")
            await _shows(app, "▲ a02: Asystole", "a01")
    assert decode_alarm({b"alarm": b"\xc1"}) is None


async def test_only_the_teams_asked_for(redis_server: GuardedServer) -> None:
    """A dashboard for another team shows nobody of this one, and no alarm of theirs."""
    async with _published(redis_server.url, 2) as team:
        await team.alarm("a01", "asystole")
        app = DashboardApp(redis_server.url, ["hawks"])
        async with app.run_test(size=(80, 24)):
            await _shows(app, "No athletes yet", "monitor live")
            assert "Asystole" not in _text(app)


async def test_the_hosts_status_line_is_shown(redis_server: GuardedServer) -> None:
    """Whoever runs the dashboard in-process can say something at the bottom."""
    async with _published(redis_server.url, 8, live=False):
        for size in SIZES:
            app = DashboardApp(redis_server.url, status=lambda: "mitdb/208 from 1:33")
            async with app.run_test(size=size):
                await _shows(app, "mitdb/208 from 1:33", "a08")


async def test_resizing_is_followed(redis_server: GuardedServer) -> None:
    """A terminal that changes its size gets a drawing of that size, even a tiny one."""
    async with _published(redis_server.url, 8, live=False):
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(200, 50)) as pilot:
            await _shows(app, "a08")
            for width, height in ((80, 24), (30, 6), (10, 2), (120, 40)):
                await _resized(app, pilot, width, height)


async def _resized(app: DashboardApp, pilot: "Pilot[None]", width: int, height: int) -> None:
    await pilot.resize_terminal(width, height)
    await _until(lambda: all(len(line) == width for line in _text(app).splitlines()))
    assert len(_text(app).splitlines()) <= height


def test_a_wrong_address_is_one_line() -> None:
    """An address that is none is refused before anything starts, without its password."""
    with pytest.raises(SettingsError, match="use redis://") as raised:
        DashboardApp("http://user:secret@host")
    assert "secret" not in str(raised.value)
