"""The recorder, live: packets from a broker and the monitor's beats from Redis, into files.

Files are written in a thread of their own; the event loop only moves bytes. A server that is away costs beats, never
samples.
"""

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.live_state import BeatEntry, beats_key
from monitor.recorder import Recorder, RecorderCounters
from monitor.sources import Source

_STEP_S: Final = 0.25
_POLL_S: Final = 0.5
_AT_ONCE: Final = 5_000
_MOST_WAITING: Final = 200_000
FAREWELL_S: Final = 3.0
"""How long the last beats are waited for at the end: their windows close, and the monitor has to tell them."""

_log = structlog.stdlib.get_logger(__name__)
_decoder = msgspec.msgpack.Decoder(BeatEntry)
Named = tuple[str, str, BeatEntry]


class BeatTail:
    """Reads the beats of those athletes that are named, from now on.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server.
    """

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        self._client = client
        self._since = ""
        self._last: dict[str, str] = {}
        self._of: dict[str, tuple[str, str]] = {}

    async def read(self, athletes: list[tuple[str, str]]) -> list[Named]:
        """Return what is new of `athletes`.

        Raises
        ------
        RedisError, OSError
            If the server is away; nothing is lost by that, as long as it keeps its Streams.
        """
        if not self._since:
            # By the server's own clock.
            self._since = f"{(await self._client.time())[0] * 1000}-0"
        for team, athlete in athletes:
            key = beats_key(team, athlete)
            self._last.setdefault(key, self._since)
            self._of[key] = (team, athlete)
        beats: list[Named] = []
        while self._last:
            streams: Any = await self._client.xread(dict[Any, Any](self._last), count=_AT_ONCE)
            for raw, entries in streams:
                key = raw.decode()
                for entry, fields in entries:
                    self._last[key] = entry.decode()
                    with suppress(msgspec.MsgspecError, UnicodeDecodeError, KeyError):
                        beats.append((*self._of[key], _decoder.decode(fields[b"beat"])))
            if not streams or len(beats) >= _MOST_WAITING:
                break
        return beats


class LiveRecorder:
    """Runs a recorder between a source and the beats.

    Parameters
    ----------
    source : Source
        Entered already.
    recorder : Recorder
        Closed at the end.
    beats : BeatTail or None
        None to record samples only.
    wanted : callable
        Tells whether an athlete, given team and name, is recorded.
    """

    def __init__(
        self,
        *,
        source: Source,
        recorder: Recorder,
        beats: BeatTail | None,
        wanted: Callable[[str, str], bool] = lambda _team, _athlete: True,
    ) -> None:
        self._source = source
        self._recorder = recorder
        self._beats = beats
        self._wanted = wanted
        self._waiting: list[Named] = []
        self._started_at = time.time()
        self._begun = time.monotonic()

    async def run(self) -> RecorderCounters:
        """Record until cancelled; then finish all files. Returns only if the source ends."""
        tail = asyncio.create_task(self._read_beats(), name="beats") if self._beats is not None else None
        try:
            while True:
                await asyncio.to_thread(self._step)
                await asyncio.sleep(_STEP_S)
        finally:
            await asyncio.shield(self._farewell(tail))

    def now(self) -> float:
        """Return the Unix time in seconds, on a clock that only moves forward."""
        return self._started_at + (time.monotonic() - self._begun)

    def _step(self) -> None:
        now = self.now()
        for arrival in self._source.take():
            if self._wanted(arrival.topic.team, arrival.topic.athlete):
                self._recorder.receive(arrival.topic, arrival.payload, now)
            arrival.ack()
        beats, self._waiting = self._waiting, []
        for team, athlete, beat in beats:
            self._recorder.beat(team, athlete, beat)
        self._recorder.tick(now)

    async def _read_beats(self) -> None:
        assert self._beats is not None  # noqa: S101 - only started with beats
        backoff = Backoff()
        away = False
        while True:
            try:
                beats = await self._beats.read(self._recorder.athletes)
            except (RedisError, OSError) as error:
                if not away:
                    _log.warning("no beats for now, trying again", reason=str(error) or type(error).__name__)
                away = True
                await asyncio.sleep(backoff.next_wait_s())
                continue
            if away:
                _log.info("beats come again")
                away = False
            backoff.succeeded()
            self._waiting += beats
            await asyncio.sleep(_POLL_S)

    async def _farewell(self, tail: "asyncio.Task[None] | None") -> None:
        if tail is not None:
            await asyncio.sleep(FAREWELL_S)
            tail.cancel()
            await asyncio.gather(tail, return_exceptions=True)
        await asyncio.to_thread(self._step)
        await asyncio.to_thread(self._recorder.close, self.now())
