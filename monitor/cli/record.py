"""``strapwatch record``: what straps send, with the monitor's beats, as WFDB records."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from monitor.cli.endings import until_signalled
from monitor.errors import RecordError, UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from monitor.recorder import Recorder
    from monitor.settings import Settings

_HELP: Final = """Record what straps send as WFDB records, with the monitor's beats as annotations.

A folder for each team; a recording is cut into segments, and the oldest are removed when all take more room \
than they may. Samples that never came are marked as invalid. Without Redis, or while it is away, samples are recorded \
without beats. A disk that is full or fails costs what comes meanwhile, and says so.

[bold]Example[/bold]: record, then watch it again

  strapwatch record recordings --broker mqtt://127.0.0.1:1883 \\
    --redis redis://127.0.0.1:6379

  strapwatch simulate --record recordings/red/anna-20261122T143000Z
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("record", help=_HELP)(record)


def record(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where recordings go; made if missing.")],
    *,
    settings: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="The monitor's, for broker and Redis.")
    ] = None,
    broker: Annotated[
        str | None,
        typer.Option("--broker", metavar="URL", help="mqtt:// or mqtts://[user:password@]host[:port]"),
    ] = None,
    redis: Annotated[
        str | None, typer.Option("--redis", metavar="URL", help="redis:// or rediss://host[:port]")
    ] = None,
    beats: Annotated[
        bool, typer.Option("--beats/--no-beats", help="Without beats Redis is not needed.")
    ] = True,
    athlete: Annotated[
        list[str] | None,
        typer.Option("--athlete", metavar="TEAM[/NAME]", help="Only these; may be given many times."),
    ] = None,
    segment_minutes: Annotated[
        float, typer.Option("--segment-minutes", metavar="N", min=0.1, max=1440, help="Length of a segment.")
    ] = 30.0,
    most_gb: Annotated[
        float, typer.Option("--most-gb", metavar="N", min=0.001, help="Room for all recordings together.")
    ] = 10.0,
    keep_free_gb: Annotated[
        float, typer.Option("--keep-free-gb", metavar="N", min=0.0, help="Room to leave on the disk.")
    ] = 1.0,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="N", min=0.0, help="End by itself after so long.")
    ] = None,
) -> None:
    """Record until interrupted."""
    import structlog

    from monitor.recorder import Recorder, RecordingLimits
    from monitor.settings import Settings

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    overrides: dict[str, dict[str, Any]] = {}
    for section, url in (("broker", broker), ("redis", redis)):
        if url is not None:
            overrides[section] = {"url": url}
    loaded = Settings.load(settings, overrides=overrides)
    wanted = _wanted(athlete or [])
    limits = RecordingLimits(
        segment_s=segment_minutes * 60,
        most_bytes=round(most_gb * 1e9),
        keep_free_bytes=round(keep_free_gb * 1e9),
    )
    try:
        recorder = Recorder(folder.expanduser(), limits=limits, reorder=loaded.reorder_limits())
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be written to: {error.strerror}; choose another folder"
        ) from error
    interrupted = asyncio.run(
        until_signalled(_record(loaded, recorder, wanted=wanted, beats=beats, seconds=seconds))
    )
    counters = recorder.counters
    typer.echo(
        f"{counters.samples:,} samples and {counters.beats:,} beats in {folder}; {counters.invalid_samples:,} samples "
        f"never came, {counters.dropped_samples:,} could not be written, {counters.unplaced_beats:,} beats came too "
        f"late, {counters.removed_segments:,} old segments were removed",
        err=True,
    )
    if interrupted:
        raise typer.Exit(130)


def _wanted(names: list[str]) -> set[tuple[str, str]]:
    """Return teams and athletes as given; the athlete is empty where the whole team is meant."""
    from monitor.wire import is_name

    wanted = set()
    for name in names:
        team, slash, athlete = name.partition("/")
        if not is_name(team) or (slash and not is_name(athlete)):
            raise UsageError(f"--athlete {name!r}: use a team, or team/name as in the topic")
        wanted.add((team, athlete))
    return wanted


async def _record(
    settings: "Settings",
    recorder: "Recorder",
    *,
    wanted: set[tuple[str, str]],
    beats: bool,
    seconds: float | None,
) -> None:
    from monitor.record_live import BeatTail, LiveRecorder
    from monitor.sinks import open_redis
    from monitor.sources import MqttSource

    client = open_redis(settings.redis.url) if beats else None
    try:
        async with MqttSource(settings.broker.url, capacity=settings.monitor.queue_packets) as source:
            live = LiveRecorder(
                source=source,
                recorder=recorder,
                beats=BeatTail(client) if client is not None else None,
                wanted=lambda team, name: not wanted or bool({(team, ""), (team, name)} & wanted),
            )
            try:
                async with asyncio.timeout(seconds):
                    await live.run()
            except TimeoutError:
                pass
    finally:
        if client is not None:
            await client.aclose()
