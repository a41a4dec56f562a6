"""Which detection belongs to which reference beat: one to one, closest first, within a window.

This is the beat-by-beat comparison that ANSI/AAMI EC57 asks for. Reference beats and detections are put in
one order of time. Only neighbours of different kind within the window can pair; the closest two pair first,
then the closest two of those still free, and so on. No two pairs cross. WFDB's ``bxb`` walks the two lists
once and leaves a pair when the next one is closer: that gives the same pairs unless at least four events
follow one another within the window of each other, which needs intervals below 300 ms in reference or
detections.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import BoolArray, IntArray

MATCH_WINDOW_S: Final = 0.150
"""Farthest that a detection may lie from its reference beat, by EC57."""


def window_samples(rate_hz: float, window_s: float = MATCH_WINDOW_S) -> int:
    """Return the largest whole distance, in samples, that lies within `window_s`."""
    return int(window_s * rate_hz)


@dataclass(frozen=True, slots=True)
class Matching:
    """Pairs of reference beats and detections, and what found no partner.

    Attributes
    ----------
    reference, detection : ndarray of int64, shape ``[pairs]``
        Indices of the paired beats, in order of time.
    missed : ndarray of int64, shape ``[missed]``
        Indices of reference beats without a detection.
    extra : ndarray of int64, shape ``[extra]``
        Indices of detections without a reference beat.
    """

    reference: IntArray
    detection: IntArray
    missed: IntArray
    extra: IntArray


def match_beats(reference: IntArray, detections: IntArray, *, window: int) -> Matching:
    """Pair detections with reference beats, one to one and closest first.

    Parameters
    ----------
    reference, detections : ndarray of int64, shapes ``[reference]`` and ``[detections]``
        R peaks as sample indices, in any order, each sample at most once.
    window : int
        Largest distance of a pair, in samples; see `window_samples`. A pair exactly that far apart is a pair.

    Returns
    -------
    Matching
        Indices into the arrays as they were given. Of two pairs equally close, the later one is formed, as in
        ``bxb``.

    Notes
    -----
    ANSI/AAMI EC57, beat-by-beat comparison; G. B. Moody, "Evaluating ECG Analyzers", WFDB Applications Guide.
    """
    samples = np.concatenate([reference, detections]).astype(np.int64)
    is_detection = np.repeat([False, True], [len(reference), len(detections)])
    order = np.lexsort((is_detection, samples))
    gaps = np.diff(samples[order])
    neighbours = np.diff(is_detection[order].astype(np.int8)) != 0
    left = _closest_first(np.flatnonzero(neighbours & (gaps <= window)), gaps)

    first, second = order[left], order[left + 1]
    of_reference = np.minimum(first, second)
    of_detection = np.maximum(first, second) - len(reference)
    return Matching(
        reference=of_reference,
        detection=of_detection,
        missed=_others(len(reference), of_reference),
        extra=_others(len(detections), of_detection),
    )


def inside(samples: IntArray, intervals: IntArray) -> BoolArray:
    """Tell which samples lie in one of the intervals.

    Parameters
    ----------
    samples : ndarray of int64, shape ``[n]``
        Sample indices.
    intervals : ndarray of int64, shape ``[k, 2]``
        First sample of each interval, and first after it.

    Returns
    -------
    ndarray of bool, shape ``[n]``
        True inside.
    """
    within = np.zeros(len(samples), np.bool_)
    for first, end in intervals.reshape(-1, 2):
        within |= (samples >= first) & (samples < end)
    return within


def _closest_first(candidates: IntArray, gaps: IntArray) -> IntArray:
    """Return which candidate pairs, each given by its left member's place, are formed; in order of time."""
    if len(candidates) == 0:
        return candidates
    contested = np.zeros(len(candidates), np.bool_)
    touching = np.diff(candidates) == 1
    contested[1:] |= touching
    contested[:-1] |= touching
    formed = candidates[~contested].tolist()
    taken: set[int] = set()
    disputed = candidates[contested][::-1]
    for left in disputed[np.argsort(gaps[disputed], kind="stable")].tolist():
        if left not in taken and left + 1 not in taken:
            taken.update((left, left + 1))
            formed.append(left)
    return np.sort(np.array(formed, np.int64))


def _others(count: int, indices: NDArray[Any]) -> IntArray:
    free = np.ones(count, np.bool_)
    free[indices] = False
    return np.flatnonzero(free)
