"""The two constants do what they are for."""

import numpy as np
import pytest

from models.calibration import fit_temperature, fit_unsure
from models.runtime import softmax


def test_temperature_finds_back_a_known_one() -> None:
    """Logits whose labels were drawn at temperature 3 are given 3 back."""
    random = np.random.default_rng(0)
    logits = (6 * random.standard_normal((20_000, 5))).astype(np.float32)
    drawn = (softmax(logits / np.float32(3.0)).cumsum(axis=1) < random.random((20_000, 1))).sum(axis=1)
    label = np.minimum(drawn, 4).astype(np.int8)
    assert fit_temperature(logits, label) == pytest.approx(3.0, rel=0.05)


def test_unsure_is_where_wrong_outweighs_right() -> None:
    """Beats that are mostly wrong below 0.55 make that the threshold; where all are right nothing is unsure."""
    likeliest = np.array([0.5] * 4 + [0.6] * 4)
    probabilities = np.stack([likeliest, *[(1 - likeliest) / 4] * 4], axis=1).astype(np.float32)
    label = np.array([1, 1, 1, 0, 0, 0, 0, 1], np.int8)
    assert 0.5 < fit_unsure(probabilities, label) <= 0.6
    assert fit_unsure(probabilities, np.zeros(8, np.int8)) == pytest.approx(0.2)
