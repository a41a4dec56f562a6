"""Reading the alarms Streams of all teams by a consumer group: every entry is somebody's until it is acknowledged."""

import time
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


class Entry(NamedTuple):
    """An entry of a Stream that was given to us; `alarm` is None if it cannot be read."""

    stream: bytes
    entry: bytes
    alarm: Alarm | None


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
            if "NOGROUP" not in str(error):
                raise
            # The server has lost its data: what comes from now on is new to the group.
            self._streams.clear()
            self._asked_at = 0.0
            return []
        return [
            Entry(stream, entry, decode_alarm(fields))
            for stream, entries in found
            for entry, fields in entries
        ]

    async def reclaim(self) -> list[Entry]:
        """Return entries that somebody of the group, perhaps we, was given and has not acknowledged in time.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        found: list[Entry] = []
        for stream in list(self._streams):
            _, entries, _ = await self._client.xautoclaim(
                stream, self._group, self._consumer, self._reclaim_after_ms, count=_AT_ONCE
            )
            found += [Entry(stream, entry, decode_alarm(fields or {})) for entry, fields in entries]
            await self._forget_dead(stream)
        return found

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
        for team in (*teams, CANARY_TEAM):
            stream = alarms_key(team).encode()
            if stream not in self._streams:
                # Teams that are there when a group first begins have a past that it was never meant to tell; those
                # that come later have none.
                await self._begin(stream, "$" if self._first else "0")
                self._streams[stream] = ">"
        self._first = False

    async def _begin(self, stream: bytes, position: str) -> None:
        try:
            await self._client.xgroup_create(stream, self._group, position, mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise

    async def _forget_dead(self, stream: bytes) -> None:
        for consumer in await self._client.xinfo_consumers(stream, self._group):
            dead = consumer["idle"] > _IDLE_CONSUMER_MS and not consumer["pending"]
            if dead and consumer["name"] != self._consumer.encode():
                await self._client.xgroup_delconsumer(stream, self._group, consumer["name"])
