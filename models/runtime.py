"""Loads shipped weights and runs them: refuses what is not as its card says, never loses a beat to a failing device.

Weights are read as safetensors; nothing is ever unpickled. Devices stand in a chain, the fastest first: one that
fails in the middle of a batch is left behind, the same beats go to the next, and the log says so.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

import numpy as np
import structlog
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors

from models.card import ModelCard, read_card
from models.encoding import ENCODING_VERSION, encode_context, encode_windows
from models.grunet import Grunet, GrunetPaper, build
from monitor.beats import input_path_version
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, FloatArray
from monitor.errors import ModelError, UsageError

SHIPPED_WEIGHTS: Final = Path(__file__).parent / "weights" / "grunet.safetensors"
MICRO_BATCH: Final = 256
"""Beats that go to a device at once; more are split."""

Device = Literal["auto", "cpu", "cuda"]
_LOG = structlog.get_logger(__name__)


class Backend(Protocol):
    """One device that can run the network.

    Attributes
    ----------
    name : str
        For the log.
    """

    name: str

    def logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return logits ``[beats, 5]`` of encoded windows ``[beats, 600]`` and contexts ``[beats, 12]``.

        Raises
        ------
        RuntimeError, MemoryError
            If the device fails.
        """
        ...


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
        """Return logits, see `Backend`."""
        with torch.inference_mode():
            answer = self._network(
                torch.from_numpy(window).to(self._device), torch.from_numpy(context).to(self._device)
            )
            result: FloatArray = answer.cpu().numpy()
        return result


class Classifier:
    """A `monitor.classifier.BeatClassifier` made of a card and a chain of backends.

    Parameters
    ----------
    card : ModelCard
        What the network is.
    backends : sequence of Backend
        The one to use first, then those to fall back on.
    micro_batch : int
        Beats that go to a backend at once.
    """

    def __init__(
        self, card: ModelCard, backends: Sequence[Backend], *, micro_batch: int = MICRO_BATCH
    ) -> None:
        self.card = card
        self.name = f"{card.name} {card.version}"
        self.input_path = card.input_path
        # Records that chose the epoch and the thresholds are not unseen either.
        self.training_records = frozenset((*card.training_records, *card.validation_records))
        self._backends = list(backends)
        self._micro_batch = micro_batch

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._backends[0].name

    def probabilities(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return class probabilities, float32 of shape ``[beats, 5]``.

        Parameters
        ----------
        window : ndarray of float32, shape ``[beats, 600]``
            Millivolt.
        context : ndarray of float32, shape ``[beats, 6]``
            See `monitor.contract.CONTEXT_FIELDS`.

        Raises
        ------
        ModelError
            If every backend failed.
        """
        answer = np.empty((len(window), len(AAMI_CLASSES)), np.float32)
        for begin in range(0, len(window), self._micro_batch):
            part = slice(begin, begin + self._micro_batch)
            logits = self._logits(encode_windows(window[part]), encode_context(context[part]))
            answer[part] = softmax(logits / np.float32(self.card.temperature))
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the index in `monitor.contract.LABELS` of each beat, int8 of shape ``[beats]``.

        The likeliest class, or "unsure" where even that one is less likely than the card's threshold.
        """
        likeliest = probabilities.argmax(axis=1)
        sure = probabilities.max(axis=1, initial=0.0) >= self.card.unsure_below
        return np.where(sure, likeliest, UNSURE_LABEL).astype(np.int8)

    def _logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        while True:
            backend = self._backends[0]
            try:
                return backend.logits(window, context)
            except (RuntimeError, MemoryError) as error:
                if len(self._backends) == 1:
                    raise ModelError(f"{self.name} cannot run on {backend.name}: {error}") from error
                del self._backends[0]
                _LOG.warning(
                    "classifier backend failed, going on with the next",
                    failed=backend.name,
                    next=self.backend,
                    reason=str(error),
                )


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities of logits, along the last axis."""
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = exponential / exponential.sum(axis=-1, keepdims=True)
    return probabilities


def load_classifier(path: Path | None = None, *, device: Device = "auto", threads: int = 1) -> Classifier:
    """Load a network with its card, ready to classify.

    Parameters
    ----------
    path : Path, optional
        A ``.safetensors`` file with its ``.json`` card beside it; the shipped Grunet by default.
    device : {'auto', 'cpu', 'cuda'}
        Where to run; 'auto' takes CUDA where there is one, and the CPU should it fail.
    threads : int
        CPU threads that torch may use, in this whole process.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or hash, tensor shapes, classes, encoding or input path are not what the
        card, or this version, says.
    UsageError
        If the device is unknown or not there.
    """
    path = path or SHIPPED_WEIGHTS
    devices = _devices(device)
    if threads < 1:
        raise UsageError(f"{threads} threads: at least 1 is needed")
    card = read_card(path)
    _check_versions(card, path)
    state = _read_weights(card, path)
    torch.set_num_threads(threads)
    backends = []
    for name in devices:
        network = _network(card, path)
        network.load_state_dict(state)
        backends.append(TorchBackend(network, name))
    return Classifier(card, backends)


def _devices(device: str) -> tuple[str, ...]:
    if device not in get_args(Device):
        raise UsageError(f"device {device!r}: choose one of {', '.join(get_args(Device))}")
    if device == "cpu":
        return ("cpu",)
    if torch.cuda.is_available():
        return ("cuda", "cpu")
    if device == "cuda":
        raise UsageError("device 'cuda': torch finds none here; install a CUDA build of torch, or use 'cpu'")
    return ("cpu",)


def _check_versions(card: ModelCard, path: Path) -> None:
    if tuple(card.classes) != AAMI_CLASSES:
        raise ModelError(f"{path}: classes are {card.classes}, this version has {list(AAMI_CLASSES)}")
    if card.encoding != ENCODING_VERSION:
        raise ModelError(
            f"{path}: encoding version is {card.encoding}, this version has {ENCODING_VERSION}: train anew"
        )
    if card.input_path != input_path_version():
        raise ModelError(
            f"{path}: input path is {card.input_path}, this version cuts its beats by {input_path_version()}: "
            "train anew, or use the version that the weights came with"
        )


def _network(card: ModelCard, path: Path) -> Grunet | GrunetPaper:
    try:
        return build(card.network, card.config)
    except (ValueError, RuntimeError) as error:
        raise ModelError(f"{path}: the card describes no network of this version ({error})") from error


def _read_weights(card: ModelCard, path: Path) -> dict[str, torch.Tensor]:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelError(
            f"{path}: weights cannot be read ({error.strerror}); install the package anew"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != card.sha256:
        raise ModelError(
            f"{path}: SHA-256 is {found[:12]}…, its card says {card.sha256[:12]}…; put back its own file"
        )
    try:
        state: dict[str, torch.Tensor] = load_tensors(content)
    except SafetensorError as error:
        raise ModelError(f"{path}: damaged weights file ({error})") from error
    expected = {name: list(value.shape) for name, value in _network(card, path).state_dict().items()}
    for source, shapes in (
        ("its card says", card.tensors),
        (f"network {card.network} with the card's sizes needs", expected),
    ):
        _check_shapes({name: list(value.shape) for name, value in state.items()}, shapes, path, source)
    return state


def _check_shapes(
    found: dict[str, list[int]], expected: dict[str, list[int]], path: Path, source: str
) -> None:
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ModelError(
                f"{path}: tensor {name} has shape {found.get(name, 'none')}, {source} {expected.get(name, 'none')}"
            )
