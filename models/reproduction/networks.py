"""The four networks of the paper's Table 2.

The paper gives no widths for any of them. *Grunet* is its network at base 8. *CNN* is the same network with its GRUs
taken out, so that the difference between the rows is what the GRUs do. *RNN* and *GRU* are one recurrent layer of 64
units over 120 steps of 5 samples. All end in one linear layer over all steps, as Grunet does.
"""

from typing import Any, Final, cast

from torch import Tensor, nn

from models.grunet import GrunetPaper, GrunetPaperConfig
from monitor.contract import AAMI_CLASSES, WINDOW_POINTS

NETWORKS: Final = ("RNN", "CNN", "GRU", "Grunet")
"""In the paper's order."""
SIZES: Final = GrunetPaperConfig(stem_width=8, widths=(16, 32, 64))
_STEP_POINTS: Final = 5
_STEPS: Final = WINDOW_POINTS // _STEP_POINTS
_HIDDEN: Final = 64


class Recurrent(nn.Module):
    """One recurrent layer over the window, and one linear layer over all its steps.

    Parameters
    ----------
    layer : torch.nn.RNN or torch.nn.GRU
        With `_STEP_POINTS` inputs, batch first.
    """

    def __init__(self, layer: nn.RNN | nn.GRU) -> None:
        super().__init__()
        self.layer = layer
        self.out = nn.Linear(layer.hidden_size * _STEPS, len(AAMI_CLASSES))

    def forward(self, window: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of windows ``[beats, 600]``."""
        over_time, _ = self.layer(window.reshape(len(window), _STEPS, _STEP_POINTS))
        return cast("Tensor", self.out(over_time.flatten(1)))


class _Passing(nn.Module):
    """Stands where a GRU stood, and hands on what it is given."""

    def forward(self, over_time: Tensor) -> tuple[Tensor, None]:
        return over_time, None


class Shaped(nn.Module):
    """The paper's U-Net, by windows alone.

    Parameters
    ----------
    recurrent : bool
        With its GRUs, or without.
    """

    def __init__(self, *, recurrent: bool) -> None:
        super().__init__()
        self.network = GrunetPaper(SIZES)
        if not recurrent:
            for step in (self.network.down1, self.network.down2, self.network.down3):
                # The step calls whatever stands here; its annotation says GRU.
                cast("Any", step).gru = _Passing()

    def forward(self, window: Tensor) -> Tensor:
        """Return logits ``[beats, 5]`` of windows ``[beats, 600]``."""
        return cast("Tensor", self.network(window, window))


def build(name: str) -> nn.Module:
    """Return a network of Table 2 with fresh weights.

    Raises
    ------
    ValueError
        If the name is not one of `NETWORKS`.
    """
    if name == "RNN":
        return Recurrent(nn.RNN(_STEP_POINTS, _HIDDEN, batch_first=True))
    if name == "GRU":
        return Recurrent(nn.GRU(_STEP_POINTS, _HIDDEN, batch_first=True))
    if name == "CNN":
        return Shaped(recurrent=False)
    if name == "Grunet":
        return Shaped(recurrent=True)
    raise ValueError(f"network {name!r}: use one of {', '.join(NETWORKS)}")
