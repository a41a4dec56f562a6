"""Where a running monitor's processor time goes, by thread and module, sampled from outside by py-spy."""

import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import Final

_PER_S: Final = 50
_OURS: Final = ("monitor/", "models/")
_LARGEST: Final = 14


class Profile:
    """Samples a process from now on.

    Parameters
    ----------
    pid : int
        Which.
    seconds : float
        For how long.
    flame : Path, optional
        Draw a flame graph there; there is no table then.
    """

    def __init__(self, pid: int, seconds: float, *, flame: Path | None = None) -> None:
        self._flame = flame
        self._file = flame or Path(tempfile.mkstemp(suffix=".txt")[1])
        self._process: subprocess.Popen[bytes] | None = None
        beside = Path(sys.executable).with_name("py-spy")
        command = str(beside) if beside.exists() else shutil.which("py-spy")
        if command is None:
            print("py-spy is not installed: no stages", file=sys.stderr)
            return
        self._process = subprocess.Popen(
            [command, "record", "--pid", str(pid), "--duration", str(int(seconds)), "--rate", str(_PER_S),
             "--nonblocking", "--threads", "--format", "flamegraph" if flame else "raw", "--output", str(self._file)],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def stages(self, cpu_s: float) -> dict[str, dict[str, float]] | None:
        """Return processor seconds by thread and by the innermost module of ours, of `cpu_s` in all."""
        if self._process is None:
            return None
        self._process.wait()
        if self._flame is not None:
            # py-spy entitles it with its own command line, the paths of this machine included.
            drawn = self._flame.read_text(encoding="utf-8")
            named = re.sub(r'(<text id="title"[^>]*>)[^<]*', r"\1strapwatch monitor", drawn, count=1)
            self._flame.write_text(named, encoding="utf-8")
            return None
        counts: dict[str, Counter[str]] = {}
        total = 0
        for line in self._file.read_text(encoding="utf-8").splitlines():
            stack, _, number = line.rpartition(" ")
            frames = stack.split(";")
            thread = next((frame for frame in frames if frame.startswith("thread ")), "thread")
            module = next((name for frame in reversed(frames) if (name := _module(frame))), "libraries")
            counts.setdefault(_plain(thread), Counter())[module] += int(number)
            total += int(number)
        self._file.unlink()
        return {
            thread: {"all": cpu_s * found.total() / total}
            | {module: cpu_s * count / total for module, count in found.most_common(_LARGEST)}
            for thread, found in sorted(counts.items(), key=lambda item: -item[1].total())
        }


def _module(frame: str) -> str | None:
    """Return the module of a frame that is ours."""
    _, _, place = frame.partition("(")
    path = place.rpartition(":")[0]
    return path.removesuffix(".py") if path.startswith(_OURS) else None


def _plain(thread: str) -> str:
    """Return a thread's name without its number."""
    name = thread.partition(": ")[2] or thread
    return name.strip('"').rstrip("0123456789").rstrip("_-") or name
