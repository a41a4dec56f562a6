"""Acknowledging an alarm, as dashboards and receivers do it."""

import difflib
import time
from typing import Any, Final

import msgspec
import redis.asyncio

from monitor.contract import Alarm
from monitor.errors import ServerError, StrapwatchError, UsageError
from monitor.live_state import TEAMS_KEY, alarms_key
from monitor.sinks.alarm_script import Addition, AlarmScript, decode_alarm, raised_alarm
from monitor.sinks.connection import shown_url
from monitor.sinks.identity import parse_identity

_LOOKED_AT: Final = 500
_NAME_LENGTH: Final = 64


async def acknowledge(client: "redis.asyncio.Redis", identity: str, by: str) -> Addition:
    """Acknowledge a raised alarm.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server where the alarm is, see `monitor.sinks.open_redis`.
    identity : str
        ``team.athlete.strap.boot.kind.episode``, see `monitor.contract.Alarm.identity`.
    by : str
        Who acknowledges: 1 to 64 printable characters.

    Returns
    -------
    Addition
        `outcome` is ``"known"`` if somebody has acknowledged it before; who, says its `acknowledged`.

    Raises
    ------
    UsageError
        If `identity` or `by` cannot be one.
    StrapwatchError
        If no such alarm is known; the text names the closest ones.
    ServerError
        If the server cannot be reached or refuses.
    """
    named = parse_identity(identity)
    team = named.team
    if not (1 <= len(by.strip()) <= _NAME_LENGTH and by.isprintable()):
        raise UsageError(f"name {by!r}: use 1 to {_NAME_LENGTH} printable characters to say who acknowledges")
    try:
        raised = await raised_alarm(client, named)
        if raised is None:
            raise StrapwatchError(await _unknown(client, identity, team))
        addition = await AlarmScript(client).add(
            msgspec.structs.replace(
                raised, transition="acknowledged", at=time.time(), by=by.strip(), strip=None
            )
        )
    except redis.exceptions.RedisError as error:
        where = shown_url(str(client.connection_pool.connection_kwargs.get("host", "the server")))
        raise ServerError(f"Redis at {where} does not take the acknowledgement: {error}") from error
    if addition.outcome == "unknown":
        raise StrapwatchError(await _unknown(client, identity, team))
    return addition


async def known_alarms(client: "redis.asyncio.Redis", team: str, *, at_most: int = _LOOKED_AT) -> list[Alarm]:
    """Return the transitions last added to a team's Stream, the newest first.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    entries: Any = await client.xrevrange(alarms_key(team), count=at_most)
    return [alarm for _, fields in entries if (alarm := decode_alarm(fields)) is not None]


async def raised_since(client: "redis.asyncio.Redis", team: str, since: float) -> list[Alarm]:
    """Return the alarms that were added to a team's Stream since a Unix time, as raised and without their strips.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    found: list[Alarm] = []
    begin = str(int(since * 1000))
    while True:
        # With all their strips at once they might not fit into memory.
        entries: Any = await client.xrange(alarms_key(team), min=begin, count=_LOOKED_AT)
        if not entries:
            return found
        begin = f"({entries[-1][0].decode()}"
        for _, fields in entries:
            alarm = decode_alarm(fields) if fields.get(b"transition") == b"raised" else None
            if alarm is not None:
                found.append(msgspec.structs.replace(alarm, strip=None, evidence=None))


async def _unknown(client: "redis.asyncio.Redis", identity: str, team: str) -> str:
    raised = [alarm.identity for alarm in await known_alarms(client, team) if alarm.transition == "raised"]
    if not raised:
        names: Any = await client.smembers(TEAMS_KEY)
        teams = sorted(name.decode(errors="replace") for name in names)
        return f"alarm {identity!r} is not known: team {team!r} has none; teams seen: {', '.join(teams) or 'none'}"
    closest = difflib.get_close_matches(identity, raised, n=3, cutoff=0.6) or raised[:3]
    return f"alarm {identity!r} is not known; did you mean {' or '.join(closest)}?"
