"""The command ``strapwatch``: one module per command, joined here.

Exit codes: 0 done, 1 failed, 2 wrong usage, 130 interrupted. A user's mistake ends in one line, never in a traceback.
"""

import sys
from typing import Annotated

import typer

from monitor import __version__
from monitor.cli.alerts import register as _register_alerts
from monitor.cli.dashboard import register as _register_dashboard
from monitor.cli.demo import register as _register_demo
from monitor.cli.evaluate import register as _register_evaluate
from monitor.cli.live import register as _register_monitor
from monitor.cli.simulate import register as _register_simulate
from monitor.errors import StrapwatchError

app = typer.Typer(
    name="strapwatch",
    help="Watch the ECG of a whole team, live. Research software, not a medical device.",
    rich_markup_mode="rich",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:  # noqa: FBT001 - typer hands the flag over by position
    if wanted:
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
    _register_simulate,
    _register_monitor,
    _register_dashboard,
    _register_alerts,
    _register_evaluate,
):
    _register(app)


def main() -> None:
    """Run the command line and leave with its exit code."""
    try:
        app()
    except StrapwatchError as error:
        typer.echo(f"strapwatch: {error}", err=True)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The reader of our output has left (`strapwatch alerts | head`): nothing is wrong.
        sys.stderr.close()
        sys.exit(0)
