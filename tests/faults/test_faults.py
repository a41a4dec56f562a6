"""Faults against the real Mosquitto and Redis, in short; ``make chaos`` runs the long versions (docs/faults.md).

Every trial fails by itself where a packet is neither taken nor counted, an event of the truth has no alarm, a
transition stands twice in the Stream, or a beat or alarm of an athlete whom the fault does not touch is not that of a
watch in virtual time to which nothing happens (`benchmarks.faults.trial`).
"""

import asyncio
import contextlib
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.faults import monitor_faults, network_faults
from benchmarks.faults.monitor_faults import NotHereError
from benchmarks.faults.strap_faults import attack, every_trouble
from benchmarks.faults.trial import run_trial
from benchmarks.faults.trial_monitors import MonitorHere, shipped_classifier
from benchmarks.faults.trial_stage import Conditions, Outcome, Stage
from monitor.embedded import GuardedServer
from monitor.embedded.servers import installed
from monitor.errors import ServerError
from monitor.receivers import watchdog as watching
from monitor.receivers.relay import look
from monitor.receivers.watchdog import Watchdog
from monitor.sinks import open_redis
from tests.monitor.test_recovery import monitoring, until_online


@pytest.fixture
def conditions(tmp_path: Path) -> Conditions:
    """Return the short version's conditions; visibly none where a server is not installed."""
    for program in ("mosquitto", "redis-server"):
        try:
            installed(program)
        except ServerError as error:
            pytest.skip(str(error))
    return Conditions(folder=tmp_path)


def passes(outcome: Outcome) -> dict[str, Any]:
    """Fail with what must not be, else return what was measured."""
    assert outcome.failures == [], outcome.measured
    return outcome.measured


async def test_straps_radio_clocks_leads_and_hostile_messages(conditions: Conditions) -> None:
    """1-4, 11-13: each trouble is told or counted on its own athlete, and no other athlete's beat differs.

    Loss of 1 to 30 %, doubles, packets overtaken and late, restarts, two straps by one name, clocks set and drifting,
    leads off, flat and railed, and messages that are none: 15 athletes at once.
    """
    trial = await run_trial(conditions, straps=every_trouble, disturb=attack, hit={"shuffled"})
    measured = passes(trial.outcome)
    accounts = {account.athlete: account for account in trial.verdict.accounts}
    assert accounts["loss30"].counted_lost > 10
    assert accounts["twice100"].duplicate == accounts["twice100"].packets
    assert accounts["shared"].other > 0
    assert (
        accounts["late"].counted_lost == accounts["jumps"].counted_lost == accounts["sound"].counted_lost == 0
    )
    assert {"oversized", "malformed", "misrouted"} <= set(measured["told"]["refused"])
    told = {(event.athlete, event.kind) for event in trial.verdict.events if event.status == "found"}
    assert {("off", "lead_off"), ("flat", "flat"), ("railed", "railed"), ("fast", "pause")} <= told


async def test_a_broker_that_is_killed_loses_nothing(conditions: Conditions) -> None:
    """5: straps send again what was not acknowledged, the session is kept; every beat and alarm as undisturbed."""
    measured = passes(await network_faults.broker_killed(conditions))
    assert measured["packets"]["counted lost"] == 0


async def test_networks_that_are_slow_or_cut_lose_nothing(conditions: Conditions) -> None:
    """6, 7: straps and broker keep what does not get through; every beat and alarm as undisturbed, only later."""
    measured = passes(await network_faults.every_network_trouble(conditions))
    assert measured["packets"]["counted lost"] == 0
    assert measured["packets"]["sent again"] > 0


async def test_a_server_killed_full_read_only_and_slow_loses_no_alarm(conditions: Conditions) -> None:
    """8: beats of that time are told as unwritten, no more than that are missing; every alarm stands there once."""
    measured = passes(await network_faults.every_server_trouble(conditions))
    assert measured["told"]["unwritten"]["beats"] >= measured["beats"]["unwritten"] > 0


async def test_a_full_disk_loses_no_alarm(conditions: Conditions) -> None:
    """10: alarms wait in memory while the server is away too, and arrive once; packets and samples are counted."""
    try:
        outcome = await monitor_faults.disk_full(conditions)
    except NotHereError as reason:
        pytest.skip(str(reason))
    passes(outcome)


async def test_dashboards_that_read_nothing_and_a_backend_that_fails(conditions: Conditions) -> None:
    """14, 15: nobody waits for a dashboard; what the classifier cannot name is unsure, counted, and no beat is lost."""
    failing = monitor_faults.FailingBackend(shipped_classifier())

    async def disturb(stage: Stage) -> None:
        reading = asyncio.create_task(monitor_faults.read_nothing(stage))
        failing.every = 3
        await stage.until(0.75)
        # What has to have its name for an alarm of the truth, bo's run of the first half, has it by then.
        await stage.until_told("bo", round(0.72 * conditions.seconds * 360))
        failing.every = 1
        await asyncio.sleep(0.15 * conditions.seconds / conditions.speed)
        failing.every = 0
        await reading

    trial = await run_trial(
        conditions,
        disturb=disturb,
        monitor=lambda place: MonitorHere(place, failing),
        unnamed=True,
    )
    measured = passes(trial.outcome)
    assert failing.failed > 3
    # Calls that fail now and then cost nothing: only those of the stretch in which all failed.
    assert 0 < measured["beats"]["unnamed"] < 0.4 * measured["beats"]["expected"]


async def test_a_monitor_that_hangs_is_noticed(
    mosquitto: GuardedServer, redis_server: GuardedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15: stopped with SIGSTOP it is told as monitoring lost; the alarm ends when it goes on."""
    monkeypatch.setattr(watching, "HEARTBEAT_LOST_AFTER_S", 1.8)
    client: Any = open_redis(redis_server.url)
    told: list[str] = []
    with monitoring(mosquitto.url, redis_server.url, tmp_path) as process:
        await until_online(client)
        watchdog = Watchdog(began_at=time.monotonic())
        for which, wanted in ((signal.SIGSTOP, "raised"), (signal.SIGCONT, "cleared")):
            await look(client, watchdog)
            assert watchdog.tick(time.monotonic()) == []
            process.send_signal(which)
            async with asyncio.timeout(15.0):
                while wanted not in told:
                    await look(client, watchdog)
                    alarms = watchdog.tick(time.monotonic())
                    told += [alarm.transition for alarm in alarms if alarm.kind == "monitoring_lost"]
                    await asyncio.sleep(0.1)
    with contextlib.suppress(RuntimeError):
        await client.aclose()
    assert told == ["raised", "cleared"]
