"""``strapwatch alerts``: active and recent alarms as a table or as JSON lines, and their acknowledgement."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import check_teams, login_name, opened
from monitor.errors import ServerError, StrapwatchError, UsageError

if TYPE_CHECKING:
    # Their imports are slow, and `strapwatch --help` must stay quick.
    import redis.asyncio
    from rich.console import Console

    from monitor.dashboard.alarm_list import Namer
    from monitor.dashboard.ledger import Ledger

_HELP: Final = """List active and recent alarms, newest last.

With --json each alarm is one JSON object on a line of its own, and nothing else is on stdout. With --follow every
transition (raised, escalated, completed, cleared, acknowledged) is told as it comes, until Ctrl-C.

[bold]Example[/bold]: what has happened, then acknowledge one alarm by the ID in the last column

  strapwatch alerts --team falcons

  strapwatch alerts acknowledge \\
    falcons.a05.strap-17.1.ventricular_run.48200 --by "Dr. Meyer"
"""

_NAME_LENGTH: Final = 64
_NAMED: Final = 3
_PIPED_WIDTH: Final = 200

_Redis = Annotated[
    str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
]


def register(app: typer.Typer) -> None:
    """Add the command and its subcommand to `app`."""
    commands = typer.Typer(help=_HELP, rich_markup_mode="rich")
    commands.callback(invoke_without_command=True)(alerts)
    commands.command("acknowledge")(acknowledge)
    commands.command("pause")(pause)
    commands.command("resume")(resume)
    commands.command("audit")(audit)
    app.add_typer(commands, name="alerts")


def alerts(
    context: typer.Context,
    *,
    redis: _Redis = DEFAULT_REDIS,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; may be given many times."),
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", help="Go on, until Ctrl-C.")] = False,
    json: Annotated[bool, typer.Option("--json", help="JSON lines instead of a table.")] = False,
    count: Annotated[
        int, typer.Option("--count", metavar="N", min=0, max=1000, help="At most so many that are over.")
    ] = 20,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="FILE", help="Names, TOML or CSV, see docs/roster.md."),
    ] = None,
) -> None:
    """List alarms."""
    if context.invoked_subcommand is not None:
        # `alerts --redis URL acknowledge ID` is as good as `alerts acknowledge ID --redis URL`.
        context.obj = redis
        return
    if follow:
        _complain_on_stderr()
    name_of = _names(roster)
    _run(_alerts(redis, team or [], follow=follow, json=json, count=count, name_of=name_of))


def acknowledge(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `strapwatch alerts` lists it.")],
    *,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who has seen it; else your login name.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="Redis or Valkey, as for `alerts`.")
    ] = None,
) -> None:
    r"""Acknowledge an alarm: everybody sees that you have.

    [bold]Example[/bold]

      strapwatch alerts acknowledge \
        falcons.a05.strap-17.1.ventricular_run.48200 --by "Dr. Meyer"
    """
    _run(_acknowledge(redis or context.obj or DEFAULT_REDIS, identity, by or login_name()))


_Whose = Annotated[str, typer.Argument(metavar="TEAM[/ATHLETE]", help="One athlete, or a whole team.")]
_By = Annotated[str | None, typer.Option("--by", metavar="NAME", help="Who wants it; else your login name.")]
_SameRedis = Annotated[
    str | None, typer.Option("--redis", metavar="URL", help="Redis or Valkey, as for `alerts`.")
]


def pause(
    context: typer.Context,
    whose: _Whose,
    *,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="S", help="For how long, at most 300.")
    ] = 120.0,
    by: _By = None,
    redis: _SameRedis = None,
) -> None:
    """Let alarms make no sound for a while; something worse ends the pause, and so does every new high alarm.

    [bold]Example[/bold]

      strapwatch alerts pause falcons/a05 --seconds 60 --by "Dr. Meyer"
    """
    _run(_pause(redis or context.obj or DEFAULT_REDIS, whose, by or login_name(), seconds))


def resume(context: typer.Context, whose: _Whose, *, by: _By = None, redis: _SameRedis = None) -> None:
    """Let alarms sound again.

    [bold]Example[/bold]

      strapwatch alerts resume falcons/a05 --by "Dr. Meyer"
    """
    _run(_pause(redis or context.obj or DEFAULT_REDIS, whose, by or login_name(), None))


def audit(
    context: typer.Context,
    team: Annotated[str, typer.Argument(metavar="TEAM")],
    *,
    redis: _SameRedis = None,
    count: Annotated[int, typer.Option("--count", metavar="N", min=1, max=10_000)] = 50,
) -> None:
    """Tell who changed what for a team: settings, pauses, restarts, feedback; the newest last.

    [bold]Example[/bold]

      strapwatch alerts audit falcons --count 20
    """
    _run(_audit(redis or context.obj or DEFAULT_REDIS, team, count))


async def _pause(url: str, whose: str, by: str, seconds: float | None) -> None:
    from monitor.sinks import pause as pause_alarms
    from monitor.sinks import resume as resume_alarms

    team, _, athlete = whose.partition("/")
    async with opened(url) as client:
        if seconds is None:
            await resume_alarms(client, team, athlete, by=by)
        else:
            await pause_alarms(client, team, athlete, seconds=seconds, by=by)
    said = "alarms sound again" if seconds is None else f"no sound for {seconds:g} s"
    typer.echo(f"{whose}: {said}")


async def _audit(url: str, team: str, count: int) -> None:
    from monitor.dashboard.alarm_list import clock
    from monitor.sinks import audit_trail

    async with opened(url) as client:
        trail = await audit_trail(client, team, at_most=count)
        if not trail:
            await check_teams(client, [team])
            typer.echo(f"nothing yet for team {team}", err=True)
        for entry in reversed(trail):
            whose = f"{entry.team}/{entry.athlete}" if entry.athlete else entry.team
            typer.echo(f"{clock(entry.at)}  {whose}  {entry.by}  {entry.action}  {entry.detail}")


def _names(roster: Path | None) -> "Namer":
    from monitor.dashboard.alarm_list import pseudonym

    if roster is None:
        return pseudonym
    from monitor.roster import Roster

    return Roster.load(roster).label


def _run(work: Coroutine[Any, Any, None]) -> None:
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


async def _acknowledge(url: str, identity: str, by: str) -> None:
    from monitor.dashboard.alarm_list import read_alarms
    from monitor.sinks import acknowledge as acknowledge_alarm

    if not (1 <= len(by.strip()) <= _NAME_LENGTH and by.isprintable()):
        raise UsageError(f"--by {by!r}: use 1 to {_NAME_LENGTH} printable characters")
    async with opened(url) as client:
        try:
            addition = await acknowledge_alarm(client, identity, by)
        except ServerError:
            raise
        except StrapwatchError as error:
            # A name that can be none is an unknown one too: what helps is to see some that are active.
            active = [alarm.record.identity for alarm in await read_alarms(client, []) if alarm.is_active]
            more = f" and {len(active) - _NAMED} more" if len(active) > _NAMED else ""
            named = f"active: {', '.join(active[:_NAMED])}{more}" if active else "no alarm is active"
            said = str(error) if isinstance(error, UsageError) else f"alarm {identity!r} is not known"
            raise StrapwatchError(f"{said}; {named}") from error
    if addition.added:
        typer.echo(f"acknowledged by {addition.alarm.by}: {addition.alarm.athlete}, {addition.alarm.message}")
    else:
        typer.echo("somebody had acknowledged it before")


async def _alerts(
    url: str, teams: Sequence[str], *, follow: bool, json: bool, count: int, name_of: "Namer"
) -> None:
    from rich.console import Console

    from monitor.dashboard.alarm_list import as_json, read_alarms, table
    from monitor.dashboard.ledger import Ledger

    class Piped(Console):
        def on_broken_pipe(self) -> None:
            # An exit out of a task would tear the event loop down with a traceback.
            raise BrokenPipeError

    console = Piped(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)
    ledger = Ledger()
    async with opened(url, keep_trying=follow) as client:
        # A team that is followed may come yet, and to a program nothing is an answer: there it is only said.
        await check_teams(client, teams, only_say=follow or json)
        # By the server's own clock, so that nothing falls between the list and what follows.
        since = (await client.time())[0] if follow else 0
        listed = await read_alarms(client, teams, ledger)
        active = [alarm for alarm in listed if alarm.is_active]
        over = [alarm for alarm in listed if not alarm.is_active]
        shown = sorted([*active, *over[:count]], key=lambda alarm: alarm.record.raised_at)
        if json:
            for alarm in shown:
                typer.echo(as_json(alarm, name_of=name_of))
        elif shown:
            console.print(table(shown, console.width, name_of))
        else:
            typer.echo("no alarms so far", err=True)
        if follow:
            await _follow(
                client, teams, ledger, since=since, console=None if json else console, name_of=name_of
            )


async def _follow(
    client: "redis.asyncio.Redis",
    teams: Sequence[str],
    ledger: "Ledger",
    *,
    since: float,
    console: "Console | None",
    name_of: "Namer",
) -> None:
    """Tell every transition as it comes: on `console`, or as JSON if there is none."""
    from monitor.cancellation import end
    from monitor.dashboard.alarm_list import Listed, as_json, told
    from monitor.sinks import follow_alarms

    known = {(record.identity, a.transition) for record in ledger.records() for a in record.transitions}

    async def tell() -> None:
        async for alarm in follow_alarms(client, since=since):
            if (teams and alarm.team not in teams) or (alarm.identity, alarm.transition) in known:
                continue
            known.add((alarm.identity, alarm.transition))
            record = ledger.add(alarm)
            if console is None:
                typer.echo(
                    as_json(Listed(record, [record.as_active()] if record.is_open else []), alarm, name_of)
                )
            else:
                console.print(told(alarm, name_of), soft_wrap=True)

    telling = asyncio.create_task(tell())
    try:
        await asyncio.wait([telling])
    finally:
        await end(telling)
    telling.result()


def _complain_on_stderr() -> None:
    """Send log lines, such as those of a lost connection, where they do not mix with JSON."""
    import structlog

    structlog.configure(
        processors=[
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.KeyValueRenderer(key_order=["timestamp", "event"]),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
