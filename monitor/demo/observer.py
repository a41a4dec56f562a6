"""What the demo measures, from outside: it reads the same Streams as any receiver, and what the scorer says.

Latency is the entry time that the server gave a beat, less the time at which the packet with the last sample that
the beat needed was due by the strap's schedule. A simulator that sends late makes it longer, never shorter.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import redis.asyncio

from monitor.contract import LABELS, Alarm
from monitor.latency import alarm_latency_s
from monitor.live_state import (
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
)
from monitor.scores import AthleteScore, score_key
from monitor.scoring import QrsCounts

_POLL_S: Final = 0.25
_AT_ONCE: Final = 5000


@dataclass(slots=True)
class Observations:
    """What has been seen so far.

    Attributes
    ----------
    beats : dict of str to Counter
        Beats of each athlete by label.
    latency_s : list of float
        Of every beat.
    alarm_latency_s : list of float
        From the last R peak in an alarm's evidence to the alarm's entry.
    raised : list of Alarm
        Alarms that were raised.
    states : dict of str to AthleteState
        The last state of each athlete.
    scores : dict of str to AthleteScore
        The last score of each athlete whose truth is known.
    monitor : MonitorState or None
        The last heartbeat.
    """

    beats: dict[str, "Counter[str]"] = field(default_factory=dict)
    latency_s: list[float] = field(default_factory=list)
    alarm_latency_s: list[float] = field(default_factory=list)
    raised: list[Alarm] = field(default_factory=list)
    states: dict[str, AthleteState] = field(default_factory=dict)
    scores: dict[str, AthleteScore] = field(default_factory=dict)
    monitor: MonitorState | None = None


class Observer:
    """Reads one team's Streams, states and scores.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server.
    team : str
        The team.
    athletes : list of str
        Its athletes.
    monitor_id : str
        The monitor whose heartbeat counts.
    """

    def __init__(
        self,
        client: "redis.asyncio.Redis",
        *,
        team: str,
        athletes: list[str],
        monitor_id: str,
    ) -> None:
        self._client = client
        self._team = team
        self._athletes = athletes
        self._monitor_key = monitor_key(monitor_id)
        self._keys: dict[str, str] = {beats_key(team, athlete): athlete for athlete in athletes}
        self._last: dict[str, str] = dict.fromkeys([alarms_key(team), *self._keys], "0-0")
        self.seen = Observations(beats={athlete: Counter() for athlete in athletes})

    async def follow(self) -> None:
        """Read what is new, again and again until cancelled."""
        while True:
            await self.read()
            await asyncio.sleep(_POLL_S)

    async def read(self) -> None:
        """Read all that is new."""
        while True:
            streams: Any = await self._client.xread(dict[Any, Any](self._last), count=_AT_ONCE)
            for key, entries in streams:
                name = key.decode()
                for entry, fields in entries:
                    self._last[name] = entry.decode()
                    entered_at = int(entry.split(b"-")[0]) / 1000.0
                    if name in self._keys:
                        self._beat(self._keys[name], fields[b"beat"], entered_at)
                    else:
                        self._alarm(fields[b"alarm"], entered_at)
            if not streams:
                break
        await self._read_states()

    def score(self, athlete: str) -> dict[str, float | int | None] | None:
        """Return an athlete's Se and +P against truth so far; None where there is no truth."""
        found = self.seen.scores.get(athlete)
        if found is None or found.tp + found.fn == 0:
            return None
        qrs = QrsCounts(found.tp, found.fp, found.fn)
        return {"se": qrs.se, "ppv": qrs.ppv, "beats_scored": qrs.tp + qrs.fn}

    def _beat(self, athlete: str, payload: bytes, entered_at: float) -> None:
        beat = msgspec.msgpack.decode(payload, type=BeatEntry)
        self.seen.beats[athlete][beat.label] += 1
        self.seen.latency_s.append(entered_at - beat.due_at)

    def _alarm(self, payload: bytes, entered_at: float) -> None:
        alarm = msgspec.msgpack.decode(payload, type=Alarm)
        if alarm.transition != "raised":
            return
        self.seen.raised.append(alarm)
        latency_s = alarm_latency_s(alarm, entered_at)
        if latency_s is not None:
            self.seen.alarm_latency_s.append(latency_s)

    async def _read_states(self) -> None:
        for athlete in self._athletes:
            payload: Any = await self._client.hget(athlete_key(self._team, athlete), "state")
            if payload is not None:
                self.seen.states[athlete] = msgspec.msgpack.decode(payload, type=AthleteState)
            payload = await self._client.get(score_key(self._team, athlete))
            if payload is not None:
                self.seen.scores[athlete] = msgspec.msgpack.decode(payload, type=AthleteScore)
        heartbeat: Any = await self._client.get(self._monitor_key)
        if heartbeat is not None:
            self.seen.monitor = msgspec.msgpack.decode(heartbeat, type=MonitorState)


def all_labels(beats: dict[str, "Counter[str]"]) -> dict[str, int]:
    """Return beats by label over all athletes."""
    return {label: sum(counter[label] for counter in beats.values()) for label in LABELS}
