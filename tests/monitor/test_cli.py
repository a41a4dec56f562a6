"""The command as a user calls it, as a process: help, wrong usage, bad input, interruption."""

import asyncio
import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from inspect import cleandoc
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
import wfdb

import models
from monitor import __version__
from monitor.cli.application import app
from monitor.cli.application import run as run_here
from monitor.cli.endings import until_signalled
from monitor.contract import AAMI_CLASSES
from monitor.embedded import GuardedServer
from monitor.errors import RecordError, ServerError, UsageError
from simulators.ectopy import PrematureBeat
from simulators.synthetic import SyntheticAthlete, synthesize
from tests.monitor.processes import COMMAND, Running, environment, run

COMMANDS = ("demo", "simulate", "monitor", "dashboard", "alerts", "evaluate")
NOWHERE = {"broker": "mqtt://127.0.0.1:9", "redis": "redis://127.0.0.1:9"}
END_WITHIN_S = 2.0
WEIGHTS = Path(models.__file__).parent / "weights"


def _one_line(done: "subprocess.CompletedProcess[str]", code: int) -> str:
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("strapwatch: ")
    return done.stderr


def _at_once(
    calls: Sequence[tuple[str, ...]], env: dict[str, str]
) -> "list[subprocess.CompletedProcess[str]]":
    with ThreadPoolExecutor(max_workers=3) as pool:
        return list(pool.map(lambda arguments: run(*arguments, env=env), calls))


@pytest.fixture(scope="module")
def env(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the environment of somebody who has no recordings and has set nothing."""
    return environment(tmp_path_factory.mktemp("home"))


def test_help_and_version(env: dict[str, str]) -> None:
    """Every command explains itself, with an example that can be typed; without arguments there is help too."""
    calls = [("--help",), (), *((command, "--help") for command in COMMANDS)]
    answers = _at_once([*calls, ("alerts", "acknowledge", "-h"), ("--version",)], env)
    assert all(answer.returncode == 0 and not answer.stderr for answer in answers)
    root, bare, *helps, version = [answer.stdout for answer in answers]
    assert root == bare
    for words in (*COMMANDS, "--install-completion", "--show-completion", "--version"):
        assert words in root
    assert all("Example" in text and "strapwatch " in text.split("Example")[1] for text in helps)
    assert version == f"strapwatch {__version__}\n"


def test_root_help_imports_nothing_heavy(env: dict[str, str]) -> None:
    """Help is quick because what is heavy is imported by the command that needs it."""
    code = "import sys; from monitor.cli.application import run; run(['--help']); print(*sys.modules, file=sys.stderr)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60, env=env
    )
    heavy = {"torch", "numba", "scipy", "textual", "wfdb", "numpy", "redis", "aiomqtt", "pydantic", "pywt"}
    assert heavy & set(done.stderr.split()) == set()


def test_completion_names_the_commands(env: dict[str, str]) -> None:
    """What the shell asks while one types is answered."""
    asked = {"_STRAPWATCH_COMPLETE": "complete_bash", "COMP_WORDS": "strapwatch de", "COMP_CWORD": "1"}
    assert run(env=env | asked).stdout.split() == ["demo"]


WRONG = [
    *((command, "--nonsense") for command in COMMANDS),
    ("nonsense",),
    ("demo", "extra"),
    ("demo", "--athletes", "0"),
    ("demo", "--athletes", "many"),
    ("demo", "--speed", "-1"),
    ("demo", "--speed", "nan"),
    ("demo", "--seconds", "inf"),
    ("simulate",),
    ("simulate", "--excerpt", "--speed", "inf"),
    ("simulate", "--excerpt", "--packet", "0"),
    ("simulate", "--excerpt", "--packet", "nan"),
    ("simulate", "--excerpt", "--start", "nan"),
    ("simulate", "--excerpt", "--loss", "nan"),
    ("simulate", "--excerpt", "--jitter", "-1"),
    ("simulate", "--excerpt", "--dropout", "nan:1"),
    ("simulate", "--excerpt", "--broker", "http://127.0.0.1"),
    ("simulate", "--synthetic", "1001"),
    ("monitor", "--broker", "127.0.0.1"),
    ("monitor", "--broker", "mqtt://127.0.0.1:99999"),
    ("monitor", "--redis", "http://127.0.0.1"),
    ("monitor", "--id", "two words"),
    ("monitor", "--settings", "/nowhere/strapwatch.toml"),
    ("dashboard",),
    ("alerts", "--count", "-1"),
    ("alerts", "--redis", "nowhere"),
    ("alerts", "acknowledge"),
    ("evaluate",),
    ("evaluate", "--records", "100"),
]


def test_wrong_usage_is_one_line_and_exit_2(env: dict[str, str]) -> None:
    """Whatever is called wrongly: one line that names it, nothing on standard output, no traceback."""
    for arguments, done in zip(WRONG, _at_once(WRONG, env), strict=True):
        told = _one_line(done, 2)
        assert len(arguments) == 1 or any(word.strip("-") in told for word in arguments[1:]), (
            arguments,
            told,
        )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("herd", "0"), "N 0: use a whole number from 1 to 20000; see strapwatch herd --help"),
        (("herd", "x"), "N x: use a whole number from 1 to 20000; see strapwatch herd --help"),
        (("herd", "5", "--connections", "x"), "--connections x: use one of light, shared; see"),
        (("simulate", "--synthetic", "2000"), "--synthetic 2000: use a whole number from 0 to 1000; see"),
        (("simulate", "--seed", "-1"), "--seed -1: use a whole number, 0 or more; see"),
        (("simulate", "--start", "5 s"), "--start '5 s': use a number; see"),
        (("evaluate", "--window-ms", "200"), "--window-ms 200: use a number from 1 to 150; see"),
        (("adapt", "mitdb/200", "--minutes", "0"), "--minutes 0: use a number from 1 to 120; see"),
        (("alerts", "--count", "-1"), "--count -1: use a whole number from 0 to 1000; see"),
        (
            ("inbox", "figures", "--since", "yesterday"),
            "--since yesterday: use a date such as 2026-08-31; see",
        ),
        (("demo", "--athletes", "many"), "--athletes many: use a whole number from 1 to 200; see"),
        (("demo", "extra"), "Got unexpected extra argument(s) (extra); see"),
        (("simulate", "--nonsense"), "No such option: --nonsense"),
        (("simulate", "--loss"), "Option '--loss' requires an argument; see"),
    ],
)
def test_what_the_parser_refuses_is_named_with_what_is_allowed(arguments: tuple[str, ...], told: str) -> None:
    """Option, value and the whole range, as for what the commands themselves refuse; the rest as it was."""
    with pytest.raises(UsageError) as caught:
        run_here(arguments)
    assert str(caught.value).startswith(told)


_HELP_WIDTH = 80 - 2
"""Columns of a terminal of 80 between the blanks that rich puts left and right of a help's text."""


def _commands(group: Any, name: str = "") -> Iterator[tuple[str, str]]:
    for own, command in group.commands.items():
        full = f"{name} {own}".strip()
        yield full, command.help or ""
        if hasattr(command, "commands"):
            yield from _commands(command, full)


def test_every_help_has_an_example_that_can_be_copied() -> None:
    """Every command and subcommand shows how it is called, on lines that a terminal of 80 columns does not wrap."""
    helps = dict(_commands(typer.main.get_command(app)))
    assert {"simulate", "alerts", "records fetch", "inbox figures"} <= set(helps)
    examples = {name: cleandoc(text).partition("[bold]Example[/bold]")[2] for name, text in helps.items()}
    without = {name for name, text in examples.items() if f"\n  strapwatch {name}" not in text}
    assert not without
    # What the example is about stands on the first line, and may be wrapped.
    lines = {name: text.partition("\n")[2].splitlines() for name, text in examples.items()}
    assert not {name for name, own in lines.items() if max(map(len, own), default=0) > _HELP_WIDTH}
    for name, own in lines.items():
        for line, after in pairwise([*own, ""]):
            # A line that goes on says so, and what goes on is a line of its own.
            assert line.endswith("\\") == after.startswith("    "), (name, line)


def test_a_setting_that_does_not_exist_is_refused(env: dict[str, str], tmp_path: Path) -> None:
    """In the file as in the environment: where it stands, its name, the closest one; a bad value is named too."""
    unknown, bad = tmp_path / "unknown.toml", tmp_path / "bad.toml"
    unknown.write_text("[limits]\npause_sec = 3\n")
    bad.write_text("[limits]\npause_s = nan\n")
    told = _one_line(run("monitor", "--settings", str(unknown), env=env), 2)
    assert str(unknown) in told
    assert "'limits.pause_sec'" in told
    assert "'limits.pause_s'" in told
    told = _one_line(run("monitor", "--settings", str(bad), env=env), 2)
    assert "limits.pause_s is nan; use a number from 1 to 10" in told
    told = _one_line(run("monitor", env=env | {"STRAPWATCH_LIMITS__PAUSE": "3"}), 2)
    assert "STRAPWATCH_LIMITS__PAUSE" in told
    assert "'limits.pause_s'" in told


def _write(folder: Path, name: str, *, rate_hz: float = 250.0, seconds: float = 20.0, seed: int = 1) -> Path:
    record = synthesize(
        SyntheticAthlete(rate_bpm=80.0, events=(PrematureBeat(at_s=12.0, kind="V"),)),
        rate_hz=rate_hz,
        seconds=seconds,
        seed=seed,
        name=name,
    )
    assert record.truth is not None
    _write_counts(folder, name, record.counts.astype(np.int64), rate_hz, 1e3 / record.microvolts_per_count)
    symbols = [AAMI_CLASSES[index] for index in record.truth.classes]
    wfdb.wrann(name, "atr", record.truth.r_samples, symbol=symbols, fs=rate_hz, write_dir=str(folder))
    return folder / name


def _write_counts(
    folder: Path, name: str, counts: "np.ndarray[tuple[int], np.dtype[np.int64]]", rate_hz: float, gain: float
) -> None:
    wfdb.wrsamp(
        name, fs=rate_hz, units=["mV"], sig_name=["MLII"], d_signal=counts[:, np.newaxis], fmt=["16"],
        adc_gain=[gain], baseline=[0], write_dir=str(folder),
    )  # fmt: skip


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with two good records."""
    folder = tmp_path_factory.mktemp("data") / "school"
    folder.mkdir()
    _write(folder, "a1", seconds=330.0)
    _write(folder, "a2", seconds=320.0, rate_hz=128.0, seed=2)
    return folder


@pytest.fixture(scope="module")
def damaged(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """Return a database of records none of which can be used, with what is to be said of each, and a good one."""
    folder = tmp_path_factory.mktemp("data") / "damaged"
    folder.mkdir()
    wave = np.rint(200 * np.sin(np.arange(3_600) / 20)).astype(np.int64)
    _write_counts(folder, "cut", wave, 360, 200.0)
    (folder / "cut.dat").write_bytes((folder / "cut.dat").read_bytes()[:1_000])
    _write_counts(folder, "longer", wave, 360, 200.0)
    (folder / "longer.dat").write_bytes((folder / "longer.dat").read_bytes() * 2)
    _write_counts(folder, "empty", wave, 360, 200.0)
    (folder / "empty.dat").write_bytes(b"")
    _write_counts(folder, "gone", wave, 360, 200.0)
    (folder / "gone.dat").unlink()
    _write_counts(folder, "flat", np.full(3_600, 5), 360, 200.0)
    _write_counts(folder, "invalid", np.full(3_600, -32_768), 360, 200.0)
    _write_counts(folder, "slow", wave, 50, 200.0)
    _write_counts(folder, "fast", wave, 2_000, 200.0)
    (folder / "garbled.hea").write_bytes(bytes(range(256)))
    (folder / "void.hea").write_bytes(b"")
    return folder, {
        "cut": "cut.dat: truncated",
        "longer": "longer.dat: header and data disagree",
        "empty": "empty.dat: empty record",
        "gone": "gone.dat: missing",
        "flat": "flat.hea: lead MLII is flat",
        "invalid": "invalid.hea: lead MLII holds no valid sample",
        "slow": "slow.hea: sampling rate is 50 Hz; 100 to 1000 Hz",
        "fast": "fast.hea: sampling rate is 2000 Hz; 100 to 1000 Hz",
        "garbled": "garbled.hea: damaged header",
        "void": "void.hea: the file is empty",
    }


def test_a_record_that_cannot_be_replayed_is_one_line_and_exit_1(
    env: dict[str, str], damaged: tuple[Path, dict[str, str]], school: Path
) -> None:
    """File and reason; a lead that is not there names those that are; a record that is not there says where."""
    folder, expected = damaged
    simulate = ("simulate", "--broker", NOWHERE["broker"], "--record")
    calls: dict[tuple[str, ...], str] = {
        (*simulate, str(folder / name)): reason for name, reason in list(expected.items())[::2]
    }
    calls[*simulate, str(school / "a1"), "--lead", "V9"] = "a1.hea: no lead 'V9'; there are 0 MLII"
    calls[*simulate, "mitdb/100"] = "mitdb/100: no such record"
    calls["evaluate", str(folder / "cut")] = "cut.dat: truncated"
    calls["evaluate", str(school / "a1"), "--lead", "V9"] = "a1.hea: no lead 'V9'; there are 0 MLII"
    calls["evaluate", "mitdb/100"] = "mitdb/100: no such record"
    calls["evaluate", "--database", "/nowhere"] = "/nowhere: no such folder"
    for done, reason in zip(_at_once(list(calls), env), calls.values(), strict=True):
        assert reason in _one_line(done, 1)


def test_a_folder_of_recordings_that_is_none_is_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """One that was named must be there; one's own need not be, before the first download."""
    for named, what in ((tmp_path / "none", "no such folder"), (Path(__file__), "not a folder")):
        monkeypatch.setenv("STRAPWATCH_DATA", str(named))
        with pytest.raises(RecordError) as caught:
            run_here(["records", "list"])
        assert str(caught.value).startswith(f"STRAPWATCH_DATA {named}: {what}; ")
        with pytest.raises(RecordError) as caught:
            run_here(["scenario", "strap-falling-off", "--offline", "--database", str(named)])
        assert str(caught.value).startswith(f"--database {named}: {what}; ")
    monkeypatch.delenv("STRAPWATCH_DATA")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("HOME", str(tmp_path / "none"))
    assert run_here(["records", "list"]) == 0
    assert "no recordings in" in capsys.readouterr().err


def test_a_correction_goes_into_no_folder_that_is_mistyped(tmp_path: Path) -> None:
    """Only a team's own folder is made, for `--team`; refused before anything is learnt, and nothing is made."""
    for file, folder in (("none/x.json", "none"), ("file/x.json", "file"), ("none/red/ada.json", "none")):
        (tmp_path / "file").touch()
        output = str(tmp_path / file)
        of_team = ("--from-feedback", "--team", "red", "--athlete", "ada", "--redis", NOWHERE["redis"])
        for source in (("mitdb/200",), of_team):
            with pytest.raises(UsageError) as caught:
                run_here(["adapt", *source, "--output", output])
            told = str(caught.value)
            assert told.startswith(f"--output {output}: {tmp_path / folder}")
            assert told.endswith("; make it, or correct the name")
    with pytest.raises(UsageError, match="red: no such folder"):
        run_here(["adapt", "mitdb/200", "--output", str(tmp_path / "red" / "ada.json")])
    with pytest.raises(ServerError):
        run_here(["adapt", *of_team, "--output", str(tmp_path / "red" / "ada.json")])
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_one_record_is_no_records(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A summary counts as people do."""
    assert run_here(["synthesize", str(tmp_path), "--seconds", "5"]) == 0
    assert capsys.readouterr().out.startswith("1 record, 0.001 h at 250 Hz")


def test_bad_records_among_good_ones_are_named_and_the_good_ones_scored(
    env: dict[str, str], damaged: tuple[Path, dict[str, str]], school: Path
) -> None:
    """One line each and one for their number, JSON alone on standard output, exit 1."""
    folder, expected = damaged
    done = run("evaluate", str(school), str(folder), "--no-classify", "--json", "-", env=env)
    assert done.returncode == 1
    summary = json.loads(done.stdout)
    assert list(summary["records"]) == ["school/a1", "school/a2"]
    assert set(summary["refused"]) == {f"damaged/{name}" for name in expected}
    lines = done.stderr.splitlines()
    assert len(lines) == len(expected) + 1
    for reason in (*expected.values(), f"{len(expected)} of {len(expected) + 2} records refused"):
        assert any(reason in line for line in lines), reason


def test_a_model_that_is_not_as_its_card_says_is_refused(
    env: dict[str, str], school: Path, tmp_path: Path
) -> None:
    """Cut short, with another's card or without one: file and reason, exit 1."""
    weights, card = (WEIGHTS / "grunet.safetensors").read_bytes(), (WEIGHTS / "grunet.json").read_text()
    other = json.loads(card)
    other["sha256"] = "0" * 64
    files: dict[str, tuple[bytes, str | None]] = {
        "cut": (weights[:5_000], card),
        "other": (weights, json.dumps(other)),
        "cardless": (weights, None),
    }
    calls: list[tuple[str, ...]] = []
    for name, (tensors, text) in files.items():
        file = tmp_path / f"{name}.safetensors"
        file.write_bytes(tensors)
        if text is not None:
            file.with_suffix(".json").write_text(text)
        settings = tmp_path / f"{name}.toml"
        settings.write_text(f'[classifier]\nweights = "{file}"\n')
        if name != "other":
            calls.append(("evaluate", str(school / "a1"), "--model", str(file)))
        else:
            calls.append(("monitor", "--settings", str(settings), "--broker", NOWHERE["broker"]))
    for call, done in zip(calls, _at_once(calls, env), strict=True):
        told = _one_line(done, 1)
        assert Path(call[3] if call[0] == "evaluate" else call[2]).stem in told


def test_evaluation_as_json_and_annotations(env: dict[str, str], school: Path, tmp_path: Path) -> None:
    """Every promised key, fractions from 0 to 1, and annotation files that the field's own reader opens."""
    file, folder = tmp_path / "scores.json", tmp_path / "annotations"
    done = run(
        "evaluate", "--database", str(school), "--records", "a1,a2", "--include-learning", "--json", str(file),
        "--write-annotations", str(folder), env=env,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "gross" in done.stdout
    summary = json.loads(file.read_text())
    assert set(summary) >= {"records", "gross", "samples_per_second", "model", "settings_hash"}
    assert summary["model"].startswith("grunet ")
    assert summary["samples_per_second"] > 0
    for figures in (*summary["records"].values(), summary["gross"]):
        assert set(figures) >= {"qrs", "classes", "confusion", "accuracy", "baseline"}
        assert set(figures["qrs"]) == {"se", "ppv", "f1", "tp", "fp", "fn"}
        assert list(figures["classes"]) == list(AAMI_CLASSES)
        assert all(set(of_class) == {"se", "ppv", "n"} for of_class in figures["classes"].values())
        fractions = [figures["qrs"][key] for key in ("se", "ppv", "f1")] + [
            figures["accuracy"],
            figures["baseline"],
        ]
        fractions += [of_class[key] for of_class in figures["classes"].values() for key in ("se", "ppv")]
        assert all(0.0 <= fraction <= 1.0 for fraction in fractions if fraction is not None)
    for name, rate_hz in (("a1", 250), ("a2", 128)):
        written = wfdb.rdann(str(folder / name), "strapwatch")
        reference = wfdb.rdann(str(school / name), "atr")
        assert written.fs == rate_hz
        assert abs(len(written.sample) - len(reference.sample)) <= 3


def test_alerts_of_a_server_without_alarms(env: dict[str, str], redis_server: GuardedServer) -> None:
    """With --json nothing but JSON lines is printed, none here; an ID that is not known is exit 1 and one line."""
    listed = run("alerts", "--json", "--redis", redis_server.url, env=env)
    assert (listed.returncode, listed.stdout) == (0, "")
    unknown = "falcons.a05.1.ventricular_run.48200"
    told = _one_line(run("alerts", "acknowledge", unknown, "--redis", redis_server.url, env=env), 1)
    assert unknown in told


def test_a_reader_who_leaves_is_no_failure(env: dict[str, str], school: Path) -> None:
    """`strapwatch … | head` ends quietly, whatever prints: plain text, help or tables."""
    evaluate = ("evaluate", str(school / "a2"), "--no-classify")
    for arguments in (("--version",), ("evaluate", "--help"), evaluate, (*evaluate, "--json", "-")):
        with subprocess.Popen(
            [*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=env
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.close()
            assert process.stderr.read() == b"", arguments
            assert process.wait(60.0) == 0, arguments


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_output_that_finds_no_place_is_a_failure(env: dict[str, str]) -> None:
    """A full disk is one line and exit 1; closed streams are as good as /dev/null."""
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [*COMMAND, "--version"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
            env=env,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    shell = f'"{sys.executable}" -P -m monitor.cli --version <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", shell], check=False, timeout=60, env=env).returncode == 0


@pytest.fixture
def start(env: dict[str, str]) -> Iterator[Callable[..., Running]]:
    """Start commands that are gone afterwards, whatever happens."""
    started: list[Running] = []

    def start_one(*arguments: str) -> Running:
        started.append(Running(*arguments, env=env))
        return started[-1]

    yield start_one
    for each in started:
        each.kill()


def _endless(school: Path, folder: Path) -> list[tuple[str, ...]]:
    return [
        ("simulate", "--excerpt", "--loop", "--broker", NOWHERE["broker"]),
        (
            "monitor",
            "--broker",
            NOWHERE["broker"],
            "--redis",
            NOWHERE["redis"],
            "--outbox",
            str(folder / "o.sqlite3"),
        ),
        ("alerts", "--follow", "--redis", NOWHERE["redis"]),
        ("evaluate", str(school)),
    ]


def test_ctrl_c_ends_what_is_still_starting(
    start: Callable[..., Running], school: Path, tmp_path: Path
) -> None:
    """Exit 130 within 2 s, without a traceback and with nothing left running, wherever an import stands."""

    def interrupt(arguments: tuple[str, ...], after_s: float) -> tuple[int, float, str]:
        running = start(*arguments)
        time.sleep(after_s)
        return *running.end(signal.SIGINT, within_s=10.0), running.stderr

    # Two at a time: what is measured is how a command ends, not how long it waits for a core among many.
    with ThreadPoolExecutor(max_workers=2) as pool:
        ended = [
            (arguments, after_s, pool.submit(interrupt, arguments, after_s))
            for after_s in (0.3, 0.5, 0.8, 1.2)
            for arguments in _endless(school, tmp_path)
        ]
        for arguments, after_s, ending in ended:
            code, took, told = ending.result()
            assert code == 130, (arguments, after_s, told)
            assert took < END_WITHIN_S, (arguments, after_s)
            assert "Traceback" not in told


@pytest.mark.parametrize("module", ["typing", "typer", "importlib.metadata"])
def test_ctrl_c_in_an_import_is_no_traceback(env: dict[str, str], module: str) -> None:
    """From the command's first own import on: exit 130 and not a word."""
    code = f"""
import os, signal, sys
class Finder:
    def find_spec(name, path=None, target=None):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
for name in ("typing", "contextlib", {module!r}):
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Finder)
sys.argv[1:] = ["--version"]
from monitor.cli import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=60, env=env
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_a_monitor_that_gets_ready_ends_in_order(start: Callable[..., Running], tmp_path: Path) -> None:
    """SIGTERM before anything is open: 143, as documented, and no death by signal."""
    running = start(*_endless(tmp_path, tmp_path)[1])
    assert running.said("getting ready", within_s=60.0), running.stderr
    code, took = running.end(signal.SIGTERM, within_s=10.0)
    assert code in {0, 143}, running.stderr
    assert took < END_WITHIN_S
    assert "Traceback" not in running.stderr


async def test_only_a_signal_ends_a_long_command_in_order() -> None:
    """A cancellation that nobody asked for is no exit 0."""

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await until_signalled(cancelled())


def test_ctrl_c_ends_what_compiles(env: dict[str, str], tmp_path: Path) -> None:
    """The first start ever compiles for many seconds; nobody has to wait for that."""
    monitor = _endless(tmp_path, tmp_path)[1]
    running = Running(*monitor, env=env | {"NUMBA_CACHE_DIR": str(tmp_path / "compiled")})
    try:
        assert running.said("compiling the stages", within_s=60.0), running.stderr
        time.sleep(1.5)
        code, took = running.end(signal.SIGINT, within_s=60.0)
    finally:
        running.kill()
    assert code == 130
    assert took < END_WITHIN_S
    assert "Traceback" not in running.stderr


@pytest.mark.parametrize(("how", "codes"), [(signal.SIGINT, {130}), (signal.SIGTERM, {0, 130, 143})])
def test_unreachable_servers_are_tried_again_until_a_signal(
    start: Callable[..., Running], school: Path, tmp_path: Path, how: signal.Signals, codes: set[int]
) -> None:
    """Simulate, monitor and alerts --follow say so more than once, and end within 2 s all the same."""
    running = [start(*arguments) for arguments in _endless(school, tmp_path)[:3]]
    for each in running:
        assert each.said("again", within_s=60.0, times=2), (each.name, each.stderr)
        assert "127.0.0.1:9" in each.stderr
    for each in running:
        code, took = each.end(how, within_s=10.0)
        assert code in codes, (each.name, each.stderr)
        assert took < END_WITHIN_S, each.name
        assert "Traceback" not in each.stderr
