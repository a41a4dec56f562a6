"""Reads everything the dashboard shows from Redis, and keeps trying when Redis is away."""

import asyncio
import contextlib
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

import msgspec
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.cancellation import end
from monitor.dashboard.ledger import Ledger, active_alarms
from monitor.dashboard.said_feed import SaidFeed
from monitor.dashboard.snapshot import AthleteView, Closeup, Key, MonitorView, Snapshot
from monitor.dashboard.tester_feed import TesterFeed
from monitor.dashboard.trace import Trace
from monitor.live_state import (
    ATHLETE_PATTERN,
    CANARY_TEAM,
    MONITOR_PATTERN,
    TEAMS_KEY,
    AthleteState,
    BeatEntry,
    MonitorState,
    WaveMessage,
    alarms_key,
    athlete_key,
    beats_key,
    wave_key,
)
from monitor.responses import RECEIVER_PATTERN, ReceiverState
from monitor.sinks import decode_alarm, open_redis

if TYPE_CHECKING:
    # Reading rosters needs pydantic, showing none does not.
    from monitor.roster import Roster

POLL_S: Final = 0.25
_DISCOVER_EVERY: Final = 4
_ALARMS_READ_BACK: Final = 400
_CLOSEUP_BEATS: Final = 120
_FORGET_S: Final = 900.0
_MOST_WAIT_S: Final = 2.0

_state_decoder = msgspec.msgpack.Decoder(AthleteState)
_monitor_decoder = msgspec.msgpack.Decoder(MonitorState)
_beat_decoder = msgspec.msgpack.Decoder(BeatEntry)
_receiver_decoder = msgspec.msgpack.Decoder(ReceiverState)
_wave_decoder = msgspec.msgpack.Decoder(WaveMessage)


class _Seen:
    """An athlete's newest state, and when it last changed by our own steady clock."""

    __slots__ = ("changed_at", "state")

    def __init__(self, state: AthleteState, changed_at: float) -> None:
        self.state = state
        self.changed_at = changed_at


class _Heartbeat:
    """A monitor's newest heartbeat, and when it last changed by our own steady clock."""

    __slots__ = ("changed_at", "state")

    def __init__(self, state: MonitorState | None, changed_at: float) -> None:
        self.state = state
        self.changed_at = changed_at


class Feed:
    """A live picture of one Redis.

    Ages are measured by this machine's steady clock from the moment a value changed, so that a wrong clock on the
    monitor's machine makes nothing look stale or live.

    Parameters
    ----------
    url : str
        Address of Redis.
    teams : iterable of str, optional
        Only these teams; all by default.
    roster : Roster, optional
        Who wears which pseudonym.

    Attributes
    ----------
    traces : dict of Key to Trace
        Waveforms of the athletes that are watched.
    tester : TesterFeed
        What the tester's view shows, while somebody looks at it.
    said : SaidFeed
        What physicians said of alarms, while somebody looks at their list.
    damaged : int
        Entries that could not be read.
    """

    def __init__(
        self, url: str, teams: Iterable[str] | None = None, *, roster: "Roster | None" = None
    ) -> None:
        self.url = url
        self._roster = roster
        self._canary: tuple[bytes, float] | None = None
        self._receivers: dict[str, ReceiverState] = {}
        self.traces: dict[Key, Trace] = {}
        self.tester = TesterFeed()
        self.said = SaidFeed()
        self.damaged = 0
        self._only = frozenset(teams or ())
        self._client = open_redis(url)
        self._ledger = Ledger()
        self._seen: dict[Key, _Seen] = {}
        self._heartbeats: dict[str, _Heartbeat] = {}
        self._teams: set[str] = set(self._only)
        self._watched: frozenset[Key] = frozenset()
        self._closeup_key: Key | None = None
        self._closeup: Closeup | None = None
        self._away_since = time.monotonic()
        self._connected = False
        self._ever_connected = False
        self._trouble = ""

    async def run(self) -> None:
        """Read until cancelled; a server that is away is tried again for ever."""
        backoff = Backoff(most_s=_MOST_WAIT_S)
        try:
            while True:
                try:
                    await self._read()
                except* (RedisError, OSError, TimeoutError) as group:
                    if self._connected:
                        backoff.succeeded()
                    self._lost(group.exceptions[0])
                with contextlib.suppress(RedisError, OSError):
                    await self._client.connection_pool.disconnect(inuse_connections=True)
                await asyncio.sleep(backoff.next_wait_s())
        finally:
            with contextlib.suppress(RedisError, OSError):
                await self._client.aclose()

    async def _read(self) -> None:
        """Read all there is until one of the readers fails; then end the others and raise."""
        readers = [
            asyncio.create_task(reader) for reader in (self._poll(), self._read_alarms(), self._read_waves())
        ]
        try:
            done, _ = await asyncio.wait(readers, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for reader in readers:
                await end(reader)
        raise BaseExceptionGroup("readers", [e for task in done if (e := task.exception())])

    def watch(self, athletes: Iterable[Key]) -> None:
        """Listen to the waveforms of these athletes and no others, so that no more are published."""
        wanted = frozenset(athletes)
        if wanted != self._watched:
            self._watched = wanted

    def look_closely(self, key: Key | None) -> None:
        """Also read the beats of this athlete, or of none."""
        if key != self._closeup_key:
            self._closeup_key, self._closeup = key, None

    @property
    def closeup(self) -> Closeup | None:
        """The beats of the athlete that is looked at closely; None before they are read."""
        return self._closeup

    def snapshot(self) -> Snapshot:
        """Return all that is known now."""
        now = time.monotonic()
        records = self._ledger.by_athlete()
        views = []
        for key, seen in self._seen.items():
            history = records.get(key, [])
            alarms = tuple(active_alarms(seen.state, history))
            person = self._roster.person(*key) if self._roster is not None else None
            age_s = max(0.0, now - seen.changed_at)
            views.append(AthleteView(seen.state, age_s, alarms, tuple(history), person))
        return Snapshot(
            athletes=tuple(views),
            monitors=tuple(
                MonitorView(heartbeat.state, max(0.0, now - heartbeat.changed_at))
                for heartbeat in self._heartbeats.values()
                if heartbeat.state is not None
            ),
            waited_s=0.0 if self._connected else now - self._away_since,
            connected=self._connected,
            trouble=self._trouble,
            ever_connected=self._ever_connected,
            canary_age_s=None if self._canary is None else now - self._canary[1],
            receivers=tuple(self._receivers.values()),
        )

    # --- what is read --------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        await self._client.ping()
        turn = 0
        while True:
            if turn % _DISCOVER_EVERY == 0:
                await self._discover()
            turn += 1
            await self._read_states()
            await self._read_closeup()
            await self.tester.read(self._client, list(self._seen), self._teams)
            await self.said.read(self._client, self._teams)
            self._connected = self._ever_connected = True
            self._trouble = ""
            await asyncio.sleep(POLL_S)

    async def _discover(self) -> None:
        if not self._only:
            teams: Any = await self._client.smembers(TEAMS_KEY)
            self._teams = {team.decode() for team in teams}
        async for raw in self._client.scan_iter(match=ATHLETE_PATTERN, count=1000):
            team, _, athlete = raw.decode().removeprefix(ATHLETE_PATTERN[:-1]).partition("}:")
            key = Key(team.removeprefix("{"), athlete)
            if key not in self._seen and (not self._only or key.team in self._only):
                await self._read_state(key)
        async for raw in self._client.scan_iter(match=MONITOR_PATTERN, count=1000):
            self._heartbeats.setdefault(raw.decode(), _Heartbeat(None, time.monotonic()))
        await self._read_canary()
        await self._read_receivers()

    async def _read_canary(self) -> None:
        entries: Any = await self._client.xrevrange(alarms_key(CANARY_TEAM), count=1)
        if not entries or (self._canary is not None and self._canary[0] == entries[0][0]):
            return
        # Its age by the server's clock, which gave it its number.
        seconds, micros = await self._client.time()
        age_s = seconds + micros / 1e6 - int(entries[0][0].split(b"-")[0]) / 1e3
        self._canary = (entries[0][0], time.monotonic() - max(0.0, age_s))

    async def _read_receivers(self) -> None:
        names = [raw async for raw in self._client.scan_iter(match=RECEIVER_PATTERN, count=1000)]
        raws: Any = await self._client.mget(names) if names else []
        self._receivers = {}
        for name, raw in zip(names, raws, strict=True):
            try:
                if raw is not None:
                    self._receivers[name.decode()] = _receiver_decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1

    async def _read_state(self, key: Key) -> None:
        raw: Any = await self._client.hget(athlete_key(*key), "state")
        self._take_state(raw, first=True)

    async def _read_states(self) -> None:
        keys, monitors = list(self._seen), list(self._heartbeats)
        async with self._client.pipeline(transaction=False) as pipe:
            for key in keys:
                pipe.hget(athlete_key(*key), "state")
            for name in monitors:
                pipe.get(name)
            replies = await pipe.execute()
        for raw in replies[: len(keys)]:
            self._take_state(raw, first=False)
        for name, raw in zip(monitors, replies[len(keys) :], strict=True):
            self._take_heartbeat(name, raw)
        self._forget()

    def _take_state(self, raw: bytes | None, *, first: bool) -> None:
        if raw is None:
            return
        try:
            state = _state_decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged += 1
            return
        key, now = Key(state.team, state.athlete), time.monotonic()
        seen = self._seen.get(key)
        if seen is None:
            # Nothing is known yet of when it changed, so the writer's own time must do.
            age_s = max(0.0, time.time() - state.updated_at) if first else 0.0
            self._seen[key] = _Seen(state, now - age_s)
        elif state.updated_at != seen.state.updated_at:
            seen.state, seen.changed_at = state, now

    def _take_heartbeat(self, name: str, raw: bytes | None) -> None:
        if raw is None:
            return
        try:
            state = _monitor_decoder.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged += 1
            return
        heartbeat = self._heartbeats[name]
        if heartbeat.state is None or state.at != heartbeat.state.at:
            heartbeat.state, heartbeat.changed_at = state, time.monotonic()

    def _forget(self) -> None:
        """Leave out who has been away for a quarter of an hour, unless somebody must still acknowledge an alarm."""
        now = time.monotonic()
        for key in [k for k, seen in self._seen.items() if now - seen.changed_at > _FORGET_S]:
            if all(alarm.acknowledged_by for alarm in self._seen[key].state.alarms):
                del self._seen[key]
                self.traces.pop(key, None)
        for name in [n for n, h in self._heartbeats.items() if now - h.changed_at > _FORGET_S]:
            del self._heartbeats[name]

    async def _read_closeup(self) -> None:
        key = self._closeup_key
        if key is None:
            return
        entries: Any = await self._client.xrevrange(beats_key(*key), count=_CLOSEUP_BEATS)
        beats = []
        for _, fields in entries:
            try:
                beats.append(_beat_decoder.decode(fields[b"beat"]))
            except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
                self.damaged += 1
        if key == self._closeup_key:
            self._closeup = Closeup(key, tuple(beats))

    async def _read_alarms(self) -> None:
        """Follow every team's alarms; after a loss of connection the Stream is read anew from its end backwards."""
        ledger = Ledger()
        position: dict[str, bytes | str] = {}
        while True:
            for team in self._teams - position.keys():
                entries: Any = await self._client.xrevrange(alarms_key(team), count=_ALARMS_READ_BACK)
                for _, fields in reversed(entries):
                    self._take_alarm(ledger, fields)
                position[team] = entries[0][0] if entries else "0-0"
            if not position:
                await asyncio.sleep(POLL_S)
                continue
            # Only now, so that what was known stays on the screen until there is something newer.
            self._ledger = ledger
            streams: Any = {alarms_key(team): last for team, last in position.items()}
            replies: Any = await self._client.xread(streams, block=500)
            for name, entries in replies:
                team = name.decode().partition("{")[2].rstrip("}")
                for entry, fields in entries:
                    self._take_alarm(ledger, fields)
                    position[team] = entry

    def _take_alarm(self, ledger: Ledger, fields: dict[bytes, bytes]) -> None:
        alarm = decode_alarm(fields)
        if alarm is None:
            self.damaged += 1
        else:
            ledger.add(alarm)

    async def _read_waves(self) -> None:
        subscribed: dict[str, Key] = {}
        wanted: dict[str, Key] = {}
        listened: frozenset[Key] = frozenset()
        async with self._client.pubsub(ignore_subscribe_messages=True) as pubsub:
            while True:
                if self._watched is not listened:
                    listened = self._watched
                    wanted = {wave_key(*key): key for key in listened}
                if gone := subscribed.keys() - wanted.keys():
                    await pubsub.unsubscribe(*gone)
                    for name in gone:
                        self.traces.pop(subscribed[name], None)
                if new := wanted.keys() - subscribed.keys():
                    await pubsub.subscribe(*new)
                subscribed = wanted
                if not subscribed:
                    await asyncio.sleep(0.05)
                    continue
                message = await pubsub.get_message(timeout=0.1)
                if message is not None:
                    self._take_wave(subscribed, message)

    def _take_wave(self, subscribed: dict[str, Key], message: dict[str, Any]) -> None:
        key = subscribed.get(message["channel"].decode())
        if key is None:
            return
        try:
            wave = _wave_decoder.decode(message["data"])
        except (msgspec.DecodeError, UnicodeDecodeError):
            self.damaged += 1
            return
        if len(wave.microvolts) % 2 or not 1 <= wave.rate_hz <= 10_000:
            self.damaged += 1
            return
        self.traces.setdefault(key, Trace()).add(wave, time.monotonic())

    def _lost(self, error: BaseException) -> None:
        if self._connected:
            self._away_since = time.monotonic()
        self._connected = False
        self._trouble = str(error)
