"""A picture of the dashboard from a live run: ``python -m monitor.dashboard.picture OUT.svg --redis URL``.

It attaches to Redis as any dashboard does, looks for a while, and saves what a terminal would show as SVG.
"""

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from monitor.dashboard.app import DashboardApp
from monitor.dashboard.canvas import Canvas
from monitor.dashboard.svg import svg
from monitor.errors import ServerError, StrapwatchError, UsageError

_STEP_S: Final = 0.2
_AFTER_ALARM_S: Final = 4.0
_AFTER_KEY_S: Final = 3.0
_TITLE: Final = "The strapwatch dashboard"


async def picture(
    redis_url: str,
    *,
    seconds: float,
    width: int,
    height: int,
    until_alarm: bool = False,
    keys: Sequence[str] = (),
) -> str:
    """Look at a live run and return what the dashboard shows as SVG.

    Parameters
    ----------
    redis_url : str
        Where the run writes.
    seconds : float
        How long to look first.
    width, height : int
        Cells of the terminal.
    until_alarm : bool
        Take the picture a few seconds after an alarm is on screen, if there is one within `seconds`.
    keys : sequence of str
        Keys to press before the picture is taken, such as ``"enter"`` or ``"t"``.

    Raises
    ------
    ServerError
        If no athlete has been seen by then.
    """
    app = DashboardApp(redis_url)
    async with app.run_test(size=(width, height)) as pilot:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            await asyncio.sleep(_STEP_S)
            if until_alarm and app.snapshot.calling:
                end, until_alarm = time.monotonic() + _AFTER_ALARM_S, False
        if not app.snapshot.athletes:
            raise ServerError(
                f"no athlete in {redis_url} within {seconds:g} s; start `strapwatch demo` first"
            )
        for key in keys:
            await pilot.press(key)
            await asyncio.sleep(_AFTER_KEY_S)
        canvas = app.screen.query_one(Canvas)
        return svg(canvas.lines, width, _TITLE)


def main() -> None:
    """Run the script."""
    parser = argparse.ArgumentParser(prog="python -m monitor.dashboard.picture", description=__doc__)
    parser.add_argument("out", type=Path, metavar="OUT.svg")
    parser.add_argument("--redis", default="redis://127.0.0.1:6379", metavar="URL")
    parser.add_argument("--seconds", type=float, default=20.0, help="look this long first")
    parser.add_argument("--size", default="200x50", metavar="WIDTHxHEIGHT", help="cells of the terminal")
    parser.add_argument("--until-alarm", action="store_true", help="or until an alarm is on screen")
    parser.add_argument(
        "--key", action="append", default=[], metavar="KEY", help="press it first: enter, l, t, d …"
    )
    given = parser.parse_args()
    try:
        width, _, height = given.size.partition("x")
        if not (width.isdigit() and height.isdigit() and 20 <= int(width) <= 500 and 5 <= int(height) <= 200):
            raise UsageError(f"size {given.size!r}: use WIDTHxHEIGHT such as 200x50")
        drawn = asyncio.run(
            picture(
                given.redis,
                seconds=given.seconds,
                width=int(width),
                height=int(height),
                until_alarm=given.until_alarm,
                keys=given.key,
            )
        )
        given.out.write_text(drawn, encoding="utf-8")
    except StrapwatchError as error:
        print(f"picture: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        print(f"picture: {given.out} cannot be written: {error.strerror}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
