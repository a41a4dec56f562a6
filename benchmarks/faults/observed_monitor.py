"""``strapwatch`` with somebody who counts: memory, file handles, threads and asyncio tasks, a line of JSON each time.

A script, run as ``python -P observed_monitor.py FILE EVERY_S monitor --broker …``.
"""

import asyncio
import ctypes
import json
import os
import sys
import threading
import time
from pathlib import Path

from monitor.allocator import share_one_arena
from monitor.cli import main

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_loops: list[asyncio.AbstractEventLoop] = []
_new_event_loop = asyncio.events.new_event_loop


def _remembered() -> asyncio.AbstractEventLoop:
    _loops.append(_new_event_loop())
    return _loops[-1]


class _Mallinfo(ctypes.Structure):
    """``struct mallinfo2`` of ``malloc.h``."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def _heap() -> dict[str, int]:
    """Return how much of the C library's heap is used and free; nothing where it cannot say (before glibc 2.33)."""
    library = ctypes.CDLL(None)
    try:
        mallinfo = library.mallinfo2
    except AttributeError:
        return {}
    mallinfo.restype = _Mallinfo
    found = mallinfo()
    return {"heap_bytes": found.uordblks + found.hblkhd, "heap_free_bytes": found.fordblks}


def _observe(file: Path, every_s: float) -> None:
    while True:
        time.sleep(every_s)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        # By their loops: `gc.get_objects` would hold tuples that others are still filling, which then fail to be.
        tasks = sum(len(asyncio.all_tasks(loop)) for loop in _loops)
        seen = {
            "at": time.time(),
            "resident_bytes": resident,
            "python_blocks": sys.getallocatedblocks(),
            **_heap(),
            "handles": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "threads": threading.active_count(),
            "tasks": tasks,
        }
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    # As the monitor does, but before the observer's thread begins: with an arena of its own it would be counted, too.
    share_one_arena()
    asyncio.events.new_event_loop = _remembered
    observer = threading.Thread(
        target=_observe, args=(Path(sys.argv[1]), float(sys.argv[2])), name="observer", daemon=True
    )
    observer.start()
    sys.argv[1:3] = []
    main()
