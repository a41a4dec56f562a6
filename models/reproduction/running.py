"""Carries out one run: beats, split, training, test, outcome."""

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from models.reproduction import outcome
from models.reproduction.experiments import CLASSES_OF, Database, Experiment
from models.reproduction.fitting import Budget, fit, predict
from models.reproduction.networks import build
from models.reproduction.preprocessing import combination
from models.reproduction.protocols import split
from models.reproduction.windows import load_windows
from models.train import commit
from monitor.errors import RecordError
from simulators.records import data_folder, records_in


def records_of(database: Database) -> tuple[str, ...]:
    """Return the records of a database that are here, all of them: however many a user has fetched.

    Raises
    ------
    RecordError
        If there are none.
    """
    return tuple(f"{database}/{stem.name}" for stem in records_in(data_folder() / database))


def is_done(kept: dict[str, Any] | None, experiment: Experiment, budget: Budget) -> bool:
    """Return whether a run needs not be carried out: its outcome is current and of no fewer records than are here.

    Parameters
    ----------
    kept : dict or None
        Its outcome, if there is one.
    experiment, budget
        See `models.reproduction.outcome.is_current`.
    """
    if kept is None or not outcome.is_current(kept, experiment, budget):
        return False
    try:
        here = len(records_of(experiment.database))
    except RecordError:
        return True
    # Somebody who has fetched more of a database wants its figures; who has fewer must not lose those of all.
    return bool(here <= kept["beats"]["records"])


def run(
    experiment: Experiment,
    budget: Budget,
    folder: Path,
    *,
    report: Callable[[int, float], None] = lambda _epoch, _loss: None,
    stop: Callable[[], bool] = lambda: False,
    records: tuple[str, ...] | None = None,
) -> dict[str, Any] | None:
    """Carry out one run, or go on with it.

    Parameters
    ----------
    experiment : Experiment
        Which.
    budget : Budget
        The equal one, the same for every network.
    folder : Path
        Holds a folder of its own for every run's checkpoint.
    report, stop : callable
        See `models.reproduction.fitting.fit`.
    records : tuple of str, optional
        Instead of all records of the database.

    Returns
    -------
    dict or None
        The outcome, see `models.reproduction.outcome.describe`; none if it was stopped before its end.
    """
    classes = CLASSES_OF[experiment.database]
    budget = experiment.budget_of(budget)
    beats = load_windows(
        records or records_of(experiment.database),
        combination(experiment.filters),
        experiment.direction,
        leads=experiment.leads,
    )
    parts = split(beats, experiment.protocol, experiment.seed)
    training, testing = (part[beats.label[part] < classes] for part in (parts.training, parts.testing))
    window, label = beats.window[training], beats.label[training]
    torch.manual_seed(experiment.seed)
    network = build(experiment.network, leads=experiment.leads)
    own = folder / experiment.key
    progress = fit(network, window, label, classes, budget, experiment.seed, own, report=report, stop=stop)
    if len(progress.losses) < budget.epochs:
        return None
    answer = predict(network, beats.window[testing], window, label, classes, budget)
    return outcome.describe(
        experiment,
        budget,
        outcome.confusion(beats.label[testing], answer, classes),
        beats={
            "training": np.bincount(label, minlength=classes).tolist(),
            "testing": np.bincount(beats.label[testing], minlength=classes).tolist(),
            "left_out_too_near_an_end": beats.too_near_an_end,
            "test_windows_that_overlap_training": round(parts.shared, 4),
            "records": len(beats.records),
        },
        parameters=sum(value.numel() for value in network.parameters()),
        losses=progress.losses,
        seconds=progress.seconds,
        commit=commit(),
        date=dt.datetime.now(dt.UTC).date().isoformat(),
    )
