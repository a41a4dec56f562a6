"""Only weights that are what their card says are run, and no beat is lost to a failing device."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from models.card import card_path, read_card, sha256_of, write_card
from models.runtime import SHIPPED_WEIGHTS, Classifier, load_classifier
from models.sequence_encoding import SEQUENCE_WIDTH
from models.sizes import sequence_shapes
from monitor.beats import input_path_version
from monitor.contract import CONTEXT_FIELDS, UNSURE_LABEL, FloatArray
from monitor.errors import ModelError, UsageError

_RANDOM = np.random.default_rng(5)
_WINDOW = _RANDOM.standard_normal((9, 600)).astype(np.float32)
_TEMPLATE = _RANDOM.standard_normal((9, 600)).astype(np.float32)
_TEMPLATE[2] = 0.0
_SHAPE = (9, len(CONTEXT_FIELDS))
_CONTEXT = np.where(_RANDOM.random(_SHAPE) < 0.3, np.nan, _RANDOM.uniform(0.3, 1.5, _SHAPE)).astype(
    np.float32
)


def test_probabilities_are_probabilities(small_model: Path) -> None:
    """Rows sum to 1, NaN context included, and no beats give no rows."""
    classifier = load_classifier(small_model, device="cpu")
    probabilities = classifier.probabilities(_WINDOW, _TEMPLATE, _CONTEXT)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)
    assert classifier.probabilities(_WINDOW[:0], _TEMPLATE[:0], _CONTEXT[:0]).shape == (0, 5)
    assert classifier.labels(np.empty((0, 5), np.float32)).shape == (0,)


def test_batches_do_not_matter(small_model: Path) -> None:
    """The same beats in one batch, one by one, and in micro-batches of 4 have the same probabilities."""
    classifier = load_classifier(small_model, device="cpu")
    together = classifier.probabilities(_WINDOW, _TEMPLATE, _CONTEXT)
    alone = [
        classifier.probabilities(_WINDOW[i : i + 1], _TEMPLATE[i : i + 1], _CONTEXT[i : i + 1])
        for i in range(len(_WINDOW))
    ]
    split = Classifier(classifier.card, [lambda: classifier._backend], micro_batch=4).probabilities(
        _WINDOW, _TEMPLATE, _CONTEXT
    )
    np.testing.assert_allclose(np.concatenate(alone), together, atol=1e-5)
    np.testing.assert_allclose(split, together, atol=1e-5)


def test_labels_are_unsure_below_the_threshold(small_model: Path) -> None:
    """The likeliest class, or "unsure" where it is less likely than the card's threshold."""
    labels = load_classifier(small_model, device="cpu").labels(
        np.array([[0.1, 0.1, 0.6, 0.1, 0.1], [0.49, 0.2, 0.2, 0.11, 0.0]], np.float32)
    )
    assert labels.dtype == np.int8
    assert labels.tolist() == [2, UNSURE_LABEL]


def test_validation_records_count_as_known(small_model: Path) -> None:
    """Records that chose epoch and thresholds are no unseen records."""
    assert load_classifier(small_model).training_records == {"mitdb/101", "mitdb/201"}


def _edit_card(path: Path, **changes: Any) -> None:
    write_card(msgspec.structs.replace(read_card(path), **changes), path)


def _other_weights(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\1")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:100])
    _edit_card(path, sha256=sha256_of(path))


def _other_shape(path: Path) -> None:
    state = load_file(path)
    state["head.3.bias"] = torch.zeros(6)
    save_file(state, path)
    _edit_card(path, sha256=sha256_of(path))


def _wrong_shape_and_card(path: Path) -> None:
    _other_shape(path)
    _edit_card(path, tensors={**read_card(path).tensors, "head.3.bias": [6]})


def _missing_tensor(path: Path) -> None:
    state = load_file(path)
    del state["head.3.bias"]
    save_file(state, path)
    _edit_card(path, sha256=sha256_of(path))


def _pickle(path: Path) -> None:
    torch.save({"weights": torch.zeros(3)}, path)
    _edit_card(path, sha256=sha256_of(path))


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (lambda path: path.unlink(), "weights cannot be read"),
        (lambda path: card_path(path).unlink(), "missing"),
        (lambda path: card_path(path).write_text("{"), "not a model card"),
        (lambda path: card_path(path).write_text('{"name": "small"}'), "not a model card"),
        (_other_weights, "SHA-256"),
        (_truncate, "damaged weights file"),
        (_pickle, "damaged weights file"),
        (_other_shape, "head.3.bias has shape \\[6\\], its card says \\[5\\]"),
        (_wrong_shape_and_card, "head.3.bias has shape \\[6\\], network grunet"),
        (_missing_tensor, "head.3.bias has shape none"),
        (lambda path: _edit_card(path, input_path="0123"), f"input path is 0123.*{input_path_version()}"),
        (lambda path: _edit_card(path, encoding=99), "encoding version is 99"),
        (lambda path: _edit_card(path, class_bias=[0.0]), "class_bias holds 1"),
        (lambda path: _edit_card(path, classes=["N", "V"]), "classes are \\['N', 'V'\\]"),
        (lambda path: _edit_card(path, network="unet"), "'unet'"),
        (lambda path: _edit_card(path, config={"depth": 3}), "depth"),
    ],
)
def test_what_is_not_as_its_card_says_is_refused(
    small_model: Path, spoil: Callable[[Path], None], named: str
) -> None:
    """One line names what differs; nothing is run."""
    spoil(small_model)
    with pytest.raises(ModelError, match=named) as caught:
        load_classifier(small_model, device="cpu")
    assert "\n" not in str(caught.value)


def _with_sequence(path: Path, *, members: int = 2, width: int = 4) -> None:
    random = np.random.default_rng(1)
    state = load_file(path)
    shapes = sequence_shapes({"members": members, "width": width})
    for name, shape in shapes.items():
        state[name] = torch.from_numpy(random.standard_normal(shape).astype(np.float32))
    save_file(state, path)
    tensors = {name: list(value.shape) for name, value in state.items()}
    _edit_card(path, sha256=sha256_of(path), tensors=tensors, sequence={"members": members, "width": width})


def test_the_cards_constants_are_those_of_the_last_word(small_model: Path) -> None:
    """Beats read in sequence: bias and temperature stand behind the second answer, none behind the first."""
    alone = load_classifier(small_model, device="cpu")
    assert alone.sequence is None
    _with_sequence(small_model)
    _edit_card(small_model, class_bias=[0.0, 1.0, 0.0, 0.0, 0.0])
    classifier = load_classifier(small_model, device="cpu")
    assert classifier.sequence is not None
    assert classifier.sequence.hidden == 2 * 4 + SEQUENCE_WIDTH
    assert classifier.sequence.class_bias.tolist() == [0.0, 1.0, 0.0, 0.0, 0.0]
    assert classifier.sequence.temperature == read_card(small_model).temperature
    tempered = np.log(alone.probabilities(_WINDOW, _TEMPLATE, _CONTEXT))
    plain = np.log(classifier.probabilities(_WINDOW, _TEMPLATE, _CONTEXT))
    np.testing.assert_allclose(
        np.diff(plain, axis=1), read_card(small_model).temperature * np.diff(tempered, axis=1), atol=1e-3
    )
    by_torch = load_classifier(small_model, device="torch")
    np.testing.assert_allclose(by_torch.probabilities(_WINDOW, _TEMPLATE, _CONTEXT), np.exp(plain), atol=1e-4)


@pytest.mark.parametrize(
    ("sizes", "named"),
    [
        ({"members": 2, "width": 5}, "sequence.enter has shape"),
        ({}, "sequence.enter has shape .*network grunet with the card's sizes needs none"),
        ({"members": 2}, "members and width"),
        ({"members": 0, "width": 4}, "members and width"),
    ],
)
def test_a_network_in_sequence_that_is_not_its_cards_is_refused(
    small_model: Path, sizes: dict[str, int], named: str
) -> None:
    """Sizes that are none, or do not fit the tensors, are named."""
    _with_sequence(small_model)
    _edit_card(small_model, sequence=sizes)
    with pytest.raises(ModelError, match=named):
        load_classifier(small_model, device="cpu")


def test_devices_are_named(small_model: Path) -> None:
    """An unknown device, or CUDA where there is none, is a wrong use."""
    with pytest.raises(UsageError, match="'tpu'"):
        load_classifier(small_model, device="tpu")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="0 threads"):
        load_classifier(small_model, threads=0)
    if not torch.cuda.is_available():
        with pytest.raises(UsageError, match="CUDA build"):
            load_classifier(small_model, device="cuda")


class _Failing:
    """A device that runs two micro-batches, then breaks down."""

    name = "failing"

    def __init__(self, good: Any) -> None:
        self._good = good
        self.calls = 0

    def logits(self, window: FloatArray, context: FloatArray) -> FloatArray:
        self.calls += 1
        if self.calls > 2:
            raise RuntimeError("device lost")
        answer: FloatArray = self._good.logits(window, context)
        return answer


def test_a_failing_device_loses_no_beat(small_model: Path) -> None:
    """A backend that breaks down within a batch is left for good; the batch is whole and right."""
    cpu = load_classifier(small_model, device="cpu")
    failing = _Failing(cpu._backend)
    chain = Classifier(cpu.card, [lambda: failing, lambda: cpu._backend], micro_batch=2)
    np.testing.assert_allclose(
        chain.probabilities(_WINDOW, _TEMPLATE, _CONTEXT),
        cpu.probabilities(_WINDOW, _TEMPLATE, _CONTEXT),
        atol=1e-5,
    )
    assert chain.backend == "numpy"
    chain.probabilities(_WINDOW, _TEMPLATE, _CONTEXT)
    assert failing.calls == 3


def test_the_last_device_failing_is_an_error(small_model: Path) -> None:
    """Where no backend is left the failure is told, never hidden behind made-up probabilities."""
    cpu = load_classifier(small_model, device="cpu")
    chain = Classifier(cpu.card, [lambda: _Failing(cpu._backend)], micro_batch=2)
    with pytest.raises(ModelError, match="device lost"):
        chain.probabilities(_WINDOW, _TEMPLATE, _CONTEXT)


def test_shipped_weights_load_from_anywhere(tmp_path: Path) -> None:
    """The shipped Grunet is found beside the package, not in the working folder, and is small and quick to load."""
    (tmp_path / "models").mkdir()
    code = "from models.runtime import load_classifier; print(load_classifier(device='cpu').name)"
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(root)!r}); {code}"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("grunet ")
    assert SHIPPED_WEIGHTS.stat().st_size < 5_000_000


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees_with_the_cpu() -> None:
    """The same beats have the same probabilities on both devices."""
    cuda, cpu = load_classifier(device="cuda"), load_classifier(device="cpu")
    assert cuda.backend == "torch cuda"
    np.testing.assert_allclose(
        cuda.probabilities(_WINDOW, _TEMPLATE, _CONTEXT),
        cpu.probabilities(_WINDOW, _TEMPLATE, _CONTEXT),
        atol=1e-4,
    )
