"""Small made-up beats and a small made-up model, so that tests of training and runtime take a moment."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from models.beat_set import BeatSet
from models.card import ModelCard, sha256_of, write_card
from models.encoding import ENCODING_VERSION
from models.grunet import build, config_of
from models.training import Network
from monitor.beats import input_path_version
from monitor.contract import AAMI_CLASSES, CONTEXT_FIELDS, WINDOW_POINTS

# Tests run beside one another: more threads than one a process only wait for each other.
torch.set_num_threads(1)

_SMALL = {
    "stem_width": 4,
    "widths": [4, 4, 4],
    "out_width": 2,
    "context_width": 4,
    "head_width": 8,
    "dropout": 0.0,
}
"""Sizes of a network that trains in a second."""


def _made_up_beats(names: tuple[str, ...], per_record: int, seed: int) -> BeatSet:
    """Return narrow N beats in time and broad V beats too early, with noise."""
    random = np.random.default_rng(seed)
    count = per_record * len(names)
    label = np.where(random.random(count) < 0.3, 2, 0).astype(np.int8)
    width_s = np.where(label == 2, 0.06, 0.02)[:, np.newaxis]
    time_s = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0
    window = np.exp(-0.5 * (time_s / width_s) ** 2) + 0.05 * random.standard_normal((count, WINDOW_POINTS))
    context = np.full((count, len(CONTEXT_FIELDS)), np.nan)
    context[:, 2] = 0.8
    context[:, 0] = np.where(label == 2, 0.5, 0.8) * np.exp(0.05 * random.standard_normal(count))
    context[:, 3] = context[:, 0] / 0.8
    return BeatSet(
        names=names,
        record=np.repeat(np.arange(len(names)), per_record),
        r_sample=np.tile(np.arange(per_record) * 300, len(names)),
        window=window.astype(np.float32),
        template=np.zeros_like(window, np.float32),
        context=context.astype(np.float32),
        quality=np.ones(count, np.float32),
        complete=np.ones(count, np.bool_),
        label=label,
        missed=np.zeros((len(names), 5), np.int64),
        rate_hz=np.full(len(names), 360.0),
    )


@pytest.fixture(scope="session")
def made_up_beats() -> Callable[[tuple[str, ...], int, int], BeatSet]:
    """Return a function of record names, beats per record and seed."""
    return _made_up_beats


@pytest.fixture
def small_network() -> Network:
    """Return a network that trains in a second, always with the same weights."""
    torch.manual_seed(4)
    return build("grunet", _SMALL)


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """Return the path of a small network's weights, with a card that fits them."""
    torch.manual_seed(3)
    network = build("grunet", _SMALL)
    path = tmp_path / "small.safetensors"
    save_file(network.state_dict(), path)
    card = ModelCard(
        name="small",
        version="0",
        sha256=sha256_of(path),
        network="grunet",
        config=config_of(network),
        tensors={name: list(value.shape) for name, value in network.state_dict().items()},
        input_path=input_path_version(),
        encoding=ENCODING_VERSION,
        classes=list(AAMI_CLASSES),
        unsure_below=0.5,
        temperature=2.0,
        class_bias=[0.0] * len(AAMI_CLASSES),
        training_records=["mitdb/101"],
        validation_records=["mitdb/201"],
        training={},
        results={},
        intended_use="",
        protocol="",
        limits=[],
        date="",
        commit="",
    )
    write_card(card, path)
    return path
