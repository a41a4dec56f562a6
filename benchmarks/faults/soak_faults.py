"""What goes wrong during a soak: one fault after the other, drawn at random, each entered with its time."""

import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

import aiomqtt

from benchmarks.faults.place import Place, patient_client
from monitor.live_state import wave_key
from simulators.strap import Strap

Reach = Literal["broker", "server", "packets", "none"]
"""What may be lost by a fault: packets that a broker had taken, beats on their way to the server, packets of the
radio, or nothing."""


@dataclass(frozen=True, slots=True)
class Happened:
    """A fault that happened.

    Attributes
    ----------
    fault : str
        Its name.
    reach : str
        What it may cost.
    begin_at, end_at : float
        From when to when, in Unix time.
    """

    fault: str
    reach: Reach
    begin_at: float
    end_at: float


class SoakFaults:
    """Draws faults and lets them happen.

    Parameters
    ----------
    place : Place
        Where.
    monitor : subprocess.Popen
        The monitor.
    straps : iterable of Strap
        Who may be hit.
    lossy : frozenset of (str, str)
        Whose radio may be bad, as (team, athlete).
    seed : int
        Of the draw.

    Attributes
    ----------
    happened : list of Happened
        What has happened so far.
    peace : asyncio.Lock
        Whoever holds it sees no fault meanwhile.
    """

    def __init__(
        self,
        place: Place,
        monitor: "subprocess.Popen[bytes]",
        straps: Iterable[Strap],
        *,
        lossy: frozenset[tuple[str, str]],
        seed: int,
    ) -> None:
        self.happened: list[Happened] = []
        self.peace = asyncio.Lock()
        self._place = place
        self._monitor = monitor
        self._straps = list(straps)
        self._lossy = lossy
        self._random = random.Random(seed)
        self._loss = 0.0
        self._bag: list[_Fault] = []

    def loss_of(self, strap: Strap) -> float:
        """Return the share of packets that a strap's radio loses now."""
        return self._loss if (strap.team, strap.athlete) in self._lossy else 0.0

    async def run(self, *, left_s: Callable[[], float], every_s: tuple[float, float]) -> None:
        """Let faults happen, with a rest of `every_s` (least, most) seconds before each, while there is time left.

        Parameters
        ----------
        left_s : callable
            Returns for how many seconds there may still be faults.
        every_s : (float, float)
            Least and most seconds of rest.
        """
        while True:
            await asyncio.sleep(self._random.uniform(*every_s))
            if not self._bag:
                # Every kind once, in random order, before any comes again.
                self._bag = self._random.sample(_FAULTS, len(_FAULTS))
            fault = self._bag.pop()
            lasts_s = self._random.uniform(*fault.lasts_s)
            async with self.peace:
                if lasts_s > left_s():
                    return
                begin_at = time.time()
                await fault.happen(self, lasts_s)
                self.happened.append(Happened(fault.name, fault.reach, begin_at, time.time()))

    def counts(self) -> dict[str, int]:
        """Return how often each fault has happened."""
        counts: dict[str, int] = {}
        for each in self.happened:
            counts[each.fault] = counts.get(each.fault, 0) + 1
        return dict(sorted(counts.items()))

    def told(self) -> list[dict[str, Any]]:
        """Return what happened, as plain values."""
        return [asdict(each) for each in self.happened]

    async def broker_killed(self, lasts_s: float) -> None:
        """Kill the broker; it comes back with its sessions."""
        await asyncio.to_thread(self._place.broker.kill)
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(self._place.broker.start)

    async def broker_restarted(self, lasts_s: float) -> None:
        """Stop the broker in order; it comes back with its sessions."""
        await asyncio.to_thread(self._place.broker.stop)
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(self._place.broker.start)

    async def broker_slow(self, lasts_s: float) -> None:
        """Let everything from and to the broker take longer."""
        self._place.broker_link.delay_s = self._place.straps_link.delay_s = 0.4
        await asyncio.sleep(lasts_s)
        await self._place.broker_link.mend()
        await self._place.straps_link.mend()

    async def straps_cut(self, lasts_s: float) -> None:
        """Pull the cable between straps and broker."""
        await self._place.straps_link.cut()
        await asyncio.sleep(lasts_s)
        await self._place.straps_link.mend()

    async def monitor_cut(self, lasts_s: float) -> None:
        """Pull the cable between broker and monitor."""
        await self._place.broker_link.cut()
        await asyncio.sleep(lasts_s)
        await self._place.broker_link.mend()

    async def monitor_unheard(self, lasts_s: float) -> None:
        """Let the network between broker and monitor swallow everything."""
        self._place.broker_link.swallow()
        await asyncio.sleep(lasts_s)
        await self._place.broker_link.mend()

    async def server_killed(self, lasts_s: float) -> None:
        """Kill the server; it comes back with its data."""
        await asyncio.to_thread(self._place.server.kill)
        await asyncio.sleep(lasts_s)
        await asyncio.to_thread(self._place.server.start)

    async def server_full(self, lasts_s: float) -> None:
        """Leave the server no memory to write into."""
        await self._configure("maxmemory", "1")
        await asyncio.sleep(lasts_s)
        await self._configure("maxmemory", "0")

    async def server_read_only(self, lasts_s: float) -> None:
        """Let the server refuse to write, as one does that has lost its replicas."""
        await self._configure("min-replicas-to-write", "1")
        await asyncio.sleep(lasts_s)
        await self._configure("min-replicas-to-write", "0")

    async def server_slow(self, lasts_s: float) -> None:
        """Let everything from and to the server take longer."""
        self._place.server_link.delay_s = 0.3
        await asyncio.sleep(lasts_s)
        await self._place.server_link.mend()

    async def monitor_stopped(self, lasts_s: float) -> None:
        """Let the monitor stand still, as under a debugger or on a machine that swaps."""
        self._monitor.send_signal(signal.SIGSTOP)
        await asyncio.sleep(lasts_s)
        self._monitor.send_signal(signal.SIGCONT)

    async def bad_radio(self, lasts_s: float) -> None:
        """Let some straps' radio lose 1 to 30 % of their packets."""
        self._loss = self._random.uniform(0.01, 0.3)
        await asyncio.sleep(lasts_s)
        self._loss = 0.0

    async def slow_dashboard(self, lasts_s: float) -> None:
        """Subscribe to waveforms and read nothing of them."""
        with contextlib.ExitStack() as stack:
            for strap in self._random.sample(self._straps, 4):
                reader = stack.enter_context(socket.create_connection(("127.0.0.1", self._place.server.port)))
                channel = wave_key(strap.team, strap.athlete)
                reader.sendall(f"SUBSCRIBE {channel}\r\n".encode())
            await asyncio.sleep(lasts_s)

    async def hostile(self, lasts_s: float) -> None:
        """Publish what is no packet, in the names of real straps and of others."""
        ends = time.monotonic() + lasts_s
        with contextlib.suppress(aiomqtt.MqttError):
            async with aiomqtt.Client("127.0.0.1", self._place.broker.port) as client:
                while time.monotonic() < ends:
                    strap = self._random.choice(self._straps)
                    length = self._random.choice((0, 1, 40, 400, 70_000))
                    where = self._random.choice(
                        (f"{strap.team}/{strap.athlete}", "x/y", "x y/z", "a" * 65 + "/b")
                    )
                    await client.publish(f"ecg/{where}/samples", self._random.randbytes(length), qos=1)
                    await asyncio.sleep(0.02)

    async def _configure(self, name: str, value: str) -> None:
        client = patient_client(self._place.server)
        await client.config_set(name, value)
        await client.aclose()


@dataclass(frozen=True, slots=True)
class _Fault:
    name: str
    reach: Reach
    lasts_s: tuple[float, float]
    happen: Callable[[SoakFaults, float], Awaitable[None]]


_FAULTS: Final = [
    _Fault("broker killed", "broker", (2.0, 30.0), SoakFaults.broker_killed),
    _Fault("broker restarted", "broker", (2.0, 10.0), SoakFaults.broker_restarted),
    _Fault("broker slow", "none", (10.0, 30.0), SoakFaults.broker_slow),
    _Fault("straps cut off", "none", (2.0, 20.0), SoakFaults.straps_cut),
    _Fault("monitor cut off", "none", (2.0, 20.0), SoakFaults.monitor_cut),
    _Fault("monitor unheard", "none", (5.0, 25.0), SoakFaults.monitor_unheard),
    _Fault("server killed", "server", (2.0, 20.0), SoakFaults.server_killed),
    _Fault("server full", "server", (5.0, 15.0), SoakFaults.server_full),
    _Fault("server read-only", "server", (5.0, 15.0), SoakFaults.server_read_only),
    _Fault("server slow", "none", (10.0, 30.0), SoakFaults.server_slow),
    _Fault("monitor stopped", "none", (2.0, 8.0), SoakFaults.monitor_stopped),
    _Fault("bad radio", "packets", (10.0, 40.0), SoakFaults.bad_radio),
    _Fault("slow dashboard", "none", (20.0, 40.0), SoakFaults.slow_dashboard),
    _Fault("hostile packets", "none", (5.0, 15.0), SoakFaults.hostile),
]
