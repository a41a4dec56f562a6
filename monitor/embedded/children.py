"""Processes of our own whose life is tied to ours by a pipe: it closes however we end, SIGKILL included."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import IO

FAREWELL_S = 1.5
"""How long a child may take to end in order, in seconds, once its parent is gone."""

_lifeline_lock = threading.Lock()
_lifeline_watched = threading.Event()


def spawn(
    args: Sequence[str], *, stdout: int | IO[bytes] | None = None, stderr: int | IO[bytes] | None = None
) -> "subprocess.Popen[bytes]":
    """Start ``strapwatch`` with `args` as a child that ends when we do.

    The child runs in a session of its own, so that Ctrl-C in our terminal reaches us alone and we end it in order.

    Parameters
    ----------
    args : sequence of str
        Command and options; ``--die-with-parent`` is added.
    stdout, stderr : optional
        As in `subprocess.Popen`.

    Returns
    -------
    subprocess.Popen
        Its ``stdin`` is the lifeline: keep it open, close it to let the child end.
    """
    # -P: a folder called `monitor` or `models` where the user stands must not be imported instead of ours.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "monitor.cli", *args, "--die-with-parent"],
        stdin=subprocess.PIPE,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )


def die_with_parent() -> None:
    """End this process when its standard input closes: SIGTERM to itself, after `FAREWELL_S` seconds the hard way."""
    with _lifeline_lock:
        if _lifeline_watched.is_set():
            return
        _lifeline_watched.set()
    threading.Thread(target=_watch_lifeline, name="lifeline", daemon=True).start()


def _watch_lifeline() -> None:
    # os.read, not sys.stdin: no lock of the interpreter's shutdown is held while this waits.
    try:
        while os.read(0, 4096):
            pass
    except OSError:
        # Standard input was closed in this process: as good as a parent that is gone.
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(FAREWELL_S)
    os._exit(1)
