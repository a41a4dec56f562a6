"""What people say about alarms beside acknowledging them: silence for a while, and whether an alarm was right."""

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

import msgspec
import redis.asyncio
import structlog

from monitor.alarm_pauses import MAX_PAUSE_S
from monitor.contract import Alarm
from monitor.errors import ServerError, StrapwatchError, UsageError
from monitor.live_state import alarms_key
from monitor.responses import (
    COMMANDS_KEPT,
    FEEDBACK_KEPT,
    AuditEntry,
    Command,
    Feedback,
    commands_key,
    feedback_key,
)
from monitor.sinks.alarm_script import decode_alarm, raised_alarm
from monitor.sinks.audit import add_audit
from monitor.sinks.connection import shown_url
from monitor.sinks.evidence import keep_answered
from monitor.sinks.identity import parse_identity
from monitor.sinks.seen import unknown_athlete, unknown_teams
from monitor.wire import is_name

MAX_WORDS: Final = 500
_NAME_LENGTH: Final = 64
_LOOKED_AT: Final = 2_000

_log = structlog.stdlib.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_feedback = msgspec.msgpack.Decoder(Feedback)


async def pause(
    client: "redis.asyncio.Redis", team: str, athlete: str = "", *, seconds: float, by: str
) -> Command:
    """Let alarms of an athlete, or of a whole team, make no sound for a while.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    team, athlete : str
        Whose; an empty athlete means the whole team.
    seconds : float
        For how long, 1 to `monitor.alarm_pauses.MAX_PAUSE_S`.
    by : str
        Who wants it: 1 to 64 printable characters.

    Raises
    ------
    UsageError
        If one of these cannot be.
    StrapwatchError
        If no such team or athlete has been seen; the text names those that have.
    ServerError
        If the server cannot be reached or refuses.
    """
    if not 1 <= seconds <= MAX_PAUSE_S:
        raise UsageError(
            f"pause of {seconds:g} s: use 1 to {MAX_PAUSE_S:g}, and pause again if it has to be longer"
        )
    return await _command(client, "pause", team, athlete, by, seconds)


async def resume(client: "redis.asyncio.Redis", team: str, athlete: str = "", *, by: str) -> Command:
    """Let alarms sound again; raises as `pause` does."""
    return await _command(client, "resume", team, athlete, by, 0.0)


async def give_feedback(
    client: "redis.asyncio.Redis",
    identity: str,
    *,
    by: str,
    verdict: Literal["true", "false", "comment"],
    finding: str = "",
    comment: str = "",
) -> Feedback:
    """Store whether an alarm was right, with the alarm itself, for later adaptation and figures.

    What the alarm can be raised again from stays for a season, too.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    identity : str
        See `monitor.contract.Alarm.identity`.
    by : str
        Who says so: 1 to 64 printable characters.
    verdict : {'true', 'false', 'comment'}
        Whether it was right.
    finding, comment : str
        What a true alarm is; free words. At most `MAX_WORDS` characters each.

    Raises
    ------
    UsageError
        If one of these cannot be.
    StrapwatchError
        If no such alarm is known.
    ServerError
        If the server cannot be reached or refuses.
    """
    named = parse_identity(identity)
    by = _name(by)
    for words in (finding, comment):
        if len(words) > MAX_WORDS:
            raise UsageError(f"words of {len(words)} characters: use at most {MAX_WORDS}")
    if verdict == "comment" and not comment.strip():
        raise UsageError("a comment without words; say something with it")
    async with _server(client):
        raised = await raised_alarm(client, named)
        if raised is None:
            raise StrapwatchError(
                f"alarm {identity!r} is not known; `strapwatch inbox --list` shows those that are"
            )
        feedback = Feedback(
            identity=raised.identity,
            at=time.time(),
            by=by,
            verdict=verdict,
            finding=finding.strip(),
            comment=comment.strip(),
            alarm=await _with_strip(client, raised),
        )
        pipeline: Any = client.pipeline(transaction=True)
        pipeline.xadd(
            feedback_key(named.team), {"feedback": _encode(feedback)}, maxlen=FEEDBACK_KEPT, approximate=True
        )
        detail = f"{verdict} {raised.identity} {feedback.finding}".strip()
        entry = AuditEntry(
            at=feedback.at, team=named.team, athlete=named.athlete, by=by, action="feedback", detail=detail
        )
        add_audit(pipeline, [entry])
        await pipeline.execute()
        if verdict != "comment":
            await keep_answered(client, named.team, raised.identity, feedback.at)
    return feedback


async def feedback_of(client: "redis.asyncio.Redis", team: str) -> list[Feedback]:
    """Return all that was said of a team's alarms, the oldest first.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    return (await feedback_after(client, team, ""))[0]


async def feedback_after(
    client: "redis.asyncio.Redis", team: str, position: str
) -> tuple[list[Feedback], str]:
    """Return what was said of a team's alarms behind a position (empty: from the beginning), and where that ends.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    entries: Any = await client.xrange(feedback_key(team), min=f"({position}" if position else "-")
    found = []
    for entry, fields in entries:
        position = entry.decode()
        try:
            found.append(_feedback.decode(fields[b"feedback"]))
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
            _log.warning("feedback cannot be read", team=team, entry=position, reason=str(error))
    return found, position


async def _command(
    client: "redis.asyncio.Redis",
    action: Literal["pause", "resume"],
    team: str,
    athlete: str,
    by: str,
    seconds: float,
) -> Command:
    for name in (team, *([athlete] if athlete else [])):
        if not is_name(name):
            raise UsageError(f"{name!r} is no name: use 1 to 64 letters, digits, '-' or '_'")
    command = Command(
        action=action, team=team, athlete=athlete, by=_name(by), at=time.time(), seconds=seconds
    )
    async with _server(client):
        unknown = await unknown_teams(client, [team])
        if not unknown and athlete:
            unknown = await unknown_athlete(client, team, athlete)
        if unknown:
            raise StrapwatchError(unknown)
        await client.xadd(
            commands_key(team), {"command": _encode(command)}, maxlen=COMMANDS_KEPT, approximate=True
        )
    return command


async def _with_strip(client: "redis.asyncio.Redis", raised: Alarm) -> Alarm:
    """Return the alarm as it was last told with a strip."""
    entries: Any = await client.xrevrange(alarms_key(raised.team), count=_LOOKED_AT)
    for _, fields in entries:
        if fields.get(b"identity") == raised.identity.encode():
            alarm = decode_alarm(fields)
            if alarm is not None and alarm.strip is not None:
                return alarm
    return raised


def _name(by: str) -> str:
    if not (1 <= len(by.strip()) <= _NAME_LENGTH and by.isprintable()):
        raise UsageError(f"name {by!r}: use 1 to {_NAME_LENGTH} printable characters")
    return by.strip()


@asynccontextmanager
async def _server(client: "redis.asyncio.Redis") -> AsyncIterator[None]:
    try:
        yield
    except (redis.exceptions.RedisError, OSError) as error:
        where = shown_url(str(client.connection_pool.connection_kwargs.get("host", "the server")))
        raise ServerError(f"Redis at {where} does not answer as it should: {error}") from error
