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
    trust: NDArray[np.float64]


@cache
def load_judge(file: Path = WEIGHTS_FILE) -> Judge:
    """Read the weights."""
    with np.load(file, allow_pickle=False) as stored:
        return Judge(*(np.ascontiguousarray(stored[name]) for name in Judge._fields))


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
    hidden = judge.first_bias.copy()
    for a in range(len(inputs)):
        value = inputs[a]
        for j in range(len(hidden)):
            hidden[j] += value * judge.first[a, j]
    second = judge.second_bias.copy()
    for a in range(len(hidden)):
        value = hidden[a]
        if value > 0.0:
            for j in range(len(second)):
                second[j] += value * judge.second[a, j]
    answer = judge.last_bias[0]
    for a in range(len(second)):
        if second[a] > 0.0:
            answer += second[a] * judge.last[a]
    return float(1.0 / (1.0 + np.exp(-answer)))


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
