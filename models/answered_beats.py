"""Beats with a physician's classes, from what was answered to alarms and what the alarms can be raised again from.

An answer is about the beats that made the alarm: "false" to a run of ventricular beats says that they were none, "true,
and this is …" what they were. The stages run again over the stored packets, so that each beat is described just as it
was live. Beats beside them that were surely N stand for themselves, so that no correction makes V of them all.
"""

import copy
import datetime as dt
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from models.runtime import Classifier
from monitor.contract import AAMI_CLASSES, UNSURE, Alarm, FloatArray, IntArray
from monitor.errors import ModelError, StrapwatchError
from monitor.evidence_log import StoredEvidence
from monitor.evidence_replay import replayed_batches
from monitor.responses import Feedback

SURELY_N: Final = 0.9
"""A beat beside the alarm's own that was called N with this probability is taken for N."""
OF_VENTRICULAR_BEATS: Final = frozenset(
    {
        "ventricular_run",
        "sustained_ventricular_tachycardia",
        "polymorphic_run",
        "idioventricular_rhythm",
        "ventricular_couplet",
        "bigeminy",
        "trigeminy",
        "r_on_t",
        "isolated_ventricular",
        "possible_ventricular_run",
    }
)
"""Kinds of alarms that say of some beats that they are V."""
_NAMES: Final = {
    "N": ("n", "normal", "sinus", "conducted"),
    "S": ("s", "supraventricular", "atrial", "aberrant", "aberrancy", "aberration", "pac", "pacs", "svt", "sve"),
    "V": ("v", "ventricular", "pvc", "pvcs", "vpc", "vpcs", "ve", "ves", "vt", "vts", "bigeminy", "trigeminy"),
    "F": ("f", "fusion", "fused"),
    "": ("artefact", "artefacts", "artifact", "artifacts", "noise", "motion", "movement", "electrode", "strap"),
}  # fmt: skip
_CLASS_OF: Final = {word: name for name, words in _NAMES.items() for word in words}
_NEGATIONS: Final = frozenset({"no", "not", "none", "never", "without"})


@dataclass(frozen=True, slots=True)
class AnsweredBeats:
    """What answers to alarms teach.

    Attributes
    ----------
    logits : ndarray of float32, shape ``[beats, 5]``
        The network's, uncorrected.
    hidden : ndarray of float32, shape ``[beats, hidden]``
        Its last hidden layer and what it reads.
    label : ndarray of int8, shape ``[beats]``
        Index in `monitor.contract.AAMI_CLASSES`.
    named : ndarray of bool, shape ``[beats]``
        False for a beat beside those of the alarm, which was surely N.
    alarm : ndarray of int64, shape ``[beats]``
        Counts the alarms from 0.
    answers : tuple of str
        Each answer that taught something: which alarm, what, by whom, when.
    left_out : tuple of str
        Each that did not, and why.
    """

    logits: FloatArray
    hidden: FloatArray
    label: NDArray[np.int8]
    named: NDArray[np.bool_]
    alarm: IntArray
    answers: tuple[str, ...]
    left_out: tuple[str, ...]


def class_said(answer: Feedback) -> str | None:
    """Return the class that the beats of an alarm have after an answer.

    Returns
    -------
    str or None
        One of `monitor.contract.AAMI_CLASSES`; empty for no heartbeats at all; None where the words name none, or
        several.
    """
    words = re.findall(r"[a-z]+", f"{answer.finding} {answer.comment}".lower())
    if _NEGATIONS & set(words):
        return None
    found = {_CLASS_OF[word] for word in words if word in _CLASS_OF}
    if len(found) == 1:
        return found.pop()
    if found:
        return None
    if answer.verdict == "false":
        return "N"
    return None if answer.finding else "V"


def answered_beats(
    answered: Iterable[tuple[Feedback, StoredEvidence | None]], classifier: Classifier
) -> AnsweredBeats:
    """Return the beats that answers name, as the network sees them.

    Parameters
    ----------
    answered : iterable of (Feedback, StoredEvidence or None)
        One athlete's, see `monitor.feedback_figures.last_answers`; None where nothing was kept.
    classifier : Classifier
        Whose layers; it may be younger than the alarm.

    Raises
    ------
    ModelError
        If the classifier reads no beats in sequence, so that nothing of it can be corrected live.
    """
    if classifier.sequence is None:
        raise ModelError(f"{classifier.name} takes no corrections: it reads no beats in sequence")
    parts, answers, left_out = [], [], []
    for answer, stored in answered:
        try:
            parts.append(_taught(answer, stored, classifier))
        except StrapwatchError as error:
            left_out.append(f"{answer.identity}: {error}")
        else:
            answers.append(_in_words(answer))
    width = classifier.sequence.hidden
    return AnsweredBeats(
        logits=np.concatenate([np.empty((0, len(AAMI_CLASSES)), np.float32), *(p[0] for p in parts)]),
        hidden=np.concatenate([np.empty((0, width), np.float32), *(p[1] for p in parts)]),
        label=np.concatenate([np.empty(0, np.int8), *(p[2] for p in parts)]),
        named=np.concatenate([np.empty(0, np.bool_), *(p[3] for p in parts)]),
        alarm=np.repeat(np.arange(len(parts)), [len(p[2]) for p in parts]),
        answers=tuple(answers),
        left_out=tuple(left_out),
    )


def _taught(
    answer: Feedback, stored: StoredEvidence | None, classifier: Classifier
) -> tuple[FloatArray, FloatArray, NDArray[np.int8], NDArray[np.bool_]]:
    """Return logits, hidden layer and class of the beats that one answer names, and whether it names them itself."""
    alarm = answer.alarm
    if alarm is None or alarm.kind not in OF_VENTRICULAR_BEATS:
        raise StrapwatchError("an alarm of this kind says nothing of the classes of beats")
    said = class_said(answer)
    if said is None:
        raise StrapwatchError(f"the words {answer.finding or answer.comment!r} name no class, or several")
    if not said:
        raise StrapwatchError("no heartbeats, so nothing of their classes")
    if stored is None:
        raise StrapwatchError("nothing is kept from which its beats could be seen again")
    if stored.input_path != classifier.input_path:
        raise StrapwatchError(f"its beats were cut by {stored.input_path}, today by {classifier.input_path}")
    r_sample, logits, hidden = _layers(stored, classifier)
    label = _labels(stored.alarm, said)
    chosen = np.array([int(r) in label for r in r_sample], np.bool_)
    if not any(label[int(r)][1] for r in r_sample[chosen]):
        raise StrapwatchError("none of its beats could be seen again")
    found = [label[int(r)] for r in r_sample[chosen]]
    return (
        logits[chosen],
        hidden[chosen],
        np.array([AAMI_CLASSES.index(name) for name, _ in found], np.int8),
        np.array([named for _, named in found], np.bool_),
    )


def _labels(alarm: Alarm, said: str) -> dict[int, tuple[str, bool]]:
    """Return the class of each beat that the answer names or leaves surely N, by R peak, and whether it names it.

    It names the beats that made the alarm: what came after it was known may be something else.
    """
    found = {}
    for r, label, probability in alarm.strip.beats if alarm.strip is not None else []:
        if alarm.episode <= r <= alarm.known_sample and label in ("V", "F", UNSURE):
            found[r] = ("F" if (said, label) == ("V", "F") else said, True)
        elif label == "N" and probability >= SURELY_N:
            found[r] = ("N", False)
    return found


def _layers(stored: StoredEvidence, classifier: Classifier) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return R peaks, logits and hidden layer of all beats that the stages see again."""
    network = classifier.sequence
    assert network is not None  # noqa: S101 - the caller has looked
    seen: list[tuple[FloatArray, FloatArray]] = []

    def listen(probabilities: FloatArray, described: FloatArray) -> tuple[FloatArray, FloatArray]:
        seen.append((probabilities.copy(), described.copy()))
        return network.encode(probabilities, described)

    listening = copy.copy(classifier)
    listening.sequence = replace(network, encode=listen)
    beats = [beat for batch in replayed_batches(stored, listening) for _, _, beat in batch.beats]
    if not beats:
        raise StrapwatchError("no beat could be seen again")
    # One athlete's beats are told in the order in which the network reads them.
    hidden, logits = network.layers(
        np.concatenate([probabilities for probabilities, _ in seen]),
        np.concatenate([described for _, described in seen]),
    )
    if len(logits) != len(beats):
        raise StrapwatchError(f"{len(beats)} beats were told, {len(logits)} read")
    # Those cut short, or that no backend could name, have no class to correct.
    whole = np.array([bool(beat.probabilities) and max(beat.probabilities) > 0.0 for beat in beats])
    r_sample = np.array([beat.r_sample for beat in beats], np.int64)
    return r_sample[whole], logits[whole], hidden[whole]


def _in_words(answer: Feedback) -> str:
    when = dt.datetime.fromtimestamp(answer.at, dt.UTC)
    words = ", ".join(part for part in (answer.verdict, answer.finding, answer.comment) if part)
    return f"{answer.identity}: {words} (by {answer.by}, {when:%Y-%m-%d %H:%M}Z)"
