"""Grunet: an encoder-decoder of convolutions with a GRU over time after every down-sampling step.

W. Ji, D. Zhu, "ECG Classification Exercise Health Analysis Algorithm Based on GRU and Convolutional Neural
Network", IEEE Access. `GrunetPaper` is the paper's own network; `Grunet` is the product's: the same family, a
fraction of the work, and the RR intervals around the beat beside its shape.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.encoding import CHANNELS, CONTEXT_WIDTH
from models.sizes import NETWORKS, GrunetConfig, GrunetPaperConfig, sizes_of
from monitor.contract import AAMI_CLASSES, WINDOW_POINTS

__all__ = ["NETWORKS", "Grunet", "GrunetConfig", "GrunetPaper", "GrunetPaperConfig", "build", "config_of"]


def _convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False),
        nn.BatchNorm1d(outputs),
        nn.ReLU(inplace=True),
    )


class _Down(nn.Module):
    """Max-pooling by 2, two (convolution, batch norm) pairs, one GRU over time."""

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            _convolution(inputs, outputs, kernel), _convolution(outputs, outputs, kernel)
        )
        self.gru = nn.GRU(outputs, outputs, batch_first=True)

    def forward(self, signal: Tensor) -> Tensor:
        signal = self.convolutions(functional.max_pool1d(signal, 2))
        over_time, _ = self.gru(signal.transpose(1, 2))
        return cast("Tensor", over_time).transpose(1, 2)


class _Up(nn.Module):
    """Linear interpolation to the length of the encoder's features, and those beside it."""

    def __init__(self, inputs: int, beside: int, outputs: int, kernel: int) -> None:
        super().__init__()
        self.convolution = _convolution(inputs + beside, outputs, kernel)

    def forward(self, signal: Tensor, beside: Tensor) -> Tensor:
        longer = functional.interpolate(signal, size=beside.shape[-1], mode="linear", align_corners=False)
        return cast("Tensor", self.convolution(torch.cat([longer, beside], dim=1)))


class GrunetPaper(nn.Module):
    """The paper's network: shape only, no RR context.

    Three down-sampling steps (600 → 300 → 150 → 75), three up-sampling steps, one convolution and one linear layer
    over all points. The standard GRU is used: the paper's equations leave the reset gate out of the candidate, which
    must be a slip.

    Parameters
    ----------
    config : GrunetPaperConfig
        Sizes.
    leads : int
        How many it sees; the product's monitor has one.
    """

    def __init__(self, config: GrunetPaperConfig, *, leads: int = 1) -> None:
        super().__init__()
        self.config = config
        self.leads = leads
        first, second, third = config.widths
        self.stem = _convolution(leads, config.stem_width, config.kernel)
        self.down1 = _Down(config.stem_width, first, config.kernel)
        self.down2 = _Down(first, second, config.kernel)
        self.down3 = _Down(second, third, config.kernel)
        self.up2 = _Up(third, second, second, config.kernel)
        self.up1 = _Up(second, first, first, config.kernel)
        self.up0 = _Up(first, config.stem_width, config.stem_width, config.kernel)
        self.out_convolution = nn.Conv1d(config.stem_width, config.out_width, 1)
        self.out_linear = nn.Linear(config.out_width * WINDOW_POINTS, len(AAMI_CLASSES))

    def forward(self, window: Tensor, context: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of windows ``[beats, 600]`` or ``[beats, channels, 600]``.

        Of several channels the first `leads` are used, so that a template beside a window is passed over.
        """
        del context
        at_600 = self.stem(window.unsqueeze(1) if window.dim() == 2 else window[:, : self.leads])
        at_300 = self.down1(at_600)
        at_150 = self.down2(at_300)
        at_75 = self.down3(at_150)
        signal = self.up2(at_75, at_150)
        signal = self.up1(signal, at_300)
        signal = self.up0(signal, at_600)
        return cast("Tensor", self.out_linear(self.out_convolution(signal).flatten(1)))


class Grunet(nn.Module):
    """The product's network.

    A strided convolution shortens window and template to 60 points, so the three GRUs run over 30, 15 and 7 steps; the
    decoder ends at 30. The output layer keeps the order of time coarsely, and the RR context joins it there.

    Parameters
    ----------
    config : GrunetConfig
        Sizes.
    """

    def __init__(self, config: GrunetConfig) -> None:
        super().__init__()
        self.config = config
        first, second, third = config.widths
        self.stem = _convolution(CHANNELS, config.stem_width, config.stem_kernel, config.stem_stride)
        self.down1 = _Down(config.stem_width, first, config.kernel)
        self.down2 = _Down(first, second, config.kernel)
        self.down3 = _Down(second, third, config.kernel)
        self.up2 = _Up(third, second, second, config.kernel)
        self.up1 = _Up(second, first, first, config.kernel)
        self.out_convolution = _convolution(first, config.out_width, 1)
        self.out_pool = nn.AvgPool1d(config.steps // config.out_bins)
        self.context = nn.Sequential(
            nn.Dropout(config.dropout / 6),
            nn.Linear(CONTEXT_WIDTH, 2 * config.context_width),
            nn.ReLU(inplace=True),
            nn.Linear(2 * config.context_width, config.context_width),
            nn.ReLU(inplace=True),
        )
        joint = config.out_width * config.out_bins + config.context_width
        self.head = nn.Sequential(
            nn.Dropout(config.dropout),
            nn.Linear(joint, config.head_width),
            nn.ReLU(inplace=True),
            nn.Linear(config.head_width, len(AAMI_CLASSES)),
        )

    def forward(self, window: Tensor, context: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of encoded windows ``[beats, 2, 600]`` and contexts."""
        long = self.down1(self.stem(window))
        middle = self.down2(long)
        short = self.down3(middle)
        signal = self.up2(short, middle)
        signal = self.up1(signal, long)
        shape = self.out_pool(self.out_convolution(signal)).flatten(1)
        return cast("Tensor", self.head(torch.cat([shape, self.context(context)], dim=1)))


def build(name: str, config: Mapping[str, Any] | None = None) -> Grunet | GrunetPaper:
    """Return a network with fresh weights.

    Parameters
    ----------
    name : {'grunet', 'grunet-paper'}
        Which network.
    config : mapping, optional
        Sizes that differ from the network's own, as `config_of` gives them.

    Raises
    ------
    ValueError
        See `models.sizes.sizes_of`.
    """
    sizes = sizes_of(name, config)
    return Grunet(sizes) if isinstance(sizes, GrunetConfig) else GrunetPaper(sizes)


def config_of(network: Grunet | GrunetPaper) -> dict[str, Any]:
    """Return the sizes of `network` as plain values, for a card."""
    return asdict(network.config)
