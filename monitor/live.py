"""The monitor, live: packets in at one end, beats and alarms out at the other, the watch between them.

The event loop only moves bytes; one compute thread owns the watch and all its banks. Each tick takes what has
arrived, runs the watch over it in that thread and hands the result to the writer, which sends whatever has gathered
since its last round trip. Nothing here waits for the server: while it is away, alarms wait in the outbox, beats while
there is room, and the rest is dropped and counted.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Final, Protocol

import msgspec
import structlog

from monitor.allocator import give_back
from monitor.canary import canary
from monitor.contract import Alarm
from monitor.evidence_log import KeptStretch
from monitor.live_state import CANARY_EVERY_S, AthleteState, BeatEntry, MonitorState
from monitor.overload import STEPS, LoadGovernor
from monitor.recovery.folder import RecoveryFolder
from monitor.recovery.resume import LOOKED_FOR_S, Resumption
from monitor.recovery.rows import Snapshot
from monitor.responses import AuditEntry, Command
from monitor.review_queue import ReviewQueue
from monitor.scratch_file import ScratchFile
from monitor.settings_watch import LiveSettings, SettingsChange
from monitor.sinks.batch import SinkBatch
from monitor.sinks.held_beats import not_yet_written
from monitor.sources import Arrival, Source
from monitor.watch import Key, Watch

HEARTBEAT_EVERY_S: Final = 1.0
WATCHED_EVERY_S: Final = 0.5
IDLE_TICK_S: Final = 0.25
"""Without arrivals the watch is still moved on this often: silence has to be noticed."""
FAREWELL_S: Final = 1.0
SETTINGS_EVERY_S: Final = 1.0
SNAPSHOT_EVERY_S: Final = 10.0
GIVE_BACK_EVERY_S: Final = 10.0
_MOST_BEATS: Final = 100_000
_MOST_WAVES: Final = 5_000
_MOST_EVIDENCE: Final = 100
_MOST_KEPT: Final = 10_000

_log = structlog.stdlib.get_logger(__name__)


class BatchSink(Protocol):
    """What the monitor needs of a sink, see `monitor.sinks.RedisSink`."""

    async def write(self, batch: SinkBatch) -> None:
        """Send a batch, or keep its alarms for later."""
        ...

    async def watched(self) -> set[tuple[str, str]]:
        """Return whose waveforms somebody looks at."""
        ...

    def acknowledgements(self, *, since: float | None = None) -> AsyncIterator[Alarm]:
        """Yield what others have acknowledged."""
        ...

    async def last_beats(self, athletes: Iterable[Key]) -> dict[Key, BeatEntry]:
        """Return the last beat that was written of each athlete."""
        ...

    @property
    def alarms_safe(self) -> bool:
        """Whether no alarm waits in memory alone."""
        ...

    def commands(self) -> AsyncIterator[Command]:
        """Yield what others want of all monitors."""
        ...

    @property
    def outbox_waiting(self) -> int:
        """Alarms that wait for the server."""
        ...

    @property
    def dropped(self) -> Mapping[str, int]:
        """What was not written, by name."""
        ...

    @property
    def unsaved_alarms(self) -> int:
        """Alarms that the disk did not take."""
        ...


class LiveMonitor:
    """Runs a watch between a source and a sink.

    Parameters
    ----------
    source : Source
        Entered already, and entered last: packets arrive from now on.
    sink : BatchSink
        Where results go.
    watch : Watch
        Warm already, so that no packet waits for a compiler.
    monitor_id : str
        Name in the heartbeat.
    model, settings_hash : str
        What decides, for the heartbeat.
    tick_s : float
        How often arrivals are taken, in seconds.
    recovery : RecoveryFolder, optional
        Where snapshots go; its journal is the source's.
    resumption : Resumption, optional
        What the watch went on from.
    live_settings : LiveSettings, optional
        Tells when somebody has changed the settings.
    """

    def __init__(
        self,
        *,
        source: Source,
        sink: BatchSink,
        watch: Watch,
        monitor_id: str,
        model: str,
        settings_hash: str,
        tick_s: float,
        recovery: RecoveryFolder | None = None,
        resumption: Resumption | None = None,
        live_settings: LiveSettings | None = None,
    ) -> None:
        self._source = source
        self._sink = sink
        self._watch = watch
        self._monitor_id = monitor_id
        self._model = model
        self._settings_hash = settings_hash
        self._tick_s = tick_s
        self._recovery = recovery
        self._resumption = resumption
        self._resumed = resumption.sentence() if resumption is not None else ""
        self._started_at = time.time()
        self._canary_at = self._started_at
        self._begun = time.monotonic()
        self._live_settings = live_settings
        self._changes: list[SettingsChange] = []
        self._acknowledged: list[Alarm] = []
        self._commands: list[Command] = []
        self._watched: set[Key] = set()
        self._failures_told = 0
        self._oldest_at: float | None = None
        self.load = LoadGovernor()
        self._safe = _Safe()
        self._outgoing = _Outgoing(self._safe)
        self._computing: asyncio.Future[SinkBatch] | None = None
        self._compute = ThreadPoolExecutor(max_workers=1, thread_name_prefix="compute")
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="snapshots")

    async def run(self, on_heartbeat: Callable[[MonitorState], None] | None = None) -> None:
        """Run until cancelled; what is under way is then finished and sent, for at most `FAREWELL_S`.

        Parameters
        ----------
        on_heartbeat : callable, optional
            Called with every heartbeat.
        """
        if self._resumption is not None:
            await self._tell_again(self._resumption)
        tasks = [
            asyncio.create_task(self._write(), name="writer"),
            asyncio.create_task(self._make_safe(), name="alarms"),
            asyncio.create_task(self._hear_acknowledgements(), name="acknowledgements"),
            asyncio.create_task(self._hear_commands(), name="commands"),
            asyncio.create_task(self._mind_settings(), name="settings"),
            asyncio.create_task(self._see_who_watches(), name="watched"),
            asyncio.create_task(self._beat(on_heartbeat), name="heartbeat"),
            asyncio.create_task(self._give_back(), name="memory"),
            asyncio.create_task(self._tick(), name="ticks"),
        ]
        sound = False
        try:
            # None of them ends by itself; one that a library's stray cancellation ended must not be gone unnoticed.
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        except asyncio.CancelledError:
            sound = True
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            try:
                await self._farewell(look_once_more=sound)
            finally:
                self._compute.shutdown(wait=False, cancel_futures=True)
                self._disk.shutdown()

    def now(self) -> float:
        """Return the Unix time in seconds, on a clock that only moves forward."""
        return self._started_at + (time.monotonic() - self._begun)

    async def _tick(self) -> None:
        idle_since = time.monotonic()
        while True:
            await asyncio.sleep(0.0 if self._watch.behind else self._tick_s)
            idle = time.monotonic() - idle_since >= IDLE_TICK_S
            if await self._once(even_if_idle=idle or self._watch.behind):
                idle_since = time.monotonic()

    async def _once(self, *, even_if_idle: bool = True) -> bool:
        arrivals = self._source.take()
        # Everything up to here has been taken, now or before: nothing can come in between.
        position = self._recovery.journal.position if self._recovery is not None else -1
        acknowledged, self._acknowledged = self._acknowledged, []
        commands, self._commands = self._commands, []
        if not (arrivals or acknowledged or commands or even_if_idle):
            return False
        # Here, as all that the event loop adds to: in the other thread one might be added to the list just taken.
        changes, self._changes = self._changes, []
        run = partial(
            self._run_watch,
            arrivals,
            acknowledged,
            commands,
            changes,
            watched=frozenset(self._watched),
            drops=self._source.take_drops(),
            now=self.now(),
            position=position,
        )
        self._computing = asyncio.get_running_loop().run_in_executor(self._compute, run)
        # Whoever waits for it may be told to end meanwhile; what it brings is sent all the same.
        self._computing.add_done_callback(self._collect)
        await asyncio.shield(self._computing)
        return True

    def _collect(self, computed: "asyncio.Future[SinkBatch]") -> None:
        if not computed.cancelled() and computed.exception() is None:
            self._outgoing.add(computed.result())

    async def _farewell(self, *, look_once_more: bool) -> None:
        """Send what is under way; each of the two steps has half of `FAREWELL_S`."""
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S / 2):
                if self._computing is not None:
                    await asyncio.wait({self._computing})
                if look_once_more:
                    await self._once()
        with suppress(TimeoutError):
            async with asyncio.timeout(FAREWELL_S / 2):
                if look_once_more:
                    self._outgoing.add(SinkBatch(monitor=msgspec.structs.replace(self.state(), ended=True)))
                await asyncio.gather(self._sink.write(self._outgoing.take()), self._send_safe())

    def _run_watch(
        self,
        arrivals: list[Arrival],
        acknowledged: list[Alarm],
        commands: list[Command],
        changes: list[SettingsChange],
        *,
        watched: frozenset[Key],
        drops: Mapping[Key, int],
        now: float,
        position: int,
    ) -> SinkBatch:
        begun_at = min((arrival.arrived_at for arrival in arrivals), default=None)
        self._oldest_at = begun_at if self._oldest_at is None else self._oldest_at
        for arrival in arrivals:
            self._watch.receive(arrival.topic, arrival.payload, now)
            arrival.ack()
        for alarm in acknowledged:
            self._watch.acknowledge(alarm, now)
        for command in commands:
            self._watch.command(command, now)
        audit = [entry for change in changes for entry in self._apply(change, now)]
        self._watch.dropped(drops)
        batch = self._watch.tick(now, watched)
        self._mind_load()
        batch.audit += audit
        if now - self._canary_at >= CANARY_EVERY_S:
            # Sent by the thread that raises alarms: when it is stuck, so is the canary.
            self._canary_at = now
            batch.alarms.append(canary(self._monitor_id, now, since=self._started_at))
        if self._resumption is not None and now - self._resumption.at >= LOOKED_FOR_S:
            batch.audit += self._missed(self._resumption, now)
            self._resumption = None
        if self._recovery is not None:
            batch.snapshots = [
                Snapshot(*key, position, now, state)
                for key, state in self._watch.export_due(now, SNAPSHOT_EVERY_S).items()
            ]
        return batch

    def _mind_load(self) -> None:
        """Leave things out, or do them again, by how late this tick was."""
        late_s = 0.0 if self._oldest_at is None else time.time() - self._oldest_at
        if not self._watch.behind:
            self._oldest_at = None
        before = self.load.step
        step = self.load.look(late_s, time.monotonic())
        if step != before:
            self._watch.relieve(step)
            tell = _log.warning if step > before else _log.info
            tell(
                "too much to do" if step > before else "more is done again",
                left_out=STEPS[step],
                late_s=late_s,
            )

    async def _tell_again(self, resumption: Resumption) -> None:
        """Hand on what packets from before a restart brought; what stands in the server already adds nothing."""
        batch = resumption.batch
        written = await self._sink.last_beats({(team, athlete) for team, athlete, _ in batch.beats})
        batch.beats = not_yet_written(batch.beats, written)
        _log.info("resumed", found=self._resumed or "nothing to resume")
        if self._resumed:
            by = f"monitor {self._monitor_id}"
            for team in sorted({team for team, _ in resumption.athletes}):
                batch.audit.append(
                    AuditEntry(at=resumption.at, team=team, by=by, action="restart", detail=self._resumed)
                )
        self._outgoing.add(batch)

    def _missed(self, resumption: Resumption, now: float) -> list[AuditEntry]:
        entries = resumption.missed(self._watch, now, by=f"monitor {self._monitor_id}")
        if resumption.athletes:
            self._resumed += f"; of {len(entries)} athletes signal was missed"
        for entry in entries:
            _log.warning("missed", team=entry.team, athlete=entry.athlete, what=entry.detail)
        return entries

    async def _write(self) -> None:
        while True:
            await self._outgoing.something.wait()
            batch = self._outgoing.take()
            await self._sink.write(batch)
            # The beats that are in a snapshot's past are written: it may stand for them.
            self._safe.add([], batch.snapshots)

    async def _make_safe(self) -> None:
        while True:
            await self._safe.something.wait()
            await self._send_safe()

    async def _send_safe(self) -> None:
        """Hand on alarms, which wait for the disk; beats do not wait with them."""
        alarms, snapshots = self._safe.take()
        kept, self._safe.kept = self._safe.kept, []
        try:
            if alarms:
                await self._sink.write(SinkBatch(alarms=alarms))
        except BaseException:
            # Perhaps not safe yet; an alarm that is told twice stands once in the Stream.
            self._safe.return_alarms(alarms)
            raise
        # Once the alarms are safe, what it was that raised them may be forgotten.
        if snapshots and self._recovery is not None and self._sink.alarms_safe:
            save = self._recovery.rows.save
            await asyncio.get_running_loop().run_in_executor(self._disk, save, snapshots)
        if kept:
            scratch = self._recovery.scratch if self._recovery is not None else None
            await asyncio.get_running_loop().run_in_executor(self._disk, _pack, kept, scratch)

    async def _hear_acknowledgements(self) -> None:
        since = self._resumption.acknowledged_since if self._resumption is not None else None
        async for alarm in self._sink.acknowledgements(since=since):
            self._acknowledged.append(alarm)

    async def _hear_commands(self) -> None:
        async for command in self._sink.commands():
            self._commands.append(command)

    async def _mind_settings(self) -> None:
        while True:
            await asyncio.sleep(SETTINGS_EVERY_S)
            if self._live_settings is None:
                continue
            change = await asyncio.to_thread(self._live_settings.check)
            if change is not None:
                self._changes.append(change)

    def _apply(self, change: SettingsChange, now: float) -> list[AuditEntry]:
        for action, whose, detail in change.notes:
            _log.warning(action, by=change.by, athlete=whose, detail=detail)
        if change.limits_of is not None:
            self._watch.change_settings(change.limits_of, change.rules, change.settings_hash, now)
            self._settings_hash = change.settings_hash
        return change.audit(self._watch.teams(), now)

    async def _see_who_watches(self) -> None:
        while True:
            self._watched = await self._sink.watched()
            await asyncio.sleep(WATCHED_EVERY_S)

    async def _give_back(self) -> None:
        while True:
            await asyncio.sleep(GIVE_BACK_EVERY_S)
            await asyncio.get_running_loop().run_in_executor(self._disk, give_back)

    async def _beat(self, on_heartbeat: Callable[[MonitorState], None] | None) -> None:
        while True:
            state = self.state()
            self._outgoing.add(SinkBatch(monitor=state))
            self._tell_failures()
            if on_heartbeat is not None:
                on_heartbeat(state)
            await asyncio.sleep(HEARTBEAT_EVERY_S)

    def _tell_failures(self) -> None:
        naming = self._watch.naming
        # The first, then each time their number has doubled.
        if naming.failures.bit_length() != self._failures_told.bit_length():
            self._failures_told = naming.failures
            _log.error(
                "the classifier fails; beats are not named, ventricular runs are not seen",
                reason=naming.reason,
                failures=naming.failures,
                unnamed=naming.unnamed,
            )

    def state(self) -> MonitorState:
        """Return how the monitor is."""
        counters = self._watch.counters
        refused = dict(self._source.refused)
        for reason, count in counters.refused.items():
            refused[reason] = refused.get(reason, 0) + count
        return MonitorState(
            monitor_id=self._monitor_id,
            at=self.now(),
            started_at=self._started_at,
            athletes=self._watch.athletes,
            packets_received=counters.packets,
            packets_lost=self._watch.lost_packets(),
            packets_refused=sum(refused.values()),
            packets_dropped=self._source.dropped,
            samples=counters.samples,
            beats=counters.beats,
            alarms=counters.alarms,
            broker_connected=self._source.connected,
            outbox_waiting=self._sink.outbox_waiting,
            model=self._model,
            settings_hash=self._settings_hash,
            refused=refused,
            resumed=self._resumed,
            unwritten=self._unwritten(),
            unsaved=self._unsaved(),
            beats_unnamed=self._watch.naming.unnamed,
            relief=self.load.step,
            late_s=round(self.load.late_s, 3),
            left_out={what: count for what, count in self._watch.left_out.items() if count},
        )

    def _unwritten(self) -> dict[str, int]:
        overflow = {"overflow": self._outgoing.dropped} if self._outgoing.dropped else {}
        return {**self._sink.dropped, **overflow}

    def _unsaved(self) -> dict[str, int]:
        counts = {"alarms": self._sink.unsaved_alarms}
        if self._recovery is not None:
            counts |= {"packets": self._recovery.journal.unsaved, "snapshots": self._recovery.rows.failures}
        return {name: count for name, count in counts.items() if count}


def _pack(kept: list[KeptStretch], scratch: ScratchFile | None) -> None:
    for stretch in kept:
        stretch.pack(scratch)


class _Safe:
    """What waits for the disk: alarms, and snapshots whose alarms all came before them."""

    def __init__(self) -> None:
        self.something = asyncio.Event()
        self._alarms: list[Alarm] = []
        self._snapshots: dict[Key, Snapshot] = {}
        self.kept: list[KeptStretch] = []

    def add(self, alarms: list[Alarm], snapshots: list[Snapshot]) -> None:
        self._alarms += alarms
        for snapshot in snapshots:
            self._snapshots[snapshot.team, snapshot.athlete] = snapshot
        if self._alarms or self._snapshots or self.kept:
            self.something.set()

    def return_alarms(self, alarms: list[Alarm]) -> None:
        self._alarms[:0] = alarms

    def take(self) -> tuple[list[Alarm], list[Snapshot]]:
        taken = self._alarms, list(self._snapshots.values())
        self._alarms, self._snapshots = [], {}
        self.something.clear()
        return taken


class _Outgoing:
    """What waits for the writer: bounded, and the newest state of each athlete only; alarms go to `safe`."""

    def __init__(self, safe: _Safe) -> None:
        self.something = asyncio.Event()
        self.dropped = 0
        self._safe = safe
        self._batch = SinkBatch()
        self._states: dict[Key, AthleteState] = {}
        self._snapshots: dict[Key, Snapshot] = {}
        self._reviews: dict[tuple[str, str, int], ReviewQueue] = {}

    def add(self, batch: SinkBatch) -> None:
        if not batch:
            return
        waiting = self._batch
        waiting.beats += batch.beats
        waiting.waves += batch.waves
        # One that nobody packs costs memory, nothing else.
        self._safe.kept = [*self._safe.kept, *batch.kept][-_MOST_KEPT:]
        self._safe.add(batch.alarms, [])
        waiting.audit += batch.audit
        waiting.evidence = [*waiting.evidence, *batch.evidence][:_MOST_EVIDENCE]
        for snapshot in batch.snapshots:
            self._snapshots[snapshot.team, snapshot.athlete] = snapshot
        waiting.monitor = batch.monitor or waiting.monitor
        for review in batch.reviews:
            self._reviews[review.team, review.athlete, review.boot] = review
        for state in batch.states:
            self._states[state.team, state.athlete] = state
        for waits, most in ((waiting.beats, _MOST_BEATS), (waiting.waves, _MOST_WAVES)):
            if len(waits) > most:
                self.dropped += len(waits) - most
                del waits[: len(waits) - most]
        self.something.set()

    def take(self) -> SinkBatch:
        batch, self._batch = self._batch, SinkBatch()
        batch.states = list(self._states.values())
        self._states.clear()
        batch.reviews = list(self._reviews.values())
        self._reviews.clear()
        batch.snapshots = list(self._snapshots.values())
        self._snapshots.clear()
        self.something.clear()
        return batch
