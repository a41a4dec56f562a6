"""``strapwatch strip``: the strip of an alarm, on paper or in the terminal."""

import asyncio
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import opened

if TYPE_CHECKING:
    from monitor.contract import Alarm

_HELP = """Draw the strip of an alarm: 25 mm/s and 10 mm/mV, beats marked with their class.

Without --out it is drawn in the terminal, with the athlete's usual beat below; PNG and SVG are in true size.

[bold]Example[/bold]

  strapwatch strip falcons.a05.strap-17.1.ventricular_run.48200 --out run.png
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("strip", help=_HELP)(strip)


def strip(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `strapwatch alerts` lists it.")],
    *,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="A file that ends in .png or .svg.")
    ] = None,
    width: Annotated[
        int | None,
        typer.Option("--width", metavar="N", min=20, max=1000, help="Characters in a line of the terminal."),
    ] = None,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
) -> None:
    """Draw a strip."""
    from monitor.evidence_strip import printed_strip, terminal_rows
    from monitor.strip_drawing import write_strip

    alarm = asyncio.run(_told(redis, identity))
    assert alarm.strip is not None  # noqa: S101 - it was told with one
    if out is None:
        for line in terminal_rows(alarm, alarm.strip, width or shutil.get_terminal_size((100, 24)).columns):
            typer.echo(line)
    else:
        typer.echo(str(write_strip(printed_strip(alarm, alarm.strip), out)))


async def _told(url: str, identity: str) -> "Alarm":
    from monitor.sinks import told_with_strip

    async with opened(url) as client:
        return await told_with_strip(client, identity)
