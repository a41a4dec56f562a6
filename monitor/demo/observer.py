"""What the demo measures, from outside: it reads the same Streams as any receiver, and the straps' truth.

Latency is the entry time that the server gave a beat, less the time at which the packet with the last sample that
the beat needed was due by the strap's schedule. A simulator that sends late makes it longer, never shorter.
"""

import asyncio
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import aiomqtt
import msgspec
import redis.asyncio

from monitor.contract import LABELS, Alarm
from monitor.errors import PacketError
from monitor.live_scorer import LiveScorer
from monitor.live_state import (
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
)
from monitor.sources.address import MqttAddress
from monitor.wire import decode_truth, parse_topic

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
    monitor : MonitorState or None
        The last heartbeat.
    """

    beats: dict[str, "Counter[str]"] = field(default_factory=dict)
    latency_s: list[float] = field(default_factory=list)
    alarm_latency_s: list[float] = field(default_factory=list)
    raised: list[Alarm] = field(default_factory=list)
    states: dict[str, AthleteState] = field(default_factory=dict)
    monitor: MonitorState | None = None


class Observer:
    """Reads one team's Streams and truth.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server.
    broker : MqttAddress
        Where truth is published.
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
        broker: MqttAddress,
        team: str,
        athletes: list[str],
        monitor_id: str,
    ) -> None:
        self._client = client
        self._broker = broker
        self._team = team
        self._athletes = athletes
        self._monitor_key = monitor_key(monitor_id)
        self._scorer = LiveScorer()
        self._keys: dict[str, str] = {beats_key(team, athlete): athlete for athlete in athletes}
        self._last: dict[str, str] = dict.fromkeys([alarms_key(team), *self._keys], "0-0")
        self.seen = Observations(beats={athlete: Counter() for athlete in athletes})

    async def hear_truth(self) -> None:
        """Collect the straps' reference annotations until cancelled."""
        async with aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.username,
            password=self._broker.password,
        ) as client:
            await client.subscribe(f"ecg/{self._team}/+/truth", qos=1)
            async for message in client.messages:
                try:
                    topic = parse_topic(message.topic.value)
                    truth = decode_truth(bytes(message.payload))
                except PacketError:
                    continue
                self._scorer.truth(topic.team, topic.athlete, truth)

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
        live = self._scorer.score(self._team, athlete)
        if live is None or live.score.qrs.tp + live.score.qrs.fn == 0:
            return None
        qrs = live.score.qrs
        return {"se": qrs.se, "ppv": qrs.ppv, "beats_scored": qrs.tp + qrs.fn}

    def _beat(self, athlete: str, payload: bytes, entered_at: float) -> None:
        beat = msgspec.msgpack.decode(payload, type=BeatEntry)
        self.seen.beats[athlete][beat.label] += 1
        self.seen.latency_s.append(entered_at - beat.due_at)
        state = self.seen.states.get(athlete)
        if state is not None:
            self._scorer.beat(self._team, athlete, beat.boot, beat.r_sample, beat.label, state.rate_hz)

    def _alarm(self, payload: bytes, entered_at: float) -> None:
        alarm = msgspec.msgpack.decode(payload, type=Alarm)
        if alarm.transition != "raised":
            return
        self.seen.raised.append(alarm)
        if alarm.strip is not None and alarm.strip.beats and alarm.onset_at > 0:
            last_r = alarm.strip.beats[-1][0]
            self.seen.alarm_latency_s.append(
                entered_at - (alarm.onset_at + (last_r - alarm.episode) / alarm.rate_hz)
            )

    async def _read_states(self) -> None:
        for athlete in self._athletes:
            payload: Any = await self._client.hget(athlete_key(self._team, athlete), "state")
            if payload is not None:
                state = msgspec.msgpack.decode(payload, type=AthleteState)
                self.seen.states[athlete] = state
                self._scorer.covered(
                    self._team, athlete, state.boot, state.last_sample, rate_hz=state.rate_hz
                )
        heartbeat: Any = await self._client.get(self._monitor_key)
        if heartbeat is not None:
            self.seen.monitor = msgspec.msgpack.decode(heartbeat, type=MonitorState)


def all_labels(beats: dict[str, "Counter[str]"]) -> dict[str, int]:
    """Return beats by label over all athletes."""
    return {label: sum(counter[label] for counter in beats.values()) for label in LABELS}
