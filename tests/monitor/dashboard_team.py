"""A made-up team in a real Redis: writes what a monitor would write, for tests of the dashboard and for looking at it.

``python -m tests.monitor.dashboard_team redis://localhost:6379 --athletes 60`` goes on until Ctrl-C.
"""

import argparse
import asyncio
import contextlib
import math
import random
import time
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import redis.asyncio
from redis.exceptions import RedisError

from monitor.catalogue import Kind
from monitor.contract import Alarm, AlarmTransition, Priority
from monitor.live_state import (
    ATHLETE_TTL_S,
    CANARY_TEAM,
    MONITOR_TTL_S,
    TEAMS_KEY,
    ActiveAlarm,
    AthleteState,
    BeatEntry,
    ExerciseState,
    MonitorState,
    WaveMessage,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
    wave_key,
)
from monitor.sinks import AlarmScript, open_redis

TEAM = "falcons"
_ENCODE = msgspec.msgpack.encode

EXERCISE = ExerciseState(
    phase="effort",
    zone=4,
    burden=[
        ("rest", 0, 840, 3, 720.0),
        ("rest", 1, 120, 1, 80.0),
        ("effort", 2, 400, 6, 200.0),
        ("effort", 3, 900, 14, 380.0),
        ("effort", 4, 1500, 41, 540.0),
        ("effort", 5, 320, 12, 110.0),
    ],
    rr_intervals=331,
    corrected_share=0.012,
    mean_bpm=167.0,
    rmssd_ms=4.1,
    sdnn_ms=9.7,
    dfa_alpha1=0.62,
    fibrillation_share=0.0,
    comparable=True,
)

ALARMS: dict[Kind, tuple[Priority, bool, str, str]] = {
    "asystole": (
        "high",
        False,
        "No heartbeat for 5 s with the strap on.",
        "STOP and CALL, get the defibrillator: look at the athlete now",
    ),
    "ventricular_run": (
        "medium",
        False,
        "4 or more ventricular beats in a row at 182 bpm.",
        "STOP the athlete, watch, call the physician",
    ),
    "ventricular_couplet": (
        "low",
        False,
        "Two ventricular beats in a row at 140 bpm.",
        "Watch; tell the physician after training",
    ),
    "tachycardia": (
        "medium",
        False,
        "Heart rate above the athlete's limit at 203 bpm.",
        "STOP the athlete, let the rate come down",
    ),
    "lead_off": (
        "medium",
        True,
        "The strap has lost contact with the skin.",
        "CHECK STRAP: moisten and tighten",
    ),
    "isolated_ventricular": ("information", False, "Single ventricular beats.", "Nothing now; it is counted"),
    "ventricular_burden_rising": (
        "medium",
        False,
        "Ventricular beats become more frequent with effort: 17 an hour at rest, 214 at effort.",
        "STOP the athlete, tell the physician",
    ),
}


@dataclass
class Athlete:
    """One made-up athlete."""

    name: str
    rate_bpm: float = 72.0
    rate_hz: float = 250.0
    source: str = ""
    trained_on: bool = False
    quality: float = 0.96
    category: str = "good"
    online: bool = True
    silent: bool = False
    alarms: list[ActiveAlarm] = field(default_factory=list)
    labels: list[str] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    last_packet_at: float = field(default_factory=time.time)
    sample: int = 0
    next_r: float = 0.5
    waiting: list[tuple[int, str]] = field(default_factory=list)
    paused_until: float = 0.0
    exercise: ExerciseState | None = None

    def state(self) -> AthleteState:
        """Return the state as of now."""
        return AthleteState(
            team=TEAM,
            athlete=self.name,
            strap=f"strap-{self.name}",
            online=self.online,
            updated_at=time.time(),
            last_packet_at=self.last_packet_at,
            boot=1,
            last_sample=self.sample,
            rate_hz=self.rate_hz,
            lead="MLII",
            source=self.source,
            trained_on=self.trained_on,
            rate_bpm=self.rate_bpm,
            quality=self.quality,
            quality_category=self.category,
            coverage=0.987,
            recent_labels=self.labels[-60:],
            counts=dict(self.counts),
            packets_received=1234,
            packets_lost=0,
            packets_duplicate=2,
            packets_refused=0,
            alarms=list(self.alarms),
            paused_until=self.paused_until,
            paused_by="Dr. Meyer" if self.paused_until else "",
            paused_covers="medium" if self.paused_until else "",
            exercise=self.exercise,
        )


class Team:
    """Made-up athletes, written into a Redis."""

    def __init__(self, client: "redis.asyncio.Redis", athletes: int, *, seed: int = 1) -> None:
        self.client: Any = client
        draw = random.Random(seed)
        self._draw = draw
        self.athletes = [
            Athlete(
                name=f"a{n + 1:02d}",
                rate_bpm=draw.uniform(58, 176),
                rate_hz=(360.0, 250.0, 130.0)[n % 3],
                source=("mitdb/208", "", "synthetic")[n % 3],
                trained_on=n % 7 == 3,
            )
            for n in range(athletes)
        ]
        self.monitor_alive = True
        self._episode = 0
        self._started = time.time()
        self._canary_at = 0.0
        self.canary = True

    def __getitem__(self, name: str) -> Athlete:
        """Return one athlete."""
        return next(a for a in self.athletes if a.name == name)

    def started_before(self, seconds: float) -> None:
        """Let the monitor have run for so long already."""
        self._started = time.time() - seconds

    async def write(self) -> None:
        """Write every state and the monitor's heartbeat once."""
        await self.client.sadd(TEAMS_KEY, TEAM)
        async with self.client.pipeline(transaction=False) as pipe:
            for athlete in self.athletes:
                if self.monitor_alive:
                    key = athlete_key(TEAM, athlete.name)
                    pipe.hset(key, "state", _ENCODE(athlete.state()))
                    pipe.expire(key, ATHLETE_TTL_S)
            if self.monitor_alive:
                heartbeat = MonitorState(
                    monitor_id="m1",
                    at=time.time(),
                    started_at=self._started,
                    athletes=len(self.athletes),
                    packets_received=1,
                    packets_lost=0,
                    packets_refused=0,
                    packets_dropped=0,
                    samples=1,
                    beats=1,
                    alarms=0,
                    broker_connected=True,
                    outbox_waiting=0,
                    model="test",
                    settings_hash="0",
                    refused={},
                )
                if self.canary and time.time() - self._canary_at > 5.0:
                    self._canary_at = time.time()
                    pipe.xadd(alarms_key(CANARY_TEAM), {"identity": "canary"}, maxlen=2)
                pipe.set(monitor_key("m1"), _ENCODE(heartbeat), ex=MONITOR_TTL_S)
            await pipe.execute()

    async def alarm(self, name: str, kind: Kind = "ventricular_run", *, in_state: bool = True) -> str:
        """Raise an alarm and return its identity."""
        self._episode += 1000
        priority, technical, message, action = ALARMS[kind]
        raised = await self.transition(name, kind, self._episode, "raised")
        if in_state:
            self[name].alarms.append(
                ActiveAlarm(
                    identity=raised.identity,
                    kind=kind,
                    priority=priority,
                    technical=technical,
                    message=message,
                    action=action,
                    raised_at=raised.at,
                )
            )
        return raised.identity

    async def transition(
        self, name: str, kind: Kind, episode: int, transition: AlarmTransition, by: str = ""
    ) -> Alarm:
        """Add one transition to the alarms Stream."""
        priority, technical, message, action = ALARMS[kind]
        alarm = Alarm(
            team=TEAM,
            athlete=name,
            boot=1,
            kind=kind,
            episode=episode,
            transition=transition,
            priority=priority,
            technical=technical,
            known_sample=episode + 300,
            rate_hz=250.0,
            at=time.time(),
            onset_at=time.time() - 1,
            rate_bpm=182.0,
            quality=0.9,
            message=message,
            action=action,
            by=by,
        )
        await AlarmScript(self.client).add(alarm)
        return alarm

    async def wave(self, athlete: Athlete, seconds: float) -> None:
        """Publish the next stretch of an athlete's waveform and write its beats."""
        n = round(seconds * athlete.rate_hz)
        first, athlete.sample = athlete.sample, athlete.sample + n
        at = (first + np.arange(n)) / athlete.rate_hz
        peaks: list[int] = []
        while athlete.next_r < (athlete.sample + 40) / athlete.rate_hz:
            label = "N" if self._draw.random() > 0.08 else self._draw.choice(["V", "S", "V", "unsure", "F"])
            r_sample = round(athlete.next_r * athlete.rate_hz)
            peaks.append(r_sample)
            athlete.waiting.append((r_sample, label))
            athlete.next_r += 60 / athlete.rate_bpm * (0.7 if label in {"S", "V"} else 1.0)
        signal = 0.02 * np.sin(2 * math.pi * 0.3 * at) + 0.015 * np.array(
            [self._draw.gauss(0, 1) for _ in at]
        )
        for r_sample, label in athlete.waiting:
            t = at - r_sample / athlete.rate_hz
            if label == "V":
                signal += 1.6 * np.exp(-((t / 0.045) ** 2)) - 0.7 * np.exp(-(((t - 0.2) / 0.07) ** 2))
            else:
                signal += 1.2 * np.exp(-((t / 0.012) ** 2)) - 0.25 * np.exp(-(((t - 0.03) / 0.012) ** 2))
                signal += 0.25 * np.exp(-(((t - 0.24) / 0.05) ** 2)) + 0.12 * np.exp(
                    -(((t + 0.16) / 0.025) ** 2)
                )
        known_until = athlete.sample / athlete.rate_hz - 0.85
        done = [(r, label) for r, label in athlete.waiting if r / athlete.rate_hz < known_until]
        athlete.waiting = [(r, label) for r, label in athlete.waiting if r / athlete.rate_hz >= known_until]
        for r_sample, label in done:
            athlete.labels = [*athlete.labels[-59:], label]
            athlete.counts[label] = athlete.counts.get(label, 0) + 1
            chosen = {"N": 0, "S": 1, "V": 2, "F": 3, "unsure": 0}[label]
            probabilities = [0.02] * 5
            probabilities[chosen] = 0.92
            entry = BeatEntry(
                boot=1,
                r_sample=r_sample,
                known_sample=r_sample + 200,
                label=label,
                probabilities=tuple(probabilities),
                quality=0.95,
                rr_s=60 / athlete.rate_bpm,
                due_at=time.time(),
            )
            await self.client.xadd(beats_key(TEAM, athlete.name), {"beat": _ENCODE(entry)}, maxlen=1000)
        message = WaveMessage(
            boot=1,
            first_sample=first,
            rate_hz=athlete.rate_hz,
            microvolts=(signal * 1000).astype("<i2").tobytes(),
            peaks=peaks,
            beats=done,
        )
        athlete.last_packet_at = time.time()
        await self.client.publish(wave_key(TEAM, athlete.name), _ENCODE(message))

    async def run(self, period_s: float = 0.25) -> None:
        """Publish in real time until cancelled; a server that is away is tried again."""
        due = time.monotonic()
        while True:
            with contextlib.suppress(RedisError, OSError):
                for athlete in self.athletes:
                    if athlete.online and not athlete.silent and self.monitor_alive:
                        await self.wave(athlete, period_s)
                await self.write()
            due += period_s
            await asyncio.sleep(max(0.0, due - time.monotonic()))


async def _show(url: str, athletes: int, *, calm: bool) -> None:
    client = open_redis(url)
    await client.flushall()
    team = Team(client, athletes)
    await team.write()
    running = asyncio.create_task(team.run())
    await asyncio.sleep(5)
    if not calm:
        await team.alarm("a05", "asystole")
        await team.alarm("a02", "ventricular_run")
        await team.alarm("a07", "ventricular_couplet")
        await team.alarm("a08", "lead_off")
        team["a08"].category, team["a08"].quality = "lead_off", 0.0
        team["a03"].category, team["a03"].quality = "noisy", 0.4
        team["a06"].silent = True
        await team.alarm("a04", "isolated_ventricular")
        await team.alarm("a01", "ventricular_burden_rising")
        team["a01"].exercise = EXERCISE
        team["a01"].paused_until = time.time() + 117
        if athletes > 20:
            await team.alarm("a41", "tachycardia")
            team["a17"].online = False
    await running


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--athletes", type=int, default=8)
    parser.add_argument("--calm", action="store_true")
    given = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_show(given.url, given.athletes, calm=given.calm))
