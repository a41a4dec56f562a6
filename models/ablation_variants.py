"""What `models.ablation` leaves out or puts in, one thing at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from models.beat_set import BeatSet
from models.sizes import GrunetConfig
from models.training import Network
from monitor.beat_sequence import SEQUENCE_FIELDS
from monitor.contract import CONTEXT_FIELDS, FloatArray

SHIPPED: Final = "as shipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class OfSingleBeats:
    """One way of training the network that sees single beats.

    Attributes
    ----------
    title : str
        For the table.
    settings : mapping
        Of `models.training.TrainingSettings`, where they differ from the budget's.
    unknown : tuple of str
        Context fields that are never known.
    template : bool
        Whether it sees the athlete's usual beat.
    svdb, second_lead : bool
        Whether it learns from those too.
    augmented : bool
        See `models.training.train`.
    network : callable
        Changes the network before it is trained.
    members : int
        Networks as shipped, of seeds from the run's own on, whose mean probability counts.
    taught : bool
        Whether one network learns from these members instead, see `models.training.train`.
    """

    title: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    unknown: tuple[str, ...] = ()
    template: bool = True
    svdb: bool = True
    second_lead: bool = True
    augmented: bool = True
    network: Callable[[Network], Network] = lambda network: network
    members: int = 1
    taught: bool = False

    def seen(self, beats: BeatSet) -> BeatSet:
        """Return what this variant sees of `beats`."""
        context = beats.context
        if self.unknown:
            context = context.copy()
            context[:, [CONTEXT_FIELDS.index(name) for name in self.unknown]] = np.nan
        template = beats.template if self.template else np.zeros_like(beats.template)
        return replace(beats, context=context, template=template)


@dataclass(frozen=True, slots=True, kw_only=True)
class OfSequence:
    """One way of training the networks in sequence.

    Attributes
    ----------
    title : str
        For the table.
    used : bool
        False for the class of each beat alone.
    settings : mapping
        Of `models.sequence_training.SequenceSettings`, where they differ.
    without : str
        Records whose name ends so are not learnt from.
    unknown : tuple of str
        `SEQUENCE_FIELDS` that are never known.
    """

    title: str
    used: bool = True
    settings: Mapping[str, Any] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    def seen(self, described: FloatArray) -> FloatArray:
        """Return what this variant sees of `SEQUENCE_FIELDS`."""
        answer = described.copy()
        answer[:, [SEQUENCE_FIELDS.index(name) for name in self.unknown]] = np.nan
        return answer


class _NoGru(nn.Module):
    """Stands where a GRU would, and lets everything pass."""

    def forward(self, signal: Tensor) -> tuple[Tensor, None]:
        return signal, None


def _without_grus(*steps: int) -> Callable[[Network], Network]:
    def change(network: Network) -> Network:
        for step in steps:
            getattr(network, f"down{step}").gru = _NoGru()
        return network

    return change


class _Residual(nn.Module):
    """Adds what goes in to what comes out."""

    def __init__(self, convolution: nn.Module) -> None:
        super().__init__()
        self.convolution = convolution

    def forward(self, signal: Tensor) -> Tensor:
        return signal + cast("Tensor", self.convolution(signal))


class _TwoScales(nn.Module):
    """The stem with half its channels, and beside it as many that see two and a half times as long a stretch."""

    def __init__(self, stem: nn.Sequential) -> None:
        super().__init__()
        plain = cast("nn.Conv1d", stem[0])
        half, kernel, stride = plain.out_channels // 2, plain.kernel_size[0], plain.stride[0]
        self.near, self.far = (
            nn.Conv1d(plain.in_channels, half, points, stride=stride, padding=points // 2, bias=False)
            for points in (kernel, 5 * kernel // 2 | 1)
        )
        self.after = stem[1:]

    def forward(self, window: Tensor) -> Tensor:
        return cast("Tensor", self.after(torch.cat([self.near(window), self.far(window)], dim=1)))


class _AttentionPool(nn.Module):
    """Weighs the steps of each stretch of time by what is in them, where a mean would take all alike."""

    def __init__(self, channels: int, stretch: int) -> None:
        super().__init__()
        self.score = nn.Conv1d(channels, 1, 1)
        self.stretch = stretch

    def forward(self, signal: Tensor) -> Tensor:
        beats, channels, steps = signal.shape
        weight = self.score(signal).reshape(beats, 1, -1, self.stretch).softmax(dim=3)
        parts = signal.reshape(beats, channels, steps // self.stretch, self.stretch)
        return cast("Tensor", (parts * weight).sum(dim=3))


def _residual(network: Network) -> Network:
    for step in (1, 2, 3):
        convolutions = getattr(network, f"down{step}").convolutions
        convolutions[1] = _Residual(convolutions[1])
    return network


def _depthwise(network: Network) -> Network:
    for step in (1, 2, 3):
        for convolution in getattr(network, f"down{step}").convolutions:
            plain = convolution[0]
            inputs, kernel = plain.in_channels, plain.kernel_size[0]
            convolution[0] = nn.Sequential(
                nn.Conv1d(inputs, inputs, kernel, padding=kernel // 2, groups=inputs, bias=False),
                nn.Conv1d(inputs, plain.out_channels, 1, bias=False),
            )
    return network


def _two_scales(network: Network) -> Network:
    network.stem = _TwoScales(network.stem)  # type: ignore[assignment]  # takes and gives what a stem does
    return network


def _attention(network: Network) -> Network:
    sizes = cast("GrunetConfig", network.config)
    network.out_pool = _AttentionPool(sizes.out_width, sizes.steps // sizes.out_bins)
    return network


def _fields(*beginnings: str) -> tuple[str, ...]:
    return tuple(name for name in CONTEXT_FIELDS if name.startswith(beginnings))


_NEIGHBOURS: Final = CONTEXT_FIELDS[:6]
_HISTORY: Final = tuple(name for name in _fields("rr_") if name not in _NEIGHBOURS)
_COMPARED: Final = (*_fields("p_", "t_", "shape_"), *(n for n in _fields("qrs_") if not n.endswith("_s")))
_CLASSES_BEFORE: Final = tuple(name for name in SEQUENCE_FIELDS if name[:2] in ("n_", "s_", "v_"))

SINGLE_VARIANTS: Final = (
    OfSingleBeats(title=SHIPPED),
    OfSingleBeats(
        title="without RR intervals, history and template: the shape alone",
        unknown=CONTEXT_FIELDS,
        template=False,
    ),
    OfSingleBeats(
        title="RR intervals next to the beat alone", unknown=(*_HISTORY, *_COMPARED), template=False
    ),
    OfSingleBeats(title="without the template", unknown=_COMPARED, template=False),
    OfSingleBeats(title="without RR history of minutes", unknown=_HISTORY),
    OfSingleBeats(title="without GRUs", network=_without_grus(1, 2, 3)),
    OfSingleBeats(title="a GRU after the last step only", network=_without_grus(1, 2)),
    OfSingleBeats(title="without svdb", svdb=False),
    OfSingleBeats(title="first leads only", second_lead=False),
    OfSingleBeats(title="without augmentation", augmented=False),
    OfSingleBeats(title="without fast rhythms made of slow ones", settings={"quickened": 0.0}),
    OfSingleBeats(title="no limit on one patient's rare beats", settings={"rare_per_record": 0}),
    OfSingleBeats(title="plain cross entropy", settings={"logit_adjustment": 0.0}),
    OfSingleBeats(
        title="cross entropy as if classes were equally frequent", settings={"logit_adjustment": 1.0}
    ),
    OfSingleBeats(title="residual convolutions", network=_residual),
    OfSingleBeats(title="depthwise convolutions", network=_depthwise),
    OfSingleBeats(title="a stem of two scales", network=_two_scales),
    OfSingleBeats(title="attention in place of mean pooling", network=_attention),
    OfSingleBeats(title="mean of three networks", members=3),
    OfSingleBeats(title="one network taught by three", members=3, taught=True),
    OfSingleBeats(title="windows without a beat answered by all classes alike", settings={"strange": 0.1}),
)
FINALISTS: Final = (SHIPPED, "without svdb", "without GRUs")
"""Trained with three seeds; the others with one."""

SEQUENCE_VARIANTS: Final = (
    OfSequence(title="each beat alone", used=False),
    OfSequence(title=SHIPPED),
    OfSequence(title="one network instead of several", settings={"members": 1}),
    OfSequence(
        title="without what tells a run that began at once",
        unknown=tuple(name for name in SEQUENCE_FIELDS if name.startswith("run_")),
    ),
    OfSequence(title="without synthetic tachycardia and exertion", without=("#s5", "#s6")),
    OfSequence(title="without synthetic rhythms", without=("#s2", "#s4", "#s5", "#s6")),
    OfSequence(title="without synthetic fibrillation", without=("#s2",)),
    OfSequence(title="without synthetic early beats", without=("#s4",)),
    OfSequence(title="never left in the dark about N or S", settings={"blind": 0.0}),
    OfSequence(title="no limit on one record's beats", settings={"most": (1e9,) * 5}),
    OfSequence(title="without the classes before", unknown=_CLASSES_BEFORE),
    OfSequence(
        title="without RR intervals",
        unknown=tuple(name for name in SEQUENCE_FIELDS if name.startswith("rr_")),
    ),
    OfSequence(title="without P waves", unknown=tuple(n for n in SEQUENCE_FIELDS if n.startswith("p_"))),
)
