"""``strapwatch replay-alarm``: an alarm, raised again from what was stored with it."""

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import opened

if TYPE_CHECKING:
    from monitor.evidence_log import StoredEvidence

_HELP = """Raise an alarm again: the stages run anew on the athlete's stored state and the packets that followed it.

It ends with 0 if the alarm is identical, with 1 and what differs if it is not, or if nothing was kept of it.

[bold]Example[/bold]

  strapwatch replay-alarm falcons.a05.strap-17.1.ventricular_run.48200
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("replay-alarm", help=_HELP)(replay_alarm)


def replay_alarm(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `strapwatch alerts` lists it.")],
    *,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
    weights: Annotated[
        Path | None,
        typer.Option("--weights", metavar="FILE", help="Weights of then; by default the shipped ones."),
    ] = None,
) -> None:
    """Raise an alarm again."""
    from models.runtime import load_classifier
    from monitor.evidence_replay import replay

    stored = asyncio.run(_stored(redis, identity))
    classifier = load_classifier(weights) if stored.alarm.model else None
    replayed = replay(stored, classifier)
    began = "from the athlete's stored state" if stored.state else "from the athlete's first packet"
    for difference in replayed.differences:
        typer.echo(f"different: {difference}")
    if replayed.differences:
        raise typer.Exit(1)
    typer.echo(
        f"identical: {stored.alarm.identity}, {began} and {replayed.packets} packets: {stored.alarm.message}"
    )


async def _stored(url: str, identity: str) -> "StoredEvidence":
    from monitor.sinks import stored_evidence

    async with opened(url) as client:
        return await stored_evidence(client, identity)
