"""The judge's networks while they are trained: two hidden layers of rectified units over scaled inputs."""

import numpy as np
import torch
from numpy.typing import NDArray

from monitor.rpeak_state import POINTS

Array = NDArray[np.float32]


def scale_of(inputs: Array, least: float) -> tuple[Array, Array]:
    """Return mean and spread of the inputs; those of shapes are the same for all, spreads are `least` or more."""
    mean, spread = inputs.mean(axis=0), inputs.std(axis=0) + np.float32(least)
    mean[: 2 * POINTS], spread[: 2 * POINTS] = 0.0, 0.5
    return mean, spread


def build(inputs: int, hidden: tuple[int, int]) -> torch.nn.Sequential:
    """Return an untrained network."""
    return torch.nn.Sequential(
        torch.nn.Linear(inputs, hidden[0]),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden[0], hidden[1]),
        torch.nn.ReLU(),
        torch.nn.Linear(hidden[1], 1),
    )


def weights_of(network: torch.nn.Sequential, mean: Array, spread: Array) -> list[Array]:
    """Return weights and biases, layer by layer, as `monitor.rpeak_judge` has them: for inputs that are not scaled."""
    w = [parameter.detach().numpy() for parameter in network.parameters()]
    scaled = w[0] / spread
    return [
        np.ascontiguousarray(scaled.T, np.float32),
        (w[1] - scaled @ mean).astype(np.float32),
        np.ascontiguousarray(w[2].T),
        w[3],
        np.ascontiguousarray(w[4][0]),
        w[5],
    ]
