"""Statistics of RR intervals against series whose answer is known."""

import numpy as np
import pytest

from monitor.contract import AAMI_CLASSES, Beats, IntArray
from monitor.rhythm.rr_statistics import RRBank, dfa_alpha1, statistics_of

_RANDOM = np.random.default_rng(7)


@pytest.mark.parametrize(("steps", "alpha"), [(0, 0.5), (1, 1.5)])
def test_scaling_of_noise_and_of_a_walk(steps: int, alpha: float) -> None:
    """White noise scales with 0.5, its sum with 1.5, at any scale and offset."""
    series = 0.8 + 0.02 * _RANDOM.standard_normal(6000)
    if steps:
        series = 0.8 + np.cumsum(series - 0.8) * 0.01
    assert dfa_alpha1(series) == pytest.approx(alpha, abs=0.12)
    assert dfa_alpha1(3.0 * series + 1.0) == pytest.approx(dfa_alpha1(series))


def test_plain_numbers() -> None:
    """Rate, RMSSD and SDNN of a series that alternates are those of its definition."""
    rr = np.tile([0.8, 0.82], 60)
    found = statistics_of(rr, np.ones(120, np.bool_))
    assert found.rate_bpm == pytest.approx(60.0 / 0.81)
    assert found.rmssd_ms == pytest.approx(20.0)
    assert found.sdnn_ms == pytest.approx(10.0, rel=0.01)
    assert found.corrected_share == 0.0


def test_a_few_ectopic_beats_change_little_and_many_hide_the_numbers() -> None:
    """Below 3 % ectopy is corrected, above it the numbers are hidden; the rate and the share are always told."""
    rr = 0.8 + 0.02 * _RANDOM.standard_normal(160)
    clean = statistics_of(rr, np.ones(160, np.bool_))
    for premature, hidden in ((1, False), (6, True)):
        marked, normal = rr.copy(), np.ones(160, np.bool_)
        for place in range(10, 10 + 20 * premature, 20):
            marked[place : place + 2] = (0.5, 1.1)
            normal[place : place + 2] = False
        found = statistics_of(marked, normal)
        assert found.corrected_share == pytest.approx(2 * premature / 160)
        assert found.rate_bpm == pytest.approx(clean.rate_bpm, rel=0.01)
        assert (found.rmssd_ms is None) == (found.dfa_alpha1 is None) == hidden
        if not hidden:
            assert found.rmssd_ms == pytest.approx(clean.rmssd_ms, rel=0.05)


def test_premature_beats_that_nobody_named_are_corrected_too() -> None:
    """An interval far from the median around it is corrected though both its beats were called normal."""
    rr = np.full(160, 0.8)
    rr[[50, 51]] = 0.5, 1.1
    found = statistics_of(rr, np.ones(160, np.bool_))
    assert found.corrected_share == pytest.approx(2 / 160)
    assert found.rmssd_ms == pytest.approx(0.0)


def test_too_little_is_told_as_nothing() -> None:
    """Without intervals, or with few of them, nothing is made up."""
    assert statistics_of(np.empty(0), np.empty(0, np.bool_)).sdnn_ms is None
    assert statistics_of(np.full(10, 0.8), np.ones(10, np.bool_)).sdnn_ms is None


def _normal_beats(r_sample: IntArray) -> Beats:
    n = len(r_sample)
    return Beats(
        rows=np.zeros(n, np.int64), r_sample=r_sample, known_sample=r_sample + 300, rr_s=np.ones(n, np.float32),
        quality=np.ones(n, np.float32), complete=np.ones(n, np.bool_), window=np.zeros((n, 600), np.float32),
        template=np.zeros((n, 600), np.float32), context=np.zeros((n, 6), np.float32),
        probabilities=np.zeros((n, 5), np.float32), label=np.full(n, AAMI_CLASSES.index("N"), np.int8),
    )  # fmt: skip


@pytest.mark.parametrize("first", [0, 2**32 - 40_000, 2**40 - 7])
def test_a_bank_keeps_the_last_two_minutes(first: int) -> None:
    """Wherever a strap's samples stand, also where their last 32 bits begin anew, the statistics are the same."""
    steps = np.random.default_rng(3).integers(250, 330, 900)
    bank = RRBank(360.0, capacity=1)
    ends = first + 100 + np.cumsum(steps)
    for part in np.array_split(ends, 90):
        bank.process(_normal_beats(part))
    recent = steps[1:][ends[1:] > ends[-1] - 120 * 360] / 360.0
    assert bank.statistics(0) == statistics_of(recent, np.ones(len(recent), np.bool_))
    moved = RRBank(360.0, capacity=1)
    moved.import_row(0, bank.export_row(0))
    assert moved.statistics(0) == bank.statistics(0)
