"""Training: seeded, resumable, blind to everything but the beats it is handed.

Epoch `e` draws its beats, its augmentation and its dropout from generators seeded with (seed, e), and the learning
rate is a function of the step alone. A checkpoint therefore holds weights, optimiser and history, and a resumed run
ends with the weights of one that was never interrupted.
"""

import copy
import hashlib
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from models.augmentation import augment_context, augment_windows, quicken, strange
from models.beat_set import BeatSet
from models.encoding import encode_context, encode_windows
from models.event_log import add_scalars
from models.grunet import Grunet, GrunetPaper
from monitor.contract import AAMI_CLASSES, FloatArray
from monitor.errors import ModelError
from monitor.scoring import ClassCounts

Network: TypeAlias = Grunet | GrunetPaper

TAUGHT: Final = 0.7
"""Share of a label that teachers decide, where there are any."""
LOG_FILE: Final = "log.jsonl"
BEST_FILE: Final = "best.safetensors"
_CHECKPOINT: Final = "checkpoint.safetensors"
_PROGRESS: Final = "checkpoint.json"
_BATCH_FOR_INFERENCE: Final = 512
_NONE: Final = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSettings:
    """Everything that decides how a training run goes.

    Attributes
    ----------
    epochs : int
        Passes; the one-cycle learning rate is laid over all of them.
    beats_per_epoch : int
        Beats drawn per epoch: all beats of the rare classes, the rest N beats, equally many of each patient.
    batch : int
        Beats per step.
    learning_rate, weight_decay : float
        AdamW's; the rate is the cycle's peak.
    logit_adjustment : float
        Strength of the logit adjustment: 0 learns the class shares of all training beats, however they are drawn, 1
        learns as if all classes were equally frequent (A. K. Menon et al., "Long-tail learning via logit
        adjustment", ICLR 2021).
    label_smoothing : float
        Probability spread over the other classes.
    rare_per_record : int
        Beats of one rare class that one patient gives to an epoch, at most; 0 for no limit.
    quickened : float
        Share of N beats that are made those of a fast, even rhythm, see `models.augmentation.quicken`.
    strange : float
        Share of beats whose window is made one without a beat, to be answered by all classes alike (D. Hendrycks et
        al., "Deep anomaly detection with outlier exposure", ICLR 2019), so that such windows are called unsure.
    averaging : float
        Weights are averaged over steps with this decay; the average is what is validated and kept.
    patience : int
        Epochs without a better validation score after which training ends early.
    seed : int
        Of weights, draws, augmentation and dropout.
    """

    epochs: int = 14
    beats_per_epoch: int = 12_000
    batch: int = 256
    learning_rate: float = 3e-3
    weight_decay: float = 0.02
    logit_adjustment: float = 0.5
    label_smoothing: float = 0.0
    rare_per_record: int = 150
    quickened: float = 0.15
    strange: float = 0.0
    averaging: float = 0.99
    patience: int = 14
    seed: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """What one epoch gave.

    Attributes
    ----------
    epoch : int
        Counted from 1.
    loss : float
        Mean training loss.
    validation : float
        Mean of the F1 of S and of V on the validation patients.
    s_f1, v_f1, accuracy : float
        Parts of it, and the share of all validation beats that is right.
    best : bool
        Whether no epoch before was as good.
    """

    epoch: int
    loss: float
    validation: float
    s_f1: float
    v_f1: float
    accuracy: float
    best: bool


def train(
    network: Network,
    training: BeatSet,
    validation: BeatSet | None,
    settings: TrainingSettings,
    folder: Path,
    *,
    augmented: bool = True,
    teachers: Sequence[Network] = (),
    report: Callable[[Epoch], None] = lambda _: None,
    stop_after: int | None = None,
) -> list[Epoch]:
    """Train `network` in place and leave it with the weights of its best epoch.

    Parameters
    ----------
    network : Grunet or GrunetPaper
        Trained from the weights it has, unless `folder` holds a checkpoint of the same settings.
    training : BeatSet
        Beats to learn from, `BeatSet.learnable`.
    validation : BeatSet or None
        Beats of other patients, to choose the epoch by; without them the last epoch is kept.
    settings : TrainingSettings
        See there.
    folder : Path
        Receives the checkpoint, the best weights, one JSON line per epoch, and the same for TensorBoard.
    augmented : bool
        Whether beats are varied as they are drawn (`models.augmentation`).
    teachers : sequence of Grunet or GrunetPaper
        Trained networks whose mean probabilities stand for `TAUGHT` of each label (G. Hinton, O. Vinyals, J. Dean,
        "Distilling the knowledge in a neural network", 2015). They see each beat as it is varied for `network`.
    report : callable
        Called after each epoch.
    stop_after : int, optional
        Leave after this epoch, as an interruption would; a later call resumes.

    Returns
    -------
    list of Epoch
        All epochs so far, those before a resume included.

    Raises
    ------
    ModelError
        If `folder` holds a checkpoint of other settings, of another network or of other beats.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    average = copy.deepcopy(network)
    described = _described(network, training, settings)
    if teachers:
        described["teachers"] = [_digest(teacher) for teacher in teachers]
    history = _resume(network, average, optimizer, described, folder)
    steps = math.ceil(min(settings.beats_per_epoch, len(training)) / settings.batch)
    for number in range(len(history) + 1, settings.epochs + 1):
        best_before = max((e.validation for e in history), default=-1.0)
        stale = number - 1 - max((e.epoch for e in history if e.best), default=0)
        if stale >= settings.patience:
            break
        loss = _one_epoch(
            network,
            average,
            optimizer,
            training,
            settings,
            number,
            steps,
            augmented=augmented,
            teachers=teachers,
        )
        counts = ClassCounts() if validation is None else _validate(average, validation)
        value = (f1(counts, "S") + f1(counts, "V")) / 2
        epoch = Epoch(
            epoch=number,
            loss=loss,
            validation=value,
            s_f1=f1(counts, "S"),
            v_f1=f1(counts, "V"),
            accuracy=counts.accuracy or 0.0,
            best=validation is None or value > best_before,
        )
        if epoch.best:
            save_file(_cpu(average.state_dict()), folder / BEST_FILE)
        history.append(epoch)
        _save(network, average, optimizer, described, history, folder)
        # Nothing was validated where there are no patients to validate by, and no figure stands for that.
        told = ("loss",) if validation is None else ("loss", "validation", "s_f1", "v_f1", "accuracy")
        known = {name: value for name, value in asdict(epoch).items() if name in ("epoch", "best", *told)}
        with (folder / LOG_FILE).open("a") as log:
            log.write(json.dumps(known) + "\n")
        add_scalars(folder, number, {name: getattr(epoch, name) for name in told})
        report(epoch)
        if stop_after is not None and number >= stop_after:
            return history
    network.load_state_dict(load_file(folder / BEST_FILE))
    return history


def _validate(network: Network, validation: BeatSet) -> ClassCounts:
    return validation.count(predict(network, validation).argmax(axis=1))


def predict(network: Network, beats: BeatSet) -> FloatArray:
    """Return the network's logits for `beats`, shape ``[beats, 5]``."""
    network.eval()
    parts = []
    with torch.inference_mode():
        for begin in range(0, len(beats), _BATCH_FOR_INFERENCE):
            part = slice(begin, begin + _BATCH_FOR_INFERENCE)
            window = torch.from_numpy(encode_windows(beats.window[part], beats.template[part]))
            context = torch.from_numpy(encode_context(beats.context[part]))
            parts.append(network(window, context).numpy())
    return np.concatenate(parts) if parts else np.empty((0, len(AAMI_CLASSES)), np.float32)


def f1(counts: ClassCounts, name: str) -> float:
    """Return the harmonic mean of a class's sensitivity and positive predictivity; 0 if nothing was right."""
    scored = counts.plain()[name]
    if not scored.se or not scored.ppv:
        return 0.0
    return 2 * scored.se * scored.ppv / (scored.se + scored.ppv)


def draw(
    training: BeatSet, beats: int, random: np.random.Generator, *, rare_per_record: int = 0
) -> NDArray[np.int64]:
    """Choose an epoch's beats: S, V, F and Q, then N beats, equally many of each record, in random order.

    Parameters
    ----------
    training : BeatSet
        All there are.
    beats : int
        How many at most.
    random : Generator
        Where the chance comes from.
    rare_per_record : int
        See `TrainingSettings`.
    """
    kinds = training.record * len(AAMI_CLASSES) + training.label
    groups = [np.flatnonzero(kinds == kind) for kind in np.unique(kinds[training.label != 0])]
    limit = rare_per_record or len(training)
    rare = np.concatenate([random.choice(g, min(limit, len(g)), replace=False) for g in groups] or [_NONE])
    if len(rare) > beats // 2:
        rare = random.choice(rare, beats // 2, replace=False)
    left = beats - len(rare)
    common: list[NDArray[np.int64]] = []
    by_record = [
        np.flatnonzero((training.label == 0) & (training.record == r)) for r in np.unique(training.record)
    ]
    # The records with the fewest N beats choose first; what they lack is spread over the others.
    for place, index in enumerate(sorted(by_record, key=len)):
        share = min(len(index), left // (len(by_record) - place))
        common.append(random.choice(index, share, replace=False))
        left -= share
    chosen = np.concatenate([rare, *common])
    return random.permutation(chosen)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """Return the one-cycle learning rate: 30 % cosine rise from a 25th of the peak, then cosine fall to nothing.

    L. N. Smith, N. Topin, "Super-convergence: very fast training of neural networks using large learning rates",
    2019.
    """
    rise = 0.3 * steps
    if step < rise:
        return peak * (0.04 + 0.96 * (1 - math.cos(math.pi * step / rise)) / 2)
    return peak * (1 + math.cos(math.pi * min(1.0, (step - rise) / (steps - rise)))) / 2


def _one_epoch(
    network: Network,
    average: Network,
    optimizer: torch.optim.AdamW,
    training: BeatSet,
    settings: TrainingSettings,
    number: int,
    steps: int,
    *,
    augmented: bool,
    teachers: Sequence[Network],
) -> float:
    random = np.random.default_rng((settings.seed, number))
    torch.manual_seed(settings.seed * 100_003 + number)
    network.train()
    chosen = draw(training, settings.beats_per_epoch, random, rare_per_record=settings.rare_per_record)
    label = training.label[chosen].astype(np.int64)
    prior = torch.from_numpy(_adjustment(training.label, label, settings.logit_adjustment))
    losses = []
    for step, begin in enumerate(range(0, len(chosen), settings.batch)):
        part = chosen[begin : begin + settings.batch]
        if len(part) < 2:  # batch norm has no variance of one beat
            continue
        rate = learning_rate((number - 1) * steps + step, settings.epochs * steps, settings.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = rate
        window, template, context = training.window[part], training.template[part], training.context[part]
        if augmented:
            normal = label[begin : begin + settings.batch] == 0
            quick = normal & (random.random(len(part)) < settings.quickened)
            window, template, context = quicken(window, template, context, quick, random)
            context, template = augment_context(context, template, random)
            window, template = augment_windows(window, template, random)
        no_beat = random.random(len(part)) < settings.strange
        window[no_beat] = strange(window[no_beat], random)
        seen = torch.from_numpy(encode_windows(window, template)), torch.from_numpy(encode_context(context))
        logits = network(*seen)
        one_hot = np.eye(len(AAMI_CLASSES), dtype=np.float32)[label[begin : begin + settings.batch]]
        one_hot[no_beat] = 1 / len(AAMI_CLASSES)
        target = torch.from_numpy(one_hot)
        drawn = prior * torch.from_numpy(~no_beat).unsqueeze(1)
        if teachers:
            target = torch.lerp(target, _taught(teachers, *seen, drawn), TAUGHT)
        loss = functional.cross_entropy(logits + drawn, target, label_smoothing=settings.label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has left it untyped
        torch.nn.utils.clip_grad_norm_(network.parameters(), 2.0)
        optimizer.step()
        taken = (number - 1) * steps + step + 1
        # Early on the average must not hang on to the weights it began with.
        _follow(average, network, min(settings.averaging, taken / (taken + 10)))
        losses.append(loss.item())
    return float(np.mean(losses))


def _taught(teachers: Sequence[Network], window: Tensor, context: Tensor, prior: Tensor) -> Tensor:
    with torch.no_grad():
        said = [functional.softmax(teacher.eval()(window, context) + prior, dim=1) for teacher in teachers]
    return torch.stack(said).mean(dim=0)


def _adjustment(
    all_labels: NDArray[np.int8], drawn: NDArray[np.int64], strength: float
) -> NDArray[np.float32]:
    """Return what is added to training logits, so that without it they speak of the class shares wished for."""
    natural, here = (
        # A class with next to no beats must not be pushed without bound.
        np.log(np.maximum(np.bincount(label, minlength=len(AAMI_CLASSES)) / len(label), 0.002))
        for label in (all_labels, drawn)
    )
    return (here - (1 - strength) * natural).astype(np.float32)


def _follow(average: Network, network: Network, decay: float) -> None:
    with torch.no_grad():
        for mean, value in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
            if mean.is_floating_point():
                mean.lerp_(value, 1 - decay)
            else:
                mean.copy_(value)


def _cpu(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}


def _described(network: Network, training: BeatSet, settings: TrainingSettings) -> dict[str, Any]:
    shapes = {name: list(value.shape) for name, value in network.state_dict().items()}
    return {"settings": asdict(settings), "shapes": shapes, "beats": training.digest()}


def _digest(network: Network) -> str:
    digest = hashlib.sha256()
    for value in _cpu(network.state_dict()).values():
        digest.update(value.numpy().tobytes())
    return digest.hexdigest()


def _save(
    network: Network,
    average: Network,
    optimizer: torch.optim.AdamW,
    described: dict[str, Any],
    history: list[Epoch],
    folder: Path,
) -> None:
    tensors = {f"network.{name}": value for name, value in _cpu(network.state_dict()).items()}
    tensors |= {f"average.{name}": value for name, value in _cpu(average.state_dict()).items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": value for name, value in _cpu(state).items()}
    text = json.dumps({**described, "history": [asdict(epoch) for epoch in history]})
    # One file holds weights and progress: a crash between two files could pair those of different epochs.
    partial = folder / (_CHECKPOINT + ".partial")
    save_file(tensors, partial, metadata={_PROGRESS: text})
    partial.replace(folder / _CHECKPOINT)


def _resume(
    network: Network,
    average: Network,
    optimizer: torch.optim.AdamW,
    described: dict[str, Any],
    folder: Path,
) -> list[Epoch]:
    path = folder / _CHECKPOINT
    if not path.exists():
        return []
    tensors, text = _read_checkpoint(path)
    found = json.loads(text)
    expected = json.loads(json.dumps(described))
    for part in expected:
        if found.get(part) != expected[part]:
            raise ModelError(
                f"checkpoint {path} was made with other {part}: choose another folder, or start anew in an empty one"
            )
    for prefix, target in (("network.", network), ("average.", average)):
        target.load_state_dict(
            {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        )
    state = optimizer.state_dict()
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            state["state"].setdefault(int(index), {})[key] = value
    optimizer.load_state_dict(state)
    return [Epoch(**epoch) for epoch in found["history"]]


def _read_checkpoint(path: Path) -> tuple[dict[str, Tensor], str]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()[_PROGRESS]  # noqa: SIM118 - the handle is no mapping
    except (SafetensorError, OSError, KeyError, TypeError) as error:
        raise ModelError(f"checkpoint {path} cannot be read ({error}): delete it to start anew") from error
