"""Following the alarms of all teams as they are added, whoever adds them."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import redis.asyncio
import structlog
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.contract import Alarm
from monitor.live_state import TEAMS_KEY, alarms_key
from monitor.sinks.alarm_script import decode_alarm

_BLOCK_MS: Final = 500
_TEAMS_EVERY_S: Final = 1.0
_AT_ONCE: Final = 500

_log = structlog.stdlib.get_logger(__name__)


async def follow_alarms(client: "redis.asyncio.Redis", *, since: float | None = None) -> AsyncIterator[Alarm]:
    """Yield every transition added to any team's Stream, in each team's order, until cancelled.

    When the server is away it waits and goes on where it was: nothing that the server still has is left out.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    since : float or None
        Unix time, in seconds by the server's clock, from which to begin; None begins now.
    """
    backoff = Backoff()
    begin = None if since is None else f"{int(since * 1000)}-0"
    # The client's own type for it, which its invariance makes Any here.
    last: dict[Any, Any] = {}
    asked_at = 0.0
    loop = asyncio.get_running_loop()
    while True:
        try:
            if begin is None:
                seconds, microseconds = await client.time()
                begin = f"{seconds * 1000 + microseconds // 1000}-0"
            if not last or loop.time() - asked_at > _TEAMS_EVERY_S:
                asked_at = loop.time()
                teams: Any = await client.smembers(TEAMS_KEY)
                for team in teams:
                    last.setdefault(alarms_key(team.decode()).encode(), begin)
            if not last:
                await asyncio.sleep(_BLOCK_MS / 1000)
                continue
            streams: Any = await client.xread(last, count=_AT_ONCE, block=_BLOCK_MS)
        except (RedisError, OSError, TimeoutError) as error:
            wait_s = backoff.next_wait_s()
            _log.warning("cannot follow alarms, trying again", reason=str(error), wait_s=round(wait_s, 2))
            await client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(wait_s)
            continue
        backoff.succeeded()
        for key, entries in streams:
            for entry, fields in entries:
                last[key] = entry
                alarm = decode_alarm(fields)
                if alarm is None:
                    _log.warning(
                        "an entry among the alarms cannot be read", stream=key.decode(), entry=entry.decode()
                    )
                else:
                    yield alarm


async def acknowledgements(
    client: "redis.asyncio.Redis", *, since: float | None = None
) -> AsyncIterator[Alarm]:
    """Yield the acknowledgements among `follow_alarms`, the monitor's news from outside."""
    async for alarm in follow_alarms(client, since=since):
        if alarm.transition == "acknowledged":
            yield alarm
