"""A receiver that dies with an alarm in hand."""

import asyncio
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Final

from aiohttp import web

from benchmarks.faults.place import Place
from benchmarks.faults.trial import run_trial
from benchmarks.faults.trial_stage import Conditions, Outcome, Stage

_SECRET: Final = "whsec_" + "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLwSw"
_TAKEN_OVER_S: Final = 100.0


class _Endpoint:
    """A webhook that answers only when it is told to."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.answering = asyncio.Event()
        self.taken: list[tuple[str, str]] = []
        self.unanswered = 0
        self.url = ""
        app = web.Application()
        app.router.add_post("/hook", self._post)
        self._runner = web.AppRunner(app)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0, shutdown_timeout=1.0).start()
        host, port = self._runner.addresses[0][:2]
        self.url = f"http://{host}:{port}/hook"

    async def end(self) -> None:
        self.answering.set()
        await self._runner.cleanup()

    async def _post(self, request: web.Request) -> web.Response:
        body = json.loads(await request.read())
        key = request.headers["webhook-id"]
        self.asked.set()
        if not self.answering.is_set():
            self.unanswered += 1
            await self.answering.wait()
            # Whoever asked is dead by now.
            return web.Response(status=500)
        self.taken.append((key, str(body.get("type", ""))))
        return web.Response(status=204)


async def killed(conditions: Conditions) -> Outcome:
    """Kill a relay that waits for its receiver's answer, and start another one."""
    endpoint = _Endpoint()
    await endpoint.start()

    async def disturb(stage: Stage) -> None:
        settings = _settings(stage.place, endpoint.url)
        first = _relay(stage.place, settings)
        try:
            async with asyncio.timeout(_TAKEN_OVER_S):
                await endpoint.asked.wait()
            await asyncio.sleep(0.5)
        finally:
            first.kill()
            await asyncio.to_thread(first.wait)
        await stage.until(1.0)
        endpoint.answering.set()
        await asyncio.sleep(0.2)
        held = endpoint.unanswered
        second = _relay(stage.place, settings)
        try:
            quiet_for_s = 0.0
            waited_s = 0.0
            while waited_s < _TAKEN_OVER_S and not (quiet_for_s > 5.0 and waited_s > 50.0):
                before = len(endpoint.taken)
                await asyncio.sleep(1.0)
                waited_s += 1.0
                quiet_for_s = quiet_for_s + 1.0 if len(endpoint.taken) == before else 0.0
        finally:
            second.terminate()
            await asyncio.to_thread(second.wait)
        stage.measured["in hand when it was killed"] = held

    try:
        trial = await run_trial(conditions, disturb=disturb)
    finally:
        await endpoint.end()
    outcome = trial.outcome
    keys = Counter(key for key, _ in endpoint.taken)
    outcome.measured["delivered"] = len(keys)
    outcome.measured["delivered again under the same key"] = sum(keys.values()) - len(keys)
    wanted = sum(alarm.transition == "raised" and alarm.team == "faults" for _, alarm in trial.seen.alarms)
    outcome.measured["raised"] = wanted
    if not outcome.measured.get("in hand when it was killed"):
        outcome.failures.append("no relay had an alarm in hand")
    if len(keys) < wanted:
        outcome.failures.append(f"{len(keys)} notices were delivered, {wanted} alarms were raised")
    return outcome


def _settings(place: Place, url: str) -> Path:
    file = place.folder / "relay.toml"
    file.write_text(
        f'[redis]\nurl = "{place.redis_url}"\n[receivers.duty]\nurl = "{url}"\nsecret = "{_SECRET}"\n'
        f'least = "information"\nwhen = "raised"\n',
        encoding="utf-8",
    )
    return file


def _relay(place: Place, settings: Path) -> "subprocess.Popen[bytes]":
    with (place.folder / "relay.log").open("ab") as words:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "monitor.cli", "relay", "--settings", str(settings)],
            stdin=subprocess.DEVNULL, stdout=words, stderr=words,
        )  # fmt: skip
