"""Adding a transition to a team's Stream of alarms, exactly once however often and by whomever it is sent."""

from importlib.resources import files
from typing import Any, Final, Literal, NamedTuple, cast

import msgspec
import redis.asyncio

from monitor.contract import Alarm
from monitor.live_state import CANARY_TEAM, alarms_key, alarms_seen_key, held_key
from monitor.sinks.identity import Identity

SAME_EPISODE_S: Final = 2.0
"""Two onsets of one kind this close, in seconds, are one episode."""
ALARMS_KEPT: Final = 20_000
"""Entries a team's Stream keeps, roughly: with a strip in each, some hundred megabytes at most."""
CANARIES_KEPT: Final = 200
_KNOWN_KEPT: Final = 2_000
_KNOWN_S: Final = 7 * 24 * 3600
_CLOCKS_DIFFER_S: Final = 60.0
"""Clocks of monitor and server are this close; what began later after an alarm was over is not that alarm."""

Outcome = Literal["added", "known", "unknown"]
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Alarm)


class Addition(NamedTuple):
    """What became of a transition.

    Attributes
    ----------
    outcome : str
        ``"added"``; ``"known"`` if it was there before, which is as good; ``"unknown"`` for an acknowledgement of
        what was never raised.
    alarm : Alarm
        As it stands in the Stream: its episode is the known one where the given one lay within `SAME_EPISODE_S`.
    acknowledged : Alarm or None
        Of a raise or an acknowledgement that was there before: the acknowledgement that stands.
    """

    outcome: Outcome
    alarm: Alarm
    acknowledged: Alarm | None = None

    @property
    def added(self) -> bool:
        """Whether the Stream has grown."""
        return self.outcome == "added"


class AlarmScript:
    """The atomic script ``alarms.lua`` on one server; it is loaded again when the server has forgotten it.

    Parameters
    ----------
    client : redis.asyncio.Redis
        Where to add.
    """

    def __init__(self, client: "redis.asyncio.Redis") -> None:
        source = files("monitor.sinks").joinpath("alarms.lua").read_text(encoding="utf-8")
        self._client = client
        self._script = client.register_script(source)

    async def add(self, alarm: Alarm) -> Addition:
        """Add a transition of an alarm to its team's Stream, unless it is there.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached or refuses to write; nothing was added then.
        """
        outcome, episode, entry = await self._run(alarm)
        if outcome == "rename":
            alarm = msgspec.structs.replace(alarm, episode=episode)
            outcome, episode, entry = await self._run(alarm)
        acknowledged = None
        if alarm.transition in ("raised", "acknowledged") and outcome == "known" and entry:
            # As in `raised_alarm`; none where it has left the Stream.
            found: Any = await self._client.xrange(alarms_key(alarm.team), entry, entry)
            acknowledged = decode_alarm(found[0][1]) if found else None
        return Addition(
            cast("Outcome", outcome), msgspec.structs.replace(alarm, episode=episode), acknowledged
        )

    async def _run(self, alarm: Alarm) -> tuple[str, int, bytes]:
        named = Identity(alarm.team, alarm.athlete, alarm.strap, alarm.boot, alarm.kind, alarm.episode)
        identity = alarm.identity
        outcome, episode, entry = await self._script(
            keys=[
                alarms_key(alarm.team),
                known_key(named),
                held_key(alarm.team, identity.rpartition(".")[0] + "."),
            ],
            args=[
                alarm.transition,
                alarm.episode,
                int(SAME_EPISODE_S * alarm.rate_hz),
                identity,
                _encoder.encode(alarm),
                CANARIES_KEPT if alarm.team == CANARY_TEAM else ALARMS_KEPT,
                _KNOWN_KEPT,
                _KNOWN_S,
                alarm.known_sample,
                round(1000.0 * alarm.onset_at),
                round(1000.0 * _CLOCKS_DIFFER_S),
            ],
        )
        return outcome.decode(), int(episode), entry


async def raised_alarm(client: "redis.asyncio.Redis", named: Identity) -> Alarm | None:
    """Return the alarm as it was raised, or None if it is not known (any more).

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    key, episode = known_key(named), named.episode
    for _ in range(2):
        entry = None
        # The client's types allow for every protocol and decoding; here it is always version 2 and bytes.
        members: Any = await client.zrangebyscore(key, episode, episode)
        for member in members:
            _, what, reference, *_ = member.decode().split("|")
            if what == "raised":
                entry = reference
            elif what == "same":
                episode = int(reference)
        if entry is not None:
            found: Any = await client.xrange(alarms_key(named.team), entry, entry)
            return decode_alarm(found[0][1]) if found else None
    return None


def decode_alarm(fields: dict[bytes, bytes]) -> Alarm | None:
    """Return the alarm in the fields of a Stream entry, or None if there is none that can be read."""
    try:
        return _decoder.decode(fields[b"alarm"])
    except (KeyError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def known_key(named: Identity) -> str:
    """Return the Sorted Set in which the script keeps the episodes it knows of one strap, boot and kind."""
    return f"{alarms_seen_key(named.team)}:{named.athlete}:{named.strap}:{named.boot}:{named.kind}"
