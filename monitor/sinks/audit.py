"""The audit trail: who changed what for a team, and when."""

import time
from collections.abc import Iterable
from typing import Any

import msgspec
import redis.asyncio

from monitor.live_state import TEAMS_KEY
from monitor.responses import AUDIT_KEPT, AuditEntry, audit_key

_encode = msgspec.msgpack.Encoder().encode
_entries = msgspec.msgpack.Decoder(AuditEntry)


def add_audit(pipeline: Any, entries: Iterable[AuditEntry]) -> int:
    """Put entries into a pipeline of the client; return how many commands that are."""
    count = 0
    for entry in entries:
        pipeline.xadd(audit_key(entry.team), {"entry": _encode(entry)}, maxlen=AUDIT_KEPT, approximate=True)
        count += 1
    return count


async def write_audit(
    client: "redis.asyncio.Redis", team: str, *, athlete: str = "", by: str, action: str, detail: str
) -> None:
    """Write down what somebody has just done.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached or refuses.
    """
    pipeline: Any = client.pipeline(transaction=False)
    entry = AuditEntry(at=time.time(), team=team, athlete=athlete, by=by, action=action, detail=detail)
    add_audit(pipeline, [entry])
    await pipeline.execute()


async def audit_trail(client: "redis.asyncio.Redis", team: str, *, at_most: int = 200) -> list[AuditEntry]:
    """Return what was last written down of a team, the newest first.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    found: Any = await client.xrevrange(audit_key(team), count=at_most)
    return [entry for _, fields in found if (entry := _decoded(fields)) is not None]


async def all_teams(client: "redis.asyncio.Redis") -> list[str]:
    """Return the names of all teams ever seen, in order.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    names: Any = await client.smembers(TEAMS_KEY)
    return sorted(name.decode(errors="replace") for name in names)


def _decoded(fields: dict[bytes, bytes]) -> AuditEntry | None:
    try:
        return _entries.decode(fields[b"entry"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None
