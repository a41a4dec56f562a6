"""``strapwatch simulate``: recordings and synthetic athletes, replayed over MQTT as if they were straps."""

import asyncio
import contextlib
import errno
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, TextIO

import typer

from monitor.cli.simulate_troubles import enter_noise, radio_settings, with_noise
from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from monitor.sources import MqttAddress
    from simulators.body import Touched
    from simulators.fleet import Fleet, FleetReport
    from simulators.records import Record
    from simulators.strap import Strap

_PROGRESS_EVERY_S: Final = 5.0
_INTRODUCED: Final = 12
_EXCERPT: Final = "excerpt"
_DEFAULT_BROKER: Final = "mqtt://127.0.0.1:1883"
_SYNTHETIC_S: Final = 1800.0
_HIGHEST_SPEED: Final = 1000.0
"""Already more than one process can send; beyond, `--seconds` of schedule would take hours."""
_LONGEST_SYNTHETIC_S: Final = 24 * 3600.0
_MOST_JITTER_S: Final = 60.0
"""As in a scenario; beyond, a dropout says better what is meant."""

_HELP = """Replay recordings and synthetic athletes over MQTT, as straps would send them.

Every strap has its own connection, last will and sample counter; a packet that the broker does not acknowledge is
sent again. The same seed gives the same trouble.

[bold]Example[/bold]: two recordings, over and over, with some packets lost and a dropout after half a minute

  strapwatch simulate --record mitdb/208 --record edb/e0103 --loop \\
    --loss 0.01 --dropout 30:5
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("simulate", help=_HELP)(simulate)


def simulate(
    *,
    record: Annotated[
        list[str] | None,
        typer.Option(
            "--record",
            metavar="NAME|PATH",
            help="A WFDB record such as mitdb/208, or [i]excerpt[/i]; may be given many times.",
        ),
    ] = None,
    excerpt: Annotated[
        int,
        typer.Option(
            "--excerpt",
            count=True,
            metavar="",
            show_default=False,
            help="The five minutes of mitdb/208 that come with the installation (repeat it for more).",
        ),
    ] = 0,
    synthetic: Annotated[
        int, typer.Option("--synthetic", metavar="N", min=0, max=1000, help="So many synthetic athletes.")
    ] = 0,
    database: Annotated[
        Path | None,
        typer.Option(
            "--database", metavar="DIR", help="Folder with the databases, or one; else STRAPWATCH_DATA."
        ),
    ] = None,
    lead: Annotated[
        list[str] | None,
        typer.Option(
            "--lead", metavar="NAME|INDEX", help="Lead to replay, once for all records or once for each."
        ),
    ] = None,
    athlete: Annotated[
        list[str] | None,
        typer.Option("--athlete", metavar="NAME", help="Pseudonym, once for each strap in order."),
    ] = None,
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Pseudonym of the team.")] = "demo",
    speed: Annotated[
        float,
        typer.Option(
            "--speed",
            metavar="FACTOR",
            help="Seconds of signal per second, at most 1000. A monitor that cannot keep up with so many counts what "
            "it has to refuse.",
        ),
    ] = 1.0,
    start: Annotated[
        list[float] | None,
        typer.Option(
            "--start",
            metavar="SECONDS",
            help="Where in the recordings to begin, once for all or once for each strap.",
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Begin anew at a recording's end.")] = False,
    packet: Annotated[
        float, typer.Option("--packet", metavar="SECONDS", help="Seconds of signal in a packet.")
    ] = 0.25,
    seconds: Annotated[
        float | None, typer.Option("--seconds", metavar="N", help="Stop after so many seconds.")
    ] = None,
    broker: Annotated[
        str,
        typer.Option(
            "--broker",
            metavar="URL",
            envvar="STRAPWATCH_BROKER",
            help="mqtt:// or mqtts://[user:password@]host[:port]",
        ),
    ] = _DEFAULT_BROKER,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Of radio trouble and synthetic athletes.")
    ] = 0,
    loss: Annotated[
        float,
        typer.Option(
            "--loss", metavar="P", min=0.0, max=1.0, help="Share of packets that the radio loses, 0 to 1."
        ),
    ] = 0.0,
    duplicates: Annotated[
        float,
        typer.Option(
            "--duplicates", metavar="P", min=0.0, max=1.0, help="Share of packets that are sent twice."
        ),
    ] = 0.0,
    reorder: Annotated[
        float,
        typer.Option(
            "--reorder", metavar="P", min=0.0, max=1.0, help="Share of packets that later ones overtake."
        ),
    ] = 0.0,
    jitter: Annotated[
        float,
        typer.Option(
            "--jitter",
            metavar="SECONDS",
            min=0.0,
            max=_MOST_JITTER_S,
            help="Packets are late by up to so much.",
        ),
    ] = 0.0,
    burst: Annotated[
        str | None,
        typer.Option(
            "--burst",
            metavar="ENTER:LEAVE[:LOSS]",
            help="Losses in bursts: probability a packet that the link turns bad, good again, and loses one.",
        ),
    ] = None,
    noise: Annotated[
        list[str] | None,
        typer.Option(
            "--noise",
            metavar="KIND|RECORD:DB[:START:LENGTH]",
            help="mains, wander, muscle, motion, electrode, white or a WFDB record, at a ratio in dB as of nst.",
        ),
    ] = None,
    dropout: Annotated[
        list[str] | None,
        typer.Option(
            "--dropout",
            metavar="START:LENGTH[:lost]",
            help="Silence in seconds; then a flood of what waited, or with :lost nothing of it.",
        ),
    ] = None,
    lead_off: Annotated[
        list[str] | None,
        typer.Option("--lead-off", metavar="START:LENGTH", help="Electrodes without contact, in seconds."),
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", metavar="FILE", help="Write what became of every packet, as lines of JSON."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Summary as JSON, alone on standard output.")
    ] = False,
    die_with_parent: Annotated[bool, typer.Option("--die-with-parent", hidden=True)] = False,
) -> None:
    """Build the straps, run them, and print what they did."""
    from monitor.embedded import die_with_parent as watch_parent
    from monitor.sources import parse_mqtt_url
    from simulators.fleet import Fleet
    from simulators.ledger import Ledger

    if die_with_parent:
        watch_parent()
    if seconds is not None and not 0.0 < seconds < float("inf"):
        raise UsageError(f"--seconds {seconds:g}: use a number above 0")
    address = parse_mqtt_url(broker)
    radio = radio_settings(
        loss=loss,
        duplicates=duplicates,
        reorder=reorder,
        burst=burst,
        jitter_s=jitter,
        dropouts=dropout or [],
        lead_off=lead_off or [],
    )
    # Checked here, because a synthetic athlete's length depends on it before a strap could refuse it.
    if not 0.0 < speed <= _HIGHEST_SPEED:
        raise UsageError(f"--speed {speed:g}: use a number above 0 and at most {_HIGHEST_SPEED:g}")
    if database is not None:
        from simulators.records import check_folder

        check_folder(database, named="--database")
    records = _records(record or [], lead or [], database)
    if excerpt:
        from simulators.excerpt import read_excerpt

        records += [read_excerpt()] * excerpt
    records += _synthetic(synthetic, speed * seconds if seconds is not None else None, start or [], seed)
    if not records:
        raise UsageError("nothing to replay; give --record NAME, --excerpt or --synthetic N")
    records, touched = with_noise(records, noise or [], starts=start or [], database=database, seed=seed)
    straps = _straps(records, athlete or [], team, start or [], packet_s=packet, loop=loop, speed=speed)
    with contextlib.ExitStack() as stack:
        entries = None if ledger is None else stack.enter_context(_open_ledger(ledger))
        fleet = Fleet(straps, broker=address, radio=radio, ledger=Ledger(file=entries), seed=seed, say=_say)
        interrupted = asyncio.run(_run(fleet, straps, seconds, touched))
    _print_summary(fleet.report(), as_json=as_json)
    told, failed = _shortfall(fleet, address)
    if told is not None:
        _say(told)
    if interrupted:
        raise typer.Exit(130)
    if failed:
        raise typer.Exit(1)


def _shortfall(fleet: "Fleet", broker: "MqttAddress") -> tuple[str | None, bool]:
    """Return what there is to say of packets that were not sent, and whether that is a failure."""
    report = fleet.report()
    if not fleet.was_connected:
        # Said apart from the complaints before it, of which the last may be seconds old.
        told = f"the broker {broker} was never reached, or let no strap in: nothing was sent"
        return f"{told}; start it, or correct --broker", True
    if report.packets == 0:
        return "nothing was sent: the run was over before the first packet was due", True
    if report.unsent > fleet.cut_off or report.unacknowledged:
        return "not everything reached the broker", True
    if fleet.cut_off:
        held = f"{_counted(fleet.cut_off, 'packet')} of {report.packets} were held back by the radio beyond --seconds"
        return held, report.sent == 0
    return None, False


async def _run(
    fleet: "Fleet", straps: list["Strap"], seconds: float | None, touched: "list[list[Touched]]"
) -> bool:
    """Run a fleet to its end or to a signal; return whether it was a signal."""
    running = asyncio.create_task(fleet.run(until_s=seconds))
    progress = asyncio.create_task(_tell_progress(fleet))
    # Only with noise: what it imports would hold up the straps, and a signal that ends them.
    entering = asyncio.create_task(enter_noise(fleet, straps, touched)) if touched else None
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, running.cancel)
    loop.set_exception_handler(_on_loop_error)
    _introduce(straps)
    try:
        await running
    except asyncio.CancelledError:
        return True
    finally:
        progress.cancel()
        if entering is not None:
            entering.cancel()
    return False


def _on_loop_error(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    # A broker that hangs up can close a socket after aiomqtt has asked the loop to watch it, and before the loop does.
    # The strap learns of its lost connection all the same, and a traceback would help nobody.
    if not (isinstance(error, OSError) and error.errno == errno.EBADF):
        loop.default_exception_handler(context)


async def _tell_progress(fleet: "Fleet") -> None:
    while True:
        await asyncio.sleep(_PROGRESS_EVERY_S)
        _say(_line(fleet.report()))


def _line(report: "FleetReport", *, ended: bool = False) -> str:
    late = report.lateness_s.p99
    lost = report.lost + report.lost_in_burst + report.lost_in_dropout
    straps = _counted(report.straps, "strap")
    straps = straps if ended else f"{straps}, {report.connected} connected"
    return (
        f"{report.seconds:.0f} s: {straps}, {_counted(report.sent, 'packet')} sent, "
        f"{lost} lost by the radio, {report.resent} sent again, "
        f"lateness p99 {'unknown' if late is None else f'{1e3 * late:.1f} ms'}"
    )


def _counted(number: int, of_what: str) -> str:
    return f"{number} {of_what}{'' if number == 1 else 's'}"


def _times(number: int) -> str:
    return "once" if number == 1 else f"{number} times"


def _say(text: str) -> None:
    typer.echo(f"simulate: {text}", err=True)


def _introduce(straps: list["Strap"]) -> None:
    for strap in straps[:_INTRODUCED]:
        _say(
            f"{strap.team}/{strap.athlete}: {strap.source}, lead {strap.record.lead}, "
            f"{strap.record.rate_hz:g} Hz, from {strap.start_s:g} s"
        )
    if len(straps) > _INTRODUCED:
        _say(f"and {len(straps) - _INTRODUCED} more")


def _print_summary(report: "FleetReport", *, as_json: bool) -> None:
    import msgspec

    summary = {
        "straps": report.straps,
        "seconds": round(report.seconds, 3),
        "packets": {
            cause: getattr(report, cause)
            for cause in (
                "packets",
                "sent",
                "lost",
                "lost_in_burst",
                "lost_in_dropout",
                "unsent",
                "duplicated",
                "reordered",
                "delayed",
                "held_in_dropout",
                "lead_off",
                "resent",
                "unacknowledged",
            )
        },
        "reconnections": report.reconnections,
        "lateness_s": msgspec.to_builtins(report.lateness_s),
    }
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(summary), indent=2).decode())
    else:
        typer.echo(_line(report, ended=True))


def _records(names: list[str], leads: list[str], database: Path | None) -> list["Record"]:
    if len(leads) > 1 and len(leads) != len(names):
        raise UsageError(
            f"--lead is there {_times(len(leads))} for {_counted(len(names), 'record')}; give one, or one for each"
        )
    if not names:
        if leads:
            raise UsageError(f"--lead {leads[0]}: only a --record has leads to choose from")
        return []
    from simulators.excerpt import read_excerpt
    from simulators.records import read_record

    each: list[str | None] = [*leads] if len(leads) > 1 else [leads[0] if leads else None] * len(names)
    return [
        read_excerpt() if name == _EXCERPT else read_record(name, database=database, lead=lead)
        for name, lead in zip(names, each, strict=True)
    ]


def _synthetic(athletes: int, seconds: float | None, starts: list[float], seed: int) -> list["Record"]:
    if athletes == 0:
        return []
    from simulators.synthetic_team import synthetic_team

    # A little more than is asked for, so that a strap does not end before the others.
    length_s = max(starts, default=0.0) + (_SYNTHETIC_S if seconds is None else seconds + 60.0)
    return synthetic_team(athletes, seconds=min(length_s, _LONGEST_SYNTHETIC_S), seed=seed)


def _straps(
    records: list["Record"],
    athletes: list[str],
    team: str,
    starts: list[float],
    *,
    packet_s: float,
    loop: bool,
    speed: float,
) -> list["Strap"]:
    if athletes and len(athletes) != len(records):
        raise UsageError(
            f"--athlete is there {_times(len(athletes))} for {_counted(len(records), 'strap')}; give one for each"
        )
    if len(starts) > 1 and len(starts) != len(records):
        raise UsageError(
            f"--start is there {_times(len(starts))} for {_counted(len(records), 'strap')}; give one, or one for each"
        )
    names = athletes or _names(records)
    each = starts if len(starts) > 1 else (starts or [0.0]) * len(records)
    boot = int(time.time())
    return [
        _strap(record, name, team, boot=boot, packet_s=packet_s, start_s=start_s, loop=loop, speed=speed)
        for record, name, start_s in zip(records, names, each, strict=True)
    ]


def _strap(record: "Record", name: str, team: str, **said: Any) -> "Strap":
    from simulators.strap import Strap

    try:
        # A strap is called as its wearer: a simulator has no serial numbers.
        return Strap(record=record, team=team, athlete=name, strap=name, **said)
    except UsageError as error:
        # A strap begins with what it refuses, which is called as the option is.
        raise UsageError(f"--{error}") from error


def _names(records: list["Record"]) -> list[str]:
    """Return pseudonyms made of the records' names, the second of a kind with a number."""
    names: list[str] = []
    for record in records:
        plain = re.sub(r"[^A-Za-z0-9_-]+", "-", record.name).strip("-")[:56] or "athlete"
        name, number = plain, 1
        while name in names:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _open_ledger(file: Path) -> TextIO:
    try:
        return file.open("w", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--ledger {file}: {error.strerror}") from error
