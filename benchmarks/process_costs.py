"""What processes cost, by the operating system's own count: processor seconds, memory."""

import os
from pathlib import Path
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the processor seconds of a process and of all below it that still run."""
    return sum(_own_cpu_s(one) for one in _tree(pid))


def thread_cpu_s(pid: int) -> dict[int, float]:
    """Return the processor seconds of each thread of a process."""
    return {int(task.name): _cpu_in(task / "stat") for task in Path(f"/proc/{pid}/task").iterdir()}


def memory_mb(pid: int, *, peak: bool = False) -> float:
    """Return the resident memory of a process, now or at its highest, in megabytes (10^6 bytes)."""
    wanted = "VmHWM" if peak else "VmRSS"
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace").splitlines():
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0]) * 1024 / 1e6
    raise LookupError(f"process {pid} has no {wanted}")


def _own_cpu_s(pid: int) -> float:
    return _cpu_in(Path(f"/proc/{pid}/stat"))


def _cpu_in(stat: Path) -> float:
    try:
        fields = stat.read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return 0.0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _tree(pid: int) -> list[int]:
    found = [pid]
    for one in found:
        for task in Path(f"/proc/{one}/task").glob("*/children"):
            found += [int(child) for child in task.read_text(encoding="ascii").split()]
    return found
