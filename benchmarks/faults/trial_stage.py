"""What a trial is made of: how it is run, what a disturbance can reach, and what comes of it."""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec

from benchmarks.faults.place import Place, patient_client
from benchmarks.faults.trial_monitors import Monitor
from monitor.live_state import BeatEntry, beats_key
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.verdict import Verdict

TEAM: Final = "faults"
SHORT_S: Final = 26.0
LONG_S: Final = 210.0
SHORT_SPEED: Final = 8.0
LONG_SPEED: Final = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """How a trial is to be run.

    Attributes
    ----------
    folder : Path
        Empty; for its files.
    long : bool
        The version of ``make chaos``; else that of ``make test``.
    seed : int
        Of everything random.
    """

    folder: Path
    long: bool = False
    seed: int = 1

    @property
    def seconds(self) -> float:
        """Length of the session, in its own seconds."""
        return LONG_S if self.long else SHORT_S

    @property
    def speed(self) -> float:
        """Seconds of session per second."""
        return LONG_SPEED if self.long else SHORT_SPEED


@dataclass(slots=True)
class Stage:
    """What a disturbance can reach while the straps send.

    Attributes
    ----------
    place : Place
        Broker, server and networks.
    monitor : Monitor
        The monitor.
    conditions : Conditions
        How the trial is run.
    chance : random.Random
        For what is to happen at random.
    athletes : list of str
        Who takes part.
    started_at : float
        Unix time at which the first strap took its first sample.
    server_away : list of (float, float)
        From when to when beats could not be written, in Unix time; a disturbance enters it.
    measured : dict
        Whatever is worth a place in the report.
    """

    place: Place
    monitor: Monitor
    conditions: Conditions
    chance: random.Random
    athletes: list[str]
    started_at: float = 0.0
    server_away: list[tuple[float, float]] = field(default_factory=list)
    measured: dict[str, Any] = field(default_factory=dict)

    async def until(self, share: float) -> None:
        """Wait until so much of the session is over, 0 to 1."""
        at = self.started_at + share * self.conditions.seconds / self.conditions.speed
        await asyncio.sleep(max(at - time.time(), 0.0))

    async def until_told(self, athlete: str, sample: int) -> None:
        """Wait until the server has a beat of an athlete at or behind a sample: a busy machine brings it late."""
        client = patient_client(self.place.server)
        while True:
            entries = await client.xrevrange(beats_key(TEAM, athlete), count=1)
            if any(msgspec.msgpack.decode(e[b"beat"], type=BeatEntry).r_sample >= sample for _, e in entries):
                break
            await asyncio.sleep(0.05)
        await client.aclose()

    @contextlib.asynccontextmanager
    async def server_trouble(self) -> AsyncIterator[None]:
        """Enter that the server is away until the end of the block."""
        begin_at = time.time()
        try:
            yield
        finally:
            self.server_away.append((begin_at, time.time()))


@dataclass(slots=True)
class Outcome:
    """What came of a trial.

    Attributes
    ----------
    measured : dict
        Figures for the report.
    failures : list of str
        What must not be; empty if the trial has passed.
    """

    measured: dict[str, Any] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)


@dataclass(slots=True, kw_only=True)
class Trial:
    """A trial that is over.

    Attributes
    ----------
    lives : list of Life
        Who sent.
    seen : Seen
        What the server holds.
    expected : Seen
        What an undisturbed watch says of the same.
    verdict : Verdict
        The simulator's.
    outcome : Outcome
        The conclusion.
    """

    lives: list[Life]
    seen: Seen
    expected: Seen
    verdict: Verdict
    outcome: Outcome
