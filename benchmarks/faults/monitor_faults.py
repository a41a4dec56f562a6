"""Faults of the monitor itself and of what it leans on: its life, its disk, its model, and those who read from it."""

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from benchmarks.faults.place import Place, patient_client, start_monitor
from benchmarks.faults.trial import run_trial
from benchmarks.faults.trial_monitors import MonitorHere, MonitorProcess, shipped_classifier
from benchmarks.faults.trial_stage import TEAM, Conditions, Outcome, Stage
from models.runtime import SHIPPED_WEIGHTS
from monitor.classifier import BeatClassifier
from monitor.contract import FloatArray
from monitor.live_state import wave_key
from monitor.receivers.relay import look
from monitor.receivers.watchdog import HEARTBEAT_LOST_AFTER_S, Watchdog
from monitor.record_live import LiveRecorder
from monitor.recorder import Recorder, RecordingLimits
from monitor.sources import MqttSource

KILLS: Final = 10
"""Of one trial; ``make chaos`` runs five."""
_SMALL_DISK: Final = "6m"


class NotHereError(Exception):
    """Something that the fault needs cannot be had on this machine; the text says what."""


async def killed(conditions: Conditions) -> Outcome:
    """Kill the monitor at random points, and start it again each time."""

    async def disturb(stage: Stage) -> None:
        monitor = stage.monitor
        assert isinstance(monitor, MonitorProcess)  # noqa: S101 - it is made below
        for _ in range(KILLS if conditions.long else 2):
            await asyncio.sleep(stage.chance.uniform(0.0, 6.0 if conditions.long else 0.5))
            await monitor.kill()
            await monitor.start()
        stage.measured["kills"] = monitor.starts - 1

    trial = await run_trial(conditions, disturb=disturb, monitor=MonitorProcess, outage=(0.001, 0.999))
    return trial.outcome


async def hung(conditions: Conditions) -> Outcome:
    """Stop the monitor for a while, and let a receiver's watchdog look on."""
    stopped_s = HEARTBEAT_LOST_AFTER_S + (10.0 if conditions.long else 2.0)

    async def disturb(stage: Stage) -> None:
        monitor = stage.monitor
        assert isinstance(monitor, MonitorProcess)  # noqa: S101 - it is made below
        watchdog = Watchdog(began_at=time.monotonic())
        told: list[tuple[float, str, str]] = []
        looking = asyncio.create_task(_look_on(stage.place, watchdog, told))
        await asyncio.sleep(2.0)
        begun = time.monotonic()
        monitor.signal(signal.SIGSTOP)
        await asyncio.sleep(stopped_s)
        monitor.signal(signal.SIGCONT)
        resumed = time.monotonic()
        await asyncio.sleep(5.0)
        looking.cancel()
        raised = [at - begun for at, kind, transition in told if (kind, transition) == _LOST]
        cleared = [at - resumed for at, kind, transition in told if (kind, transition) == _FOUND]
        stage.measured["stopped_s"] = stopped_s
        stage.measured["noticed_after_s"] = round(raised[0], 1) if raised else None
        stage.measured["over_after_s"] = round(cleared[0], 1) if cleared else None

    trial = await run_trial(conditions, disturb=disturb, monitor=MonitorProcess, outage=(0.001, 0.999))
    measured = trial.outcome.measured
    trial.outcome.failures += [
        f"the watchdog says nothing: {name} is missing"
        for name in ("noticed_after_s", "over_after_s")
        if measured[name] is None
    ]
    return trial.outcome


async def disk_full(conditions: Conditions) -> Outcome:
    """Fill the disk of outbox, packets, snapshots and recordings, and cut the server off meanwhile."""
    with small_disk() as disk:
        counters: dict[str, int] = {}

        async def disturb(stage: Stage) -> None:
            async with _recording(stage.place, disk, counters):
                await stage.until(0.2)
                fill(disk)
                await stage.until(0.4)
                async with stage.server_trouble():
                    await stage.place.server_link.cut()
                    await stage.until(0.75)
                    await stage.place.server_link.mend()
                (disk / "filler").unlink()
                await stage.until(1.0)

        trial = await run_trial(
            conditions,
            disturb=disturb,
            monitor=lambda place: MonitorHere(place, shipped_classifier(), folder=disk),
            allow={"missed_beats": 1.0},
        )
        outcome = trial.outcome
        unsaved = trial.seen.monitor.unsaved if trial.seen.monitor is not None else {}
        outcome.failures += [
            f"the disk was full, and {name} not told as unsaved"
            # A short session ends before the next snapshot is due.
            for name in ("alarms", "packets", *(("snapshots",) if conditions.long else ()))
            if not unsaved.get(name)
        ]
        outcome.measured["recorder"] = counters
        sent = sum(life.end_sample for life in trial.lives)
        kept = counters["samples"] + counters["dropped_samples"]
        if not counters["dropped_samples"] or not 0.9 * sent <= kept <= sent:
            outcome.failures.append(f"of {sent} samples the recorder accounts for {kept}: {counters}")
    return outcome


async def backend_fails(conditions: Conditions) -> Outcome:
    """Let every third call of the classifier's backend fail, and all calls for a fifth of the session."""
    failing = FailingBackend(shipped_classifier())

    async def disturb(stage: Stage) -> None:
        await stage.until(0.1)
        failing.every = 3
        await stage.until(0.7)
        failing.every = 1
        await stage.until(0.9)
        failing.every = 0
        stage.measured["failing calls"] = failing.failed

    trial = await run_trial(
        conditions,
        disturb=disturb,
        monitor=lambda place: MonitorHere(place, failing),
        unnamed=True,
    )
    return trial.outcome


class FailingBackend:
    """A classifier of which every so many calls fail.

    Parameters
    ----------
    classifier : BeatClassifier
        Who answers the others.

    Attributes
    ----------
    every : int
        Every so many calls fail; 0 for none.
    failed : int
        How many have.
    """

    def __init__(self, classifier: BeatClassifier) -> None:
        self.name = classifier.name
        self.input_path = classifier.input_path
        self.training_records = classifier.training_records
        self.sequence = classifier.sequence
        self.every = 0
        self.failed = 0
        self._calls = 0
        self._classifier = classifier

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return what the classifier says, or fail."""
        self._calls += 1
        if self.every and self._calls % self.every == 0:
            self.failed += 1
            raise RuntimeError("the device has gone")
        return self._classifier.probabilities(window, template, context)

    def labels(self, probabilities: FloatArray) -> "NDArray[Any]":
        """Return the classifier's labels."""
        return self._classifier.labels(probabilities)


async def model_damaged(conditions: Conditions) -> Outcome:
    """Start the monitor with weights that are cut short, changed, empty, and not there."""
    outcome = Outcome()
    whole, card = SHIPPED_WEIGHTS.read_bytes(), SHIPPED_WEIGHTS.with_suffix(".json").read_bytes()
    place_settings = "[broker]\nurl = 'mqtt://127.0.0.1:9'\n[redis]\nurl = 'redis://127.0.0.1:9'\n"
    damages: dict[str, bytes | None] = {
        "cut": whole[: len(whole) // 2],
        "changed": whole[:-100] + bytes(100),
        "empty": b"",
        "missing": None,
    }
    for name, content in damages.items():
        folder = conditions.folder / name
        folder.mkdir()
        weights = folder / "grunet.safetensors"
        weights.with_suffix(".json").write_bytes(card)
        if content is not None:
            weights.write_bytes(content)
        settings = folder / "strapwatch.toml"
        settings.write_text(
            f"{place_settings}[classifier]\nweights = '{weights}'\n[monitor]\noutbox = '{folder}/o.db'\n"
            f"recovery = '{folder}/r'\n"
        )
        process = start_monitor(settings, log=folder / "log")
        try:
            code = await asyncio.to_thread(process.wait, 60.0)
        except subprocess.TimeoutExpired:
            code = None
            process.kill()
        words = (folder / "log").read_text(encoding="utf-8").strip().splitlines()
        outcome.measured[name] = {
            "exit code": code,
            "says": words[-1].replace(str(folder), "…") if words else "",
        }
        if code != 1 or len(words) != 1:
            outcome.failures.append(f"{name} weights: exit code {code}, {len(words)} lines: {words[-3:]}")
    return outcome


async def slow_dashboards(conditions: Conditions) -> Outcome:
    """Let dashboards subscribe to every waveform and read nothing."""
    return (await run_trial(conditions, disturb=read_nothing)).outcome


async def read_nothing(stage: Stage) -> None:
    """Subscribe to every waveform as eight dashboards, until the end, and read nothing."""
    client = patient_client(stage.place.server)
    await client.config_set("client-output-buffer-limit", "pubsub 128kb 64kb 5")
    with contextlib.ExitStack() as stack:
        for _ in range(8):
            reader = stack.enter_context(socket.create_connection(("127.0.0.1", stage.place.server.port)))
            # As little as there can be on our side: what is not read must wait with the server.
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            for athlete in ("ada", "bo", "cleo", "dan"):
                reader.sendall(f"SUBSCRIBE {wave_key(TEAM, athlete)}\r\n".encode())
        await stage.until(1.0)
    await client.aclose()


@contextlib.contextmanager
def small_disk() -> Iterator[Path]:
    """Yield a folder on a disk of its own that holds a few megabytes.

    Raises
    ------
    NotHereError
        If none can be made here.
    """
    folder = Path(tempfile.mkdtemp(prefix="strapwatch-disk-"))
    try:
        if not sys.platform.startswith("linux") or os.geteuid() != 0 or shutil.which("mount") is None:
            raise NotHereError("a small disk needs Linux, root and mount")
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={_SMALL_DISK}", "tmpfs", str(folder)],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise NotHereError(f"a small disk cannot be mounted: {made.stderr.strip()}")
        try:
            yield folder
        finally:
            subprocess.run(["umount", "-l", str(folder)], check=False)
    finally:
        folder.rmdir()


def fill(disk: Path) -> None:
    """Write until there is no space left."""
    with (disk / "filler").open("wb", buffering=0) as filler:
        with contextlib.suppress(OSError):
            while True:
                filler.write(bytes(4096))
        with contextlib.suppress(OSError):
            while True:
                filler.write(b"\0")


@contextlib.asynccontextmanager
async def _recording(place: Place, disk: Path, counters: dict[str, int]) -> AsyncIterator[None]:
    """Record what straps send until the end of the block, and say then what became of it."""
    limits = RecordingLimits(keep_free_bytes=0)
    recorder = Recorder(disk / "records", limits=limits)
    url = f"mqtt://127.0.0.1:{place.broker.port}"
    async with MqttSource(url, client_id="recorder", persistent_session=True) as source:
        running = asyncio.create_task(LiveRecorder(source=source, recorder=recorder, beats=None).run())
        try:
            yield
            await asyncio.sleep(1.5)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
    found = recorder.counters
    counters |= {
        "samples": found.samples,
        "dropped_samples": found.dropped_samples,
        "segments": found.segments,
    }


_LOST: Final = ("monitoring_lost", "raised")
_FOUND: Final = ("monitoring_lost", "cleared")


async def _look_on(place: Place, watchdog: Watchdog, told: list[tuple[float, str, str]]) -> None:
    """Look as a relay does, and note what the watchdog says."""
    client = patient_client(place.server)
    while True:
        await look(client, watchdog)
        now = time.monotonic()
        told += [(now, alarm.kind, alarm.transition) for alarm in watchdog.tick(now)]
        await asyncio.sleep(0.25)
