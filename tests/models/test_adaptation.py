"""A correction helps or is not there; it can be read, refused and taken back."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from models.adaptation import (
    Adaptation,
    fit_adaptation,
    read_adaptation,
    read_corrections,
    write_adaptation,
)
from monitor.contract import FloatArray
from monitor.errors import ModelError


def _athlete(seed: int = 0) -> tuple[FloatArray, FloatArray, NDArray[np.int8]]:
    """Return beats whose V the network takes for N, though its hidden layer tells them apart."""
    random = np.random.default_rng(seed)
    label = np.where(random.random(200) < 0.2, 2, 0).astype(np.int8)
    hidden = random.standard_normal((200, 6)).astype(np.float32)
    hidden[:, 0] += np.where(label == 2, 3.0, -3.0)
    logits = np.tile(np.array([2.0, 0, 0.5, -2, -4], np.float32), (200, 1))
    return logits, hidden, label


def _fit(logits: FloatArray, hidden: FloatArray, label: NDArray[np.int8]) -> Adaptation | None:
    return fit_adaptation(logits, hidden, label, model="m", sha256="ab" * 32, source="someone")


def test_corrections_carry_over() -> None:
    """What was learnt from some beats names others of the same athlete rightly; the held-out loss fell."""
    adaptation = _fit(*_athlete())
    assert adaptation is not None
    logits, hidden, label = _athlete(seed=1)
    assert (adaptation.apply(logits, hidden).argmax(axis=1) == label).mean() > 0.95
    assert adaptation.after < adaptation.before
    assert adaptation.beats == {
        "N": int((_athlete()[2] == 0).sum()),
        "S": 0,
        "V": 200 - adaptation.beats["N"],
        "F": 0,
        "Q": 0,
    }


def test_no_correction_where_none_helps() -> None:
    """Where all is right already, labels are random, or beats are few, nothing is kept."""
    logits, hidden, label = _athlete()
    right = 20 * np.eye(5, dtype=np.float32)[label]
    assert _fit(right, hidden, label) is None
    noise = np.random.default_rng(2)
    shuffled = noise.standard_normal(hidden.shape).astype(np.float32)
    fitted = _fit(
        np.log(np.array([[0.8, 0.01, 0.2, 0.01, 0.01]], np.float32)).repeat(200, 0), shuffled, label
    )
    assert fitted is None or fitted.before - fitted.after < 0.05
    assert _fit(logits[:20], hidden[:20], label[:20]) is None


def test_classes_not_named_stay() -> None:
    """Rows of classes that the physician did not name are zero."""
    adaptation = _fit(*_athlete())
    assert adaptation is not None
    assert not np.any(np.array(adaptation.weight)[[1, 3, 4]])
    assert not np.any(np.array(adaptation.bias)[[1, 3, 4]])


def test_a_file_goes_and_comes(tmp_path: Path) -> None:
    """A written correction is read back as it was; other weights, a damaged or a missing file are refused."""
    adaptation = _fit(*_athlete())
    assert adaptation is not None
    path = tmp_path / "anna.json"
    write_adaptation(adaptation, path)
    assert read_adaptation(path, sha256="ab" * 32) == adaptation
    with pytest.raises(ModelError, match="made for weights abab"):
        read_adaptation(path, sha256="cd" * 32)
    path.write_text("{")
    with pytest.raises(ModelError, match="not an adaptation"):
        read_adaptation(path, sha256="ab" * 32)
    with pytest.raises(ModelError, match="cannot be read"):
        read_adaptation(tmp_path / "none.json", sha256="ab" * 32)


def test_a_folder_holds_one_file_an_athlete(tmp_path: Path) -> None:
    """Files are found by team and athlete; one that is nobody's, or does not fit, is refused by its path."""
    adaptation = _fit(*_athlete())
    assert adaptation is not None
    (tmp_path / "red").mkdir()
    path = tmp_path / "red" / "anna.json"
    write_adaptation(adaptation, path)
    found = read_corrections(tmp_path, sha256="ab" * 32, hidden=6)
    assert found == {("red", "anna"): adaptation}
    logits, hidden, _ = _athlete()
    matrix = found["red", "anna"].matrix()
    np.testing.assert_allclose(
        logits + hidden @ matrix[:, :-1].T + matrix[:, -1],
        adaptation.apply(logits, hidden),
        rtol=1e-3,
        atol=1e-4,
    )
    with pytest.raises(ModelError, match="its numbers do not fit"):
        read_corrections(tmp_path, sha256="ab" * 32, hidden=7)
    with pytest.raises(ModelError, match="made for weights"):
        read_corrections(tmp_path, sha256="cd" * 32, hidden=6)
    write_adaptation(adaptation, tmp_path / "anna.json")
    with pytest.raises(ModelError, match="whose is it"):
        read_corrections(tmp_path, sha256="ab" * 32, hidden=6)
    with pytest.raises(ModelError, match="no folder"):
        read_corrections(tmp_path / "none", sha256="ab" * 32, hidden=6)
