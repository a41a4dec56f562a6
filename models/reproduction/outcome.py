"""What a run gave: counts, the figures that follow from them, their origin. Kept as JSON, one file a run."""

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.reproduction.experiments import CLASSES_OF, Experiment, experiments
from models.reproduction.fitting import Budget
from monitor.contract import AAMI_CLASSES

RESULTS: Final = Path(__file__).parent.parent / "reports" / "reproduction"
CHOICE: Final = RESULTS.parent / "reproduction-choice.jsonl"
"""Budgets compared on validation beats, one line each, see `models.reproduction.choosing`."""


def confusion(reference: NDArray[np.int64], answer: NDArray[np.int64], classes: int) -> NDArray[np.int64]:
    """Return counts, reference in rows and answer in columns, int64 of shape ``[classes, classes]``."""
    table = np.zeros((classes, classes), np.int64)
    np.add.at(table, (reference, answer), 1)
    return table


def figures(table: NDArray[np.int64]) -> dict[str, Any]:
    """Return the paper's metrics of a confusion matrix, all as shares of 1.

    Macro values are means over the classes that the reference holds. A class that nothing was called has precision
    0, not none: leaving it out would reward never naming a rare class.
    """
    right = np.diag(table).astype(np.float64)
    of_reference = table.sum(axis=1)
    of_answer = table.sum(axis=0)
    present = of_reference > 0
    recall = np.divide(right, of_reference, out=np.zeros_like(right), where=present)
    precision = np.divide(right, of_answer, out=np.zeros_like(right), where=of_answer > 0)
    both = precision + recall
    f1 = np.divide(2 * precision * recall, both, out=np.zeros_like(right), where=both > 0)
    return {
        "accuracy": float(right.sum() / table.sum()),
        "baseline": float(of_reference.max() / table.sum()),
        "macro_precision": float(precision[present].mean()),
        "macro_recall": float(recall[present].mean()),
        "macro_f1": float(f1[present].mean()),
        "classes": {
            name: {
                "n": int(of_reference[i]),
                "precision": float(precision[i]),
                "recall": float(recall[i]),
                "f1": float(f1[i]),
            }
            for i, name in enumerate(AAMI_CLASSES[: len(table)])
        },
    }


def describe(
    experiment: Experiment,
    budget: Budget,
    table: NDArray[np.int64],
    *,
    beats: dict[str, Any],
    parameters: int,
    losses: list[float],
    seconds: float,
    commit: str,
    date: str,
) -> dict[str, Any]:
    """Return everything that is kept of a run."""
    return {
        "experiment": asdict(experiment),
        "key": experiment.key,
        "budget": asdict(budget),
        "classes": list(AAMI_CLASSES[: CLASSES_OF[experiment.database]]),
        "beats": beats,
        "parameters": parameters,
        "confusion": table.tolist(),
        "figures": figures(table),
        "losses": [round(value, 6) for value in losses],
        "processor_seconds": round(seconds, 1),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}, one thread",
        "commit": commit,
        "date": date,
    }


def write(outcome: dict[str, Any], folder: Path = RESULTS) -> Path:
    """Write a run's outcome, whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome['key']}.json"
    partial = path.with_suffix(".part")
    partial.write_text(json.dumps(outcome, indent=1) + "\n")
    partial.replace(path)
    return path


def read_all(folder: Path = RESULTS) -> dict[str, dict[str, Any]]:
    """Return all outcomes there are, by key."""
    return {path.stem: json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))}


def read_choice(path: Path = CHOICE) -> list[dict[str, Any]]:
    """Return the budgets that were compared, in the order they were tried."""
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def current(outcomes: Mapping[str, dict[str, Any]], budget: Budget) -> dict[str, dict[str, Any]]:
    """Return the outcomes that are of a run as it is defined today, so that nothing stale stands in a table.

    Parameters
    ----------
    outcomes : mapping
        As `read_all` returns them.
    budget : Budget
        The equal budget.
    """
    return {
        run.key: outcomes[run.key] for run in experiments() if is_current(outcomes.get(run.key), run, budget)
    }


def is_current(outcome: dict[str, Any] | None, experiment: Experiment, budget: Budget) -> bool:
    """Return whether an outcome is of this run with this equal budget."""
    return (
        outcome is not None
        # What was run before there was a choice of something had what is the default now.
        and {**asdict(Experiment()), **outcome["experiment"]} == asdict(experiment)
        and {**asdict(Budget()), **outcome["budget"]} == asdict(experiment.budget_of(budget))
    )
