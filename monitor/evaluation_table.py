"""The figures of `strapwatch evaluate` as tables for a terminal."""

from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from monitor.contract import AAMI_CLASSES, LABELS
from monitor.evaluation_report import RecordScore

_NOTHING: Final = "-"


def print_tables(scores: Sequence[RecordScore], summary: dict[str, Any], *, console: Console) -> None:
    """Print each record, the gross figures, the confusion table and the speed.

    Parameters
    ----------
    scores : sequence of RecordScore
        The records, for their order and marks.
    summary : dict
        What `monitor.evaluation_report.report` gave, with model and speed beside.
    console : Console
        Where to.
    """
    classified = summary["model"] is not None
    console.print(_records(scores, summary, classified=classified))
    if classified:
        console.print(_classes(summary))
        console.print(_confusion(summary["gross"]))
    _print_notes(scores, summary, console, classified=classified)


def _records(scores: Sequence[RecordScore], summary: dict[str, Any], *, classified: bool) -> Table:
    learning = "with" if summary["learning_included"] else "without"
    table = Table(
        title=f"R peaks and classes, {learning} the first five minutes; fractions 0 to 1, window 150 ms",
        title_justify="left",
    )
    table.add_column("record", no_wrap=True)
    table.add_column("lead")
    names = ["beats", "missed", "extra", "Se", "+P", "F1"]
    if classified:
        names += ["V Se", "V +P", "S Se", "S +P", "right", "baseline"]
    for name in names:
        table.add_column(name, justify="right", no_wrap=True)
    if classified:
        table.add_column("note")
    for record in scores:
        figures = summary["records"][record.name]
        cells = [record.name, record.lead, *_qrs(figures["qrs"])]
        table.add_row(*cells, *(_of_classes(figures, _marks(record)) if classified else ()))
    both = summary["gross_qrs"]
    table.add_section()
    gross = summary["gross"]
    cells = [f"gross, {len(gross['records'])} records", "", *_qrs(gross["qrs"])]
    note = f"classes: {len(gross['class_records'])} records"
    table.add_row(*cells, *(_of_classes(gross, note) if classified else ()), style="bold")
    other = "without_learning" if summary["learning_included"] else "with_learning"
    table.add_row(f"gross, {other.replace('_learning', ' first 5 min')}", "", *_qrs(both[other]))
    return table


def _classes(summary: dict[str, Any]) -> Table:
    table = Table(
        title="Classes: neither paced records nor such as the model was trained on", title_justify="left"
    )
    table.add_column("class")
    for name in ("beats", "Se", "+P", "+P by EC57"):
        table.add_column(name, justify="right")
    gross = summary["gross"]
    for name in AAMI_CLASSES:
        score, by_rule = gross["classes"][name], gross["ec57"].get(name)
        ec57 = _NOTHING if by_rule is None else _number(by_rule["ppv"])
        table.add_row(name, str(score["n"]), _number(score["se"]), _number(score["ppv"]), ec57)
    return table


def _confusion(gross: dict[str, Any]) -> Table:
    table = Table(title="Reference class (rows) and what it was called", title_justify="left")
    table.add_column("")
    for name in (*LABELS, "not detected"):
        table.add_column(name, justify="right")
    for name, row in zip(AAMI_CLASSES, gross["confusion"], strict=True):
        cells = [*row, gross["unsure"][name], gross["undetected"][name]]
        table.add_row(name, *(str(cell) for cell in cells))
    table.add_section()
    table.add_row("no beat", *(str(gross["extra"][name]) for name in LABELS), "")
    return table


def _print_notes(
    scores: Sequence[RecordScore], summary: dict[str, Any], console: Console, *, classified: bool
) -> None:
    lines = []
    if classified:
        gross = summary["gross"]
        lines.append(
            f"model {summary['model']}; right {_number(gross['accuracy'])}, where calling every beat by the "
            f"commonest class gives {_number(gross['baseline'])}"
        )
        lines += [f"{record.name}: {record.note}" for record in scores if record.note]
        lines.append("V and S +P of records by EC57: an F or Q called V, and a Q called S, is no false one")
    seconds, stages = summary["seconds"], summary["stages"]
    lines.append(
        f"{seconds['signal']:.0f} s of signal in {seconds['total']:.1f} s, {summary['times_real_time']:.0f} "
        f"times real time ({seconds['processor']:.1f} s of processor); "
        f"stages alone {seconds['stages']:.1f} s, {stages['times_real_time']:.0f} times, "
        f"of which classifier {seconds['classifier']:.1f} s"
    )
    lines.append(f"{summary['samples_per_second']:.0f} samples a second; settings {summary['settings_hash']}")
    for line in lines:
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _qrs(qrs: dict[str, Any]) -> list[str]:
    counts = [str(qrs["tp"] + qrs["fn"]), str(qrs["fn"]), str(qrs["fp"])]
    return [*counts, _number(qrs["se"]), _number(qrs["ppv"]), _number(qrs["f1"])]


def _of_classes(figures: dict[str, Any], note: str) -> list[str]:
    ec57 = figures["ec57"]
    values = [ec57["V"]["se"], ec57["V"]["ppv"], ec57["S"]["se"], ec57["S"]["ppv"]]
    return [*(_number(value) for value in (*values, figures["accuracy"], figures["baseline"])), note]


def _marks(record: RecordScore) -> str:
    marks = (("paced", record.paced), ("trained on this", record.trained_on))
    return ", ".join(mark for mark, applies in marks if applies)


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.4f}"
