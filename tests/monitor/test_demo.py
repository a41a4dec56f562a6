"""The demo from start to end, as a process: what it prints, what it measures, what it leaves behind."""

import json
import re
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import models
from monitor.contract import LABELS
from monitor.demo.summary import describe, packet_counts
from monitor.live_state import MonitorState
from tests.monitor.processes import Running, environment, run

SECONDS = 20
END_WITHIN_S = 2.0
COUPLETS_S = (93.0, 138.0, 152.0)
CARD = json.loads((Path(models.__file__).parent / "weights" / "grunet.json").read_text())


@dataclass(frozen=True)
class _Shown:
    summary: dict[str, Any]
    told: str


def _demo(home: Path, *, seconds: int, **more: str) -> _Shown:
    done = run(
        "demo",
        "--seconds",
        str(seconds),
        "--headless",
        "--json",
        env=environment(home, **more),
        timeout_s=110.0,
    )
    assert done.returncode == 0, done.stderr
    # The whole of standard output is one JSON document.
    return _Shown(json.loads(done.stdout), done.stderr)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> _Shown:
    """Return what a demo without any recordings printed."""
    return _demo(tmp_path_factory.mktemp("home"), seconds=SECONDS)


def test_no_packet_is_lost(shown: _Shown) -> None:
    """What the straps sent is what the monitor received; everything that was promised is in the summary."""
    summary = shown.summary
    packets = summary["packets"]
    assert summary["athletes"] == len(summary["by_athlete"]) == 8
    # A quarter of a second of signal in each.
    assert packets["sent"] == packets["received"] == 8 * 4 * SECONDS
    assert packets["lost"] == packets["dropped"] == packets["refused"] == 0
    assert summary["samples"] > 8 * SECONDS * 130
    assert list(summary["beats"]) == list(LABELS)
    assert summary["beats"]["N"] > 100
    assert summary["beats"]["V"] > 0
    assert 0.0 < summary["latency_s"]["p50"] <= summary["latency_s"]["p99"]
    assert summary["latency_s"]["n"] == sum(summary["beats"].values())
    assert summary["simulator_lateness_s"]["p99"] >= 0.0
    assert summary["model"] == f"{CARD['name']} {CARD['version']}"
    assert summary["notice"] == "research software, not a medical device"


def test_beats_are_in_redis_soon(shown: _Shown) -> None:
    """Half of all beats within 0.1 s of when their last sample was due; the rest may wait for a busy machine."""
    assert shown.summary["latency_s"]["p50"] < 0.1
    assert shown.summary["latency_s"]["p99"] < 1.0


def test_the_excerpt_is_named_as_trained_on_and_shows_a_couplet_in_time(shown: _Shown) -> None:
    """Half of the athletes are the real excerpt, each from elsewhere, one couplet at least within the first minute."""
    replayed = {n: a for n, a in shown.summary["by_athlete"].items() if a["record"] == "mitdb/208"}
    assert len(replayed) == 4
    starts = [athlete["start_s"] for athlete in replayed.values()]
    assert len(set(starts)) == 4
    assert any(start + 5.0 < couplet < start + 60.0 for start in starts for couplet in COUPLETS_S)
    for name, athlete in replayed.items():
        assert athlete["trained_on_this"] is True
        assert athlete["rate_hz"] == 360.0
        assert f"{name} mitdb/208 excerpt from {athlete['start_s']:g} s" in shown.told
    assert sum(athlete["beats"].get("V", 0) for athlete in replayed.values()) > 0
    # The one who begins at 125 s has the second couplet 13 s later.
    assert shown.summary["alarms"].get("ventricular_couplet", 0) >= 1


def test_synthetic_athletes_are_scored_live(shown: _Shown) -> None:
    """Their truth is known, so Se and +P are there; all three rates are watched at once."""
    synthetic = [a for a in shown.summary["by_athlete"].values() if a["record"] == "synthetic"]
    assert {athlete["rate_hz"] for athlete in synthetic} == {360.0, 250.0, 130.0}
    for athlete in synthetic:
        assert athlete["trained_on_this"] is False
        assert athlete["beats_scored"] > 5
        assert athlete["se"] >= 0.95
        assert athlete["ppv"] >= 0.95
        assert athlete["coverage"] > 0.8


def test_a_line_every_few_seconds(shown: _Shown) -> None:
    """Who waits without a dashboard sees what happens."""
    lines = re.findall(r"^(\d+) s: (\d+) packets, 0 lost, beats N", shown.told, re.MULTILINE)
    assert [int(second) for second, _ in lines[:3]] == [5, 10, 15]
    assert int(lines[0][1]) < int(lines[-1][1])


def test_the_sum_of_the_packets_is_what_was_sent() -> None:
    """Ctrl-C finds packets under way; they are named, so that nothing seems to have got lost unseen."""
    heartbeat = MonitorState(
        monitor_id="m", at=1.0, started_at=0.0, athletes=0, packets_received=36238, packets_lost=2,
        packets_refused=0, packets_dropped=0, samples=0, beats=0, alarms=0,
        broker_connected=True, outbox_waiting=0, model="", settings_hash="", refused={},
    )  # fmt: skip
    counts = packet_counts(36249, heartbeat)
    assert counts == {
        "sent": 36249,
        "received": 36238,
        "lost": 2,
        "dropped": 0,
        "refused": 0,
        "on_their_way": 9,
    }
    nothing = {"p50": None, "p99": None, "n": 0}
    told = describe(
        {
            "athletes": 0, "seconds": 1.0, "packets": counts, "samples": 0, "beats": {}, "alarms": {},
            "latency_s": nothing, "r_peak_to_alarm_s": nothing, "simulator_lateness_s": nothing,
            "by_athlete": {}, "notice": "",
        }
    )  # fmt: skip
    assert "sent 36249, received 36238, lost 2, 9 on their way when it ended" in told
    assert packet_counts(None, None)["on_their_way"] is None
    # What went out twice after a lost connection is received twice.
    assert packet_counts(36230, heartbeat)["on_their_way"] == 0


@pytest.mark.data
def test_recordings_the_model_has_not_seen(recordings: Path, tmp_path: Path) -> None:
    """With local data: records from outside the model's training list, beats classified at 360 and at 250 Hz."""
    summary = _demo(tmp_path, seconds=8, STRAPWATCH_DATA=str(recordings)).summary
    assert summary["packets"]["sent"] == summary["packets"]["received"] == 8 * 4 * 8
    assert summary["packets"]["lost"] == 0
    seen = {*CARD["training_records"], *CARD["validation_records"]}
    by_athlete = summary["by_athlete"].values()
    assert {athlete["record"] for athlete in by_athlete} & seen == set()
    assert not any(athlete["trained_on_this"] for athlete in by_athlete)
    for rate_hz in (360.0, 250.0):
        of_rate = [athlete for athlete in by_athlete if athlete["rate_hz"] == rate_hz]
        assert sum(sum(athlete["beats"].values()) for athlete in of_rate) > 0


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    """Return a demo that has just been started, with a temporary folder of its own."""
    (tmp_path / "temporary").mkdir()
    with (tmp_path / "printed").open("wb") as printed:
        demo = Running(
            "demo",
            "--headless",
            "--athletes",
            "2",
            env=environment(tmp_path, TMPDIR=str(tmp_path / "temporary")),
            stdout=printed,
        )
        yield demo
        demo.kill()


@pytest.mark.parametrize(
    ("how", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {130}), (signal.SIGKILL, {-signal.SIGKILL})]
)
def test_nothing_is_left_however_it_ends(
    running: Running, tmp_path: Path, how: signal.Signals, codes: set[int]
) -> None:
    """Broker, server, monitor and straps are gone within 2 s, and so are their files."""
    assert running.said("straps: ", within_s=90.0), running.stderr
    time.sleep(2.5)
    # Two guardians, broker, server, monitor, scorer, straps, and the demo itself.
    assert len(running.alive()) >= 8 or not Path("/proc").exists()
    code, took = running.end(how, within_s=10.0)
    assert code in codes
    assert took < END_WITHIN_S
    assert "Traceback" not in running.stderr
    assert not list((tmp_path / "temporary").iterdir())
    # Who asked for no end in seconds gets the summary when they have seen enough.
    told = (tmp_path / "printed").read_text()
    assert ("2 athletes, " in told and "not a medical device" in told) == (how != signal.SIGKILL)


@pytest.mark.parametrize("after_s", [0.3, 1.0])
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_of_a_start_that_was_broken_off(
    running: Running, tmp_path: Path, how: signal.Signals, after_s: float
) -> None:
    """The same while servers and monitor are still coming up."""
    time.sleep(after_s)
    code, took = running.end(how, within_s=10.0)
    assert code == (130 if how == signal.SIGINT else -signal.SIGKILL), running.stderr
    assert took < END_WITHIN_S
    assert "Traceback" not in running.stderr
    assert not list((tmp_path / "temporary").iterdir())
