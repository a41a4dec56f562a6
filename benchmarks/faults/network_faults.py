"""Faults of the broker, of the networks around it, and of the server: all athletes are hit, and nobody's heart is."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

from benchmarks.faults.place import patient_client
from benchmarks.faults.trial import Disturb, run_trial
from benchmarks.faults.trial_stage import Conditions, Outcome, Stage

BROKER_AWAY_S: Final = 30.0
SHORT_AWAY_S: Final = 0.8


def _away_s(conditions: Conditions) -> float:
    return BROKER_AWAY_S if conditions.long else SHORT_AWAY_S


def _outage(conditions: Conditions) -> tuple[float, float]:
    """Return as shares of the session from when to when straps may be told silent."""
    away = (_away_s(conditions) + 11.0) * conditions.speed / conditions.seconds
    return (0.1, min(0.1 + away, 0.999))


async def broker_killed(conditions: Conditions) -> Outcome:
    """Kill the broker, and start it again."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.12)
        await asyncio.to_thread(stage.place.broker.kill)
        await asyncio.sleep(_away_s(conditions))
        await asyncio.to_thread(stage.place.broker.start)

    return (await run_trial(conditions, disturb=disturb, outage=_outage(conditions))).outcome


async def broker_slow(conditions: Conditions) -> Outcome:
    """Let every message from and to the broker take 0.4 s, and 60 kB a second pass."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.1)
        for link in (stage.place.straps_link, stage.place.broker_link):
            link.delay_s, link.bytes_per_s = 0.4, 60_000.0
        await stage.until(0.8)
        for link in (stage.place.straps_link, stage.place.broker_link):
            await link.mend()

    return (await run_trial(conditions, disturb=disturb, outage=(0.1, 0.999))).outcome


async def straps_cut(conditions: Conditions) -> Outcome:
    """Cut the network between straps and broker."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.12)
        await stage.place.straps_link.cut()
        await asyncio.sleep(_away_s(conditions))
        await stage.place.straps_link.mend()

    return (await run_trial(conditions, disturb=disturb, outage=_outage(conditions))).outcome


async def monitor_cut(conditions: Conditions) -> Outcome:
    """Cut the network between broker and monitor; then let it swallow everything without a word."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.12)
        await stage.place.broker_link.cut()
        await asyncio.sleep(_away_s(conditions))
        await stage.place.broker_link.mend()
        await asyncio.sleep(0.5)
        stage.place.broker_link.swallow()
        await asyncio.sleep(_away_s(conditions))
        await stage.place.broker_link.mend()

    return (await run_trial(conditions, disturb=disturb, outage=(0.1, 0.999))).outcome


async def server_killed(conditions: Conditions) -> Outcome:
    """Kill the server, and start it again."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.45)
        async with stage.server_trouble():
            await asyncio.to_thread(stage.place.server.kill)
            await stage.until(0.75)
            await asyncio.to_thread(stage.place.server.start)

    return await _with_server_away(conditions, disturb)


async def server_full(conditions: Conditions) -> Outcome:
    """Leave the server no memory; then let it be read-only, as a replica is, and as one without its replicas is."""

    async def disturb(stage: Stage) -> None:
        for begin, over, refuse in ((0.3, 0.5, _full), (0.55, 0.7, _replica), (0.75, 0.9, _alone)):
            await stage.until(begin)
            async with stage.server_trouble(), refuse(stage):
                await stage.until(over)

    return await _with_server_away(conditions, disturb)


async def server_slow(conditions: Conditions) -> Outcome:
    """Let every answer of the server take 0.3 s, and then stand still for as long as it takes to be given up on."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.3)
        async with stage.server_trouble():
            stage.place.server_link.delay_s = 0.3
            await stage.until(0.6)
            await stage.place.server_link.mend()
            await _paused(stage, 2_500)

    return await _with_server_away(conditions, disturb)


async def every_network_trouble(conditions: Conditions) -> Outcome:
    """Slow both networks down, cut the straps off, then the monitor: one after the other, each for a moment."""

    async def disturb(stage: Stage) -> None:
        place = stage.place
        await stage.until(0.1)
        for link in (place.straps_link, place.broker_link):
            link.delay_s, link.bytes_per_s = 0.3, 60_000.0
        await stage.until(0.35)
        for link in (place.straps_link, place.broker_link):
            await link.mend()
        for link, over in ((place.straps_link, 0.55), (place.broker_link, 0.8)):
            await link.cut()
            await stage.until(over)
            await link.mend()
            await stage.until(over + 0.05)

    return (await run_trial(conditions, disturb=disturb, outage=(0.1, 0.999))).outcome


async def every_server_trouble(conditions: Conditions) -> Outcome:
    """Let the server be slow, full and read-only, and kill it: one after the other, each for a moment."""

    async def disturb(stage: Stage) -> None:
        await stage.until(0.1)
        async with stage.server_trouble():
            stage.place.server_link.delay_s = 0.2
            await stage.until(0.4)
            await stage.place.server_link.mend()
        # What killed connections wait for before they try again would hide the others, so that comes last.
        for begin, over, refuse in ((0.45, 0.64, _full), (0.66, 0.8, _replica)):
            await stage.until(begin)
            async with stage.server_trouble(), refuse(stage):
                await stage.until(over)
        async with stage.server_trouble():
            await asyncio.to_thread(stage.place.server.kill)
            await stage.until(0.95)
            await asyncio.to_thread(stage.place.server.start)

    return await _with_server_away(conditions, disturb)


async def _with_server_away(conditions: Conditions, disturb: Disturb) -> Outcome:
    # Beats of that time are not in the server; they are held against what the monitor says that it could not write.
    trial = await run_trial(conditions, disturb=disturb, allow={"missed_beats": 1.0})
    return trial.outcome


@contextlib.asynccontextmanager
async def _full(stage: Stage) -> AsyncIterator[None]:
    client = patient_client(stage.place.server)
    await client.config_set("maxmemory", "1")
    yield
    await client.config_set("maxmemory", "0")
    await client.aclose()


@contextlib.asynccontextmanager
async def _replica(stage: Stage) -> AsyncIterator[None]:
    client = patient_client(stage.place.server)
    # Of a server that nobody can reach, so that nothing is copied.
    await client.execute_command("REPLICAOF", "127.0.0.1", "1")
    yield
    await client.execute_command("REPLICAOF", "NO", "ONE")
    await client.aclose()


@contextlib.asynccontextmanager
async def _alone(stage: Stage) -> AsyncIterator[None]:
    client = patient_client(stage.place.server)
    await client.config_set("min-replicas-to-write", "1")
    yield
    await client.config_set("min-replicas-to-write", "0")
    await client.aclose()


async def _paused(stage: Stage, milliseconds: int) -> None:
    client = patient_client(stage.place.server)
    await client.execute_command("CLIENT", "PAUSE", str(milliseconds), "ALL")
    await asyncio.sleep(milliseconds / 1000.0)
    await client.aclose()
