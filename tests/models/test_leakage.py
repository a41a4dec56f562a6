"""Nothing of those who test comes into what is tested: records, patients, leads, constants, the future."""

import copy
import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import models.cross_validation
from models.beat_set import BeatSet
from models.card import read_card
from models.cross_validation import cross_validate, cross_validate_sequence
from models.runtime import CROSSFIT_WEIGHTS, SHIPPED_WEIGHTS
from models.sequence_training import SequenceSettings, fit_sequence
from models.sequencing import describe, network_of
from models.splits import CHOOSING_ONLY, DS1, DS2, EDB, NEVER_FITTED, SVDB_TESTING, SVDB_TRAINING, patient_of
from models.train import train
from models.training import Network, TrainingSettings

MadeUp = Callable[[tuple[str, ...], int, int], BeatSet]
_RECORDS = (*DS1[:8], *CHOOSING_ONLY, *SVDB_TRAINING[:6])


def _patients(names: Sequence[str]) -> set[str]:
    return {patient_of(name) for name in names}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, made_up_beats: MadeUp, small_network: Network) -> list[str]:
    """Let every record hold a few made-up beats and networks be small; return the names that are asked for."""
    names: list[str] = []

    def load(wanted: Sequence[str], *, lead: int = 0, **_: Any) -> BeatSet:
        names.extend(wanted)
        title = "{}" if lead == 0 else f"{{}}#{lead}"
        return made_up_beats(tuple(title.format(name) for name in wanted), 20, 5 + lead)

    def build(_: str) -> Network:
        return copy.deepcopy(small_network)

    few = functools.partial(SequenceSettings, members=1, steps=5, batch=64)
    monkeypatch.setattr("models.beat_data.load_beats", load)
    monkeypatch.setattr("models.grunet.build", build)
    monkeypatch.setattr("models.sequence_training.SequenceSettings", few)
    return names


def test_a_training_run_sees_no_test_record_and_repeats_itself(tmp_path: Path, asked: list[str]) -> None:
    """No record of a test patient is even read; two runs from nothing give the same file."""
    cards = []
    for run in ("one", "two"):
        path = tmp_path / f"{run}.safetensors"
        train(epochs=1, beats=64, folder=tmp_path / run, weights=path)
        cards.append(read_card(path))
    assert set(asked) == {*DS1, *SVDB_TRAINING}
    assert _patients(cards[0].training_records).isdisjoint(_patients((*DS2, *SVDB_TESTING, *EDB)))
    assert cards[0].sha256 == cards[1].sha256
    assert cards[0].class_bias == cards[1].class_bias


def test_the_cross_fitted_pair_sees_nothing_of_ds1(tmp_path: Path, asked: list[str]) -> None:
    """Fitted to DS2, it reads no record of DS1, and its constants are the shipped network's."""
    path = tmp_path / "crossfit.safetensors"
    train(epochs=1, beats=64, folder=tmp_path / "run", weights=path, crossfit=True)
    assert set(asked) == {*DS2, *SVDB_TRAINING}
    shipped, card = read_card(SHIPPED_WEIGHTS), read_card(path)
    assert _patients(card.training_records).isdisjoint(_patients((*DS1, *SVDB_TESTING, *EDB)))
    assert (card.class_bias, card.temperature, card.unsure_below, card.poor_below) == (
        shipped.class_bias,
        shipped.temperature,
        shipped.unsure_below,
        shipped.poor_below,
    )


def test_shipped_weights_were_fitted_to_no_test_patient() -> None:
    """Cards say so: no patient of DS2, or kept aside, in the shipped network; none of DS1 in its pair."""
    aside = _patients((*SVDB_TESTING, *EDB))
    shipped, crossfit = (
        set(read_card(path).training_records) for path in (SHIPPED_WEIGHTS, CROSSFIT_WEIGHTS)
    )
    assert _patients(list(shipped)).isdisjoint(_patients(DS2) | aside)
    assert _patients(list(crossfit)).isdisjoint(_patients(DS1) | aside)


def test_no_fold_is_fitted_to_those_it_judges(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made_up_beats: MadeUp, small_network: Network
) -> None:
    """Other leads and synthetic records of a patient leave the fit with the patient, in both stages."""
    first = made_up_beats(_RECORDS, 12, 1)
    second = made_up_beats(tuple(f"{name}#1" for name in _RECORDS), 12, 2)
    synthetic = made_up_beats(tuple(f"{name}#s2" for name in _RECORDS), 12, 3)
    fitted: list[set[str]] = []
    judged: list[set[str]] = []

    def people(beats: BeatSet) -> set[str]:
        return _patients([beats.names[place] for place in np.unique(beats.record).tolist()])

    def fit(_network: Network, training: BeatSet, *_: Any, **__: Any) -> None:
        fitted.append(people(training))

    def judge(_network: Network, beats: BeatSet) -> Any:
        judged.append(people(beats))
        return np.zeros((len(beats), 5), np.float32)

    monkeypatch.setattr(models.cross_validation, "train", fit)
    monkeypatch.setattr(models.cross_validation, "predict", judge)
    cross_validate(
        lambda: small_network, first, TrainingSettings(), tmp_path, more=[second], judged=[synthetic]
    )
    everything = BeatSet.join([first, second, synthetic])

    def fit_in_sequence(_p: Any, _d: Any, _label: Any, record: Any, *_: Any) -> dict[str, Any]:
        fitted.append(_patients([everything.names[place] for place in np.unique(record).tolist()]))
        return {}

    class Constant:
        def layers(self, probabilities: Any, _: Any) -> tuple[Any, Any]:
            return probabilities, probabilities

    monkeypatch.setattr(models.cross_validation, "fit_sequence", fit_in_sequence)
    monkeypatch.setattr(models.cross_validation, "network_of", lambda _: Constant())
    size = len(everything)
    cross_validate_sequence(
        first.names,
        everything,
        np.zeros((size, 5), np.float32),
        np.zeros((size, 1), np.float32),
        np.ones(size),
        SequenceSettings(),
    )
    assert len(fitted) == 10
    for one, other in zip(fitted, judged * 2, strict=True):
        assert other
        assert one
        assert one.isdisjoint(other | set(NEVER_FITTED))


def test_shuffled_labels_teach_the_second_network_nothing(made_up_beats: MadeUp) -> None:
    """In sequence: with true labels new patients' beats are told, with shuffled ones no better than all N."""
    known, new = made_up_beats(("a", "b", "c"), 400, 1), made_up_beats(("d",), 400, 2)
    settings = SequenceSettings(members=2, steps=80, batch=256, logit_adjustment=0.0)

    def alone(beats: BeatSet) -> Any:
        """Return what a first network would say that sees width, but not well."""
        noise = np.random.default_rng(len(beats)).normal(0, 0.4, len(beats))
        broad = 1 / (1 + np.exp(-3 * (np.where(beats.label == 2, 0.5, -0.5) + noise)))
        answer = np.full((len(beats), 5), 0.01)
        answer[:, 0], answer[:, 2] = 0.97 - 0.96 * broad, 0.01 + 0.96 * broad
        return answer.astype(np.float32)

    accuracy = {}
    for title, label in (
        ("true", known.label),
        ("shuffled", np.random.default_rng(0).permutation(known.label)),
    ):
        answers = alone(known)
        if title == "shuffled":
            # What it starts from must not tell the class either.
            answers = np.random.default_rng(1).permutation(answers)
        tensors = fit_sequence(
            answers, describe(known, answers), label, known.record, np.ones(len(known)), settings
        )
        said = alone(new) if title == "true" else np.random.default_rng(2).permutation(alone(new))
        logits = network_of(tensors).layers(said, describe(new, said))[1]
        accuracy[title] = float((logits.argmax(axis=1) == new.label).mean())
    baseline = float((new.label == 0).mean())
    assert accuracy["true"] > baseline + 0.1
    assert accuracy["shuffled"] < baseline + 0.03
