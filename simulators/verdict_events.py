"""Events of the truth and the alarms that belong to them: found, missed, explained, or false.

The truth's episodes come from `simulators.episodes`, exact for synthetic athletes; troubles that the strap has bring
technical alarms of their own; and a scenario names what else it expects.
"""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final, cast

import numpy as np

from monitor.catalogue import CATALOGUE, Kind
from monitor.contract import AAMI_CLASSES
from monitor.filters import SETTLING_S
from monitor.rpeaks import LEARNING_S, MAX_DELAY_S
from simulators.scenario import Scenario
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.verdict_hidden import Hidden
from simulators.verdict_raised import NEAR_S, Event, Raised, settled
from simulators.verdict_troubles import AFTER_S, loss_events, trouble_events

_RUNS: Final = frozenset(
    {
        "ventricular_run",
        "sustained_ventricular_tachycardia",
        "polymorphic_run",
        "idioventricular_rhythm",
        "ventricular_fibrillation",
    }
)
_FOUND_BY: Final[dict[str, frozenset[str]]] = {
    "pause": frozenset({"pause", "long_pause", "asystole"}),
    "asystole": frozenset({"asystole"}),
    "ventricular_run": _RUNS,
    "ventricular_couplet": _RUNS | {"ventricular_couplet"},
    "supraventricular_run": frozenset({"supraventricular_run", "atrial_fibrillation"}),
    "bigeminy": frozenset({"bigeminy"}),
    "trigeminy": frozenset({"trigeminy"}),
    "atrial_fibrillation": frozenset({"atrial_fibrillation"}),
    "atrial_flutter": frozenset({"atrial_fibrillation"}),
    "ventricular_fibrillation": _RUNS | {"asystole"},
}
"""Alarms that find a true episode."""
_ALSO_RIGHT: Final[dict[str, frozenset[str]]] = {
    "ventricular_run": frozenset(
        {"possible_ventricular_run", "ventricular_couplet", "tachycardia", "r_on_t"}
    ),
    "ventricular_fibrillation": frozenset({"pause", "long_pause", "tachycardia", "possible_ventricular_run"}),
    "asystole": frozenset({"pause", "long_pause"}),
    "atrial_fibrillation": frozenset({"supraventricular_run", "tachycardia", "rate_above_maximum"}),
    "atrial_flutter": frozenset({"supraventricular_run", "tachycardia", "rate_above_maximum"}),
    "supraventricular_run": frozenset({"tachycardia", "rate_above_maximum"}),
}
"""Alarms that say something true about an episode, though they do not find it."""
_OF_V_BEATS: Final = frozenset({"isolated_ventricular", "r_on_t", "ventricular_burden_rising"})
_OF_RATE: Final = frozenset({"tachycardia", "bradycardia", "rate_above_maximum"})
_RATE_BEATS: Final = 8
"""Intervals over which a rate is told."""
_V: Final = AAMI_CLASSES.index("V")


def alarm_events(
    scenario: Scenario, lives: list[Life], hidden: list[list[Hidden]], seen: Seen
) -> tuple[list[Event], list[Event], list[float]]:
    """Return the events of the truth with what became of them, the false alarms, and the alarms' latencies.

    Parameters
    ----------
    scenario : Scenario
        What is expected.
    lives : list of Life
        Who sent what.
    hidden : list of list of (int, int, str)
        Where nobody could see, for each life.
    seen : Seen
        What was seen.
    """
    raised = _raised_alarms(lives, seen)
    events: list[Event] = []
    for life, stretches in zip(lives, hidden, strict=True):
        own = [alarm for alarm in raised if alarm.life is life]
        events += _episodes(life, stretches, own)
        events += trouble_events(
            life, stretches, [alarm for alarm in raised if alarm.life.strap.athlete == life.strap.athlete]
        )
        events += loss_events(life, stretches, own)
        _allow_beats_and_rates(life, own)
    events += _expected(scenario, raised)
    _allow_outages(scenario, raised)
    events.sort(key=lambda event: (event.at_s, event.athlete))
    events = _by_the_catalogue(events)
    false = [_false(alarm) for alarm in raised if not alarm.right]
    latency_s = [
        alarm.entered_at - alarm.start_at - alarm.life.strap.schedule_s(alarm.alarm.known_sample + 1)
        for alarm in raised
        if not alarm.alarm.technical
    ]
    return events, false, latency_s


def _raised_alarms(lives: list[Life], seen: Seen) -> list[Raised]:
    found = []
    for entered_at, alarm in seen.alarms:
        if alarm.transition != "raised":
            continue
        for life, start_at in zip(lives, seen.start_at, strict=True):
            if (life.strap.athlete, life.strap.boot) == (alarm.athlete, alarm.boot):
                found.append(Raised(alarm, entered_at, life, start_at))
    return found


def _episodes(life: Life, hidden: list[Hidden], raised: list[Raised]) -> Iterator[Event]:
    """Yield what became of the true episodes; asystole is not asked for a second time as a pause."""
    if life.truth is None:
        return
    episodes = life.truth.episodes()
    asystoles = {episode.onset_sample for episode in episodes if episode.kind == "asystole"}
    for episode in episodes:
        if episode.kind == "pause" and episode.onset_sample in asystoles:
            continue
        near = round(NEAR_S * life.rate_hz)
        first, end = episode.onset_sample - near, episode.end_sample + near
        finding, right = _FOUND_BY[episode.kind], _ALSO_RIGHT.get(episode.kind, frozenset())
        finder: Raised | None = None
        for alarm in raised:
            if first <= alarm.alarm.episode < end:
                if alarm.alarm.kind in finding:
                    alarm.right = True
                    finder = finder or alarm
                elif alarm.alarm.kind in right:
                    alarm.right = True
        event = Event(
            kind=episode.kind,
            athlete=life.strap.athlete,
            at_s=life.session_s(episode.onset_sample),
            end_s=life.session_s(episode.end_sample),
            status="missed",
            why="truth",
        )
        cause = _hidden_by(life, episode.onset_sample, episode.end_sample, hidden)
        yield settled(event, finder, cause)


def _hidden_by(life: Life, onset: int, end: int, hidden: list[Hidden]) -> str | None:
    """Return what kept an episode from being seen whole."""
    settling, margin = round(SETTLING_S * life.rate_hz), round(MAX_DELAY_S * life.rate_hz)
    for first, after, cause in hidden:
        if first - margin < end and after + settling > onset:
            return cause
    if onset < round((LEARNING_S + MAX_DELAY_S) * life.rate_hz):
        return "settling"
    if end > life.end_sample - round(life.rate_hz):
        return "end of signal"
    return None


def _expected(scenario: Scenario, raised: list[Raised]) -> Iterator[Event]:
    for expected in scenario.expect:
        finder: Raised | None = None
        for alarm in raised:
            near = expected.at_s - NEAR_S <= alarm.at_s <= expected.at_s + expected.within_s
            if near and (alarm.alarm.athlete, alarm.alarm.kind) == (expected.athlete, expected.alarm):
                alarm.right = True
                finder = finder or alarm
        event = Event(
            kind=expected.alarm,
            athlete=expected.athlete,
            at_s=expected.at_s,
            end_s=expected.at_s + expected.within_s,
            status="optional" if expected.optional else "missed",
            why="expected",
        )
        yield settled(event, finder, None)


def _by_the_catalogue(events: list[Event]) -> list[Event]:
    """Explain what the catalogue says is not told: what is too short for its delay, and what comes back too soon."""
    explained: list[Event] = []
    told_until: dict[tuple[str, str], float] = {}
    for event in events:
        rule = CATALOGUE.get(cast("Kind", event.kind))
        if rule is not None:
            again_s = told_until.get((event.athlete, event.kind), -np.inf)
            if event.status == "missed" and event.why != "expected":
                if event.end_s - event.at_s < rule.onset_delay_s:
                    event = replace(event, status="explained", why="shorter than its delay")  # noqa: PLW2901 - settled here
                elif event.end_s <= again_s:
                    event = replace(event, status="explained", why="repeat")  # noqa: PLW2901 - settled here
            if event.status == "found" or event.why == "repeat":
                until_s = event.end_s + rule.clear_delay_s + rule.repeat_after_s + NEAR_S
                told_until[event.athlete, event.kind] = max(again_s, until_s)
        explained.append(event)
    return explained


def _allow_beats_and_rates(life: Life, raised: list[Raised]) -> None:
    """Accept alarms about single ventricular beats and about the rate where the truth says the same."""
    truth = life.truth
    if truth is None:
        return
    near = round(NEAR_S * life.rate_hz)
    ventricular = truth.r_samples[truth.classes == _V]
    for alarm in raised:
        onset, kind = alarm.alarm.episode, alarm.alarm.kind
        if kind in _OF_V_BEATS:
            before = ventricular[ventricular <= alarm.alarm.known_sample + near]
            alarm.right |= bool(len(before)) and (
                kind == "ventricular_burden_rising" or bool(np.abs(ventricular - onset).min() <= near)
            )
        elif kind in _OF_RATE:
            first = int(np.searchsorted(truth.r_samples, onset - near))
            after = int(np.searchsorted(truth.r_samples, alarm.alarm.known_sample + near))
            beats = truth.r_samples[max(first - _RATE_BEATS, 0) : after]
            if len(beats) > _RATE_BEATS:
                rates = 60.0 * life.rate_hz * _RATE_BEATS / (beats[_RATE_BEATS:] - beats[:-_RATE_BEATS])
                told = alarm.alarm.rate_bpm
                alarm.right |= told is not None and bool(np.abs(rates - told).min() <= 0.1 * told)


def _allow_outages(scenario: Scenario, raised: list[Raised]) -> None:
    """Accept the word that straps are silent while the broker is away."""
    for alarm in raised:
        if alarm.alarm.kind == "strap_silent":
            alarm.right |= any(
                outage.at_s - NEAR_S <= alarm.at_s <= outage.at_s + outage.away_s + AFTER_S
                for outage in scenario.outage
            )


def _false(raised: Raised) -> Event:
    alarm = raised.alarm
    return Event(
        kind=alarm.kind,
        athlete=alarm.athlete,
        at_s=raised.at_s,
        end_s=raised.life.session_s(alarm.known_sample),
        status="false",
        why=f"{CATALOGUE[alarm.kind].priority} priority",
        alarm=alarm.identity,
        delay_s=round(raised.delay_s(raised.at_s), 3),
    )
