"""Sizes of the networks, and the tensors that follow from them: known without torch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from models.encoding import CHANNELS, CONTEXT_WIDTH
from models.sequence_encoding import SEQUENCE_WIDTH
from monitor.contract import AAMI_CLASSES, WINDOW_POINTS


@dataclass(frozen=True, slots=True, kw_only=True)
class GrunetConfig:
    """Sizes of the product's network.

    Attributes
    ----------
    stem_width, stem_kernel, stem_stride : int
        The convolution that shortens window and template before any GRU runs.
    widths : tuple of int
        Channels of the three down-sampling steps.
    kernel : int
        Points a convolution spans.
    out_width, out_bins : int
        Channels and stretches of time that the output layer keeps.
    context_width, head_width : int
        Hidden units for the context and for the joint layer.
    dropout : float
        Share of the joint layer's inputs dropped while training.
    """

    stem_width: int = 32
    stem_kernel: int = 25
    stem_stride: int = 10
    widths: tuple[int, int, int] = (16, 24, 32)
    kernel: int = 5
    out_width: int = 16
    out_bins: int = 10
    context_width: int = 32
    head_width: int = 64
    dropout: float = 0.3

    @property
    def steps(self) -> int:
        """Steps of the longest GRU."""
        return WINDOW_POINTS // self.stem_stride // 2


@dataclass(frozen=True, slots=True, kw_only=True)
class GrunetPaperConfig:
    """Sizes of the paper's network, which the paper does not give.

    Attributes
    ----------
    stem_width : int
        Channels at full length, before the first down-sampling step.
    widths : tuple of int
        Channels of the three down-sampling steps.
    kernel : int
        Points a convolution spans.
    out_width : int
        Channels of the last convolution.
    """

    stem_width: int = 16
    widths: tuple[int, int, int] = (32, 64, 128)
    kernel: int = 3
    out_width: int = 4


Sizes = GrunetConfig | GrunetPaperConfig
SEQUENCE_PREFIX: Final = "sequence."
"""Names of the tensors of the network that reads beats in sequence begin so."""
NETWORKS: Final = ("grunet", "grunet-paper")


def sizes_of(network: str, config: Mapping[str, Any] | None = None) -> Sizes:
    """Return the sizes of a network.

    Parameters
    ----------
    network : {'grunet', 'grunet-paper'}
        Which network.
    config : mapping, optional
        Sizes that differ from the network's own.

    Raises
    ------
    ValueError
        If there is no such network, or a size it does not have or cannot have.
    """
    if network not in NETWORKS:
        raise ValueError(f"network {network!r}: choose one of {', '.join(NETWORKS)}")
    values: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in (config or {}).items()
    }
    try:
        sizes = GrunetConfig(**values) if network == "grunet" else GrunetPaperConfig(**values)
    except TypeError as error:
        raise ValueError(f"sizes of {network}: {error}") from error
    if isinstance(sizes, GrunetConfig):
        steps = sizes.steps
        if WINDOW_POINTS % sizes.stem_stride or steps < 4 or steps % sizes.out_bins:
            raise ValueError(
                f"{steps} steps after stem and pooling: at least 4 and a multiple of out_bins needed"
            )
    return sizes


def sequence_shapes(sizes: Mapping[str, int]) -> dict[str, list[int]]:
    """Return name and shape of every tensor of the network that reads beats in sequence; none without sizes.

    Parameters
    ----------
    sizes : mapping
        ``members`` and ``width``; empty where there is no such network.

    Raises
    ------
    ValueError
        If a size is missing, unknown or not above zero.
    """
    if not sizes:
        return {}
    if set(sizes) != {"members", "width"} or min(sizes.values()) < 1:
        raise ValueError(f"sizes of sequence: {dict(sizes)}; members and width above 0 are needed")
    members, width, classes = sizes["members"], sizes["width"], len(AAMI_CLASSES)
    return {
        f"{SEQUENCE_PREFIX}{name}": [members, *shape]
        for name, shape in (
            ("enter", (SEQUENCE_WIDTH, width)),
            ("enter_bias", (width,)),
            ("joint", (width, width)),
            ("joint_bias", (width,)),
            ("last", (width, classes)),
            ("last_bias", (classes,)),
            ("skip", ()),
        )
    }


def tensor_shapes(sizes: Sizes) -> dict[str, list[int]]:
    """Return name and shape of every tensor of a network."""
    return _paper_shapes(sizes) if isinstance(sizes, GrunetPaperConfig) else _grunet_shapes(sizes)


def _grunet_shapes(sizes: GrunetConfig) -> dict[str, list[int]]:
    joint = sizes.out_width * sizes.out_bins + sizes.context_width
    return {
        **_convolution("stem", CHANNELS, sizes.stem_width, sizes.stem_kernel),
        **_encoder_decoder(sizes),
        **_convolution("out_convolution", sizes.widths[0], sizes.out_width, 1),
        **_linear("context.1", CONTEXT_WIDTH, 2 * sizes.context_width),
        **_linear("context.3", 2 * sizes.context_width, sizes.context_width),
        **_linear("head.1", joint, sizes.head_width),
        **_linear("head.3", sizes.head_width, len(AAMI_CLASSES)),
    }


def _paper_shapes(sizes: GrunetPaperConfig) -> dict[str, list[int]]:
    stem = sizes.stem_width
    return {
        **_convolution("stem", 1, stem, sizes.kernel),
        **_encoder_decoder(sizes),
        **_convolution("up0.convolution", sizes.widths[0] + stem, stem, sizes.kernel),
        "out_convolution.weight": [sizes.out_width, stem, 1],
        "out_convolution.bias": [sizes.out_width],
        **_linear("out_linear", sizes.out_width * WINDOW_POINTS, len(AAMI_CLASSES)),
    }


def _encoder_decoder(sizes: Sizes) -> dict[str, list[int]]:
    first, second, third = sizes.widths
    shapes: dict[str, list[int]] = {}
    width = sizes.stem_width
    for step, wider in enumerate(sizes.widths, start=1):
        shapes |= _convolution(f"down{step}.convolutions.0", width, wider, sizes.kernel)
        shapes |= _convolution(f"down{step}.convolutions.1", wider, wider, sizes.kernel)
        for part in ("ih", "hh"):
            shapes[f"down{step}.gru.weight_{part}_l0"] = [3 * wider, wider]
            shapes[f"down{step}.gru.bias_{part}_l0"] = [3 * wider]
        width = wider
    shapes |= _convolution("up2.convolution", third + second, second, sizes.kernel)
    return shapes | _convolution("up1.convolution", second + first, first, sizes.kernel)


def _convolution(name: str, inputs: int, outputs: int, kernel: int) -> dict[str, list[int]]:
    norm = {f"{name}.1.{part}": [outputs] for part in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.0.weight": [outputs, inputs, kernel], **norm, f"{name}.1.num_batches_tracked": []}


def _linear(name: str, inputs: int, outputs: int) -> dict[str, list[int]]:
    return {f"{name}.weight": [outputs, inputs], f"{name}.bias": [outputs]}
