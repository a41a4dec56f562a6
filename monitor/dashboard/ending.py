"""Ending a task for certain."""

import asyncio
import contextlib
from typing import Any, Final

_AGAIN_S: Final = 0.1


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel `task` until it has ended; what it raised is dropped.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, which the Redis client waits with, forgets a
    cancellation that comes at the moment its result is there (python/cpython#86296).
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        with contextlib.suppress(Exception):
            task.result()
