"""A terminal below 80x24: that it is too small is said, the most urgent alarm stays, and keys mean what is in sight."""

import pytest
from rich.cells import cell_len

from monitor.dashboard.app import DashboardApp
from monitor.dashboard.cramped import size_lines
from monitor.embedded import GuardedServer
from monitor.sinks import known_alarms
from tests.monitor.dashboard_team import TEAM
from tests.monitor.test_dashboard_app import _published, _resized, _shows, _text, _until


async def test_a_terminal_that_is_too_small_says_so(redis_server: GuardedServer) -> None:
    """The bar names both sizes and who is not shown, the alarm says what to do; at 80x24 there is no such bar."""
    async with _published(redis_server.url, 5) as team:
        identity = await team.alarm("a04", "ventricular_run")
        app = DashboardApp(redis_server.url, by="me")
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "▲ a04", "a05", "live")
            assert "needs" not in _text(app)
            await pilot.press("down", "down")
            await _resized(app, pilot, 20, 4)
            await _shows(app, "▲ a04: Ventricular", "→ STOP the athlete", "20x4, needs 80x24: 5", "not shown")
            # The cursor was on somebody else, who is not in sight now.
            await pilot.press("down", "a")
            await _until(lambda: "▲" not in _text(app))
            newest = (await known_alarms(team.client, TEAM))[0]
            assert (newest.identity, newest.transition) == (identity, "acknowledged")
            await _resized(app, pilot, 79, 23)
            await _shows(app, "terminal 79x23: needs 80x24", "monitor live", *(f"a0{n}" for n in range(1, 6)))
            assert "not shown" not in _text(app)
            await _resized(app, pilot, 60, 12)
            await _shows(app, "terminal 60x12: needs 80x24; 4 athletes not shown")
            await _resized(app, pilot, 80, 24)
            await _shows(app, "a05", "monitor live")
            assert "needs" not in _text(app)


@pytest.mark.parametrize("size", [(20, 4), (10, 2), (34, 10), (60, 12), (79, 23), (200, 20)])
async def test_every_screen_in_a_small_terminal(redis_server: GuardedServer, size: tuple[int, int]) -> None:
    """Every screen keeps to the terminal, says that it is too small, and keeps the alarm in sight."""
    width, height = size
    async with _published(redis_server.url, 5) as team:
        await team.alarm("a04", "ventricular_run")
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=size) as pilot:
            for keys in ([], ["enter"], ["e"], ["l"], ["h"], ["t"], ["question_mark"]):
                await pilot.press(*keys)
                await _shows(app, "▲ a04")
                assert height < 3 or f"{width}x{height}" in _text(app)
                lines = _text(app).splitlines()
                assert [cell_len(line) for line in lines] == [width] * len(lines)
                assert len(lines) <= height
                await pilot.press("escape")


def test_what_is_said_of_the_size_fits() -> None:
    """At any width the bar has the width of the terminal; one athlete is one athlete; enough room needs no bar."""
    assert size_lines(80, 24, 3) == []
    assert [line.text.rstrip() for line in size_lines(79, 24, 1)] == [
        "terminal 79x24: needs 80x24; 1 athlete not shown"
    ]
    for width in range(1, 100):
        for hidden in (0, 1, 120):
            assert {line.width for line in size_lines(width, 20, hidden)} == {width}
