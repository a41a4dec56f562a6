"""One training run of the reproduction: a fixed budget, a checkpoint per epoch, the last weights kept.

Every network gets the same budget. An epoch draws all beats of the rare classes and at most `Budget.normal_beats` N
beats; at test the logits are moved by what the draw changed in the classes' shares, so that the whole training set's
shares hold.
"""

import json
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from monitor.contract import AAMI_CLASSES, FloatArray
from monitor.errors import ModelError

_WEIGHTS: Final = "checkpoint.safetensors"
_TEST_BATCH: Final = 512
_MOMENTS: Final = ("exp_avg", "exp_avg_sq", "step")
_NORMAL: Final = AAMI_CLASSES.index("N")


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What every network may spend.

    Attributes
    ----------
    epochs : int
        Passes; the one-cycle learning rate spans them all.
    normal_beats : int
        N beats an epoch draws, at most.
    batch : int
        Beats per step.
    peak_rate, weight_decay : float
        AdamW's.
    shift : int
        Samples by which a training window moves at most, drawn anew each time: a reference's R peaks are a few samples
        early or late.
    gain : float
        Standard deviation of the logarithm of a training window's gain.
    stretch : float
        Share by which a training window is longer or shorter at most, drawn anew each time.
    mix : float
        Both parameters of the beta distribution from which the share is drawn that a batch's windows, and the classes
        asked of them, have of one another (mixup, Zhang et al. 2018); 0 mixes nothing.
    looks : int
        At how many places, evenly over `shift`, a test window is looked at; the logits' mean answers.
    prior : float
        By how much of what the draw changed in the classes' shares the logits are moved at test: 1 asks for as many
        right beats as can be, 0 leaves the rare classes as common as they were in training.
    """

    epochs: int = 15
    normal_beats: int = 20_000
    batch: int = 256
    peak_rate: float = 3e-3
    weight_decay: float = 0.01
    shift: int = 8
    gain: float = 0.1
    stretch: float = 0.0
    mix: float = 0.0
    looks: int = 1
    prior: float = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The training windows' mean and standard deviation, in millivolt, by which every window is scaled."""

    mean: float
    deviation: float

    def of(self, window: FloatArray) -> Tensor:
        """Return windows without unit."""
        return torch.from_numpy((window - np.float32(self.mean)) / np.float32(self.deviation))


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a run has come.

    Attributes
    ----------
    losses : list of float
        Mean loss of every epoch so far; as many as `Budget.epochs` once done.
    seconds : float
        Processor time of them all, before a resume too.
    """

    losses: list[float]
    seconds: float


def scale_of(window: FloatArray) -> Scale:
    """Return the scale of training windows."""
    return Scale(
        mean=float(window.mean(dtype=np.float64)),
        deviation=max(float(window.std(dtype=np.float64)), 1e-6),
    )


def fit(
    network: nn.Module,
    window: FloatArray,
    label: NDArray[np.int64],
    classes: int,
    budget: Budget,
    seed: int,
    folder: Path,
    *,
    report: Callable[[int, float], None] = lambda _epoch, _loss: None,
    stop: Callable[[], bool] = lambda: False,
) -> Progress:
    """Train `network` in place, resuming from `folder`.

    Parameters
    ----------
    network : Module
        Takes windows as they are here, gives logits of five classes.
    window : ndarray of float32, shape ``[beats, 600]`` or ``[beats, leads, 600]``
        Training windows, millivolt.
    label : ndarray of int64, shape ``[beats]``
        Below `classes`.
    classes : int
        How many of `AAMI_CLASSES` there are: 5, or the first 3.
    budget : Budget
        See there.
    seed : int
        Of draws; the caller seeds the weights.
    folder : Path
        Holds the checkpoint.
    report : callable
        Called with epoch and loss after each.
    stop : callable
        Asked after each epoch; true leaves early, and a later call goes on.

    Returns
    -------
    Progress
        As far as it came.

    Raises
    ------
    ModelError
        If `folder` holds a checkpoint of another run.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=budget.peak_rate, weight_decay=budget.weight_decay)
    described = {"budget": asdict(budget), "seed": seed, "classes": classes, "beats": len(label)}
    before = _resume(network, optimizer, described, folder)
    losses, begun = before.losses, time.process_time()
    scale = scale_of(window)
    normal = np.flatnonzero(label == _NORMAL)
    rare = np.flatnonzero(label != _NORMAL)
    drawn = min(budget.normal_beats, len(normal))
    per_epoch = math.ceil((drawn + len(rare)) / budget.batch)
    steps = per_epoch * budget.epochs
    while len(losses) < budget.epochs:
        epoch = len(losses) + 1
        random = np.random.default_rng((seed, epoch))
        torch.manual_seed(seed * 100_003 + epoch)
        order = random.permutation(np.concatenate([random.choice(normal, drawn, replace=False), rare]))
        network.train()
        total = 0.0
        for step in range(per_epoch):
            for group in optimizer.param_groups:
                group["lr"] = _one_cycle((epoch - 1) * per_epoch + step, steps, budget.peak_rate)
            batch = order[step * budget.batch : (step + 1) * budget.batch]
            optimizer.zero_grad(set_to_none=True)
            seen, wanted = varied(window[batch], budget, random), torch.from_numpy(label[batch])
            if budget.mix:
                seen, wanted = mixed(seen, functional.one_hot(wanted, classes), budget, random)
            loss = functional.cross_entropy(network(scale.of(seen))[:, :classes], wanted)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it without annotations
            nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            total += loss.item() * len(batch)
        losses.append(total / len(order))
        progress = Progress(losses, before.seconds + time.process_time() - begun)
        _save(network, optimizer, described, progress, folder)
        report(epoch, losses[-1])
        if stop():
            break
    return Progress(losses, before.seconds + time.process_time() - begun)


def predict(
    network: nn.Module,
    window: FloatArray,
    training_window: FloatArray,
    training_label: NDArray[np.int64],
    classes: int,
    budget: Budget,
) -> NDArray[np.int64]:
    """Return the class of each window, int64 of shape ``[beats]``.

    Parameters
    ----------
    network : Module
        Trained by `fit`.
    window : ndarray of float32, shape ``[beats, 600]`` or ``[beats, leads, 600]``
        Test windows, millivolt.
    training_window, training_label, classes, budget
        As `fit` had them: scale and shares of the classes come from there.
    """
    scale = scale_of(training_window)
    counts = np.bincount(training_label, minlength=classes)[:classes].astype(np.float64)
    drawn = counts.copy()
    drawn[_NORMAL] = min(drawn[_NORMAL], budget.normal_beats)
    known = counts > 0
    moved = np.zeros(classes)
    moved[known] = np.log(counts[known] / counts.sum()) - np.log(drawn[known] / drawn.sum())
    shift = torch.from_numpy((budget.prior * moved).astype(np.float32))
    network.eval()
    answers = []
    places = (
        np.linspace(-budget.shift, budget.shift, budget.looks).round() if budget.looks > 1 else np.zeros(1)
    )
    with torch.inference_mode():
        for begin in range(0, len(window), _TEST_BATCH):
            seen = window[begin : begin + _TEST_BATCH]
            looks = [network(scale.of(_moved(seen, np.int64(place))))[:, :classes] for place in places]
            answers.append((torch.stack(looks).mean(dim=0) + shift).argmax(dim=1).numpy())
    return np.concatenate(answers).astype(np.int64) if answers else np.empty(0, np.int64)


def varied(window: FloatArray, budget: Budget, random: np.random.Generator) -> FloatArray:
    """Return windows as they might have been cut and amplified; beyond its edge a window repeats its last point.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]`` or ``[beats, leads, 600]``
        Millivolt.
    budget : Budget
        How far, and how much.
    random : numpy.random.Generator
        Of the draw.
    """
    # All leads of a beat move and grow together, as its electrodes' common sample clock and amplifier would have it.
    each = (len(window), *(1 for _ in window.shape[1:]))
    shift = random.integers(-budget.shift, budget.shift + 1, each)
    pace = 1.0 + random.uniform(-budget.stretch, budget.stretch, each) if budget.stretch else None
    moved = _moved(window, shift, pace)
    varied_windows: FloatArray = moved * np.exp(random.normal(0.0, budget.gain, each)).astype(np.float32)
    return varied_windows


def mixed(
    window: FloatArray, wanted: Tensor, budget: Budget, random: np.random.Generator
) -> tuple[FloatArray, Tensor]:
    """Return a batch's windows, each with a share of another one of them, and of its class.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]`` or ``[beats, leads, 600]``
        Millivolt.
    wanted : Tensor, shape ``[beats, classes]``
        Their classes, as shares.
    budget : Budget
        Its `mix`.
    random : numpy.random.Generator
        Of the draw.
    """
    share = np.float32(random.beta(budget.mix, budget.mix))
    other = random.permutation(len(window))
    both: FloatArray = share * window + (1 - share) * window[other]
    return both, float(share) * wanted + (1 - float(share)) * wanted[torch.from_numpy(other)]


def _moved(
    window: FloatArray, shift: NDArray[np.int64] | np.int64, pace: NDArray[np.float64] | None = None
) -> FloatArray:
    """Return windows cut later by `shift` points, and `pace` times as fast about their middle; 1 leaves them."""
    points = window.shape[-1]
    if pace is None:
        at = np.broadcast_to(np.clip(np.arange(points) + shift, 0, points - 1), window.shape)
        return np.take_along_axis(window, at, axis=-1)
    middle = points // 2
    place = np.clip(middle + (np.arange(points) - middle) * pace + shift, 0, points - 1)
    before = np.minimum(place.astype(np.int64), points - 2)
    part = (place - before).astype(np.float32)
    at = np.broadcast_to(before, window.shape)
    between: FloatArray = (1 - part) * np.take_along_axis(window, at, -1) + part * np.take_along_axis(
        window, at + 1, -1
    )
    return between


def _one_cycle(step: int, steps: int, peak: float) -> float:
    """Return the learning rate: up over three tenths, then down to almost nothing, both along a cosine."""
    rise = max(round(0.3 * steps), 1)
    if step < rise:
        return peak * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
    return peak * (1e-4 + 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1))))


def _save(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    described: dict[str, Any],
    progress: Progress,
    folder: Path,
) -> None:
    tensors = {f"weights.{name}": value.contiguous() for name, value in network.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        for name in _MOMENTS:
            tensors[f"optimizer.{place}.{name}"] = torch.as_tensor(state[name]).contiguous()
    partial = folder / f"{_WEIGHTS}.part"
    # The progress rides along, so weights and progress can never be of different epochs.
    save_file(tensors, partial, {"progress": json.dumps({"of": described, **asdict(progress)})})
    partial.replace(folder / _WEIGHTS)


def _resume(
    network: nn.Module, optimizer: torch.optim.Optimizer, described: dict[str, Any], folder: Path
) -> Progress:
    from safetensors import safe_open

    path = folder / _WEIGHTS
    if not path.exists():
        return Progress([], 0.0)
    with safe_open(path, framework="pt") as file:
        progress = json.loads(file.metadata()["progress"])
    of = progress.get("of", {})
    # What was begun before there was a choice of something had what is the default now.
    whole = {**of, "budget": {**asdict(Budget()), **of.get("budget", {})}}
    if whole != described or "seconds" not in progress:
        raise ModelError(f"{path}: a checkpoint of another run ({of}, wanted {described}); remove the folder")
    tensors = load_file(path)
    network.load_state_dict(
        {
            name.removeprefix("weights."): value
            for name, value in tensors.items()
            if name.startswith("weights.")
        }
    )
    state = optimizer.state_dict()
    places = {int(name.split(".")[1]) for name in tensors if name.startswith("optimizer.")}
    state["state"] = {
        place: {name: tensors[f"optimizer.{place}.{name}"] for name in _MOMENTS} for place in sorted(places)
    }
    optimizer.load_state_dict(state)
    return Progress([float(value) for value in progress["losses"]], float(progress["seconds"]))
