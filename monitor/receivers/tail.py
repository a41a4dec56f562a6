"""Reading the alarms Streams by oneself, without a group: whoever does is given every entry, whoever else reads."""

import time
from collections.abc import Sequence
from typing import Any, Final

import redis.asyncio

from monitor.live_state import CANARY_TEAM, TEAMS_KEY, alarms_key
from monitor.receivers.group import Entry
from monitor.sinks.alarm_script import decode_alarm

_TEAMS_EVERY_S: Final = 1.0
_AT_ONCE: Final = 64


class Tail:
    """Reads what is added to the alarms Streams from `begin` on, test alarms too.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    teams : sequence of str or None
        Whose; None for those of all teams, those that come later too.
    """

    def __init__(self, client: "redis.asyncio.Redis", teams: Sequence[str] | None = None) -> None:
        # As in `monitor.receivers.group`.
        self._client: Any = client
        self._teams = None if teams is None else tuple(teams)
        self._from = ""
        self._last: dict[bytes, bytes] = {}
        self._asked_at = 0.0

    async def begin(self) -> None:
        """Let what is added from now on, by the server's clock, be read.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        seconds, microseconds = await self._client.time()
        self._from = f"{seconds * 1000 + microseconds // 1000}-0"

    async def read(self, *, wait_s: float) -> list[Entry]:
        """Return entries that were not returned yet, waiting at most `wait_s` for the first.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached; nothing is left out then.
        """
        if not self._from:
            await self.begin()
        await self._discover()
        streams = await self._client.xread(self._last, count=_AT_ONCE, block=max(1, int(wait_s * 1000)))
        found = []
        for stream, entries in streams:
            for entry, fields in entries:
                self._last[stream] = entry
                found.append(Entry(stream, entry, decode_alarm(fields)))
        return found

    async def _discover(self) -> None:
        now = time.monotonic()
        if self._last and (self._teams is not None or now - self._asked_at < _TEAMS_EVERY_S):
            return
        teams = self._teams
        if teams is None:
            members = await self._client.smembers(TEAMS_KEY)
            teams = (*(team.decode() for team in members), CANARY_TEAM)
        self._asked_at = now
        for team in teams:
            self._last.setdefault(alarms_key(team).encode(), self._from.encode())
