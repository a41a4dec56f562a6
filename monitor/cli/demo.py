"""``strapwatch demo``: a team of athletes, live, with nothing to install or configure."""

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.errors import UsageError

if TYPE_CHECKING:
    # Its imports are heavy, and `strapwatch --help` must stay quick.
    from monitor.demo import Demo

_INTERRUPTED = 130
_MOST_ATHLETES = 200
_HELP = """Show a team of athletes, live: broker, Redis-compatible server, straps, monitor and dashboard in one go.

With recordings in STRAPWATCH_DATA (or the user's data folder) the athletes are records the classifier has never seen;
without, real minutes of record 208 and synthetic athletes. Press t for the tester's view: beats against truth.
Without a terminal, or with --headless, a line every few seconds and, at the end or on Ctrl-C, a summary.

[bold]Example[/bold]

  strapwatch demo --athletes 8 --seconds 60 --headless --json
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("demo", help=_HELP)(demo)


def demo(
    *,
    athletes: Annotated[
        int, typer.Option("--athletes", metavar="N", min=1, max=_MOST_ATHLETES, help="How many athletes.")
    ] = 8,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="N", help="Stop after so many seconds.")
    ] = None,
    speed: Annotated[
        float, typer.Option("--speed", metavar="FACTOR", help="Seconds of signal per second.")
    ] = 1.0,
    headless: Annotated[bool, typer.Option("--headless", help="No dashboard.")] = False,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="FILE", help="Names for the dashboard, see docs/roster.md."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Summary as JSON, alone on standard output; implies --headless.")
    ] = False,
) -> None:
    """Choose the athletes, run the demo, print its summary."""
    if seconds is not None and not 0.0 < seconds < float("inf"):
        raise UsageError(f"--seconds {seconds:g}: use a number above 0")
    if not 0.0 < speed <= 100.0:
        raise UsageError(f"--speed {speed:g}: use a number above 0 and at most 100")
    import models
    from monitor.demo import Demo, DemoOptions, cast
    from monitor.demo.summary import describe
    from monitor.roster import Roster

    people = Roster.load(roster)
    parts = cast(athletes, card=Path(models.__file__).parent / "weights" / "grunet.json")
    # The dashboard draws on standard error, so all three have to be a terminal.
    terminal = all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr))
    demo_ = Demo(
        DemoOptions(parts=parts, seconds=seconds, speed=speed), say=lambda line: typer.echo(line, err=True)
    )

    async def dashboard(server_url: str) -> None:
        from monitor.dashboard.app import DashboardApp

        app = DashboardApp(server_url, roster=people)
        await app.run_async()
        if app.return_code == _INTERRUPTED:
            demo_.interrupt()

    show = dashboard if terminal and not headless and not as_json else None
    result = asyncio.run(_interruptible(demo_, show))
    if result is not None:
        typer.echo(json.dumps(result, indent=2) if as_json else describe(result))
    if result is None or demo_.interrupted:
        raise typer.Exit(130)


async def _interruptible(
    demo_: "Demo", show: Callable[[str], Coroutine[Any, Any, None]] | None
) -> dict[str, Any] | None:
    """Return the demo's result; None when a signal ended it before there was one."""
    task = asyncio.ensure_future(demo_.run(show))
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, demo_.interrupt)
    with contextlib.suppress(asyncio.CancelledError):
        return await task
    return None
