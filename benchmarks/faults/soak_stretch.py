"""A stretch of a soak: one monitor, from its start to its end, judged every few minutes while all is at rest."""

import argparse
import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from statistics import median
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from benchmarks.faults.place import MONITOR_ID, Place, end_monitor, patient_client, place, start_monitor
from benchmarks.faults.soak_faults import SoakFaults
from benchmarks.faults.soak_physician import SoakPhysician
from benchmarks.faults.soak_reader import SoakReader
from benchmarks.faults.soak_squad import HEARTS, Undisturbed, lossy, squad
from benchmarks.faults.soak_verdict import COMES_BACK_S, Verdict, growth
from benchmarks.faults.steadfast_herd import SteadfastHerd
from monitor.cancellation import end
from monitor.live_state import MonitorState, monitor_key, wave_key
from simulators.records import Record
from simulators.strap import Strap

MOST_GROWTH: Final = 0.02
SEGMENT_S: Final = 600.0
_QUIET_S: Final = 60.0
"""The last minute is left in peace, so that whatever waits gets through."""
_READY_S: Final = 900.0
"""The first start ever compiles the stages, and a machine that does other work takes its time over it."""
_SETTLE_S: Final = 8.0
_OBSERVED_EVERY_S: Final = 1.0
"""Several times between two looks at what can be given back to the system (`monitor.live`): memory rises from one to
the next, and seen once in between its median would show how the two clocks drift apart."""

_HELD: Final = (
    "resident_bytes",
    "python_blocks",
    "heap_bytes",
    "heap_free_bytes",
    "handles",
    "threads",
    "tasks",
)


class SoakStretch:
    """One monitor, its straps, and faults at random.

    Parameters
    ----------
    options : argparse.Namespace
        The soak's: ``athletes``, ``rest``, ``seed``, ``judged_every``, ``work``.
    minutes : float
        How long the straps send.
    records : list of Record
        Their hearts.
    expected : Future of list of Undisturbed
        What is to be told of each of them, for so long at least.
    on_judged : callable
        Takes the verdict on all so far, each time there is one.
    """

    def __init__(
        self,
        options: argparse.Namespace,
        *,
        minutes: float,
        records: list[Record],
        expected: "Future[list[Undisturbed]]",
        on_judged: Callable[[dict[str, Any]], None],
    ) -> None:
        self._options = options
        self._seconds = 60.0 * minutes
        self._straps = squad(options.athletes, records)
        self._lossy = lossy(self._straps)
        self._expected = expected
        self._on_judged = on_judged
        self._reader = SoakReader(self._straps)
        self._physician = SoakPhysician()
        self._folder: Path = options.work / "running"

    async def run(self) -> None:
        """Run it to its end."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        async with place(self._folder.resolve()) as where:
            process = start_monitor(
                where.settings(),
                log=self._folder / "monitor.log",
                observed=(self._folder / "observed.jsonl", _OBSERVED_EVERY_S),
            )
            try:
                await _until_ready(where, process)
                # What has to be loaded when the server comes back is kept small.
                await patient_client(where.server).config_set("auto-aof-rewrite-percentage", "25")
                await self._disturbed(where, process)
            finally:
                await asyncio.to_thread(end_monitor, process)

    async def _disturbed(self, where: Place, process: "subprocess.Popen[bytes]") -> None:
        options = self._options
        faults = SoakFaults(where, process, self._straps, lossy=self._lossy, seed=options.seed)
        herd = SteadfastHerd(
            self._straps, broker=where.straps_address, loss_of=faults.loss_of, seed=options.seed
        )
        running = asyncio.create_task(herd.run(seconds=self._seconds))
        disturbing = asyncio.create_task(
            faults.run(left_s=lambda: herd.left_s(self._seconds) - _QUIET_S, every_s=tuple(options.rest))
        )
        judging = asyncio.create_task(self._judge_again_and_again(where, faults, herd, process))
        watching = asyncio.create_task(_watch_waves(where, self._straps[:8]))
        answering = asyncio.create_task(self._physician.run(where.server))
        try:
            # A fault that cannot be ended, or somebody who stumbles, ends the stretch at once.
            for task in asyncio.as_completed([running, disturbing, judging, answering]):
                await task
                if running.done():
                    break
        finally:
            await asyncio.gather(*(end(task) for task in (running, disturbing, judging, watching, answering)))
        await asyncio.sleep(_SETTLE_S)
        alive = process.poll() is None
        await self._reader.read(where.server)
        code = await asyncio.to_thread(end_monitor, process)
        failures = [] if alive and code == 0 else [f"the monitor ended with exit code {code}"]
        self._on_judged(await asyncio.to_thread(self._judged, faults, herd, failures))

    async def _judge_again_and_again(
        self, where: Place, faults: SoakFaults, herd: SteadfastHerd, process: "subprocess.Popen[bytes]"
    ) -> None:
        """Judge all so far every few minutes: what is found stays, should the soak be broken off."""
        while True:
            await asyncio.sleep(60.0 * self._options.judged_every)
            if herd.left_s(self._seconds) < 2 * _QUIET_S:
                return
            async with faults.peace:
                await asyncio.sleep(COMES_BACK_S)
                async with herd.at_rest():
                    await asyncio.sleep(_SETTLE_S)
                    failures = [] if process.poll() is None else ["the monitor ended"]
                    await self._reader.read(where.server)
                    self._on_judged(await asyncio.to_thread(self._judged, faults, herd, failures))

    def _judged(self, faults: SoakFaults, herd: SteadfastHerd, failures: list[str]) -> dict[str, Any]:
        read, expected = self._reader, self._expected.result()
        verdict = Verdict(faults.happened, herd.stood_still, herd.start_at)
        for sender in herd.senders:
            verdict.lateness(sender, read.beats((sender.strap.team, sender.strap.athlete)))
        for number, sender in enumerate(herd.senders):
            key = (sender.strap.team, sender.strap.athlete)
            own, state = expected[number % HEARTS], read.states.get(key)
            verdict.athlete(sender, own, read.beats(key), state, lossy=key in self._lossy)
            verdict.alarms(
                key,
                own,
                read.alarms.get(key, []),
                sender.made * own.packet_samples,
                sender.strap.record.rate_hz,
                # Packets were lost, by the radio or with the broker.
                touched=state is None or state.packets_lost > 0,
            )
        verdict.heartbeat(read.monitor)
        observed = (self._folder / "observed.jsonl").read_text(encoding="utf-8").splitlines()
        lines = [json.loads(line) for line in observed]
        held = growth(lines)
        failures += verdict.tally.failures + self._physician.refused
        if held["memory_growth"] >= MOST_GROWTH:
            failures.append(
                f"memory grew by {held['memory_growth']:.1%}; allowed are less than {MOST_GROWTH:.0%}"
            )
        failures += [
            f"{name} grew to {held[name]['end']}"
            for name in ("handles", "threads", "tasks")
            if held[name]["end"] > held[name]["most in the first half"]
        ]
        tally = verdict.tally
        return {
            "at": time.time(),
            "minutes": round((self._seconds - herd.left_s(self._seconds)) / 60.0, 2),
            "failures": failures,
            "faults": faults.counts(),
            "straps_stood_still_s": [round(end_at - begin_at, 1) for begin_at, end_at in herd.stood_still],
            "held": held,
            "segments": _segments(lines, faults),
            **{
                name: dict(sorted(getattr(tally, name).items()))
                for name in ("packets", "beats", "alarms", "technical")
            },
            "packets_sent_again": sum(sender.written_again for sender in herd.senders),
            "monitor": msgspec.to_builtins(read.monitor),
            "happened": faults.told(),
        }


async def _until_ready(where: Place, process: "subprocess.Popen[bytes]") -> None:
    client = patient_client(where.server)
    async with asyncio.timeout(_READY_S):
        while True:
            heartbeat = await client.get(monitor_key(MONITOR_ID))
            if heartbeat and msgspec.msgpack.decode(heartbeat, type=MonitorState).broker_connected:
                break
            if process.poll() is not None:
                raise RuntimeError(f"the monitor ended with exit code {process.returncode}; see its log")
            await asyncio.sleep(0.1)
    await client.aclose()


async def _watch_waves(where: Place, straps: list[Strap]) -> None:
    """Look at some athletes' waveforms, as a dashboard does."""
    while True:
        client = patient_client(where.server)
        try:
            async with client.pubsub() as channel:
                await channel.subscribe(*(wave_key(strap.team, strap.athlete) for strap in straps))
                while True:
                    await channel.get_message(ignore_subscribe_messages=True, timeout=1.0)
        except (RedisError, OSError):
            await asyncio.sleep(1.0)
        finally:
            await client.aclose()


def _segments(lines: list[dict[str, Any]], faults: SoakFaults) -> list[dict[str, Any]]:
    begun = lines[0]["at"]
    segments = []
    for begin_s in range(0, int(lines[-1]["at"] - begun), int(SEGMENT_S)):
        inside = [line for line in lines if begin_s <= line["at"] - begun < begin_s + SEGMENT_S]
        happened = Counter(
            each.fault for each in faults.happened if begin_s <= each.begin_at - begun < begin_s + SEGMENT_S
        )
        if inside:
            # What only glibc tells is not there everywhere.
            known = [name for name in _HELD if name in inside[0]]
            held: dict[str, Any] = {name: int(median(line[name] for line in inside)) for name in known}
            segments.append({"from_s": begin_s, **held, "faults": dict(sorted(happened.items()))})
    return segments
