"""What is about now: beats, states, waveforms and the heartbeat, in one round trip to the server.

Of monitors that watch the same strap one is the writer of its athlete (``writer.lua``): the others keep back what they
would write, so that nobody reads beats twice, or an athlete that goes to and fro between two. Each keeps its last
beats for the moment in which it becomes the writer. Alarms go another way, from all of them.
"""

import hashlib
import time
from collections import deque
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Final

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import NoScriptError, RedisError, ResponseError

from monitor.live_state import (
    ATHLETE_TTL_S,
    BEATS_KEPT,
    BEATS_KEPT_S,
    ENDED_TTL_S,
    HELD_TTL_S,
    MONITOR_TTL_S,
    TEAMS_KEY,
    AthleteState,
    BeatEntry,
    athlete_key,
    beats_key,
    held_key,
    monitor_key,
    wave_key,
)
from monitor.sinks.audit import add_audit
from monitor.sinks.batch import SinkBatch
from monitor.sinks.held_beats import Told, not_yet_written

WRITER_S: Final = 3.0
"""So long after its last state an athlete's writer stays it; a strap that is heard is told every second."""
SILENT_WRITER_S: Final = 10.0
"""The same where it hears no strap: then it tells less often."""
HEARS_S: Final = 3.0
BEATS_HELD_BACK: Final = 64
_TAKEN_OVER_AT_ONCE: Final = 16
"""Athletes whose beats are told together when we become their writer."""
_HELD_EVERY_S: Final = 3.0
# Times to live are set anew this often, not with every write.
_TEAMS_EXPIRY_EVERY_S: Final = 10.0
_BEATS_EXPIRY_EVERY_S: Final = 600.0
_KEYS_KNOWN: Final = 20_000

Key = tuple[str, str]

_log = structlog.stdlib.get_logger(__name__)
_encode = msgspec.msgpack.Encoder().encode
_beats = msgspec.msgpack.Decoder(BeatEntry)


class LiveWriter:
    """Writes what is about now, as far as no other monitor does.

    Parameters
    ----------
    client : redis.asyncio.Redis
        Where to write.
    name : str
        Another for each monitor, and the same again after a restart.
    """

    def __init__(self, client: "redis.asyncio.Redis", name: str) -> None:
        self._client = client
        self._name = name
        self._script = files("monitor.sinks").joinpath("writer.lua").read_text(encoding="utf-8")
        self._sha = hashlib.sha1(self._script.encode(), usedforsecurity=False).hexdigest()
        self._held_back: dict[Key, deque[BeatEntry]] = {}
        self._held_at: dict[Key, dict[str, float]] = {}
        self._expiry_due: dict[str, float] = {}

    def begin(self) -> None:
        """Begin with a server that may have forgotten everything."""
        self._expiry_due.clear()

    def writes(self, team: str, athlete: str) -> bool:
        """Whether no other monitor is the writer of an athlete, as far as is known."""
        return (team, athlete) not in self._held_back

    async def write(self, batch: SinkBatch) -> list[tuple[str, Exception]]:
        """Write what is about now; return what the server refuses, by name.

        Raises
        ------
        redis.exceptions.RedisError, OSError
            If the server cannot be reached.
        """
        beats, held_back = self._parted(batch.beats)
        names, pipeline = self._pipeline(batch, beats)
        replies = await pipeline.execute(raise_on_error=False)
        if any(isinstance(reply, NoScriptError) for reply in replies):
            await self._client.script_load(self._script)
            again = self._client.pipeline(transaction=False)
            self._put_states(again, batch.states)
            states = iter(await again.execute(raise_on_error=False))
            replies = [
                next(states) if name == "states" else reply
                for name, reply in zip(names, replies, strict=True)
            ]
        # Only now: a batch that does not arrive comes again whole.
        for team, athlete, beat in held_back:
            self._held_back[team, athlete].append(beat)
        refused = [
            (name, reply)
            for name, reply in zip(names, replies, strict=True)
            if isinstance(reply, Exception) and name != "expiry"
        ]
        written = [reply for name, reply in zip(names, replies, strict=True) if name == "states"]
        taken_over = []
        for state, reply in zip(batch.states, written, strict=True):
            key = (state.team, state.athlete)
            if reply == 0:
                self._held_back.setdefault(key, deque(maxlen=BEATS_HELD_BACK))
            elif reply == 1 and key in self._held_back:
                taken_over.append(key)
        for first in range(0, len(taken_over), _TAKEN_OVER_AT_ONCE):
            refused += await self._tell_held_back(taken_over[first : first + _TAKEN_OVER_AT_ONCE])
        return refused

    async def last_beats(self, athletes: Iterable[Key]) -> dict[Key, BeatEntry]:
        """Return the last beat in the Stream of each athlete who has one, in one round trip.

        One that cannot be read is said and left out.

        Raises
        ------
        redis.exceptions.RedisError, OSError
            If the server cannot be reached.
        """
        keys = sorted(athletes)
        pipeline: Any = self._client.pipeline(transaction=False)
        for key in keys:
            pipeline.xrevrange(beats_key(*key), count=1)
        found: dict[Key, BeatEntry] = {}
        for key, entries in zip(keys, await pipeline.execute(raise_on_error=False), strict=True):
            try:
                if isinstance(entries, Exception):
                    raise entries
                if entries:
                    found[key] = _beats.decode(entries[0][1][b"beat"])
            except (ResponseError, KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
                _log.error(
                    "a beat in the server cannot be read", team=key[0], athlete=key[1], reason=str(error)
                )
        return found

    async def _tell_held_back(self, keys: list[Key]) -> list[tuple[str, Exception]]:
        """Write what the writer before may not have written any more; return what the server refuses."""
        held = [(*key, beat) for key in keys for beat in self._held_back[key]]
        pipeline: Any = self._client.pipeline(transaction=False)
        try:
            for team, athlete, beat in not_yet_written(held, await self.last_beats(keys)):
                _add_beat(pipeline, team, athlete, beat)
            replies = await pipeline.execute(raise_on_error=False)
        except (RedisError, OSError) as error:
            # The batch itself has arrived. These stay held back, and are told with the next state.
            _log.warning("beats that were held back wait on", athletes=len(keys), reason=str(error))
            return []
        for key in keys:
            del self._held_back[key]
        return [("beats", reply) for reply in replies if isinstance(reply, Exception)]

    def _parted(self, beats: list[Told]) -> tuple[list[Told], list[Told]]:
        """Return the beats that are ours to write, and those that are another monitor's."""
        if not self._held_back:
            return beats, []
        ours = [told for told in beats if told[:2] not in self._held_back]
        return ours, [told for told in beats if told[:2] in self._held_back]

    def _pipeline(self, batch: SinkBatch, beats: list[Told]) -> tuple[list[str], Any]:
        # The client types pipelines by protocol and decoding; what is put in here needs none of it.
        pipeline: Any = self._client.pipeline(transaction=False)
        names: list[str] = []
        for team, athlete, beat in beats:
            _add_beat(pipeline, team, athlete, beat)
            names.append("beats")
            if self._is_due(beats_key(team, athlete), _BEATS_EXPIRY_EVERY_S):
                pipeline.execute_command("EXPIRE", beats_key(team, athlete), BEATS_KEPT_S)
                names.append("expiry")
        self._put_states(pipeline, batch.states)
        names += ["states"] * len(batch.states)
        for state in batch.states:
            for identity in self._held_now(state):
                pipeline.set(held_key(state.team, identity), b"", ex=HELD_TTL_S)
                names.append("expiry")
        if teams := {
            state.team
            for state in batch.states
            if self._is_due(f"{TEAMS_KEY}:{state.team}", _TEAMS_EXPIRY_EVERY_S)
        }:
            pipeline.sadd(TEAMS_KEY, *teams)
            names.append("expiry")
        for team, athlete, wave in batch.waves:
            if self.writes(team, athlete):
                pipeline.publish(wave_key(team, athlete), _encode(wave))
                names.append("waves")
        if batch.monitor is not None:
            kept_s = ENDED_TTL_S if batch.monitor.ended else MONITOR_TTL_S
            pipeline.set(monitor_key(batch.monitor.monitor_id), _encode(batch.monitor), ex=kept_s)
            names.append("heartbeats")
        names += ["audit"] * add_audit(pipeline, batch.audit)
        return names, pipeline

    def _put_states(self, pipeline: Any, states: list[AthleteState]) -> None:
        for state in states:
            hears = state.online and state.updated_at - state.last_packet_at < HEARS_S
            pipeline.execute_command(
                "EVALSHA",
                self._sha,
                1,
                athlete_key(state.team, state.athlete),
                self._name,
                int(hears),
                _encode(state),
                round(1000 * (WRITER_S if hears else SILENT_WRITER_S)),
                ATHLETE_TTL_S,
            )

    def _is_due(self, key: str, every_s: float) -> bool:
        """Whether a key's time to live is to be set anew; then it counts as done."""
        now = time.monotonic()
        if now < self._expiry_due.get(key, 0.0):
            return False
        if len(self._expiry_due) > _KEYS_KNOWN:
            self._expiry_due.clear()
        self._expiry_due[key] = now + every_s
        return True

    def _held_now(self, state: AthleteState) -> list[str]:
        """Return the alarms whose condition we see, and of which we have not said so just now."""
        key = (state.team, state.athlete)
        seen = [alarm.identity for alarm in state.alarms if not alarm.cleared]
        if not seen:
            self._held_at.pop(key, None)
            return []
        now = time.monotonic()
        said = self._held_at.get(key, {})
        due = [each for each in seen if now - said.get(each, now - HELD_TTL_S) >= _HELD_EVERY_S]
        # Only what is still seen is remembered: a season has more alarms than a moment.
        self._held_at[key] = {each: now if each in due else said[each] for each in seen}
        return due


def _add_beat(pipeline: Any, team: str, athlete: str, beat: BeatEntry) -> None:
    # A command in its final form: the client's own method would take longer to make this than to send it.
    pipeline.execute_command(
        "XADD", beats_key(team, athlete), "MAXLEN", "~", BEATS_KEPT, "*", "beat", _encode(beat)
    )
