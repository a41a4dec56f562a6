"""``strapwatch prepare``: compile now what the first start would compile."""

from time import perf_counter
from typing import Annotated

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


def prepare(
    *, die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False
) -> None:
    """Compile the stages, or find that they are compiled."""
    import sys

    import numba
    from rich.console import Console

    from models.runtime import load_classifier
    from monitor.compiled import mark_compiled
    from monitor.embedded import die_with_parent as watch_parent
    from monitor.warm_up import warm_up

    if die_with_parent:
        watch_parent()
    began = perf_counter()
    with Console(file=sys.stderr).status("compiling the stages"):
        warm_up(load_classifier())
        mark_compiled()
    typer.echo(f"ready in {perf_counter() - began:.1f} s: {numba.config.CACHE_DIR}")


def compile_apart() -> None:
    """Let a process of its own compile the stages, if they are not compiled: what a compiler took ends with it.

    A monitor that has compiled them itself keeps hundreds of megabytes for as long as it runs.
    """
    import subprocess

    import numba
    import structlog

    from monitor.compiled import everything_compiled
    from monitor.embedded import spawn

    if everything_compiled():
        return
    log = structlog.stdlib.get_logger("monitor")
    log.info("compiling the stages, which takes a minute or two, once", folder=numba.config.CACHE_DIR)
    with spawn(["prepare"], stdout=subprocess.DEVNULL) as child:
        code = child.wait()
    if code:
        log.warning("compiling apart failed; compiling here", code=code)
