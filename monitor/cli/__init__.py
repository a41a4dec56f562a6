"""The command ``strapwatch``: one module per command, joined in `monitor.cli.application`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted, 143 told to end (SIGTERM) while still starting. A user's
mistake ends in one line, never in a traceback.
"""

import os
import sys

try:
    import contextlib
    import errno
    import signal
    from types import FrameType
    from typing import Final, NoReturn
except KeyboardInterrupt:
    # Until `main` has its own way, Ctrl-C would end in a traceback.
    os._exit(130)

_INTERRUPTED: Final = 130
_BY_SIGNAL: Final = 128
_STDERR: Final = 2
_SHOW_CURSOR: Final = b"\x1b[?25h"


def main() -> None:
    """Run the command line and leave with its exit code."""
    for ending in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ending, _leave)
    _open_standard_streams()
    # Imported only now: until here Ctrl-C would end in a traceback.
    from monitor.cli.application import run
    from monitor.errors import StrapwatchError

    try:
        code = run(sys.argv[1:])
    except StrapwatchError as error:
        print(f"strapwatch: {error}", file=sys.stderr)
        code = error.exit_code
    except KeyboardInterrupt:
        code = _INTERRUPTED
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(f"strapwatch: {error}", file=sys.stderr)
        code = 1
    _end(code)


def _open_standard_streams() -> None:
    """Put what reads and writes nothing in the place of standard streams that are closed (`strapwatch … >&-`).

    Otherwise the next socket or file that is opened would take their numbers.
    """
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", encoding="utf-8"))


def _end(code: int) -> NoReturn:
    """End with `code`, without the most of a second in which Python would take torch and numba apart."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def _leave(number: int, _frame: FrameType | None) -> None:
    """End at once, for as long as there is nothing to end in order; commands that have something replace this.

    A KeyboardInterrupt would not do: raised inside an import or a compiler it gets lost or ends in a traceback.
    """
    if os.isatty(_STDERR):
        os.write(_STDERR, _SHOW_CURSOR)
    os._exit(_BY_SIGNAL + number)
