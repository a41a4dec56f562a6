"""The stages are compiled in a process of their own, once, before a monitor's first start."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numba
import pytest
import structlog

from monitor.cli.prepare import compile_apart
from monitor.compiled import mark_compiled

Spawned = list[Sequence[str]]


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder that would hold what is compiled, and does not exist."""
    folder = tmp_path / "numba" / "version"
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))
    return folder


def spawning(monkeypatch: pytest.MonkeyPatch, code: str) -> Spawned:
    """Let a Python process with this code stand for the compiler; return what was spawned."""
    spawned: Spawned = []

    def spawn(args: Sequence[str], **keywords: Any) -> "subprocess.Popen[bytes]":
        spawned.append(args)
        return subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, **keywords)

    monkeypatch.setattr("monitor.embedded.spawn", spawn)
    return spawned


def test_what_is_compiled_is_not_compiled_again(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where this version of the source has been compiled to the end, nothing is started; a folder alone says little."""
    spawned = spawning(monkeypatch, "")
    cold.mkdir(parents=True)
    compile_apart()
    assert len(spawned) == 1
    mark_compiled()
    compile_apart()
    assert len(spawned) == 1


def test_a_first_start_waits_for_a_compiler_of_its_own(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is compiled ``strapwatch prepare`` is run to its end, and what it prints is nobody's result."""
    spawned = spawning(
        monkeypatch, f"import pathlib; pathlib.Path({str(cold)!r}).mkdir(parents=True); print('no')"
    )
    compile_apart()
    assert [list(args) for args in spawned] == [["prepare"]]
    assert cold.is_dir()


def test_a_compiler_that_fails_is_told_and_stops_nobody(cold: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The monitor then compiles as it goes, and says so with the code."""
    assert not cold.exists()
    spawning(monkeypatch, "raise SystemExit(3)")
    with structlog.testing.capture_logs() as logs:
        compile_apart()
    assert [entry["code"] for entry in logs if entry["log_level"] == "warning"] == [3]


def test_the_compiler_is_a_command_that_ends_with_its_parent() -> None:
    """What is spawned takes the option that `monitor.embedded.spawn` adds."""
    command = [sys.executable, "-P", "-m", "monitor.cli", "prepare", "--die-with-parent"]
    child = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    _, told = child.communicate(timeout=300)
    # Ended by us closing its standard input, or ready before it saw that.
    assert child.returncode in (0, 143), told.decode()
