"""Who answers during a soak: each alarm is acknowledged a while after it was raised, as somebody on call would."""

import asyncio
import time
from collections import deque
from typing import Final

from redis.exceptions import RedisError

from benchmarks.faults.place import patient_client
from monitor.cancellation import end
from monitor.embedded import GuardedServer
from monitor.errors import ServerError, StrapwatchError
from monitor.sinks import acknowledge, follow_alarms

ANSWERS_AFTER_S: Final = 30.0
_NAME: Final = "physician"
_AGAIN_S: Final = 1.0


class SoakPhysician:
    """Acknowledges every alarm that is raised, and again when it becomes more urgent.

    Attributes
    ----------
    waiting : deque of (float, str)
        When each alarm became known, in Unix time, and its identity; the oldest first.
    put_off : int
        How often the server did not take an answer, which then was given again.
    refused : list of str
        What the server said of alarms that it had told before and did not know then.
    """

    def __init__(self) -> None:
        self.waiting: deque[tuple[float, str]] = deque()
        self.put_off = 0
        self.refused: list[str] = []

    async def run(self, server: GuardedServer) -> None:
        """Answer until cancelled; while the server takes nothing, the answers wait."""
        client = patient_client(server)
        hearing = asyncio.create_task(self._hear(server))
        try:
            while True:
                await asyncio.sleep(_AGAIN_S)
                if hearing.done():
                    await hearing
                while self.waiting and time.time() - self.waiting[0][0] >= ANSWERS_AFTER_S:
                    try:
                        await acknowledge(client, self.waiting[0][1], _NAME)
                    except (ServerError, RedisError, OSError):
                        self.put_off += 1
                        break
                    except StrapwatchError as error:
                        self.refused.append(str(error))
                    self.waiting.popleft()
        finally:
            await end(hearing)
            await client.aclose()

    async def _hear(self, server: GuardedServer) -> None:
        client = patient_client(server)
        try:
            async for alarm in follow_alarms(client):
                if alarm.transition in ("raised", "escalated"):
                    self.waiting.append((time.time(), alarm.identity))
        finally:
            await client.aclose()
