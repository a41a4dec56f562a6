"""What a report says of where it comes from: the commit, the machine, and the time it took."""

import hashlib
import os
import platform
import subprocess
from pathlib import Path
from typing import Any


def commit() -> str:
    """Return the commit of the working tree, with ``+`` behind it where files are changed; empty outside a clone."""
    root = Path(__file__).parents[2]

    def git(*arguments: str) -> str:
        found = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
        return found.stdout.strip()

    changed = git("status", "--porcelain", "--untracked-files=no")
    return git("rev-parse", "HEAD") + ("+" if changed else "")


def version() -> str:
    """Return a hash of the monitor's source and of what tries it: what was found for one says nothing of another."""
    root = Path(__file__).parents[2]
    files = sorted(file for part in ("monitor", "benchmarks/faults") for file in (root / part).rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:12]


def machine() -> dict[str, Any]:
    """Return what a reader has to know of the machine."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "system": platform.system(),
        "processor": platform.machine(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "python": platform.python_version(),
    }
