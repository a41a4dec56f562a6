"""The commands, joined to one application."""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Any, Final

import typer

from monitor.cli.adapt import register as _register_adapt
from monitor.cli.alerts import register as _register_alerts
from monitor.cli.dashboard import register as _register_dashboard
from monitor.cli.demo import register as _register_demo
from monitor.cli.evaluate import register as _register_evaluate
from monitor.cli.herd import register as _register_herd
from monitor.cli.inbox import register as _register_inbox
from monitor.cli.live import register as _register_monitor
from monitor.cli.prepare import register as _register_prepare
from monitor.cli.record import register as _register_record
from monitor.cli.records import register as _register_records
from monitor.cli.refusal import refusal
from monitor.cli.relay import register as _register_relay
from monitor.cli.replay_alarm import register as _register_replay_alarm
from monitor.cli.reproduce import register as _register_reproduce
from monitor.cli.review import register as _register_review
from monitor.cli.scenario import register as _register_scenario
from monitor.cli.score import register as _register_score
from monitor.cli.simulate import register as _register_simulate
from monitor.cli.strip import register as _register_strip
from monitor.cli.synthesize import register as _register_synthesize
from monitor.errors import UsageError

_NAME: Final = "strapwatch"
# Typer has a copy of click inside or the real one beside it, depending on its version; this is both's base class.
_ParseError: Final[Any] = typer.BadParameter.__mro__[1]


app = typer.Typer(
    name=_NAME,
    help="Watch the ECG of a whole team, live. Research software, not a medical device.",
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer hands the flag over by position
    if wanted:
        from monitor import __version__

        typer.echo(f"strapwatch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    *,
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave."),
    ] = False,
) -> None:
    pass


for _register in (
    _register_demo,
    _register_record,
    _register_records,
    _register_simulate,
    _register_scenario,
    _register_herd,
    _register_synthesize,
    _register_monitor,
    _register_dashboard,
    _register_score,
    _register_alerts,
    _register_inbox,
    _register_review,
    _register_strip,
    _register_replay_alarm,
    _register_relay,
    _register_prepare,
    _register_evaluate,
    _register_adapt,
    _register_reproduce,
):
    _register(app)


def run(arguments: Sequence[str]) -> int:
    """Run the command that `arguments` ask for and return its exit code.

    Raises
    ------
    StrapwatchError
        What the command raises, and `UsageError` where the arguments are none that it knows.
    """
    try:
        code = app(arguments or ["--help"], standalone_mode=False, prog_name=_NAME)
        sys.stdout.flush()
    except (BrokenPipeError, SystemExit) as error:
        # The reader of our output has left (`strapwatch alerts | head`), which click and rich make an exit code of:
        # nothing is wrong. What is still buffered goes nowhere, without a complaint at exit.
        if not isinstance(error, BrokenPipeError) and not isinstance(error.__context__, BrokenPipeError):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except _ParseError as error:
        context: Any = getattr(error, "ctx", None)
        command = _NAME if context is None else context.command_path
        raise UsageError(f"{refusal(error)}; see {command} --help") from error
    # A command that ends by itself returns nothing, one that leaves with `typer.Exit` its code.
    return int(code or 0)
