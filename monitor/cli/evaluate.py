"""``strapwatch evaluate``: the monitor's own stages at full speed over recordings, scored by ANSI/AAMI EC57."""

import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from time import perf_counter, process_time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from monitor.errors import RecordError, UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from rich.console import Console

    from monitor.alarm_report import AlarmScore
    from monitor.classifier import BeatClassifier
    from monitor.evaluation import Announced, Timing
    from monitor.evaluation_report import RecordScore
    from simulators.records import Record

# Rich keeps the line breaks of a help text, so each paragraph is one line.
_HELP = """Score the monitor over WFDB records, by ANSI/AAMI EC57.

The same streaming stages as live, at full speed and without a broker. RECORD is a name such as mitdb/208, a path, \
or a folder of records such as mitdb. A beat that was not announced is a miss: nothing excuses it but what the \
reference itself leaves out. Classes of paced records, and of those that the model was trained on, stay out of the \
gross figures.

[bold]Example[/bold]: all of two databases, figures as JSON too

  strapwatch evaluate mitdb edb --json scores.json
"""
_PLAIN_WIDTH = 150


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("evaluate", help=_HELP)(evaluate)


def evaluate(
    *,
    record: Annotated[
        list[str] | None,
        typer.Argument(metavar="RECORD", help="WFDB records, or folders of them.", show_default=False),
    ] = None,
    database: Annotated[
        Path | None,
        typer.Option(
            "--database",
            metavar="DIR",
            help="A folder of records: all of them, or those that are named. Names are looked up in it.",
        ),
    ] = None,
    records: Annotated[
        str | None, typer.Option("--records", metavar="A,B", help="Names of records in --database.")
    ] = None,
    lead: Annotated[
        str | None,
        typer.Option("--lead", metavar="NAME|INDEX", help="Lead; MLII where there is one, else the first."),
    ] = None,
    classify: Annotated[
        bool, typer.Option("--classify/--no-classify", help="Without classes only R peaks are scored.")
    ] = True,
    include_learning: Annotated[
        bool, typer.Option("--include-learning", help="Score the first five minutes of each record too.")
    ] = False,
    window_ms: Annotated[
        float,
        typer.Option("--window-ms", min=1.0, max=150.0, help="Farthest a detection may lie from its beat."),
    ] = 150.0,
    noisy_segments: Annotated[
        bool,
        typer.Option(
            "--noisy-segments", help="Noise stress records (118e00, ...): score their noisy stretches only."
        ),
    ] = False,
    write_annotations: Annotated[
        Path | None,
        typer.Option(
            "--write-annotations", metavar="DIR", help="Write beats as WFDB annotation files (.strapwatch)."
        ),
    ] = None,
    alarms: Annotated[
        bool, typer.Option("--alarms", help="Score alarms too, run by run and episode by episode.")
    ] = False,
    cross_model: Annotated[
        Path | None,
        typer.Option(
            "--cross-model",
            metavar="FILE",
            help="Weights trained on other records, for those that the model was trained on.",
        ),
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", metavar="FILE", help="Figures as JSON; - is standard output.")
    ] = None,
    model: Annotated[
        Path | None, typer.Option("--model", metavar="FILE", help="Weights with their card beside them.")
    ] = None,
) -> None:
    """Read, run, score and print."""
    from rich.console import Console

    from monitor.evaluation_table import print_tables

    errors = Console(stderr=True)
    stems = _find(record or [], database, records)
    if write_annotations is not None:
        _refuse_same_file_names(stems)
    classifier: BeatClassifier | None = None
    if classify:
        from models.runtime import load_classifier

        classifier = load_classifier(model, threads=1)
    scoring = _Scoring(window_ms / 1000.0, noisy_segments, write_annotations, alarms, include_learning)
    known, unknown = _known_to(classifier, stems) if cross_model is not None else ([], stems)
    run = _run(unknown, lead=lead, classifier=classifier, scoring=scoring, errors=errors)
    if known:
        from models.runtime import load_classifier

        run.add(
            _run(
                known,
                lead=lead,
                classifier=load_classifier(cross_model, threads=1),
                scoring=scoring,
                errors=errors,
            )
        )
    if run.scores:
        summary = _summary(run, classifier, scoring, learning=include_learning)
        alone = json_file is not None and str(json_file) == "-"
        if json_file is not None:
            _write_json(summary, None if alone else json_file)
        if not alone:
            out = Console()
            out = out if out.is_terminal else Console(width=_PLAIN_WIDTH)
            print_tables(run.scores, summary, console=out)
            if run.alarms:
                _print_alarms(summary, out)
    if run.refused:
        if len(stems) > 1:
            _say(errors, f"{len(run.refused)} of {len(stems)} records refused")
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Scoring:
    """How records are scored, and where beats are written to."""

    window_s: float
    noisy_only: bool
    annotations: Path | None
    alarms: bool
    learning: bool


@dataclass(slots=True)
class _Outcome:
    """What an evaluation brought, and how long it took in seconds of wall clock and of processor time."""

    timing: "Timing"
    scores: "list[RecordScore]" = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    total_s: float = 0.0
    processor_s: float = 0.0
    alarms: "list[AlarmScore]" = field(default_factory=list)

    def add(self, other: "_Outcome") -> None:
        """Take over what another run brought."""
        for name in ("samples", "signal_s", "stages_s", "classifier_s"):
            setattr(self.timing, name, getattr(self.timing, name) + getattr(other.timing, name))
        self.scores += other.scores
        self.refused |= other.refused
        self.total_s += other.total_s
        self.processor_s += other.processor_s
        self.alarms += other.alarms


def _known_to(classifier: "BeatClassifier | None", stems: list[Path]) -> tuple[list[Path], list[Path]]:
    """Part the records into those that the model was trained on, and the others."""
    from monitor.recordings import is_listed

    trained = classifier.training_records if classifier is not None else frozenset()
    known = [stem for stem in stems if is_listed(f"{stem.parent.name}/{stem.name}", trained)]
    return known, [stem for stem in stems if stem not in known]


def _run(
    stems: list[Path],
    *,
    lead: str | None,
    classifier: "BeatClassifier | None",
    scoring: _Scoring,
    errors: "Console",
) -> _Outcome:
    """Read, run and score the records, as many at a time as share a bank."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from monitor.evaluation import BANK_ROWS, Timing, run_line
    from monitor.warm_up import warm_up

    run = _Outcome(Timing())
    with Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeRemainingColumn(),
        console=errors,
        transient=True,
        disable=not errors.is_terminal,
    ) as progress:
        for begin in range(0, len(stems), BANK_ROWS):
            share = stems[begin : begin + BANK_ROWS]
            began, began_processor = perf_counter(), process_time()
            found = []
            for stem in progress.track(share, description="reading"):
                record = _read(stem, lead, run, errors, needs_truth=scoring.annotations is None)
                if record is not None:
                    found.append(record)
            if not found:
                continue
            began_warming, began_warming_processor = perf_counter(), process_time()
            warm_up(classifier)
            # Compiling and loading is no part of the figures: it happens once, whatever is evaluated.
            began += perf_counter() - began_warming
            began_processor += process_time() - began_warming_processor
            watching = progress.add_task("watching", total=sum(len(record) for record in found))
            announced = run_line(
                found,
                classifier=classifier,
                timing=run.timing,
                progress=partial(progress.advance, watching),
            )
            for record, beats in zip(found, announced, strict=True):
                _conclude(record, beats, run, classifier, scoring, errors)
            run.total_s += perf_counter() - began
            run.processor_s += process_time() - began_processor
    return run


def _conclude(
    record: "Record",
    beats: "Announced",
    run: _Outcome,
    classifier: "BeatClassifier | None",
    scoring: _Scoring,
    errors: "Console",
) -> None:
    from monitor.annotation_writer import write_annotations
    from monitor.evaluation_report import score_record

    folder = scoring.annotations
    if folder is not None and write_annotations(record.name, record.rate_hz, beats, folder) is None:
        _say(errors, f"{record.name}: no beat found, so no annotation file")
    if record.truth is not None:
        from simulators.noise_mixture import score_noisy_only

        truth = score_noisy_only(record.truth, len(record)) if scoring.noisy_only else record.truth
        run.scores.append(
            score_record(
                record.name,
                record.lead,
                len(record),
                truth,
                beats,
                classified=classifier is not None,
                training_records=classifier.training_records if classifier is not None else (),
                window_s=scoring.window_s,
            )
        )
        if scoring.alarms:
            run.alarms.append(_score_alarms(record, beats, run.scores[-1], learning=scoring.learning))


def _score_alarms(
    record: "Record", announced: "Announced", score: "RecordScore", *, learning: bool
) -> "AlarmScore":
    from monitor.alarm_report import AlarmScore
    from monitor.alarm_scoring import score_alarms
    from monitor.scoring import LEARNING_S

    assert record.truth is not None  # noqa: S101 - the caller saw one
    start = 0 if learning else round(LEARNING_S * record.rate_hz)
    counts = score_alarms(record.truth, announced.events, len(record), start_sample=start)
    return AlarmScore(record.name, score.paced, score.trained_on, counts)


def _read(
    stem: Path, lead: str | None, run: _Outcome, errors: "Console", *, needs_truth: bool
) -> "Record | None":
    """Read one record; one that is refused is named with the reason, and the others go on."""
    from simulators.records import read_record

    try:
        record = read_record(stem, lead=lead)
    except RecordError as error:
        reason = str(error)
    else:
        if record.truth is not None or not needs_truth:
            return record
        reason = f"{stem}.atr: no reference annotations to score by; --write-annotations works without"
    run.refused[f"{stem.parent.name}/{stem.name}"] = reason
    _say(errors, reason)
    return None


def _find(names: list[str], database: Path | None, records: str | None) -> list[Path]:
    """Return the records that are wanted, each once."""
    from simulators.records import data_folder, find_record, records_in

    if records is not None and database is None:
        raise UsageError("--records names records of a database; give --database DIR too")
    if not names and database is None:
        raise UsageError("nothing to evaluate; give RECORD, such as mitdb/208, or --database DIR")
    if database is not None and not database.is_dir() and (data_folder() / database).is_dir():
        database = data_folder() / database
    if database is not None and not database.is_dir():
        raise RecordError(f"{database}: no such folder")
    names = [*names, *(name.strip() for name in (records or "").split(",") if name.strip())]
    stems = [] if names or database is None else list(records_in(database))
    for name in names:
        folders = [folder / name for folder in (database or data_folder(), Path())]
        folder = next((folder for folder in folders if folder.is_dir()), None)
        stems.extend([find_record(name, database=database)] if folder is None else records_in(folder))
    return list(dict.fromkeys(stem.resolve() for stem in stems))


def _refuse_same_file_names(stems: list[Path]) -> None:
    seen: dict[str, Path] = {}
    for stem in stems:
        if stem.name in seen:
            raise UsageError(
                f"{seen[stem.name]} and {stem} would be written to one file; evaluate them apart"
            )
        seen[stem.name] = stem


def _summary(
    run: _Outcome, classifier: "BeatClassifier | None", scoring: _Scoring, *, learning: bool
) -> dict[str, Any]:
    from monitor import __version__
    from monitor.evaluation_report import PROTOCOL, report
    from monitor.line import LineConfig

    timing = run.timing
    return {
        "strapwatch": __version__,
        "model": None if classifier is None else classifier.name,
        "settings_hash": LineConfig().version(),
        **report(run.scores, learning=learning),
        **_alarm_figures(run),
        "refused": run.refused,
        "samples_per_second": timing.samples / run.total_s,
        "times_real_time": timing.signal_s / run.total_s,
        "seconds": {
            "signal": timing.signal_s,
            "total": run.total_s,
            "stages": timing.stages_s,
            "classifier": timing.classifier_s,
            "processor": run.processor_s,
        },
        "stages": {
            "samples_per_second": timing.samples / timing.stages_s,
            "times_real_time": timing.signal_s / timing.stages_s,
        },
        "protocol": {**PROTOCOL, "window_s": scoring.window_s, "noisy_segments_only": scoring.noisy_only},
    }


def _alarm_figures(run: _Outcome) -> dict[str, Any]:
    if not run.alarms:
        return {}
    from models.splits import DS2
    from monitor.alarm_report import report

    return report(run.alarms, DS2)


def _print_alarms(summary: dict[str, Any], console: "Console") -> None:
    from monitor.alarm_report import alarm_table

    for group, alarms in summary["alarm_totals"].items():
        if alarms["records"]:
            console.print(f"\nAlarms, {group.replace('_', ' ')}, {alarms['records']} records", style="bold")
            console.print(alarm_table(alarms))


def _write_json(summary: dict[str, Any], file: Path | None) -> None:
    text = json.dumps(summary, indent=2, allow_nan=False)
    if file is None:
        typer.echo(text)
        return
    try:
        file.write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--json {file}: {error.strerror}") from error


def _say(errors: "Console", text: str) -> None:
    errors.print(f"strapwatch: {text}", markup=False, highlight=False, soft_wrap=True)
