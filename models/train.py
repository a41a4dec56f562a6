"""Trains Grunet on DS1 and writes weights with their card: ``python -m models.train --help``."""

import datetime as dt
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import msgspec
import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models.splits import TRAINING, VALIDATION

if TYPE_CHECKING:
    from models.beat_set import BeatSet
    from models.card import ModelCard
    from models.training import Epoch, Network, TrainingSettings

MODEL_VERSION: Final = "1.0"
_WEIGHTS: Final = Path(__file__).parent / "weights"
_INTENDED_USE: Final = (
    "Beat classes (AAMI N, S, V, F, Q) of one ECG lead of an exercising adult, for a team that is watched by people. "
    "Research software, not a medical device: no diagnosis, and no decision without a person, rests on it."
)
_PROTOCOL: Final = (
    "Inter-patient: fitted to 18 records of DS1; epoch, temperature and threshold chosen on the other 4; tested on "
    "DS2 (de Chazal 2004). First lead, beats as the streaming monitor announces them, paired with the reference within "
    "150 ms, whole records. A beat that is not announced, cut short or unsure is wrong."
)
_LIMITS: Final = [
    "Class Q is not learnt (eight such beats in the training patients); paced rhythm is outside its use.",
    "Class F does not carry over to new patients: nearly all F beats of training are one patient's (record 208).",
    "Class S is weak: training has S beats of a handful of patients, and most of a new patient's pass for N or V.",
    "It knows no patient's own usual beat: at slow rates a broad conducted beat (bundle branch block) can pass for V.",
    "It was trained on Holter recordings of everyday life, not on exercise and not on chest straps.",
]


def train(
    *,
    network: Annotated[str, typer.Option(help="grunet or grunet-paper")] = "grunet",
    epochs: Annotated[
        int, typer.Option(min=1, help="Passes; the learning rate's cycle spans them all.")
    ] = 12,
    beats: Annotated[int, typer.Option(min=64, help="Beats per epoch.")] = 10_000,
    seed: Annotated[int, typer.Option(help="Of weights, draws, augmentation and dropout.")] = 1,
    second_lead: Annotated[bool, typer.Option(help="Learn from the records' second lead too.")] = True,
    folder: Annotated[
        Path, typer.Option(help="Checkpoint and log; an interrupted run resumes from here.")
    ] = Path("build/training"),
    weights: Annotated[
        Path | None,
        typer.Option(help="File to write; the shipped one, models/weights/NETWORK.safetensors, by default."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Train on DS1 and write weights with their card.

    Example: python -m models.train --epochs 12 --folder build/training

    Recordings are looked for in STRAPWATCH_DATA, else in the user's data folder. DS2 is not touched: test the outcome
    once, with python -m models.evaluate_ds2.
    """
    import torch

    from models.grunet import build
    from models.training import TrainingSettings
    from models.training import train as fit

    torch.set_num_threads(threads)
    settings = TrainingSettings(epochs=epochs, beats_per_epoch=beats, seed=seed)
    training, validation = _beats(second_lead=second_lead)
    torch.manual_seed(seed)
    built = build(network)
    with _progress() as progress:
        task = progress.add_task("training", total=epochs)

        def report(epoch: "Epoch") -> None:
            progress.update(task, completed=epoch.epoch)
            progress.print(
                f"epoch {epoch.epoch:2d}  loss {epoch.loss:.4f}  validation F1: S {epoch.s_f1:.3f}, V {epoch.v_f1:.3f}"
                f"  accuracy {epoch.accuracy:.4f}{'  best' if epoch.best else ''}"
            )

        fit(built, training, validation, settings, folder, report=report)
    path = weights or _WEIGHTS / f"{network}.safetensors"
    card = ship(built, network, training, validation, settings, path)
    print(f"{path}: temperature {card.temperature}, unsure below {card.unsure_below}")


def ship(
    built: "Network",
    name: str,
    training: "BeatSet",
    validation: "BeatSet",
    settings: "TrainingSettings",
    path: Path,
) -> "ModelCard":
    """Calibrate a trained network on the validation patients and write its weights and card.

    Parameters
    ----------
    built : Grunet or GrunetPaper
        Trained.
    name : str
        See `models.grunet.build`.
    training, validation : BeatSet
        What it was trained and is calibrated with.
    settings : TrainingSettings
        How it was trained.
    path : Path
        The ``.safetensors`` file.
    """
    from safetensors.torch import save_file

    from models.calibration import fit_temperature, fit_unsure
    from models.card import ModelCard, sha256_of, write_card
    from models.encoding import ENCODING_VERSION
    from models.evaluation import describe
    from models.grunet import config_of
    from models.runtime import Classifier, TorchBackend, softmax
    from models.training import predict
    from monitor.beats import input_path_version
    from monitor.contract import AAMI_CLASSES

    logits = predict(built, validation)
    temperature = fit_temperature(logits, validation.label)
    probabilities = softmax(logits / temperature)
    state = {key: value.detach().cpu().contiguous() for key, value in built.state_dict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file(state, path)
    # safetensors writes for the owner alone; installed weights are for everyone.
    path.chmod(0o644)
    card = ModelCard(
        name=name,
        version=MODEL_VERSION,
        sha256=sha256_of(path),
        network=name,
        config=config_of(built),
        tensors={key: list(value.shape) for key, value in state.items()},
        input_path=input_path_version(),
        encoding=ENCODING_VERSION,
        classes=list(AAMI_CLASSES),
        unsure_below=fit_unsure(probabilities, validation.label),
        temperature=temperature,
        training_records=sorted({key.partition("#")[0] for key in training.names}),
        validation_records=sorted(validation.names),
        training={**asdict(settings), "leads": 2 if any("#" in key for key in training.names) else 1},
        results={},
        intended_use=_INTENDED_USE,
        protocol=_PROTOCOL,
        limits=_LIMITS,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=commit(),
    )
    labels = Classifier(card, [TorchBackend(built, "cpu")]).labels(probabilities)
    card = msgspec.structs.replace(card, results={"validation": describe(validation.count(labels))})
    write_card(card, path)
    return card


def commit() -> str:
    """Return the commit of this checkout, with ``+`` if the source differs from it; ``unknown`` outside a checkout."""
    here = Path(__file__).parent

    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], cwd=here, capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        changed = git("status", "--porcelain", "--untracked-files=no", "--", "*.py")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def _beats(*, second_lead: bool) -> tuple["BeatSet", "BeatSet"]:
    from models.beat_data import load_beats
    from models.beat_set import BeatSet

    with _progress() as progress:
        total = len(TRAINING) * (2 if second_lead else 1) + len(VALIDATION)
        task = progress.add_task("cutting beats", total=total)

        def report(_: str) -> None:
            progress.advance(task)

        parts = [load_beats(TRAINING, report=report)]
        if second_lead:
            parts.append(load_beats(TRAINING, lead=1, report=report))
        validation = load_beats(VALIDATION, report=report)
    return BeatSet.join(parts).learnable(), validation.learnable()


def _progress() -> Progress:
    return Progress(
        SpinnerColumn(), TextColumn("{task.description}"), MofNCompleteColumn(), TimeElapsedColumn()
    )


def main() -> None:
    """Run the command line."""
    from models.command import run

    run(train)


if __name__ == "__main__":
    main()
