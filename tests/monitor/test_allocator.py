"""Memory that was freed goes back."""

import platform
import subprocess
import sys

import pytest

_SCRIPT = """
import sys, threading
from monitor.allocator import give_back, share_one_arena
if len(sys.argv) > 1 and not share_one_arena():
    sys.exit("no glibc")
def resident():
    with open("/proc/self/statm") as file:
        return 4096 * int(file.read().split()[1])
def burst(left):
    pieces = [bytes(1000) for _ in range(40_000)]
    left.append(pieces[-1])
before, left = resident(), []
threads = [threading.Thread(target=burst, args=(left,)) for _ in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
with open("/proc/self/maps") as file:
    # What glibc sets aside for a thread's own arena: 64 MB, of which most cannot be touched yet.
    spans = [line.split()[0].split("-") for line in file if " ---p " in line]
arenas = sum(8 << 20 < int(end, 16) - int(begin, 16) <= 64 << 20 for begin, end in spans)
give_back()
print(arenas, resident() - before)
"""


def _said(*arguments: str) -> tuple[int, int]:
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    arenas, left = map(int, done.stdout.split())
    return arenas, left


pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="not glibc: nothing is done here")


def test_what_bursts_leave_behind_goes_back() -> None:
    """Of 160 MB that threads took and freed next to nothing stays, though each left a piece behind."""
    assert _said("shared")[1] < 16e6


def test_threads_share_one_arena() -> None:
    """Without it they have some of their own."""
    assert _said("shared")[0] == 0
    assert _said()[0] > 0
