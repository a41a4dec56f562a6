"""``strapwatch review``: every beat of a session that may be ectopic, by shape and phase of effort."""

import asyncio
import shutil
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import check_teams, opened
from monitor.errors import StrapwatchError

if TYPE_CHECKING:
    from monitor.review_queue import ReviewQueue

_HELP = """Review ectopic beats after training: one card a shape, its mean shape, and how many came when.

This is the tier that is to miss nothing: beats without a name are on the cards, too, whatever alarms said. Counts are \
by phase of effort. The monitor tells the cards every minute; they stay for two weeks.

[bold]Example[/bold]

  strapwatch review a05 --team falcons
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("review", help=_HELP)(review)


def review(
    athletes: Annotated[
        list[str] | None, typer.Argument(metavar="[ATHLETE]...", help="Only these; all by default.")
    ] = None,
    *,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; may be given many times."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
) -> None:
    """Print review cards."""
    import msgspec
    import structlog

    from monitor.inbox.review_lines import review_lines

    # What is printed may be read by a program.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    found = asyncio.run(_stored(redis, team or [], athletes or [], json=json))
    unknown = sorted(set(athletes or ()) - {queue.athlete for queue in found})
    if unknown:
        raise StrapwatchError(
            f"nothing to review of {', '.join(unknown)}: no beat of theirs was ectopic in two weeks, or the name is "
            "another; `strapwatch review` lists all"
        )
    if not found and not json:
        typer.echo("nothing to review: no beat was ectopic, or no monitor has run for a minute")
    width = shutil.get_terminal_size((100, 24)).columns
    for number, queue in enumerate(found):
        if json:
            typer.echo(msgspec.json.encode(queue).decode())
            continue
        if number:
            typer.echo("")
        for line in review_lines(queue, width):
            typer.echo(line)


async def _stored(url: str, teams: list[str], athletes: list[str], *, json: bool) -> "list[ReviewQueue]":
    from monitor.sinks.review import stored_reviews

    async with opened(url) as client:
        await check_teams(client, teams, only_say=json)
        return await stored_reviews(client, teams, athletes)
