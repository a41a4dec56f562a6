"""The life of an alarm, as a pure machine."""

from dataclasses import replace
from typing import Literal

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.alarm_inputs import Input, Whose
from monitor.alarm_pauses import MAX_PAUSE_S
from monitor.alarms import COMPLETE_AFTER_S, MAX_LATCHED, SAME_EPISODE_S, AlarmMachine, replay
from monitor.catalogue import CATALOGUE, RuleChange
from monitor.contract import AAMI_CLASSES, Alarm, EpisodeTransition, RhythmEvent, RhythmKind, TechnicalKind
from monitor.responses import Command

RATE_HZ = 360.0
N, V = (AAMI_CLASSES.index(name) for name in "NV")
WHOSE = Whose(team="t", athlete="a", boot=1, rate_hz=RATE_HZ, known_at=1000.0, known_sample=0)


def event(
    kind: RhythmKind | TechnicalKind,
    transition: EpisodeTransition = "onset",
    *,
    onset: int = 3600,
    known: int | None = None,
    beats: int = 0,
    rate_bpm: float = 150.0,
) -> RhythmEvent:
    """Return an event with `beats` ventricular beats as its evidence; an end is known three seconds after its onset."""
    if known is None:
        known = onset + (1080 if transition == "end" else 400)
    return RhythmEvent(
        row=0,
        kind=kind,
        episode=onset,
        transition=transition,
        onset_sample=onset,
        known_sample=known,
        rate_bpm=rate_bpm,
        beats=tuple((onset + 100 * k, V, 0.9) for k in range(beats)),
        duration_s=(known - onset) / RATE_HZ,
    )


@pytest.mark.parametrize("kind", sorted(CATALOGUE))
def test_every_kind_is_raised_once_and_cleared(kind: RhythmKind | TechnicalKind) -> None:
    """An onset that lasts raises, a second one of the same episode adds nothing, an end that lasts clears."""
    machine = AlarmMachine(model="m", settings_hash="h")
    rule = CATALOGUE[kind]
    delay, hysteresis = (round(s * RATE_HZ) for s in (rule.onset_delay_s, rule.clear_delay_s))
    raised = machine.event(WHOSE, event(kind), 10.0)
    assert len(raised) == (0 if delay else 1)
    raised += machine.advance(WHOSE, 4000 + delay, 10.0)
    assert len(raised) == (0 if delay else 1)
    raised += machine.advance(WHOSE, 4001 + delay, 10.0)
    assert [alarm.transition for alarm in raised] == ["raised"]
    assert raised[0].identity == f"t.a.1.{kind}.3600"
    assert raised[0].message
    assert raised[0].action
    assert raised[0].onset_at == 1010.0
    assert machine.event(WHOSE, event(kind), 10.1) == []
    over = 4001 + delay + 720
    told = machine.event(WHOSE, event(kind, "end", known=over), 11.0)
    assert len(told) == (0 if hysteresis else 1)
    told += [a for a in machine.advance(WHOSE, over + hysteresis, 12.0) if a.transition == "cleared"]
    assert len(told) == (0 if hysteresis else 1)
    told += [a for a in machine.advance(WHOSE, over + hysteresis + 1, 12.0) if a.transition == "cleared"]
    assert [alarm.transition for alarm in told] == ["cleared"]
    assert machine.event(WHOSE, event(kind, "end"), 11.1) == []


def test_a_latched_alarm_stays_until_acknowledged() -> None:
    """An asystole that is over stays on screen for ever, and leaves when somebody has seen it."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("asystole"), 10.0)
    machine.event(WHOSE, event("asystole", "end"), 12.0)
    machine.advance(WHOSE, 100_000, 20.0)
    machine.tick(1e6)
    assert [alarm.cleared for alarm in machine.active("t", "a")] == [True]
    told = machine.acknowledge("t", "a", "t.a.1.asystole.3600", "Dr. Who", 1e6)
    assert [(alarm.transition, alarm.by) for alarm in told] == [("acknowledged", "Dr. Who")]
    assert machine.active("t", "a") == []


def test_an_unlatched_alarm_is_shown_for_its_minimum_time() -> None:
    """A couplet is over as soon as it is known, and still can be read."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_couplet"), 10.0)
    machine.event(WHOSE, event("ventricular_couplet", "end"), 10.0)
    machine.advance(WHOSE, 100_000, 16.0)
    machine.tick(10.0 + CATALOGUE["ventricular_couplet"].display_s - 0.1)
    assert len(machine.active("t", "a")) == 1
    machine.tick(10.0 + CATALOGUE["ventricular_couplet"].display_s)
    assert machine.active("t", "a") == []


def test_a_long_fast_run_escalates_once() -> None:
    """A run of three is medium; the sixth beat at 150 bpm makes it high, once."""
    machine = AlarmMachine()
    first = machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    assert first[0].priority == "medium"
    told = [
        alarm
        for beats in (4, 5, 6, 7)
        for alarm in machine.event(WHOSE, event("ventricular_run", "update", beats=beats), 10.5)
    ]
    assert [(alarm.transition, alarm.priority) for alarm in told] == [("escalated", "high")]
    assert machine.event(WHOSE, event("ventricular_run", "update", beats=9, rate_bpm=80.0), 11.0) == []


def test_beats_named_otherwise_are_of_the_run_that_took_them() -> None:
    """A run of six of which two look ventricular but were called otherwise is as long, and as urgent, as any other."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    six = event("ventricular_run", "update", beats=6)
    named = tuple((r, N if k in (2, 4) else V, p) for k, (r, _, p) in enumerate(six.beats))
    (told,) = machine.event(WHOSE, replace(six, beats=named), 11.0)
    assert (told.transition, told.priority) == ("escalated", "high")
    assert told.message.startswith("6 or more")


def test_escalation_asks_for_attention_again() -> None:
    """Somebody who acknowledged three beats in a row has not seen the sixth."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    machine.acknowledge("t", "a", "t.a.1.ventricular_run.3600", "x", 10.2)
    machine.event(WHOSE, event("ventricular_run", "update", beats=6), 11.0)
    (active,) = machine.active("t", "a")
    assert (active.priority, active.acknowledged_by) == ("high", "")
    assert len(machine.acknowledge("t", "a", "t.a.1.ventricular_run.3600", "y", 12.0)) == 1


def silence(
    machine: AlarmMachine, kind: RhythmKind, after_s: float, transition: EpisodeTransition = "onset"
) -> list[Alarm]:
    """Let a silence from sample 3600 on become, or end being, what it is called."""
    known = 3600 + round(after_s * RATE_HZ)
    return machine.event(WHOSE, event(kind, transition, known=known), 10.0 + after_s)


def test_a_pause_that_grows_is_one_alarm_that_rises() -> None:
    """Three seconds without a beat raise the alarm of two seconds, under its identity; who answered is asked again."""
    machine = AlarmMachine()
    (raised,) = silence(machine, "pause", 2.45)
    assert raised.priority == "low"
    machine.acknowledge("t", "a", raised.identity, "x", 12.6)
    (risen,) = silence(machine, "long_pause", 3.45)
    assert (risen.identity, risen.transition, risen.priority) == (raised.identity, "escalated", "medium")
    assert risen.message == "No heartbeat for 3.5 s."
    assert risen.action == CATALOGUE["long_pause"].action
    (active,) = machine.active("t", "a")
    assert (active.priority, active.acknowledged_by) == ("medium", "")
    told = silence(machine, "pause", 3.6, "end") + silence(machine, "long_pause", 3.6, "end")
    told += machine.advance(WHOSE, 100_000, 20.0)
    assert [(alarm.identity, alarm.transition) for alarm in told] == [
        (raised.identity, "completed"), (raised.identity, "cleared"),
    ]  # fmt: skip


def test_an_asystole_takes_the_place_of_its_pause() -> None:
    """It is an alarm of its own, that no other can hold back; of the pause that it was nothing stays on screen."""
    machine = AlarmMachine()
    (pause,) = silence(machine, "pause", 2.45)
    silence(machine, "long_pause", 3.45)
    raised, cleared = silence(machine, "asystole", 4.45)
    assert (raised.kind, raised.transition, raised.priority) == ("asystole", "raised", "high")
    assert (cleared.identity, cleared.transition) == (pause.identity, "cleared")
    assert [alarm.kind for alarm in machine.active("t", "a")] == ["asystole"]
    assert silence(machine, "pause", 7.0, "end") + silence(machine, "long_pause", 7.0, "end") == []
    assert silence(machine, "long_pause", 7.0) == []
    told = silence(machine, "asystole", 7.0, "end") + machine.advance(WHOSE, 100_000, 20.0)
    assert {alarm.kind for alarm in told} == {"asystole"}


def test_a_pause_that_was_never_told_holds_back_no_longer_one() -> None:
    """With an onset delay of its own, or a limit that is higher, each name of a silence is told once it is due."""
    machine = AlarmMachine(changes={"pause": RuleChange(onset_delay_s=2.0)})
    assert silence(machine, "pause", 2.45) == []
    (long,) = silence(machine, "long_pause", 3.45)
    assert (long.kind, long.transition) == ("long_pause", "raised")
    assert [a for a in machine.advance(WHOSE, 100_000, 20.0) if a.kind == "pause"] == []
    assert silence(machine, "pause", 3.6) == []


def test_what_has_risen_waits_no_longer_than_others_of_its_priority() -> None:
    """A run that has become high leaves the building after a minute, as an asystole does; so does what is set so."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    machine.event(WHOSE, event("ventricular_run", "update", beats=6), 11.0)
    assert [a.answer_by for a in machine.active("t", "a")] == [71.0]
    assert machine.tick(70.9) == []
    assert [(a.transition, a.priority) for a in machine.tick(71.0)] == [("unanswered", "high")]
    set_high = AlarmMachine(changes={"bigeminy": RuleChange(priority="high")})
    set_high.event(WHOSE, event("bigeminy"), 10.0)
    assert [a.transition for a in set_high.tick(70.0)] == ["unanswered"]


def test_a_slow_run_does_not_escalate() -> None:
    """Six ventricular beats at 80 bpm are no tachycardia."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3, rate_bpm=80.0), 10.0)
    assert machine.event(WHOSE, event("ventricular_run", "update", beats=6, rate_bpm=80.0), 11.0) == []


def test_the_strip_is_completed_on_the_sample_clock() -> None:
    """An alarm of the heart is told again once, when the samples have gone on long enough; a technical one never."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("pause", known=4000), 10.0)
    machine.event(WHOSE, event("flat", known=4000), 10.0)
    complete = 4000 + round(COMPLETE_AFTER_S * RATE_HZ)
    assert machine.advance(WHOSE, complete - 1, 14.0) == []
    told = machine.advance(WHOSE, complete, 15.0)
    assert [(alarm.kind, alarm.transition) for alarm in told] == [("pause", "completed")]
    assert machine.advance(WHOSE, complete + 999, 16.0) == []


def test_a_reboot_clears_what_the_boot_before_left_open() -> None:
    """Conditions of a boot that has ended cannot end by themselves."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("tachycardia"), 10.0)
    assert [alarm.transition for alarm in machine.end_boot("t", "a", 1, 11.0)] == ["cleared"]
    assert machine.end_boot("t", "a", 1, 12.0) == []


def test_athletes_do_not_share_alarms() -> None:
    """Acknowledging one athlete's alarm leaves another's alone."""
    machine = AlarmMachine()
    other = Whose(team="t", athlete="b", boot=1, rate_hz=RATE_HZ, known_at=0.0, known_sample=0)
    machine.event(WHOSE, event("asystole"), 10.0)
    machine.event(other, event("asystole"), 10.0)
    assert machine.acknowledge("t", "a", "t.b.1.asystole.3600", "x", 11.0) == []
    machine.acknowledge("t", "a", "t.a.1.asystole.3600", "x", 11.0)
    assert [alarm.acknowledged_by for alarm in machine.active("t", "b")] == [""]


def test_open_alarms_are_bounded_and_the_urgent_stay() -> None:
    """Hundreds of couplets that are over cannot push out an asystole."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("asystole"), 1.0)
    machine.event(WHOSE, event("asystole", "end"), 1.0)
    for k in range(10 * MAX_LATCHED):
        machine.event(WHOSE, event("ventricular_run", onset=10_000 + 2999 * k), 2.0 + 0.001 * k)
        machine.event(WHOSE, event("ventricular_run", "end", onset=10_000 + 2999 * k), 2.0 + 0.001 * k)
    active = machine.active("t", "a")
    assert len(active) <= MAX_LATCHED + 1
    assert active[0].kind == "asystole"


def test_an_exported_athlete_goes_on_as_if_it_had_never_moved() -> None:
    """Open alarms, acknowledgements and strips under way travel with the state."""
    here, there = AlarmMachine(), AlarmMachine()
    here.event(WHOSE, event("asystole"), 10.0)
    here.acknowledge("t", "a", "t.a.1.asystole.3600", "x", 10.5)
    there.import_athlete("t", "a", here.export_athlete("t", "a"))
    assert there.active("t", "a") == here.active("t", "a")
    assert there.advance(WHOSE, 100_000, 20.0) == here.advance(WHOSE, 100_000, 20.0)
    assert there.event(WHOSE, event("asystole", "end"), 21.0) == here.event(
        WHOSE, event("asystole", "end"), 21.0
    )


def test_two_onsets_within_two_seconds_are_one_alarm() -> None:
    """A contact that comes and goes is one episode, as the Stream has it: the last one cannot be swallowed."""
    machine = AlarmMachine()
    reach = round(SAME_EPISODE_S * RATE_HZ)
    told = []
    for onset in range(3600, 3600 + reach + 1, 180):
        told += machine.event(WHOSE, event("lead_off", onset=onset, known=onset), 10.0)
        told += machine.advance(WHOSE, onset + 90, 10.0)
        if onset < 3600 + reach:
            told += machine.event(WHOSE, event("lead_off", "end", onset=onset, known=onset + 90), 10.0)
    assert [alarm.transition for alarm in told] == ["raised"]
    assert machine.advance(WHOSE, 100_000, 11.0) == []
    assert [alarm.cleared for alarm in machine.active("t", "a")] == [False]
    over = machine.event(
        WHOSE, event("lead_off", "end", onset=3600 + reach, known=100_000), 12.0, for_good=True
    )
    assert [(alarm.identity, alarm.transition) for alarm in over] == [("t.a.1.lead_off.3600", "cleared")]


def test_a_short_episode_is_over_once_no_other_can_be_the_same() -> None:
    """An end within two seconds of the onset is told when the samples have gone on for two seconds."""
    machine = AlarmMachine(changes=({"lead_off": RuleChange(clear_delay_s=0.0, repeat_after_s=0.0)}))
    machine.event(WHOSE, event("lead_off", known=3600), 10.0)
    assert machine.event(WHOSE, event("lead_off", "end", known=3690), 10.0) == []
    reach = round(SAME_EPISODE_S * RATE_HZ)
    assert machine.advance(WHOSE, 3600 + reach, 11.0) == []
    assert [a.transition for a in machine.advance(WHOSE, 3601 + reach, 12.0)] == ["cleared"]
    machine.event(WHOSE, event("lead_off", onset=9000, known=9000), 20.0)
    ended = machine.event(WHOSE, event("lead_off", "end", onset=9000, known=9000), 20.0, for_good=True)
    assert [a.transition for a in ended] == ["cleared"]


def test_the_same_episode_of_another_strap_is_raised_again() -> None:
    """A strap that replaces one with the same boot number may show the same onset; its alarm is told."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("lead_off", onset=0, known=0), 10.0)
    machine.end_boot("t", "a", 1, 11.0)
    raised = machine.event(WHOSE, event("lead_off", onset=0, known=0), 12.0)
    assert [alarm.transition for alarm in raised] == ["raised"]
    assert [alarm.cleared for alarm in machine.active("t", "a")] == [False]


def test_a_gap_completes_the_strip_with_what_there_is() -> None:
    """Where the signal ends before the strip is full, the strip is told at once, and only once."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("pause", known=4000), 10.0)
    told = machine.advance(WHOSE, 4500, 11.0, signal_ends=True)
    assert [(a.transition, a.known_sample) for a in told] == [("completed", 4499)]
    assert machine.advance(WHOSE, 100_000, 20.0) == []


def test_an_acknowledgement_of_another_monitors_name_is_taken() -> None:
    """Two monitors may see an onset a little apart; the Stream keeps one name, and both take its acknowledgement."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("asystole"), 10.0)
    assert machine.acknowledge("t", "a", "t.a.2.asystole.3600", "x", 11.0) == []
    assert machine.acknowledge("t", "a", "t.a.1.pause.3600", "x", 11.0) == []
    assert len(machine.acknowledge("t", "a", "t.a.1.asystole.4320", "x", 11.0)) == 1


def test_an_escalation_within_one_episode_keeps_its_name() -> None:
    """A second run within two seconds of the first that grows long escalates the alarm that is there."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3, known=3900), 10.0)
    machine.event(WHOSE, event("ventricular_run", "end", beats=3, known=4000), 10.0)
    assert machine.event(WHOSE, event("ventricular_run", onset=4200, beats=3), 10.0) == []
    told = machine.event(WHOSE, event("ventricular_run", "update", onset=4200, beats=6), 11.0)
    assert [(a.identity, a.transition) for a in told] == [("t.a.1.ventricular_run.3600", "escalated")]


def test_damaged_alarms_are_refused_whole() -> None:
    """An import that fails leaves the open alarms as they were."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("asystole"), 10.0)
    state = {**machine.export_athlete("t", "a"), "alarms": np.zeros(3, np.uint8)}
    with pytest.raises(ValueError, match="damaged"):
        machine.import_athlete("t", "a", state)
    assert len(machine.active("t", "a")) == 1


def test_a_monitor_that_began_later_takes_the_acknowledgement_of_the_one_alarm() -> None:
    """The Stream knows the condition by an onset long before ours; acknowledged there, it is acknowledged here."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("tachycardia", onset=90_000), 10.0)
    told = machine.acknowledge("t", "a", "t.a.1.tachycardia.3600", "x", 11.0)
    assert [a.identity for a in told] == ["t.a.1.tachycardia.90000"]


def test_a_condition_shorter_than_its_onset_delay_is_no_alarm() -> None:
    """What ends before the delay is over is never told; what outlasts it is told by the onset it had."""
    machine = AlarmMachine()
    delay = round(CATALOGUE["noisy"].onset_delay_s * RATE_HZ)
    assert delay > 0
    assert machine.event(WHOSE, event("noisy", known=4000), 10.0) == []
    assert machine.event(WHOSE, event("noisy", "end", known=4000 + delay), 10.0) == []
    assert machine.advance(WHOSE, 100_000, 11.0) == []
    assert machine.event(WHOSE, event("noisy", onset=200_000, known=200_400), 12.0) == []
    (raised,) = machine.advance(WHOSE, 300_000, 13.0)
    assert (raised.episode, raised.known_sample, raised.at) == (200_000, 200_400 + delay, 13.0)


def test_a_condition_that_comes_back_within_its_hysteresis_goes_on() -> None:
    """The alarm is neither cleared nor raised anew while the condition stays away for less than its delay."""
    machine = AlarmMachine()
    away = round(CATALOGUE["tachycardia"].clear_delay_s * RATE_HZ)
    told = machine.event(WHOSE, event("tachycardia", onset=3600, known=4000), 10.0)
    told += machine.event(WHOSE, event("tachycardia", "end", onset=3600, known=9000), 10.0)
    told += machine.advance(WHOSE, 9000 + away, 10.0)
    told += machine.event(WHOSE, event("tachycardia", onset=8000, known=9000 + away), 10.0)
    told += machine.advance(WHOSE, 100_000, 10.0)
    assert [a.transition for a in told if a.transition != "completed"] == ["raised"]
    told = machine.event(WHOSE, event("tachycardia", "end", onset=8000, known=100_000), 11.0)
    told += machine.advance(WHOSE, 100_001 + away, 11.0)
    assert [(a.episode, a.transition) for a in told] == [(3600, "cleared")]


def test_repeats_are_counted_and_told_once_they_last() -> None:
    """Couplets soon after one are counted with it; a rate that comes back soon is told once it has lasted."""
    machine = AlarmMachine()
    for second in (10, 20, 30):
        onset = round(second * RATE_HZ)
        told = machine.event(WHOSE, event("ventricular_couplet", onset=onset), 10.0)
        assert ["raised" for a in told if a.transition == "raised"] == (["raised"] if second == 10 else [])
        machine.event(WHOSE, event("ventricular_couplet", "end", onset=onset), 10.0)
        machine.advance(WHOSE, onset + round(6 * RATE_HZ), 10.0)
    assert [alarm.repeats for alarm in machine.active("t", "a")] == [2]
    rule = CATALOGUE["bradycardia"]
    machine.event(WHOSE, event("bradycardia", onset=100_000, known=100_000), 20.0)
    machine.event(WHOSE, event("bradycardia", "end", onset=100_000, known=101_000), 20.0)
    over = 101_000 + round(rule.clear_delay_s * RATE_HZ)
    machine.advance(WHOSE, over + 1, 20.0)
    assert machine.event(WHOSE, event("bradycardia", onset=over + 10, known=over + 10), 21.0) == []
    until = over + round(rule.repeat_after_s * RATE_HZ)
    assert machine.advance(WHOSE, until, 22.0) == []
    assert [a.episode for a in machine.advance(WHOSE, until + 1, 23.0)] == [over + 10]


def test_high_priority_is_never_suppressed() -> None:
    """An asystole right after another one is raised, whatever somebody has set; so is a held run that grows long."""
    changes: dict[RhythmKind | TechnicalKind, RuleChange] = {
        "asystole": RuleChange(repeat_after_s=600.0),
        "ventricular_run": RuleChange(repeat_after_s=600.0),
    }
    machine = AlarmMachine(changes=(changes))
    kinds: tuple[RhythmKind, ...] = ("asystole", "ventricular_run")
    for kind in kinds:
        machine.event(WHOSE, event(kind, onset=3600, known=3600, beats=3), 10.0)
        machine.event(WHOSE, event(kind, "end", onset=3600, known=5000), 10.0)
        machine.advance(WHOSE, 9000, 10.0)
    assert [a.kind for a in machine.event(WHOSE, event("asystole", onset=9100), 11.0)] == ["asystole"]
    assert machine.event(WHOSE, event("ventricular_run", onset=9100, known=9200, beats=3), 11.0) == []
    (told,) = machine.event(WHOSE, event("ventricular_run", "update", onset=9100, known=9500, beats=6), 11.0)
    assert (told.transition, told.priority, told.episode) == ("raised", "high", 9100)


def test_what_nobody_answers_is_told_once_and_anew_after_an_escalation() -> None:
    """The time runs from the raise, and again from the escalation; whoever acknowledges stops it."""
    machine = AlarmMachine()
    within_s = CATALOGUE["ventricular_run"].answer_within_s
    assert within_s is not None
    machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    assert [a.answer_by for a in machine.active("t", "a")] == [10.0 + within_s]
    assert machine.tick(10.0 + within_s - 0.1) == []
    assert [a.transition for a in machine.tick(10.0 + within_s)] == ["unanswered"]
    assert machine.tick(1e5) == []
    assert [(a.unanswered, a.answer_by) for a in machine.active("t", "a")] == [(True, 0.0)]
    machine.event(WHOSE, event("ventricular_run", "update", beats=6), 2e5)
    assert [(a.unanswered, a.escalated) for a in machine.active("t", "a")] == [(False, True)]
    assert [(a.transition, a.priority) for a in machine.tick(2e5 + within_s)] == [("unanswered", "high")]
    machine.event(WHOSE, event("asystole"), 3e5)
    machine.acknowledge("t", "a", "t.a.1.asystole.3600", "x", 3e5 + 1)
    assert machine.tick(4e5) == []


def test_a_latched_alarm_that_is_over_still_wants_an_answer() -> None:
    """An asystole that ended by itself calls for somebody all the same; a rate that came down does not."""
    machine = AlarmMachine()
    kinds: tuple[RhythmKind, ...] = ("asystole", "tachycardia")
    for kind in kinds:
        machine.event(WHOSE, event(kind), 10.0)
        machine.event(WHOSE, event(kind, "end"), 11.0)
    machine.advance(WHOSE, 100_000, 11.0)
    assert [a.kind for a in machine.tick(1000.0)] == ["asystole"]


def pausing(athlete: str = "a", seconds: float = 60.0) -> Command:
    """Return a command that pauses at 20 s."""
    return Command(action="pause", team="t", athlete=athlete, by="x", at=20.0, seconds=seconds)


def test_a_pause_counts_down_and_ends_by_itself() -> None:
    """An athlete's pause is theirs alone and ends when its time is up; a team's pause holds for all."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("tachycardia"), 10.0)
    machine.command(pausing(), 20.0)
    assert machine.pause_of("t", "a") == (80.0, "x", "medium")
    assert machine.pause_of("t", "b") == (0.0, "", "")
    machine.tick(79.9)
    assert machine.pause_of("t", "a")[0] == 80.0
    machine.tick(80.0)
    assert machine.pause_of("t", "a")[0] == 0.0
    machine.command(pausing(""), 90.0)
    assert machine.pause_of("t", "b")[0] > 0.0
    machine.command(Command(action="resume", team="t", by="y", at=91.0), 91.0)
    assert machine.pause_of("t", "b")[0] == 0.0
    assert [(note.action, note.by) for note in machine.notes()] == [
        ("pause", "x"), ("pause ended", "monitor"), ("pause", "x"), ("pause ended", "y"),
    ]  # fmt: skip
    assert machine.notes() == []


def test_a_pause_counts_from_when_it_was_asked_for() -> None:
    """A command that comes late is no longer pause than was promised; one from long ago is over before long."""
    machine = AlarmMachine()
    machine.command(pausing(), 50.0)
    assert machine.pause_of("t", "a")[0] == 80.0
    machine.command(pausing(), 20.0 + 10.0 * MAX_PAUSE_S)
    assert machine.pause_of("t", "a")[0] == 20.0 + 9.0 * MAX_PAUSE_S + 60.0


def test_no_pause_is_longer_than_the_longest() -> None:
    """A command that wants an hour gets five minutes."""
    machine = AlarmMachine()
    machine.command(pausing(seconds=3600.0), 20.0)
    assert machine.pause_of("t", "a")[0] == 20.0 + MAX_PAUSE_S


@pytest.mark.parametrize(
    ("open_kind", "new_kind", "broken"),
    [
        ("tachycardia", "bradycardia", False),
        ("tachycardia", "asystole", True),
        ("asystole", "tachycardia", False),
        ("noisy", "tachycardia", True),
        ("lead_off", "asystole", True),
        ("ventricular_fibrillation", "asystole", True),
    ],
)
def test_something_worse_breaks_through_a_pause(
    open_kind: RhythmKind,
    new_kind: RhythmKind,
    broken: bool,  # noqa: FBT001 - a value of the table above
) -> None:
    """A more urgent alarm than those paused ends the pause, and so does every new one of high priority."""
    machine = AlarmMachine()
    machine.event(WHOSE, event(open_kind), 10.0)
    machine.advance(WHOSE, 50_000, 10.0)
    machine.command(pausing(""), 20.0)
    machine.event(WHOSE, event(new_kind, onset=60_000), 30.0)
    machine.advance(WHOSE, 90_000, 31.0)
    assert (machine.pause_of("t", "a")[0] == 0.0) == broken


def test_rules_that_change_hold_from_then_on() -> None:
    """What was raised keeps its priority; what comes afterwards has the new one and the new hash."""
    machine = AlarmMachine(settings_hash="one")
    machine.event(WHOSE, event("bigeminy"), 10.0)
    machine.change_rules({"bigeminy": RuleChange(priority="medium", repeat_after_s=0.0)}, "two", 11.0)
    assert [a.priority for a in machine.active("t", "a")] == ["low"]
    machine.event(WHOSE, event("bigeminy", "end"), 12.0, for_good=True)
    *_, told = machine.event(WHOSE, event("bigeminy", onset=90_000), 13.0)
    assert (told.priority, told.settings_hash) == ("medium", "two")


def test_straps_with_the_same_boot_and_onset_are_told_apart() -> None:
    """Two straps of one athlete may count alike; their alarms have names of their own."""
    machine = AlarmMachine()
    told = [
        machine.event(replace(WHOSE, strap=strap), event("asystole"), 10.0)[0].identity
        for strap in ("s1", "s2")
    ]
    assert told == ["t.a.s1.1.asystole.3600", "t.a.s2.1.asystole.3600"]


_KINDS: tuple[RhythmKind | TechnicalKind, ...] = (
    "asystole", "ventricular_run", "tachycardia", "ventricular_couplet", "noisy", "lead_off",
)  # fmt: skip


class Kept:
    """A recorder that keeps what it is given as it would be written, with a checkpoint after every tenth."""

    def __init__(self) -> None:
        self.stretches: list[list[Input]] = []

    @property
    def is_full(self) -> bool:
        """Whether there are ten."""
        return len(self.stretches[-1]) >= 10

    def begin(self, checkpoint: list[Input]) -> None:
        """Begin a stretch."""
        self.stretches.append([])
        for one in checkpoint:
            self.record(one)

    def record(self, given: Input) -> None:
        """Keep an input."""
        self.stretches[-1].append(msgspec.msgpack.decode(msgspec.msgpack.encode(given), type=Input))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(
                [
                    "onset",
                    "update",
                    "end",
                    "advance",
                    "tick",
                    "acknowledge",
                    "pause",
                    "resume",
                    "rules",
                    "boot",
                ]
            ),
            st.sampled_from(_KINDS),
            st.integers(0, 40),
        ),
        max_size=40,
    )
)
def test_recorded_inputs_replay_to_the_same_alarms(steps: list[tuple[str, RhythmKind, int]]) -> None:
    """Whatever is taken in whatever order: its recording, written and read again, gives the same alarms."""
    recorder = Kept()
    machine = AlarmMachine(model="m", settings_hash="h")
    machine.record(recorder)
    told: list[Alarm] = []
    known, now = 3600, 10.0
    onsets = dict.fromkeys(_KINDS, 3600)
    for what, kind, seconds in steps:
        now += seconds
        known += round(seconds * RATE_HZ)
        if what == "onset":
            onsets[kind] = known
        if what in ("onset", "update", "end"):
            transition: EpisodeTransition = (
                "onset" if what == "onset" else "update" if what == "update" else "end"
            )
            beats = 6 if what == "update" else 3
            told += machine.event(
                WHOSE, event(kind, transition, onset=onsets[kind], known=known, beats=beats), now
            )
        elif what == "advance":
            told += machine.advance(WHOSE, known, now)
        elif what == "tick":
            told += machine.tick(now)
        elif what == "acknowledge":
            told += machine.acknowledge("t", "a", f"t.a.1.{kind}.{onsets[kind]}", "x", now)
        elif what in ("pause", "resume"):
            action: Literal["pause", "resume"] = "pause" if what == "pause" else "resume"
            machine.command(Command(action=action, team="t", by="x", at=now, seconds=9.0), now)
        elif what == "rules":
            machine.change_rules({kind: RuleChange(repeat_after_s=float(seconds))}, str(seconds), now)
        else:
            told += machine.end_boot("t", "a", 1, now)
    # Each stretch replays by itself, and together they are the whole story.
    assert [alarm for stretch in recorder.stretches for alarm in replay(stretch)] == told


def test_alarms_of_athletes_that_are_gone_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Athletes by the thousand, each with a latched alarm that is over: the newest are kept, one that goes on stays."""
    monkeypatch.setattr("monitor.alarms.MAX_UNWATCHED", 50)
    machine = AlarmMachine()
    machine.event(WHOSE, event("asystole"), 10.0)
    for number in range(200):
        whose = replace(WHOSE, athlete=f"b{number}")
        machine.event(whose, event("asystole"), 10.0)
        machine.end_boot("t", whose.athlete, 1, 11.0)
    assert len(machine.active("t", "a")) == 1
    assert sum(len(machine.active("t", f"b{number}")) for number in range(200)) == 49


@pytest.mark.parametrize("kind", ["ventricular_run", "polymorphic_run", "idioventricular_rhythm"])
@pytest.mark.parametrize(("named", "said"), [(2, "3 or more"), (3, "3 or more"), (7, "7 or more")])
def test_a_run_is_never_said_to_be_shorter_than_one(kind: RhythmKind, named: int, said: str) -> None:
    """A beat that was named otherwise and looks like the run is of it: two beats that were named V make no run."""
    assert CATALOGUE[kind].sentence(event(kind, beats=named)).startswith(said)


def test_what_comes_back_after_it_was_over_has_a_name_of_its_own() -> None:
    """An onset that bears the name of an alarm told as over is raised under another, which its end clears."""
    machine = AlarmMachine()
    kind: RhythmKind = "sustained_ventricular_tachycardia"
    first = machine.event(WHOSE, event(kind, known=15_000), 10.0)
    machine.event(WHOSE, event(kind, "end", known=15_300), 11.0)
    cleared = machine.advance(WHOSE, 16_100, 12.0)
    assert [alarm.transition for alarm in cleared] == ["cleared"]
    machine.acknowledge("t", "a", first[0].identity, "doctor", 12.0)
    machine.tick(500.0)
    moved = AlarmMachine()
    moved.import_athlete("t", "a", machine.export_athlete("t", "a"))
    for each in (machine, moved):
        (again,) = each.event(WHOSE, event(kind, known=16_200), 501.0)
        assert (again.transition, again.priority) == ("raised", "high")
        # Two onsets closer than this are one alarm to the server.
        assert again.episode - first[0].episode > SAME_EPISODE_S * RATE_HZ
        each.event(WHOSE, event(kind, "end", known=18_000), 502.0)
        over = each.advance(WHOSE, 40_000, 503.0)
        assert [a.identity for a in over if a.transition == "cleared"] == [again.identity]


def test_a_name_is_remembered_no_longer_than_it_matters() -> None:
    """A minute of samples after an alarm was over nothing is kept of it, and a reboot frees its name at once."""
    machine = AlarmMachine()
    (first,) = machine.event(WHOSE, event("asystole"), 10.0)
    machine.event(WHOSE, event("asystole", "end"), 11.0, for_good=True)
    machine.acknowledge("t", "a", first.identity, "doctor", 12.0)
    machine.advance(WHOSE, 3600 + round(70 * RATE_HZ), 80.0)
    machine.tick(80.0)
    assert not machine.concerns("t", "a")
    machine.event(WHOSE, event("asystole"), 90.0)
    machine.end_boot("t", "a", 1, 91.0)
    (again,) = machine.event(replace(WHOSE, boot=2), event("asystole"), 92.0)
    assert again.episode == 3600


@pytest.mark.parametrize("before", ["nothing", "told a moment ago", "an end that waits"])
def test_a_run_that_is_long_when_it_becomes_known_is_high_at_once(before: str) -> None:
    """Six fast beats at the onset are of high priority, whatever was told before and whatever is still to end."""
    rule = RuleChange(repeat_after_s=60.0)
    machine = AlarmMachine()
    machine.change_rules({"ventricular_run": rule}, "h", 0.0)
    if before != "nothing":
        machine.event(WHOSE, event("ventricular_run", onset=1000, known=1200, beats=3), 10.0)
        machine.event(WHOSE, event("ventricular_run", "end", onset=1000, known=1900, beats=3), 11.0)
    if before == "told a moment ago":
        machine.advance(WHOSE, 2900, 12.0)
    onset = 3000 if before == "told a moment ago" else 1950
    long = event("ventricular_run", onset=onset, known=onset + 600, beats=6)
    told = [alarm for alarm in machine.event(WHOSE, long, 13.0) if alarm.transition != "completed"]
    expected = "escalated" if before == "an end that waits" else "raised"
    assert [(alarm.transition, alarm.priority) for alarm in told] == [(expected, "high")]
    assert machine.event(WHOSE, event("ventricular_run", "end", onset=onset, known=onset + 800), 14.0) == []
    assert machine.active("t", "a")[0].priority == "high"


def test_a_clock_ahead_makes_no_pause_longer() -> None:
    """Somebody whose clock is an hour ahead has asked now, not in an hour."""
    machine = AlarmMachine()
    machine.command(Command(at=4700.0, by="c", team="t", athlete="a", action="pause", seconds=120.0), 1000.0)
    assert machine.pause_of("t", "a")[0] == 1120.0
    machine.tick(1121.0)
    assert machine.pause_of("t", "a") == (0.0, "", "")
