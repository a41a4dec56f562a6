"""``strapwatch scenario`` as a tester calls it: for real, in virtual time, and wrongly."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import pytest

from monitor.embedded import EmbeddedBroker, EmbeddedServer
from simulators.ledger import AnyEntry, LedgerEntry, TroubleEntry

_COMMAND = [sys.executable, "-P", "-m", "monitor.cli", "scenario"]
_FILE = """
title = "Short and bad"
seconds = 30
seed = 3

[allow]
missed_beats = 0.02
extra_beats = 0.02

[[strap]]
athlete = "ada"
synthetic = { rate_bpm = 100, rate_hz = 250, events = [{ event = "asystole", at_s = 12, length_s = 8 }] }
radio = { duplicates = 0.1 }

[[strap]]
athlete = "bo"
synthetic = { rate_bpm = 130, rate_hz = 130 }
radio = { loss = 0.05, lead_off = [[10, 4]] }
noise = [{ kind = "motion", at_s = 5, snr_db = 15 }]
battery = { begin = 0.1, end = 0 }
leaves_s = 25

[[strap]]
athlete = "cleo"
synthetic = { rate_bpm = 80, rate_hz = 360 }
reboot = [{ at_s = 15, off_s = 2 }]

[[expect]]
athlete = "bo"
alarm = "battery_low"
at_s = 0
within_s = 15
"""


def _run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([*_COMMAND, *options], capture_output=True, text=True, timeout=110, check=False)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a scenario with a little of everything."""
    path = tmp_path / "short.toml"
    path.write_text(_FILE, encoding="utf-8")
    return path


def _found(verdict: dict[str, Any]) -> set[tuple[str, str]]:
    return {(e["athlete"], e["kind"]) for e in verdict["events"] if e["status"] == "found"}


def test_for_real_with_ledger(file: Path, tmp_path: Path) -> None:
    """Against a real broker, monitor and server everything is found or explained, and the books balance to zero."""
    ledger = tmp_path / "ledger.jsonl"
    done = _run(str(file), "--speed", "6", "--json", "--ledger", str(ledger), "--strips", str(tmp_path / "s"))
    verdict = json.loads(done.stdout)
    assert (done.returncode, verdict["failures"]) == (0, []), done.stderr
    assert _found(verdict) >= {("ada", "asystole"), ("bo", "lead_off"), ("bo", "strap_silent")}
    beats, packets = verdict["beats"], verdict["packets"]
    assert beats["truth"] == beats["found"] + beats["missed"] + beats["explained"] > 100
    assert beats["explained_by"].keys() >= {"lost", "lead_off"}
    assert packets["difference"] == 0
    assert packets["packets"] == packets["taken"] + packets["counted_lost"] + packets["at_an_edge"]
    assert packets["repeats"] == packets["duplicate"] > 0
    assert verdict["latency_s"]["n"] == beats["found"] + beats["extra"]
    entries = [msgspec.json.decode(line, type=AnyEntry) for line in ledger.read_bytes().splitlines()]
    made = [entry for entry in entries if isinstance(entry, LedgerEntry) and entry.cause in {"sent", "lost"}]
    assert len(made) == packets["packets"]
    troubles = [entry for entry in entries if isinstance(entry, TroubleEntry)]
    assert {entry.trouble for entry in troubles} == {
        "lead_off",
        "noise",
        "battery_low",
        "battery_empty",
        "reboot",
    }
    assert all(abs(entry.at - time.time()) < 100 for entry in entries)


def test_in_virtual_time_a_miss_is_drawn(file: Path, tmp_path: Path) -> None:
    """What is expected and does not come is a miss: exit code 1, a strip in the terminal and as a PNG."""
    file.write_text(
        _FILE + '\n[[expect]]\nathlete = "cleo"\nalarm = "asystole"\nat_s = 22\nwithin_s = 4\n',
        encoding="utf-8",
    )
    done = _run(str(file), "--offline", "--strips", str(tmp_path / "strips"))
    assert done.returncode == 1, done.stderr
    assert "MISS: 1 asystole missed; allowed are 0" in done.stdout
    assert "cleo: asystole missed at 22.0 s" in done.stdout
    assert "⣀" in done.stdout
    (strip,) = (tmp_path / "strips").glob("*cleo-asystole-missed*.png")
    assert strip.read_bytes().startswith(b"\x89PNG")


def test_refusals_and_the_list(
    file: Path, embedded_server: EmbeddedServer, embedded_broker: EmbeddedBroker
) -> None:
    """Wrong usage is one line and exit code 2; a place without a monitor is said to have none."""
    listed = _run("--list")
    assert listed.returncode == 0
    assert "quiet-squad" in listed.stdout
    outage = file.with_name("outage.toml")
    outage.write_text(_FILE + "\n[[outage]]\nat_s = 5\n", encoding="utf-8")
    for options, code, said in (
        (["stadium-raido"], 2, "did you mean stadium-radio?"),
        ([str(outage), "--offline"], 2, "restarts its broker"),
        ([str(file), "--offline", "--speed", "nan"], 2, "leave --speed out"),
        ([str(file), "--speed", "nan"], 2, "use a number above 0"),
        ([str(file), "--broker", embedded_broker.url, "--redis", embedded_server.url], 1, "no monitor at"),
    ):
        done = _run(*options)
        assert done.returncode == code, done.stderr
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_interrupted(file: Path) -> None:
    """Ctrl-C ends a run at once, with everything it started."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen([*_COMMAND, str(file)], stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    assert "Short and bad" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    rest = process.stderr.read()
    assert process.wait(20) == 130
    process.stderr.close()
    assert "Traceback" not in rest
