"""The paper's tables with ours beside them, from the outcomes that there are; what has not run is said to be open."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from models.reproduction.experiments import (
    ALL_FILTERS,
    CLASSES_OF,
    FILTERS,
    FILTERS_EPOCHS,
    LONG,
    LOOKS,
    MOST,
    SEEDS,
    Database,
    Experiment,
    experiments,
)
from models.reproduction.fitting import Budget
from models.reproduction.networks import NETWORKS, WIDER
from models.reproduction.preprocessing import DIRECTIONS, Direction
from models.reproduction.protocols import AS_THE_PAPER, INTER_PATIENT, OF_MINUTES, Protocol
from monitor.contract import AAMI_CLASSES

Outcomes = Mapping[str, dict[str, Any]]
OPEN: Final = "not yet run"
PAPER_TABLE_1: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "low-pass": (0.9796, 0.9441, 0.9111, 0.9257),
    "high-pass": (0.9861, 0.9684, 0.9303, 0.9472),
    "wavelet": (0.9823, 0.9516, 0.9195, 0.9340),
    "high-pass + low-pass": (0.9816, 0.9426, 0.9161, 0.9285),
    "high-pass + wavelet": (0.9834, 0.9513, 0.9207, 0.9348),
    "low-pass + wavelet": (0.9840, 0.9613, 0.9225, 0.9402),
    ALL_FILTERS: (0.9863, 0.9707, 0.9374, 0.9525),
}
"""Accuracy, macro precision, macro recall, macro F1."""
PAPER_TABLE_2: Final[Mapping[str, tuple[float, float, float, float]]] = {
    "RNN": (0.9863, 0.9707, 0.9374, 0.9525),
    "CNN": (0.9932, 0.9789, 0.9779, 0.9765),
    "GRU": (0.9871, 0.9728, 0.9443, 0.9574),
    "Grunet": (0.9956, 0.9876, 0.9792, 0.9833),
}
PAPER_TABLE_3: Final[Mapping[Database, tuple[tuple[str, float], ...]]] = {
    "mitdb": (
        ("CNN + STFT", 0.9885),
        ("2D-CNN-LSTM", 0.981),
        ("ResNet + SMOTE", 0.979),
        ("CNN", 0.9683),
        ("CNN-LSTM", 0.9796),
        ("AlexNet + ResNet", 0.9628),
        ("AlexNet", 0.9344),
        ("DT + RNN", 0.91),
        ("optimised CNN", 0.9319),
        ("Grunet, the paper", 0.9956),
    ),
    "edb": (
        ("CNN", 0.9629),
        ("MMNNS", 0.937),
        ("CNN + MLP", 0.98),
        ("CNN", 0.9939),
        ("Grunet, the paper", 0.9947),
    ),
}
PAPER_RECALL: Final[Mapping[Database, Mapping[str, float]]] = {
    "mitdb": {"N": 1.0, "S": 0.83, "V": 0.97, "F": 0.99, "Q": 1.0},
    "edb": {"N": 1.0, "S": 0.99, "V": 1.0},
}
"""The diagonals of the paper's figures 7 and 8."""
MEASURES: Final = ("accuracy", "macro_precision", "macro_recall", "macro_f1")


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a name, and cells that are text already."""

    name: str
    cells: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """One table.

    Attributes
    ----------
    title, note : str
        Above and below it.
    head : tuple of str
        Of the columns after the name.
    rows : tuple of Row
        As many cells as `head`.
    """

    title: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]
    note: str = ""


def four(outcome: dict[str, Any] | None) -> str:
    """Return accuracy and the macro values of an outcome, with a slash between, or that it is open."""
    return OPEN if outcome is None else _joined([outcome["figures"][name] for name in MEASURES])


def _joined(values: Any) -> str:
    return " / ".join(f"{value:.4f}" for value in values)


def _baseline(outcome: dict[str, Any] | None) -> str:
    return "" if outcome is None else f"{outcome['figures']['baseline']:.4f}"


def filters_sheet(outcomes: Outcomes, network: str, direction: Direction) -> Sheet:
    """Return Table 1 for one network and one way of filtering."""
    rows = []
    epochs = FILTERS_EPOCHS[network]
    for filters in FILTERS:
        ours, honest = (
            outcomes.get(
                Experiment(
                    filters=filters, direction=direction, network=network, protocol=protocol, epochs=epochs
                ).key
            )
            for protocol in (AS_THE_PAPER, INTER_PATIENT)
        )
        cells = (
            _joined(PAPER_TABLE_1[filters]),
            four(ours),
            _baseline(ours),
            four(honest),
            _baseline(honest),
        )
        rows.append(Row(filters, cells))
    return Sheet(
        f"Table 1, filters, with {network}, {direction}",
        ("paper", f"ours, {AS_THE_PAPER}", "baseline", f"the same, {INTER_PATIENT}", "baseline"),
        tuple(rows),
        "Accuracy / macro precision / macro recall / macro F1; baseline: accuracy of calling every beat N. Seed 1, "
        f"{Budget().epochs if epochs is None else epochs} epochs.",
    )


def modules_sheet(outcomes: Outcomes) -> Sheet:
    """Return Table 2: four networks, equal budget, mean and spread over the seeds there are."""
    rows = []
    for network in NETWORKS:
        cells = [_joined(PAPER_TABLE_2[network])]
        for protocol in (AS_THE_PAPER, INTER_PATIENT):
            cells += [*_over_seeds(outcomes, network, protocol)]
        rows.append(Row(network, tuple(cells)))
    return Sheet(
        "Table 2, modules, high-pass + low-pass + wavelet, zero-phase",
        (
            "paper",
            f"ours, {AS_THE_PAPER}",
            "seeds",
            "baseline",
            f"the same, {INTER_PATIENT}",
            "seeds",
            "baseline",
        ),
        tuple(rows),
        "Accuracy / macro precision / macro recall / macro F1: mean over seeds, and in brackets the distance between "
        "the largest and the smallest. Equal training budget for every row.",
    )


def _over_seeds(outcomes: Outcomes, network: str, protocol: Protocol) -> tuple[str, str, str]:
    found = [
        outcome
        for seed in SEEDS
        if (outcome := outcomes.get(Experiment(network=network, protocol=protocol, seed=seed).key))
    ]
    if not found:
        return OPEN, "0", ""
    parts = []
    for measure in MEASURES:
        values = [outcome["figures"][measure] for outcome in found]
        spread = f" ({max(values) - min(values):.4f})" if len(values) > 1 else ""
        parts.append(f"{sum(values) / len(values):.4f}{spread}")
    return " / ".join(parts), str(len(found)), _baseline(found[0])


def databases_sheet(outcomes: Outcomes, database: Database) -> Sheet:
    """Return Table 3 for one database: accuracies the paper cites, and ours with the counts behind them."""
    rows = [
        Row(name, (f"{accuracy:.4f}", "", "as cited", "", ""))
        for name, accuracy in PAPER_TABLE_3.get(database, ())
    ]
    runs = {
        f"Grunet, ours, {direction}": Experiment(database=database, direction=direction)
        for direction in DIRECTIONS
    }
    if database == "mitdb":
        runs[f"Grunet, ours, zero-phase, {LONG} epochs"] = Experiment(epochs=LONG)
        runs["Grunet twice as wide, ours, zero-phase"] = Experiment(network=WIDER)
        runs["Grunet with both leads, ours, zero-phase"] = Experiment(leads=2)
        runs[f"Grunet, ours, zero-phase, looked at in {LOOKS} places"] = Experiment(looks=LOOKS)
        runs["Grunet with all of these, ours, zero-phase"] = MOST
    for name, run in runs.items():
        outcome = outcomes.get(run.key)
        others = replace(run, protocol=INTER_PATIENT)
        honest = outcomes.get(others.key)
        beside = (four(honest), _baseline(honest)) if others in experiments() else ("", "")
        if outcome is None:
            rows.append(Row(name, (OPEN, "", "", *beside)))
            continue
        counts = ", ".join(
            f"{label} {n}" for label, n in zip(outcome["classes"], outcome["beats"]["testing"], strict=True)
        )
        tested = f"tested on {counts} of {outcome['beats']['records']} records"
        rows.append(Row(name, (four(outcome), _baseline(outcome), tested, *beside)))
    return Sheet(
        f"Table 3, {database}, {AS_THE_PAPER}",
        (
            "accuracy, ours with macro precision / recall / F1",
            "baseline",
            "tested on",
            f"the same, {INTER_PATIENT}",
            "baseline",
        ),
        tuple(rows),
        "" if database == "mitdb" else "There is no customary parting of these people into two halves.",
    )


def classes_sheet(outcomes: Outcomes, database: Database) -> Sheet:
    """Return how each class is found, seed 1, zero-phase, all three filters, beside the paper's recall."""
    rows = []
    for network in NETWORKS if database == "mitdb" else ("Grunet",):
        known, others = (
            outcomes.get(Experiment(database=database, network=network, protocol=protocol).key)
            for protocol in (AS_THE_PAPER, INTER_PATIENT)
        )
        for label in AAMI_CLASSES[: CLASSES_OF[database]]:
            paper = PAPER_RECALL.get(database, {}).get(label) if network == "Grunet" else None
            cells = (*_of_class(known, label), *(_of_class(others, label) if database == "mitdb" else ()))
            rows.append(Row(f"{network}, {label}", ("" if paper is None else f"{paper:.2f}", *cells)))
    protocols = (AS_THE_PAPER, INTER_PATIENT) if database == "mitdb" else (AS_THE_PAPER,)
    head = [column for protocol in protocols for column in (f"precision / recall / F1, {protocol}", "beats")]
    return Sheet(f"Class by class, {database}", ("recall, the paper", *head), tuple(rows))


def _of_class(outcome: dict[str, Any] | None, label: str) -> tuple[str, str]:
    if outcome is None:
        return OPEN, ""
    shown = outcome["figures"]["classes"][label]
    return _joined([shown[name] for name in ("precision", "recall", "f1")]), str(shown["n"])


def shared_windows_sheet(outcomes: Outcomes) -> Sheet:
    """Return what shared windows, and shared people, do to the same network."""
    rows = []
    for network in NETWORKS:
        for protocol in (AS_THE_PAPER, OF_MINUTES, INTER_PATIENT):
            outcome = outcomes.get(Experiment(network=network, protocol=protocol).key)
            overlap = (
                "" if outcome is None else f"{outcome['beats']['test_windows_that_overlap_training']:.4f}"
            )
            rows.append(Row(f"{network}, {protocol}", (four(outcome), _baseline(outcome), overlap)))
    return Sheet(
        "The leak: one network, three ways to part the beats",
        (
            "accuracy / macro precision / recall / F1",
            "baseline",
            "share of test windows that overlap training",
        ),
        tuple(rows),
        "Seed 1, zero-phase, all three filters.",
    )


def sheets(outcomes: Outcomes) -> list[Sheet]:
    """Return all tables."""
    return [
        *(
            filters_sheet(outcomes, network, direction)
            for network in ("RNN", "Grunet")
            for direction in DIRECTIONS
        ),
        modules_sheet(outcomes),
        databases_sheet(outcomes, "mitdb"),
        databases_sheet(outcomes, "edb"),
        databases_sheet(outcomes, "svdb"),
        *(classes_sheet(outcomes, database) for database in CLASSES_OF),
        shared_windows_sheet(outcomes),
    ]


def print_tables(outcomes: Outcomes, console: Console) -> None:
    """Print all tables to a terminal."""
    for sheet in sheets(outcomes):
        table = Table(title=sheet.title, title_justify="left", caption=sheet.note, caption_justify="left")
        table.add_column("")
        for name in sheet.head:
            table.add_column(name)
        for row in sheet.rows:
            table.add_row(row.name, *row.cells)
        console.print(table)


def as_markdown(sheet: Sheet) -> str:
    """Return a table for a page."""
    lines = [f"| | {' | '.join(sheet.head)} |", "|---" * (len(sheet.head) + 1) + "|"]
    lines += [f"| {row.name} | {' | '.join(row.cells)} |" for row in sheet.rows]
    return "\n".join(lines) + (f"\n\n{sheet.note}" if sheet.note else "")
