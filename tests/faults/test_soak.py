"""The soak: what it goes on from, what its report adds up, and how its judge takes a monitor that is late."""

import argparse
import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import RedisError

from benchmarks.faults import soak, soak_physician
from benchmarks.faults.soak_faults import Happened
from benchmarks.faults.soak_physician import SoakPhysician
from benchmarks.faults.soak_reader import Told
from benchmarks.faults.soak_squad import hearts, squad
from benchmarks.faults.soak_verdict import COMES_BACK_S, Verdict
from benchmarks.faults.steadfast_herd import Sender
from monitor.contract import Alarm
from monitor.embedded import GuardedServer
from monitor.live_state import TEAMS_KEY
from monitor.sinks import AlarmScript, known_alarms, open_redis
from monitor.sources import MqttAddress


def options(work: Path, **changes: Any) -> argparse.Namespace:
    """Return the options of a soak."""
    usual = {"athletes": 300, "minutes": 60.0, "rest": (10.0, 40.0), "seed": 8, "work": work}
    return argparse.Namespace(**(usual | changes))


def stretch(minutes: float, *failures: str) -> dict[str, Any]:
    """Return what was judged of a stretch."""
    counted = {name: {"a": 2} for name in ("faults", "packets", "beats", "alarms", "technical")}
    monitor = {"packets_dropped": 3}
    return counted | {
        "commit": "c", "machine": {}, "minutes": minutes, "seconds": 60.0 * minutes, "failures": list(failures),
        "monitor": monitor,
    }  # fmt: skip


def test_a_soak_goes_on_from_its_own_stretches_only(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was judged of the same soak of the same monitor counts; another's is forgotten."""
    work = tmp_path / "soak"
    assert soak.judged_before(options(work)) == []
    for number in (2, 1, 10):
        (work / f"stretch-{number}.json").write_text(f'{{"number": {number}}}')
    assert [found["number"] for found in soak.judged_before(options(work))] == [1, 2, 10]
    assert soak.judged_before(options(work, athletes=299)) == []
    (work / "stretch-1.json").write_text("{}")
    monkeypatch.setattr(soak, "version", lambda: "another monitor's")
    assert soak.judged_before(options(work, athletes=299)) == []


def test_a_report_passes_only_whole_and_without_a_failure(tmp_path: Path) -> None:
    """Stretches add up; some minutes missing, or a failure in any stretch, and it has not passed."""
    whole = soak.report_of(options(tmp_path), [stretch(48.0), stretch(11.5)])
    assert whole["passed"]
    assert (whole["minutes"], whole["packets"], whole["packets_dropped"]) == (59.5, {"a": 4}, 6)
    assert not soak.report_of(options(tmp_path), [stretch(48.0)])["passed"]
    failed = soak.report_of(options(tmp_path), [stretch(48.0, "x"), stretch(12.0)])
    assert (failed["passed"], failed["failures"]) == (False, ["x"])


def test_what_a_late_monitor_had_not_told_was_lost_with_the_server() -> None:
    """A beat is explained by a server that was away when it would have been told, as late as others before it were."""
    (strap,) = squad(1, hearts(8)[:1])
    sender, rate_hz = Sender(strap, MqttAddress("127.0.0.1", 1)), strap.record.rate_hz
    away = Happened("server killed", "server", 200.0, 210.0)
    for late_s, first_s in ((0.5, 200.0 - COMES_BACK_S), (25.0, 175.0)):
        verdict = Verdict([away], [], {(strap.team, strap.athlete): 0.0})
        told = [Told(0, round(at * rate_hz), "N", at + late_s) for at in range(100, 175)]
        verdict.lateness(sender, told)
        assert not verdict.while_server_away(first_s - 0.5)
        assert verdict.while_server_away(first_s + 0.5)
        assert verdict.while_server_away(210.0 + COMES_BACK_S - 0.5)
        assert not verdict.while_server_away(210.0 + COMES_BACK_S + 0.5)


def test_a_packet_that_was_under_way_when_straps_stood_still_went_out_afterwards() -> None:
    """Its samples were taken before, but are as late as those after: what they made known was told after the pause."""
    (strap,) = squad(1, hearts(8)[:1])
    key, rate_hz = (strap.team, strap.athlete), strap.record.rate_hz
    verdict = Verdict([], [(100.0, 120.0), (300.1, 301.0)], {key: 0.0})
    length = round(0.25 * rate_hz)
    for packet, pauses_s in ((399, 0.0), (400, 20.0), (1119, 20.0), (1120, 20.9)):
        for sample in (packet * length, (packet + 1) * length - 1):
            assert verdict.at(key, sample, rate_hz) == pytest.approx(sample / rate_hz + pauses_s)


def alarm(transition: Any, episode: int) -> Alarm:
    """Return a step in the life of an alarm."""
    return Alarm(
        team="red", athlete="anna", strap="s", boot=1, kind="pause", episode=episode, transition=transition,
        priority="low", technical=False, known_sample=episode, rate_hz=360.0, at=time.time(), onset_at=1.0,
        rate_bpm=None, quality=1.0, message="m", action="a",
    )  # fmt: skip


async def test_every_alarm_is_answered_though_the_server_goes_meanwhile(
    redis_server: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was raised is acknowledged after a while; what is due while the server is away, once it is back."""
    monkeypatch.setattr(soak_physician, "ANSWERS_AFTER_S", 1.0)
    physician = SoakPhysician()
    client = open_redis(redis_server.url)
    answering = asyncio.create_task(physician.run(redis_server))
    try:
        await client.sadd(TEAMS_KEY, "red")
        await asyncio.sleep(1.5)
        script = AlarmScript(client)
        await script.add(alarm("raised", 360))
        await until_answered(client, {360})
        await script.add(alarm("raised", 99_000))
        await asyncio.sleep(0.3)
        await asyncio.to_thread(redis_server.kill)
        for _ in range(300):
            if physician.put_off:
                break
            await asyncio.sleep(0.1)
        assert physician.put_off
        assert [identity.rpartition(".")[2] for _, identity in physician.waiting] == ["99000"]
        assert not answering.done()
        await asyncio.to_thread(redis_server.start)
        await until_answered(client, {360, 99_000})
        assert not physician.waiting
        assert not physician.refused
    finally:
        answering.cancel()
        await asyncio.gather(answering, return_exceptions=True)
        await client.aclose()


async def until_answered(client: Any, episodes: set[int], *, within_s: float = 20.0) -> None:
    """Wait until exactly these episodes have been acknowledged."""
    end, seen = time.monotonic() + within_s, set[int]()
    while time.monotonic() < end and seen != episodes:
        await asyncio.sleep(0.1)
        with contextlib.suppress(RedisError):
            told = await known_alarms(client, "red")
            seen = {each.episode for each in told if each.transition == "acknowledged"}
    assert seen == episodes
