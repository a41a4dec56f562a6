"""What the tester's view reads from Redis, and only while somebody looks at it: scores, misses, scorers."""

import time
from collections import deque
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import redis.asyncio

from monitor.dashboard.snapshot import Key
from monitor.scores import (
    SCORER_PATTERN,
    AthleteScore,
    Miss,
    ScorerState,
    misses_key,
    score_key,
)

MISSES_SHOWN: Final = 300
_READ_EVERY_S: Final = 1.0

_score_decoder = msgspec.msgpack.Decoder(AthleteScore)
_miss_decoder = msgspec.msgpack.Decoder(Miss)
_scorer_decoder = msgspec.msgpack.Decoder(ScorerState)


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Everything the tester's view shows, at one moment.

    Attributes
    ----------
    scores : tuple of AthleteScore
        Of every athlete whose truth somebody has told, in no order.
    misses : tuple of Miss
        The newest first.
    scorers : tuple of (ScorerState, float)
        Each scorer's heartbeat, and seconds since it last changed.
    read : bool
        Whether anything has been read yet.
    """

    scores: tuple[AthleteScore, ...] = ()
    misses: tuple[Miss, ...] = ()
    scorers: tuple[tuple[ScorerState, float], ...] = ()
    read: bool = False


class TesterFeed:
    """Reads scores for as long as they are wanted.

    Attributes
    ----------
    wanted : bool
        Whether somebody looks.
    damaged : int
        Entries that could not be read.
    """

    def __init__(self) -> None:
        self.wanted = False
        self.damaged = 0
        self._due = 0.0
        self._read = False
        self._scores: dict[Key, AthleteScore] = {}
        self._misses: deque[Miss] = deque(maxlen=MISSES_SHOWN)
        self._positions: dict[str, bytes | str] = {}
        self._scorers: dict[str, tuple[ScorerState, float]] = {}

    def verdicts(self) -> Verdicts:
        """Return all that is known now."""
        now = time.monotonic()
        return Verdicts(
            scores=tuple(self._scores.values()),
            misses=tuple(reversed(self._misses)),
            scorers=tuple((state, now - changed_at) for state, changed_at in self._scorers.values()),
            read=self._read,
        )

    async def read(
        self, client: "redis.asyncio.Redis", athletes: Collection[Key], teams: Iterable[str]
    ) -> None:
        """Read what is new, if it is wanted and time for it.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        if not self.wanted or time.monotonic() < self._due:
            return
        self._due = time.monotonic() + _READ_EVERY_S
        await self._read_scores(client, athletes)
        await self._read_scorers(client)
        for team in teams:
            await self._read_misses(client, team)
        self._read = True

    async def _read_scores(self, client: "redis.asyncio.Redis", athletes: Collection[Key]) -> None:
        if not athletes:
            return
        raws: Any = await client.mget([score_key(*key) for key in athletes])
        for key, raw in zip(athletes, raws, strict=True):
            if raw is None:
                self._scores.pop(key, None)
                continue
            try:
                self._scores[key] = _score_decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1

    async def _read_scorers(self, client: "redis.asyncio.Redis") -> None:
        names = {raw async for raw in client.scan_iter(match=SCORER_PATTERN, count=1000)}
        for name in self._scorers.keys() - {name.decode() for name in names}:
            del self._scorers[name]
        for name in names:
            raw: Any = await client.get(name)
            try:
                state = _scorer_decoder.decode(raw) if raw is not None else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1
                continue
            known = self._scorers.get(name.decode())
            if state is not None and (known is None or known[0].at != state.at):
                self._scorers[name.decode()] = (state, time.monotonic())

    async def _read_misses(self, client: "redis.asyncio.Redis", team: str) -> None:
        key = misses_key(team)
        position = self._positions.get(key)
        entries: Any
        if position is None:
            entries = await client.xrevrange(key, count=MISSES_SHOWN)
            entries.reverse()
        else:
            entries = await client.xrange(key, min=b"(" + _as_bytes(position))
        for entry, fields in entries:
            self._positions[key] = entry
            try:
                self._misses.append(_miss_decoder.decode(fields[b"miss"]))
            except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1


def _as_bytes(position: bytes | str) -> bytes:
    return position if isinstance(position, bytes) else position.encode()
