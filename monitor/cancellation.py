"""Cancellation that a library has swallowed.

Up to Python 3.11 `asyncio.wait_for` forgets that its task was cancelled when what it waits for is done at that moment.
Libraries that wait so (redis, aiomqtt) then go on as if nothing had been said, and a task that runs for ever does run
for ever. What a task was told is still counted, so it can be seen afterwards.
"""

import asyncio
import contextlib
from typing import Any, Final

_AGAIN_S: Final = 0.1


def times_cancelled() -> int:
    """Return how often the running task has been told to end, for `end_if_cancelled`."""
    task = asyncio.current_task()
    return 0 if task is None else task.cancelling()


def end_if_cancelled(since: int = 0) -> None:
    """End the running task if it was told to and has not ended.

    Parameters
    ----------
    since : int
        What `times_cancelled` gave before: a task that is cleaning up after one cancellation may go on with that.

    Raises
    ------
    asyncio.CancelledError
        If the task was cancelled since then.
    """
    if times_cancelled() > since:
        raise asyncio.CancelledError


async def end(task: "asyncio.Task[Any]") -> None:
    """Cancel `task` until it has ended; what it raised is dropped.

    Once is not enough where a library may swallow it.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        with contextlib.suppress(Exception):
            task.result()
