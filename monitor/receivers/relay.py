"""The relay: a process beside the monitor that carries alarms to receivers, and watches over the monitor itself."""

import asyncio
import os
import socket
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError, ResponseError

from monitor.backoff import Backoff
from monitor.catalogue import CATALOGUE, AlarmRule, Kind
from monitor.live_state import CANARY_TEAM, MONITOR_PATTERN, MonitorState
from monitor.receivers.answers import Answers
from monitor.receivers.group import RECLAIM_AFTER_S, Entry, GroupReader
from monitor.receivers.notice import CALLS, DeliveryError, FollowsUp, Notice, Receiver, notice_of
from monitor.receivers.tail import Tail
from monitor.receivers.told import remember_told, was_told
from monitor.receivers.watchdog import Watchdog
from monitor.responses import RECEIVER_TTL_S, AuditEntry, ReceiverState, receiver_key
from monitor.sinks import AlarmScript, follow_alarms, known_alarms
from monitor.sinks.audit import add_audit, all_teams

LOOK_EVERY_S: Final = 1.0
HEARTBEAT_EVERY_S: Final = 5.0
GIVE_UP_AFTER_S: Final = 24 * 3600.0
"""An entry that a receiver has not taken by then is given up, which is written down."""
_ATTEMPTS: Final = 4
_AT_ONCE: Final = 16
_READ_BACK: Final = 1_000
_WAIT_S: Final = 0.5
_TURN_EVERY_S: Final = 0.5
_TURNS: Final = 4

_log = structlog.stdlib.get_logger(__name__)
_monitors = msgspec.msgpack.Decoder(MonitorState)
_encode = msgspec.msgpack.Encoder().encode


class Served:
    """A receiver, its place in the Streams, and how it fares."""

    def __init__(self, receiver: Receiver, reader: GroupReader) -> None:
        self.receiver = receiver
        self.reader = reader
        self.delivered = 0
        self.failed = 0
        self.trouble = ""
        self.under_way: dict[tuple[bytes, bytes], asyncio.Task[None]] = {}
        self.trimmed: set[tuple[bytes, bytes]] = set()
        self._last: dict[str, asyncio.Task[None]] = {}

    def one_by_one(self, identity: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        """Run `work` once all that was begun for the same alarm has ended, however it has ended."""
        task = asyncio.create_task(_after(self._last.get(identity), work))
        self._last[identity] = task
        task.add_done_callback(partial(self._forget, identity))
        return task

    def _forget(self, identity: str, task: asyncio.Task[None]) -> None:
        if self._last.get(identity) is task:
            del self._last[identity]


class Relay:
    """Carries alarms to receivers until cancelled.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    receivers : sequence of Receiver
        Entered already.
    rules : mapping of kind to AlarmRule
        Say how long alarms may wait for an answer.
    reclaim_after_s : float
        See `monitor.receivers.group.RECLAIM_AFTER_S`.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        receivers: Sequence[Receiver],
        *,
        rules: Mapping[Kind, AlarmRule] = CATALOGUE,
        reclaim_after_s: float = RECLAIM_AFTER_S,
    ) -> None:
        self._client = client
        consumer = f"{socket.gethostname()}-{os.getpid()}"
        self._served = [
            Served(
                receiver,
                GroupReader(
                    client,
                    group=f"receiver:{receiver.name}",
                    consumer=consumer,
                    reclaim_after_s=reclaim_after_s,
                ),
            )
            for receiver in receivers
        ]
        self._reclaim_every_s = min(reclaim_after_s / 2, 10.0)
        self._answers = Answers(rules)
        self._script = AlarmScript(client)
        began_at = time.monotonic()
        self.watchdog = Watchdog(began_at=began_at, unix_offset_s=time.time() - began_at)
        self._direct: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Run until cancelled; a server that is away is tried again for ever."""
        tasks = [asyncio.create_task(self._serve(served)) for served in self._served]
        tasks += [
            asyncio.create_task(self._watch_over()),
            asyncio.create_task(self._hear_canaries()),
            asyncio.create_task(self._await_answers()),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            under_way = [task for served in self._served for task in served.under_way.values()]
            for task in (*tasks, *under_way, *self._direct):
                task.cancel()
            await asyncio.gather(*tasks, *under_way, *self._direct, return_exceptions=True)

    # --- from the Streams to a receiver ------------------------------------------------------------------------------

    async def _serve(self, served: Served) -> None:
        backoff = Backoff()
        reclaimed_at = 0.0
        while True:
            entries: list[Entry] = []
            try:
                if time.monotonic() - reclaimed_at > self._reclaim_every_s:
                    reclaimed_at = time.monotonic()
                    # Before anything that is new: it is older.
                    entries += await served.reader.reclaim()
                    await self._take_trimmed(served)
                entries += await served.reader.read(wait_s=0.0 if entries else _WAIT_S)
            except (RedisError, OSError) as error:
                wait_s = backoff.next_wait_s()
                _log.warning(
                    "no Redis, trying again",
                    receiver=served.receiver.name,
                    reason=str(error),
                    wait_s=round(wait_s, 2),
                )
                await asyncio.sleep(wait_s)
                continue
            backoff.succeeded()
            for entry in entries:
                self._begin(served, entry)
            # One that is slow holds up nobody, many that are slow hold up the reading.
            while len(served.under_way) >= _AT_ONCE:
                await asyncio.wait(served.under_way.values(), return_when=asyncio.FIRST_COMPLETED)

    def _begin(self, served: Served, entry: Entry) -> None:
        place = (entry.stream, entry.entry)
        if place in served.under_way:
            return
        identity = "" if entry.alarm is None else entry.alarm.identity
        task = served.one_by_one(identity, partial(self._handle, served, entry))
        served.under_way[place] = task
        task.add_done_callback(partial(_no_longer, served.under_way, place))

    async def _handle(self, served: Served, entry: Entry) -> None:
        """Deliver what an entry says and acknowledge it; what is not taken stays pending and is tried again later."""
        place = (entry.stream, entry.entry)
        try:
            if await self._is_settled(served, entry):
                await served.reader.done(entry)
            elif place in served.trimmed and entry.alarm is not None:
                await self._give_up(served, entry.alarm.team, entry.alarm.identity)
        except (RedisError, OSError) as error:
            _log.warning(
                "left pending, and delivered again with the same key",
                receiver=served.receiver.name,
                entry=entry.entry.decode(),
                reason=str(error),
            )
        served.trimmed.discard(place)

    async def _is_settled(self, served: Served, entry: Entry) -> bool:
        """Whether nothing has to be done about an entry any more, once it was tried."""
        alarm = entry.alarm
        if alarm is None:
            _log.error("an entry among the alarms cannot be read", entry=entry.entry.decode())
            return True
        calls = alarm.transition in CALLS
        if not calls:
            # The end comes behind all that it is the end of, whoever has that in hand. A call is not kept waiting.
            if not await self._has_its_turn(served, entry):
                return False
            await self._remind(served, alarm.identity)
        if not served.receiver.wants(alarm):
            return True
        age_s = time.time() - int(entry.entry.partition(b"-")[0]) / 1000
        if age_s > GIVE_UP_AFTER_S:
            await self._give_up(served, alarm.team, alarm.identity)
        elif not await self._attempt(served, notice_of(alarm), attempts=_ATTEMPTS):
            return False
        elif calls:
            await self._remember(served, alarm.identity)
        return True

    async def _has_its_turn(self, served: Served, entry: Entry) -> bool:
        for turn in range(_TURNS):
            if turn:
                await asyncio.sleep(_TURN_EVERY_S)
            if await served.reader.is_first(entry):
                return True
        return False

    async def _remember(self, served: Served, identity: str) -> None:
        if not isinstance(served.receiver, FollowsUp):
            return
        try:
            await remember_told(self._client, served.receiver.name, identity)
        except (RedisError, OSError) as error:
            # The receiver knows it until this process ends. That a full server cannot write it down is no reason to
            # call for somebody again and again.
            _log.warning(
                "cannot write down who was told",
                receiver=served.receiver.name,
                alarm=identity,
                reason=str(error),
            )

    async def _remind(self, served: Served, identity: str) -> None:
        if isinstance(served.receiver, FollowsUp) and await was_told(
            self._client, served.receiver.name, identity
        ):
            served.receiver.remember(identity)

    async def _take_trimmed(self, served: Served) -> None:
        for trimmed in served.reader.trimmed():
            place = (trimmed.stream, trimmed.entry)
            if place in served.under_way:
                # We have read it and are at it still.
                served.trimmed.add(place)
            elif trimmed.team != CANARY_TEAM:
                entry = trimmed.entry.decode()
                await self._give_up(
                    served, trimmed.team, trimmed.identity or f"entry {entry}, which has left the Stream"
                )

    async def _attempt(self, served: Served, notice: Notice, *, attempts: int) -> bool:
        backoff = Backoff(first_s=0.5, most_s=30.0)
        for attempt in range(attempts):
            if attempt:
                await asyncio.sleep(backoff.next_wait_s())
            try:
                await served.receiver.deliver(notice)
            except DeliveryError as error:
                served.failed += 1
                served.trouble = str(error)
                _log.warning(
                    "not delivered, trying again",
                    receiver=served.receiver.name,
                    alarm=notice.key,
                    reason=str(error),
                )
            else:
                served.delivered += 1
                served.trouble = ""
                return True
        return False

    async def _give_up(self, served: Served, team: str, identity: str) -> None:
        _log.error("given up: never delivered", receiver=served.receiver.name, alarm=identity)
        entry = AuditEntry(
            at=time.time(),
            team=team,
            by=f"receiver {served.receiver.name}",
            action="undelivered",
            detail=identity,
        )
        with suppress(RedisError, OSError):
            pipeline: Any = self._client.pipeline(transaction=False)
            add_audit(pipeline, [entry])
            await pipeline.execute()

    # --- the monitor's own life --------------------------------------------------------------------------------------

    async def _watch_over(self) -> None:
        told_at = 0.0
        while True:
            try:
                await look(self._client, self.watchdog)
                if time.monotonic() - told_at >= HEARTBEAT_EVERY_S:
                    told_at = time.monotonic()
                    await self._tell_own_life()
                await self._tell_unanswered()
            except (RedisError, OSError) as error:
                _log.warning("the server does not answer", reason=str(error))
            for alarm in self.watchdog.tick(time.monotonic()):
                _log.error("monitoring", transition=alarm.transition, what=alarm.message)
                for served in self._served:
                    # Past the server, which may be what is lost.
                    work = partial(self._deliver_directly, served, notice_of(alarm))
                    task = served.one_by_one(alarm.identity, work)
                    self._direct.add(task)
                    task.add_done_callback(self._direct.discard)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _deliver_directly(self, served: Served, notice: Notice) -> None:
        if not served.receiver.wants(notice.alarm):
            return
        if not await self._attempt(served, notice, attempts=100):
            _log.error("given up: never delivered", receiver=served.receiver.name, alarm=notice.key)

    async def _hear_canaries(self) -> None:
        """Let the watchdog hear every test alarm: of a group each instance would hear only its share."""
        backoff = Backoff()
        tail = Tail(self._client, [CANARY_TEAM])
        while True:
            try:
                for entry in await tail.read(wait_s=_WAIT_S):
                    if entry.alarm is not None:
                        self.watchdog.canary(entry.alarm.athlete, time.monotonic())
            except (RedisError, OSError):
                # The other tasks say so.
                await asyncio.sleep(backoff.next_wait_s())
            else:
                backoff.succeeded()

    async def _tell_own_life(self) -> None:
        for served in self._served:
            state = ReceiverState(
                name=served.receiver.name,
                at=time.time(),
                delivered=served.delivered,
                failed=served.failed,
                waiting=await served.reader.waiting(),
                canary_age_s=self.watchdog.canary_age_s(time.monotonic()),
                trouble=served.trouble,
            )
            await self._client.set(receiver_key(state.name), _encode(state), ex=RECEIVER_TTL_S)

    # --- what nobody answers -----------------------------------------------------------------------------------------

    async def _await_answers(self) -> None:
        backoff = Backoff()
        while True:
            try:
                since = float((await self._client.time())[0])
                for team in await all_teams(self._client):
                    for alarm in reversed(await known_alarms(self._client, team, at_most=_READ_BACK)):
                        self._answers.take(alarm, min(alarm.at, since))
                break
            except (RedisError, OSError):
                # The other tasks say so.
                await asyncio.sleep(backoff.next_wait_s())
        async for alarm in follow_alarms(self._client, since=since):
            self._answers.take(alarm, time.time())

    async def _tell_unanswered(self) -> None:
        for alarm in self._answers.due(time.time()):
            try:
                await self._script.add(alarm)
            except ResponseError as error:
                if "WRONGTYPE" not in str(error):
                    raise
                # Only this one's keys are amiss: those behind it have waited long enough. It is tried again.
                _log.error("the server refuses an alarm", alarm=alarm.identity, reason=str(error))
            else:
                self._answers.take(alarm, alarm.at)


async def _after(before: asyncio.Task[None] | None, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    if before is not None:
        await asyncio.wait([before])
    await work()


def _no_longer(
    under_way: dict[tuple[bytes, bytes], asyncio.Task[None]],
    place: tuple[bytes, bytes],
    _task: asyncio.Task[None],
) -> None:
    del under_way[place]


async def look(client: "redis.asyncio.Redis", watchdog: Watchdog) -> None:
    """Let a watchdog see the heartbeats that are there.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    async for key in client.scan_iter(match=MONITOR_PATTERN, count=1000):
        # `get` is typed as either kind of client's.
        raw: Any = await client.get(key)
        if raw is None:
            continue
        try:
            state = _monitors.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            _log.error("a heartbeat cannot be read", key=key.decode(errors="replace"))
            continue
        watchdog.heartbeat(
            state.monitor_id,
            state.at,
            connected=state.broker_connected,
            ended=state.ended,
            now=time.monotonic(),
            dropped=state.packets_dropped,
            waiting=state.outbox_waiting,
            unnamed=state.beats_unnamed,
            late_s=state.late_s,
        )
    watchdog.server_answered(time.monotonic())
