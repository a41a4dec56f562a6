"""Everything that is slow once, done before the first packet: compiled loops loaded, the network's first call made.

A rehearsal: a watch of its own sees an athlete to whom everything happens that some loop is compiled for. What it
tells is thrown away.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.classifier import BeatClassifier
from monitor.contract import AAMI_CLASSES, Block, FloatArray
from monitor.line import Line
from monitor.sequence_network import SequenceNetwork
from monitor.watch import Watch
from monitor.wire import SamplePacket, Topic, encode

_RATE_HZ: Final = 125
_BEAT_EVERY: Final = 100
_SHORT: Final = 10
_MICROVOLTS_PER_COUNT: Final = 5.0
# Plain beats, so that the athlete's usual beat is known; then each kind of ectopy; then plain ones again.
_CLASSES: Final = "NNNNNNNNNVNNNVVNNNVVVVVVVNNNVNVNVNVNSSSNNFQNNNN"
_GAP_AT_S: Final = 46
_LEAD_OFF_AT_S: Final = 47
_FLAT_FROM_S: Final = 50
_WAVE_FROM_S: Final = 60
_END_S: Final = 70
_ATHLETE: Final = Topic("rehearsal", "rehearsal", "samples")


class _InTurn:
    """Gives the classes of `_CLASSES`, one beat after the other, whatever the beats look like."""

    name = "rehearsal"
    input_path = ""
    training_records: frozenset[str] = frozenset()
    sequence: SequenceNetwork | None = None

    def __init__(self) -> None:
        self._given = 0

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return certainty in the classes that come next."""
        del template, context
        answer = np.zeros((len(window), len(AAMI_CLASSES)), np.float32)
        for beat in answer:
            beat[AAMI_CLASSES.index(_CLASSES[self._given % len(_CLASSES)])] = 1.0
            self._given += 1
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the certain class."""
        label: NDArray[np.int8] = probabilities.argmax(axis=1).astype(np.int8)
        return label


def warm_up(classifier: BeatClassifier | None) -> None:
    """Run a watch over a minute of a made-up athlete, so that live packets find everything compiled and loaded.

    The first call ever compiles (40 s of a core and more); later ones load what numba has kept on disk.

    Parameters
    ----------
    classifier : BeatClassifier or None
        Its network is called once; its answers play no part.
    """
    _rehearse()
    _call(classifier)


def _rehearse() -> None:
    watch = Watch(classifier=_InTurn())
    watched = {(_ATHLETE.team, _ATHLETE.athlete)}
    counts = _counts()
    for second in range(_END_S):
        if second == _GAP_AT_S:
            continue
        samples = counts[second * _RATE_HZ : (second + 1) * _RATE_HZ]
        packet = SamplePacket(
            version=1,
            strap="rehearsal",
            boot=1,
            sequence=second,
            first_sample=second * _RATE_HZ,
            rate_hz=float(_RATE_HZ),
            microvolts_per_count=_MICROVOLTS_PER_COUNT,
            lead="I",
            lead_off=second == _LEAD_OFF_AT_S,
            sent_at=float(second),
            samples=samples.tobytes(),
        )
        watch.receive(_ATHLETE, encode(packet), float(second))
        watch.tick(float(second), watched)
    state = watch.export_athlete(_ATHLETE.team, _ATHLETE.athlete)
    Watch(classifier=_InTurn()).import_athlete(_ATHLETE.team, _ATHLETE.athlete, state, float(_END_S))


def _counts() -> NDArray[np.int16]:
    """Return beats, then a signal that stands still, then a wave as in ventricular flutter."""
    place = np.arange(_RATE_HZ * _END_S)
    seconds = place / _RATE_HZ
    millivolt = np.exp(-0.5 * (((place % _BEAT_EVERY) - _BEAT_EVERY / 2) / 2.0) ** 2)
    millivolt[seconds >= _FLAT_FROM_S] = 0.0
    wave = seconds >= _WAVE_FROM_S
    millivolt[wave] = np.sin(2.0 * np.pi * 5.0 * seconds[wave])
    counts: NDArray[np.int16] = (millivolt * 1000.0 / _MICROVOLTS_PER_COUNT).astype("<i2")
    return counts


def _call(classifier: BeatClassifier | None) -> None:
    """Run blocks of two lengths: filters go another way where a block is short, or has many rows."""
    line = Line(rate_hz=float(_RATE_HZ), classifier=classifier)
    row = np.array([line.claim()])
    samples = _counts()[np.newaxis, : 10 * _RATE_HZ].astype(np.float32)
    samples *= np.float32(_MICROVOLTS_PER_COUNT / 1000.0)
    trusted = np.ones(samples.shape, np.bool_)
    for begin, end in ((0, _SHORT), (_SHORT, samples.shape[1])):
        line.process(Block(row, np.array([begin]), samples[:, begin:end], trusted[:, begin:end]))
    line.finish(row)
