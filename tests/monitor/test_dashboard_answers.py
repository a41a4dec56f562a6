"""Answers on the dashboard, against a real server: lists of alarms, pauses, verdicts, names, exercise, test alarms."""

import time
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.contract import Strip
from monitor.dashboard import tester_screens
from monitor.dashboard.alarm_screens import AlarmsScreen
from monitor.dashboard.app import PAUSE_S, DashboardApp
from monitor.dashboard.exercise_screen import ExerciseScreen
from monitor.embedded import GuardedServer
from monitor.live_state import CANARY_TEAM, alarms_key
from monitor.responses import Command, commands_key
from monitor.roster import Roster
from monitor.scores import HOLE, AthleteScore, Latency, Miss, ScorerState, misses_key, score_key, scorer_key
from monitor.sinks import feedback_of, known_alarms
from tests.monitor.dashboard_team import EXERCISE, TEAM, Team
from tests.monitor.test_dashboard_app import SIZES, _bells, _published, _shows, _text, _until

ROSTER = """
[athletes."falcons/a02"]
name = "Anna Berg"
bib = 7
notes = "known RBBB"
"""


@pytest.mark.parametrize("size", SIZES)
async def test_the_list_of_alarms_and_what_one_can_say(
    redis_server: GuardedServer, size: tuple[int, int]
) -> None:
    """The list names priority and state in words; the chosen one is acknowledged, judged, and found in the history."""
    async with _published(redis_server.url, 8) as team:
        app = DashboardApp(redis_server.url, by="Dr. Meyer")
        async with app.run_test(size=size) as pilot:
            urgent = await team.alarm("a05", "asystole")
            other = await team.alarm("a02", "ventricular_couplet")
            await _shows(app, "▲ a05")
            await pilot.press("l")
            await _shows(app, "Active alarms, most urgent first: 2", "HIGH", "LOW", "new", "test alarm")
            assert isinstance(app.screen, AlarmsScreen)
            await pilot.press("down", "a")
            await _shows(app, "acknowledged by Dr. Meyer")
            newest = (await known_alarms(team.client, TEAM))[0]
            assert (newest.identity, newest.transition, newest.by) == (other, "acknowledged", "Dr. Meyer")
            await pilot.press("home", "f")
            await _shows(app, "FALSE alarm, says Dr. Meyer")
            said = await feedback_of(team.client, TEAM)
            assert [(word.identity, word.verdict, word.by) for word in said] == [
                (urgent, "false", "Dr. Meyer")
            ]
            team["a05"].alarms.clear()
            await team.transition("a05", "asystole", 1000, "cleared")
            await team.transition("a05", "asystole", 1000, "acknowledged", "Dr. Meyer")
            await pilot.press("h")
            await _shows(app, "All alarms, newest first: 2", "over, ackn")
            await pilot.press("escape")
            await _shows(app, "a08")


async def test_a_pause_counts_down_and_silences(
    redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``p`` tells the monitor, the countdown stands at the name, covered alarms do not ring, worse ones do."""
    async with _published(redis_server.url, 4) as team:
        app = DashboardApp(redis_server.url, by="Dr. Meyer")
        rung = _bells(app, monkeypatch)
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "a01")
            await pilot.press("p")
            await _shows(app, "Nobody to pause")
            await pilot.press("down", "down", "p")
            await _shows(app, "make no sound for 2 min")
            entries: Any = await team.client.xrange(commands_key(TEAM))
            command = msgspec.msgpack.decode(entries[0][1][b"command"], type=Command)
            assert (command.action, command.athlete, command.seconds, command.by) == (
                "pause",
                "a02",
                PAUSE_S,
                "Dr. Meyer",
            )
            team["a02"].paused_until = time.time() + 100.0
            await _shows(app, "‖1:3", "a02")
            await team.alarm("a02", "ventricular_run")
            await _shows(app, "▲ a02: Ventricular run")
            assert not rung
            await team.alarm("a02", "asystole")
            await _shows(app, "▲ a02: Asystole")
            await _until(lambda: len(rung) == 1)
            await pilot.press("p")
            await _shows(app, "sound again")


async def test_information_calls_nobody(redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is mere information neither rings nor changes places; the list and the athlete's page have it."""
    async with _published(redis_server.url, 4) as team:
        app = DashboardApp(redis_server.url)
        rung = _bells(app, monkeypatch)
        async with app.run_test(size=(80, 24)) as pilot:
            await team.alarm("a03", "isolated_ventricular")
            await _until(lambda: any(view.alarms for view in app.snapshot.athletes))
            await _shows(app, "No active alarm", "a01")
            assert app.grid.shown[0].state.athlete == "a01"
            assert not rung
            await pilot.press("l")
            await _shows(app, "INFORM", "Isolated ventricular")


async def test_names_come_from_the_roster_only(redis_server: GuardedServer, tmp_path: Path) -> None:
    """Bib, name and notes are on the screen of whoever has the roster, found by the filter, and nowhere in Redis."""
    file = tmp_path / "roster.toml"
    file.write_text(ROSTER)
    async with _published(redis_server.url, 4) as team:
        app = DashboardApp(redis_server.url, roster=Roster.load(file))
        async with app.run_test(size=(80, 24)) as pilot:
            await team.alarm("a02", "ventricular_run")
            await _shows(app, "▲ 7 Anna Berg: Ventricular run", "a01")
            await pilot.press("slash", "a", "n", "n", "a", "enter", "enter")
            await _shows(app, "Note: known RBBB", "pseudonym a02")
            await pilot.press("l")
            await _shows(app, "Note: known RBBB")
        for key in await team.client.keys("*"):
            raw: Any = await team.client.dump(key)
            assert b"Anna" not in key + raw


@pytest.mark.parametrize("size", SIZES)
async def test_the_exercise_panel(redis_server: GuardedServer, size: tuple[int, int]) -> None:
    """Burden by phase and zone, RR statistics, and the sign that matters in words; without numbers it says so."""
    async with _published(redis_server.url, 4) as team:
        team["a02"].exercise = EXERCISE
        team["a03"].exercise = msgspec.structs.replace(
            EXERCISE, corrected_share=0.12, rmssd_ms=None, sdnn_ms=None, dfa_alpha1=None, comparable=False
        )
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=size) as pilot:
            await _shows(app, "a04")
            await pilot.press("e")
            await _shows(app, "not measured yet")
            assert isinstance(app.screen, ExerciseScreen)
            await pilot.press("down")
            # 73 ventricular beats in 1,230 s at effort, 4 in 800 s at rest.
            await _shows(app, "now: effort, zone 4", "214", " 18 ", "not rising with effort so far", "0.62")
            await team.alarm("a02", "ventricular_burden_rising")
            await _shows(app, "RISING WITH EFFORT")
            await pilot.press("down")
            await _shows(app, "12.0%", "hidden", "rising? not measured yet")
            assert "RMSSD 4" not in _text(app)
            await pilot.press("escape")
            await _shows(app, "a04")


async def test_a_missing_test_alarm_is_said(redis_server: GuardedServer) -> None:
    """A monitor that lives while its test alarms no longer arrive is not called live."""
    async with _published(redis_server.url, 2) as team:
        await team.client.delete(alarms_key(CANARY_TEAM))
        team.started_before(600.0)
        old = f"{int(1000 * (time.time() - 120))}-0"
        await team.client.xadd(alarms_key(CANARY_TEAM), {"identity": "canary"}, id=old)
        team.canary = False
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "Test alarm missing: alarms may not arrive", "not a medical device")
            await pilot.press("l")
            await _shows(app, "test alarm missing for 2 min")
            await team.client.xadd(alarms_key(CANARY_TEAM), {"identity": "canary"})
            await _shows(app, "monitor live")


def _score(athlete: str, **more: Any) -> AthleteScore:
    table = [[0] * 7 for _ in range(6)]
    table[0][0], table[0][6], table[2][2], table[5][0] = 900, 3, 40, 1
    plain: dict[str, Any] = {
        "team": TEAM,
        "athlete": athlete,
        "at": time.time(),
        "tp": 940,
        "fp": 1,
        "fn": 3,
        "table": table,
        "scored_s": 800.0,
        "dropped": 0,
        "missed_by_cause": {"lost_in_burst": 2, "unexplained": 1},
        "false_by_cause": {"noise": 1},
        "latency": Latency(p50=0.02, p99=0.05, n=100),
        "ledger": {"sent": 4000, "lost_in_burst": 12},
        "received": 4000,
        "duplicate": 0,
        "refused": 0,
        "lost": 12,
        "unaccounted": 0,
    }
    return AthleteScore(**{**plain, **more})


def _miss(kind: str, cause: str) -> Miss:
    samples = np.zeros(2000, "<i2")
    samples[990:1010] = 1200
    samples[400:500] = HOLE
    return Miss(
        team=TEAM,
        athlete="a02",
        boot=1,
        r_sample=6000,
        at=time.time(),
        kind=kind,
        reference="V" if kind != "false" else "",
        called="" if kind == "missed" else "N",
        cause=cause,
        rate_hz=250.0,
        first_sample=5000,
        microvolts=samples.tobytes(),
        truth=[(5250, "N"), *([(6000, "V")] if kind != "false" else [])],
        beats=[(5251, "N"), *([(6001, "N")] if kind != "missed" else [])],
        troubles=[(5400, 5500, "lost_in_burst")],
    )


@pytest.mark.parametrize("size", SIZES)
async def test_the_testers_view(redis_server: GuardedServer, size: tuple[int, int]) -> None:
    """Without a scorer it says what to start; with one: fleet and athlete, causes, balance, and the miss with strip."""
    async with _published(redis_server.url, 3) as team:
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=size) as pilot:
            await _shows(app, "a03")
            await pilot.press("t")
            await _shows(app, "no scorer running", "strapwatch score")
            await _write_scores(team)
            # (1840 + 40) of (1840 + 40 + 6) beats of two athletes.
            await _shows(app, "scorer live", "Se 0.9968", "unexplained 2", "every packet accounted for")
            await _shows(app, "in a burst", "24")
            await team.client.set(
                score_key(TEAM, "a02"), msgspec.msgpack.encode(_score("a02", unaccounted=7, received=3993))
            )
            await _shows(app, "7 packets unaccounted for")
            await pilot.press("tab")
            await _shows(app, "3 differences", "missed V", "false N", "V called N")
            await pilot.press("home", "d")
            assert [type(screen) for screen in app.screen_stack[1:]] == [
                tester_screens.TesterScreen,
                tester_screens.MissScreen,
            ]
            for words in ("calls this beat V", "has none", "found none"):
                await _shows(app, words, "monitor ", "truth", "lost in a burst")
                await pilot.press("down")
            await pilot.press("escape", "escape")
            await _shows(app, "No active alarm")
            assert not app.feed.tester.wanted


async def _write_scores(team: Team) -> None:
    for athlete in ("a01", "a02"):
        await team.client.set(score_key(TEAM, athlete), msgspec.msgpack.encode(_score(athlete)))
    for kind, cause in (("missed", "unexplained"), ("false", "noise"), ("misnamed", "unexplained")):
        await team.client.xadd(misses_key(TEAM), {"miss": msgspec.msgpack.encode(_miss(kind, cause))})
    latency = Latency(p50=0.02, p99=0.05, n=200)
    state = ScorerState(
        scorer_id="s",
        at=time.time(),
        broker_connected=True,
        athletes=2,
        latency=latency,
        alarm_latency=latency,
        dropped=0,
    )
    await team.client.set(scorer_key("s"), msgspec.msgpack.encode(state))


async def test_damaged_scores_do_no_harm(redis_server: GuardedServer) -> None:
    """Rubbish where scores, misses, scorers and verdicts are read is counted, and the rest stays on screen."""
    async with _published(redis_server.url, 2) as team:
        await _write_scores(team)
        await team.client.set(score_key(TEAM, "a01"), b"\xc1")
        await team.client.set(scorer_key("bad"), b"\xff")
        await team.client.xadd(misses_key(TEAM), {"what": b"1"})
        app = DashboardApp(redis_server.url)
        async with app.run_test(size=(80, 24)) as pilot:
            await _shows(app, "a02")
            await pilot.press("t")
            await _shows(app, "scorer live", "a02")
            await _until(lambda: app.feed.tester.damaged >= 3)


def test_a_strip_stands_where_the_alarm_is() -> None:
    """The strip of an alarm is drawn from just before its onset, with its beats above it, at both sizes."""
    from monitor.dashboard.alarm_view import _ribbon
    from monitor.dashboard.strip_lines import strip_lines

    samples = np.zeros(13 * 250, "<i2")
    samples[2000::250] = 1000
    beats = [(first, "V", 0.9) for first in range(12_000, 13_250, 250)]
    strip = Strip(first_sample=10_000, rate_hz=250.0, microvolts=samples.tobytes(), beats=beats)
    for width in (80, 200):
        lines = [line.text for line in strip_lines(_ribbon(strip, 12_000, width), width, 9)]
        assert len(lines) == 9
        assert all(len(line) <= width for line in lines)
        assert lines[0].count("V") >= 4
        zero = lines[-1].index("|0")
        assert abs(lines[0].index("V") - zero) <= 1
