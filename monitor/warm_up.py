"""Everything that is slow once, done before the first packet: compiled loops loaded, the network's first call made."""

import numpy as np

from monitor.classifier import BeatClassifier
from monitor.contract import Block
from monitor.line import Line

_RATE_HZ = 360.0
_BEAT_EVERY = 250


def warm_up(classifier: BeatClassifier | None) -> None:
    """Run a line over a few seconds of a plain signal, so that live packets find everything compiled.

    The first call ever compiles (about ten seconds); later ones load what numba has kept on disk.
    """
    line = Line(rate_hz=_RATE_HZ, classifier=classifier)
    row = np.array([line.claim()])
    samples = np.zeros((1, 10 * int(_RATE_HZ)), np.float32)
    samples[0, _BEAT_EVERY // 2 :: _BEAT_EVERY] = 1.0
    line.process(Block(row, np.array([0]), samples, np.ones(samples.shape, np.bool_)))
    line.finish(row)
