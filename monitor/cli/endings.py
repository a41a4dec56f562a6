"""How a command that runs for long ends: in order, when a signal asks for it."""

import asyncio
import signal
from collections.abc import Coroutine
from typing import Any


async def until_signalled(work: Coroutine[Any, Any, None]) -> bool:
    """Run `work` until it ends or SIGINT or SIGTERM cancels it; return whether Ctrl-C did.

    Raises
    ------
    CancelledError
        If anything but a signal cancelled it: that is no orderly end.
    """
    task = asyncio.ensure_future(work)
    loop = asyncio.get_running_loop()
    by_signal: list[int] = []

    def end(number: int) -> None:
        by_signal.append(number)
        task.cancel()

    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, end, ending)
    try:
        await task
    except asyncio.CancelledError:
        if not by_signal:
            raise
    return signal.SIGINT in by_signal
