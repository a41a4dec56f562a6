"""Trains the network that reads a beat among those before it, on classes that were given to unseen patients.

It learns from what the first network says of beats whose patients it was not fitted to (D. H. Wolpert, "Stacked
generalization", Neural Networks 5, 1992): on its own training patients that network is too sure to learn anything from.
"""

import math
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from models.sequence_encoding import LOGARITHM_UNIT, SEQUENCE_WIDTH, encode_sequence
from models.sizes import SEQUENCE_PREFIX
from monitor.contract import AAMI_CLASSES, FloatArray

_CLASSES: Final = len(AAMI_CLASSES)
_N_AND_S: Final = (AAMI_CLASSES.index("N"), AAMI_CLASSES.index("S"))


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceSettings:
    """Everything that decides how the network in sequence is trained.

    Attributes
    ----------
    members : int
        Networks whose mean counts, which differ by their seed.
    width : int
        Hidden units of each.
    steps, batch : int
        Steps, and beats per step.
    learning_rate, weight_decay : float
        AdamW's; the rate falls as a cosine.
    dropout : float
        Share of hidden units dropped while training.
    noise : float
        Standard deviation of what is added to the logits that it starts from.
    blind : float
        Share of beats of which it is not told whether they are N or S alone: rhythm has to tell.
    logit_adjustment : float
        See `models.training.TrainingSettings`.
    most : tuple of float
        Beats of each class that one record counts as, at most.
    seed : int
        Of weights and draws.
    """

    members: int = 5
    width: int = 32
    steps: int = 150
    batch: int = 1024
    learning_rate: float = 5e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    noise: float = 0.3
    blind: float = 0.2
    logit_adjustment: float = 0.5
    most: tuple[float, ...] = (1500.0, 300.0, 300.0, 150.0, 30.0)
    seed: int = 1


class _Member(nn.Module):
    def __init__(self, settings: SequenceSettings) -> None:
        super().__init__()
        self.enter = nn.Linear(SEQUENCE_WIDTH, settings.width)
        self.joint = nn.Linear(settings.width, settings.width)
        self.last = nn.Linear(settings.width, _CLASSES)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)
        self.skip = nn.Parameter(torch.tensor(0.8))
        self.input_dropout = nn.Dropout(settings.dropout / 3)
        self.dropout = nn.Dropout(settings.dropout)

    def forward(self, evidence: Tensor, logits: Tensor) -> Tensor:
        first = self.dropout(functional.relu(self.enter(self.input_dropout(evidence))))
        return cast("Tensor", self.last(functional.relu(self.joint(first))) + self.skip * logits)


def fit_sequence(
    probabilities: FloatArray,
    described: FloatArray,
    label: NDArray[np.int8],
    record: NDArray[np.int64],
    trust: NDArray[np.float64],
    settings: SequenceSettings,
) -> dict[str, FloatArray]:
    """Return the tensors of a trained network, by the names that they have in a weights file.

    Parameters
    ----------
    probabilities : ndarray of float32, shape ``[beats, 5]``
        Of each beat alone, by a network that has not seen its patient.
    described : ndarray of float32, shape ``[beats, len(SEQUENCE_FIELDS)]``
        See `models.sequencing.describe`.
    label : ndarray of int8, shape ``[beats]``
        Reference classes.
    record : ndarray of int64, shape ``[beats]``
        Which record a beat is of.
    trust : ndarray of float64, shape ``[beats]``
        How much a beat counts, 0 to 1.
    settings : SequenceSettings
        See there.
    """
    evidence, logits = encode_sequence(probabilities, described)
    weight = _weights(label, record, settings.most) * trust
    members = [
        _fit_member(evidence, logits, label, weight, settings, settings.seed * 100 + number)
        for number in range(settings.members)
    ]
    names = ("enter", "joint", "last")
    tensors = {f"{name}_bias": [getattr(m, name).bias for m in members] for name in names}
    tensors |= {name: [getattr(m, name).weight.T for m in members] for name in names}
    tensors["skip"] = [m.skip for m in members]
    return {
        f"{SEQUENCE_PREFIX}{name}": torch.stack(list(values)).detach().contiguous().numpy()
        for name, values in tensors.items()
    }


def _fit_member(
    evidence: FloatArray,
    logits: FloatArray,
    label: NDArray[np.int8],
    weight: NDArray[np.float64],
    settings: SequenceSettings,
    seed: int,
) -> _Member:
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    network = _Member(settings)
    optimizer = torch.optim.AdamW(
        network.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay
    )
    share = np.bincount(label, weights=weight, minlength=_CLASSES) / weight.sum()
    prior = torch.from_numpy(
        (settings.logit_adjustment * np.log(np.maximum(share, 0.002))).astype(np.float32)
    )
    border = np.cumsum(weight)
    for step in range(settings.steps):
        fall = (1 + math.cos(math.pi * step / settings.steps)) / 2
        for group in optimizer.param_groups:
            group["lr"] = settings.learning_rate * min(1.0, (step + 1) / 20) * fall
        drawn = np.searchsorted(border, random.random(settings.batch) * border[-1], side="right")
        drawn = np.minimum(drawn, len(label) - 1)
        start = logits[drawn] * np.exp(random.normal(0, 0.15, (settings.batch, 1)))
        start += random.normal(0, settings.noise, start.shape)
        blind = np.flatnonzero(random.random(settings.batch) < settings.blind)
        start[blind[:, np.newaxis], _N_AND_S] = np.logaddexp(*start[blind][:, _N_AND_S].T)[
            :, np.newaxis
        ] - np.log(2)
        seen = evidence[drawn]
        seen[:, :_CLASSES] = start / LOGARITHM_UNIT
        answer = network(torch.from_numpy(seen), torch.from_numpy(start.astype(np.float32)))
        loss = functional.cross_entropy(answer + prior, torch.from_numpy(label[drawn].astype(np.int64)))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch has left it untyped
        optimizer.step()
    return network.eval()


def _weights(
    label: NDArray[np.int8], record: NDArray[np.int64], most: tuple[float, ...]
) -> NDArray[np.float64]:
    """Return a weight of each beat, so that no record gives more than `most` of a class."""
    kinds = record * _CLASSES + label
    counts = np.bincount(kinds)[kinds]
    weight: NDArray[np.float64] = np.minimum(1.0, np.array(most)[label] / counts)
    return weight
