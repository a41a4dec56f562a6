"""How probable it is that a candidate is an R peak: a small network over its description, run a few times a second.

Two hidden layers of rectified units; a few thousand multiplications per candidate, which is next to nothing per sample.
The weights lie in ``rpeak_judge.npz`` beside this module; ``python -m benchmarks.train_detector`` makes them.
"""

from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled

WEIGHTS_FILE: Final = Path(__file__).with_name("rpeak_judge.npz")


class Judge(NamedTuple):
    """Weights of the network, and of the quality that is read from its answers."""

    first: NDArray[np.float32]
    first_bias: NDArray[np.float32]
    second: NDArray[np.float32]
    second_bias: NDArray[np.float32]
    last: NDArray[np.float32]
    last_bias: NDArray[np.float32]
    wide_first: NDArray[np.float32]
    wide_first_bias: NDArray[np.float32]
    wide_second: NDArray[np.float32]
    wide_second_bias: NDArray[np.float32]
    wide_last: NDArray[np.float32]
    wide_last_bias: NDArray[np.float32]
    doubt: NDArray[np.float64]
    trust: NDArray[np.float64]


@cache
def load_judge(file: Path = WEIGHTS_FILE) -> Judge:
    """Read the weights."""
    with np.load(file, allow_pickle=False) as stored:
        return Judge(*(np.ascontiguousarray(stored[name]) for name in Judge._fields))


@compiled
def _answer(
    inputs: NDArray[np.float32],
    first: NDArray[np.float32],
    first_bias: NDArray[np.float32],
    second: NDArray[np.float32],
    second_bias: NDArray[np.float32],
    last: NDArray[np.float32],
    last_bias: NDArray[np.float32],
) -> float:
    hidden = first_bias.copy()
    whole = len(inputs) - len(inputs) % 4
    # Four inputs at a time, in their order: a hidden unit's sum stays the same and is stored a quarter as often.
    for a in range(0, whole, 4):
        one, two, three, four = inputs[a], inputs[a + 1], inputs[a + 2], inputs[a + 3]
        for j in range(len(hidden)):
            hidden[j] = (
                ((hidden[j] + one * first[a, j]) + two * first[a + 1, j]) + three * first[a + 2, j]
            ) + four * first[a + 3, j]
    for a in range(whole, len(inputs)):
        value = inputs[a]
        for j in range(len(hidden)):
            hidden[j] += value * first[a, j]
    deeper = second_bias.copy()
    for a in range(len(hidden)):
        value = hidden[a]
        if value > 0.0:
            for j in range(len(deeper)):
                deeper[j] += value * second[a, j]
    answer = last_bias[0]
    for a in range(len(deeper)):
        if deeper[a] > 0.0:
            answer += deeper[a] * last[a]
    return float(1.0 / (1.0 + np.exp(-answer)))


@compiled
def probability(inputs: NDArray[np.float32], judge: Judge) -> float:
    """Return the probability that a candidate is an R peak.

    Parameters
    ----------
    inputs : ndarray of float32, shape ``[INPUTS]``
        See `monitor.rpeak_candidates.describe`.
    judge : Judge
        The weights.
    """
    return _answer(
        inputs,
        judge.first,
        judge.first_bias,
        judge.second,
        judge.second_bias,
        judge.last,
        judge.last_bias,
    )


@compiled
def second_probability(inputs: NDArray[np.float32], judge: Judge) -> float:
    """Return the probability that a doubtful candidate is an R peak.

    Parameters
    ----------
    inputs : ndarray of float32, shape ``[WIDE_INPUTS]``
        See `monitor.rpeak_doubt.describe_widely`.
    judge : Judge
        The weights.
    """
    return _answer(
        inputs,
        judge.wide_first,
        judge.wide_first_bias,
        judge.wide_second,
        judge.wide_second_bias,
        judge.wide_last,
        judge.wide_last_bias,
    )


@compiled
def trust(values: NDArray[np.float64], judge: Judge) -> float:
    """Return the probability that a beat and the interval before it are right, by logistic regression.

    Parameters
    ----------
    values : ndarray of float64, shape ``[BEATS_OF_TRUST]``
        See `monitor.rpeak_levels.announce`.
    judge : Judge
        The weights.
    """
    answer = judge.trust[0]
    for k in range(len(values)):
        answer += values[k] * judge.trust[k + 1]
    return float(1.0 / (1.0 + np.exp(-answer)))
