"""Scoring while beats and truth still arrive."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.boot_scorer import LiveScore
from monitor.contract import AAMI_CLASSES, LABELS
from monitor.live_scorer import LiveScorer
from monitor.scoring import QrsCounts, Score, score_beats
from monitor.wire import WIRE_VERSION, TruthMessage

RATE_HZ = 250.0
PACKET = 250
WHO = ("first", "athlete-1")


def _message(
    first: int, end: int, beats: Sequence[tuple[int, str]], *, boot: int = 1, scored: bool = True
) -> TruthMessage:
    inside = [(sample, name) for sample, name in beats if first <= sample < end]
    return TruthMessage(
        version=WIRE_VERSION,
        boot=boot,
        first_sample=first,
        end_sample=end,
        r_samples=[sample for sample, _ in inside],
        classes=[name for _, name in inside],
        scored=scored,
    )


def _truth(beats: Sequence[tuple[int, str]], samples: int, *, boot: int = 1) -> list[TruthMessage]:
    return [_message(first, first + PACKET, beats, boot=boot) for first in range(0, samples, PACKET)]


def _offline(reference: Sequence[tuple[int, str]], beats: Sequence[tuple[int, str]]) -> Score:
    return score_beats(
        np.array([sample for sample, _ in reference], np.int64),
        np.array([AAMI_CLASSES.index(name) for _, name in reference], np.int8),
        np.array([sample for sample, _ in beats], np.int64),
        np.array([LABELS.index(name) for _, name in beats], np.int8),
        rate_hz=RATE_HZ,
    )


def _same(live: LiveScore | None, offline: Score) -> bool:
    return (
        live is not None
        and live.score.qrs == offline.qrs
        and np.array_equal(live.score.classes.table, offline.classes.table)
    )


def _sequence(labels: Sequence[str]) -> st.SearchStrategy[list[tuple[int, str]]]:
    sample = st.integers(0, 29_999)
    return st.lists(
        st.tuples(sample, st.sampled_from(labels)), max_size=120, unique_by=lambda beat: beat[0]
    ).map(sorted)


@given(_sequence(AAMI_CLASSES), _sequence(LABELS), st.integers(1, 40), st.integers(0, 10))
def test_piecewise_equals_whole(
    reference: list[tuple[int, str]], beats: list[tuple[int, str]], step: int, truth_delay: int
) -> None:
    """Settled bit by bit, with truth behind or ahead of the beats, the counts are those of one comparison."""
    scorer = LiveScorer()
    messages = _truth(reference, 30_000)
    pending = list(beats)
    for index in range(0, len(messages) + truth_delay, step):
        for message in messages[max(index - truth_delay, 0) : max(index - truth_delay + step, 0)]:
            scorer.truth(*WHO, message)
        known = (index + step) * PACKET
        while pending and pending[0][0] < known:
            sample, label = pending.pop(0)
            scorer.beat(*WHO, 1, sample, label, RATE_HZ)
        scorer.covered(*WHO, 1, known, RATE_HZ)
    for message in messages:
        scorer.truth(*WHO, message)
    scorer.covered(*WHO, 1, 40_000, RATE_HZ)
    scorer.finish(*WHO)
    assert _same(scorer.score(*WHO), _offline(reference, beats))


BEATS = [(sample, "V" if sample % 1_000 == 0 else "N") for sample in range(200, 30_000, 200)]


def _run(
    scorer: LiveScorer, messages: Sequence[TruthMessage], beats: Sequence[tuple[int, str]], boot: int = 1
) -> None:
    for message in messages:
        scorer.truth(*WHO, message)
        for sample, label in beats:
            if message.first_sample <= sample < message.end_sample:
                scorer.beat(*WHO, boot, sample, label, RATE_HZ)
        scorer.covered(*WHO, boot, message.end_sample - 1, RATE_HZ)


def test_no_cut_parts_a_pair() -> None:
    """However far both sides have come, a detection stays with a beat just across the place of the cut."""
    late = [(sample + 30, label) for sample, label in BEATS]
    scorer = LiveScorer()
    for message in _truth(BEATS, 30_000):
        scorer.truth(*WHO, message)
    for sample, label in late:
        scorer.beat(*WHO, 1, sample, label, RATE_HZ)
    for known in range(0, 30_000, 7):
        scorer.covered(*WHO, 1, known)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.score.qrs == QrsCounts(tp=live.score.qrs.tp)


def test_repeats_and_disorder_change_nothing() -> None:
    """Messages that arrive twice and out of order, and beats that arrive twice, count once."""
    messages = _truth(BEATS, 30_000)
    rng = np.random.default_rng(7)
    order = np.argsort(np.arange(len(messages)) + rng.uniform(0, 8, len(messages)))
    scorer = LiveScorer()
    for index in order:
        scorer.truth(*WHO, messages[index])
        scorer.truth(*WHO, messages[index])
        for sample, label in BEATS:
            if messages[index].first_sample <= sample < messages[index].end_sample:
                scorer.beat(*WHO, 1, sample, label, RATE_HZ)
                scorer.beat(*WHO, 1, sample, label, RATE_HZ)
        scorer.covered(*WHO, 1, max(0, messages[index].first_sample - 10 * PACKET))
    scorer.covered(*WHO, 1, 30_000)
    scorer.finish(*WHO)
    assert _same(scorer.score(*WHO), _offline(BEATS, BEATS))


def test_what_is_not_settled_is_not_scored() -> None:
    """Nothing counts before both sides have been complete for a while, then all of it does."""
    scorer = LiveScorer(settle_s=5.0)
    assert scorer.score(*WHO) is None
    for message in _truth(BEATS, 5_000):
        scorer.truth(*WHO, message)
    scorer.covered(*WHO, 1, 1_000, RATE_HZ)
    assert scorer.score(*WHO) is None
    scorer.covered(*WHO, 1, 4_999, RATE_HZ)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.scored_samples == 5_000 - 1_250
    assert live.score.qrs == QrsCounts(tp=0, fp=0, fn=18)


def test_missing_truth_is_passed_over_unscored() -> None:
    """A hole in the truth is waited for, then left out; beats in it are no extra detections."""
    messages = _truth(BEATS, 30_000)
    hole = messages[20:24]
    scorer = LiveScorer(truth_wait_s=30.0)
    early = [message for message in messages[:40] if message not in hole]
    _run(scorer, early, BEATS)
    for sample, label in BEATS:
        if hole[0].first_sample <= sample < hole[-1].end_sample:
            scorer.beat(*WHO, 1, sample, label, RATE_HZ)
    waiting = scorer.score(*WHO)
    assert waiting is not None
    assert waiting.scored_samples <= 20 * PACKET
    _run(scorer, messages[40:], BEATS)
    passed = scorer.score(*WHO)
    assert passed is not None
    assert passed.scored_samples > 80 * PACKET
    scorer.finish(*WHO)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.scored_samples == 30_000 - 4 * PACKET
    assert live.score.qrs.fp == 0
    assert live.score.qrs.fn == 0
    scorer.truth(*WHO, hole[0])
    assert scorer.score(*WHO) == live


def test_late_truth_fills_its_hole() -> None:
    """Truth that comes late, but before it was given up, counts in full."""
    messages = _truth(BEATS, 30_000)
    late = messages.pop(20)
    scorer = LiveScorer()
    _run(scorer, messages[:40], BEATS)
    _run(scorer, [late], BEATS)
    _run(scorer, messages[40:], BEATS)
    scorer.finish(*WHO)
    assert _same(scorer.score(*WHO), _offline(BEATS, BEATS))


def test_joined_late() -> None:
    """A scorer that comes in the middle scores from the first truth it hears; earlier beats are not its matter."""
    messages = _truth(BEATS, 30_000)[60:]
    scorer = LiveScorer()
    for sample, label in BEATS[:70]:
        scorer.beat(*WHO, 1, sample, label, RATE_HZ)
    _run(scorer, messages, BEATS)
    scorer.finish(*WHO)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.scored_samples == 60 * PACKET
    assert live.score.qrs == QrsCounts(tp=sum(sample >= 60 * PACKET for sample, _ in BEATS))


def test_beats_lost_by_radio_are_missed_and_named() -> None:
    """Truth in a lost stretch stays truth: its beats are missed, and counted as lost by radio besides."""
    scorer = LiveScorer()
    scorer.lost(*WHO, 1, 5_000, 6_000)
    _run(scorer, _truth(BEATS, 30_000), [beat for beat in BEATS if not 5_000 <= beat[0] < 6_400])
    scorer.finish(*WHO)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.score.qrs.fn == 7
    assert live.lost_by_radio.fn == 5
    assert live.missed_by_cause == {"lost": 5, "beside_loss": 2}
    assert live.score.classes.undetected.sum() == 7


def test_every_difference_is_told_with_its_cause() -> None:
    """Missed, false and misnamed beats are each told once, with what the ledger knows; else it is the monitor's."""
    scorer = LiveScorer()
    scorer.lost(*WHO, 1, 5_100, 5_300, "lost_in_burst")
    scorer.lost(*WHO, 1, 8_900, 9_300, "noise")
    scorer.lost(*WHO, 1, 24_900, 26_100, "no_monitor")
    ours = [beat for beat in BEATS if beat[0] not in {5_200, 5_400, 9_200, 20_000, 25_200}]
    ours = sorted(
        [*((s, "S" if s in {11_000, 26_000} else c) for s, c in ours), (9_100, "V"), (400 + 100, "N")]
    )
    _run(scorer, _truth(BEATS, 30_000), ours)
    scorer.finish(*WHO)
    live = scorer.score(*WHO)
    assert live is not None
    told = [(f.r_sample, f.kind, f.reference, f.called, f.cause) for f in scorer.findings()]
    assert told == [
        (500, "false", "", "N", "start"),
        (5_200, "missed", "N", "", "lost_in_burst"),
        (5_400, "missed", "N", "", "beside_loss"),
        (9_100, "false", "", "V", "noise"),
        (9_200, "missed", "N", "", "noise"),
        (11_000, "misnamed", "V", "S", "unexplained"),
        (20_000, "missed", "V", "", "unexplained"),
        (25_200, "missed", "N", "", "no_monitor"),
        (26_000, "misnamed", "V", "S", "unexplained"),
    ]
    assert sum(live.missed_by_cause.values()) == live.score.qrs.fn == 5
    assert sum(live.false_by_cause.values()) == live.score.qrs.fp == 2
    assert scorer.findings() == []


def test_flutter_is_not_scored() -> None:
    """Neither beats nor detections in a stretch marked unscored count."""
    scorer = LiveScorer()
    messages = _truth(BEATS, 30_000)
    marked = [
        _message(m.first_sample, m.end_sample, BEATS, scored=False) if 40 <= index < 44 else m
        for index, m in enumerate(messages)
    ]
    outside = [beat for beat in BEATS if not 40 * PACKET <= beat[0] < 44 * PACKET]
    _run(scorer, marked, [*outside, (40 * PACKET + 90, "V"), (42 * PACKET, "V")])
    scorer.finish(*WHO)
    assert _same(scorer.score(*WHO), _offline(outside, outside))


def test_reboot_adds_up_and_late_messages_of_the_old_boot_are_ignored() -> None:
    """A new boot's counts add to the old one's; what still arrives of the old one changes nothing."""
    scorer = LiveScorer()
    _run(scorer, _truth(BEATS, 30_000), BEATS)
    second = _truth(BEATS, 30_000, boot=2)
    _run(scorer, second[:50], BEATS, boot=2)
    scorer.beat(*WHO, 1, 30_100, "V", RATE_HZ)
    scorer.truth(*WHO, _message(30_000, 30_250, [(30_050, "V")]))
    scorer.covered(*WHO, 1, 40_000)
    _run(scorer, second[50:], BEATS, boot=2)
    scorer.finish(*WHO)
    assert _same(scorer.score(*WHO), _offline(BEATS, BEATS) + _offline(BEATS, BEATS))


def test_a_wild_detector_does_not_escape() -> None:
    """Detections without a pause between them are scored all the same, in bounded memory."""
    scorer = LiveScorer()
    wild = [(sample, "V") for sample in range(0, 150_000, 20)]
    messages = _truth(BEATS, 150_000)
    _run(scorer, messages, wild)
    scorer.finish(*WHO)
    live = scorer.score(*WHO)
    assert live is not None
    assert live.dropped == 0
    assert live.score.qrs.tp + live.score.qrs.fp == len(wild)
    assert live.score.qrs.tp == len(BEATS)


def test_a_silent_side_costs_bounded_memory() -> None:
    """Beats without truth, and truth without beats, are forgotten in the end, and counted."""
    scorer = LiveScorer()
    for sample in range(0, 6_000 * 200, 200):
        scorer.beat(*WHO, 1, sample, "N", RATE_HZ)
    state = scorer._boots[WHO]
    assert len(state._beats) <= 4_096
    assert state._dropped == 6_000 - 4_096


def test_no_message_of_truth_is_kept_beyond_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many reference beats in one message, and many stretches apart, cost no more than a bounded memory."""
    monkeypatch.setattr("monitor.boot_scorer._PENDING_LIMIT", 64)
    scorer = LiveScorer()
    scorer.truth(*WHO, _message(0, 200, [(sample, "N") for sample in range(200)]))
    state = scorer._boots[WHO]
    assert len(state._reference) == 64
    assert state._dropped == 200 - 64
    for first in range(1000, 2000, 4):
        scorer.truth(*WHO, _message(first, first + 2, [], scored=False))
    assert max(len(state._truth), len(state._unscored)) <= 64


def test_athletes_are_apart() -> None:
    """One athlete's truth and beats never touch another's score."""
    scorer = LiveScorer()
    _run(scorer, _truth(BEATS, 30_000), BEATS)
    before = scorer.score(*WHO)
    scorer.beat("first", "athlete-2", 1, 1_234, "V", RATE_HZ)
    scorer.truth("second", "athlete-1", _message(0, 30_000, BEATS))
    scorer.covered("first", "athlete-2", 1, 30_000)
    assert scorer.score(*WHO) == before
    assert scorer.score("first", "athlete-2") is None
    assert scorer.athletes() == [WHO]
