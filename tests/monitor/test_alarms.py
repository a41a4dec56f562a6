"""The life of an alarm, as a pure machine."""

import numpy as np
import pytest

from monitor.alarms import COMPLETE_AFTER_S, DISPLAY_S, MAX_LATCHED, SAME_EPISODE_S, AlarmMachine, Whose
from monitor.catalogue import CATALOGUE
from monitor.contract import AAMI_CLASSES, EpisodeTransition, RhythmEvent, RhythmKind, TechnicalKind

RATE_HZ = 360.0
V = AAMI_CLASSES.index("V")
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
    """An onset raises, a second onset of the same episode adds nothing, the end clears; both say what to do."""
    machine = AlarmMachine(model="m", settings_hash="h")
    raised = machine.event(WHOSE, event(kind), 10.0)
    assert [alarm.transition for alarm in raised] == ["raised"]
    assert raised[0].identity == f"t.a.1.{kind}.3600"
    assert raised[0].message
    assert raised[0].action
    assert raised[0].onset_at == 1010.0
    assert machine.event(WHOSE, event(kind), 10.1) == []
    assert [alarm.transition for alarm in machine.event(WHOSE, event(kind, "end"), 11.0)] == ["cleared"]
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
    machine.tick(10.0 + DISPLAY_S - 0.1)
    assert len(machine.active("t", "a")) == 1
    machine.tick(10.0 + DISPLAY_S)
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


def test_escalation_asks_for_attention_again() -> None:
    """Somebody who acknowledged three beats in a row has not seen the sixth."""
    machine = AlarmMachine()
    machine.event(WHOSE, event("ventricular_run", beats=3), 10.0)
    machine.acknowledge("t", "a", "t.a.1.ventricular_run.3600", "x", 10.2)
    machine.event(WHOSE, event("ventricular_run", "update", beats=6), 11.0)
    (active,) = machine.active("t", "a")
    assert (active.priority, active.acknowledged_by) == ("high", "")
    assert len(machine.acknowledge("t", "a", "t.a.1.ventricular_run.3600", "y", 12.0)) == 1


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
        machine.event(WHOSE, event("ventricular_couplet", onset=10_000 + 999 * k), 2.0 + 0.001 * k)
        machine.event(WHOSE, event("ventricular_couplet", "end", onset=10_000 + 999 * k), 2.0 + 0.001 * k)
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
    over = machine.event(WHOSE, event("lead_off", "end", onset=3600 + reach, known=100_000), 12.0)
    assert [(alarm.identity, alarm.transition) for alarm in over] == [("t.a.1.lead_off.3600", "cleared")]


def test_a_short_episode_is_over_once_no_other_can_be_the_same() -> None:
    """An end within two seconds of the onset is told when the samples have gone on for two seconds."""
    machine = AlarmMachine()
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
    assert machine.acknowledge("t", "a", "t.a.1.asystole.4321", "x", 11.0) == []
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
