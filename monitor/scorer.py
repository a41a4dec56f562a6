"""The scorer: joins the beats that a monitor wrote with the truth that simulated straps tell, beside the monitor.

It hears truth, ledger and samples from the broker, reads states, beats and alarms from Redis, and writes scores, misses
and its own heartbeat back. The monitor never sees any of it.
"""

import asyncio
import contextlib
import time
from collections import deque
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.boot_scorer import NO_MONITOR, START_S
from monitor.cancellation import end, end_if_cancelled
from monitor.errors import PacketError
from monitor.latency import alarm_latency_s, quantiles
from monitor.live_scorer import LiveScorer
from monitor.live_state import (
    MONITOR_PATTERN,
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
)
from monitor.scored_athlete import ScoredAthlete
from monitor.scores import (
    MISSES_KEPT,
    SCORE_TTL_S,
    SCORER_TTL_S,
    Latency,
    Miss,
    ScorerState,
    misses_key,
    score_key,
    scorer_key,
)
from monitor.sinks import decode_alarm
from monitor.sources import Arrival, Source
from monitor.wire import (
    WIRE_VERSION,
    LedgerMessage,
    TruthMessage,
    decode_ledger,
    decode_samples,
    decode_truth,
)

POLL_S: Final = 0.5
PUBLISH_EVERY_S: Final = 1.0
LOOK_BACK_S: Final = 30.0
"""Beats are read from this long before an athlete's first truth."""
_HEAR_EVERY_S: Final = 0.05
MONITOR_SILENT_S: Final = 3.0
"""A monitor whose heartbeat has not changed for so long does not hear the straps."""
_AT_ONCE: Final = 5_000
_MOST_ATHLETES: Final = 5_000
_LATENCIES: Final = 20_000
_UNSCORED: Final = frozenset({"samples_skipped"})

_monitor_decoder = msgspec.msgpack.Decoder(MonitorState)
_state_decoder = msgspec.msgpack.Decoder(AthleteState)
_beat_decoder = msgspec.msgpack.Decoder(BeatEntry)
_encode = msgspec.msgpack.encode


def topic_filters(team: str | None = None) -> tuple[str, ...]:
    """Return what a scorer hears, of one team or of all."""
    return tuple(f"ecg/{team or '+'}/+/{channel}" for channel in ("truth", "ledger", "samples"))


class _Heartbeat(NamedTuple):
    """A monitor's last heartbeat; when it last changed and when the first was seen, by our own steady clock."""

    at: float
    changed_at: float
    since: float


class Scorer:
    """Scores whoever tells truth on the broker, for as long as it runs.

    Parameters
    ----------
    client : redis.asyncio.Redis
        Where beats are read and scores are written.
    source : Source
        Entered already; hears `topic_filters`.
    scorer_id : str
        Name in the heartbeat.
    """

    def __init__(self, client: "redis.asyncio.Redis", source: Source, *, scorer_id: str) -> None:
        self._client = client
        self._source = source
        self._scorer_id = scorer_id
        self._scorer = LiveScorer()
        self._athletes: dict[tuple[str, str], ScoredAthlete] = {}
        self._positions: dict[str, str] = {}
        self._beats_of: dict[str, ScoredAthlete] = {}
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._alarm_latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._misses: deque[Miss] = deque(maxlen=MISSES_KEPT)
        self._damaged = 0
        self._heartbeats: dict[str, _Heartbeat] = {}
        self._monitor_lives = False

    async def run(self) -> None:
        """Score until cancelled; a server that is away is tried again for ever."""
        hearing = asyncio.create_task(self._hear(), name="truth")
        backoff = Backoff()
        try:
            while not hearing.done():
                try:
                    await self._follow(hearing)
                    backoff.succeeded()
                except (RedisError, OSError, TimeoutError):
                    await asyncio.sleep(backoff.next_wait_s())
            hearing.result()
        finally:
            await end(hearing)

    async def _follow(self, hearing: "asyncio.Task[None]") -> None:
        published_at = 0.0
        while not hearing.done():
            end_if_cancelled()
            await self.read()
            if time.monotonic() - published_at >= PUBLISH_EVERY_S:
                published_at = time.monotonic()
                await self.publish()
            await asyncio.sleep(POLL_S)

    # --- what straps tell --------------------------------------------------------------------------------------------

    async def _hear(self) -> None:
        # All that waits at once: a task for each message would cost more than the message.
        while True:
            for arrival in self._source.take():
                try:
                    self.hear(arrival)
                except PacketError:
                    self._damaged += 1
                arrival.ack()
            await asyncio.sleep(_HEAR_EVERY_S)

    def hear(self, arrival: Arrival) -> None:
        """Take in one message of a strap.

        Raises
        ------
        PacketError
            If it is none.
        """
        topic = arrival.topic
        if topic.channel == "truth":
            truth = decode_truth(arrival.payload)
            athlete = self._athlete(topic.team, topic.athlete)
            if athlete is not None:
                athlete.truth(truth)
                if not self._monitor_lives:
                    # It is noticed late that a monitor has fallen silent, so this reaches back as far.
                    before = round(2 * MONITOR_SILENT_S * athlete.signal.rate_hz)
                    first = max(0, truth.first_sample - before)
                    self._scorer.lost(
                        topic.team, topic.athlete, truth.boot, first, truth.end_sample, NO_MONITOR
                    )
                self._scorer.truth(topic.team, topic.athlete, truth)
        elif topic.channel == "ledger":
            ledger = decode_ledger(arrival.payload)
            athlete = self._athlete(topic.team, topic.athlete)
            if athlete is not None:
                athlete.ledger(ledger)
                self._troubles(topic.team, topic.athlete, ledger)
        elif topic.channel == "samples":
            known = self._athletes.get((topic.team, topic.athlete))
            if known is not None:
                known.signal.add(decode_samples(arrival.payload))

    def _athlete(self, team: str, name: str) -> ScoredAthlete | None:
        athlete = self._athletes.get((team, name))
        if athlete is None and len(self._athletes) < _MOST_ATHLETES:
            athlete = self._athletes[team, name] = ScoredAthlete(team, name)
        return athlete

    def _troubles(self, team: str, athlete: str, ledger: LedgerMessage) -> None:
        for first, stop, cause in ledger.troubles:
            self._scorer.lost(team, athlete, ledger.boot, first, stop, cause)
            if cause in _UNSCORED:
                # The strap never took these samples: nothing tells truth about them, and nothing is to be waited for.
                never = TruthMessage(
                    version=WIRE_VERSION,
                    boot=ledger.boot,
                    first_sample=first,
                    end_sample=stop,
                    r_samples=[],
                    classes=[],
                    scored=False,
                )
                self._scorer.truth(team, athlete, never)

    # --- what the monitor wrote --------------------------------------------------------------------------------------

    async def read(self) -> None:
        """Read all that is new from Redis and settle what that allows."""
        await self._look_for_monitors()
        await self._begin_streams()
        await self._read_states()
        while self._positions:
            streams: Any = await self._client.xread(dict[Any, Any](self._positions), count=_AT_ONCE)
            for key, entries in streams:
                self._take(key.decode(), entries)
            if not streams:
                break
        for athlete in self._athletes.values():
            state = athlete.state
            if state is not None and (state.boot, state.last_sample) != athlete.covered:
                athlete.covered = (state.boot, state.last_sample)
                self._scorer.covered(
                    athlete.team, athlete.athlete, state.boot, state.last_sample, rate_hz=state.rate_hz
                )
        for finding in self._scorer.findings():
            miss = self._athletes[finding.team, finding.athlete].miss(finding)
            if miss is not None:
                self._misses.append(miss)

    async def _look_for_monitors(self) -> None:
        """Notice whether any monitor hears the straps: a heartbeat counts while it changes, and not from the first."""
        now = time.monotonic()
        names = [raw async for raw in self._client.scan_iter(match=MONITOR_PATTERN, count=1000)]
        raws: Any = await self._client.mget(names) if names else []
        heard: dict[str, _Heartbeat] = {}
        for name, raw in zip(names, raws, strict=True):
            try:
                state = _monitor_decoder.decode(raw) if raw is not None else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._damaged += 1
                continue
            if state is not None and state.broker_connected and not state.ended:
                known = self._heartbeats.get(name.decode(), _Heartbeat(state.at, now, now))
                heard[name.decode()] = (
                    known if known.at == state.at else _Heartbeat(state.at, now, known.since)
                )
        self._heartbeats = heard
        self._monitor_lives = any(
            now - each.changed_at < MONITOR_SILENT_S and now - each.since >= START_S
            for each in heard.values()
        )

    async def _begin_streams(self) -> None:
        new = [a for a in self._athletes.values() if beats_key(a.team, a.athlete) not in self._positions]
        if not new:
            return
        seconds, micros = await self._client.time()
        begin = f"{round(1000 * (seconds + micros / 1e6 - LOOK_BACK_S))}-0"
        for athlete in new:
            key = beats_key(athlete.team, athlete.athlete)
            self._beats_of[key] = athlete
            self._positions[key] = begin
            self._positions.setdefault(alarms_key(athlete.team), begin)

    async def _read_states(self) -> None:
        athletes = list(self._athletes.values())
        async with self._client.pipeline(transaction=False) as pipe:
            for athlete in athletes:
                pipe.hget(athlete_key(athlete.team, athlete.athlete), "state")
            replies = await pipe.execute()
        for athlete, raw in zip(athletes, replies, strict=True):
            if raw is None:
                continue
            try:
                athlete.seen(_state_decoder.decode(raw))
            except (msgspec.DecodeError, UnicodeDecodeError):
                self._damaged += 1

    def _take(self, key: str, entries: list[Any]) -> None:
        athlete = self._beats_of.get(key)
        for entry, fields in entries:
            self._positions[key] = entry.decode()
            entered_at = int(entry.split(b"-")[0]) / 1000.0
            if athlete is not None:
                self._take_beat(athlete, fields, entered_at)
                continue
            alarm = decode_alarm(fields)
            latency_s = None
            if alarm is not None and alarm.transition == "raised":
                latency_s = alarm_latency_s(alarm, entered_at)
            if latency_s is not None:
                self._alarm_latencies.append(latency_s)

    def _take_beat(self, athlete: ScoredAthlete, fields: dict[bytes, bytes], entered_at: float) -> None:
        try:
            beat = _beat_decoder.decode(fields[b"beat"])
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
            self._damaged += 1
            return
        rate_hz = athlete.state.rate_hz if athlete.state is not None else athlete.signal.rate_hz
        if rate_hz:
            self._latencies.append(entered_at - beat.due_at)
            athlete.beat(beat, entered_at - beat.due_at)
            self._scorer.beat(athlete.team, athlete.athlete, beat.boot, beat.r_sample, beat.label, rate_hz)

    # --- what testers read -------------------------------------------------------------------------------------------

    async def publish(self) -> None:
        """Write scores, misses and the heartbeat."""
        now = time.time()
        changed = [athlete for athlete in self._athletes.values() if athlete.changed]
        misses = list(self._misses)
        async with self._client.pipeline(transaction=False) as pipe:
            for athlete in changed:
                live = self._scorer.score(athlete.team, athlete.athlete)
                key = score_key(athlete.team, athlete.athlete)
                pipe.set(key, _encode(athlete.score(live, now)), ex=SCORE_TTL_S)
            for miss in misses:
                pipe.xadd(
                    misses_key(miss.team), {"miss": _encode(miss)}, maxlen=MISSES_KEPT, approximate=True
                )
            pipe.set(scorer_key(self._scorer_id), _encode(self._state(now)), ex=SCORER_TTL_S)
            await pipe.execute()
        for athlete in changed:
            athlete.changed = False
        for _ in misses:
            self._misses.popleft()

    def _state(self, now: float) -> ScorerState:
        return ScorerState(
            scorer_id=self._scorer_id,
            at=now,
            broker_connected=self._source.connected,
            athletes=len(self._athletes),
            latency=_latency(self._latencies),
            alarm_latency=_latency(self._alarm_latencies),
            dropped=self._source.dropped + self._damaged,
        )


def _latency(seconds: "deque[float]") -> Latency:
    found = quantiles(seconds)
    return Latency(p50=found[0], p99=found[1], n=len(seconds)) if found else Latency()


async def run_scorer(redis_client: "redis.asyncio.Redis", source: Source, *, scorer_id: str) -> None:
    """Run a `Scorer` until cancelled and leave its heartbeat to nobody."""
    try:
        await Scorer(redis_client, source, scorer_id=scorer_id).run()
    finally:
        with contextlib.suppress(RedisError, OSError):
            await redis_client.delete(scorer_key(scorer_id))
