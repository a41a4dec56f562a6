"""The monitor of a trial: in this process, so that it starts at once, or the command, which can be killed."""

import asyncio
import contextlib
import signal
import subprocess
import time
from functools import cache
from pathlib import Path
from typing import Final, Protocol

import msgspec
from redis.exceptions import RedisError

from benchmarks.faults.place import MONITOR_ID, Place, end_monitor, patient_client, start_monitor
from models.runtime import load_classifier
from monitor.classifier import BeatClassifier
from monitor.live import LiveMonitor
from monitor.live_state import MonitorState, monitor_key
from monitor.recovery.folder import RecoveryFolder
from monitor.recovery.resume import resume
from monitor.sinks import Outbox, RedisSink
from monitor.sources import MqttSource
from monitor.warm_up import warm_up
from monitor.watch import Watch

_READY_S: Final = 300.0


class Monitor(Protocol):
    """The monitor of a trial."""

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        ...

    async def end(self) -> None:
        """End it in order."""
        ...


@cache
def shipped_classifier() -> BeatClassifier:
    """Return the shipped classifier, with everything loaded that the first beat needs."""
    classifier = load_classifier(threads=1)
    warm_up(classifier)
    return classifier


class MonitorHere:
    """The monitor in this process, so that it starts at once.

    Parameters
    ----------
    place : Place
        Where.
    classifier : BeatClassifier or None
        What names beats.
    folder : Path, optional
        Where outbox, packets and snapshots lie, if elsewhere.
    """

    def __init__(
        self, place: Place, classifier: BeatClassifier | None, *, folder: Path | None = None
    ) -> None:
        self._place = place
        self._classifier = classifier
        self._folder = folder or place.folder
        self._stack = contextlib.AsyncExitStack()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        connected = asyncio.Event()
        watch = Watch(classifier=self._classifier)
        enter = self._stack.enter_context
        recovery = enter(RecoveryFolder(self._folder / "recovery"))
        outbox = enter(contextlib.closing(Outbox(self._folder / "outbox.sqlite3")))
        watch.record_alarms(recovery.alarms)
        resumption = resume(watch, recovery.rows, recovery.journal, time.time())
        sink = await self._stack.enter_async_context(RedisSink(self._place.redis_url, outbox=outbox))
        source = await self._stack.enter_async_context(
            MqttSource(
                self._place.broker_url,
                client_id=MONITOR_ID,
                persistent_session=True,
                journal=recovery.journal,
                on_connection=lambda there: connected.set() if there else None,
            )
        )
        monitor = LiveMonitor(
            source=source,
            sink=sink,
            watch=watch,
            monitor_id=MONITOR_ID,
            model="",
            settings_hash="",
            tick_s=0.02,
            recovery=recovery,
            resumption=resumption,
        )
        self._task = asyncio.create_task(monitor.run())
        async with asyncio.timeout(_READY_S):
            await connected.wait()

    async def end(self) -> None:
        """End it in order; what ended it before is raised."""
        try:
            if self._task is not None:
                self._task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await self._task
        finally:
            await self._stack.aclose()


class MonitorProcess:
    """The command, as a process of its own, that can be killed and stopped.

    Parameters
    ----------
    place : Place
        Where.

    Attributes
    ----------
    starts : int
        How often it was started.
    """

    def __init__(self, place: Place, **sections: dict[str, object]) -> None:
        self._place = place
        self._settings = place.settings(**sections)
        self._log = place.folder / "monitor.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    async def start(self) -> None:
        """Start it, and wait until it hears its broker."""
        client = patient_client(self._place.server)
        with contextlib.suppress(RedisError):
            await client.delete(monitor_key(MONITOR_ID))
        self._process = start_monitor(self._settings, log=self._log)
        self.starts += 1
        async with asyncio.timeout(_READY_S):
            while True:
                heartbeat = await client.get(monitor_key(MONITOR_ID))
                if heartbeat and msgspec.msgpack.decode(heartbeat, type=MonitorState).broker_connected:
                    break
                if self._process.poll() is not None:
                    words = self._log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
                    raise RuntimeError(f"the monitor ended with {self._process.returncode}: {words}")
                await asyncio.sleep(0.05)
        await client.aclose()

    def signal(self, which: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None:
            self._process.send_signal(which)

    async def kill(self) -> None:
        """Kill it, as a crash would."""
        if self._process is not None:
            self._process.kill()
            await asyncio.to_thread(self._process.wait)

    async def end(self) -> None:
        """End it in order."""
        if self._process is not None:
            code = await asyncio.to_thread(end_monitor, self._process)
            if code:
                raise RuntimeError(f"the monitor ended with exit code {code}")
