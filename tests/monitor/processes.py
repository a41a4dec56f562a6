"""The real command as a process, and what it leaves behind: shared by the tests of the command line and the demo."""

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO

COMMAND = [sys.executable, "-P", "-m", "monitor.cli"]
_MARK = "TEST_RUN_MARK"


def environment(home: Path, **more: str) -> dict[str, str]:
    """Return an environment without recordings or settings, whose home is an empty folder."""
    own = {key: value for key, value in os.environ.items() if not key.startswith("STRAPWATCH_")}
    # Compiled loops stay where they are: they are no data.
    return own | {"HOME": str(home), "XDG_DATA_HOME": str(home / "data"), "NO_COLOR": "1"} | more


def run(
    *arguments: str, env: Mapping[str, str] | None = None, timeout_s: float = 100.0
) -> "subprocess.CompletedProcess[str]":
    """Run the command to its end, with nothing to read."""
    return subprocess.run(
        [*COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        env=env,
        stdin=subprocess.DEVNULL,
    )


class Running:
    """The command while it runs, and whatever it starts: all of it is found again by a mark in the environment.

    Parameters
    ----------
    *arguments : str
        Command and options.
    env : mapping of str to str
        Its environment.
    stdout : file, optional
        Where it prints; nowhere if left out.
    """

    def __init__(self, *arguments: str, env: Mapping[str, str], stdout: IO[bytes] | None = None) -> None:
        self.name = arguments[0]
        self._mark = uuid.uuid4().hex
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env={**env, _MARK: self._mark},
            stdin=subprocess.DEVNULL,
            stdout=stdout or subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.stderr = ""
        self._found: set[int] = set()
        assert self.process.stderr is not None
        os.set_blocking(self.process.stderr.fileno(), False)

    def alive(self) -> set[int]:
        """Return every process of this run that has not ended; only the command itself where there is no /proc."""
        if not Path("/proc/self/environ").exists():
            return {self.process.pid} if self.process.poll() is None else set()
        parents: dict[int, int] = {}
        marked: set[int] = set()
        for folder in Path("/proc").glob("[0-9]*"):
            # A process may end while it is looked at.
            with suppress(OSError):
                state, parent, *_ = (folder / "stat").read_text().rpartition(")")[2].split()
                if state != "Z":
                    parents[int(folder.name)] = int(parent)
                if f"{_MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0"):
                    marked.add(int(folder.name))
        # A server may write its title over its environment; it is known by its parent then, from before it lost it.
        self._found |= marked | {pid for pid, parent in parents.items() if parent in marked}
        return self._found & set(parents)

    def said(self, text: str, *, within_s: float, times: int = 1) -> bool:
        """Wait until standard error holds `text`, so many times."""
        deadline = time.monotonic() + within_s
        while self._listen().count(text) < times:
            if time.monotonic() > deadline or self.process.poll() is not None:
                return False
            time.sleep(0.02)
        return True

    def end(self, how: signal.Signals, *, within_s: float) -> tuple[int, float]:
        """Send a signal; return the exit code, and the seconds until the last process of the run was gone."""
        begun = time.monotonic()
        self.process.send_signal(how)
        code = None
        while time.monotonic() - begun < within_s:
            code = self.process.poll()
            self._listen()
            if code is not None and not self.alive():
                break
            time.sleep(0.02)
        took = time.monotonic() - begun
        self._listen()
        self.kill()
        return (code if code is not None else self.process.wait()), took

    def kill(self) -> None:
        """End whatever is left."""
        for pid in self.alive():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stderr is not None
        self.process.stderr.close()

    def _listen(self) -> str:
        assert self.process.stderr is not None
        with suppress(OSError, ValueError):
            self.stderr += (self.process.stderr.read() or b"").decode()
        return self.stderr
