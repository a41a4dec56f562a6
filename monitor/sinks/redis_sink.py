"""The monitor's output to Redis or Valkey: live state as it comes, alarms without fail.

States and waveforms of a time when the server is away are dropped and counted: they are about now. Beats wait while
there is room for them. Alarms wait in the outbox and go out in order when it is back; what they can be raised again
from waits beside it.
"""

import asyncio
import hashlib
import socket
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Final, Self

import structlog
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MasterDownError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from monitor.backoff import Backoff
from monitor.cancellation import end
from monitor.contract import Alarm
from monitor.evidence_log import KeptEvidence
from monitor.live_state import CANARY_TEAM, PREFIX, TEAMS_KEY, BeatEntry
from monitor.responses import Command
from monitor.review_queue import ReviewQueue
from monitor.sinks.alarm_script import AlarmScript
from monitor.sinks.alarm_tail import acknowledgements, follow_commands
from monitor.sinks.batch import SinkBatch
from monitor.sinks.connection import open_redis, shown_url
from monitor.sinks.evidence import store_evidence
from monitor.sinks.evidence_shelf import EvidenceShelf
from monitor.sinks.held_beats import HeldBeats, not_yet_written
from monitor.sinks.live_writer import LiveWriter
from monitor.sinks.outbox import Outbox, Waiting
from monitor.sinks.review import store_reviews

_WATCHED_EVERY_S: Final = 1.0
_GREETING_S: Final = 1.0
_FAREWELL_S: Final = 1.0
_ALARMS_AT_ONCE: Final = 64
_BEATS_AT_ONCE: Final = 1_000
_WAVES: Final = f"{PREFIX}wave:"
# Never written: only removed, in vain, to see whether the server takes writes.
_NOTHING: Final = f"{PREFIX}nothing"

_log = structlog.stdlib.get_logger(__name__)


class RedisSink:
    """Writes what the monitor knows; entered as an asynchronous context manager.

    Parameters
    ----------
    url : str
        See `monitor.sinks.open_redis`.
    outbox : Outbox
        Where alarms wait; the sink does not close it.
    on_connection : callable or None
        Called with True when the server answers, with False when it no longer does.

    Raises
    ------
    SettingsError
        If `url` is none.
    """

    def __init__(
        self, url: str, *, outbox: Outbox, on_connection: Callable[[bool], None] | None = None
    ) -> None:
        self._shown = shown_url(url)
        self._client = open_redis(url)
        self._outbox = outbox
        self._shelf = EvidenceShelf(outbox.path.with_name(f"{outbox.path.stem}-evidence"))
        self._on_connection = on_connection
        self._script = AlarmScript(self._client)
        # Two monitors never share an outbox, and one that starts again has the same.
        name = f"{socket.gethostname()}:{outbox.path.resolve()}"
        self._live = LiveWriter(self._client, hashlib.sha256(name.encode()).hexdigest()[:16])
        # SQLite waits for the disk; the event loop must not.
        self._disk = ThreadPoolExecutor(max_workers=1, thread_name_prefix="outbox")
        self._dropped: Counter[str] = Counter()
        self._held = HeldBeats()
        self._alarms_added = 0
        self._heard: asyncio.Queue[Alarm | asyncio.Task[None]] = asyncio.Queue()
        self._connected = False
        self._tried = asyncio.Event()
        self._lost = asyncio.Event()
        self._alarms_wait = asyncio.Event()
        self._evidence_waits = asyncio.Event()
        self._announced: set[str] = set()
        self._watched: set[tuple[str, str]] = set()
        self._watched_at = -_WATCHED_EVERY_S
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def connected(self) -> bool:
        """Whether the server answered last time."""
        return self._connected

    @property
    def dropped(self) -> Mapping[str, int]:
        """What was not written (beats, states, heartbeats, alarms and so on), counted by name."""
        return self._dropped

    @property
    def alarms_added(self) -> int:
        """Transitions of alarms that this sink has added to a Stream."""
        return self._alarms_added

    @property
    def outbox_waiting(self) -> int:
        """Alarms that wait for the server."""
        return len(self._outbox)

    @property
    def unsaved_alarms(self) -> int:
        """Alarms that the disk did not take, since the outbox was opened."""
        return self._outbox.counts.unsaved

    @property
    def alarms_safe(self) -> bool:
        """Whether all alarms that wait are on disk."""
        return self._outbox.all_safe

    async def last_beats(self, athletes: Iterable[tuple[str, str]]) -> dict[tuple[str, str], BeatEntry]:
        """Return the last beat that stands in each athlete's Stream; nothing while the server is away."""
        if self._connected:
            try:
                return await self._live.last_beats(athletes)
            except (RedisError, OSError) as error:
                self._report_failure(error)
        return {}

    async def write(self, batch: SinkBatch) -> None:
        """Write a batch: alarms to the outbox, and on from there; all else in one round trip, or not at all.

        Beats wait for a server that is away, as many as there is room for. It raises for nothing the server does, and
        never waits long for one that is away.
        """
        for task in self._tasks:
            if task.done():
                task.result()
        if batch.alarms:
            await self._on_disk(self._outbox.put, batch.alarms)
            self._alarms_wait.set()
        await self._write_live(batch)
        if batch.evidence:
            await self._keep_evidence(batch.evidence)
        if batch.reviews:
            await self._tell_reviews(batch.reviews)

    async def _write_live(self, batch: SinkBatch) -> None:
        if not (batch.beats or batch.states or batch.waves or batch.monitor or batch.audit):
            return
        await self._write_held()
        if not self._connected:
            self._set_aside(batch)
            return
        try:
            refused = await self._live.write(batch)
        except (RedisError, OSError) as error:
            self._set_aside(batch)
            self._report_lost(error)
            return
        if refused:
            self._count_refused(refused)

    async def _write_held(self) -> None:
        """Write the beats that waited while the server was away, some at a time."""
        while len(self._held) and self._connected:
            held = self._held.oldest(_BEATS_AT_ONCE)
            try:
                # Of what was under way when the server went, nobody knows how much it took.
                written = await self._live.last_beats({(team, athlete) for team, athlete, _ in held})
                refused = await self._live.write(SinkBatch(beats=not_yet_written(held, written)))
            except (RedisError, OSError) as error:
                self._report_lost(error)
                return
            self._held.let_go(len(held))
            if refused:
                self._count_refused(refused)

    async def _tell_reviews(self, reviews: list[ReviewQueue]) -> None:
        reviews = [review for review in reviews if self._live.writes(review.team, review.athlete)]
        if self._connected and reviews:
            try:
                await store_reviews(self._client, reviews)
            except (RedisError, OSError) as error:
                self._report_failure(error)
            else:
                return
        # In a minute all of it is told again.
        self._dropped["reviews"] += len(reviews)

    async def _keep_evidence(self, evidence: list[KeptEvidence]) -> None:
        """Store evidence; what the server does not take at once waits on disk."""
        try:
            packed = await asyncio.to_thread(lambda: [found.packed() for found in evidence])
        except OSError as error:
            self._dropped["evidence"] += len(evidence)
            _log.error("evidence cannot be read from the disk", reason=str(error), alarms=len(evidence))
            return
        if self._connected:
            try:
                await store_evidence(self._client, packed)
            except (RedisError, OSError) as error:
                self._report_failure(error)
            else:
                return
        lost = await self._on_disk(self._shelf.put, packed)
        if lost:
            self._dropped["evidence"] += lost
        self._evidence_waits.set()

    async def _send_evidence(self) -> None:
        """Send what waits on disk whenever the server is there."""
        backoff = Backoff()
        while True:
            await self._evidence_waits.wait()
            self._evidence_waits.clear()
            while self._connected and (oldest := await self._on_disk(self._shelf.oldest)) is not None:
                path, packed = oldest
                try:
                    await store_evidence(self._client, [packed])
                except (RedisError, OSError) as error:
                    self._report_failure(error)
                    await asyncio.sleep(backoff.next_wait_s())
                else:
                    backoff.succeeded()
                    await self._on_disk(self._shelf.remove, path)

    async def watched(self) -> set[tuple[str, str]]:
        """Return the athletes, as (team, athlete), whose waveform somebody listens to.

        The server is asked about once a second; in between, and while it is away, the last answer or none is
        returned. Only those who subscribe to a channel by name are seen, not those who subscribe to a pattern.
        """
        now = time.monotonic()
        if not self._connected:
            self._watched = set()
        elif now - self._watched_at >= _WATCHED_EVERY_S:
            self._watched_at = now
            try:
                channels: Any = await self._client.pubsub_channels(f"{_WAVES}*")
            except (RedisError, OSError) as error:
                self._watched = set()
                self._report_failure(error)
            else:
                self._watched = {found for channel in channels if (found := _whose_wave(channel)) is not None}
        return self._watched

    async def acknowledgements(self, *, since: float | None = None) -> AsyncIterator[Alarm]:
        """Yield what others acknowledge, in each team's order, for as long as it is iterated.

        Where an alarm that we raise turns out to be acknowledged already, that is yielded, too.

        Parameters
        ----------
        since : float or None
            Unix time, in seconds by the server's clock, from which to begin; None begins now.
        """
        following = asyncio.create_task(self._follow_acknowledgements(since), name="redis-acknowledgements")
        following.add_done_callback(self._heard.put_nowait)
        try:
            while (heard := await self._heard.get()) is not following:
                # Another task than ours is one that has ended before.
                if isinstance(heard, Alarm):
                    yield heard
            following.result()
        finally:
            await end(following)

    async def _follow_acknowledgements(self, since: float | None) -> None:
        async for alarm in acknowledgements(self._client, since=since):
            self._heard.put_nowait(alarm)

    async def commands(self, *, since: float | None = None) -> AsyncIterator[Command]:
        """Yield what others want of all monitors, see `acknowledgements`."""
        async for command in follow_commands(self._client, since=since):
            yield command

    async def drained(self, within_s: float) -> bool:
        """Wait until no alarm waits, at most `within_s` seconds; return whether that is so."""
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                while len(self._outbox):  # noqa: ASYNC110 - the outbox lives in another thread and sets no event
                    await asyncio.sleep(0.01)
        return not len(self._outbox)

    async def __aenter__(self) -> Self:
        if len(self._outbox):
            self._alarms_wait.set()
        self._tasks = [
            asyncio.create_task(self._keep_connected(), name="redis-connection"),
            asyncio.create_task(self._send_alarms(), name="redis-alarms"),
            asyncio.create_task(self._send_evidence(), name="redis-evidence"),
        ]
        # With a server that is there, nothing is dropped at the start.
        with suppress(TimeoutError):
            async with asyncio.timeout(_GREETING_S):
                await self._tried.wait()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        if self._connected:
            await self.drained(_FAREWELL_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL_S):
                await self._write_held()
        if len(self._held):
            # Whoever asks afterwards is told.
            self._dropped["beats"] += len(self._held)
            self._held.let_go(len(self._held))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        await self._client.aclose()
        self._disk.shutdown()
        if len(self._outbox):
            _log.warning("alarms stay in the outbox until the next start", waiting=len(self._outbox))
        self._report_connected(connected=False)

    def _set_aside(self, batch: SinkBatch) -> None:
        """Hold the beats of a batch that was not written, and count what of it is dropped."""
        for name, count in (
            ("beats", self._held.hold(batch.beats)),
            ("states", len(batch.states)),
            ("waves", len(batch.waves)),
            ("heartbeats", int(batch.monitor is not None)),
            ("audit", len(batch.audit)),
        ):
            if count:
                self._dropped[name] += count

    def _count_refused(self, refused: list[tuple[str, Exception]]) -> None:
        before = self._dropped.total()
        for name, _ in refused:
            self._dropped[name] += 1
        # The first, then each time their number has doubled: a full server must not fill the log.
        if before.bit_length() != self._dropped.total().bit_length():
            _log.error(
                "the server refuses what is written",
                server=self._shown,
                reason=str(refused[0][1]),
                dropped=dict(self._dropped),
            )
        no_master = next((error for _, error in refused if _says_it_is_no_master(error)), None)
        if no_master is not None:
            self._report_lost(no_master)

    async def _keep_connected(self) -> None:
        backoff = Backoff()
        failures = 0
        while True:
            try:
                await self._greet()
            except (RedisError, OSError) as error:
                self._tried.set()
                failures += 1
                wait_s = backoff.next_wait_s()
                _log.warning(
                    "no Redis, trying again",
                    server=self._shown,
                    reason=str(error),
                    failures=failures,
                    wait_s=round(wait_s, 2),
                    alarms_waiting=len(self._outbox),
                )
                await self._client.connection_pool.disconnect(inuse_connections=False)
                await asyncio.sleep(wait_s)
                continue
            backoff.succeeded()
            failures = 0
            self._lost.clear()
            self._announced.clear()
            self._live.begin()
            self._report_connected(connected=True)
            self._tried.set()
            _log.info("connected to Redis", server=self._shown, alarms_waiting=len(self._outbox))
            self._alarms_wait.set()
            self._evidence_waits.set()
            await self._lost.wait()
            # Idle connections to the server that is gone would each fail once more. Those that are in use are left:
            # they fail by themselves, at the latest with a write to a server that is the master no longer.
            await self._client.connection_pool.disconnect(inuse_connections=False)

    async def _greet(self) -> None:
        """Raise unless the server answers, and is the one that takes writes."""
        # `ping` is typed as either kind of client's.
        answer: Any = self._client.ping()
        await answer
        try:
            await self._client.delete(_NOTHING)
        except ResponseError as error:
            # Full, it is the one all the same: what it refuses is said where it is refused.
            if _says_it_is_no_master(error):
                raise

    async def _send_alarms(self) -> None:
        backoff = Backoff()
        while True:
            await self._alarms_wait.wait()
            self._alarms_wait.clear()
            while len(self._outbox) and self._connected:
                if await self._send_oldest():
                    backoff.succeeded()
                else:
                    await asyncio.sleep(backoff.next_wait_s())

    async def _send_oldest(self) -> bool:
        """Send alarms that wait longest, in order; return False if the server would not take all of them."""
        oldest = await self._on_disk(self._outbox.oldest, _ALARMS_AT_ONCE)
        sent: list[Waiting] = []
        held_teams: set[str] = set()
        all_taken = bool(oldest)
        for waiting, alarm in oldest:
            if alarm.team in held_teams:
                continue
            try:
                await self._send(alarm)
            except (RedisError, OSError) as error:
                all_taken = False
                self._report_failure(error)
                if not _is_one_alarms_fault(error):
                    break
                # Only this team's Stream is amiss; the order within the team is kept, the others go on.
                held_teams.add(alarm.team)
                _log.error(
                    "the server refuses an alarm, trying again", alarm=alarm.identity, reason=str(error)
                )
            else:
                sent.append(waiting)
        if sent:
            await self._on_disk(self._outbox.sent, sent)
        return all_taken

    async def _send(self, alarm: Alarm) -> None:
        if alarm.team not in self._announced and alarm.team != CANARY_TEAM:
            # As `ping` above.
            adding: Any = self._client.sadd(TEAMS_KEY, alarm.team)
            await adding
            self._announced.add(alarm.team)
        addition = await self._script.add(alarm)
        if alarm.transition == "raised" and addition.acknowledged is not None:
            self._heard.put_nowait(addition.acknowledged)
        if addition.added:
            self._alarms_added += 1
        elif addition.outcome == "unknown":
            self._dropped["alarms"] += 1
            _log.error("an acknowledgement of what was never raised is left out", alarm=alarm.identity)

    async def _on_disk(self, call: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._disk, call, *arguments)

    def _report_failure(self, error: Exception) -> None:
        away = isinstance(error, RedisConnectionError | RedisTimeoutError | OSError)
        if away or _says_it_is_no_master(error):
            self._report_lost(error)
        elif not _is_one_alarms_fault(error):
            _log.error(
                "the server refuses", server=self._shown, reason=str(error), alarms_waiting=len(self._outbox)
            )

    def _report_lost(self, error: Exception) -> None:
        if self._connected:
            _log.warning(
                "connection to Redis lost; alarms wait in the outbox, beats while there is room, all else is dropped",
                server=self._shown,
                reason=str(error) or type(error).__name__,
            )
        self._report_connected(connected=False)
        self._lost.set()

    def _report_connected(self, *, connected: bool) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if self._on_connection is not None:
            self._on_connection(connected)


def _is_one_alarms_fault(error: Exception) -> bool:
    # All else that a server says (out of memory, read-only, loading) it says to everybody.
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def _says_it_is_no_master(error: Exception) -> bool:
    # Behind the same address there may be another one by now. One that is loading counts as a connection error.
    return isinstance(error, ReadOnlyError | MasterDownError)


def _whose_wave(channel: bytes) -> tuple[str, str] | None:
    team, closed, athlete = channel.decode(errors="replace").removeprefix(_WAVES).partition("}:")
    if not closed or not team.startswith("{"):
        return None
    return team[1:], athlete
