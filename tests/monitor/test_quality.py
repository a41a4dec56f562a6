"""Signal quality: categories a sample at a time, technical events after their stated delays."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.contract import TRUSTED_QUALITY, Block, Peaks, RhythmEvent
from monitor.filters import SETTLING_S
from monitor.quality import (
    CLEAR_AGAIN,
    EVENT_AFTER_S,
    FLAT_AFTER_S,
    NOISY_OVER,
    RAILED_AFTER_S,
    QualityBank,
)

RATE_HZ = 100.0
SETTLED = round(SETTLING_S * RATE_HZ)
ROW = np.array([0])
Signal = NDArray[np.float32]


def _bank(*, capacity: int = 1) -> QualityBank:
    bank = QualityBank(RATE_HZ, capacity=capacity)
    bank.begin(np.arange(capacity), np.zeros(capacity, np.int64))
    return bank


def _lively(n: int, seed: int = 0) -> Signal:
    return np.random.default_rng(seed).normal(0.0, 0.3, n).astype(np.float32)


def _peaks(known: list[int], quality: list[float], row: int = 0) -> Peaks:
    at = np.array(known, np.int64)
    return Peaks(np.full(len(known), row), at - 30, at, np.array(quality, np.float32))


def _run(
    bank: QualityBank,
    samples: Signal,
    peaks: Peaks | None = None,
    *,
    first: int = 0,
    cuts: tuple[int, ...] = (),
) -> list[RhythmEvent]:
    peaks = peaks or Peaks.empty()
    events: list[RhythmEvent] = []
    end = first + len(samples)
    for begin, stop in pairwise(sorted({first, *(cut for cut in cuts if first < cut < end), end})):
        part = samples[np.newaxis, begin - first : stop - first]
        due = (peaks.known_sample >= begin) & (peaks.known_sample < stop)
        new = bank.process(
            Block(ROW, np.array([begin]), part, np.ones(part.shape, np.bool_)),
            Peaks(**{f.name: getattr(peaks, f.name)[due] for f in fields(peaks)}),
        )
        assert all(begin <= event.known_sample < stop for event in new)
        events += new
    return events


def _running_means(quality: list[float]) -> list[float]:
    mean, means = 1.0, []
    for value in quality:
        mean += (value - mean) / NOISY_OVER
        means.append(mean)
    return means


def _told(events: list[RhythmEvent]) -> list[tuple[str, str, int, int]]:
    return [(event.kind, event.transition, event.onset_sample, event.known_sample) for event in events]


def _after(kind: Any) -> int:
    return round(EVENT_AFTER_S[kind] * RATE_HZ)


def test_a_lively_signal_settles_and_is_good() -> None:
    """After the settling time a signal that moves is good, without any event."""
    bank = _bank()
    assert not _run(bank, _lively(SETTLED))
    assert bank.category(0) == "settling"
    assert not _run(bank, _lively(300), first=SETTLED)
    assert bank.category(0) == "good"
    assert bank.quality(0) == 1.0
    assert bank.coverage(0) == pytest.approx(300 / (300 + SETTLED))


@pytest.mark.parametrize(("level", "kind"), [(0.0, "flat"), (2.9, "flat"), (3.0, "railed"), (-5.0, "railed")])
def test_a_signal_that_stands_still_is_told_after_its_delay(level: float, kind: str) -> None:
    """Flat and railed lines are told after their stated delays, last while they last, and end at once."""
    still = np.full(1000, level, np.float32)
    bank = _bank()
    signal = np.concatenate([_lively(500), still, _lively(500, 1)])
    seen = round((RAILED_AFTER_S if kind == "railed" else FLAT_AFTER_S) * RATE_HZ)
    events = _run(bank, signal)
    assert _told(events) == [
        (kind, "onset", 500 + seen, 500 + seen + _after(kind)),
        (kind, "end", 500 + seen, 1500),
    ]
    assert bank.category(0) == "good"
    assert bank.coverage(0) == pytest.approx((2000 - SETTLED - 1000 + seen) / 2000)


def test_a_flat_line_is_told_from_the_very_start() -> None:
    """Zeros from the first sample on are flat, not settling, and worth nothing."""
    bank = _bank()
    events = _run(bank, np.zeros(1000, np.float32))
    begin = round(FLAT_AFTER_S * RATE_HZ)
    assert _told(events) == [("flat", "onset", begin, begin + _after("flat"))]
    assert bank.category(0) == "flat"
    assert bank.quality(0) == 0.0
    assert bank.coverage(0) == 0.0


def test_a_short_standstill_is_no_event() -> None:
    """Less than the stated delay makes no event."""
    still = np.zeros(round(FLAT_AFTER_S * RATE_HZ) + _after("flat") - 5, np.float32)
    assert not _run(_bank(), np.concatenate([_lively(400), still, _lively(400, 1)]))


def test_bad_peaks_make_noise_and_good_ones_end_it() -> None:
    """The mean of the last peaks' quality decides between noisy and good, from the sample at which it is known."""
    bank = _bank()
    bad, good = [0.1] * 7, [1.0] * 9
    known = [*range(500, 1200, 100), *range(2200, 3100, 100)]
    means = np.array(_running_means([*bad, *good]))
    begin = known[int(np.argmax(means < TRUSTED_QUALITY))]
    end = known[7 + int(np.argmax(means[7:] >= CLEAR_AGAIN))]
    events = _run(bank, _lively(3500), _peaks(known, [*bad, *good]))
    assert _told(events) == [("noisy", "onset", begin, begin + _after("noisy")), ("noisy", "end", begin, end)]
    assert events[1].duration_s == pytest.approx((end - begin) / RATE_HZ)
    assert bank.quality(0) == pytest.approx(1.0)


def test_a_peak_that_looks_right_ends_no_noise() -> None:
    """Of strong noise some peaks look like beats; while most do not, it is one episode and is told."""
    quality = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, *[0.9, 0.2, 0.6, 0.1, 0.3] * 5]
    events = _run(_bank(), _lively(3600), _peaks(list(range(500, 3600, 100)), quality))
    assert [(kind, transition) for kind, transition, _, _ in _told(events)] == [("noisy", "onset")]


def test_single_bad_peaks_make_no_noise() -> None:
    """One beat in three that cannot be believed is no noise yet."""
    quality = [0.0, 1.0, 1.0] * 10
    assert not _run(_bank(), _lively(3600), _peaks(list(range(500, 3500, 100)), quality))


def test_lead_off_lasts_until_samples_come_again() -> None:
    """Lead off, told in one piece or in many, is one episode that ends with the next sample."""
    told = []
    for pieces in ((900,), (600, 700, 900), (600, 601, 602, 900)):
        bank = _bank()
        _run(bank, _lively(500))
        events = []
        end = 500
        for first in pieces:
            events += bank.restart(ROW, np.array([end]), np.array([first]), lead_off=True)
            assert bank.category(0) == "lead_off"
            assert bank.quality(0) == 0.0
            end = first
        events += _run(bank, _lively(300, 1), first=900)
        told.append((_told(events), bank.coverage(0)))
    assert told[0][0] == [("lead_off", "onset", 500, 500), ("lead_off", "end", 500, 900)]
    assert told[1:] == told[:1] * 2


def test_a_gap_ends_what_was_told_and_settles_anew() -> None:
    """A gap ends a technical episode where the signal did, counts as not covered, and settles again."""
    bank = _bank()
    _run(bank, np.concatenate([_lively(500), np.zeros(500, np.float32)]))
    events = bank.restart(ROW, np.array([1000]), np.array([3000]), lead_off=False)
    begin = 500 + round(FLAT_AFTER_S * RATE_HZ)
    assert _told(events) == [("flat", "end", begin, 1000)]
    assert bank.category(0) == "settling"
    assert not bank.settled(ROW, np.array([3000 + SETTLED - 1]))[0]
    assert bank.settled(ROW, np.array([3000 + SETTLED]))[0]
    assert not _run(bank, _lively(500, 2), first=3000)
    well = begin - SETTLED + 500 - SETTLED
    assert bank.coverage(0) == pytest.approx(well / 3500)


def test_a_constant_offset_is_not_the_rail() -> None:
    """An ECG that moves around an offset of 5 or 1,000 mV is neither railed nor flat."""
    for offset in (5.0, -5.0, 1000.0):
        assert not _run(_bank(), _lively(2000) + np.float32(offset))


def _eventful(seed: int) -> tuple[Signal, Peaks]:
    random = np.random.default_rng(seed)
    parts = []
    for _ in range(12):
        n = int(random.integers(20, 700))
        still = np.full(n, random.choice([0.0, 3.5, -4.0]), np.float32)
        parts.append(still if random.random() < 0.5 else _lively(n, int(random.integers(1000))))
    signal = np.concatenate(parts)
    known = np.flatnonzero(random.random(len(signal)) < 0.01)
    return signal, _peaks(known.tolist(), random.choice([0.1, 0.9], len(known), p=[0.8, 0.2]).tolist())


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 30), cuts=st.lists(st.integers(1, 5000), max_size=40))
def test_blocks_of_any_length_give_the_same_events(seed: int, cuts: list[int]) -> None:
    """Where blocks end changes no event, no category and no coverage."""
    signal, peaks = _eventful(seed)
    whole, parts = _bank(), _bank()
    assert repr(_run(parts, signal, peaks, cuts=tuple(cuts))) == repr(_run(whole, signal, peaks))
    assert parts.category(0) == whole.category(0)
    assert parts.coverage(0) == whole.coverage(0)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 30), cut=st.integers(1, 3000))
def test_a_row_goes_on_elsewhere(seed: int, cut: int) -> None:
    """After export and import the events go on as if the row had never moved."""
    signal, peaks = _eventful(seed)
    cut = min(cut, len(signal) - 1)
    whole = _run(_bank(), signal, peaks)
    bank = _bank()
    early, late = peaks.known_sample < cut, peaks.known_sample >= cut

    def part(chosen: NDArray[np.bool_]) -> Peaks:
        return Peaks(**{f.name: getattr(peaks, f.name)[chosen] for f in fields(peaks)})

    events = _run(bank, signal[:cut], part(early))
    moved = _bank()
    moved.import_row(0, bank.export_row(0))
    events += _run(moved, signal[cut:], part(late), first=cut)
    assert repr(events) == repr(whole)


def test_rows_in_one_block_are_independent() -> None:
    """Each row of a block, in any order, gives what it gives alone."""
    stories = [_eventful(seed) for seed in range(4)]
    n = min(len(signal) for signal, _ in stories)
    bank = _bank(capacity=4)
    together: list[RhythmEvent] = []
    for begin in range(0, n - 100, 100):
        order = np.random.default_rng(begin).permutation(4)
        parts = []
        for row in order.tolist():
            peaks = stories[row][1]
            due = (peaks.known_sample >= begin) & (peaks.known_sample < begin + 100)
            chosen = Peaks(**{f.name: getattr(peaks, f.name)[due] for f in fields(peaks)})
            parts.append(replace(chosen, rows=np.full(len(chosen), row)))
        samples = np.stack([stories[row][0][begin : begin + 100] for row in order])
        block = Block(order, np.full(4, begin), samples, np.ones(samples.shape, np.bool_))
        together += bank.process(block, Peaks.join(parts))
    end = begin + 100
    for row, (signal, peaks) in enumerate(stories):
        alone = _run(_bank(), signal[:end], peaks)
        assert repr([replace(event, row=0) for event in together if event.row == row]) == repr(alone)
