"""How the package's own commands end: a user's mistake is one line on stderr, never a traceback."""

import sys
from collections.abc import Callable
from typing import Any

import typer

from monitor.errors import StrapwatchError


def run(command: Callable[..., Any]) -> None:
    """Run one typer command as a program and leave with its exit code."""
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
    app.command()(command)
    try:
        app()
    except StrapwatchError as error:
        print(f"strapwatch: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
