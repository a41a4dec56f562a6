"""The constants do what they are for."""

import numpy as np
import pytest

from models.calibration import (
    answered,
    expected_calibration_error,
    fit_class_bias,
    fit_poor,
    fit_temperature,
    fit_unsure,
    reliability,
)
from models.softmax import softmax


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


def test_poor_is_where_wrong_outweighs_right() -> None:
    """Beats that are mostly wrong below 0.3 make that the threshold; quality 0, after a start, says nothing."""
    quality = np.array([0.0] * 9 + [0.22] * 4 + [0.4] * 4, np.float32)
    right = np.array([False] * 9 + [False, False, False, True] + [True] * 4)
    assert 0.22 < fit_poor(quality, right) <= 0.4
    assert fit_poor(quality, np.ones(17, np.bool_)) == 0.0


def test_class_bias_makes_up_for_a_shy_network() -> None:
    """Where S lies a constant 1.5 too low, about that much is added to it."""
    random = np.random.default_rng(1)
    label = random.choice(3, 4000, p=[0.8, 0.1, 0.1]).astype(np.int8)
    logits = random.standard_normal((4000, 5)).astype(np.float32) * 0.3
    logits[np.arange(4000), label] += 2
    logits[:, 3:] -= 5
    logits[:, 1] -= 1.5
    bias = fit_class_bias(logits, label, np.arange(4000) % 40)
    assert bias[0] == 0
    assert 0.75 <= bias[1] <= 1.5
    assert abs(bias[2]) <= 0.75


def test_calibration_error_of_a_known_network() -> None:
    """Beats called with 0.8 of which 0.6 are right are 0.2 off; thresholds above 0.8 leave none answered."""
    probabilities = np.tile(np.array([0.8, 0.2, 0, 0, 0], np.float32), (100, 1))
    right = np.arange(100) < 60
    assert expected_calibration_error(reliability(probabilities, right)) == pytest.approx(0.2, abs=1e-6)
    rows = answered(probabilities, right)
    assert {row["share"] for row in rows} == {1.0}
    assert max(row["threshold"] for row in rows) <= 0.8
