"""The four networks of the paper's Table 2, and one that is wider.

The paper gives no widths for any of them. *Grunet* is its network at base 8, *Grunet-16* at base 16. *CNN* is Grunet
with its GRUs taken out, so that the difference between the rows is what the GRUs do. *RNN* and *GRU* are one recurrent
layer of 64 units over 120 steps of 5 samples. All end in one linear layer over all steps, as Grunet does.

While they train they run through `models.compiled_layers`, beats last; otherwise through torch's own layers.
"""

from typing import Any, Final, cast

from torch import Tensor, nn
from torch.nn import functional

from models import compiled_layers
from models.grunet import GrunetPaper, GrunetPaperConfig
from monitor.contract import AAMI_CLASSES, WINDOW_POINTS

NETWORKS: Final = ("RNN", "CNN", "GRU", "Grunet")
"""In the paper's order."""
WIDER: Final = "Grunet-16"
"""No row of the paper's: Grunet, twice as wide, for what the widths are worth that the paper does not give."""
SIZES: Final = {
    "Grunet": GrunetPaperConfig(stem_width=8, widths=(16, 32, 64)),
    WIDER: GrunetPaperConfig(stem_width=16, widths=(32, 64, 128)),
}
_STEP_POINTS: Final = 5
_STEPS: Final = WINDOW_POINTS // _STEP_POINTS
_HIDDEN: Final = 64


class Recurrent(nn.Module):
    """One recurrent layer over the window, and one linear layer over all its steps.

    Parameters
    ----------
    layer : torch.nn.RNN or torch.nn.GRU
        With `_STEP_POINTS` inputs, batch first.
    compiled : bool
        Train through compiled layers.
    """

    def __init__(self, layer: nn.RNN | nn.GRU, *, compiled: bool) -> None:
        super().__init__()
        self.compiled = compiled
        self.layer = layer
        self.out = nn.Linear(layer.hidden_size * _STEPS, len(AAMI_CLASSES))

    def forward(self, window: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of windows ``[beats, 600]``."""
        steps = window.reshape(len(window), _STEPS, _STEP_POINTS)
        if self.training and self.compiled:
            beats_last = steps.permute(1, 2, 0).contiguous()
            if isinstance(self.layer, nn.GRU):
                over_time = compiled_layers.gru(beats_last, self.layer)
            else:
                over_time = compiled_layers.rnn(beats_last, self.layer)
            return functional.linear(over_time.flatten(0, 1).T, self.out.weight, self.out.bias)
        over_time, _ = self.layer(steps)
        return cast("Tensor", self.out(over_time.flatten(1)))


class _Passing(nn.Module):
    """Stands where a GRU stood, and hands on what it is given."""

    def forward(self, over_time: Tensor) -> tuple[Tensor, None]:
        return over_time, None


class Shaped(nn.Module):
    """The paper's U-Net, by windows alone.

    Parameters
    ----------
    sizes : GrunetPaperConfig
        Its widths.
    recurrent : bool
        With its GRUs, or without.
    leads : int
        How many it sees.
    compiled : bool
        Train through compiled layers.
    """

    def __init__(self, sizes: GrunetPaperConfig, *, recurrent: bool, leads: int, compiled: bool) -> None:
        super().__init__()
        self.compiled = compiled
        self.network = GrunetPaper(sizes, leads=leads)
        if not recurrent:
            for step in (self.network.down1, self.network.down2, self.network.down3):
                # The step calls whatever stands here; its annotation says GRU.
                cast("Any", step).gru = _Passing()

    def forward(self, window: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of windows ``[beats, 600]``, or ``[beats, leads, 600]`` of several leads."""
        if self.training and self.compiled:
            return _beats_last(self.network, window)
        return cast("Tensor", self.network(window, window))


def build(name: str, *, leads: int = 1, compiled: bool = True) -> nn.Module:
    """Return a network of Table 2 with fresh weights.

    Parameters
    ----------
    name : str
        One of `NETWORKS`, or `WIDER`.
    leads : int
        How many it sees; more than one only by those of Grunet's shape.
    compiled : bool
        Train through `models.compiled_layers`, or through torch's own layers: the same sums, several times as slow.

    Raises
    ------
    ValueError
        If there is no such network, or not with so many leads.
    """
    if name in ("RNN", "GRU") and leads != 1:
        raise ValueError(f"network {name!r} with {leads} leads: it sees one; use {', '.join(SIZES)} or CNN")
    if name == "RNN":
        return Recurrent(nn.RNN(_STEP_POINTS, _HIDDEN, batch_first=True), compiled=compiled)
    if name == "GRU":
        return Recurrent(nn.GRU(_STEP_POINTS, _HIDDEN, batch_first=True), compiled=compiled)
    if name == "CNN":
        return Shaped(SIZES["Grunet"], recurrent=False, leads=leads, compiled=compiled)
    if name in SIZES:
        return Shaped(SIZES[name], recurrent=True, leads=leads, compiled=compiled)
    raise ValueError(f"network {name!r}: use one of {', '.join((*NETWORKS, WIDER))}")


def _beats_last(network: GrunetPaper, window: Tensor) -> Tensor:
    """Return what `network` gives, through compiled layers."""
    by_lead = window.unsqueeze(1) if window.dim() == 2 else window
    at_600 = _convolve(by_lead.permute(2, 1, 0).contiguous(), network.stem)
    features = [at_600]
    for step in (network.down1, network.down2, network.down3):
        signal = compiled_layers.halve(features[-1])
        for pair in step.convolutions:
            signal = _convolve(signal, cast("nn.Sequential", pair))
        # In the CNN something else stands where its GRU stood.
        recurrent = cast("nn.Module", step.gru)
        features.append(compiled_layers.gru(signal, recurrent) if isinstance(recurrent, nn.GRU) else signal)
    signal = features.pop()
    for up in (network.up2, network.up1, network.up0):
        signal = _convolve(compiled_layers.widen_beside(signal, features.pop()), up.convolution)
    out = compiled_layers.convolve(signal, network.out_convolution).permute(2, 1, 0).flatten(1)
    return cast("Tensor", network.out_linear(out))


def _convolve(signal: Tensor, layers: nn.Sequential) -> Tensor:
    """Return what a convolution, its batch norm and its rectifier give."""
    convolution, norm, _ = layers
    signal = compiled_layers.convolve(signal, cast("nn.Conv1d", convolution))
    return compiled_layers.normalise_and_rectify(signal, cast("nn.BatchNorm1d", norm))
