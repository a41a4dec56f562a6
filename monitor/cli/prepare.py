"""``strapwatch prepare``: compile now what the first start would compile."""

from time import perf_counter

import typer

_HELP = """Compile the monitor's stages now, so that its first start is as quick as any.

The first start ever compiles them for a minute otherwise; an installer runs this once. What is compiled is kept in
the folder that NUMBA_CACHE_DIR names, else beside the package, or in the user's cache if that cannot be written.

[bold]Example[/bold]

  strapwatch prepare
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("prepare", help=_HELP)(prepare)


def prepare() -> None:
    """Compile the stages, or find that they are compiled."""
    import sys

    import numba
    from rich.console import Console

    from models.runtime import load_classifier
    from monitor.warm_up import warm_up

    began = perf_counter()
    with Console(file=sys.stderr).status("compiling the stages"):
        warm_up(load_classifier())
    typer.echo(f"ready in {perf_counter() - began:.1f} s: {numba.config.CACHE_DIR}")
