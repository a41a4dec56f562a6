"""Start everything, watch it, end everything."""

import asyncio
import contextlib
import json
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import IO, Any, Final, Self

from monitor.cancellation import end
from monitor.demo.cast import EXCERPT, SYNTHETIC, Part
from monitor.demo.observer import Observer, all_labels
from monitor.demo.summary import latency, summary
from monitor.embedded import EmbeddedBroker, EmbeddedServer, spawn
from monitor.errors import ServerError
from monitor.sinks import open_redis

TEAM: Final = "demo"
MONITOR_ID: Final = "demo"
LINE_EVERY_S: Final = 5.0
READY_WITHIN_S: Final = 900.0
"""The first start ever compiles the stages: a minute, many on a busy machine. One that dies is told at once."""
_SAY_AGAIN_S: Final = 20.0
_INTRODUCED: Final = 24
_DRAIN_S: Final = 1.5
_END_WITHIN_S: Final = 1.5


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """How a demo runs.

    Attributes
    ----------
    parts : list of Part
        Who takes part.
    seconds : float or None
        How long the straps send; None until interrupted.
    speed : float
        Seconds of signal per second.
    """

    parts: list[Part]
    seconds: float | None
    speed: float


class Demo:
    """A demo from start to end.

    Parameters
    ----------
    options : DemoOptions
        How it runs.
    say : callable
        Takes a line for the person who waits.
    """

    def __init__(self, options: DemoOptions, *, say: Callable[[str], None]) -> None:
        self._options = options
        self._say = say
        self._running: asyncio.Task[Any] | None = None
        self._watching = False
        self._leave = asyncio.Event()

    def interrupt(self) -> None:
        """End the demo, with its summary where it has begun to watch; the second time, and before that, at once."""
        if self._watching and not self._leave.is_set():
            self._leave.set()
        elif self._running is not None:
            self._running.cancel()

    @property
    def interrupted(self) -> bool:
        """Whether `interrupt` ended it."""
        return self._leave.is_set()

    async def run(self, show: "Callable[[str], Any] | None" = None) -> dict[str, Any]:
        """Run the demo and return its summary, also after `interrupt`.

        Parameters
        ----------
        show : callable, optional
            Given the server's URL, returns an awaitable that shows a dashboard and ends when the person leaves it.

        Raises
        ------
        ServerError
            If one of the parts does not start, or ends before it should.
        """
        self._running = asyncio.current_task()
        with contextlib.ExitStack() as stack:
            servers = stack.enter_context(_Together())
            # These say farewell to the servers, so they end before them.
            commands = stack.enter_context(_Together())
            broker, server = EmbeddedBroker(), EmbeddedServer()
            for each in (broker, server):
                # Nothing in them outlives the demo, and the broker takes a second to end in order.
                servers.end_with(each.kill)
                await asyncio.to_thread(each.start)
            monitor = _Child(stack, "monitor", _monitor_arguments(broker.url, server.url))
            commands.end_with(monitor.end)
            scorer = _Child(stack, "score", ["score", "--broker", broker.url, "--redis", server.url])
            commands.end_with(scorer.end)
            client = open_redis(server.url)
            observer = Observer(
                client,
                team=TEAM,
                athletes=[part.athlete for part in self._options.parts],
                monitor_id=MONITOR_ID,
            )
            try:
                await self._wait_until_ready(observer, monitor)
                straps = _Child(stack, "simulate", self._strap_arguments(broker.url))
                commands.end_with(straps.end)
                self._say(f"straps: {_introduce(self._options.parts)}")
                begun = time.monotonic()
                await self._watch(observer, [monitor, scorer], straps, show, server.url)
                seconds = time.monotonic() - begun
                ended_by_itself = not straps.running
                printed = await asyncio.to_thread(straps.end)
                # Whoever leaves the dashboard does not wait for the last beats.
                await asyncio.sleep(_DRAIN_S if ended_by_itself else 0.0)
                await observer.read()
                told = _strap_summary(printed, straps, interrupted=self._leave.is_set())
                return summary(observer, self._options.parts, told, seconds=seconds)
            finally:
                await client.aclose()

    async def _wait_until_ready(self, observer: Observer, monitor: "_Child") -> None:
        begun = time.monotonic()
        say_at = begun + 5.0
        while (now := time.monotonic()) - begun < READY_WITHIN_S:
            await observer.read()
            if observer.seen.monitor is not None and observer.seen.monitor.broker_connected:
                return
            monitor.must_run()
            if now > say_at:
                self._say(
                    f"the monitor has been getting ready for {now - begun:.0f} s; the first start ever compiles its "
                    "stages, which takes about a minute on an idle machine"
                )
                say_at = now + _SAY_AGAIN_S
            await asyncio.sleep(0.1)
        raise ServerError(f"the monitor was not ready within {READY_WITHIN_S:g} s:\n{monitor.last_words()}")

    async def _watch(
        self,
        observer: Observer,
        others: "list[_Child]",
        straps: "_Child",
        show: "Callable[[str], Any] | None",
        server_url: str,
    ) -> None:
        following = asyncio.create_task(observer.follow())
        waiting = [
            following,
            asyncio.create_task(_until_ended(straps, others)),
            asyncio.create_task(self._leave.wait()),
        ]
        if show is not None:
            waiting.append(asyncio.ensure_future(show(server_url)))
        else:
            waiting.append(asyncio.create_task(self._tell(observer)))
        self._watching = True
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await asyncio.gather(*(end(task) for task in waiting))

    async def _tell(self, observer: Observer) -> None:
        begun = time.monotonic()
        while True:
            await asyncio.sleep(LINE_EVERY_S)
            seen = observer.seen
            beats = all_labels(seen.beats)
            late = latency(seen.latency_s)["p99"]
            monitor = seen.monitor
            self._say(
                f"{time.monotonic() - begun:.0f} s: "
                f"{monitor.packets_received if monitor else 0} packets, "
                f"{monitor.packets_lost if monitor else 0} lost, "
                f"beats {' '.join(f'{label} {count}' for label, count in beats.items())}, "
                f"{len(seen.raised)} alarms, latency p99 {'unknown' if late is None else f'{1000 * late:.0f} ms'}"
            )

    def _strap_arguments(self, broker_url: str) -> list[str]:
        options = self._options
        arguments = ["simulate", "--broker", broker_url, "--team", TEAM, "--loop", "--json"]
        arguments += ["--speed", str(options.speed)]
        if options.seconds is not None:
            arguments += ["--seconds", str(options.seconds)]
        recorded = [part for part in options.parts if part.record != SYNTHETIC]
        synthetic = [part for part in options.parts if part.record == SYNTHETIC]
        for part in recorded:
            arguments += ["--record", part.record]
        if synthetic:
            arguments += ["--synthetic", str(len(synthetic))]
        for part in (*recorded, *synthetic):
            arguments += ["--athlete", part.athlete, "--start", str(part.start_s)]
        return arguments


class _Together:
    """Ends everything that was started at the same time, so that the slowest of them sets the pace, not their sum."""

    def __init__(self) -> None:
        self._ends: list[Callable[[], object]] = []

    def end_with(self, end: Callable[[], object]) -> None:
        self._ends.append(end)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        with ThreadPoolExecutor(max_workers=len(self._ends) or 1) as pool:
            for ending in [pool.submit(end) for end in self._ends]:
                ending.result()


class _Child:
    """One of our own commands, running beside us."""

    def __init__(self, stack: contextlib.ExitStack, name: str, arguments: list[str]) -> None:
        self.name = name
        # Without a name in any folder, so that nothing is left however we end.
        self._out: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        self._log: IO[bytes] = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 - the stack closes it
        self._process = spawn(arguments, stdout=self._out, stderr=self._log)

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def must_run(self) -> None:
        if not self.running:
            raise ServerError(f"{self.name} ended with exit code {self.exit_code}:\n{self.last_words()}")

    def last_words(self, lines: int = 5) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-lines:])

    def end(self) -> bytes:
        """End the command in order, else the hard way; return what it printed."""
        process = self._process
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(_END_WITHIN_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if process.stdin is not None:
            process.stdin.close()
        if self._out.closed:
            return b""
        self._out.seek(0)
        return self._out.read()


def _monitor_arguments(broker_url: str, server_url: str) -> list[str]:
    return [
        "monitor",
        "--broker", broker_url,
        "--redis", server_url,
        "--id", MONITOR_ID,
        # SQLite's name for no file: alarms need not outlive the demo, whose server goes with it.
        "--outbox", ":memory:",
    ]  # fmt: skip


async def _until_ended(straps: _Child, others: list[_Child]) -> None:
    while straps.running:
        for other in others:
            other.must_run()
        await asyncio.sleep(0.1)
    if straps.exit_code not in (0, None):
        raise ServerError(f"the straps ended with exit code {straps.exit_code}:\n{straps.last_words()}")


def _strap_summary(printed: bytes, straps: _Child, *, interrupted: bool) -> dict[str, Any]:
    if interrupted and not printed:
        # Interrupted before they were ready to say farewell: what they sent is not known.
        return {"packets": {"sent": None}, "lateness_s": {"p50": None, "p99": None, "max": None}}
    try:
        result: dict[str, Any] = json.loads(printed)
    except json.JSONDecodeError as error:
        raise ServerError(f"the straps left no summary:\n{straps.last_words()}") from error
    return result


def _introduce(parts: list[Part]) -> str:
    introduced = [
        f"{part.athlete} {part.record}" + ("" if part.record == SYNTHETIC else f" from {part.start_s:g} s")
        for part in parts[:_INTRODUCED]
    ]
    if len(parts) > _INTRODUCED:
        introduced.append(f"and {len(parts) - _INTRODUCED} more")
    return ", ".join(introduced).replace(EXCERPT, "mitdb/208 excerpt")
