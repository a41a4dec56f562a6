"""The whole line, live, on one machine: ``python -m benchmarks.live --athletes 1000 --seconds 60``.

Broker, straps, monitor and server run as processes of their own, as they would. The straps replay recordings at
360 Hz. Latency runs from when the last sample that a beat needed was due, by its strap's schedule, to the beat's entry
in Redis, by the server's own time: waiting for the rest of the packet is in it. A run in which the straps themselves
were late by more than 20 ms (p99) is void.

``--find-max`` looks for the largest number of athletes that holds: nothing lost, and p99 of latency within a packet
and 0.15 s; it doubles and halves with runs of ``--seconds``, then holds the answer for ``--hold`` seconds.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from benchmarks.live_profile import Profile
from benchmarks.live_straps import RATE_HZ, TEAM, athlete_name
from benchmarks.process_costs import cpu_s, memory_mb
from monitor.embedded import EmbeddedBroker, EmbeddedServer, GuardedServer, InstalledMosquitto, spawn
from monitor.live_state import BeatEntry, MonitorState, beats_key, monitor_key, wave_key
from monitor.sinks import open_redis

LATE_MOST_S: Final = 0.020
SLACK_S: Final = 0.15
"""What latency may have beyond one packet."""
MONITOR: Final = "live-benchmark"
_READY_S: Final = 180.0
_SETTLE_S: Final = 15.0
_AT_ONCE: Final = 200
_FINEST: Final = 50
_beats = msgspec.msgpack.Decoder(BeatEntry)
_states = msgspec.msgpack.Decoder(MonitorState)


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is asked of the line.

    Attributes
    ----------
    athletes, watched : int
        Straps, and how many of them somebody looks at.
    seconds : float
        How long they send.
    packet_s, bpm : float
        Seconds of signal in a packet, and the mean heart rate.
    broker : {'embedded', 'mosquitto'}
        Which.
    profile : bool
        Ask py-spy where the monitor's time goes.
    flame : Path or None
        Let py-spy draw a flame graph there instead.
    """

    athletes: int
    seconds: float
    packet_s: float = 0.25
    bpm: float = 75.0
    broker: str = "embedded"
    watched: int = 8
    profile: bool = False
    flame: Path | None = None


def measure(load: Load) -> dict[str, Any]:
    """Run the line once and return what it did, and cost."""
    broker: GuardedServer = InstalledMosquitto() if load.broker == "mosquitto" else EmbeddedBroker()
    with broker, EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        begun = time.monotonic()
        with (Path(folder) / "monitor.log").open("wb") as log:
            monitor = spawn(
                ["monitor", "--broker", broker.url, "--redis", server.url, "--id", MONITOR,
                 "--outbox", str(Path(folder) / "outbox.sqlite3")],
                stdout=subprocess.DEVNULL, stderr=log,
            )  # fmt: skip
        try:
            if not asyncio.run(is_ready(server.url, monitor)):
                said = (Path(folder) / "monitor.log").read_text(errors="replace")
                sys.exit(f"the monitor was not ready: {said[-500:]}")
            ready_s = time.monotonic() - begun
            return asyncio.run(_measure(load, broker, server, monitor)) | {"ready_s": ready_s}
        finally:
            monitor.terminate()
            monitor.wait()


async def is_ready(url: str, monitor: "subprocess.Popen[bytes]") -> bool:
    """Wait for a monitor's first heartbeat with a broker; return whether it came."""
    client = open_redis(url)
    begun = time.monotonic()
    try:
        while time.monotonic() - begun < _READY_S and monitor.poll() is None:
            state = await read_state(client)
            if state is not None and state.broker_connected:
                return True
            await asyncio.sleep(0.02)
    finally:
        await client.aclose()
    return False


async def read_state(client: Any) -> MonitorState | None:
    """Return the monitor's heartbeat, if there is one."""
    stored = await client.get(monitor_key(MONITOR))
    return None if stored is None else _states.decode(stored)


async def _measure(
    load: Load, broker: GuardedServer, server: GuardedServer, monitor: "subprocess.Popen[bytes]"
) -> dict[str, Any]:
    client = open_redis(server.url)
    idle_mb = memory_mb(monitor.pid)
    guarded = {"broker": _pid(broker), "server": _pid(server), "monitor": monitor.pid}
    before = {name: cpu_s(pid) for name, pid in guarded.items()}
    looking = asyncio.create_task(_look_at(server.url, min(load.watched, load.athletes)))
    profile = Profile(monitor.pid, load.seconds, flame=load.flame) if load.profile or load.flame else None
    try:
        said, straps_s = await run_straps(load, broker.url)
        state = await _settled(client, said["sent"])
        cost = {name: cpu_s(pid) - before[name] for name, pid in guarded.items()} | {"straps": straps_s}
        looking.cancel()
        with suppress(asyncio.CancelledError):
            await looking
        latency_s, window_s, beats, classified = await _latencies(client, load)
        memory = {
            "idle_mb": idle_mb,
            "end_mb": memory_mb(monitor.pid),
            "peak_mb": memory_mb(monitor.pid, peak=True),
            "kb_per_athlete": 1e3 * (memory_mb(monitor.pid) - idle_mb) / load.athletes,
        }
        return {
            "athletes": load.athletes,
            "seconds": load.seconds,
            "packet_s": load.packet_s,
            "mean_bpm": 60.0 * beats / (load.athletes * load.seconds),
            "broker": load.broker,
            "packets": said["sent"],
            "losses": {
                "radio": said["lost"],
                "not acknowledged by the broker": said["unacknowledged"],
                "between broker and monitor": said["sent"]
                - state.packets_received
                - state.packets_refused
                - state.packets_dropped,
                "refused": state.packets_refused,
                "dropped by the monitor": state.packets_dropped,
            },
            "beats": beats,
            "beats_classified": classified,
            "alarms": state.alarms,
            "cpu_s": cost,
            "cpu_ms_per_athlete_s": 1e3 * cost["monitor"] / (load.athletes * load.seconds),
            "memory": memory,
            "lateness_p99_s": said["lateness_s"]["p99"],
            "void": said["lateness_s"]["p99"] > LATE_MOST_S,
            "latency_s": latency_s,
            "latency_from_window_s": window_s,
            "stages": None if profile is None else profile.stages(cost["monitor"]),
        }
    finally:
        looking.cancel()
        await client.aclose()


def _pid(server: GuardedServer) -> int:
    guardian = server._guardian  # noqa: SLF001 - nobody else has to know
    assert guardian is not None  # noqa: S101 - it was started
    return guardian.pid


async def _look_at(url: str, watched: int) -> None:
    """Subscribe to the waveforms of the first athletes, as a dashboard would."""
    if watched == 0:
        return
    client = open_redis(url)
    listener: Any = client.pubsub()
    try:
        await listener.subscribe(*(wave_key(TEAM, athlete_name(index)) for index in range(watched)))
        async for _ in listener.listen():
            pass
    finally:
        await listener.aclose()
        await client.aclose()


async def run_straps(load: Load, url: str) -> tuple[dict[str, Any], float]:
    """Run the straps as a process; return what it said, and its processor seconds while it sent."""
    command = [sys.executable, "-m", "benchmarks.live_straps", str(load.athletes), "--broker", url]
    command += ["--seconds", str(load.seconds), "--packet-s", str(load.packet_s), "--bpm", str(load.bpm)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    assert process.stdout is not None  # noqa: S101 - it was asked for
    try:
        printed = await process.stdout.read()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if await process.wait():
        sys.exit("the straps failed")
    said = msgspec.json.decode(printed)
    return said, said.pop("cpu_s")


async def _settled(client: Any, sent: int) -> MonitorState:
    """Return the monitor's state once it has taken all that was sent, or as it is after a while."""
    begun = time.monotonic()
    while True:
        await asyncio.sleep(1.1)
        state = await read_state(client)
        if state is None:
            sys.exit("the monitor has gone")
        if state.packets_received >= sent or time.monotonic() - begun > _SETTLE_S:
            # One more heartbeat: what the last packets brought is written by then.
            await asyncio.sleep(1.1)
            return await read_state(client) or state


async def _latencies(client: Any, load: Load) -> tuple[dict[str, float], dict[str, float], int, int]:
    """Return latencies from the last sample that each beat, and each beat's window, needed; beats, and classified."""
    packet_samples = round(load.packet_s * RATE_HZ)
    window = int(np.ceil(299 * RATE_HZ / 360.0))
    late: list[float] = []
    from_window: list[float] = []
    beats = classified = 0
    for first in range(0, load.athletes, _AT_ONCE):
        pipeline = client.pipeline(transaction=False)
        for index in range(first, min(first + _AT_ONCE, load.athletes)):
            pipeline.xrange(beats_key(TEAM, athlete_name(index)))
        for entries in await pipeline.execute():
            for entry, fields in entries:
                beat = _beats.decode(fields[b"beat"])
                beats += 1
                if not beat.probabilities:
                    # A gap or the end cut its window short.
                    continue
                classified += 1
                waited = int(entry.split(b"-")[0]) / 1e3 - beat.due_at
                packet_end = (beat.known_sample // packet_samples + 1) * packet_samples
                since_s = waited + (packet_end - 1 - beat.known_sample) / RATE_HZ
                late.append(since_s)
                from_window.append(since_s + (beat.known_sample - beat.r_sample - window) / RATE_HZ)
    return _quantiles(np.array(late)), _quantiles(np.array(from_window)), beats, classified


def _quantiles(seconds: NDArray[np.float64]) -> dict[str, float]:
    if len(seconds) == 0:
        return {}
    p50, p95, p99 = np.quantile(seconds, [0.5, 0.95, 0.99]).tolist()
    return {"p50": p50, "p95": p95, "p99": p99, "max": float(seconds.max())}


def holds(row: dict[str, Any]) -> bool:
    """Whether a run lost nothing and was within a packet and `SLACK_S`."""
    lost = sum(row["losses"].values())
    return not row["void"] and lost == 0 and row["latency_s"].get("p99", np.inf) <= row["packet_s"] + SLACK_S


def find_max(load: Load, *, hold_s: float, begin: int) -> list[dict[str, Any]]:
    """Return the runs of a search for the largest number of athletes, the last one long."""
    rows: list[dict[str, Any]] = []

    def run(athletes: int, seconds: float) -> bool:
        row = measure(Load(**{**vars(load), "athletes": athletes, "seconds": seconds}))
        rows.append(row)
        tell(row)
        return holds(row)

    good, bad = 0, 0
    athletes = begin
    while not (good and bad and bad - good <= max(_FINEST, good // 20)):
        if run(athletes, load.seconds):
            good = athletes
        else:
            bad = athletes
        athletes = (good + bad) // 2 if good and bad else 2 * athletes if good else athletes // 2
        if athletes < 1:
            return rows
    while hold_s > 0 and good > _FINEST and not run(good, hold_s):
        good -= max(_FINEST, good // 20)
    return rows


def tell(row: dict[str, Any]) -> None:
    """Print a run."""

    def ms(seconds: dict[str, float]) -> str:
        return ", ".join(f"{name} {1e3 * value:.0f}" for name, value in seconds.items())

    cpu = row["cpu_s"]
    print(
        f"{row['athletes']} athletes, {row['seconds']:g} s, packets of {row['packet_s']:g} s, {row['broker']} broker, "
        f"mean {row['mean_bpm']:.0f} bpm: {'holds' if holds(row) else 'VOID' if row['void'] else 'does not hold'}"
    )
    print(
        f"  packets {row['packets']}; lost: " + ", ".join(f"{n} {name}" for name, n in row["losses"].items())
    )
    print(f"  beats {row['beats']}, classified {row['beats_classified']}, alarms {row['alarms']}")
    print(
        "  CPU: "
        + ", ".join(
            f"{name} {value:.1f} s ({100 * value / row['seconds']:.0f} %)" for name, value in cpu.items()
        )
        + f"; monitor {row['cpu_ms_per_athlete_s']:.3f} ms a second and athlete"
    )
    memory = row["memory"]
    print(
        f"  memory of the monitor: {memory['idle_mb']:.0f} MB when ready (after {row['ready_s']:.1f} s), "
        f"{memory['end_mb']:.0f} at the end, {memory['peak_mb']:.0f} at most; "
        f"{memory['kb_per_athlete']:.0f} kB an athlete"
    )
    print(f"  latency in ms: {ms(row['latency_s'])}; straps late by p99 {1e3 * row['lateness_p99_s']:.1f}")
    print(f"  the same from the end of each beat's window: {ms(row['latency_from_window_s'])}", flush=True)
    for thread, stages in (row["stages"] or {}).items():
        print(f"  {thread}: " + ", ".join(f"{stage} {seconds:.2f} s" for stage, seconds in stages.items()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--athletes", type=int, nargs="+", default=[100])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="embedded")
    parser.add_argument("--packet-s", type=float, default=0.25)
    parser.add_argument(
        "--bpm", type=float, default=75.0, help="mean heart rate, 75 (the records' own) to 150"
    )
    parser.add_argument("--watched", type=int, default=8)
    parser.add_argument("--no-profile", action="store_true", help="do not ask py-spy for stages")
    parser.add_argument("--flame", type=Path, help="let py-spy draw a flame graph there instead")
    parser.add_argument("--find-max", action="store_true")
    parser.add_argument(
        "--hold", type=float, default=600.0, help="seconds for which the largest number has to hold"
    )
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    loads = [
        Load(
            athletes=athletes,
            seconds=arguments.seconds,
            packet_s=arguments.packet_s,
            bpm=arguments.bpm,
            broker=arguments.broker,
            watched=arguments.watched,
            profile=not arguments.no_profile,
            flame=arguments.flame,
        )
        for athletes in arguments.athletes
    ]
    rows = []
    if arguments.find_max:
        rows = find_max(loads[0], hold_s=arguments.hold, begin=loads[0].athletes)
    else:
        for load in loads:
            rows.append(measure(load))
            tell(rows[-1])
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0 if all(not row["void"] for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
