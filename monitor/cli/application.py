"""The commands, joined to one application."""

from typing import Annotated

import typer

from monitor import __version__
from monitor.cli.alerts import register as _register_alerts
from monitor.cli.dashboard import register as _register_dashboard
from monitor.cli.demo import register as _register_demo
from monitor.cli.evaluate import register as _register_evaluate
from monitor.cli.live import register as _register_monitor
from monitor.cli.simulate import register as _register_simulate

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
