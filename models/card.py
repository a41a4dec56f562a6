"""The card beside a weights file: what the weights are, what they were fed, and what they are good for.

Weights without their card, or that are not what their card says, are not run.
"""

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from monitor.errors import ModelError


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything a runtime, or a reader, must know of a weights file.

    Attributes
    ----------
    name, version : str
        Of the model.
    sha256 : str
        Of the weights file's bytes.
    network : str
        See `models.grunet.build`.
    config : dict
        Its sizes.
    tensors : dict of str to list of int
        Shape of every tensor in the file.
    input_path : str
        `monitor.beats.input_path_version` of the beats it was trained with.
    encoding : int
        `models.encoding.ENCODING_VERSION` of the same.
    classes : list of str
        Meaning of the outputs, in order.
    unsure_below : float
        A beat whose likeliest class is less likely than this is "unsure".
    poor_below : float
        So is one of lower quality than this, where beats are read in sequence.
    temperature : float
        Logits are divided by it before they become probabilities.
    class_bias : list of float
        Added to the logits, class by class, before the temperature: where the line between two classes lies.
    sequence : dict
        Sizes of the network that judges each beat among those before it (``members``, ``width``), whose tensors are
        named ``sequence.…``; empty where there is none. Bias, temperature and threshold are then those of its answer.
    training_records, validation_records : list of str
        What the weights were fitted to, and what else took part in choosing settings, `temperature`, `class_bias`,
        `unsure_below` and `poor_below`.
    training : dict
        Settings of the training run.
    results : dict
        Figures by protocol; see `docs/model-card.md`.
    intended_use, protocol : str
        What it is for, and how it was tested.
    limits : list of str
        What it is bad at.
    date, commit : str
        When, and from which state of the source.
    """

    name: str
    version: str
    sha256: str
    network: str
    config: dict[str, Any]
    tensors: dict[str, list[int]]
    input_path: str
    encoding: int
    classes: list[str]
    unsure_below: float
    temperature: float
    class_bias: list[float]
    training_records: list[str]
    validation_records: list[str]
    training: dict[str, Any]
    results: dict[str, Any]
    intended_use: str
    protocol: str
    limits: list[str]
    date: str
    commit: str
    sequence: dict[str, int] = {}
    poor_below: float = 0.0


def card_path(weights: Path) -> Path:
    """Return where the card of a weights file lies: beside it, under the same name."""
    return weights.with_suffix(".json")


def read_card(weights: Path) -> ModelCard:
    """Return the card of a weights file.

    Raises
    ------
    ModelError
        If it is missing, or not a card.
    """
    path = card_path(weights)
    try:
        return msgspec.json.decode(path.read_bytes(), type=ModelCard)
    except FileNotFoundError as error:
        raise ModelError(
            f"{path}: missing; weights are only run with the card they were shipped with"
        ) from error
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ModelError(
            f"{path}: not a model card ({error}); put back the one the weights came with"
        ) from error


def write_card(card: ModelCard, weights: Path) -> None:
    """Write the card of a weights file, readable by people too."""
    text = msgspec.json.format(msgspec.json.encode(card), indent=2)
    card_path(weights).write_bytes(text + b"\n")


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()
