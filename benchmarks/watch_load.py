"""Packets of many straps given straight to a watch, as fast as it goes: their schedule, no broker, no Redis."""

import time
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.live_straps import straps_of
from monitor.sinks.batch import SinkBatch
from monitor.watch import Watch
from monitor.wire import Topic
from simulators.herd_frames import HerdFrames, phases_s
from simulators.records import Record

START_AT = 1.7e9


@dataclass(frozen=True, slots=True)
class Tick:
    """What one tick takes: when, and what has arrived by then."""

    now: float
    packets: list[tuple[Topic, bytes]]


def ticks(
    records: list[Record], athletes: int, *, seconds: float, packet_s: float, tick_s: float
) -> Iterator[Tick]:
    """Yield ticks with the packets that are due by each; straps are evenly apart within a packet's time."""
    straps = straps_of(records, athletes, packet_s=packet_s, boot=1)
    frames = HerdFrames(straps)
    topics = [Topic(strap.team, strap.athlete, "samples") for strap in straps]
    phases = phases_s(athletes, packet_s)
    waiting: list[tuple[float, Topic, bytes]] = []
    number, taken = 0, 0
    for step in range(1, int(seconds / tick_s) + 1):
        now_s = step * tick_s
        while (number + 1) * packet_s <= now_s:
            due_s = (number + 1) * packet_s + phases
            payloads = _payloads(frames, number, START_AT + due_s)
            waiting = waiting[taken:] + list(zip(due_s.tolist(), topics, payloads, strict=True))
            number, taken = number + 1, 0
        begun = taken
        while taken < len(waiting) and waiting[taken][0] <= now_s:
            taken += 1
        yield Tick(START_AT + now_s, [(topic, payload) for _, topic, payload in waiting[begun:taken]])


def _payloads(frames: HerdFrames, number: int, sent_at: NDArray[np.float64]) -> list[bytes]:
    made = frames.round(number, sent_at)
    return [row[frames.payload_begin :].tobytes() for row in made]


def cost_s(
    watch: Watch, load: Iterator[Tick], *, watched: frozenset[tuple[str, str]] = frozenset()
) -> tuple[float, int]:
    """Run a watch over a load; return the processor seconds of this thread, and the beats it found."""
    spent, beats = 0.0, 0
    for tick in load:
        begun = time.thread_time()
        batch: SinkBatch = take(watch, tick, watched)
        spent += time.thread_time() - begun
        beats += len(batch.beats)
    return spent, beats


def take(watch: Watch, tick: Tick, watched: frozenset[tuple[str, str]]) -> SinkBatch:
    """Give one tick to the watch."""
    for topic, payload in tick.packets:
        watch.receive(topic, payload, tick.now)
    return watch.tick(tick.now, watched)
