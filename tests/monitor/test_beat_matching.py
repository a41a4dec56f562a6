"""Pairing of detections with reference beats."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monitor.beat_matching import inside, match_beats, window_samples
from monitor.contract import IntArray

WINDOW = 54
peaks = st.lists(st.integers(0, 3_000), max_size=40, unique=True).map(
    lambda samples: np.array(samples, np.int64)
)


@st.composite
def spaced(draw: st.DrawFn, *, least: int) -> IntArray:
    """Draw peaks at least `least` samples apart."""
    intervals = draw(st.lists(st.integers(least, 4 * WINDOW), max_size=40))
    return np.cumsum(np.array(intervals, np.int64))


def _walk(reference: list[int], detections: list[int], window: int) -> list[tuple[int, int]]:
    """Pair by one walk that looks one event ahead on each side, the rule of WFDB's bxb."""
    never = 10**9
    reference, detections = [*reference, never, never], [*detections, never, never]
    beat = detection = 0
    pairs = []
    while reference[beat] < never or detections[detection] < never:
        here, following = reference[beat], reference[beat + 1]
        found, next_found = detections[detection], detections[detection + 1]
        rival = abs(here - next_found) if found < here else abs(found - following)
        nearest = abs(here - found) < rival or abs(following - next_found) < rival
        if abs(here - found) <= window and nearest:
            pairs.append((beat, detection))
            beat += 1
            detection += 1
        elif found < here:
            detection += 1
        else:
            beat += 1
    return pairs


@given(peaks, peaks)
def test_one_to_one_and_complete(reference: IntArray, detections: IntArray) -> None:
    """Each beat and detection is in exactly one pair or list of leftovers, and no pair is too far apart."""
    matching = match_beats(reference, detections, window=WINDOW)
    assert sorted([*matching.reference, *matching.missed]) == list(range(len(reference)))
    assert sorted([*matching.detection, *matching.extra]) == list(range(len(detections)))
    assert len(matching.reference) == len(matching.detection)
    assert np.all(np.abs(reference[matching.reference] - detections[matching.detection]) <= WINDOW)


@given(peaks, peaks)
def test_nothing_that_could_pair_is_left(reference: IntArray, detections: IntArray) -> None:
    """Neighbours in time within the window are never both left without a partner."""
    matching = match_beats(reference, detections, window=WINDOW)
    everything = np.sort(np.concatenate([reference, detections]))
    for beat in reference[matching.missed]:
        for detection in detections[matching.extra]:
            low, high = min(beat, detection), max(beat, detection)
            between = np.count_nonzero((everything > low) & (everything < high))
            assert high - low > WINDOW or between > 0


@given(peaks, peaks, st.randoms(use_true_random=False))
def test_order_of_input_is_irrelevant(reference: IntArray, detections: IntArray, random: object) -> None:
    """Shuffled input gives the same pairs of samples."""
    rng = np.random.default_rng(abs(hash(str(random))) % 2**32)
    first = match_beats(reference, detections, window=WINDOW)
    mixed_reference, mixed_detections = rng.permutation(reference), rng.permutation(detections)
    second = match_beats(mixed_reference, mixed_detections, window=WINDOW)
    assert np.array_equal(reference[first.reference], mixed_reference[second.reference])
    assert np.array_equal(detections[first.detection], mixed_detections[second.detection])


@given(spaced(least=1), spaced(least=1))
def test_time_reversal_keeps_the_counts(reference: IntArray, detections: IntArray) -> None:
    """Seen backwards, as many beats are found, unless two neighbouring pairs are equally close."""
    merged = np.sort(np.concatenate([reference, detections]))
    gaps = np.diff(merged)
    assume(not np.any(gaps[1:] == gaps[:-1]))
    forward = match_beats(reference, detections, window=WINDOW)
    backward = match_beats(-reference[::-1], -detections[::-1], window=WINDOW)
    assert len(forward.reference) == len(backward.reference)


@given(spaced(least=2 * WINDOW + 1), spaced(least=1))
def test_same_pairs_as_one_walk(reference: IntArray, detections: IntArray) -> None:
    """With reference intervals beyond 300 ms, the counts are those of bxb's walk."""
    matching = match_beats(reference, detections, window=WINDOW)
    assert len(matching.reference) == len(_walk(reference.tolist(), detections.tolist(), WINDOW))


@given(spaced(least=60), spaced(least=60))
def test_same_counts_as_wfdb(reference: IntArray, detections: IntArray) -> None:
    """At plausible intervals wfdb's comparison finds as many beats; its window leaves out its own edge."""
    from wfdb.processing import compare_annotations

    assume(len(reference) > 0 and len(detections) > 0)
    merged = np.sort(np.concatenate([reference, detections]))
    assume(not np.any(np.diff(merged, 2) == 0))
    theirs = compare_annotations(reference, detections, WINDOW + 1)
    matching = match_beats(reference, detections, window=WINDOW)
    assert len(matching.reference) == theirs.tp


def test_closest_pair_first() -> None:
    """The nearer of two detections is taken, and a nearer beat is not robbed of its detection."""
    assert match_beats(np.array([1_000]), np.array([960, 1_010]), window=WINDOW).detection.tolist() == [1]
    assert match_beats(np.array([1_000]), np.array([990, 1_040]), window=WINDOW).detection.tolist() == [0]
    assert match_beats(np.array([1_000, 1_060]), np.array([1_045]), window=WINDOW).reference.tolist() == [1]
    assert match_beats(np.array([1_000, 1_060]), np.array([1_015]), window=WINDOW).reference.tolist() == [0]


@pytest.mark.parametrize(
    ("rate_hz", "samples"), [(100.0, 15), (128.0, 19), (250.0, 37), (360.0, 54), (1000.0, 150)]
)
def test_window_is_the_largest_distance_within_150_ms(rate_hz: float, samples: int) -> None:
    """The window never rounds up."""
    assert window_samples(rate_hz) == samples


def test_intervals_are_half_open() -> None:
    """An interval holds its first sample and not its end."""
    assert inside(np.array([4, 5, 9, 10]), np.array([[5, 10]])).tolist() == [False, True, True, False]
