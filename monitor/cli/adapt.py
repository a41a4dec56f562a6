"""``strapwatch adapt``: take up a physician's corrections for one athlete, and say what they are worth."""

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from monitor.cli.dashboard import DEFAULT_REDIS, REDIS_VARIABLE
from monitor.cli.server import login_name, opened

if TYPE_CHECKING:
    from models.adaptation import Adaptation
    from monitor.responses import Feedback
    from monitor.scoring import ClassCounts

# Rich keeps the line breaks of a help text, so each paragraph is one line.
_HELP = """Take up a physician's corrections for one athlete, and say what they are worth.

RECORD holds the signal and, as its annotations (.atr), the corrected beats. What lies before --minutes is learnt \
from, the rest tests it. Without RECORD, --from-feedback takes what was answered to the athlete's alarms (`strapwatch \
inbox`): "false" makes the beats of a ventricular alarm N, "true, and this is …" what the words name.

The network stays as it is: a small correction goes into FILE, in plain JSON, and only if it does no worse on a \
held-out part of the corrected beats. The monitor reads such files at start from the folder \
`classifier.corrections`, as TEAM/ATHLETE.json; without the file all is as before.

[bold]Example[/bold]

  strapwatch adapt mitdb/200 --minutes 5 --output anna.json

  strapwatch adapt --from-feedback --team falcons --athlete a05 \\
    --output corrections/falcons/a05.json
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("adapt", help=_HELP)(adapt)


def adapt(
    *,
    record: Annotated[
        str | None, typer.Argument(metavar="[RECORD]", help="A WFDB record with its annotations.")
    ] = None,
    minutes: Annotated[
        float,
        typer.Option(min=1.0, max=120.0, metavar="MIN", help="How much of its beginning is learnt from."),
    ] = 5.0,
    from_feedback: Annotated[
        bool, typer.Option("--from-feedback", help="Learn from answers to alarms instead.")
    ] = False,
    team: Annotated[str, typer.Option("--team", metavar="NAME", help="Of the athlete, with it.")] = "",
    athlete: Annotated[str, typer.Option("--athlete", metavar="NAME", help="Whose answers, with it.")] = "",
    by: Annotated[
        str | None, typer.Option("--by", metavar="NAME", help="Who adapts, for the audit trail.")
    ] = None,
    redis: Annotated[
        str, typer.Option("--redis", metavar="URL", envvar=REDIS_VARIABLE, help="Redis or Valkey.")
    ] = DEFAULT_REDIS,
    output: Annotated[
        Path | None,
        typer.Option("--output", metavar="FILE", help="Where the correction goes; without, only a report."),
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="Weights with their card beside them.")
    ] = None,
) -> None:
    """Fit, test, tell and write."""
    from monitor.errors import UsageError

    if output is not None:
        _check_folder(output, team)
    if from_feedback:
        if record is not None or not (team and athlete):
            raise UsageError("--from-feedback needs --team and --athlete, and no RECORD")
        asyncio.run(_from_feedback(redis, team, athlete, by or login_name(), output, model))
    elif record is None or team or athlete:
        raise UsageError("name a RECORD, or an athlete by --from-feedback --team NAME --athlete NAME")
    else:
        _from_record(record, minutes, output, model)


def _from_record(record: str, minutes: float, output: Path | None, model: Path | None) -> None:
    from models.adapted import Adapter
    from models.beat_data import load_beats
    from simulators.records import read_record

    adapter = Adapter(model)
    until = int(minutes * 60 * read_record(record).rate_hz)
    beats = load_beats([record])
    adaptation = adapter.adapt(beats, f"{record}, first {minutes:g} min", until_sample=until)
    later = beats.r_sample >= until
    rest = beats.where(later)
    _tell("without", rest.count(adapter.labels(beats, None)[later]))
    if adaptation is not None:
        _tell("with", rest.count(adapter.labels(beats, adaptation)[later]))
    _keep(adaptation, output)


async def _from_feedback(
    url: str, team: str, athlete: str, by: str, output: Path | None, model: Path | None
) -> None:
    import structlog

    from models.adapted import adapt_to_answers
    from models.answered_beats import answered_beats
    from models.runtime import load_classifier
    from monitor.feedback_figures import last_answers
    from monitor.sinks import feedback_of
    from monitor.sinks.audit import write_audit
    from monitor.sinks.evidence import answered_evidence

    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    classifier = load_classifier(model, device="cpu")
    async with opened(url) as client:
        own = [said for said in last_answers(await feedback_of(client, team)) if _is_of(said, athlete)]
        kept = [(said, await answered_evidence(client, team, said.identity)) for said in own]
        taught = answered_beats(kept, classifier)
        for line in taught.left_out:
            typer.echo(f"left out: {line}")
        for line in taught.answers:
            typer.echo(f"learnt from: {line}")
        typer.echo(
            f"{len(taught.answers)} of {len(own)} answers of {team}/{athlete}: {int(taught.named.sum())} beats named, "
            f"{int((~taught.named).sum())} beside them that were surely N"
        )
        adaptation = adapt_to_answers(classifier, taught, f"answers to alarms of {team}/{athlete}")
        if _keep(adaptation, output, team=team) and adaptation is not None:
            detail = f"{len(adaptation.answers)} answers into {output}, for weights {adaptation.sha256[:12]}"
            await write_audit(client, team, athlete=athlete, by=by, action="adaptation", detail=detail)


def _check_folder(output: Path, team: str) -> None:
    """Refuse a file whose folder is missing: the monitor reads one folder, and a mistyped one it would never read.

    Only the team's own folder is made, in a folder that is there: nobody makes one before its first correction.
    """
    from monitor.errors import UsageError

    folder = output.parent
    if _is_of_team(folder, team):
        folder = folder.parent
    if not folder.is_dir():
        what = "not a folder" if folder.exists() else "no such folder"
        raise UsageError(f"--output {output}: {folder}: {what}; make it, or correct the name")


def _is_of_team(folder: Path, team: str) -> bool:
    return bool(team) and folder.name == team


def _is_of(said: "Feedback", athlete: str) -> bool:
    return said.identity.split(".")[1] == athlete


def _keep(adaptation: "Adaptation | None", output: Path | None, *, team: str = "") -> bool:
    """Say what a correction is worth, and write it, into a team's folder if need be; return whether a file was."""
    from models.adaptation import write_adaptation
    from monitor.errors import UsageError

    if adaptation is None:
        typer.echo("no correction is better than none on the held-out beats: nothing is kept")
        return False
    _explain(adaptation)
    if output is None:
        return False
    try:
        if _is_of_team(output.parent, team):
            output.parent.mkdir(exist_ok=True)
        write_adaptation(adaptation, output)
    except OSError as error:
        raise UsageError(f"--output {output}: {error.strerror}") from error
    typer.echo(f"{output}: written")
    return True


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
