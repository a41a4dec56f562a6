"""``strapwatch inbox``: a physician's alarms, with the strip that shows why, and answers by keyboard."""

import asyncio
import signal
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import check_teams, login_name, opened
from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are slow, and `strapwatch --help` must stay quick.
    from monitor.dashboard.alarm_list import Namer
    from monitor.feedback_figures import KindFigures
    from monitor.inbox.letters import Letter
    from monitor.roster import Roster

# Rich keeps the line breaks of a help text, so each paragraph is one line.
_HELP = """A physician's inbox: alarms that wait for an answer first, each with the strip that shows why.

Keys: n next to answer, a acknowledge, f false, t true and what it is, c comment, p pause, ? all keys, q leave. With \
--list or --json it prints what lies in the inbox and ends; `strapwatch inbox answer` answers from a script, \
`strapwatch inbox figures` counts answers.

[bold]Example[/bold]

  strapwatch inbox --by "Dr. Meyer" --team falcons

  strapwatch inbox answer falcons.a05.strap-17.1.pause.48200 \\
    --verdict true --finding "sinus pause" --by "Dr. Meyer"
"""
_PIPED_WIDTH: Final = 200
_VERDICTS: Final[dict[str, Literal["true", "false", "comment"]]] = {
    "true": "true",
    "false": "false",
    "comment": "comment",
}


def register(app: typer.Typer) -> None:
    """Add the command and its subcommand to `app`."""
    commands = typer.Typer(help=_HELP, rich_markup_mode="rich")
    commands.callback(invoke_without_command=True)(inbox)
    commands.command("answer")(answer)
    commands.command("figures")(figures)
    app.add_typer(commands, name="inbox")


def inbox(
    context: typer.Context,
    *,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; may be given many times."),
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Whose inbox; else your login name.")
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="FILE", help="Names and notes, TOML or CSV, see docs/roster.md."),
    ] = None,
    listing: Annotated[bool, typer.Option("--list", help="Print a table and end.")] = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines and end.")] = False,
) -> None:
    """Open the inbox."""
    if context.invoked_subcommand is not None:
        context.obj = redis
        return
    owner = by or login_name()
    people = None
    if roster is not None:
        from monitor.roster import Roster

        people = Roster.load(roster)
    if listing or json:
        asyncio.run(_list(redis, owner, team or [], people, json=json))
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError("the inbox needs a terminal on both sides; use --list or --json without one")
    from monitor.inbox.app import InboxApp

    # The terminal has to be put back as it was.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    app = InboxApp(redis, owner, team or [], roster=people)
    app.run()
    raise typer.Exit(130 if app.return_code is None else app.return_code)


def answer(
    context: typer.Context,
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `strapwatch inbox --list` prints it.")],
    *,
    verdict: Annotated[
        str, typer.Option("--verdict", metavar="true|false|comment", help="Whether the alarm was right.")
    ],
    finding: Annotated[str, typer.Option("--finding", metavar="WORDS", help="What a true alarm is.")] = "",
    comment: Annotated[str, typer.Option("--comment", metavar="WORDS", help="Free words.")] = "",
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who says so; else your login name.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="Redis or Valkey, as for `inbox`.")
    ] = None,
) -> None:
    r"""Say whether an alarm was right; it is stored with the alarm.

    [bold]Example[/bold]

      strapwatch inbox answer falcons.a05.strap-17.1.pause.48200 \
        --verdict false --comment "electrode"
    """
    asyncio.run(
        _answer(
            redis or context.obj or DEFAULT_REDIS, identity, verdict, finding, comment, by or login_name()
        )
    )


def figures(
    context: typer.Context,
    *,
    team: Annotated[
        list[str] | None,
        typer.Option("--team", metavar="NAME", help="Only this team; may be given many times."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option("--since", formats=["%Y-%m-%d"], metavar="YYYY-MM-DD", help="Only alarms from then on."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON lines.")] = False,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="Redis or Valkey, as for `inbox`.")
    ] = None,
) -> None:
    """Count what was answered: how many alarms of each kind were true, with 95 % bounds.

    Answers stay for a season, the last 5,000 of a team; of an alarm that was answered twice the last one counts.

    [bold]Example[/bold]

      strapwatch inbox figures --team falcons --since 2026-08-01
    """
    import msgspec

    from monitor.feedback_figures import figure_lines

    begin = since.astimezone().timestamp() if since is not None else 0.0
    found = asyncio.run(_figures(redis or context.obj or DEFAULT_REDIS, team or [], begin, json=json))
    if json:
        for one in found:
            typer.echo(msgspec.json.encode(one).decode())
    elif found:
        for line in figure_lines(found):
            typer.echo(line)
    else:
        typer.echo("no alarms so far", err=True)


async def _list(url: str, owner: str, teams: list[str], people: "Roster | None", *, json: bool) -> None:
    from monitor.dashboard.alarm_list import pseudonym
    from monitor.inbox.mail import Mailbox

    async with opened(url) as client:
        await check_teams(client, teams, only_say=json)
        mailbox = Mailbox(client, owner, teams)
        await mailbox.read_back()
        found = mailbox.letters()
        lost = _nobody_watches(mailbox.watchdog.canary_age_s(0.0) is not None)
    if lost:
        typer.echo(lost, err=True)
    name_of = pseudonym if people is None else people.label
    if json:
        _print_json(found, name_of)
    else:
        _print_table(found, name_of)


def _nobody_watches(watched: bool) -> str:  # noqa: FBT001 - its only argument
    return "" if watched else "strapwatch: no monitor is running; nobody watches"


def _print_json(found: "list[Letter]", name_of: "Namer") -> None:
    from monitor.dashboard.alarm_list import as_json as listed_json
    from monitor.inbox.letters import as_json

    for letter in found:
        typer.echo(as_json(letter, listed_json(letter.listed, name_of=name_of)))


def _print_table(found: "list[Letter]", name_of: "Namer") -> None:
    from rich.console import Console

    from monitor.dashboard.alarm_list import table

    console = Console(width=None if sys.stdout.isatty() else _PIPED_WIDTH, highlight=False)
    if found:
        console.print(table((letter.listed for letter in found), console.width, name_of))
    else:
        typer.echo("no alarms so far", err=True)


async def _figures(url: str, teams: list[str], begin: float, *, json: bool) -> "list[KindFigures]":
    from monitor.feedback_figures import kind_figures
    from monitor.sinks import feedback_of
    from monitor.sinks.acknowledge import raised_since
    from monitor.sinks.audit import all_teams

    alarms, feedback = [], []
    async with opened(url) as client:
        await check_teams(client, teams, only_say=json)
        for team in teams or await all_teams(client):
            alarms += await raised_since(client, team, begin)
            feedback += await feedback_of(client, team)
    return kind_figures(
        (alarm for alarm in alarms if not alarm.technical),
        (said for said in feedback if (said.at if said.alarm is None else said.alarm.at) >= begin),
    )


async def _answer(url: str, identity: str, verdict: str, finding: str, comment: str, by: str) -> None:
    from monitor.sinks import give_feedback

    chosen = _VERDICTS.get(verdict)
    if chosen is None:
        raise UsageError(f"--verdict {verdict!r}: use true, false or comment")
    async with opened(url) as client:
        feedback = await give_feedback(
            client, identity, by=by, verdict=chosen, finding=finding, comment=comment
        )
    typer.echo(f"stored with {feedback.identity}: {feedback.verdict}")
