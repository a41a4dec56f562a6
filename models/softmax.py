"""Logits to probabilities."""

import numpy as np

from monitor.contract import FloatArray


def softmax(logits: FloatArray) -> FloatArray:
    """Return probabilities of logits, along the last axis."""
    exponential = np.exp(logits - logits.max(axis=-1, keepdims=True))
    probabilities: FloatArray = exponential / exponential.sum(axis=-1, keepdims=True)
    return probabilities
