"""Evidence on the server: from what an alarm can be raised again, and the strip it was told with.

``strapwatch:evidence:{team}:<identity>`` is a String with a time to live: a `monitor.evidence_log.StoredEvidence`,
compressed. The Sorted Set ``strapwatch:evidence:{team}`` knows which there are, by the time of the alarm, so that of
each team only the last `EVIDENCE_KEPT` stay. Once somebody has said whether the alarm was right, a copy stays for a
season under ``strapwatch:answered:{team}:<identity>``, the last `ANSWERED_KEPT` of each team.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import redis.asyncio
import structlog

from monitor.contract import Alarm
from monitor.errors import StrapwatchError
from monitor.evidence_log import PackedEvidence, StoredEvidence, unpacked
from monitor.live_state import PREFIX, alarms_key
from monitor.sinks.alarm_script import decode_alarm, known_key
from monitor.sinks.identity import Identity, parse_identity

EVIDENCE_KEPT: Final = 500
"""Alarms of a team of which it is kept; the oldest leave first."""
EVIDENCE_KEPT_S: Final = 7 * 24 * 3600
ANSWERED_KEPT: Final = 200
ANSWERED_KEPT_S: Final = 270 * 24 * 3600
_WITH_STRIP: Final = ("completed", "escalated", "raised")

_log = structlog.stdlib.get_logger(__name__)


def evidence_key(team: str, identity: str = "") -> str:
    """Return the key of one alarm's evidence, or of the Sorted Set of a team."""
    return f"{PREFIX}evidence:{{{team}}}{f':{identity}' if identity else ''}"


def answered_key(team: str, identity: str = "") -> str:
    """Return the key of the evidence of one alarm that was answered, or of the Sorted Set of a team."""
    return f"{PREFIX}answered:{{{team}}}{f':{identity}' if identity else ''}"


async def store_evidence(client: "redis.asyncio.Redis", evidence: Sequence[PackedEvidence]) -> None:
    """Store evidence, and let go of the oldest of each team; what is there already stays.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached or refuses.
    """
    pipeline: Any = client.pipeline(transaction=False)
    for found in evidence:
        pipeline.set(evidence_key(found.team, found.identity), found.content, nx=True, ex=EVIDENCE_KEPT_S)
        pipeline.zadd(evidence_key(found.team), {found.identity: found.at}, nx=True)
        pipeline.expire(evidence_key(found.team), EVIDENCE_KEPT_S)
    await pipeline.execute()
    for team in {found.team for found in evidence}:
        await _let_go(client, evidence_key, team, EVIDENCE_KEPT)


async def keep_answered(client: "redis.asyncio.Redis", team: str, identity: str, at: float) -> bool:
    """Keep the evidence of an alarm that was answered at `at`, Unix seconds, for a season; False if there is none.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached or refuses.
    """
    key = answered_key(team, identity)
    copied = await client.copy(evidence_key(team, identity), key, replace=True)
    if not copied and not await client.exists(key):
        return False
    pipeline: Any = client.pipeline(transaction=False)
    pipeline.expire(key, ANSWERED_KEPT_S)
    pipeline.zadd(answered_key(team), {identity: at})
    pipeline.expire(answered_key(team), ANSWERED_KEPT_S)
    await pipeline.execute()
    await _let_go(client, answered_key, team, ANSWERED_KEPT)
    return True


async def answered_evidence(client: "redis.asyncio.Redis", team: str, identity: str) -> StoredEvidence | None:
    """Return what was kept of an alarm that was answered; None where nothing was, or nothing that can be used.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    kept: Any = await client.get(answered_key(team, identity))
    try:
        return unpacked(kept) if kept is not None else None
    except ValueError as error:
        _log.warning("evidence cannot be used", identity=identity, reason=str(error))
        return None


async def _let_go(
    client: "redis.asyncio.Redis", key_of: Callable[[str, str], str], team: str, most: int
) -> None:
    """Let go of a team's oldest evidence, so that at most `most` stay."""
    oldest: Any = await client.zrange(key_of(team, ""), 0, -(most + 1))
    if oldest:
        await client.delete(*(key_of(team, identity.decode()) for identity in oldest))
        await client.zrem(key_of(team, ""), *oldest)


async def stored_evidence(client: "redis.asyncio.Redis", identity: str) -> StoredEvidence:
    """Return from what an alarm can be raised again.

    Raises
    ------
    UsageError
        If `identity` cannot be one.
    StrapwatchError
        If nothing is kept, or it is of another version.
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    named, told = await _told(client, identity)
    kept: Any = None
    for name in {identity: None, **({told[0].identity: None} if told else {})}:
        kept = kept or await client.get(evidence_key(named.team, name))
    if kept is None:
        why = "technical alarms have none" if told and told[0].technical else (
            "it is of priority information" if told and told[0].priority == "information" else (
                f"it is kept for {EVIDENCE_KEPT_S // 86_400} days and the last {EVIDENCE_KEPT} alarms of a team, "
                "and not where the monitor had just begun, or limits had just changed"
            )
        )  # fmt: skip
        raise StrapwatchError(f"evidence of {identity} was not kept: {why}")
    try:
        return unpacked(kept)
    except ValueError as error:
        raise StrapwatchError(f"evidence of {identity} cannot be used: {error}") from error


async def told_with_strip(client: "redis.asyncio.Redis", identity: str) -> Alarm:
    """Return an alarm as it was last told with a strip.

    Raises
    ------
    UsageError
        If `identity` cannot be one.
    StrapwatchError
        If there is none.
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    _, told = await _told(client, identity)
    if not told:
        raise StrapwatchError(
            f"alarm {identity!r} is not known, or no longer on the server; `strapwatch alerts` lists those that are"
        )
    found = next((alarm for alarm in told if alarm.strip is not None and alarm.strip.microvolts), None)
    if found is None:
        why = "it is about the strap" if told[0].technical else "none was told with it"
        raise StrapwatchError(f"alarm {identity!r} has no strip: {why}")
    return found


async def _told(client: "redis.asyncio.Redis", identity: str) -> tuple[Identity, list[Alarm]]:
    """Return an alarm's transitions that may carry a strip, the one that says most first."""
    named = parse_identity(identity)
    key, episode = known_key(named), named.episode
    entries: dict[str, str] = {}
    for _ in range(2):
        # The client's types allow for every protocol and decoding; here it is always version 2 and bytes.
        members: Any = await client.zrangebyscore(key, episode, episode)
        entries = {what: entry for _, what, entry, *_ in (member.decode().split("|") for member in members)}
        if "raised" in entries or "same" not in entries:
            break
        episode = int(entries["same"])
    told = []
    for what in _WITH_STRIP:
        found: Any = (
            await client.xrange(alarms_key(named.team), entries[what], entries[what])
            if what in entries
            else []
        )
        told += [alarm for _, fields in found if (alarm := decode_alarm(fields)) is not None]
    return named, told
