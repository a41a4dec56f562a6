"""One trial: straps, broker, server and monitor for real, something goes wrong, and a verdict on all that was told.

The simulator's verdict (`simulators.verdict`) says of every event of the truth and of every packet what became of it.
Beside it stands what a watch says of the same straps when nothing but their own radio goes wrong, in virtual time:
whoever a fault does not touch has to have the same beats and alarms, to the sample and to the name.
"""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final

from benchmarks.faults.place import MONITOR_ID, Place, patient_client, place
from benchmarks.faults.trial_monitors import Monitor, MonitorHere, shipped_classifier
from benchmarks.faults.trial_stage import TEAM, Conditions, Outcome, Stage, Trial
from benchmarks.faults.trial_verdict import compare, measure
from monitor.cancellation import end
from monitor.watch import Watch
from simulators.fleet import Fleet
from simulators.ledger import Ledger
from simulators.scenario import Scenario, parse_scenario
from simulators.scenario_offline import run_offline
from simulators.scenario_reader import ScenarioReader
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life, lives_of_scenario
from simulators.verdict import judge

_QUIET_S: Final = 1.2
_LONGEST_DRAIN_S: Final = 60.0

Disturb = Callable[[Stage], Awaitable[None]]


def usual_straps(seconds: float) -> list[dict[str, Any]]:
    """Return four athletes with an event each: a pause, a ventricular run, a lead that comes off, an asystole."""
    return [
        {
            "athlete": "ada",
            "synthetic": {
                "rate_bpm": 90, "rate_hz": 250,
                "events": [{"event": "pause", "at_s": 0.55 * seconds, "length_s": 3.5}],
            },
        },
        {
            "athlete": "bo",
            "synthetic": {
                "rate_bpm": 120, "rate_hz": 360,
                "events": [{"event": "ventricular_run", "at_s": 0.5 * seconds, "beats": 8}],
            },
        },
        {
            "athlete": "cleo",
            "synthetic": {"rate_bpm": 70, "rate_hz": 130},
            "radio": {"lead_off": [[0.45 * seconds, 4.0]]},
        },
        {
            "athlete": "dan",
            "synthetic": {
                "rate_bpm": 75, "rate_hz": 250,
                "events": [{"event": "asystole", "at_s": 0.6 * seconds, "length_s": 7.0}],
            },
        },
    ]  # fmt: skip


async def run_trial(
    conditions: Conditions,
    *,
    straps: Callable[[float], list[dict[str, Any]]] = usual_straps,
    disturb: Disturb | None = None,
    monitor: Callable[[Place], Monitor] | None = None,
    outage: tuple[float, float] | None = None,
    hit: Iterable[str] = (),
    allow: Mapping[str, Any] | None = None,
    unnamed: bool = False,
) -> Trial:
    """Run one trial and return what came of it.

    Parameters
    ----------
    conditions : Conditions
        How.
    straps : callable
        Returns the tables of straps of a session of so many seconds, see docs/simulators.md.
    disturb : callable, optional
        What goes wrong; it is given the `Stage`.
    monitor : callable, optional
        Makes the monitor; one in this process if left out.
    outage : (float, float), optional
        From when to when packets cannot reach the monitor, as shares of the session: straps may be told silent, and a
        broker may deliver twice.
    hit : iterable of str
        Athletes whose beats the fault may change.
    allow : dict, optional
        What the verdict may lack, as in a scenario.
    unnamed : bool
        The fault is one in which beats lose their names.
    """
    seconds, speed = conditions.seconds, conditions.speed
    scenario = _scenario(conditions, straps(seconds), outage, allow or {})
    lives = lives_of_scenario(scenario, speed=speed, boot=1)
    ledger = Ledger(keep=True)
    async with place(conditions.folder) as where:
        make = monitor or (lambda there: MonitorHere(there, shipped_classifier()))
        running = make(where)
        athletes = list(dict.fromkeys(life.strap.athlete for life in lives))
        stage = Stage(where, running, conditions, random.Random(conditions.seed), athletes)
        client = patient_client(where.server)
        reader = ScenarioReader(client, team=TEAM, athletes=athletes, monitor_id=MONITOR_ID)
        try:
            await running.start()
            await reader.begin()
            fleet = Fleet(
                [life.strap for life in lives],
                broker=where.straps_address,
                radio=[life.radio for life in lives],
                ledger=ledger,
                seed=conditions.seed,
            )
            disturbing = asyncio.create_task(_disturb(fleet, stage, disturb))
            for_real = asyncio.create_task(_enter_troubles(lives, fleet))
            try:
                report = await fleet.run(drain_s=30.0)
                await disturbing
                await _until_quiet(reader)
            finally:
                await asyncio.gather(end(disturbing), end(for_real))
            await reader.read_states()
        finally:
            await running.end()
            await client.aclose()
    seen = reader.seen
    seen.start_at = fleet.start_at
    seen.unacknowledged = report.unacknowledged
    expected, scenario = await asyncio.to_thread(_undisturbed, scenario, lives)
    outcome = Outcome(stage.measured)
    verdict = judge(scenario, lives, seen, ledger)
    trial = Trial(lives=lives, seen=seen, expected=expected, verdict=verdict, outcome=outcome)
    outcome.failures += verdict.failures
    compare(trial, stage, set(hit), unnamed=unnamed)
    measure(trial)
    return trial


def _undisturbed(scenario: Scenario, lives: list[Life]) -> tuple[Seen, Scenario]:
    """Return what an undisturbed watch says, and the scenario allowing for what that lacks: it is no fault's doing."""
    ledger = Ledger(keep=True)
    seen = run_offline(lives, Watch(classifier=shipped_classifier()), ledger, seed=scenario.seed)
    verdict = judge(scenario, lives, seen, ledger)
    counts = verdict.beat_counts()
    allow = scenario.allow
    share = max(counts["found"] + counts["missed"], 1)
    missed = Counter(event.kind for event in verdict.events if event.status == "missed")
    false = Counter(event.kind for event in verdict.false_alarms)
    allowed = allow.model_copy(
        update={
            # One beat at the edge of a gap may fall on either side.
            "missed_beats": max(allow.missed_beats, (counts["missed"] + 1) / share),
            "extra_beats": max(allow.extra_beats, (counts["extra"] + 1) / share),
            "missed_events": dict(missed | Counter(allow.missed_events)),
            "false_alarms": dict(false | Counter(allow.false_alarms)),
        }
    )
    return seen, scenario.model_copy(update={"allow": allowed})


def _scenario(
    conditions: Conditions,
    straps: list[dict[str, Any]],
    outage: tuple[float, float] | None,
    allow: Mapping[str, Any],
) -> Scenario:
    content: dict[str, Any] = {
        "title": "a fault",
        "seconds": conditions.seconds,
        "team": TEAM,
        "seed": conditions.seed,
        "strap": straps,
        "allow": {"missed_beats": 0.0, **allow},
    }
    if outage is not None:
        begin_s, end_s = (share * conditions.seconds for share in outage)
        content["outage"] = [{"at_s": begin_s, "away_s": end_s - begin_s}]
    return parse_scenario(content, "trial")


async def _disturb(fleet: Fleet, stage: Stage, disturb: Disturb | None) -> None:
    await fleet.started.wait()
    stage.started_at = fleet.start_at[0]
    if disturb is not None:
        await disturb(stage)


async def _enter_troubles(lives: list[Life], fleet: Fleet) -> None:
    await fleet.started.wait()
    for life, start_at in zip(lives, fleet.start_at, strict=True):
        life.enter_troubles(fleet.ledger, start_at)


async def _until_quiet(reader: ScenarioReader) -> None:
    """Wait until nothing new has come for a while and no alarm waits."""
    begun = quiet_since = time.monotonic()
    while (now := time.monotonic()) - begun < _LONGEST_DRAIN_S:
        new = await reader.read()
        heartbeat = await reader.read_monitor()
        if new or heartbeat is None or heartbeat.outbox_waiting or not heartbeat.broker_connected:
            quiet_since = now
        elif now - quiet_since >= _QUIET_S:
            return
        await asyncio.sleep(0.1)
