"""An hour of 300 athletes with faults at random: ``make soak``, or ``python -m benchmarks.faults.soak --minutes 60``.

Mosquitto, Redis, the monitor and the straps run on this machine, with networks between them that can be cut. What an
undisturbed watch says of the same hearts is computed afterwards; every difference has to have a cause, and what the
monitor holds (memory, file handles, threads, tasks) must not grow. While it runs, what has been observed so far stands
in ``--work``; a report of a soak that was interrupted says so.
"""

import argparse
import asyncio
import json
import shutil
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import Any, Final

import msgspec
from redis.exceptions import RedisError

from benchmarks.faults.place import MONITOR_ID, Place, end_monitor, patient_client, place, start_monitor
from benchmarks.faults.provenance import commit, machine
from benchmarks.faults.soak_faults import SoakFaults
from benchmarks.faults.soak_squad import HEARTS, hearts, lossy, squad, undisturbed
from benchmarks.faults.soak_verdict import Verdict, growth
from benchmarks.faults.steadfast_herd import SteadfastHerd
from models.runtime import load_classifier
from monitor.cancellation import end
from monitor.contract import Alarm
from monitor.live_state import (
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
    wave_key,
)
from simulators.strap import Strap

SEED: Final = 8
MOST_GROWTH: Final = 0.02
SEGMENT_S: Final = 600.0
_QUIET_S: Final = 60.0
"""The last minute is left in peace, so that whatever waits gets through."""
_READY_S: Final = 900.0
"""The first start ever compiles the stages, and a machine that does other work takes its time over it."""
_SETTLE_S: Final = 8.0
_OBSERVED_EVERY_S: Final = 10.0


def main() -> int:
    """Run a soak and write its report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--athletes", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--rest", type=float, nargs=2, default=(10.0, 40.0), metavar=("LEAST", "MOST"))
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--work", type=Path, default=Path("build/soak"))
    parser.add_argument("--out", type=Path, default=Path("docs/reports/soak.json"))
    arguments = parser.parse_args()
    shutil.rmtree(arguments.work, ignore_errors=True)
    arguments.work.mkdir(parents=True)
    report = asyncio.run(_soak(arguments))
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(report, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    print(f"{arguments.out}: {'passed' if report['passed'] else 'FAILED'}")
    for failure in report["failures"]:
        print(f"  {failure}")
    return 0 if report["passed"] else 1


async def _soak(arguments: argparse.Namespace) -> dict[str, Any]:
    begun = time.time()
    seconds = 60.0 * arguments.minutes
    records = hearts(arguments.seed)
    straps = squad(arguments.athletes, records)
    bad = lossy(straps)
    provenance = {"command": "make soak", "commit": commit(), "machine": machine()}
    observed = arguments.work / "observed.jsonl"
    async with place(arguments.work.resolve()) as where:
        process = start_monitor(
            where.settings(), log=arguments.work / "monitor.log", observed=(observed, _OBSERVED_EVERY_S)
        )
        try:
            await _until_ready(where, process)
            # What has to be loaded when the server comes back is kept small.
            await patient_client(where.server).config_set("auto-aof-rewrite-percentage", "25")
            faults = SoakFaults(where, process, straps, lossy=bad, seed=arguments.seed)
            herd = SteadfastHerd(
                straps, broker=where.straps_address, loss_of=faults.loss_of, seed=arguments.seed
            )
            tasks = [
                asyncio.create_task(faults.run(seconds=seconds - _QUIET_S, every_s=tuple(arguments.rest))),
                asyncio.create_task(_watch_waves(where, straps[:8])),
                asyncio.create_task(_keep_progress(arguments.work / "progress.json", faults, herd)),
            ]
            running = asyncio.create_task(herd.run(seconds=seconds))
            try:
                # A fault that cannot be ended ends the soak at once.
                await asyncio.wait({running, tasks[0]}, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0].done():
                    tasks[0].result()
                await running
            finally:
                await asyncio.gather(*(end(task) for task in (running, *tasks)))
            await asyncio.sleep(_SETTLE_S)
            alive = process.poll() is None
            read = await _read(where, straps)
        finally:
            code = await asyncio.to_thread(end_monitor, process)
    verdict = Verdict(faults.happened, herd.stood_still, herd.start_at)
    expected = await asyncio.to_thread(
        undisturbed, records, max(sender.made for sender in herd.senders), load_classifier()
    )
    touched = _touched(herd, read)
    for number, sender in enumerate(herd.senders):
        key = (sender.strap.team, sender.strap.athlete)
        own = expected[number % HEARTS]
        verdict.athlete(sender, own, read.beats[key], read.states.get(key), lossy=key in bad)
        verdict.alarms(
            key,
            own,
            read.alarms.get(key, []),
            sender.made * own.packet_samples,
            sender.strap.record.rate_hz,
            touched=key in touched,
        )
    verdict.heartbeat(read.monitor)
    lines = [json.loads(line) for line in observed.read_text(encoding="utf-8").splitlines()]
    held = growth(lines)
    failures = verdict.tally.failures
    if not alive or code != 0:
        failures.append(f"the monitor ended with exit code {code}")
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
    return provenance | {
        "athletes": arguments.athletes,
        "minutes": arguments.minutes,
        "seconds": round(time.time() - begun, 1),
        "passed": not failures,
        "failures": failures,
        "faults": faults.counts(),
        "machine_stopped_s": [round(end_at - begin_at, 1) for begin_at, end_at in herd.stood_still],
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


class _Read:
    """What stands in the server at the end."""

    def __init__(self) -> None:
        self.beats: dict[tuple[str, str], list[BeatEntry]] = {}
        self.states: dict[tuple[str, str], AthleteState] = {}
        self.alarms: dict[tuple[str, str], list[Alarm]] = {}
        self.monitor: MonitorState | None = None


async def _read(where: Place, straps: list[Strap]) -> _Read:
    client = patient_client(where.server)
    read = _Read()
    for strap in straps:
        key = (strap.team, strap.athlete)
        entries = await client.xrange(beats_key(*key))
        read.beats[key] = [msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry) for _, fields in entries]
        state = await client.hget(athlete_key(*key), "state")
        if state is not None:
            read.states[key] = msgspec.msgpack.decode(state, type=AthleteState)
    for team in sorted({strap.team for strap in straps}):
        last = "-"
        while entries := await client.xrange(alarms_key(team), min=last, count=500):
            for _, fields in entries:
                alarm = msgspec.msgpack.decode(fields[b"alarm"], type=Alarm)
                alarm = msgspec.structs.replace(alarm, strip=None, evidence=None)
                read.alarms.setdefault((team, alarm.athlete), []).append(alarm)
            last = f"({entries[-1][0].decode()}"
    heartbeat = await client.get(monitor_key(MONITOR_ID))
    if heartbeat is not None:
        read.monitor = msgspec.msgpack.decode(heartbeat, type=MonitorState)
    await client.aclose()
    return read


def _touched(herd: SteadfastHerd, read: _Read) -> set[tuple[str, str]]:
    """Return who lost packets, by the radio or with the broker."""
    keys = [(sender.strap.team, sender.strap.athlete) for sender in herd.senders]
    return {key for key in keys if key not in read.states or read.states[key].packets_lost}


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


async def _keep_progress(file: Path, faults: SoakFaults, herd: SteadfastHerd) -> None:
    while True:
        await asyncio.sleep(30.0)
        progress = {
            "at": time.time(),
            "packets": sum(sender.made for sender in herd.senders),
            "waiting": sum(sender.waiting for sender in herd.senders),
            "faults": faults.told(),
            "stood_still": herd.stood_still,
        }
        await asyncio.to_thread(file.write_text, json.dumps(progress))


def _segments(lines: list[dict[str, Any]], faults: SoakFaults) -> list[dict[str, Any]]:
    begun = lines[0]["at"]
    segments = []
    for begin_s in range(0, int(lines[-1]["at"] - begun), int(SEGMENT_S)):
        inside = [line for line in lines if begin_s <= line["at"] - begun < begin_s + SEGMENT_S]
        happened = Counter(
            each.fault for each in faults.happened if begin_s <= each.begin_at - begun < begin_s + SEGMENT_S
        )
        if inside:
            segments.append(
                {
                    "from_s": begin_s,
                    **{name: inside[-1][name] for name in ("resident_bytes", "handles", "threads", "tasks")},
                    "faults": dict(sorted(happened.items())),
                }
            )
    return segments


if __name__ == "__main__":
    raise SystemExit(main())
