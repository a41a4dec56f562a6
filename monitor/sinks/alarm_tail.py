"""Following the alarms of all teams, and the commands to their monitors, as they are added, whoever adds them."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, TypeVar

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.contract import Alarm
from monitor.live_state import TEAMS_KEY, alarms_key
from monitor.responses import Command, commands_key
from monitor.sinks.alarm_script import decode_alarm

_BLOCK_MS: Final = 500
_TEAMS_EVERY_S: Final = 1.0
# With their strips some 2.5 MB: they have to arrive before the client gives up, over a slow line, too.
_AT_ONCE: Final = 100

_Entry = TypeVar("_Entry")
_commands = msgspec.msgpack.Decoder(Command)
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
    async for alarm in _follow(client, alarms_key, decode_alarm, since):
        yield alarm


async def follow_commands(
    client: "redis.asyncio.Redis", *, since: float | None = None
) -> AsyncIterator[Command]:
    """Yield every command given to any team's monitors, until cancelled; see `follow_alarms`."""
    async for command in _follow(client, commands_key, _decode_command, since):
        yield command


async def _follow(
    client: "redis.asyncio.Redis",
    key_of: Callable[[str], str],
    decode: Callable[[dict[bytes, bytes]], _Entry | None],
    since: float | None,
    positions: dict[bytes, bytes] | None = None,
) -> AsyncIterator[_Entry]:
    backoff = Backoff()
    begin = None if since is None else f"{int(since * 1000)}-0"
    # The client's own type for it, which its invariance makes Any here.
    last: dict[Any, Any] = dict(positions or {})
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
                    last.setdefault(key_of(team.decode()).encode(), begin)
            if not last:
                await asyncio.sleep(_BLOCK_MS / 1000)
                continue
            streams: Any = await client.xread(last, count=_AT_ONCE, block=_BLOCK_MS)
        except (RedisError, OSError, TimeoutError) as error:
            wait_s = backoff.next_wait_s()
            _log.warning("cannot follow the server, trying again", reason=str(error), wait_s=round(wait_s, 2))
            await client.connection_pool.disconnect(inuse_connections=False)
            await asyncio.sleep(wait_s)
            continue
        backoff.succeeded()
        for key, entries in streams:
            for entry, fields in entries:
                last[key] = entry
                found = decode(fields)
                if found is None:
                    _log.warning("an entry cannot be read", stream=key.decode(), entry=entry.decode())
                else:
                    yield found


async def acknowledgements(
    client: "redis.asyncio.Redis", *, since: float | None = None
) -> AsyncIterator[Alarm]:
    """Yield the acknowledgements among `follow_alarms`, the monitor's news from outside.

    Of those before this moment only the ones that still stand: an alarm that has escalated since is not acknowledged.
    """
    positions: dict[bytes, bytes] = {}
    if since is not None:
        standing, positions = await _standing(client, since)
        for alarm in standing:
            yield alarm
    async for alarm in _follow(client, alarms_key, decode_alarm, since, positions):
        if alarm.transition == "acknowledged":
            yield alarm


async def _standing(client: "redis.asyncio.Redis", since: float) -> tuple[list[Alarm], dict[bytes, bytes]]:
    """Return the acknowledgements since a time that still stand, and how far each Stream has been read."""
    backoff = Backoff()
    standing: dict[str, Alarm] = {}
    positions: dict[bytes, bytes] = {}
    while True:
        try:
            teams: Any = await client.smembers(TEAMS_KEY)
            for team in teams:
                key = alarms_key(team.decode()).encode()
                while True:
                    begin = b"(" + positions[key] if key in positions else f"{int(since * 1000)}-0"
                    entries: Any = await client.xrange(key, min=begin, count=_AT_ONCE)
                    if not entries:
                        break
                    backoff.succeeded()
                    positions[key] = entries[-1][0]
                    for _, fields in entries:
                        alarm = decode_alarm(fields)
                        if alarm is not None and alarm.transition == "acknowledged":
                            standing[alarm.identity] = alarm
                        elif alarm is not None and alarm.transition == "escalated":
                            standing.pop(alarm.identity, None)
        except (RedisError, OSError, TimeoutError) as error:
            # What has been read stays read: a line that is lost again and again gets there, too.
            _log.warning("cannot read what was acknowledged, trying again", reason=str(error))
            await asyncio.sleep(backoff.next_wait_s())
            continue
        return list(standing.values()), positions


def _decode_command(fields: dict[bytes, bytes]) -> Command | None:
    try:
        return _commands.decode(fields[b"command"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None
