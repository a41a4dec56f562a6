"""Counts and fractions of EC57's beat-by-beat comparison."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract import AAMI_CLASSES, UNSURE_LABEL
from monitor.scoring import ClassCounts, QrsCounts, Score, score_beats

N, S, V, F, Q = range(5)
RATE_HZ = 360.0


def _score(
    reference: list[tuple[int, int]],
    detections: list[tuple[int, int]],
    start_sample: int = 0,
    **more: Any,
) -> Score:
    reference_array = np.array(reference, np.int64).reshape(-1, 2)
    detection_array = np.array(detections, np.int64).reshape(-1, 2)
    return score_beats(
        reference_array[:, 0],
        reference_array[:, 1].astype(np.int8),
        detection_array[:, 0],
        detection_array[:, 1].astype(np.int8),
        rate_hz=RATE_HZ,
        start_sample=start_sample,
        **more,
    )


def test_by_hand() -> None:
    """A short record, counted with paper and pencil."""
    reference = [
        (1_000, N),
        (1_300, N),
        (1_600, V),
        (1_900, S),
        (2_200, F),
        (2_500, Q),
        (2_800, N),
        (3_100, V),
    ]
    detections = [
        (1_005, N),  # right
        (1_354, N),  # right, exactly 150 ms late
        (1_655, V),  # 55 samples late: one too many, so a miss and an extra V
        (1_890, N),  # S called N
        (2_200, V),  # F called V
        (2_500, V),  # Q called V
        (2_790, UNSURE_LABEL),  # N, unsure
        (3_110, V),  # right
    ]
    score = _score(reference, detections)
    assert score.qrs == QrsCounts(tp=7, fp=1, fn=1)
    assert score.qrs.se == 7 / 8
    assert score.qrs.ppv == 7 / 8
    assert score.qrs.f1 == 7 / 8
    expected = np.zeros((6, 7), np.int64)
    expected[N, N] = 2
    expected[N, UNSURE_LABEL] = 1
    expected[S, N] = expected[F, V] = expected[Q, V] = expected[V, V] = 1
    expected[V, 6] = 1
    expected[5, V] = 1
    assert np.array_equal(score.classes.table, expected)
    plain, ec57 = score.classes.plain(), score.classes.ec57()
    assert (plain["V"].se, plain["V"].ppv, plain["V"].n) == (1 / 2, 1 / 4, 2)
    assert (ec57["V"].se, ec57["V"].ppv, ec57["V"].n) == (1 / 2, 1 / 2, 2)
    assert (plain["N"].se, plain["N"].ppv, plain["N"].n) == (2 / 3, 2 / 3, 3)
    assert (ec57["S"].se, ec57["S"].ppv) == (0.0, None)
    assert score.classes.accuracy == 3 / 8
    assert score.classes.baseline == 3 / 8


def test_ec57_forgives_only_what_it_names() -> None:
    """F and Q called V, and Q called S, are no false alarms; F called S, and V called S, are."""
    table = np.zeros((6, 7), np.int64)
    table[:, S] = (1, 2, 4, 8, 16, 32)
    table[:, V] = (1, 2, 4, 8, 16, 32)
    ec57 = ClassCounts(table).ec57()
    assert ec57["S"].ppv == 2 / (1 + 2 + 4 + 8 + 32)
    assert ec57["V"].ppv == 4 / (1 + 2 + 4 + 32)


def test_flutter_is_not_scored() -> None:
    """Beats inside are left out, detections inside too, but one that pairs with a beat outside counts."""
    reference = [(900, N), (1_500, V), (2_100, N)]
    detections = [(900, N), (1_200, V), (1_500, V), (1_800, V), (1_990, N), (2_080, N)]
    score = _score(reference, detections, unscored=np.array([[1_000, 2_090]]))
    assert score.qrs == QrsCounts(tp=2, fp=0, fn=0)


def test_learning_period_counts_pairs_by_the_reference() -> None:
    """A pair across the border belongs to its beat's side; leftovers to their own."""
    before = _score([(990, N), (2_000, N)], [(1_010, N), (2_000, N), (3_000, N)], start_sample=1_000)
    assert before.qrs == QrsCounts(tp=1, fp=1, fn=0)
    after = _score([(1_010, N)], [(990, N), (500, N)], start_sample=1_000)
    assert after.qrs == QrsCounts(tp=1, fp=0, fn=0)


def test_a_beat_without_a_class_counts_as_a_beat_only() -> None:
    """It is found or missed, but enters no class and is no extra detection."""
    score = _score([(1_000, -1), (2_000, -1)], [(1_000, V)])
    assert score.qrs == QrsCounts(tp=1, fp=0, fn=1)
    assert score.classes.table.sum() == 0


def test_nothing_gives_none() -> None:
    """Fractions of nothing are None, not 0 and not NaN."""
    score = _score([], [])
    assert (score.qrs.se, score.qrs.ppv, score.qrs.f1) == (None, None, None)
    assert (score.classes.accuracy, score.classes.baseline) == (None, None)
    assert all(entry.se is None and entry.ppv is None for entry in score.classes.plain().values())


beats = st.lists(
    st.tuples(st.integers(0, 20_000), st.integers(0, 4)), max_size=40, unique_by=lambda beat: beat[0]
)


@given(beats)
def test_perfect_detector(reference: list[tuple[int, int]]) -> None:
    """The reference scored against itself is without fault."""
    score = _score(reference, reference)
    assert score.qrs == QrsCounts(tp=len(reference))
    assert score.classes.accuracy in {1.0, None}
    assert all(entry.se in {1.0, None} for entry in score.classes.plain().values())


@given(st.integers(1, 60), st.sampled_from([100.0, 128.0, 250.0, 360.0, 1000.0]))
def test_151_ms_late_finds_nothing(count: int, rate_hz: float) -> None:
    """A detector that is late by more than the window finds no beat; within it, each."""
    reference = np.arange(1, count + 1) * round(rate_hz)
    label = np.zeros(count, np.int8)
    late = score_beats(reference, label, reference + int(np.ceil(0.151 * rate_hz)), label, rate_hz=rate_hz)
    assert late.qrs == QrsCounts(tp=0, fp=count, fn=count)
    in_time = score_beats(reference, label, reference + int(0.149 * rate_hz), label, rate_hz=rate_hz)
    assert in_time.qrs == QrsCounts(tp=count)


@given(beats, beats)
def test_parts_add_up(reference: list[tuple[int, int]], detections: list[tuple[int, int]]) -> None:
    """Two records' counts add up to the counts of one after the other."""
    far = 100_000
    shifted = [(sample + far, name) for sample, name in reference]
    shifted_detections = [(sample + far, name) for sample, name in detections]
    both = _score([*reference, *shifted], [*shifted_detections, *detections])
    one = _score(reference, detections)
    total = one + one
    assert both.qrs == total.qrs
    assert np.array_equal(both.classes.table, total.classes.table)


@given(beats, beats)
def test_table_and_counts_agree(reference: list[tuple[int, int]], detections: list[tuple[int, int]]) -> None:
    """With a class for each beat, the table holds what the counts say."""
    score = _score(reference, detections)
    assert score.classes.n.sum() == score.qrs.tp + score.qrs.fn
    assert score.classes.undetected.sum() == score.qrs.fn
    assert score.classes.extra.sum() == score.qrs.fp
    assert score.classes.confusion.sum() + score.classes.unsure.sum() == score.qrs.tp


@pytest.mark.parametrize("name", AAMI_CLASSES)
def test_unsure_is_never_right(name: str) -> None:
    """A beat called unsure lowers its class's sensitivity and the accuracy."""
    score = _score([(1_000, AAMI_CLASSES.index(name))], [(1_000, UNSURE_LABEL)])
    assert score.classes.plain()[name].se == 0.0
    assert score.classes.accuracy == 0.0
