"""Memory that was freed goes back."""

import subprocess
import sys

import pytest

_SCRIPT = """
import sys, threading
from monitor.allocator import give_back, share_one_arena
if not share_one_arena():
    sys.exit(77)
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
give_back()
print(resident() - before)
"""


def test_what_bursts_leave_behind_goes_back() -> None:
    """Of 160 MB that threads took and freed next to nothing stays, though each left a piece behind."""
    done = subprocess.run([sys.executable, "-c", _SCRIPT], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("not glibc: nothing is done here")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 16e6
