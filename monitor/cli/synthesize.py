"""``strapwatch synthesize``: hours of synthetic athletes as WFDB records with exact annotations."""

import json
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.errors import UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from collections import Counter

    from simulators.synthetic_team import Burden

_HELP = """Write training sessions of synthetic athletes as WFDB records with exact annotations.

From rest to maximum effort and back, without motion or muscle noise. Beats, rhythms and phases of effort are \
annotated as in the MIT-BIH database. The same seed gives the same athletes at every sampling rate; athlete number k \
is the same however many there are.

[bold]Example[/bold]: ten hours, and a collapse in a sprint

  strapwatch synthesize build/team --athletes 10

  strapwatch synthesize build/collapse --seconds 900 \\
    --event vt@600:20 --event vf@620:40
"""
_LONGEST_S = 24 * 3600.0
_MOST_ATHLETES = 1000


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("synthesize", help=_HELP)(synthesize)


def synthesize(
    *,
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Where the records go.", show_default=False)
    ] = None,
    athletes: Annotated[
        int,
        typer.Option("--athletes", metavar="N", min=1, max=_MOST_ATHLETES, help="So many records."),
    ] = 1,
    seconds: Annotated[
        float, typer.Option("--seconds", metavar="N", help="Length of each record, up to a day.")
    ] = 3600.0,
    rate: Annotated[
        float, typer.Option("--rate", metavar="HZ", help="Sampling rate, 100 to 1,000 Hz.")
    ] = 250.0,
    heart: Annotated[
        str | None,
        typer.Option(
            "--heart", metavar="NAME", help="A kind of heart for all; else a mix. [i]list[/i] names them."
        ),
    ] = None,
    programme: Annotated[
        str | None,
        typer.Option(
            "--programme",
            metavar="NAME",
            help="What all do, fitted to the length; else a mix. [i]list[/i] names them.",
        ),
    ] = None,
    burden: Annotated[
        str,
        typer.Option("--burden", metavar="none|usual|frequent", help="How many ectopic beats."),
    ] = "usual",
    event: Annotated[
        list[str] | None,
        typer.Option(
            "--event",
            metavar="NAME@SECONDS[:LENGTH]",
            help="What is to happen in every record; may be given many times. [i]list[/i] names them.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Of everything random.")] = 0,
    first: Annotated[
        int, typer.Option("--first", metavar="K", min=0, help="Number of the first athlete.")
    ] = 0,
    as_json: Annotated[bool, typer.Option("--json", help="Summary as JSON.")] = False,
) -> None:
    """Make, write and sum up."""
    from simulators.athlete_hearts import HEARTS, find_heart
    from simulators.effort import PROGRAMMES, find_programme
    from simulators.event_names import EVENT_NAMES, parse_event

    lists = {
        "hearts": (heart == "list", {name: kind.meaning for name, kind in HEARTS.items()}),
        "programmes": (
            programme == "list",
            {name: f"{kind.seconds / 60:g} min" for name, kind in PROGRAMMES.items()},
        ),
        "events": (event == ["list"], {name: kind.meaning for name, kind in EVENT_NAMES.items()}),
    }
    if any(wanted for wanted, _ in lists.values()):
        for wanted, entries in lists.values():
            for name, meaning in entries.items() if wanted else ():
                typer.echo(f"{name:26} {meaning}")
        return
    if directory is None:
        raise UsageError("no folder to write to; give DIR")
    if not 1.0 <= seconds <= _LONGEST_S:
        raise UsageError(f"--seconds {seconds:g}: use 1 to {_LONGEST_S:g}")
    if heart is not None:
        find_heart(heart)
    summary = _write(
        directory,
        range(first, first + athletes),
        seconds=seconds,
        rate_hz=rate,
        heart=heart,
        programme=None if programme is None else find_programme(programme).scaled(seconds),
        burden=_burden(burden),
        events=tuple(parse_event(text) for text in event or []),
        seed=seed,
    )
    typer.echo(json.dumps(summary, indent=2) if as_json else _sentence(summary, directory))


def _write(
    directory: Path, numbers: range, *, seconds: float, rate_hz: float, seed: int, **chosen: Any
) -> dict[str, Any]:
    from collections import Counter

    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from simulators.synthetic import SYNTHETIC_NAME, synthesize_session
    from simulators.synthetic_team import seed_of, training_athlete
    from simulators.truth_files import write_record

    errors = Console(stderr=True)
    beats: Counter[str] = Counter()
    episodes: Counter[str] = Counter()
    began = perf_counter()
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        for number in progress.track(numbers, description="synthesizing"):
            name = f"{SYNTHETIC_NAME}-{number:04d}"
            athlete = training_athlete(number, seconds=seconds, seed=seed, **chosen)
            record = synthesize_session(
                athlete, rate_hz=rate_hz, seconds=seconds, seed=seed_of(number, seed), name=name
            ).record
            write_record(
                record,
                directory,
                name,
                comments=[f"strapwatch synthesize, seed {seed}, athlete {number}: {athlete.heart.meaning}"],
            )
            if record.truth is not None:
                beats.update(record.truth.class_names)
                episodes.update(span.kind for span in record.truth.episodes())
    elapsed_s = perf_counter() - began
    return {
        "records": len(numbers),
        "hours": round(len(numbers) * seconds / 3600.0, 3),
        "rate_hz": rate_hz,
        "seed": seed,
        "beats": dict(sorted(beats.items())),
        "episodes": dict(sorted(episodes.items())),
        "seconds": round(elapsed_s, 3),
        "times_real_time": round(len(numbers) * seconds / elapsed_s, 1),
    }


def _sentence(summary: dict[str, Any], directory: Path) -> str:
    def listed(counts: "dict[str, int] | Counter[str]") -> str:
        return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"

    records = f"{summary['records']} record{'' if summary['records'] == 1 else 's'}"
    return (
        f"{records}, {summary['hours']:g} h at {summary['rate_hz']:g} Hz in {directory}\n"
        f"beats: {listed(summary['beats'])}\nepisodes: {listed(summary['episodes'])}\n"
        f"{summary['seconds']:.1f} s, {summary['times_real_time']:,.0f} times real time"
    )


def _burden(text: str) -> "Burden":
    from simulators.synthetic_team import BURDENS

    for burden in BURDENS:
        if burden == text:
            return burden
    raise UsageError(f"--burden {text!r}: use {', '.join(BURDENS)}")
