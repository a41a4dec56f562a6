"""Which alarms a receiver was called for: kept on the server, where its other instances and its next start find it."""

import time
from typing import Any, Final

import redis.asyncio

from monitor.live_state import PREFIX

TOLD_KEPT: Final = 5_000
TOLD_KEPT_S: Final = 7 * 24 * 3600


def told_key(name: str) -> str:
    """Return the Sorted Set of the alarms that the receiver `name` was called for, by when."""
    return f"{PREFIX}told:{name}"


async def remember_told(client: "redis.asyncio.Redis", name: str, identity: str) -> None:
    """Write down that a receiver was called for an alarm; the oldest of too many are forgotten.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached or refuses.
    """
    pipeline: Any = client.pipeline(transaction=True)
    pipeline.zadd(told_key(name), {identity: time.time()})
    pipeline.zremrangebyrank(told_key(name), 0, -(TOLD_KEPT + 1))
    pipeline.expire(told_key(name), TOLD_KEPT_S)
    await pipeline.execute()


async def was_told(client: "redis.asyncio.Redis", name: str, identity: str) -> bool:
    """Return whether a receiver was called for an alarm.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    return await client.zscore(told_key(name), identity) is not None
