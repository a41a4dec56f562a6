"""A scenario for real: broker, server, monitor and straps, and a reader outside who sees only what Redis holds.

What is not given is started: the broker and the server from wheels, the monitor as a process of its own.
"""

import asyncio
import contextlib
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from redis.exceptions import RedisError

from monitor.cancellation import end
from monitor.embedded import EmbeddedBroker, EmbeddedServer, GuardedServer, InstalledMosquitto, spawn
from monitor.errors import ServerError, UsageError
from monitor.sinks import open_redis, shown_url
from monitor.sources import parse_mqtt_url
from simulators.fleet import Fleet, FleetReport
from simulators.ledger import Ledger
from simulators.scenario import Scenario, own_limits
from simulators.scenario_reader import ScenarioReader
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life

MONITOR_ID: Final = "scenario"
READY_WITHIN_S: Final = 900.0
"""The first start ever compiles the stages, which takes minutes on a busy machine; one that ends is noticed at once."""
GIVEN_WITHIN_S: Final = 4.0
_POLL_S: Final = 0.25
_QUIET_S: Final = 1.6
_LONGEST_DRAIN_S: Final = 20.0
_END_WITHIN_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What is there already; None where it is to be started.

    Attributes
    ----------
    broker, redis : str or None
        URLs. Who gives both has a monitor running between them.
    """

    broker: str | None = None
    redis: str | None = None

    def __post_init__(self) -> None:
        if (self.broker is None) != (self.redis is None):
            raise UsageError("give both --broker and --redis, with a monitor between them, or neither")


@dataclass(frozen=True, slots=True)
class _Place:
    broker_url: str
    redis_url: str
    broker: GuardedServer | None
    monitor: "_Monitor | None"


async def run_live(
    scenario: Scenario,
    lives: list[Life],
    ledger: Ledger,
    *,
    given: Given,
    speed: float,
    say: Callable[[str], None],
) -> tuple[Seen, FleetReport]:
    """Run a scenario against a broker, a monitor and a server, and return what an outside reader saw.

    Parameters
    ----------
    scenario : Scenario
        What is to happen.
    lives : list of Life
        Its straps, see `simulators.scenario_straps.lives_of_scenario`.
    ledger : Ledger
        Where it is entered what became of every packet; it must keep its entries.
    given : Given
        What is there already.
    speed : float
        Seconds of session per second.
    say : callable
        Takes a line for the person who waits.

    Raises
    ------
    ServerError
        If something does not start, cannot be reached, or ends before it should.
    UsageError
        If a given broker is to be restarted.
    """
    if scenario.outage and given.broker is not None:
        raise UsageError(
            "this scenario restarts its broker, which it cannot do to yours; leave --broker and --redis out"
        )
    async with _place(scenario, given) as place:
        client = open_redis(place.redis_url)
        reader = ScenarioReader(
            client,
            team=scenario.team,
            athletes=list(dict.fromkeys(life.strap.athlete for life in lives)),
            monitor_id=None if place.monitor is None else MONITOR_ID,
        )
        try:
            await _wait_until_ready(reader, place, say)
            await reader.begin()
            fleet = Fleet(
                [life.strap for life in lives],
                broker=parse_mqtt_url(place.broker_url),
                radio=[life.radio for life in lives],
                ledger=ledger,
                seed=scenario.seed,
                say=say,
            )
            following = asyncio.create_task(_follow(reader, place))
            outages = asyncio.create_task(_outages(scenario, fleet, place, speed))
            entering = asyncio.create_task(_enter_troubles(lives, fleet))
            running = asyncio.create_task(fleet.run())
            try:
                await asyncio.wait({following, running}, return_when=asyncio.FIRST_COMPLETED)
                if following.done():
                    following.result()
                report = await running
                await _until_quiet(reader)
            finally:
                await asyncio.gather(end(following), end(outages), end(entering), end(running))
            await reader.read()
            await reader.read_states()
        finally:
            await client.aclose()
    reader.seen.start_at = fleet.start_at
    reader.seen.unacknowledged = report.unacknowledged
    return reader.seen, report


async def _enter_troubles(lives: list[Life], fleet: Fleet) -> None:
    """Enter what is planned as soon as its time is known: a scorer hears of it before its truth, as of losses."""
    await fleet.started.wait()
    for life, start_at in zip(lives, fleet.start_at, strict=True):
        life.enter_troubles(fleet.ledger, start_at)


@contextlib.asynccontextmanager
async def _place(scenario: Scenario, given: Given) -> AsyncIterator[_Place]:
    """Start what is not given, and end it afterwards."""
    if given.broker is not None and given.redis is not None:
        yield _Place(given.broker, given.redis, None, None)
        return
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="strapwatch-")))
        broker: GuardedServer = EmbeddedBroker()
        if scenario.broker == "mosquitto":
            sessions = folder / "broker"
            sessions.mkdir()
            broker = InstalledMosquitto(directory=sessions)
        server = EmbeddedServer()
        for each in (broker, server):
            stack.callback(each.kill)
            await asyncio.to_thread(each.start)
        settings = folder / "monitor.toml"
        settings.write_text(_settings(scenario), encoding="utf-8")
        monitor = _Monitor(stack, broker.url, server.url, settings)
        yield _Place(broker.url, server.url, broker, monitor)
        await asyncio.to_thread(monitor.end)


def _settings(scenario: Scenario) -> str:
    lines = []
    if scenario.broker == "mosquitto":
        # What arrives while the monitor reconnects is kept for it.
        lines += ["[broker]", f'client_id = "{MONITOR_ID}"', "persistent_session = true"]
    for athlete, limits in own_limits(scenario).items():
        lines.append(f'[athletes."{scenario.team}/{athlete}"]')
        lines += [f"{key} = {value}" for key, value in limits.items()]
    return "\n".join(lines) + "\n"


class _Monitor:
    """The monitor, as a process beside us."""

    def __init__(self, stack: contextlib.ExitStack, broker_url: str, redis_url: str, settings: Path) -> None:
        self._log: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        arguments = ["monitor", "--broker", broker_url, "--redis", redis_url, "--id", MONITOR_ID]
        arguments += ["--outbox", ":memory:", "--settings", str(settings)]
        self._process = spawn(arguments, stdout=subprocess.DEVNULL, stderr=self._log)
        stack.callback(self.end)

    def must_run(self) -> None:
        """Raise `ServerError` if it has ended."""
        code = self._process.poll()
        if code is not None:
            self._log.seek(0)
            words = self._log.read().decode(errors="replace").strip().splitlines()[-3:]
            raise ServerError(f"the monitor ended with exit code {code}: {' '.join(' '.join(words).split())}")

    def end(self) -> None:
        """End it in order, else the hard way."""
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin is not None:
            process.stdin.close()


async def _wait_until_ready(reader: ScenarioReader, place: _Place, say: Callable[[str], None]) -> None:
    begun = time.monotonic()
    within_s = GIVEN_WITHIN_S if place.monitor is None else READY_WITHIN_S
    said = False
    while time.monotonic() - begun < within_s:
        try:
            heartbeat = await reader.read_monitor()
        except (OSError, RedisError) as error:
            if place.monitor is None:
                raise ServerError(
                    f"Redis at {shown_url(place.redis_url)} cannot be reached: {error}"
                ) from error
            heartbeat = None
        if heartbeat is not None and heartbeat.broker_connected:
            return
        if place.monitor is not None:
            place.monitor.must_run()
        if not said and time.monotonic() - begun > 5.0:
            said = True
            say(
                "waiting for the monitor; the first start ever compiles its stages (strapwatch prepare does it ahead)"
            )
        await asyncio.sleep(0.1)
    if place.monitor is None:
        raise ServerError(
            f"no monitor at {shown_url(place.redis_url)} that hears its broker; start one with strapwatch monitor"
        )
    raise ServerError(f"the monitor was not ready within {within_s:g} s")


async def _follow(reader: ScenarioReader, place: _Place) -> None:
    while True:
        await reader.read()
        if place.monitor is not None:
            place.monitor.must_run()
        await asyncio.sleep(_POLL_S)


async def _outages(scenario: Scenario, fleet: Fleet, place: _Place, speed: float) -> None:
    """Take the broker away and bring it back, as the scenario says."""
    await fleet.started.wait()
    begin_at = fleet.start_at[0]
    for outage in sorted(scenario.outage, key=lambda outage: outage.at_s):
        await asyncio.sleep(max(begin_at + outage.at_s / speed - time.time(), 0.0))
        assert place.broker is not None  # noqa: S101 - given brokers were refused above
        await asyncio.to_thread(place.broker.stop if outage.how == "stop" else place.broker.kill)
        await asyncio.sleep(outage.away_s / speed)
        await asyncio.to_thread(place.broker.start)


async def _until_quiet(reader: ScenarioReader) -> None:
    """Wait until nothing new has come for a while: a late packet is waited for, and a tick has to notice."""
    begun = quiet_since = time.monotonic()
    count = -1
    while time.monotonic() - begun < _LONGEST_DRAIN_S and time.monotonic() - quiet_since < _QUIET_S:
        seen = sum(map(len, reader.seen.beats.values())) + len(reader.seen.alarms)
        if seen != count:
            count, quiet_since = seen, time.monotonic()
        await asyncio.sleep(_POLL_S)
