"""Overload: what is left out, in which order, what never is, and how it ends."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.contract import FloatArray
from monitor.overload import (
    BETTER_AFTER_S,
    CLASSIFYING,
    IN_TIME_S,
    LATE_S,
    STEPS,
    WORSE_AFTER_S,
    LoadGovernor,
)
from monitor.sinks.batch import SinkBatch
from monitor.sources import Arrival, Inbox
from monitor.watch import Watch
from monitor.wire import Topic
from simulators.records import Record
from simulators.synthetic_team import synthetic_team
from tests.monitor.test_watch import SlopeClassifier, arrivals, of, play, straps


class Counting(SlopeClassifier):
    """Counts what it is asked."""

    asked = 0

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Answer as its base does."""
        self.asked += len(window)
        return super().probabilities(window, template, context)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Return synthetic athletes, ectopic beats among theirs."""
    return synthetic_team(2, seconds=60.0, seed=7)


def watched_under(step: int, records: list[Record]) -> tuple[SinkBatch, Watch, Counting]:
    """Return what a watch tells of some athletes at a step of relief."""
    classifier = Counting()
    watch = Watch(classifier=classifier)
    watch.relieve(step)
    told = play(watch, [event for strap in straps(records) for event in arrivals(strap)])
    return told, watch, classifier


@given(st.lists(st.floats(0.0, 3.0), max_size=200))
def test_steps_are_taken_one_by_one_and_only_for_a_reason(lateness: list[float]) -> None:
    """Whatever comes: no step without a second of lateness, none back within ten of such a one, never two at once."""
    governor, now, before = LoadGovernor(), 0.0, 0
    late_for, calm_for = 0.0, -0.3
    for late_s in lateness:
        step = governor.look(late_s, now)
        # Late for a second on end, by the looks or by what one packet waited.
        calm_for = (
            0.0 if late_for >= WORSE_AFTER_S - 1e-9 or late_s > LATE_S + WORSE_AFTER_S else calm_for + 0.3
        )
        assert step - before in (-1, 0, 1)
        assert step <= before or (late_s > LATE_S and late_for >= WORSE_AFTER_S - 1e-9)
        assert step >= before or (late_s < IN_TIME_S and calm_for >= BETTER_AFTER_S - 1e-9)
        late_for = late_for + 0.3 if late_s > LATE_S else 0.0
        before, now = step, now + 0.3


def test_being_late_for_a_moment_takes_no_step_and_keeps_none() -> None:
    """Late for half a second in every four, as on a machine that does other work: all steps go back, in order."""
    governor = LoadGovernor()
    for k in range(100):
        governor.look(2.0, 0.1 * k)
    assert governor.step == CLASSIFYING
    steps = [governor.look(0.8 if k % 40 < 5 else 0.05, 10.0 + 0.1 * k) for k in range(600)]
    changes = [step for step, previous in zip(steps, [CLASSIFYING, *steps], strict=False) if step != previous]
    assert changes == [2, 1, 0]
    lasting = [governor.look(0.8 if k % 40 < 15 else 0.05, 80.0 + 0.1 * k) for k in range(600)]
    assert lasting[-1] == CLASSIFYING


def test_it_worsens_in_seconds_recovers_by_itself_and_does_not_swing() -> None:
    """All steps under lasting lateness; none changes between late and in time; all are taken back afterwards."""
    governor = LoadGovernor()
    steps = [governor.look(2.0, 0.5 * k) for k in range(20)]
    assert steps[-1] == CLASSIFYING == len(STEPS) - 1
    assert sorted(set(steps)) == [0, 1, 2, 3]
    assert {governor.look(0.4, 10.0 + k) for k in range(100)} == {CLASSIFYING}
    back = [governor.look(0.05, 200.0 + k) for k in range(40)]
    assert back[-1] == 0
    assert sorted(set(back), reverse=True) == [2, 1, 0]


def test_no_peak_and_no_alarm_is_ever_left_out(records: list[Record]) -> None:
    """At every step the same R peaks with the same classes, and the same alarms, as with nothing left out."""
    usual, _, _ = watched_under(0, records)
    assert usual.waves
    for step in (1, 3):
        told, watch, _ = watched_under(step, records)
        for athlete in ("a0", "a1"):
            found, expected = of(told, athlete), of(usual, athlete)
            assert [(b.r_sample, b.known_sample, b.label) for b in found] == [
                (b.r_sample, b.known_sample, b.label) for b in expected
            ]
        assert Counter((a.athlete, a.kind, a.episode, a.transition) for a in told.alarms) == Counter(
            (a.athlete, a.kind, a.episode, a.transition) for a in usual.alarms
        )
        assert not told.waves
        left_out = watch.left_out
        assert left_out["waveforms"] > 0
        assert (left_out["denoising"] > 0) == (step >= 2)
        assert (left_out["classifying"] > 0) == (step >= 3)


def test_what_is_not_asked_about_is_usual_and_was_asked_lately(records: list[Record]) -> None:
    """Most usual beats are spared, at least one in ten of them is asked about; what is ectopic always is."""
    usual, _, all_asked = watched_under(0, records)
    told, watch, asked = watched_under(CLASSIFYING, records)
    spared = watch.left_out["classifying"]
    assert asked.asked + spared == all_asked.asked
    assert 0.3 * len(told.beats) < spared < 0.9 * len(told.beats)
    assert all(beat.probabilities for _, _, beat in told.beats if beat.label == "V")
    assert sum(b.label == "V" for *_, b in told.beats) == sum(b.label == "V" for *_, b in usual.beats)


def test_everything_is_done_again_afterwards(records: list[Record]) -> None:
    """Once relief ends, beats and waves are those of a watch that was never relieved."""
    watch, other = Watch(classifier=SlopeClassifier()), Watch(classifier=SlopeClassifier())
    events = [event for strap in straps(records[:1]) for event in arrivals(strap)]
    half = len(events) // 2
    watch.relieve(1)
    play(watch, events[:half])
    play(other, events[:half])
    watch.relieve(0)
    found, expected = play(watch, events[half:]), play(other, events[half:])
    assert found.beats == expected.beats
    assert found.waves == expected.waves


def test_our_own_drops_are_no_radio_loss(records: list[Record]) -> None:
    """Of packets that an overfull inbox dropped the athlete's state says so; those the radio lost stay apart."""
    (strap,) = straps(records[:1])
    sent = arrivals(strap)[:200]
    radio_lost = {50, 51, 90}
    inbox = Inbox(capacity=10)
    watch = Watch(classifier=None)
    state = None
    for number, (at, topic, payload) in enumerate(sent):
        if number in radio_lost:
            continue
        inbox.put(Arrival(topic, payload, at, lambda: None))
        # From 100 to 130 nobody has time.
        if not 100 <= number < 130:
            watch.dropped(inbox.take_drops())
            for arrival in inbox.take():
                watch.receive(arrival.topic, arrival.payload, at)
            state = next(iter(watch.tick(at + 2.0).states), state)
    assert inbox.dropped == 21
    assert state is not None
    assert (state.packets_dropped, state.packets_lost) == (21, len(radio_lost))
    assert watch.lost_packets() == len(radio_lost)


def test_only_samples_count_as_dropped_packets() -> None:
    """A status that a newer one replaced is no packet lost."""
    inbox = Inbox(capacity=1)
    for _ in range(3):
        inbox.put(Arrival(Topic("t", "a0", "status"), b"", 0.0, lambda: None))
    assert inbox.dropped == 2
    assert inbox.take_drops() == {}
