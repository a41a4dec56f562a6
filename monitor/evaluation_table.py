"""The figures of `strapwatch evaluate` as tables for a terminal."""

from collections.abc import Sequence
from typing import Any, Final

from rich.box import SIMPLE_HEAD
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
    window_ms = 1000.0 * summary["protocol"]["window_s"]
    learning = "with" if summary["learning_included"] else "without"
    _title(console, f"R peaks, {learning} the first five minutes; fractions 0 to 1, window {window_ms:g} ms")
    console.print(_r_peaks(scores, summary))
    if classified:
        _title(
            console, "Classes by record; V and S by EC57: F or Q called V, and Q called S, are no false ones"
        )
        console.print(_record_classes(scores, summary))
        apart = "neither paced nor trained on"
        _title(console, f"Classes, gross, of {len(summary['gross']['class_records'])} records {apart}")
        console.print(_classes(summary["gross"]))
        _title(console, "Reference class (rows) and what it was called")
        console.print(_confusion(summary["gross"]))
    _print_notes(scores, summary, console, classified=classified)


def _title(console: Console, text: str) -> None:
    console.print(f"\n{text}", style="bold", markup=False, highlight=False, soft_wrap=True)


def _table(names: Sequence[str], *, left: int = 1) -> Table:
    """Return an empty table whose first `left` columns hold words and the others numbers."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for place, name in enumerate(names):
        table.add_column(name, justify="left" if place < left else "right", no_wrap=True)
    return table


def _r_peaks(scores: Sequence[RecordScore], summary: dict[str, Any]) -> Table:
    table = _table(("record", "lead", "beats", "missed", "extra", "Se", "+P", "F1"), left=2)
    for record in scores:
        table.add_row(record.name, record.lead, *_qrs(summary["records"][record.name]["qrs"]))
    table.add_section()
    table.add_row(f"gross, {len(scores)} records", "", *_qrs(summary["gross"]["qrs"]), style="bold")
    other = "without_learning" if summary["learning_included"] else "with_learning"
    name = other.replace("_learning", " first 5 min")
    table.add_row(name, "", *_qrs(summary["gross_qrs"][other]))
    return table


def _record_classes(scores: Sequence[RecordScore], summary: dict[str, Any]) -> Table:
    table = _table(("record", "V Se", "V +P", "S Se", "S +P", "right", "baseline"))
    table.add_column("")
    for record in scores:
        table.add_row(record.name, *_of_classes(summary["records"][record.name]), _marks(record))
    table.add_section()
    table.add_row("gross", *_of_classes(summary["gross"]), "", style="bold")
    return table


def _classes(gross: dict[str, Any]) -> Table:
    table = _table(("class", "beats", "Se", "+P", "+P by EC57"))
    for name in AAMI_CLASSES:
        score, by_rule = gross["classes"][name], gross["ec57"].get(name)
        ec57 = _NOTHING if by_rule is None else _number(by_rule["ppv"])
        table.add_row(name, str(score["n"]), _number(score["se"]), _number(score["ppv"]), ec57)
    return table


def _confusion(gross: dict[str, Any]) -> Table:
    table = _table(("", *LABELS, "not detected"))
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
    error, delay = summary["peaks"]["position_error_samples"], summary["peaks"]["delay_s"]
    if delay["median"] is not None and error["median"] is not None:
        lines.append(
            f"R peaks lie {error['median']:.0f} (median), {error['p95']:.0f} (p95) samples from the reference; "
            f"known {delay['median']:.3f} s (median), {delay['p99']:.3f} s (p99) after they happened"
        )
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


def _of_classes(figures: dict[str, Any]) -> list[str]:
    ec57 = figures["ec57"]
    values = [ec57["V"]["se"], ec57["V"]["ppv"], ec57["S"]["se"], ec57["S"]["ppv"]]
    return [_number(value) for value in (*values, figures["accuracy"], figures["baseline"])]


def _marks(record: RecordScore) -> str:
    marks = (("paced", record.paced), ("trained on this", record.trained_on))
    return ", ".join(mark for mark, applies in marks if applies)


def _number(value: float | None) -> str:
    return _NOTHING if value is None else f"{value:.4f}"
