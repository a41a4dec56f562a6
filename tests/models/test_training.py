"""Training is repeatable, resumable, and learns what is there to be learnt, no more."""

import copy
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from models.beat_set import BeatSet
from models.training import LOG_FILE, Network, TrainingSettings, draw, learning_rate, predict, train
from monitor.errors import ModelError

MadeUp = Callable[[tuple[str, ...], int, int], BeatSet]
_SETTINGS = TrainingSettings(
    epochs=3, beats_per_epoch=128, batch=32, learning_rate=1e-2, averaging=0.8, seed=2
)


@pytest.fixture(scope="module")
def training(made_up_beats: MadeUp) -> BeatSet:
    """Return beats of two patients."""
    return made_up_beats(("a", "b"), 150, 1)


@pytest.fixture(scope="module")
def validation(made_up_beats: MadeUp) -> BeatSet:
    """Return beats of a third patient."""
    return made_up_beats(("c",), 100, 2)


def test_a_resumed_run_equals_an_uninterrupted_one(
    tmp_path: Path, small_network: Network, training: BeatSet, validation: BeatSet
) -> None:
    """Weights and history are the same, bit for bit, whether or not training stopped half way."""
    whole, halved = copy.deepcopy(small_network), copy.deepcopy(small_network)
    history = train(whole, training, validation, _SETTINGS, tmp_path / "whole")
    assert len(train(halved, training, validation, _SETTINGS, tmp_path / "halved", stop_after=2)) == 2
    again = copy.deepcopy(small_network)
    assert train(again, training, validation, _SETTINGS, tmp_path / "halved") == history
    for name, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
    logs = [(tmp_path / run / LOG_FILE).read_text() for run in ("whole", "halved")]
    assert logs[0] == logs[1]
    assert "s_f1" in logs[0]
    train(copy.deepcopy(small_network), training, None, _SETTINGS, tmp_path / "blind", stop_after=1)
    (line,) = (tmp_path / "blind" / LOG_FILE).read_text().splitlines()
    assert set(json.loads(line)) == {"epoch", "loss", "best"}


def test_it_learns_and_shuffled_labels_teach_nothing(
    tmp_path: Path, small_network: Network, training: BeatSet, validation: BeatSet
) -> None:
    """New patients are classified far above the all-N baseline; with shuffled labels no better than it."""
    baseline = float((validation.label == 0).mean())
    accuracy = []
    shuffled = replace(training, label=np.random.default_rng(0).permutation(training.label))
    settings = replace(
        _SETTINGS, logit_adjustment=0.0, epochs=6, beats_per_epoch=192, batch=16, learning_rate=2e-2
    )
    for name, beats in (("true", training), ("shuffled", shuffled)):
        network = copy.deepcopy(small_network)
        train(network, beats, validation, settings, tmp_path / name)
        accuracy.append(float((predict(network, validation).argmax(axis=1) == validation.label).mean()))
    assert accuracy[0] > baseline + 0.15
    assert accuracy[1] < baseline + 0.05


def test_other_settings_do_not_resume(
    tmp_path: Path, small_network: Network, training: BeatSet, validation: BeatSet
) -> None:
    """A checkpoint of other settings, of other beats, or a damaged one, is refused by name."""
    train(copy.deepcopy(small_network), training, validation, _SETTINGS, tmp_path, stop_after=1)
    with pytest.raises(ModelError, match="other settings"):
        train(copy.deepcopy(small_network), training, validation, replace(_SETTINGS, seed=9), tmp_path)
    others = replace(training, r_sample=training.r_sample + 1)
    with pytest.raises(ModelError, match="other beats"):
        train(copy.deepcopy(small_network), others, validation, _SETTINGS, tmp_path)
    (tmp_path / "checkpoint.safetensors").write_bytes(b"nonsense")
    with pytest.raises(ModelError, match="cannot be read"):
        train(copy.deepcopy(small_network), training, validation, _SETTINGS, tmp_path)


def test_training_ends_early_without_progress(
    tmp_path: Path, small_network: Network, training: BeatSet, validation: BeatSet
) -> None:
    """After `patience` epochs without a better validation score it stops."""
    settings = replace(_SETTINGS, epochs=9, patience=1, learning_rate=0.0)
    assert len(train(copy.deepcopy(small_network), training, validation, settings, tmp_path)) < 9


def test_draw_takes_rare_beats_and_evens_out_patients(made_up_beats: MadeUp) -> None:
    """All rare beats up to the limit come in, N beats fill up evenly over the records, no beat twice."""
    beats = BeatSet.join([made_up_beats(("big",), 900, 3), made_up_beats(("small",), 60, 4)])
    chosen = draw(beats, 500, np.random.default_rng(0), rare_per_record=40)
    assert len(set(chosen.tolist())) == len(chosen) == 500
    rare = beats.label[chosen] != 0
    assert rare[beats.record[chosen] == 0].sum() == 40
    small_n = int(((beats.record == 1) & (beats.label == 0)).sum())
    assert (~rare)[beats.record[chosen] == 1].sum() == small_n


def test_learning_rate_is_one_cycle() -> None:
    """It rises to its peak once and ends near nothing."""
    rates = [learning_rate(step, 100, 1.0) for step in range(100)]
    peak = int(np.argmax(rates))
    assert max(rates) == pytest.approx(1.0)
    assert (np.diff(rates[: peak + 1]) > 0).all()
    assert (np.diff(rates[peak:]) < 0).all()
    assert rates[-1] < 1e-2


def test_a_network_learns_from_teachers_too(
    tmp_path: Path, small_network: Network, training: BeatSet, validation: BeatSet
) -> None:
    """With shuffled labels beside a good teacher it is right on new patients; other teachers do not resume."""
    settings = replace(
        _SETTINGS, logit_adjustment=0.0, epochs=6, beats_per_epoch=192, batch=16, learning_rate=2e-2
    )
    teacher = copy.deepcopy(small_network)
    train(teacher, training, None, settings, tmp_path / "teacher")
    before = copy.deepcopy(teacher.state_dict())
    shuffled = replace(training, label=np.random.default_rng(0).permutation(training.label))
    taught = copy.deepcopy(small_network)
    train(taught, shuffled, None, settings, tmp_path / "taught", teachers=[teacher])
    baseline = float((validation.label == 0).mean())
    accuracy = float((predict(taught, validation).argmax(axis=1) == validation.label).mean())
    assert accuracy > baseline + 0.15
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    with pytest.raises(ModelError, match="other teachers"):
        train(taught, shuffled, None, settings, tmp_path / "taught", teachers=[taught])
