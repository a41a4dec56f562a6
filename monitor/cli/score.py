"""``strapwatch score``: the monitor's beats against the truth of simulated straps, live, for the tester's view."""

import asyncio
import sys
from typing import Annotated, Final

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.endings import until_signalled
from monitor.errors import UsageError

_DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
_CAPACITY: Final = 50_000

_HELP: Final = """Score the beats of a running monitor against truth, live, beside it.

Simulated straps tell their reference annotations and what they did to their packets; the monitor never sees either.
The scores, losses by cause and misses are in Redis, and on the dashboard under [bold]t[/bold].

[bold]Example[/bold]: against the servers of `strapwatch monitor` and `strapwatch simulate` on this machine

  strapwatch score --broker mqtt://127.0.0.1:1883 \\
    --redis redis://127.0.0.1:6379
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("score", help=_HELP)(score)


def score(
    *,
    broker: Annotated[
        str,
        typer.Option(
            "--broker",
            metavar="URL",
            envvar="STRAPWATCH_BROKER",
            help="mqtt:// or mqtts://[user:password@]host[:port]",
        ),
    ] = _DEFAULT_BROKER,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
    team: Annotated[str | None, typer.Option("--team", metavar="NAME", help="Only this team.")] = None,
    scorer_id: Annotated[
        str, typer.Option("--id", metavar="NAME", help="Name of this scorer in its heartbeat.")
    ] = "scorer",
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Score until interrupted."""
    import structlog

    from monitor.embedded import die_with_parent as watch_parent
    from monitor.wire import is_name

    if die_with_parent:
        watch_parent()
    for option, name in (("--team", team), ("--id", scorer_id)):
        if name is not None and not is_name(name):
            raise UsageError(f"{option} {name!r}: use 1 to 64 letters, digits, '-' or '_'")
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    if asyncio.run(until_signalled(_score(broker, redis, team, scorer_id))):
        raise typer.Exit(130)


async def _score(broker: str, redis: str, team: str | None, scorer_id: str) -> None:
    from monitor.scorer import run_scorer, topic_filters
    from monitor.sinks import open_redis
    from monitor.sources import MqttSource

    client = open_redis(redis)
    try:
        async with MqttSource(broker, capacity=_CAPACITY, topic_filters=topic_filters(team)) as source:
            await run_scorer(client, source, scorer_id=scorer_id)
    finally:
        await client.aclose()
