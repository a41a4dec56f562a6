"""``strapwatch`` with somebody who counts: memory, file handles, threads and asyncio tasks, a line of JSON each time.

A script, run as ``python -P observed_monitor.py FILE EVERY_S monitor --broker …``.
"""

import asyncio
import json
import os
import sys
import threading
import time
from pathlib import Path

from monitor.cli import main

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
_loops: list[asyncio.AbstractEventLoop] = []
_new_event_loop = asyncio.events.new_event_loop


def _remembered() -> asyncio.AbstractEventLoop:
    _loops.append(_new_event_loop())
    return _loops[-1]


def _observe(file: Path, every_s: float) -> None:
    while True:
        time.sleep(every_s)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        # By their loops: `gc.get_objects` would hold tuples that others are still filling, which then fail to be.
        tasks = sum(len(asyncio.all_tasks(loop)) for loop in _loops)
        seen = {
            "at": time.time(),
            "resident_bytes": resident,
            "handles": sum(1 for _ in Path("/proc/self/fd").iterdir()),
            "threads": threading.active_count(),
            "tasks": tasks,
        }
        with file.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(seen) + "\n")


if __name__ == "__main__":
    asyncio.events.new_event_loop = _remembered
    observer = threading.Thread(
        target=_observe, args=(Path(sys.argv[1]), float(sys.argv[2])), name="observer", daemon=True
    )
    observer.start()
    sys.argv[1:3] = []
    main()
