"""``strapwatch simulate`` as a user calls it: its summary, its exit codes, its one-line refusals."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from paho.mqtt import subscribe

from monitor.cli.application import run
from monitor.embedded import EmbeddedBroker
from monitor.errors import RecordError, UsageError

_COMMAND = [sys.executable, "-P", "-m", "monitor.cli", "simulate"]


def _run(*options: str, home: Path | None = None) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, **({"STRAPWATCH_DATA": str(home)} if home else {})}
    return subprocess.run(
        [*_COMMAND, *options], capture_output=True, text=True, timeout=60, check=False, env=environment
    )


def test_summary_as_json(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """With --json standard output is one JSON object whose causes balance, and the ledger agrees with it."""
    ledger = tmp_path / "ledger.jsonl"
    # fmt: off
    done = _run(
        "--record", "excerpt", "--excerpt", "--synthetic", "2", "--speed", "20", "--seconds", "1.5", "--loss", "0.2",
        "--dropout", "0.5:0.2", "--dropout", "1:0.1:lost", "--lead-off", "0.2:0.2", "--start", "90",
        "--broker", embedded_broker.url, "--ledger", str(ledger), "--json",
    )
    # fmt: on
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    packets = summary["packets"]
    assert packets["packets"] == packets["sent"] + packets["lost"] + packets["lost_in_dropout"] == 4 * 120
    assert (
        min(packets[cause] for cause in ("sent", "lost", "lost_in_dropout", "held_in_dropout", "lead_off"))
        > 0
    )
    assert 0.0 <= summary["lateness_s"]["p50"] <= summary["lateness_s"]["p99"] <= summary["lateness_s"]["max"]
    causes = [json.loads(line)["cause"] for line in ledger.read_text().splitlines()]
    assert {cause: causes.count(cause) for cause in ("sent", "lost")} == {
        c: packets[c] for c in ("sent", "lost")
    }
    assert "demo/mitdb-208: mitdb/208, lead MLII, 360 Hz, from 90 s" in done.stderr


def test_records(recordings: Path, embedded_broker: EmbeddedBroker) -> None:
    """Recordings of two databases are replayed, each lead and start its own."""
    # fmt: off
    done = _run(
        "--record", "mitdb/114", "--record", "edb/e0103", "--lead", "V5", "--lead", "1", "--start", "3", "--start", "7",
        "--athlete", "anna", "--athlete", "ben", "--team", "red", "--seconds", "0.6", "--broker", embedded_broker.url,
        home=recordings,
    )
    # fmt: on
    assert done.returncode == 0, done.stderr
    assert "red/anna: mitdb/114, lead V5, 360 Hz, from 3 s" in done.stderr
    assert "red/ben: edb/e0103, lead MLIII, 250 Hz, from 7 s" in done.stderr
    assert "4 packets sent" in done.stdout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ((), "nothing to replay"),
        (("--excerpt", "--speed", "0"), "speed 0"),
        (("--excerpt", "--seconds", "-1"), "--seconds -1"),
        (("--excerpt", "--loss", "2"), "loss 2"),
        (("--excerpt", "--dropout", "five"), "--dropout 'five': use START:LENGTH"),
        (("--excerpt", "--start", "300"), "start 300 s: mitdb/208 lasts 300 s; use 0 or more, and less"),
        (
            ("--excerpt", "--athlete", "a", "--athlete", "b"),
            "--athlete is there 2 times for 1 strap; give one",
        ),
        (("--excerpt", "--athlete", "Jane Doe"), "athlete 'Jane Doe'"),
        (("--excerpt", "--broker", "http://x"), "http://x"),
        (("--excerpt", "--ledger", "/no/such/folder/x"), "--ledger /no/such/folder/x"),
        (("--excerpt", "--nonsense"), "--nonsense"),
        (("--synthetic", "1", "--lead", "V1"), "--lead V1: only a --record has leads"),
    ],
)
def test_wrong_usage(options: tuple[str, ...], text: str) -> None:
    """A wrong call ends with 2 and says what is wrong, without a traceback."""
    done = _run(*options)
    assert done.returncode == 2
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    assert not done.stdout


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--loss", "5%"), "--loss 5%: use a number from 0 to 1"),
        (("--packet", "0"), "--packet of 0 s: use"),
        (("--burst", "0.1:2"), "--burst '0.1:2': LEAVE is 2; use a probability, 0 to 1"),
        (("--lead-off", "30:-5"), "--lead-off '30:-5': use a START of 0 or more and a LENGTH above 0"),
        (("--dropout", "nan:5:lost"), "--dropout 'nan:5:lost': use a START of 0 or more"),
        (("--dropout", "30:5:gone"), "--dropout '30:5:gone': use START:LENGTH or START:LENGTH:lost"),
        (("--jitter", "1e9"), "--jitter 1e9: use a number from 0 to 60"),
    ],
)
def test_an_error_names_option_and_value(options: tuple[str, ...], text: str) -> None:
    """Value, option and what is allowed are in one sentence, as the user wrote them and not as the code calls them."""
    with pytest.raises(UsageError) as caught:
        run(["simulate", "--excerpt", *options])
    assert text in str(caught.value)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (("--noise", "pink:5"), "(mains, wander, muscle, motion, electrode, white)"),
        (("--database", "/no/such/folder"), "--database /no/such/folder: no such folder"),
        (("--database", __file__), f"--database {__file__}: not a folder"),
    ],
)
def test_what_is_not_there(options: tuple[str, ...], text: str) -> None:
    """A noise of no known kind lists the kinds; a folder that is none is named. No environment could help."""
    with pytest.raises(RecordError) as caught:
        run(["simulate", "--excerpt", *options])
    assert text in str(caught.value)
    assert "STRAPWATCH_DATA" not in str(caught.value)


def test_missing_record(tmp_path: Path) -> None:
    """A record that is not there ends with 1 and one line."""
    done = _run("--record", "mitdb/999", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "mitdb/999" in done.stderr


def test_no_broker() -> None:
    """Without a broker it keeps trying, says so, and ends with 1."""
    done = _run("--excerpt", "--seconds", "0.5", "--broker", "mqtt://127.0.0.1:1", "--json")
    assert done.returncode == 1
    assert "trying again in" in done.stderr
    assert json.loads(done.stdout)["packets"]["unsent"] == 2
    told = done.stderr.splitlines()[-1]
    assert "the broker mqtt://127.0.0.1:1 was never reached" in told
    assert "nothing was sent" in told
    assert "1 straps" not in done.stderr


def test_the_time_goes_before_what_the_radio_holds_back(embedded_broker: EmbeddedBroker) -> None:
    """A dropout beyond --seconds holds up nothing: what it held back is unsent, and said; nothing sent is exit 1."""
    some = _run(
        "--excerpt", "--seconds", "1", "--dropout", "0.6:500", "--broker", embedded_broker.url, "--json"
    )
    none = _run(
        "--excerpt", "--seconds", "1", "--dropout", "0:500", "--broker", embedded_broker.url, "--json"
    )
    packets = json.loads(some.stdout)["packets"]
    assert (packets["sent"], packets["unsent"]) == (2, 2)
    assert some.returncode == 0
    assert "2 packets of 4 were held back by the radio beyond --seconds" in some.stderr.splitlines()[-1]
    packets = json.loads(none.stdout)["packets"]
    assert (packets["sent"], packets["unsent"], none.returncode) == (0, 4, 1)
    early = _run("--excerpt", "--seconds", "0.1", "--broker", embedded_broker.url)
    assert early.returncode == 1
    assert "nothing was sent: the run was over" in early.stderr.splitlines()[-1]


@pytest.mark.parametrize("broker", ["here", "not here"])
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(embedded_broker: EmbeddedBroker, ending: signal.Signals, broker: str) -> None:
    """Ctrl-C ends it within 2 s with 130 and its summary."""
    url = embedded_broker.url if broker == "here" else "mqtt://127.0.0.1:1"
    with subprocess.Popen(
        [*_COMMAND, "--excerpt", "--loop", "--json", "--broker", url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        assert "mitdb/208" in process.stderr.readline()
        if broker == "here":
            address = urlsplit(url)
            subscribe.simple(  # type: ignore[no-untyped-call] # paho leaves it without annotations
                "ecg/+/+/samples", hostname=address.hostname, port=address.port
            )
        else:
            assert "trying again in" in process.stderr.readline()
        began = time.monotonic()
        process.send_signal(ending)
        stdout, stderr = process.communicate(timeout=10)
        assert time.monotonic() - began < 2.0
    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert (json.loads(stdout)["packets"]["sent"] > 0) == (broker == "here")


def test_dies_with_its_parent(embedded_broker: EmbeddedBroker) -> None:
    """With --die-with-parent it ends when its standard input closes."""
    with subprocess.Popen(
        [*_COMMAND, "--excerpt", "--loop", "--die-with-parent", "--broker", embedded_broker.url],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stderr.readline()
        process.stdin.close()
        process.stderr.read()
        assert process.wait(5) == 130


def test_help_has_an_example() -> None:
    """The help shows how it is called."""
    done = _run("--help")
    assert done.returncode == 0
    assert "strapwatch simulate --record mitdb/208" in done.stdout
    (counter,) = [line for line in done.stdout.splitlines() if "--excerpt" in line]
    assert "int" not in counter
    assert "more)." in done.stdout


def test_noise_and_bursts_are_in_the_ledger(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Noise is entered with its samples and its time; what bursts lose is lost in bursts, and the books balance."""
    ledger = tmp_path / "ledger.jsonl"
    # fmt: off
    done = _run(
        "--synthetic", "2", "--speed", "20", "--seconds", "1.5", "--noise", "muscle:6:10:5", "--burst", "0.1:0.3",
        "--broker", embedded_broker.url, "--ledger", str(ledger), "--json",
    )
    # fmt: on
    assert done.returncode == 0, done.stderr
    packets = json.loads(done.stdout)["packets"]
    assert packets["packets"] == packets["sent"] + packets["lost_in_burst"] == 2 * 120
    assert packets["lost_in_burst"] > 10
    entries = [json.loads(line) for line in ledger.read_text().splitlines()]
    noises = [entry for entry in entries if entry["entry"] == "trouble"]
    assert [entry["detail"] for entry in noises] == [{"kind": "muscle", "snr_db": 6.0}] * 2
    for entry in noises:
        assert entry["end_at"] - entry["at"] == pytest.approx(5.0 / 20.0)
        assert entry["end_sample"] - entry["first_sample"] in {5 * 360, 5 * 250}
        assert abs(entry["at"] - time.time()) < 60.0
    wrong = _run("--synthetic", "1", "--noise", "mussle:6")
    assert wrong.returncode == 1
    assert "mussle" in wrong.stderr.splitlines()[-1]
