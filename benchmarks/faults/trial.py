"""One trial: straps, broker, server and monitor for real, something goes wrong, and a verdict on all that was told.

The simulator's verdict (`simulators.verdict`) says of every event of the truth and of every packet what became of it.
Beside it stands what a watch says of the same straps when nothing but their own radio goes wrong, in virtual time:
whoever a fault does not touch has to have the same beats and alarms, to the sample and to the name.
"""

import asyncio
import contextlib
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import msgspec
from redis.exceptions import RedisError

from benchmarks.faults.place import MONITOR_ID, Place, end_monitor, patient_client, place, start_monitor
from models.runtime import load_classifier
from monitor.cancellation import end
from monitor.classifier import BeatClassifier
from monitor.contract import Alarm
from monitor.live import LiveMonitor
from monitor.live_state import BeatEntry, MonitorState, beats_key, monitor_key
from monitor.recovery.folder import RecoveryFolder
from monitor.recovery.resume import resume
from monitor.sinks import Outbox, RedisSink
from monitor.sources import MqttSource
from monitor.warm_up import warm_up
from monitor.watch import Watch
from simulators.fleet import Fleet
from simulators.ledger import Ledger
from simulators.scenario import Scenario, parse_scenario
from simulators.scenario_offline import run_offline
from simulators.scenario_reader import ScenarioReader
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life, lives_of_scenario
from simulators.verdict import Verdict, judge

TEAM: Final = "faults"
SHORT_S: Final = 26.0
LONG_S: Final = 210.0
SHORT_SPEED: Final = 8.0
LONG_SPEED: Final = 3.0
COMES_BACK_S: Final = 12.0
"""How long after a server is back a client may still wait before it tries again."""
_READY_S: Final = 300.0
_QUIET_S: Final = 1.2
_LONGEST_DRAIN_S: Final = 60.0


class Monitor(Protocol):
    """The monitor of a trial."""

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        ...

    async def end(self) -> None:
        """End it in order."""
        ...


Disturb = Callable[["Stage"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a trial is to be run.

    Attributes
    ----------
    folder : Path
        Empty; for its files.
    long : bool
        The version of ``make chaos``; else that of ``make test``.
    seed : int
        Of everything random.
    """

    folder: Path
    long: bool = False
    seed: int = 1

    @property
    def seconds(self) -> float:
        """Length of the session, in its own seconds."""
        return LONG_S if self.long else SHORT_S

    @property
    def speed(self) -> float:
        """Seconds of session per second."""
        return LONG_SPEED if self.long else SHORT_SPEED


@dataclass(slots=True)
class Stage:
    """What a disturbance can reach while the straps send.

    Attributes
    ----------
    place : Place
        Broker, server and networks.
    monitor : Monitor
        The monitor.
    conditions : Conditions
        How the trial is run.
    chance : random.Random
        For what is to happen at random.
    athletes : list of str
        Who takes part.
    started_at : float
        Unix time at which the first strap took its first sample.
    server_away : list of (float, float)
        From when to when beats could not be written, in Unix time; a disturbance enters it.
    measured : dict
        Whatever is worth a place in the report.
    """

    place: Place
    monitor: Monitor
    conditions: Conditions
    chance: random.Random
    athletes: list[str]
    started_at: float = 0.0
    server_away: list[tuple[float, float]] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    async def until(self, share: float) -> None:
        """Wait until so much of the session is over, 0 to 1."""
        at = self.started_at + share * self.conditions.seconds / self.conditions.speed
        await asyncio.sleep(max(at - time.time(), 0.0))

    async def until_told(self, athlete: str, sample: int) -> None:
        """Wait until the server has a beat of an athlete at or behind a sample: a busy machine brings it late."""
        client = patient_client(self.place.server)
        while True:
            entries = await client.xrevrange(beats_key(TEAM, athlete), count=1)
            if any(msgspec.msgpack.decode(e[b"beat"], type=BeatEntry).r_sample >= sample for _, e in entries):
                break
            await asyncio.sleep(0.05)
        await client.aclose()

    @contextlib.asynccontextmanager
    async def server_trouble(self) -> AsyncIterator[None]:
        """Enter that the server is away until the end of the block."""
        begin_at = time.time()
        try:
            yield
        finally:
            self.server_away.append((begin_at, time.time()))


@dataclass(slots=True)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    measured : dict
        Figures for the report.
    failures : list of str
        What must not be; empty if the trial has passed.
    """

    measured: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Trial:
    """A trial that is over.

    Attributes
    ----------
    lives : list of Life
        Who sent.
    seen : Seen
        What the server holds.
    expected : Seen
        What an undisturbed watch says of the same.
    verdict : Verdict
        The simulator's.
    outcome : Outcome
        The conclusion.
    """

    lives: list[Life]
    seen: Seen
    expected: Seen
    verdict: Verdict
    outcome: Outcome


@cache
def shipped_classifier() -> BeatClassifier:
    """Return the shipped classifier, with everything loaded that the first beat needs."""
    classifier = load_classifier(threads=1)
    warm_up(classifier)
    return classifier


class MonitorHere:
    """The monitor in this process, so that it starts at once.

    Parameters
    ----------
    place : Place
        Where.
    classifier : BeatClassifier or None
        What names beats.
    folder : Path, optional
        Where outbox, packets and snapshots lie, if elsewhere.
    """

    def __init__(
        self, place: Place, classifier: BeatClassifier | None, *, folder: Path | None = None
    ) -> None:
        self._place = place
        self._classifier = classifier
        self._folder = folder or place.folder
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        connected = asyncio.Event()
        watch = Watch(classifier=self._classifier)
        enter = self._stack.enter_context
        recovery = enter(RecoveryFolder(self._folder / "recovery"))
        outbox = enter(contextlib.closing(Outbox(self._folder / "outbox.sqlite3")))
        watch.record_alarms(recovery.alarms)
        resumption = resume(watch, recovery.rows, recovery.journal, time.time())
        sink = await self._stack.enter_async_context(RedisSink(self._place.redis_url, outbox=outbox))
        source = await self._stack.enter_async_context(
            MqttSource(
                self._place.broker_url,
                client_id=MONITOR_ID,
                persistent_session=True,
                journal=recovery.journal,
                on_connection=lambda there: connected.set() if there else None,
            )
        )
        monitor = LiveMonitor(
            source=source,
            sink=sink,
            watch=watch,
            monitor_id=MONITOR_ID,
            model="",
            settings_hash="",
            tick_s=0.02,
            recovery=recovery,
            resumption=resumption,
        )
        self._task = asyncio.create_task(monitor.run())
        async with asyncio.timeout(_READY_S):
            await connected.wait()

    async def end(self) -> None:
        """End it in order; what ended it before is raised."""
        try:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
        finally:
            await self._stack.aclose()


class MonitorProcess:
    """The command, as a process of its own, that can be killed and stopped.

    Parameters
    ----------
    place : Place
        Where.

    Attributes
    ----------
    starts : int
        How often it was started.
    """

    def __init__(self, place: Place, **sections: dict[str, object]) -> None:
        self._place = place
        self._settings = place.settings(**sections)
        self._log = place.folder / "monitor.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        client = patient_client(self._place.server)
        with contextlib.suppress(RedisError):
            await client.delete(monitor_key(MONITOR_ID))
        self._process = start_monitor(self._settings, log=self._log)
        self.starts += 1
        async with asyncio.timeout(_READY_S):
            while True:
                heartbeat = await client.get(monitor_key(MONITOR_ID))
                if heartbeat and msgspec.msgpack.decode(heartbeat, type=MonitorState).broker_connected:
                    break
                if self._process.poll() is not None:
                    words = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
                    raise RuntimeError(f"the monitor ended with {self._process.returncode}: {words}")
                await asyncio.sleep(0.05)
        await client.aclose()

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(which)

    async def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def end(self) -> None:
        """End it in order."""
        if self._process is not None:
            code = await asyncio.to_thread(end_monitor, self._process)
            if code:
                raise RuntimeError(f"the monitor ended with exit code {code}")


def usual_straps(seconds: float) -> list[dict[str, Any]]:
    """Return four athletes with an event each: a pause, a ventricular run, a lead that comes off, an asystole."""
    return [
        {
            "athlete": "ada",
            "synthetic": {
                "rate_bpm": 90, "rate_hz": 250,
                "events": [{"event": "pause", "at_s": 0.55 * seconds, "length_s": 3.5}],
            },
        },
        {
            "athlete": "bo",
            "synthetic": {
                "rate_bpm": 120, "rate_hz": 360,
                "events": [{"event": "ventricular_run", "at_s": 0.5 * seconds, "beats": 8}],
            },
        },
        {
            "athlete": "cleo",
            "synthetic": {"rate_bpm": 70, "rate_hz": 130},
            "radio": {"lead_off": [[0.45 * seconds, 4.0]]},
        },
        {
            "athlete": "dan",
            "synthetic": {
                "rate_bpm": 75, "rate_hz": 250,
                "events": [{"event": "asystole", "at_s": 0.6 * seconds, "length_s": 7.0}],
            },
        },
    ]  # fmt: skip


async def run_trial(
    conditions: Conditions,
    *,
    straps: Callable[[float], list[dict[str, Any]]] = usual_straps,
    disturb: Disturb | None = None,
    monitor: Callable[[Place], Monitor] | None = None,
    outage: tuple[float, float] | None = None,
    hit: Iterable[str] = (),
    allow: Mapping[str, Any] | None = None,
    unnamed: bool = False,
) -> Trial:
    """Run one trial and return what came of it.

    Parameters
    ----------
    conditions : Conditions
        How.
    straps : callable
        Returns the tables of straps of a session of so many seconds, see docs/simulators.md.
    disturb : callable, optional
        What goes wrong; it is given the `Stage`.
    monitor : callable, optional
        Makes the monitor; one in this process if left out.
    outage : (float, float), optional
        From when to when packets cannot reach the monitor, as shares of the session: straps may be told silent, and a
        broker may deliver twice.
    hit : iterable of str
        Athletes whose beats the fault may change.
    allow : dict, optional
        What the verdict may lack, as in a scenario.
    unnamed : bool
        The fault is one in which beats lose their names.
    """
    seconds, speed = conditions.seconds, conditions.speed
    scenario = _scenario(conditions, straps(seconds), outage, allow or {})
    lives = lives_of_scenario(scenario, speed=speed, boot=1)
    ledger = Ledger(keep=True)
    async with place(conditions.folder) as where:
        make = monitor or (lambda there: MonitorHere(there, shipped_classifier()))
        running = make(where)
        athletes = list(dict.fromkeys(life.strap.athlete for life in lives))
        stage = Stage(where, running, conditions, random.Random(conditions.seed), athletes)
        client = patient_client(where.server)
        reader = ScenarioReader(client, team=TEAM, athletes=athletes, monitor_id=MONITOR_ID)
        try:
            await running.start()
            await reader.begin()
            fleet = Fleet(
                [life.strap for life in lives],
                broker=where.straps_address,
                radio=[life.radio for life in lives],
                ledger=ledger,
                seed=conditions.seed,
            )
            disturbing = asyncio.create_task(_disturb(fleet, stage, disturb))
            for_real = asyncio.create_task(_enter_troubles(lives, fleet))
            try:
                report = await fleet.run(drain_s=30.0)
                await disturbing
                await _until_quiet(reader)
            finally:
                await asyncio.gather(end(disturbing), end(for_real))
            await reader.read_states()
        finally:
            await running.end()
            await client.aclose()
    seen = reader.seen
    seen.start_at = fleet.start_at
    seen.unacknowledged = report.unacknowledged
    expected, scenario = await asyncio.to_thread(_undisturbed, scenario, lives)
    outcome = Outcome(stage.measured)
    verdict = judge(scenario, lives, seen, ledger)
    trial = Trial(lives=lives, seen=seen, expected=expected, verdict=verdict, outcome=outcome)
    outcome.failures += verdict.failures
    _compare(trial, stage, set(hit), unnamed=unnamed)
    _measure(trial)
    return trial


def _undisturbed(scenario: Scenario, lives: list[Life]) -> tuple[Seen, Scenario]:
    """Return what an undisturbed watch says, and the scenario allowing for what that lacks: it is no fault's doing."""
    ledger = Ledger(keep=True)
    seen = run_offline(lives, Watch(classifier=shipped_classifier()), ledger, seed=scenario.seed)
    verdict = judge(scenario, lives, seen, ledger)
    counts = verdict.beat_counts()
    allow = scenario.allow
    share = max(counts["found"] + counts["missed"], 1)
    missed = Counter(event.kind for event in verdict.events if event.status == "missed")
    false = Counter(event.kind for event in verdict.false_alarms)
    allowed = allow.model_copy(
        update={
            # One beat at the edge of a gap may fall on either side.
            "missed_beats": max(allow.missed_beats, (counts["missed"] + 1) / share),
            "extra_beats": max(allow.extra_beats, (counts["extra"] + 1) / share),
            "missed_events": dict(missed | Counter(allow.missed_events)),
            "false_alarms": dict(false | Counter(allow.false_alarms)),
        }
    )
    return seen, scenario.model_copy(update={"allow": allowed})


def _scenario(
    conditions: Conditions,
    straps: list[dict[str, Any]],
    outage: tuple[float, float] | None,
    allow: Mapping[str, Any],
) -> Scenario:
    content: dict[str, Any] = {
        "title": "a fault",
        "seconds": conditions.seconds,
        "team": TEAM,
        "seed": conditions.seed,
        "strap": straps,
        "allow": {"missed_beats": 0.0, **allow},
    }
    if outage is not None:
        begin_s, end_s = (share * conditions.seconds for share in outage)
        content["outage"] = [{"at_s": begin_s, "away_s": end_s - begin_s}]
    return parse_scenario(content, "trial")


async def _disturb(fleet: Fleet, stage: Stage, disturb: Disturb | None) -> None:
    await fleet.started.wait()
    stage.started_at = fleet.start_at[0]
    if disturb is not None:
        await disturb(stage)


async def _enter_troubles(lives: list[Life], fleet: Fleet) -> None:
    await fleet.started.wait()
    for life, start_at in zip(lives, fleet.start_at, strict=True):
        life.enter_troubles(fleet.ledger, start_at)


async def _until_quiet(reader: ScenarioReader) -> None:
    """Wait until nothing new has come for a while and no alarm waits."""
    begun = quiet_since = time.monotonic()
    while (now := time.monotonic()) - begun < _LONGEST_DRAIN_S:
        new = await reader.read()
        heartbeat = await reader.read_monitor()
        if new or heartbeat is None or heartbeat.outbox_waiting or not heartbeat.broker_connected:
            quiet_since = now
        elif now - quiet_since >= _QUIET_S:
            return
        await asyncio.sleep(0.1)


def _compare(trial: Trial, stage: Stage, hit: set[str], *, unnamed: bool) -> None:
    """Hold beats and alarms against those of an undisturbed watch."""
    outcome, seen = trial.outcome, trial.seen
    counts: Counter[str] = Counter()
    for number, life in enumerate(trial.lives):
        athlete, boot = life.strap.athlete, life.strap.boot
        told = _own_beats(seen, athlete, boot)
        wanted = _own_beats(trial.expected, athlete, boot)
        counts["told twice"] += sum(
            count - 1
            for count in Counter(
                b.r_sample for _, b in seen.beats.get(athlete, []) if b.boot == boot
            ).values()
        )
        if athlete in hit:
            continue
        counts["expected"] += len(wanted)
        for r_sample in wanted.keys() | told.keys():
            there, due = told.get(r_sample), wanted.get(r_sample)
            if there is not None and due is not None and there.label == due.label:
                counts["identical"] += 1
            elif there is None and due is not None:
                at = seen.start_at[number] + life.strap.schedule_s(due.known_sample)
                away = any(begin - 2.0 <= at <= over + COMES_BACK_S for begin, over in stage.server_away)
                counts["unwritten" if away else "missing"] += 1
            elif due is None:
                counts["extra"] += 1
            else:
                counts["unnamed" if there is not None and there.label == "unsure" else "renamed"] += 1
    told_unwritten = seen.monitor.unwritten.get("beats", 0) if seen.monitor is not None else 0
    told_unnamed = seen.monitor.beats_unnamed if seen.monitor is not None else 0
    left_out = seen.monitor.left_out if seen.monitor is not None else {}
    relieved = sum(count for name, count in left_out.items() if name != "waveforms")
    if counts["renamed"] <= relieved:
        # A machine with too much to do, which the monitor tells, leaves usual beats as they are.
        counts["renamed under load"] = counts.pop("renamed", 0)
    wrong = ["missing", "extra", "renamed"] + ([] if unnamed else ["unnamed"])
    outcome.failures += [f"{counts[name]} beats {name}" for name in wrong if counts[name]]
    if counts["unwritten"] > told_unwritten:
        outcome.failures.append(f"{counts['unwritten']} beats unwritten, told are {told_unwritten}")
    if unnamed and counts["unnamed"] > told_unnamed:
        outcome.failures.append(f"{counts['unnamed']} beats unnamed, told are {told_unnamed}")
    outcome.measured["beats"] = {name: count for name, count in sorted(counts.items()) if count}
    _compare_alarms(trial, hit)


def _compare_alarms(trial: Trial, hit: set[str]) -> None:
    transitions = Counter((alarm.identity, alarm.transition) for _, alarm in trial.seen.alarms)
    twice = sum(count - 1 for count in transitions.values())
    if twice:
        trial.outcome.failures.append(f"{twice} transitions of alarms are told twice")
    # Whoever is nobody's athlete, such as a hostile sender's, is not judged.
    ours = {life.strap.athlete for life in trial.lives} - hit
    told, wanted = (_raised(seen, ours) for seen in (trial.seen, trial.expected))
    for name, difference in (("missing", wanted - told), ("extra", told - wanted)):
        trial.outcome.failures += [f"alarm {name}: {alarm}" for alarm in sorted(difference)]
    trial.outcome.measured["alarms"] = {
        "raised": sum(transition == "raised" for _, transition in transitions),
        "of the heart, as undisturbed": len(told & wanted),
    }


def _raised(seen: Seen, ours: set[str]) -> set[tuple[str, int, str, int]]:
    return {
        (alarm.athlete, alarm.boot, alarm.kind, alarm.episode)
        for _, alarm in seen.alarms
        if _is_of_the_heart(alarm) and alarm.athlete in ours
    }


def _is_of_the_heart(alarm: Alarm) -> bool:
    return alarm.transition == "raised" and not alarm.technical


def _own_beats(seen: Seen, athlete: str, boot: int) -> dict[int, BeatEntry]:
    return {beat.r_sample: beat for _, beat in seen.beats.get(athlete, []) if beat.boot == boot}


def _measure(trial: Trial) -> None:
    verdict, measured = trial.verdict, trial.outcome.measured
    statuses = Counter(event.status for event in verdict.events)
    accounts = verdict.accounts
    measured["events"] = dict(sorted(statuses.items())) | {"false": len(verdict.false_alarms)}
    measured["packets"] = {
        "made": sum(account.packets for account in accounts),
        "taken": sum(account.taken for account in accounts),
        "counted lost": sum(account.counted_lost for account in accounts),
        "sent again": sum(account.resent for account in accounts),
        "unaccounted": sum(account.difference for account in accounts),
    }
    if trial.seen.monitor is not None:
        measured["told"] = {
            name: told
            for name, told in (
                ("unwritten", trial.seen.monitor.unwritten),
                ("unsaved", trial.seen.monitor.unsaved),
                ("refused", trial.seen.monitor.refused),
                ("unnamed", trial.seen.monitor.beats_unnamed),
                ("left out", trial.seen.monitor.left_out),
            )
            if told
        }
