"""``strapwatch relay``: alarms out of the building, and a watch over the monitor itself."""

import asyncio
import contextlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    # Their imports are slow, and `strapwatch --help` must stay quick.
    from monitor.settings import Settings

_HELP = """Carry alarms to the receivers in the settings, and watch over the monitor.

It tells what nobody answers, says when no monitor is alive or no alarm can arrive, and tries until a receiver has taken
what it was sent. Run it on another machine than the monitor; two of them share the work. See docs/alarm-delivery.md.

[bold]Example[/bold]

  strapwatch relay --settings strapwatch.toml --redis redis://127.0.0.1:6379
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("relay", help=_HELP)(relay)


def relay(
    *,
    settings: Annotated[
        Path | None,
        typer.Option("--settings", metavar="FILE", help="A TOML file with receivers, see docs/settings.md."),
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="redis:// or rediss://host[:port]")
    ] = None,
) -> None:
    """Read the settings and run until interrupted."""
    from monitor.cli.endings import until_signalled
    from monitor.errors import SettingsError
    from monitor.settings import Settings

    overrides: dict[str, dict[str, Any]] = {} if redis is None else {"redis": {"url": redis}}
    loaded = Settings.load(settings, overrides=overrides)
    if not loaded.receivers:
        raise SettingsError(
            "no receivers: give at least one, such as [receivers.duty] with url and secret (docs/settings.md)"
        )
    if asyncio.run(until_signalled(_relay(loaded))):
        raise typer.Exit(130)


async def _relay(settings: "Settings") -> None:
    import structlog

    from monitor.catalogue import changed_rules
    from monitor.receivers import Relay, WebhookReceiver
    from monitor.sinks import open_redis, shown_url

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    async with contextlib.AsyncExitStack() as stack:
        receivers = [
            await stack.enter_async_context(
                WebhookReceiver(
                    name,
                    url=one.url,
                    secret=one.secret,
                    least=one.least,
                    when=one.when,
                    canary=one.canary,
                )
            )
            for name, one in settings.receivers.items()
        ]
        client = open_redis(settings.redis.url)
        stack.push_async_callback(client.aclose)
        structlog.stdlib.get_logger("relay").info(
            "relaying", receivers=sorted(settings.receivers), server=shown_url(settings.redis.url)
        )
        await Relay(client, receivers, rules=changed_rules(settings.rule_changes())).run()
