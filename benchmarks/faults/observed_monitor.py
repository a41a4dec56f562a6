"""``strapwatch`` with somebody who counts: memory, file handles, threads and asyncio tasks, a line of JSON each time.

A script, run as ``python -P observed_monitor.py FILE EVERY_S monitor --broker …``.
"""

import asyncio
import gc
import json
import os
import sys
import threading
import time
from pathlib import Path

from monitor.cli import main

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def _observe(file: Path, every_s: float) -> None:
    while True:
        time.sleep(every_s)
        resident = int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE_BYTES
        tasks = sum(isinstance(found, asyncio.Task) and not found.done() for found in gc.get_objects())
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
    observer = threading.Thread(
        target=_observe, args=(Path(sys.argv[1]), float(sys.argv[2])), name="observer", daemon=True
    )
    observer.start()
    sys.argv[1:3] = []
    main()
