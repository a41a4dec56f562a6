"""The command ``strapwatch``: one module per command, joined in `monitor.cli.application`.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A user's mistake ends in one line, never in a traceback.
"""

import os
import signal
import sys
from types import FrameType
from typing import Final

_INTERRUPTED: Final = 130
_SHOW_CURSOR: Final = b"\x1b[?25h"


def main() -> None:
    """Run the command line and leave with its exit code."""
    signal.signal(signal.SIGINT, _leave)
    # Imported only now: until here Ctrl-C would end in a traceback.
    from monitor.cli.application import run
    from monitor.errors import StrapwatchError

    try:
        sys.exit(run(sys.argv[1:]))
    except StrapwatchError as error:
        print(f"strapwatch: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


def _leave(_signal: int, _frame: FrameType | None) -> None:
    """End at once, for as long as there is nothing to end in order; commands that have something replace this.

    A KeyboardInterrupt would not do: raised inside an import or a compiler it gets lost or ends in a traceback.
    """
    if sys.stderr.isatty():
        os.write(sys.stderr.fileno(), _SHOW_CURSOR)
    os._exit(_INTERRUPTED)
