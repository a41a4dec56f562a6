"""Trains Grunet and writes weights with their card: ``python -m models.train --help``."""

import datetime as dt
import platform
import subprocess
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.progress import MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from models.splits import CHOOSING_ONLY, DS1, DS2, FOLDS, NEVER_FITTED, SVDB_TRAINING

if TYPE_CHECKING:
    from models.beat_set import BeatSet
    from models.card import ModelCard
    from models.training import Epoch, Network
    from monitor.contract import FloatArray

MODEL_VERSION: Final = "2.3"
_WEIGHTS: Final = Path(__file__).parent / "weights"
_INTENDED_USE: Final = (
    "Beat classes (AAMI N, S, V, F, Q) of one ECG lead of an exercising adult, for a team that is watched by people. "
    "Research software, not a medical device: no diagnosis, and no decision without a person, rests on it."
)
_PROTOCOL: Final = (
    "Inter-patient: settings, bias, temperature and threshold chosen by cross-validation over the patients of DS1 and "
    "of 29 svdb records, then fitted to all of them but 201; tested on DS2 (de Chazal 2004). First lead, beats as the "
    "streaming monitor announces them, paired with the reference within 150 ms, whole records. The athlete's own "
    "template is learnt without labels as the record goes by. A beat not announced, cut short or unsure is wrong."
)
_CROSSFIT_PROTOCOL: Final = (
    "The other way round: fitted to DS2 without 202, whose person is 201's, and 29 svdb records, with settings, bias, "
    "temperature and threshold of the shipped network, so that the classes of DS1 can come from a network that has not "
    "seen its patients."
)
_LIMITS: Final = [
    "Class Q is not learnt (next to no such beats in the training patients); paced rhythm is outside its use.",
    "Class F does not carry over to new patients: nearly all F beats of training are one patient's (record 208).",
    "Where early atrial beats are the rule (record 232), most pass for N; in atrial fibrillation some N pass for S.",
    "Where conduction comes back after a block, RR intervals halve at once: such N beats pass for S (record 231).",
    "Aberrantly conducted S beats pass for V.",
    "It was trained on Holter recordings of everyday life, not on exercise and not on chest straps.",
]


def train(
    *,
    network: Annotated[str, typer.Option(help="grunet or grunet-paper")] = "grunet",
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Passes; the learning rate's cycle spans them all.")
    ] = None,
    beats: Annotated[int | None, typer.Option(min=64, help="Beats per epoch.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, draws, augmentation and dropout.")] = 1,
    crossfit: Annotated[
        bool, typer.Option(help="Fit to DS2 instead of DS1, with the shipped network's constants.")
    ] = False,
    folder: Annotated[
        Path | None,
        typer.Option(
            help="Checkpoints and logs; an interrupted run resumes from here. "
            "build/training by default, build/crossfit with --crossfit."
        ),
    ] = None,
    weights: Annotated[
        Path | None,
        typer.Option(help="File to write; the shipped one, models/weights/NETWORK.safetensors, by default."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads.")] = 1,
) -> None:
    """Cross-validate on the training patients, fit to all of them, and write weights with their card.

    Example: python -m models.train --folder build/training

    Recordings are looked for in STRAPWATCH_DATA, else in the user's data folder. DS2 is not touched: test the outcome
    once, with python -m models.evaluate_ds2.
    """
    import torch

    from models.beat_set import BeatSet
    from models.card import read_card
    from models.cross_validation import cross_validate, cross_validate_sequence, taught, without
    from models.grunet import build
    from models.sequence_training import SequenceSettings, fit_sequence
    from models.sequencing import describe
    from models.softmax import softmax
    from models.synthetic_beats import synthetic_beats, trust_of
    from models.training import TrainingSettings
    from models.training import train as fit

    torch.set_num_threads(threads)
    folder = folder or Path("build") / ("crossfit" if crossfit else "training")
    given = {"epochs": epochs, "beats_per_epoch": beats}
    settings = TrainingSettings(**{k: v for k, v in given.items() if v is not None}, seed=seed)
    in_sequence = SequenceSettings(seed=seed)
    began = time.monotonic()
    first, second = training_beats((*(DS2 if crossfit else DS1), *SVDB_TRAINING))
    made_up = synthetic_beats(first.of(*_fitted(first)))

    def make() -> "Network":
        torch.manual_seed(seed)
        return build(network)

    with _progress() as progress:
        task = progress.add_task("training", total=settings.epochs * (FOLDS + 1))

        def report(fold: int, epoch: "Epoch") -> None:
            progress.update(task, completed=fold * settings.epochs + epoch.epoch)
            progress.print(
                f"{'final' if fold == FOLDS else f'fold {fold}'}  epoch {epoch.epoch:2d}  loss {epoch.loss:.4f}"
            )

        logits = cross_validate(make, first, settings, folder, more=[second], judged=made_up, report=report)
        built = make()
        training = without(BeatSet.join([first, second]), NEVER_FITTED).learnable()
        fit(built, training, None, settings, folder / "final", report=lambda epoch: report(FOLDS, epoch))
    asked = BeatSet.join([first, second, *made_up])
    probabilities = softmax(logits)
    described = describe(asked, probabilities)
    trust = trust_of(asked)
    judged = cross_validate_sequence(first.names, asked, probabilities, described, trust, in_sequence)[
        : len(first)
    ]
    fitted = taught(asked, NEVER_FITTED)
    sequence = fit_sequence(
        probabilities[fitted],
        described[fitted],
        asked.label[fitted],
        asked.record[fitted],
        trust[fitted],
        in_sequence,
    )
    path = weights or (_WEIGHTS / "crossfit" if crossfit else _WEIGHTS) / f"{network}.safetensors"
    constants = (
        _constants_of(read_card(_WEIGHTS / f"{network}.safetensors"))
        if crossfit
        else calibrate(judged, first)
    )
    results = {} if crossfit else {"cross_validation": judge(judged, first, constants)}
    card = ship(
        built,
        network,
        path,
        sequence=sequence,
        constants=constants,
        training_records=sorted({training.names[k].partition("#")[0] for k in set(training.record.tolist())}),
        validation_records=[] if crossfit else sorted(CHOOSING_ONLY),
        training={
            **asdict(settings),
            "leads": 2,
            "sequence": asdict(in_sequence),
            "synthetic_records": len(made_up),
            "minutes": round((time.monotonic() - began) / 60, 1),
            "machine": f"{platform.machine()}, {threads} thread(s)",
        },
        results=results,
        protocol=_CROSSFIT_PROTOCOL if crossfit else _PROTOCOL,
    )
    print(f"{path}: bias {card.class_bias}, temperature {card.temperature}, unsure below {card.unsure_below}")


def calibrate(logits: "FloatArray", beats: "BeatSet") -> dict[str, Any]:
    """Return class bias, temperature and thresholds fitted to the logits of patients that were left out.

    Parameters
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        See `models.cross_validation.cross_validate`.
    beats : BeatSet
        What they are of.
    """
    import numpy as np

    from models.calibration import fit_class_bias, fit_poor, fit_temperature, fit_unsure
    from models.softmax import softmax

    fit = beats.complete & (beats.label >= 0)
    label = beats.label[fit]
    bias = fit_class_bias(logits[fit], label, beats.record[fit])
    biased = logits[fit] + np.array(bias, np.float32)
    temperature = fit_temperature(biased, label)
    called = (logits + np.array(bias, np.float32)).argmax(axis=1)
    return {
        "class_bias": bias,
        "temperature": temperature,
        "unsure_below": fit_unsure(softmax(biased / np.float32(temperature)), label),
        "poor_below": fit_poor(beats.quality[beats.complete], (called == beats.label)[beats.complete]),
    }


def ship(
    built: "Network",
    name: str,
    path: Path,
    *,
    sequence: dict[str, "FloatArray"],
    constants: dict[str, Any],
    training_records: list[str],
    validation_records: list[str],
    training: dict[str, Any],
    results: dict[str, Any],
    protocol: str = _PROTOCOL,
) -> "ModelCard":
    """Write a trained network's weights and card.

    Parameters
    ----------
    built : Grunet or GrunetPaper
        Trained.
    name : str
        See `models.grunet.build`.
    path : Path
        The ``.safetensors`` file.
    sequence : dict of str to ndarray
        Tensors of the network in sequence, see `models.sequence_training.fit_sequence`.
    constants : dict
        As `calibrate` gives them.
    training_records, validation_records, training, results, protocol
        See `models.card.ModelCard`.
    """
    import torch
    from safetensors.torch import save_file

    from models.card import ModelCard, sha256_of, write_card
    from models.encoding import ENCODING_VERSION
    from models.grunet import config_of
    from models.sizes import SEQUENCE_PREFIX
    from monitor.beats import input_path_version
    from monitor.contract import AAMI_CLASSES

    state = {key: value.detach().cpu().contiguous() for key, value in built.state_dict().items()}
    state |= {key: torch.from_numpy(value) for key, value in sequence.items()}
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
        **constants,
        training_records=training_records,
        validation_records=validation_records,
        training=training,
        results=results,
        intended_use=_INTENDED_USE,
        protocol=protocol,
        limits=_LIMITS,
        date=dt.datetime.now(dt.UTC).date().isoformat(),
        commit=commit(),
        sequence=dict(zip(("members", "width"), state[f"{SEQUENCE_PREFIX}joint"].shape[:2], strict=True)),
    )
    write_card(card, path)
    return card


def training_beats(names: Sequence[str]) -> tuple["BeatSet", "BeatSet"]:
    """Return the beats of the first and of the second lead of some records, with a progress bar."""
    from models.beat_data import load_beats

    with _progress() as progress:
        task = progress.add_task("cutting beats", total=2 * len(names))

        def report(_: str) -> None:
            progress.advance(task)

        return load_beats(names, report=report), load_beats(names, lead=1, report=report)


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


def _fitted(beats: "BeatSet") -> list[str]:
    return [name for name in beats.names if name not in NEVER_FITTED]


def _constants_of(card: "ModelCard") -> dict[str, Any]:
    return {name: getattr(card, name) for name in ("class_bias", "temperature", "unsure_below", "poor_below")}


def judge(logits: "FloatArray", beats: "BeatSet", constants: dict[str, Any]) -> dict[str, Any]:
    """Score the left-out patients with the constants fitted to all of them together: flattering by those.

    Parameters
    ----------
    logits, beats
        See `calibrate`.
    constants : dict
        As `calibrate` gives them.

    Returns
    -------
    dict
        By database, as `models.evaluation.describe` gives it; empty where there are no records of one.
    """
    import numpy as np

    from models.evaluation import describe
    from models.softmax import softmax
    from monitor.contract import UNSURE_LABEL
    from monitor.qrs_presence import lacks_qrs

    probabilities = softmax(
        (logits + np.array(constants["class_bias"], np.float32)) / np.float32(constants["temperature"])
    )
    poor = (beats.quality > 0) & (beats.quality < constants["poor_below"])
    whole = beats.complete & ~lacks_qrs(beats.window, beats.template)
    sure = (probabilities.max(axis=1) >= constants["unsure_below"]) & whole & ~poor
    label = np.where(sure, probabilities.argmax(axis=1), UNSURE_LABEL)
    parts = {}
    for database in ("mitdb", "svdb"):
        names = [name for name in beats.names if name.startswith(f"{database}/")]
        chosen = np.isin(beats.record, [beats.names.index(name) for name in names])
        parts[database] = describe(beats.of(*names).count(label[chosen])) if names else {}
    return parts


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
