"""Episodes: what a rhythm did and from when to when, found in exact beats and rhythm spans by one definition.

The same definition serves recordings and synthetic athletes, so that a scorer asks both the same question.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, IntArray

EpisodeKind: TypeAlias = Literal[
    "pause",
    "asystole",
    "ventricular_couplet",
    "ventricular_run",
    "supraventricular_run",
    "bigeminy",
    "trigeminy",
    "atrial_fibrillation",
    "atrial_flutter",
    "ventricular_fibrillation",
]

PAUSE_S: Final = 2.0
ASYSTOLE_S: Final = 4.0
RUN_BEATS: Final = 3
ALTERNATIONS: Final = 3
"""V beats that bigeminy and trigeminy have at least."""

FIBRILLATION_RHYTHMS: Final = frozenset({"VF", "VFL", "VFIB"})
ASYSTOLE_RHYTHM: Final = "ASYS"
_OF_RHYTHM: Final[dict[str, EpisodeKind]] = {
    "AFIB": "atrial_fibrillation",
    "AFL": "atrial_flutter",
    **dict.fromkeys(FIBRILLATION_RHYTHMS, "ventricular_fibrillation"),
}
_S, _V = AAMI_CLASSES.index("S"), AAMI_CLASSES.index("V")


class Span(NamedTuple):
    """A stretch of a record and what it is.

    Attributes
    ----------
    kind : str
        An `EpisodeKind`; a rhythm by its WFDB name without the bracket (``"N"``, ``"AFIB"``, ``"VT"``, ``"B"``, …);
        or a phase of effort.
    onset_sample : int
        Its first sample: of an episode of beats, that of the first one's R peak.
    end_sample : int
        The first sample after it; of an episode of beats, the sample after the last one's R peak.
    beats : int
        How many beats it is made of; 0 where it is not made of beats.
    """

    kind: str
    onset_sample: int
    end_sample: int
    beats: int = 0

    def rate_bpm(self, rate_hz: float) -> float:
        """Return the rate of its beats a minute; NaN where there are fewer than two."""
        if self.beats < 2:
            return float("nan")
        return 60.0 * rate_hz * (self.beats - 1) / (self.end_sample - 1 - self.onset_sample)


def spans_of(changes: Sequence[tuple[int, str]], end: int) -> tuple[Span, ...]:
    """Return spans from each change to the next, the last up to `end`; what is named twice in a row is one.

    Parameters
    ----------
    changes : sequence of (int, str)
        Sample at which something begins, and its name, in order.
    end : int
        First sample after the last span.
    """
    spans: list[Span] = []
    for position, (sample, name) in enumerate(changes):
        until = changes[position + 1][0] if position + 1 < len(changes) else end
        if until <= sample:
            continue
        if spans and spans[-1].kind == name:
            spans[-1] = spans[-1]._replace(end_sample=until)
        else:
            spans.append(Span(name, sample, until))
    return tuple(spans)


def find_episodes(
    r_samples: IntArray,
    classes: NDArray[np.int8],
    *,
    rhythms: Sequence[Span],
    unscored: IntArray,
    rate_hz: float,
) -> tuple[Span, ...]:
    """Return the episodes in a stretch of beats, in order of their onset.

    Parameters
    ----------
    r_samples : ndarray of int64, shape ``[beats]``
        R peaks, rising.
    classes : ndarray of int8, shape ``[beats]``
        Index in `monitor.contract.AAMI_CLASSES`.
    rhythms : sequence of Span
        Rhythms, in order.
    unscored : ndarray of int64, shape ``[intervals, 2]``
        Ventricular flutter or fibrillation: an interval between beats that reaches into it is no pause.
    rate_hz : float
        Sampling rate.

    Returns
    -------
    tuple of Span
        A pause is an RR interval of 2 s or more, an asystole one of 4 s or more (and a pause too) or one that the
        rhythm ``"ASYS"`` names; a couplet is two V in a row, a run three or more; bigeminy is a V at every second beat
        at least three times, trigeminy at every third. Fibrillation and flutter come from the rhythms.
    """
    found = [
        *_pauses(r_samples, rhythms, unscored, rate_hz),
        *_rows(r_samples, classes == _V, unscored, "ventricular_run", pair="ventricular_couplet"),
        *_rows(r_samples, classes == _S, unscored, "supraventricular_run", pair=None),
        *_alternations(r_samples, classes == _V, period=2, kind="bigeminy"),
        *_alternations(r_samples, classes == _V, period=3, kind="trigeminy"),
    ]
    found += [
        Span(_OF_RHYTHM[span.kind], span.onset_sample, span.end_sample)
        for span in rhythms
        if span.kind in _OF_RHYTHM
    ]
    if not any(span.kind in FIBRILLATION_RHYTHMS for span in rhythms):
        # Recordings mark flutter by brackets and may leave the rhythm unnamed.
        found += [Span("ventricular_fibrillation", first, end) for first, end in unscored.tolist()]
    return tuple(sorted(found, key=lambda span: (span.onset_sample, span.kind)))


def _pauses(
    r_samples: IntArray, rhythms: Sequence[Span], unscored: IntArray, rate_hz: float
) -> Iterator[Span]:
    pauses: dict[tuple[int, int], bool] = {}
    for first, last in _intervals(r_samples, unscored):
        if last - first >= PAUSE_S * rate_hz:
            pauses[first, last] = last - first >= ASYSTOLE_S * rate_hz
    for span in rhythms:
        if span.kind == ASYSTOLE_RHYTHM:
            begin, end = _without_beats(span, r_samples, unscored)
            pauses[begin, end] = True
    for (first, last), is_asystole in pauses.items():
        yield Span("pause", first, last)
        if is_asystole:
            yield Span("asystole", first, last)


def _intervals(r_samples: IntArray, unscored: IntArray) -> Iterator[tuple[int, int]]:
    """Yield the RR intervals that no flutter interrupts."""
    first, last = r_samples[:-1], r_samples[1:]
    broken = np.zeros(len(first), np.bool_)
    for begin, end in unscored.tolist():
        broken |= (first < end) & (last > begin)
    yield from zip(first[~broken].tolist(), last[~broken].tolist(), strict=True)


def _without_beats(span: Span, r_samples: IntArray, unscored: IntArray) -> tuple[int, int]:
    """Return from the last beat before a named asystole, or the end of fibrillation, to the next beat or its end."""
    before = r_samples[r_samples <= span.onset_sample][-1:].tolist()
    before += unscored[unscored[:, 1] <= span.onset_sample, 1][-1:].tolist()
    after = r_samples[r_samples >= span.end_sample][:1].tolist()
    after += unscored[unscored[:, 0] >= span.end_sample, 0][:1].tolist()
    return max(before, default=span.onset_sample), min(after, default=span.end_sample)


def _rows(
    r_samples: IntArray,
    wanted: NDArray[np.bool_],
    unscored: IntArray,
    kind: EpisodeKind,
    *,
    pair: EpisodeKind | None,
) -> Iterator[Span]:
    """Yield what is two or more beats in a row; flutter between two beats parts them."""
    padded = np.concatenate([[False], wanted, [False]])
    for begin, end in np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2).tolist():
        here = r_samples[begin:end]
        cuts = np.unique(np.searchsorted(here, unscored[:, 0])).tolist()
        for first, stop in pairwise([0, *(cut for cut in cuts if 0 < cut < len(here)), len(here)]):
            beats = stop - first
            name = kind if beats >= RUN_BEATS else pair if beats == 2 else None
            if name is not None:
                yield Span(name, int(here[first]), int(here[stop - 1]) + 1, beats)


def _alternations(
    r_samples: IntArray, ventricular: NDArray[np.bool_], *, period: int, kind: EpisodeKind
) -> Iterator[Span]:
    """Yield where a V follows every `period` - 1 other beats, from the first of these V to the last."""
    at = np.flatnonzero(ventricular)
    begins = 0
    for position in range(1, len(at) + 1):
        if position < len(at) and at[position] - at[position - 1] == period:
            continue
        if position - begins >= ALTERNATIONS:
            first, last = int(at[begins]), int(at[position - 1])
            yield Span(kind, int(r_samples[first]), int(r_samples[last]) + 1, last - first + 1)
        begins = position
