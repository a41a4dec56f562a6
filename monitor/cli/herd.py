"""``strapwatch herd``: hundreds to thousands of straps from one process, for load."""

import asyncio
import signal
import time
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Final

import typer

from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from simulators.herd import Herd, HerdReport
    from simulators.strap import Strap

_HEARTS: Final = 12
_RECORD_S: Final = 90.0
_MOST: Final = 20_000
_INTERRUPTED: Final = 130
_HELP = """Send as hundreds to thousands of synthetic straps would, on schedule, and say how late packets went out.

For load: packets are made for all straps at once and written on light connections, so that this costs less than the
monitor at the other end. A herd sends no truth and nothing twice; recordings, truth and trouble are in simulate and
scenario.

[bold]Example[/bold]: five hundred straps for a minute

  strapwatch herd 500 --broker mqtt://127.0.0.1:1883 --seconds 60
"""


class ConnectionChoice(StrEnum):
    """How many connections a herd has."""

    LIGHT = "light"
    SHARED = "shared"


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("herd", help=_HELP)(herd)


def herd(
    straps: Annotated[int, typer.Argument(metavar="N", min=1, max=_MOST, help="So many straps.")],
    *,
    broker: Annotated[
        str,
        typer.Option(
            "--broker", metavar="URL", envvar="STRAPWATCH_BROKER", help="mqtt://[user:password@]host"
        ),
    ] = "mqtt://127.0.0.1:1883",
    seconds: Annotated[float, typer.Option("--seconds", metavar="N", help="For so long.")] = 60.0,
    connections: Annotated[
        ConnectionChoice,
        typer.Option(
            "--connections", help="One light connection a strap, or one shared by all (no last will)."
        ),
    ] = ConnectionChoice.LIGHT,
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Pseudonym of the team.")] = "herd",
    rate: Annotated[float, typer.Option("--rate", metavar="HZ", help="Sampling rate.")] = 250.0,
    packet: Annotated[
        float, typer.Option("--packet", metavar="SECONDS", help="Seconds of signal in a packet.")
    ] = 0.25,
    loss: Annotated[
        float,
        typer.Option(
            "--loss", metavar="P", min=0.0, max=1.0, help="Share of packets that the radio loses, 0 to 1."
        ),
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of hearts and loss.")] = 0,
    as_json: Annotated[
        bool, typer.Option("--json", help="Summary as JSON, alone on standard output.")
    ] = False,
) -> None:
    """Build a herd, run it, and print what it did."""
    import msgspec

    from monitor.sources import parse_mqtt_url
    from simulators.herd import Herd

    if not 0.0 < seconds < float("inf"):
        raise UsageError(f"--seconds {seconds:g}: use a number above 0")
    address = parse_mqtt_url(broker)
    built = Herd(
        _straps(straps, team=team, rate_hz=rate, packet_s=packet, seed=seed),
        broker=address,
        connections=connections.value,
        loss=loss,
        seed=seed,
    )
    report = asyncio.run(_run(built, seconds))
    if report is None:
        raise typer.Exit(_INTERRUPTED)
    if as_json:
        typer.echo(msgspec.json.format(msgspec.json.encode(report), indent=2).decode())
    else:
        late = report.lateness_s.p99
        typer.echo(
            f"{report.seconds:.0f} s: {report.straps} straps on {report.connections} connections, "
            f"{report.sent} packets sent, {report.lost} lost by the radio, "
            f"{report.unacknowledged} not acknowledged, "
            f"lateness p99 {'unknown' if late is None else f'{1e3 * late:.1f} ms'}"
        )


async def _run(built: "Herd", seconds: float) -> "HerdReport | None":
    """Return what a herd did; None if a signal ended it."""
    running = asyncio.create_task(built.run(seconds=seconds))
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(ending, running.cancel)
    try:
        return await running
    except asyncio.CancelledError:
        return None


def _straps(number: int, *, team: str, rate_hz: float, packet_s: float, seed: int) -> "list[Strap]":
    """Return straps with a few different hearts, each beginning elsewhere in its record."""
    from simulators.strap import Strap
    from simulators.synthetic import SyntheticAthlete, synthesize

    hearts = [
        synthesize(
            SyntheticAthlete(rate_bpm=60.0 + 120.0 * heart / _HEARTS),
            rate_hz=rate_hz,
            seconds=_RECORD_S,
            seed=seed + heart,
        )
        for heart in range(min(number, _HEARTS))
    ]
    boot = int(time.time())
    return [
        Strap(
            record=hearts[index % len(hearts)],
            team=team,
            athlete=f"h{index:05d}",
            strap=f"h{index:05d}",
            boot=boot,
            packet_s=packet_s,
            start_s=(index * 0.37) % (_RECORD_S - 1.0),
            loop=True,
        )
        for index in range(number)
    ]
