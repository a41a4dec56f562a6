"""The athlete's own usual beat: learnt causally, not poisoned by early or strange beats, portable row by row."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.contract import CONTEXT_FIELDS, RR_FIELDS, WINDOW_POINTS, Beats
from monitor.template import LONG_GAP_S, TemplateBank

RATE_HZ = 360.0
PLACE = {name: place for place, name in enumerate(CONTEXT_FIELDS)}
_TIME_S = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0


def _narrow(size: float = 1.0) -> NDArray[np.float64]:
    return size * (
        np.exp(-0.5 * (_TIME_S / 0.015) ** 2) + 0.15 * np.exp(-0.5 * ((_TIME_S + 0.16) / 0.02) ** 2)
    )


def _broad() -> NDArray[np.float64]:
    return 1.4 * (
        np.exp(-0.5 * ((_TIME_S - 0.02) / 0.05) ** 2) - np.exp(-0.5 * ((_TIME_S - 0.12) / 0.05) ** 2)
    )


def _beats(rr_s: list[float], broad: list[bool], *, seed: int = 0, row: int = 0, begin: float = 1.0) -> Beats:
    """Return beats of one row with RR intervals, as the beat stage would give them."""
    n = len(rr_s)
    rr = np.array(rr_s)
    r_sample = np.rint((begin + np.cumsum(rr)) * RATE_HZ).astype(np.int64)
    context = np.full((n, len(CONTEXT_FIELDS)), np.nan, np.float32)
    context[1:, 0] = rr[1:]
    context[2:, 2] = [np.median(rr[max(1, i - 16) : i]) for i in range(2, n)]
    noise = 0.01 * np.random.default_rng(seed).standard_normal((n, WINDOW_POINTS))
    window = np.stack([_broad() if one else _narrow() for one in broad]) + noise
    return replace(
        Beats.empty(),
        rows=np.full(n, row),
        r_sample=r_sample,
        known_sample=r_sample + 299,
        rr_s=context[:, 0].copy(),
        quality=np.ones(n, np.float32),
        complete=np.ones(n, np.bool_),
        window=window.astype(np.float32),
        template=np.zeros((n, WINDOW_POINTS), np.float32),
        context=context,
        probabilities=np.zeros((n, 5), np.float32),
        label=np.full(n, 5, np.int8),
    )


def _field(beats: Beats, name: str) -> NDArray[np.float32]:
    return beats.context[:, PLACE[name]]


def _same(one: Beats, other: Beats) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in Beats.__dataclass_fields__
    )


def test_a_strange_beat_is_told_from_the_usual_one() -> None:
    """Among narrow beats a broad one correlates badly, is rare, and leaves the template as it was."""
    broad = [i % 10 == 9 for i in range(100)]
    beats = TemplateBank(RATE_HZ, capacity=1).process(_beats([0.8] * 100, broad))
    late, strange = np.arange(100) >= 50, np.array(broad)
    assert (_field(beats, "qrs_correlation")[late & ~strange] > 0.98).all()
    assert (_field(beats, "qrs_correlation")[late & strange] < 0.8).all()
    assert (_field(beats, "qrs_spread_ratio")[late & strange] > 1.3).all()
    assert (_field(beats, "shape_share")[late & strange] < 0.2).all()
    assert np.abs(beats.template[-1] - _narrow()).max() < 0.05


def test_broad_beats_that_come_early_never_become_the_usual_ones() -> None:
    """In bigeminy half of the beats are broad and early: the others stay the measure of shape and of time."""
    rr = [0.8] * 40 + [0.5, 1.1] * 100
    broad = [False] * 40 + [True, False] * 100
    beats = TemplateBank(RATE_HZ, capacity=1).process(_beats(rr, broad))
    early = np.array(broad)
    assert (_field(beats, "qrs_correlation")[early] < 0.8).all()
    assert np.median(_field(beats, "rr_before_usual_ratio")[early]) == pytest.approx(0.5 / 0.8, rel=0.05)


def test_a_run_of_early_beats_does_not_become_the_measure_of_early() -> None:
    """After 12 early beats of the usual shape and an uneven rhythm, the next early one still is early."""
    random = np.random.default_rng(3)
    rr = [0.8] * 80 + (0.5 * np.exp(random.normal(0, 0.15, 12))).tolist()
    beats = TemplateBank(RATE_HZ, capacity=1).process(_beats(rr, [False] * len(rr)))
    np.testing.assert_allclose(_field(beats, "rr_before_usual_ratio")[-1], rr[-1] / 0.8, rtol=0.1)
    np.testing.assert_allclose(_field(beats, "rr_before_middle_ratio")[-1], rr[-1] / 0.8, rtol=0.1)


def test_a_fast_even_rhythm_becomes_the_usual_one() -> None:
    """Effort quickens the heart: after two minutes at 150 a minute, beats in that rhythm are in time."""
    rr = np.concatenate([np.full(60, 0.8), np.linspace(0.8, 0.4, 40), np.full(200, 0.4)])
    beats = TemplateBank(RATE_HZ, capacity=1).process(_beats(rr.tolist(), [False] * len(rr)))
    assert _field(beats, "rr_before_usual_ratio")[-1] == pytest.approx(1.0, abs=0.05)


def test_a_beat_is_compared_before_it_is_learnt_from() -> None:
    """The first beat has no template, the second has the first; nothing of a beat depends on the ones after it."""
    whole = _beats([0.8, 0.7, 0.9, 0.8, 0.5, 1.0] * 8, [False, False, True] * 16)
    answer = TemplateBank(RATE_HZ, capacity=1).process(whole)
    assert not answer.template[0].any()
    np.testing.assert_array_equal(answer.template[1], whole.window[0])
    spoilt = replace(whole, window=whole.window.copy(), context=whole.context.copy())
    spoilt.window[30:] = 7.0
    spoilt.context[30:, 0] = 0.3
    other = TemplateBank(RATE_HZ, capacity=1).process(spoilt)
    assert _same(answer.take(slice(0, 30)), other.take(slice(0, 30)))


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 60), max_size=5), moves=st.integers(0, 60))
def test_neither_cuts_nor_moving_house_change_the_answer(cuts: list[int], moves: int) -> None:
    """Beats one by one, many at once, and after an export into another bank give the same, bit for bit."""
    beats = _beats([0.8, 0.7, 0.9, 0.8, 0.5, 1.0] * 10, [False, False, True] * 20)
    expected = TemplateBank(RATE_HZ, capacity=1).process(beats)
    bank, row, parts, moved = TemplateBank(RATE_HZ, capacity=1), 0, [], False
    edges = sorted({0, *cuts, moves, 60})
    for first, end in pairwise(edges):
        if first >= moves and not moved:
            other = TemplateBank(RATE_HZ, capacity=3)
            other.import_row(2, bank.export_row(row))
            bank, row, moved = other, 2, True
        part = beats.take(slice(first, end))
        answer = bank.process(replace(part, rows=np.full(len(part), row)))
        parts.append(replace(answer, rows=part.rows))
    assert _same(Beats.join(parts), expected)


def test_rows_do_not_touch_each_other() -> None:
    """Two athletes in one bank get what each would get alone."""
    one, two = _beats([0.8] * 30, [False] * 30), _beats([0.6] * 30, [True] * 30, row=1, seed=9)
    mixed = Beats.join([one, two]).take(np.argsort(np.tile(np.arange(30), 2), kind="stable"))
    together = TemplateBank(RATE_HZ, capacity=2).process(mixed)
    alone = TemplateBank(RATE_HZ, capacity=1).process(replace(two, rows=np.zeros(30, np.int64)))
    here = together.rows == 1
    np.testing.assert_array_equal(together.context[here], alone.context)
    np.testing.assert_array_equal(together.template[here], alone.template)


def test_gaps() -> None:
    """A short gap leaves template and usual RR standing; after a long one RR is forgotten and a new shape prevails."""
    bank = TemplateBank(RATE_HZ, capacity=1)
    before = _beats([0.8] * 100, [False] * 100)
    bank.process(before)
    end = float(before.r_sample[-1]) / RATE_HZ
    state = bank.export_row(0)
    after = bank.process(_beats([0.8] * 30, [False] * 30, begin=end + 5))
    assert np.isnan(_field(after, "rr_previous_usual_ratio")[0])
    assert _field(after, "rr_before_usual_ratio")[1] == pytest.approx(1.0, abs=0.02)
    assert _field(after, "qrs_correlation")[0] > 0.98
    bank.import_row(0, state)
    worn_anew = bank.process(_beats([0.6] * 30, [True] * 30, begin=end + 2 * LONG_GAP_S))
    assert np.isnan(_field(worn_anew, "rr_before_middle_ratio")[:5]).all()
    assert _field(worn_anew, "qrs_correlation")[0] < 0.8
    assert _field(worn_anew, "qrs_correlation")[-1] > 0.98


def test_what_is_not_trusted_is_not_learnt() -> None:
    """Windows of doubtful quality, or cut short, are compared or passed by, never learnt from."""
    beats = _beats([0.8] * 40, [False] * 20 + [True] * 20)
    doubtful = replace(beats, quality=np.where(np.arange(40) < 20, 1.0, 0.2).astype(np.float32))
    answer = TemplateBank(RATE_HZ, capacity=1).process(doubtful)
    np.testing.assert_array_equal(answer.template[20:], np.tile(answer.template[20], (20, 1)))
    cut = replace(beats, complete=np.arange(40) < 20)
    answer = TemplateBank(RATE_HZ, capacity=1).process(cut)
    assert not answer.template[20:].any()
    assert np.isnan(_field(answer, "qrs_correlation")[20:]).all()
    assert np.isfinite(_field(answer, "rr_before_usual_ratio")[25:]).all()


def test_another_strap_begins_anew() -> None:
    """A forgotten row answers as a new one."""
    bank = TemplateBank(RATE_HZ, capacity=1)
    beats = _beats([0.8] * 20, [False] * 20)
    first = bank.process(beats)
    bank.forget(np.array([0]))
    assert _same(bank.process(beats), first)
    assert len(bank.process(Beats.empty())) == 0
    assert first.context.shape[1] > RR_FIELDS
