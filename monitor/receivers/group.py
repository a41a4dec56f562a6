"""Reading the alarms Streams of all teams by a consumer group: every entry is somebody's until it is acknowledged."""

import time
from collections import OrderedDict
from typing import Any, Final, NamedTuple

import redis.asyncio
from redis.exceptions import ResponseError

from monitor.contract import Alarm
from monitor.live_state import CANARY_TEAM, TEAMS_KEY, alarms_key
from monitor.sinks.alarm_script import decode_alarm

RECLAIM_AFTER_S: Final = 30.0
"""What an instance has held for so long without acknowledging it, another one takes over."""
_TEAMS_EVERY_S: Final = 1.0
_AT_ONCE: Final = 64
_IDLE_CONSUMER_MS: Final = 3_600_000
_LOOKED_BACK: Final = 1_000
_NAMES_KEPT: Final = 5_000


class Entry(NamedTuple):
    """An entry of a Stream that was given to us; `alarm` is None if it cannot be read."""

    stream: bytes
    entry: bytes
    alarm: Alarm | None


class Trimmed(NamedTuple):
    """An entry that was given to somebody and has left its Stream before it was acknowledged.

    `identity` is its alarm's, empty if we have never seen it.
    """

    stream: bytes
    entry: bytes
    identity: str

    @property
    def team(self) -> str:
        """The team whose Stream it was in."""
        return self.stream.decode().partition("{")[2].rstrip("}")


class GroupReader:
    """Reads alarms for one group; several readers of one group share them.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    group, consumer : str
        Names of the group and of this reader in it.
    reclaim_after_s : float
        See `RECLAIM_AFTER_S`.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        group: str,
        consumer: str,
        reclaim_after_s: float = RECLAIM_AFTER_S,
    ) -> None:
        # The client types its replies by protocol and decoding, of which it has only one here.
        self._client: Any = client
        self._group = group
        self._consumer = consumer
        self._reclaim_after_ms = int(reclaim_after_s * 1000)
        self._streams: dict[bytes, str] = {}
        self._first = True
        self._asked_at = 0.0
        self._names: OrderedDict[tuple[bytes, bytes], str] = OrderedDict()
        self._trimmed: list[Trimmed] = []

    async def read(self, *, wait_s: float) -> list[Entry]:
        """Return entries that nobody of the group has been given yet, waiting at most `wait_s` for the first.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        await self._discover()
        try:
            found = await self._client.xreadgroup(
                self._group, self._consumer, self._streams, count=_AT_ONCE, block=max(1, int(wait_s * 1000))
            )
        except ResponseError as error:
            self._begin_anew(error)
            return []
        return [self._entry(stream, entry, fields) for stream, entries in found for entry, fields in entries]

    async def reclaim(self) -> list[Entry]:
        """Return entries that somebody of the group, perhaps we, was given and has not acknowledged in time.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        await self._discover()
        found: list[Entry] = []
        for stream in list(self._streams):
            try:
                _, entries, trimmed = await self._client.xautoclaim(
                    stream, self._group, self._consumer, self._reclaim_after_ms, count=_AT_ONCE
                )
            except ResponseError as error:
                self._begin_anew(error)
                break
            found += [self._entry(stream, entry, fields or {}) for entry, fields in entries]
            self._trimmed += [
                Trimmed(stream, entry, self._names.get((stream, entry), "")) for entry in trimmed
            ]
            await self._forget_dead(stream)
        return found

    def trimmed(self) -> list[Trimmed]:
        """Return, once, the entries that `reclaim` found to have left their Streams: nobody can be given them again."""
        found, self._trimmed = self._trimmed, []
        return found

    async def is_first(self, entry: Entry) -> bool:
        """Whether nobody of the group holds an earlier entry of the same alarm.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        if entry.alarm is None:
            return True
        pending = await self._client.xpending_range(
            entry.stream, self._group, "-", b"(" + entry.entry, _LOOKED_BACK
        )
        earlier = [(entry.stream, each["message_id"]) for each in pending]
        unseen = [place for place in earlier if place not in self._names]
        for begin in range(0, len(unseen), _AT_ONCE):
            pipeline: Any = self._client.pipeline(transaction=False)
            for stream, other in unseen[begin : begin + _AT_ONCE]:
                pipeline.xrange(stream, other, other)
            for (stream, _), found in zip(
                unseen[begin : begin + _AT_ONCE], await pipeline.execute(), strict=True
            ):
                for other, fields in found:
                    self._entry(stream, other, fields)
        return all(self._names.get(place) != entry.alarm.identity for place in earlier)

    async def done(self, entry: Entry) -> None:
        """Acknowledge an entry: nobody of the group is given it again.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        await self._client.xack(entry.stream, self._group, entry.entry)

    async def waiting(self) -> int:
        """Return how many entries the group was given and has not acknowledged.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        pending = [await self._client.xpending(stream, self._group) for stream in list(self._streams)]
        return sum(each["pending"] for each in pending)

    async def _discover(self) -> None:
        now = time.monotonic()
        if self._streams and now - self._asked_at < _TEAMS_EVERY_S:
            return
        self._asked_at = now
        teams = [team.decode() for team in await self._client.smembers(TEAMS_KEY)]
        # Teams that are there when a group first begins have a past that it was never meant to tell; those that come
        # later have none, though no process of the group be there to see them come. The Stream of test alarms is there
        # for every group, and begun last: whoever was interrupted before that begins again.
        is_new = self._first and not await self._has_begun(alarms_key(CANARY_TEAM).encode())
        for team in (*teams, CANARY_TEAM):
            stream = alarms_key(team).encode()
            if stream not in self._streams:
                await self._begin(stream, "$" if is_new or team == CANARY_TEAM else "0")
                self._streams[stream] = ">"
        self._first = False

    def _begin_anew(self, error: ResponseError) -> None:
        if "NOGROUP" not in str(error):
            raise error
        # The server has lost its data: what comes from now on is new to the group.
        self._streams.clear()
        self._asked_at = 0.0

    async def _has_begun(self, stream: bytes) -> bool:
        try:
            groups = await self._client.xinfo_groups(stream)
        except ResponseError as error:
            if "no such key" not in str(error):
                raise
            return False
        return any(group["name"] == self._group.encode() for group in groups)

    async def _begin(self, stream: bytes, position: str) -> None:
        try:
            await self._client.xgroup_create(stream, self._group, position, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    def _entry(self, stream: bytes, entry: bytes, fields: dict[bytes, bytes]) -> Entry:
        alarm = decode_alarm(fields)
        self._names[stream, entry] = "" if alarm is None else alarm.identity
        if len(self._names) > _NAMES_KEPT:
            self._names.popitem(last=False)
        return Entry(stream, entry, alarm)

    async def _forget_dead(self, stream: bytes) -> None:
        for consumer in await self._client.xinfo_consumers(stream, self._group):
            dead = consumer["idle"] > _IDLE_CONSUMER_MS and not consumer["pending"]
            if dead and consumer["name"] != self._consumer.encode():
                await self._client.xgroup_delconsumer(stream, self._group, consumer["name"])
