"""Loads shipped weights and runs them: refuses what is not as its card says, never loses a beat to a failing runtime.

Weights are read as safetensors; nothing is ever unpickled. Runtimes stand in a chain, the first choice first: one that
fails in the middle of a batch is left behind, the same beats go to the next, and the log says so. NumPy is the first
choice on a CPU: it answers as fast as torch (``python -m benchmarks.classifier``) and starts without it. torch is only
imported where it is asked for, or needed.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Literal, Protocol, get_args

import numpy as np
import structlog
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors

from models.card import ModelCard, read_card
from models.encoding import ENCODING_VERSION, encode_context, encode_windows
from models.numpy_network import NumpyGrunet
from models.sequencing import network_of
from models.sizes import sequence_shapes, sizes_of, tensor_shapes
from models.softmax import softmax
from monitor.beats import input_path_version
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, FloatArray
from monitor.errors import ModelError, UsageError
from monitor.sequence_network import SequenceNetwork

SHIPPED_WEIGHTS: Final = Path(__file__).parent / "weights" / "grunet.safetensors"
CROSSFIT_WEIGHTS: Final = Path(__file__).parent / "weights" / "crossfit" / "grunet.safetensors"
"""Fitted to DS2 instead of DS1, for classes of DS1 by a network that has not seen them."""
MICRO_BATCH: Final = 256
"""Beats that go to a runtime at once; more are split."""

Device = Literal["auto", "cpu", "cuda", "torch"]
_LOG = structlog.get_logger(__name__)


class Backend(Protocol):
    """One runtime on one device that can run the network.

    Attributes
    ----------
    name : str
        For the log.
    """

    name: str

    def logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return logits ``[beats, 5]`` of encoded windows ``[beats, 2, 600]`` and contexts.

        Raises
        ------
        RuntimeError, MemoryError
            If the runtime fails.
        """
        ...


class NumpyBackend:
    """NumPy on the CPU.

    Parameters
    ----------
    network : NumpyGrunet
        With its weights.
    """

    name = "numpy"

    def __init__(self, network: NumpyGrunet) -> None:
        self._network = network

    def logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        """Return logits, see `Backend`."""
        return self._network(window, context)


class Classifier:
    """A `monitor.classifier.BeatClassifier` made of a card and a chain of backends.

    Parameters
    ----------
    card : ModelCard
        What the network is.
    backends : sequence of callables
        Each makes a backend when it is needed: the one to use first, then those to fall back on.
    sequence : SequenceNetwork, optional
        Judges each beat once more, among those before it.
    micro_batch : int
        Beats that go to a backend at once.
    """

    def __init__(
        self,
        card: ModelCard,
        backends: Sequence[Callable[[], Backend]],
        *,
        sequence: SequenceNetwork | None = None,
        micro_batch: int = MICRO_BATCH,
    ) -> None:
        self.card = card
        self.name = f"{card.name} {card.version}"
        self.input_path = card.input_path
        # Records that took part in choosing settings and thresholds are not unseen either.
        self.training_records = frozenset((*card.training_records, *card.validation_records))
        self._next = list(backends[1:])
        self._backend = backends[0]()
        self.sequence = sequence
        # Where beats are read in sequence, the card's constants are for that answer.
        alone = sequence is None
        self._bias = np.array(card.class_bias, np.float32) * np.float32(alone)
        self._temperature: np.float32 = np.float32(card.temperature if alone else 1.0)
        self._micro_batch = micro_batch

    @property
    def backend(self) -> str:
        """Name of the backend in use."""
        return self._backend.name

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return class probabilities of each beat alone, float32 of shape ``[beats, 5]``.

        Parameters
        ----------
        window, template : ndarray of float32, shape ``[beats, 600]``
            Millivolt.
        context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
            See `monitor.contract.CONTEXT_FIELDS`.

        Raises
        ------
        ModelError
            If every backend failed.
        """
        answer = np.empty((len(window), len(AAMI_CLASSES)), np.float32)
        for begin in range(0, len(window), self._micro_batch):
            part = slice(begin, begin + self._micro_batch)
            logits = self._logits(encode_windows(window[part], template[part]), encode_context(context[part]))
            answer[part] = softmax(((logits + self._bias) / self._temperature).astype(np.float32))
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
            try:
                return self._backend.logits(window, context)
            except (RuntimeError, MemoryError) as error:
                failed = self._backend.name
                if not self._next:
                    raise ModelError(f"{self.name} cannot run on {failed}: {error}") from error
                self._backend = self._next.pop(0)()
                _LOG.warning(
                    "classifier backend failed, going on with the next",
                    failed=failed,
                    next=self.backend,
                    reason=str(error),
                )


def load_classifier(path: Path | None = None, *, device: Device = "auto", threads: int = 1) -> Classifier:
    """Load a network with its card, ready to classify.

    Parameters
    ----------
    path : Path, optional
        A ``.safetensors`` file with its ``.json`` card beside it; the shipped Grunet by default.
    device : {'auto', 'cpu', 'cuda', 'torch'}
        Where to run, and by what; 'auto' and 'cpu' take NumPy, and torch should it fail, 'cuda' torch on a GPU, and the
        CPU should that fail, 'torch' torch on the CPU.
    threads : int
        CPU threads that may be used, in this whole process.

    Raises
    ------
    ModelError
        If a file is missing or damaged, or hash, tensor shapes, classes, encoding or input path are not what the
        card, or this version, says.
    UsageError
        If the device is unknown or not there.
    """
    path = path or SHIPPED_WEIGHTS
    if device not in get_args(Device):
        raise UsageError(f"device {device!r}: choose one of {', '.join(get_args(Device))}")
    if threads < 1:
        raise UsageError(f"{threads} threads: at least 1 is needed")
    card = read_card(path)
    _check_versions(card, path)
    weights = _read_weights(card, path)

    def by_torch(where: str) -> Callable[[], Backend]:
        def make() -> Backend:
            from models.torch_backend import torch_backend

            return torch_backend(card, weights, where, threads=threads)

        return make

    def by_numpy() -> Backend:
        from threadpoolctl import threadpool_limits

        threadpool_limits(threads, user_api="blas")
        return NumpyBackend(NumpyGrunet(weights, card.config))

    sequence = None
    if card.sequence:
        sequence = network_of(
            weights,
            class_bias=card.class_bias,
            temperature=card.temperature,
            unsure_below=card.unsure_below,
            poor_below=card.poor_below,
        )
    chain = [by_numpy, by_torch("cpu")] if card.network == "grunet" else [by_torch("cpu")]
    if device == "torch":
        chain = [by_torch("cpu")]
    elif device == "cuda":
        chain.insert(0, by_torch("cuda"))
    return Classifier(card, chain, sequence=sequence)


def load_network(path: Path | None = None) -> tuple[ModelCard, NumpyGrunet]:
    """Return card and network of a weights file, for those who need its layers; raises as `load_classifier` does."""
    path = path or SHIPPED_WEIGHTS
    card = read_card(path)
    _check_versions(card, path)
    if card.network != "grunet":
        raise ModelError(f"{path}: network {card.network!r} has no layers to adapt; use a grunet")
    return card, NumpyGrunet(_read_weights(card, path), card.config)


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
    if len(card.class_bias) != len(AAMI_CLASSES):
        raise ModelError(f"{path}: class_bias holds {len(card.class_bias)} values, one a class is needed")


def _read_weights(card: ModelCard, path: Path) -> dict[str, FloatArray]:
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
        weights: dict[str, FloatArray] = load_tensors(content)
    except SafetensorError as error:
        raise ModelError(f"{path}: damaged weights file ({error})") from error
    try:
        expected = tensor_shapes(sizes_of(card.network, card.config)) | sequence_shapes(card.sequence)
    except ValueError as error:
        raise ModelError(f"{path}: the card describes no network of this version ({error})") from error
    for source, shapes in (
        ("its card says", card.tensors),
        (f"network {card.network} with the card's sizes needs", expected),
    ):
        _check_shapes({name: list(value.shape) for name, value in weights.items()}, shapes, path, source)
    return weights


def _check_shapes(
    found: dict[str, list[int]], expected: dict[str, list[int]], path: Path, source: str
) -> None:
    for name in sorted(found.keys() | expected.keys()):
        if found.get(name) != expected.get(name):
            raise ModelError(
                f"{path}: tensor {name} has shape {found.get(name, 'none')}, {source} {expected.get(name, 'none')}"
            )
