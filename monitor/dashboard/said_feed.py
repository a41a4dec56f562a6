"""What physicians said of alarms, read from Redis while somebody looks at the list of alarms."""

from collections.abc import Iterable
from typing import Any

import msgspec
import redis.asyncio

from monitor.responses import FEEDBACK_KEPT, Feedback, feedback_key

_feedback_decoder = msgspec.msgpack.Decoder(Feedback)


class SaidFeed:
    """Reads feedback for as long as it is wanted.

    Attributes
    ----------
    wanted : bool
        Whether somebody looks.
    said : dict of str to Feedback
        The newest word on each alarm, by identity.
    damaged : int
        Entries that could not be read.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.said: dict[str, Feedback] = {}
        self.damaged = 0
        self._positions: dict[str, bytes] = {}

    async def read(self, client: "redis.asyncio.Redis", teams: Iterable[str]) -> None:
        """Read what is new, if it is wanted.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        if not self.wanted:
            return
        for team in teams:
            key = feedback_key(team)
            position = self._positions.get(key)
            entries: Any = await client.xrange(
                key, min="-" if position is None else b"(" + position, count=500
            )
            for entry, fields in entries:
                self._positions[key] = entry
                try:
                    feedback = _feedback_decoder.decode(fields[b"feedback"])
                except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
                    self.damaged += 1
                    continue
                self.said.pop(feedback.identity, None)
                self.said[feedback.identity] = msgspec.structs.replace(feedback, alarm=None)
        while len(self.said) > FEEDBACK_KEPT:
            del self.said[next(iter(self.said))]
