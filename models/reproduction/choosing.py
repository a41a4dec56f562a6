"""Budgets compared on a validation part of the training beats, so that nothing is chosen on test beats.

``python -m models.reproduction.choosing --network GRU --shift 8`` trains with seven eighths of the training beats of
the random split of beats, answers the last eighth, and adds a line to ``models/reports/reproduction-choice.jsonl``.
"""

import datetime as dt
import json
from dataclasses import asdict, replace
from itertools import product
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import torch
import typer

from models.command import run as run_command
from models.compiled_layers import keep_freed_memory
from models.reproduction.experiments import ALL_FILTERS
from models.reproduction.fitting import Budget, fit, predict
from models.reproduction.networks import build
from models.reproduction.outcome import CHOICE, confusion, figures
from models.reproduction.preprocessing import combination
from models.reproduction.protocols import AS_THE_PAPER, split
from models.reproduction.running import records_of
from models.reproduction.windows import load_windows

_VALIDATION_SHARE: Final = 8
_CLASSES: Final = 5
_ONE_LOOK: Final = [Budget().looks]
_WHOLE_PRIOR: Final = [Budget().prior]
_AT_TEST: Final = ("looks", "prior")
"""What is spent at test alone: training is the same whatever it is."""


def choose(
    network: Annotated[str, typer.Option()] = "GRU",
    epochs: Annotated[int, typer.Option(min=1)] = Budget().epochs,
    batch: Annotated[int, typer.Option(min=1)] = Budget().batch,
    rate: Annotated[float, typer.Option(help="Peak of the learning rate.")] = Budget().peak_rate,
    decay: Annotated[float, typer.Option(help="Weight decay.")] = Budget().weight_decay,
    shift: Annotated[int, typer.Option(min=0)] = Budget().shift,
    gain: Annotated[float, typer.Option(min=0.0)] = Budget().gain,
    stretch: Annotated[float, typer.Option(min=0.0, max=0.5)] = Budget().stretch,
    mix: Annotated[float, typer.Option(min=0.0)] = Budget().mix,
    looks: Annotated[
        list[int], typer.Option(min=1, help="At how many places a window is looked at; a line each.")
    ] = _ONE_LOOK,
    prior: Annotated[
        list[float], typer.Option(min=0.0, max=1.0, help="How far logits are moved; a line each.")
    ] = _WHOLE_PRIOR,
    leads: Annotated[int, typer.Option(min=1, max=2)] = 1,
    folder: Annotated[Path, typer.Option(help="Checkpoints.")] = Path("build/reproduction-choice"),
) -> None:
    """Train with a part of the training beats and answer the rest of them."""
    torch.set_num_threads(1)
    keep_freed_memory()
    budget = Budget(
        epochs=epochs,
        batch=batch,
        peak_rate=rate,
        weight_decay=decay,
        shift=shift,
        gain=gain,
        stretch=stretch,
        mix=mix,
    )
    beats = load_windows(records_of("mitdb"), combination(ALL_FILTERS), "zero-phase", leads=leads)
    mine = np.random.default_rng(1).permutation(split(beats, AS_THE_PAPER, 1).training)
    held, kept = np.split(mine, [len(mine) // _VALIDATION_SHARE])
    torch.manual_seed(1)
    trained = build(network, leads=leads)
    spent = [f"{key}{value:g}" for key, value in asdict(budget).items() if key not in _AT_TEST]
    named = "_".join([network.lower(), *spent, f"leads{leads}"])
    losses = fit(
        trained,
        beats.window[kept],
        beats.label[kept],
        _CLASSES,
        budget,
        1,
        folder / named,
        report=lambda epoch, loss: print(f"epoch {epoch}, loss {loss:.4f}", flush=True),
    ).losses
    for each, share in product(looks, prior):
        looked = replace(budget, looks=each, prior=share)
        answer = predict(trained, beats.window[held], beats.window[kept], beats.label[kept], _CLASSES, looked)
        found = figures(confusion(beats.label[held], answer, _CLASSES))
        line = {
            "network": network,
            "leads": leads,
            "budget": asdict(looked),
            "validation_beats": len(held),
            "accuracy": round(found["accuracy"], 4),
            "macro_f1": round(found["macro_f1"], 4),
            "f1": {name: round(of_class["f1"], 4) for name, of_class in found["classes"].items()},
            "last_loss": round(losses[-1], 4),
            "date": dt.datetime.now(dt.UTC).date().isoformat(),
        }
        with CHOICE.open("a") as file:
            file.write(json.dumps(line) + "\n")
        print(line)


if __name__ == "__main__":
    run_command(choose)
