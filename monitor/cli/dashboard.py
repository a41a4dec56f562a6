"""``strapwatch dashboard``: all athletes, live, in this terminal."""

import signal
import sys
from pathlib import Path
from typing import Annotated, Final

import typer

from monitor.errors import UsageError

DEFAULT_REDIS: Final = "redis://127.0.0.1:6379"
REDIS_VARIABLE: Final = "STRAPWATCH_REDIS"

_HELP: Final = """Show all athletes, live, in this terminal.

It reads Redis and nothing else: run as many as you like, wherever Redis can be reached. Whoever has a new alarm comes
on screen by itself, with a bell. Press ? for the keys, q to leave.

[bold]Example[/bold]: two teams of a Redis on another machine

  strapwatch dashboard --redis redis://monitor.lan:6379 \\
    --team falcons --team hawks
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("dashboard", help=_HELP)(dashboard)


def dashboard(
    *,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; may be given many times."),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option("--by", metavar="NAME", help="Who acknowledges alarms here; else your login name."),
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="FILE", help="Names and notes, TOML or CSV, see docs/roster.md."),
    ] = None,
) -> None:
    """Run the dashboard until it is left."""
    # It draws on standard error.
    if not all(stream.isatty() for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "the dashboard needs a terminal on all sides, standard error too; "
            "`strapwatch alerts --follow` does without one"
        )
    from monitor.dashboard.app import DashboardApp
    from monitor.roster import Roster

    people = Roster.load(roster)
    # The terminal has to be put back as it was.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app = DashboardApp(redis, team, by=by, own_signals=True, roster=people)
    app.run()
    # Textual ends as if nothing had been when it is interrupted, but then there is no code.
    raise typer.Exit(130 if app.return_code is None else app.return_code)
