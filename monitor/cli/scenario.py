"""``strapwatch scenario``: a training session with everything that goes wrong in it, and a verdict on the monitor."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TextIO

import typer

from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from simulators.ledger import Ledger
    from simulators.scenario import Scenario
    from simulators.scenario_live import Given
    from simulators.scenario_seen import Seen
    from simulators.scenario_straps import Life

_DEFAULT_STRIPS = Path("strips")
_HELP = """Run a scenario and say of every beat, event and packet what became of it.

A scenario is a TOML file (docs/simulators.md), or the name of one that comes with the installation: see --list.
Broker, Redis-compatible server and monitor are started for it, unless --broker and --redis name ones between which a
monitor runs. Every miss is drawn as a strip. Exit code 1 if more is missed than the file allows.

[bold]Example[/bold]

  strapwatch scenario strap-falling-off --speed 5
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("scenario", help=_HELP)(scenario)


def scenario(
    *,
    file: Annotated[
        str | None, typer.Argument(metavar="FILE|NAME", help="The scenario.", show_default=False)
    ] = None,
    list_them: Annotated[
        bool, typer.Option("--list", help="Say which scenarios come with the installation, and leave.")
    ] = False,
    speed: Annotated[
        float | None, typer.Option("--speed", metavar="FACTOR", help="Seconds of session per second.")
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", metavar="N", min=0, help="Instead of the file's.")
    ] = None,
    broker: Annotated[
        str | None, typer.Option("--broker", metavar="URL", help="A broker that a monitor listens to.")
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="The server that this monitor writes to.")
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", help="In virtual time, without broker and server: exact, and as fast as it goes."
        ),
    ] = False,
    database: Annotated[
        Path | None,
        typer.Option("--database", metavar="DIR", help="Folder with the databases; else STRAPWATCH_DATA."),
    ] = None,
    strips: Annotated[
        Path, typer.Option("--strips", metavar="DIR", help="Where strips of what was missed are drawn.")
    ] = _DEFAULT_STRIPS,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Write what became of every packet, as lines of JSON."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The verdict as JSON, alone on standard output.")
    ] = False,
) -> None:
    """Run it, judge it, print it."""
    from simulators.scenario import load_scenario

    if list_them:
        _print_shipped()
        return
    if file is None:
        raise UsageError("no scenario given; name a file, or one of those that --list shows")
    if offline and (broker or redis):
        raise UsageError("--offline needs no --broker and no --redis; leave one or the other out")
    if offline and speed is not None:
        raise UsageError("--offline goes as fast as it can; leave --speed out")
    if database is not None:
        from simulators.records import check_folder

        check_folder(database, named="--database")
    loaded = load_scenario(file)
    if seed is not None:
        loaded = loaded.model_copy(update={"seed": seed})
    factor = 1.0 if offline else (loaded.speed if speed is None else speed)
    if not 0.0 < factor <= 1000.0:
        raise UsageError(f"--speed {factor:g}: use a number above 0 and at most 1000")
    passed = _run(
        loaded,
        speed=factor,
        offline=offline,
        servers=(broker, redis),
        database=database,
        strips_to=strips,
        ledger_to=ledger,
        as_json=as_json,
    )
    if not passed:
        raise typer.Exit(1)


def _run(
    scenario: "Scenario",
    *,
    speed: float,
    offline: bool,
    servers: tuple[str | None, str | None],
    database: Path | None,
    strips_to: Path,
    ledger_to: Path | None,
    as_json: bool,
) -> bool:
    import msgspec
    from rich.console import Console

    from simulators.ledger import Ledger
    from simulators.scenario_live import Given
    from simulators.scenario_report import as_values, print_verdict, strips_of, write_strips
    from simulators.scenario_straps import lives_of_scenario
    from simulators.verdict import judge

    given = Given(broker=servers[0], redis=servers[1])
    lives = lives_of_scenario(scenario, speed=speed, database=database)
    with contextlib.ExitStack() as stack:
        lines = None if ledger_to is None else stack.enter_context(_open(ledger_to))
        ledger = Ledger(file=lines, keep=True)
        if offline:
            seen: Seen | None = _offline(scenario, lives, ledger)
        else:
            seen = asyncio.run(_live(scenario, lives, ledger, given, speed))
    if seen is None:
        raise typer.Exit(130)
    verdict = judge(scenario, lives, seen, ledger)
    strips = strips_of(verdict, lives, seen)
    if as_json:
        values = as_values(verdict) | {
            "strips": [str(path) for path in write_strips(strips, strips_to)] if strips else []
        }
        typer.echo(msgspec.json.format(msgspec.json.encode(values), indent=2).decode())
    else:
        console = Console(width=_width(), highlight=False)
        print_verdict(verdict, strips, console)
        if strips:
            write_strips(strips, strips_to)
            console.print(f"strips of {len(strips)} misses are in {strips_to}{os.sep}")
    return verdict.passed


def _offline(scenario: "Scenario", lives: "list[Life]", ledger: "Ledger") -> "Seen":
    from models.runtime import load_classifier
    from monitor.rhythm import AthleteLimits
    from monitor.settings import LimitSettings
    from monitor.watch import Watch
    from simulators.scenario import own_limits
    from simulators.scenario_offline import run_offline

    if scenario.outage:
        raise UsageError("this scenario restarts its broker, and --offline has none; leave --offline out")
    own = own_limits(scenario)

    def limits_of(_team: str, athlete: str) -> AthleteLimits:
        return AthleteLimits(**(LimitSettings().model_dump() | own.get(athlete, {})))

    watch = Watch(classifier=load_classifier(threads=1), limits_of=limits_of)
    return run_offline(lives, watch, ledger, seed=scenario.seed)


async def _live(
    scenario: "Scenario", lives: "list[Life]", ledger: "Ledger", given: "Given", speed: float
) -> "Seen | None":
    """Return what was seen; None if a signal ended the run."""
    from simulators.scenario_live import run_live

    task = asyncio.ensure_future(run_live(scenario, lives, ledger, given=given, speed=speed, say=_say))
    interrupted: list[bool] = []

    def stop() -> None:
        interrupted.append(True)
        task.cancel()

    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, stop)
    _say(f"{scenario.title}: {len(lives)} straps, {scenario.seconds / speed:.0f} s")
    try:
        seen, _ = await task
    except asyncio.CancelledError:
        if interrupted:
            return None
        raise
    return seen


def _print_shipped() -> None:
    from simulators.scenario import load_scenario, shipped_scenarios

    for name in shipped_scenarios():
        found = load_scenario(name)
        straps = sum(strap.copies for strap in found.strap)
        typer.echo(f"{name:24} {found.seconds:4.0f} s, {straps:3d} straps  {found.title}")


def _width() -> int | None:
    """Return a fixed width where nobody looks through a terminal, so that nothing is cut off."""
    import sys

    return None if sys.stdout.isatty() else 140


def _open(file: Path) -> TextIO:
    try:
        return file.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--ledger {file}: {error.strerror}") from error


def _say(text: str) -> None:
    typer.echo(f"scenario: {text}", err=True)
