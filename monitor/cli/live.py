"""``strapwatch monitor``: the monitor, against any broker and any Redis-compatible server."""

import asyncio
import contextlib
import sys
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.cli.endings import until_signalled

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from models.runtime import Classifier
    from monitor.classifier import BeatClassifier
    from monitor.contract import FloatArray
    from monitor.roster import Roster
    from monitor.settings import Settings
    from monitor.settings_watch import LiveSettings
    from monitor.watch import Key, Watch

_HELP = """Watch every strap on a broker; beats, states and alarms go to Redis.

Settings come from a TOML file and from environment variables (docs/settings.md); options here go before both. A
broker or server that cannot be reached is tried again until it can.

[bold]Example[/bold]

  strapwatch monitor --settings strapwatch.toml \\
    --broker mqtt://127.0.0.1:1883 --redis redis://127.0.0.1:6379
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("monitor", help=_HELP)(monitor)


def monitor(
    *,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="A TOML file, see docs/settings.md.")
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="URL", help="mqtt:// or mqtts://[user:password@]host[:port]"),
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="redis:// or rediss://host[:port]")
    ] = None,
    monitor_id: Annotated[
        str | None, typer.Option("--id", metavar="NAME", help="Name of this monitor in its heartbeat.")
    ] = None,
    outbox: Annotated[
        Path | None, typer.Option("--outbox", metavar="FILE", help="Where alarms wait for the server.")
    ] = None,
    roster: Annotated[
        Path | None,
        typer.Option("--roster", metavar="FILE", help="Names and limits, TOML or CSV, see docs/roster.md."),
    ] = None,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Read the settings, get everything ready, and run until interrupted."""
    from monitor.embedded import die_with_parent as watch_parent
    from monitor.settings import Settings

    if die_with_parent:
        watch_parent()
    overrides: dict[str, dict[str, Any]] = {
        "broker": {"url": broker},
        "redis": {"url": redis},
        "monitor": {"id": monitor_id, "outbox": outbox, "roster": roster},
    }
    loaded = Settings.load(settings, overrides=_given(overrides))
    people = loaded.load_roster()
    # Before the event loop takes the signals over: nothing is open yet, and a compiler cannot be cancelled.
    classifier, watch = _prepare(loaded, people)
    live = None
    if settings is not None:
        live = _live_settings(settings, loaded, people, overrides=_given(overrides))
    if asyncio.run(until_signalled(_watch(loaded, people, classifier, watch, live))):
        raise typer.Exit(130)


def _given(overrides: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return only what was said on the command line."""
    sections = {
        section: {key: value for key, value in values.items() if value is not None}
        for section, values in overrides.items()
    }
    return {section: values for section, values in sections.items() if values}


def _live_settings(
    path: Path, settings: "Settings", roster: "Roster", *, overrides: dict[str, dict[str, Any]]
) -> "LiveSettings":
    """Return what tells when somebody changes the file."""
    from monitor.settings import Settings, settings_hash
    from monitor.settings_watch import LiveSettings

    def reload() -> Settings:
        changed = Settings.load(path, overrides=overrides)
        # What is fine by itself may contradict what the roster has of one athlete, as at a start.
        changed.check_roster(roster)
        return changed

    return LiveSettings(
        path,
        settings,
        reload=reload,
        limits_of=lambda changed: partial(changed.limits_of, roster=roster),
        hash_of=lambda changed: settings_hash(changed, roster),
    )


def _corrections(settings: "Settings", classifier: "Classifier") -> "dict[Key, FloatArray]":
    """Return what a physician has corrected, and tell of each: it changes what is announced."""
    import structlog

    from models.adaptation import read_corrections
    from monitor.errors import ModelError

    folder = settings.classifier.corrections
    if folder is None:
        return {}
    if classifier.sequence is None:
        raise ModelError(f"{classifier.name} takes no corrections; leave classifier.corrections out")
    found = read_corrections(
        folder.expanduser(), sha256=classifier.card.sha256, hidden=classifier.sequence.hidden
    )
    log = structlog.get_logger(__name__)
    for (team, athlete), adaptation in found.items():
        log.info(
            "classes are corrected",
            team=team,
            athlete=athlete,
            source=adaptation.source,
            beats=adaptation.beats,
            model=adaptation.model,
        )
    return {key: adaptation.matrix() for key, adaptation in found.items()}


def _prepare(settings: "Settings", roster: "Roster") -> "tuple[BeatClassifier, Watch]":
    """Load and compile what the monitor decides with."""
    import structlog

    from models.runtime import load_classifier
    from monitor.allocator import give_back, share_one_arena
    from monitor.cli.prepare import compile_apart
    from monitor.settings import settings_hash
    from monitor.warm_up import warm_up
    from monitor.watch import Watch

    share_one_arena()
    # Standard output stays free for results, in every command.
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    compile_apart()
    classifier = load_classifier(
        settings.classifier.weights, device=settings.classifier.device, threads=settings.classifier.threads
    )
    watch = Watch(
        classifier=classifier,
        config=settings.line_config(),
        limits_of=partial(settings.limits_of, roster=roster),
        reorder=settings.reorder_limits(),
        settings_hash=settings_hash(settings, roster),
        rules=settings.rule_changes(),
        corrections=_corrections(settings, classifier),
    )
    structlog.stdlib.get_logger("monitor").info("getting ready", model=classifier.name)
    warm_up(classifier)
    give_back()
    return classifier, watch


async def _watch(
    settings: "Settings",
    roster: "Roster",
    classifier: "BeatClassifier",
    watch: "Watch",
    live_settings: "LiveSettings | None",
) -> None:
    from monitor.live import LiveMonitor
    from monitor.recovery.folder import RecoveryFolder
    from monitor.recovery.resume import resume
    from monitor.settings import settings_hash
    from monitor.sinks import Outbox, RedisSink
    from monitor.sources import MqttSource

    with contextlib.ExitStack() as stack:
        recovery = stack.enter_context(RecoveryFolder(path)) if (path := settings.recovery_path) else None
        outbox = Outbox(settings.outbox_path)
        stack.callback(outbox.close)
        resumption = None
        if recovery is not None:
            watch.record_alarms(recovery.alarms)
            resumption = await asyncio.to_thread(resume, watch, recovery.rows, recovery.journal, time.time())
        async with (
            RedisSink(settings.redis.url, outbox=outbox) as sink,
            MqttSource(
                settings.broker.url,
                client_id=settings.broker.client_id,
                persistent_session=settings.broker.persistent_session,
                capacity=settings.monitor.queue_packets,
                journal=recovery.journal if recovery is not None else None,
            ) as source,
        ):
            await LiveMonitor(
                source=source,
                sink=sink,
                watch=watch,
                monitor_id=settings.monitor.id,
                model=classifier.name,
                settings_hash=settings_hash(settings, roster),
                tick_s=settings.monitor.tick_s,
                recovery=recovery,
                resumption=resumption,
                live_settings=live_settings,
            ).run()
