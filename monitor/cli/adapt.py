"""``strapwatch adapt``: take up a physician's corrections for one athlete, and say what they are worth."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from models.adaptation import Adaptation
    from monitor.scoring import ClassCounts

# Rich keeps the line breaks of a help text, so each paragraph is one line.
_HELP = """Take up a physician's corrections for one athlete, and say what they are worth.

RECORD holds the signal and, as its annotations (.atr), the corrected beats. What lies before --minutes is learnt \
from, the rest tests it. The network stays as it is: a small correction goes into FILE, in plain JSON, and only if it \
does no worse on a held-out part of the corrected beats. The monitor does not read such files yet.

[bold]Example[/bold]

  strapwatch adapt mitdb/200 --minutes 5 --output anna.json
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("adapt", help=_HELP)(adapt)


def adapt(
    *,
    record: Annotated[str, typer.Argument(metavar="RECORD", help="A WFDB record with its annotations.")],
    minutes: Annotated[
        float,
        typer.Option(min=1.0, max=120.0, metavar="MIN", help="How much of its beginning is learnt from."),
    ] = 5.0,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the correction goes; without, only a report."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="Weights with their card beside them.")
    ] = None,
) -> None:
    """Fit, test, tell and write."""
    from models.adaptation import write_adaptation
    from models.adapted import Adapter
    from models.beat_data import load_beats
    from monitor.errors import UsageError
    from simulators.records import read_record

    adapter = Adapter(model)
    until = int(minutes * 60 * read_record(record).rate_hz)
    beats = load_beats([record])
    adaptation = adapter.adapt(beats, f"{record}, first {minutes:g} min", until_sample=until)
    later = beats.r_sample >= until
    rest = beats.where(later)
    _tell("without", rest.count(adapter.labels(beats, None)[later]))
    if adaptation is None:
        typer.echo("no correction is better than none on the held-out beats: nothing is kept")
        return
    _tell("with", rest.count(adapter.labels(beats, adaptation)[later]))
    _explain(adaptation)
    if output is not None:
        try:
            write_adaptation(adaptation, output)
        except OSError as error:
            raise UsageError(f"--output {output}: {error.strerror}") from error
        typer.echo(f"{output}: written")


def _tell(title: str, counts: "ClassCounts") -> None:
    parts = [f"{title:8} accuracy {_text(counts.accuracy)}"]
    parts += [
        f"{name} Se {_text(score.se)} +P {_text(score.ppv)} of {score.n}"
        for name, score in counts.plain().items()
        if score.n
    ]
    typer.echo("  ".join(parts))


def _text(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.4f}"


def _explain(adaptation: "Adaptation") -> None:
    fitted = ", ".join(f"{count} {name}" for name, count in adaptation.beats.items() if count)
    typer.echo(
        f"fitted to {fitted}; held-out loss {adaptation.before:.4f} without, {adaptation.after:.4f} with; "
        f"penalty {adaptation.strength:g}"
    )
