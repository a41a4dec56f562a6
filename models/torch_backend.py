"""torch as a runtime: for CUDA, for networks that NumPy does not know, and as the one to fall back on."""

from collections.abc import Mapping

import torch

from models.card import ModelCard
from models.grunet import Grunet, GrunetPaper, build
from models.sizes import SEQUENCE_PREFIX
from monitor.contract import FloatArray
from monitor.errors import UsageError


class TorchBackend:
    """PyTorch on one device.

    Parameters
    ----------
    network : Grunet or GrunetPaper
        With its weights; it is moved to the device.
    device : str
        ``"cpu"`` or ``"cuda"``.
    """

    def __init__(self, network: Grunet | GrunetPaper, device: str) -> None:
        self.name = f"torch {device}"
        self._device = torch.device(device)
        self._network = network.to(self._device).eval()

    def logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return logits ``[beats, 5]``, see `models.runtime.Backend`."""
        with torch.inference_mode():
            answer = self._network(
                torch.from_numpy(window).to(self._device), torch.from_numpy(context).to(self._device)
            )
            result: FloatArray = answer.cpu().numpy()
        return result


def torch_backend(
    card: ModelCard, weights: Mapping[str, FloatArray], device: str, *, threads: int = 1
) -> TorchBackend:
    """Return a network with its weights on a device.

    Parameters
    ----------
    card : ModelCard
        Which network.
    weights : mapping of str to ndarray
        Its tensors.
    device : str
        ``"cpu"`` or ``"cuda"``.
    threads : int
        CPU threads that torch may use, in this whole process.

    Raises
    ------
    UsageError
        If the device is not there.
    """
    if device == "cuda" and not torch.cuda.is_available():
        raise UsageError("device 'cuda': torch finds none here; install a CUDA build of torch, or use 'cpu'")
    torch.set_num_threads(threads)
    network = build(card.network, card.config)
    network.load_state_dict(
        {
            name: torch.from_numpy(value)
            for name, value in weights.items()
            if not name.startswith(SEQUENCE_PREFIX)
        }
    )
    return TorchBackend(network, device)
