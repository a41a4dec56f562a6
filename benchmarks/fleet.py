"""What simulated straps cost beside the monitor that hears them: ``python -m benchmarks.fleet --straps 500``.

Broker, server, monitor and straps run as processes of their own, as they would; what is printed is the processor time
each took while the straps sent, from the operating system's own count.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from monitor.embedded import EmbeddedBroker, EmbeddedServer, InstalledMosquitto, spawn
from monitor.live_state import MonitorState
from monitor.sinks import open_redis
from simulators.scenario_reader import ScenarioReader

_MONITOR: Final = "fleet-benchmark"
_READY_S: Final = 900.0
_SETTLE_S: Final = 45.0
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def main() -> int:
    """Run one benchmark after the other and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--straps", type=int, nargs="+", default=[200, 500])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--connections", nargs="+", default=["light", "shared"], help="light, shared, own")
    parser.add_argument("--mosquitto", action="store_true", help="Mosquitto instead of the embedded broker")
    arguments = parser.parse_args()
    print(
        "straps  connections  packets/s  received  lost  straps' CPU  monitor's CPU  ratio  lateness p99  load before"
    )
    for straps in arguments.straps:
        for connections in arguments.connections:
            load = os.getloadavg()[0]
            row = asyncio.run(_measure(straps, connections, arguments.seconds, mosquitto=arguments.mosquitto))
            late = row["lateness_p99_s"]
            print(
                f"{straps:6d}  {connections:11}  {row['packets'] / arguments.seconds:9.0f}  {row['received']:8d}  "
                f"{row['monitor_lost']:4d}  {row['straps_cpu_s']:9.2f} s  {row['monitor_cpu_s']:11.2f} s  "
                f"{row['straps_cpu_s'] / row['monitor_cpu_s']:5.2f}  "
                f"{'' if late is None else f'{1e3 * late:9.1f} ms'}  {load:11.1f}",
                flush=True,
            )
    return 0


async def _measure(straps: int, connections: str, seconds: float, *, mosquitto: bool) -> dict[str, Any]:
    broker = InstalledMosquitto() if mosquitto else EmbeddedBroker()
    with broker, EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        monitor = spawn(
            ["monitor", "--broker", broker.url, "--redis", server.url, "--id", _MONITOR,
             "--outbox", str(Path(folder) / "outbox.sqlite3")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        client = open_redis(server.url)
        reader = ScenarioReader(client, team="herd", athletes=[], monitor_id=_MONITOR)
        try:
            await _until_ready(reader, monitor)
            before_s = _cpu_s(monitor.pid)
            result = await asyncio.to_thread(_run_straps, straps, connections, seconds, broker.url)
            state = await _settled(reader, result["packets"])
            monitor_s = _cpu_s(monitor.pid) - before_s
            return result | {
                "monitor_cpu_s": monitor_s,
                "received": state.packets_received,
                "monitor_lost": state.packets_lost + state.packets_dropped + state.packets_refused,
            }
        finally:
            await client.aclose()
            monitor.terminate()
            monitor.wait()


async def _until_ready(reader: ScenarioReader, monitor: "subprocess.Popen[bytes]") -> MonitorState:
    begun = time.monotonic()
    while time.monotonic() - begun < _READY_S and monitor.poll() is None:
        state = await reader.read_monitor()
        if state is not None and state.broker_connected:
            return state
        await asyncio.sleep(0.1)
    sys.exit("the monitor was not ready")


async def _settled(reader: ScenarioReader, sent: int) -> MonitorState:
    """Return the monitor's state once it has taken all that was sent, or as it is after `_SETTLE_S`."""
    begun = time.monotonic()
    while True:
        await asyncio.sleep(0.5)
        state = await reader.read_monitor()
        if state is None:
            sys.exit("the monitor has gone")
        if state.packets_received >= sent or time.monotonic() - begun > _SETTLE_S:
            return state


def _run_straps(straps: int, connections: str, seconds: float, broker_url: str) -> dict[str, Any]:
    """Run the straps as a process and return what it said and what it cost, start included."""
    command = [sys.executable, "-P", "-m", "monitor.cli"]
    if connections == "own":
        command += ["simulate", "--synthetic", str(straps), "--team", "herd"]
    else:
        command += ["herd", str(straps), "--connections", connections]
    command += ["--broker", broker_url, "--seconds", str(seconds), "--json"]
    with tempfile.TemporaryFile() as printed:
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.DEVNULL)
        _, _, usage = os.wait4(process.pid, 0)
        printed.seek(0)
        said = json.loads(printed.read())
    sent = said["packets"]["sent"] if connections == "own" else said["sent"]
    return {
        "packets": sent,
        "straps_cpu_s": usage.ru_utime + usage.ru_stime,
        "lateness_p99_s": said["lateness_s"]["p99"],
    }


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


if __name__ == "__main__":
    sys.exit(main())
