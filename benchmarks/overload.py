"""Three times the load that holds: ``python -m benchmarks.overload --holds 1000 [--times 3] [--seconds 40]``.

Straps as in `benchmarks.live`, more than the machine can watch, for some seconds; then a few go on alone. Printed is,
second by second, how late the monitor is, what it leaves out and what it drops, and at the end what became of every
packet, how the own drops compare with what was sent, and how long after the load it took to do everything again.
"""

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

from benchmarks.live import MONITOR, Load, is_ready, read_state, run_straps
from monitor.embedded import EmbeddedBroker, EmbeddedServer, InstalledMosquitto, spawn
from monitor.embedded.servers import GuardedServer
from monitor.live_state import MonitorState
from monitor.overload import STEPS
from monitor.sinks import open_redis

_RECOVERY_S: Final = 90.0
_AFTERWARDS: Final = 100


async def _measure(load: Load, broker: GuardedServer, url: str, *, afterwards: int) -> dict[str, Any]:
    client = open_redis(url)
    seen: list[MonitorState] = []

    async def follow() -> None:
        while True:
            state = await read_state(client)
            if state is not None and (not seen or state.at > seen[-1].at):
                seen.append(state)
                print(
                    f"{state.at - seen[0].at:5.0f} s  late {state.late_s:6.2f} s  leaves out {STEPS[state.relief]:25} "
                    f"received {state.packets_received:7d}  dropped {state.packets_dropped:6d}  "
                    f"radio lost {state.packets_lost:5d}  beats {state.beats:7d}",
                    flush=True,
                )
            await asyncio.sleep(0.5)

    following = asyncio.create_task(follow())
    try:
        said, _ = await run_straps(load, broker.url)
        ended_at = time.time()
        few = Load(athletes=afterwards, seconds=_RECOVERY_S, packet_s=load.packet_s, bpm=load.bpm)
        going_on = asyncio.create_task(run_straps(few, broker.url))
        recovered_at = None
        while time.time() - ended_at < _RECOVERY_S and recovered_at is None:
            await asyncio.sleep(0.5)
            if seen and seen[-1].relief == 0 and seen[-1].at > ended_at:
                recovered_at = seen[-1].at
        last = seen[-1]
        going_on.cancel()
        await asyncio.gather(going_on, return_exceptions=True)
        return {
            "athletes": load.athletes,
            "seconds": load.seconds,
            "sent": said["sent"],
            "straps_late_p99_s": said["lateness_s"]["p99"],
            "received": last.packets_received,
            "dropped": last.packets_dropped,
            "radio_lost": last.packets_lost,
            "most_relief": max(state.relief for state in seen),
            "most_late_s": max(state.late_s for state in seen),
            "left_out": last.left_out,
            "recovered_after_s": None if recovered_at is None else recovered_at - ended_at,
        }
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await client.aclose()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--holds", type=int, required=True, help="athletes that the machine holds")
    parser.add_argument("--times", type=float, default=3.0)
    parser.add_argument("--seconds", type=float, default=40.0)
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="mosquitto")
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    load = Load(athletes=round(arguments.holds * arguments.times), seconds=arguments.seconds)
    broker: GuardedServer = InstalledMosquitto() if arguments.broker == "mosquitto" else EmbeddedBroker()
    with broker, EmbeddedServer() as server, tempfile.TemporaryDirectory() as folder:
        monitor = spawn(
            ["monitor", "--broker", broker.url, "--redis", server.url, "--id", MONITOR,
             "--outbox", str(Path(folder) / "outbox.sqlite3")],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            if not asyncio.run(is_ready(server.url, monitor)):
                sys.exit("the monitor was not ready")
            row = asyncio.run(_measure(load, broker, server.url, afterwards=_AFTERWARDS))
        finally:
            monitor.terminate()
            monitor.wait()
    print(json.dumps(row, indent=2))
    if arguments.json:
        arguments.json.write_text(json.dumps(row, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
