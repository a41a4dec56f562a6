"""Events of the truth and the alarms that belong to them: found, missed, explained, or false.

The truth's episodes come from `simulators.episodes`, exact for synthetic athletes; troubles that the strap has bring
technical alarms of their own; and a scenario names what else it expects.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Final, Literal, cast

import numpy as np

from monitor.catalogue import CATALOGUE, Kind
from monitor.contract import AAMI_CLASSES, Alarm
from monitor.filters import SETTLING_S
from monitor.link_health import BATTERY_LOW
from monitor.quality import EVENT_AFTER_S
from monitor.rpeaks import LEARNING_S, MAX_DELAY_S
from monitor.watch import SILENT_AFTER_S
from simulators.body import Touched
from simulators.ledger import TroubleKind
from simulators.scenario import Scenario
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.verdict_hidden import LOSSES, Hidden

Status = Literal["found", "missed", "explained", "false", "optional"]

NEAR_S: Final = 2.5
"""How far from a true episode's ends an alarm's onset may lie: two onsets within 2 s are one episode."""
AFTER_S: Final = 12.0
"""How long after a trouble began or ended a technical alarm may still be about it."""

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
_OF_TROUBLE: Final[dict[TroubleKind, frozenset[str]]] = {
    "lead_off": frozenset({"lead_off"}),
    "saturation": frozenset({"railed", "flat"}),
    "contact_lost": frozenset({"flat", "noisy", "railed", "lead_off"}),
    "noise": frozenset({"noisy"}),
    "dropout": frozenset({"strap_silent", "packet_loss"}),
    "dropout_lost": frozenset({"strap_silent", "packet_loss"}),
    "samples_skipped": frozenset({"packet_loss", "strap_silent"}),
    "battery_empty": frozenset({"strap_silent"}),
    "reboot": frozenset({"strap_silent"}),
}
"""Technical alarms that a trouble may bring."""
_WITHOUT_A_HEART: Final = frozenset({"pause", "long_pause", "asystole", "bradycardia"})
"""What a monitor must say where the signal holds no heartbeat, though only the strap is to blame: asystole must never
hide behind a veto."""
_RATE_BEATS: Final = 8
"""Intervals over which a rate is told."""
_SILENCE: Final = frozenset({"dropout", "dropout_lost"})
_V: Final = AAMI_CLASSES.index("V")


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened or was told.

    Attributes
    ----------
    kind : str
        Of a true episode its kind, of a trouble or an expectation that of the alarm, of a false alarm its kind.
    athlete : str
        Whose.
    at_s, end_s : float
        From when to when, in seconds of the session.
    status : str
        ``"found"``, ``"missed"``, ``"explained"``, ``"optional"`` (may come, did not) or ``"false"``.
    why : str
        The cause that explains it, the trouble behind it, or where it comes from.
    alarm : str
        The alarm that found it: its identity; empty if none.
    delay_s : float or None
        From its onset to the alarm's entry, in seconds of the session.
    """

    kind: str
    athlete: str
    at_s: float
    end_s: float
    status: Status
    why: str = ""
    alarm: str = ""
    delay_s: float | None = None


@dataclass(slots=True, eq=False)
class _Raised:
    alarm: Alarm
    entered_at: float
    life: Life
    start_at: float
    right: bool = field(default=False)

    @property
    def at_s(self) -> float:
        return self.life.session_s(self.alarm.episode)

    def delay_s(self, since_s: float) -> float:
        """Return seconds of session from `since_s` to the alarm's entry."""
        return (self.entered_at - self.start_at) * self.life.strap.speed - since_s


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
        events += _troubles(
            life, [alarm for alarm in raised if alarm.life.strap.athlete == life.strap.athlete]
        )
        _allow_beats_and_rates(life, own)
        _allow_losses(stretches, own)
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


def _raised_alarms(lives: list[Life], seen: Seen) -> list[_Raised]:
    found = []
    for entered_at, alarm in seen.alarms:
        if alarm.transition != "raised":
            continue
        for life, start_at in zip(lives, seen.start_at, strict=True):
            if (life.strap.athlete, life.strap.boot) == (alarm.athlete, alarm.boot):
                found.append(_Raised(alarm, entered_at, life, start_at))
    return found


def _episodes(life: Life, hidden: list[Hidden], raised: list[_Raised]) -> Iterator[Event]:
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
        finder: _Raised | None = None
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
        yield _settled(event, finder, cause)


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


def _troubles(life: Life, raised: list[_Raised]) -> Iterator[Event]:
    """Yield the technical alarms that troubles call for, and what became of them."""
    for alarm in raised:
        charge = life.strap.charge(alarm.at_s / life.strap.speed)
        if alarm.alarm.kind == "battery_low" and charge is not None and charge <= BATTERY_LOW:
            alarm.right = True
    for touched in life.troubles:
        at_s, end_s = life.session_s(touched.first_sample), life.session_s(touched.end_sample)
        kinds = _OF_TROUBLE.get(touched.trouble, frozenset())
        if touched.trouble in {"saturation", "contact_lost"} and touched.hides:
            kinds |= _WITHOUT_A_HEART
        wanted = _called_for(life, touched.trouble, end_s - at_s, touched)
        finder: _Raised | None = None
        for alarm in raised:
            if alarm.alarm.kind in kinds and at_s - NEAR_S <= alarm.at_s <= end_s + AFTER_S:
                alarm.right = True
                if alarm.alarm.technical:
                    finder = finder or alarm
        if wanted is None:
            continue
        event = Event(
            kind=wanted,
            athlete=life.strap.athlete,
            at_s=at_s,
            end_s=end_s,
            status="missed",
            why=touched.trouble,
        )
        yield _settled(event, finder, None)


def _called_for(life: Life, trouble: TroubleKind, length_s: float, touched: Touched) -> str | None:
    """Return the alarm that a trouble of this length has to bring, or None."""
    hides = touched.hides and not touched.detail.get("floating_mv")
    wanted: str | None = None
    packet_s = life.strap.packet_s
    if trouble == "lead_off" and length_s >= packet_s:
        wanted = "lead_off"
    elif trouble == "saturation" and hides and length_s >= EVENT_AFTER_S["railed"] + 2 * packet_s:
        wanted = "railed"
    elif trouble == "contact_lost" and hides and length_s >= EVENT_AFTER_S["flat"] + 1.0 + 2 * packet_s:
        wanted = "flat"
    elif (
        trouble in _SILENCE and length_s / life.strap.speed >= SILENT_AFTER_S + 1.0
    ) or trouble == "battery_empty":
        wanted = "strap_silent"
    return wanted


def _expected(scenario: Scenario, raised: list[_Raised]) -> Iterator[Event]:
    for expected in scenario.expect:
        finder: _Raised | None = None
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
        yield _settled(event, finder, None)


def _settled(event: Event, finder: _Raised | None, cause: str | None) -> Event:
    if finder is not None:
        delay_s = round(finder.delay_s(event.at_s), 3)
        return replace(event, status="found", alarm=finder.alarm.identity, delay_s=delay_s)
    if cause is not None:
        return replace(event, status="explained", why=cause)
    return event


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


def _allow_beats_and_rates(life: Life, raised: list[_Raised]) -> None:
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


def _allow_losses(hidden: list[Hidden], raised: list[_Raised]) -> None:
    """Accept the word that packets are being lost where they are."""
    for alarm in raised:
        if alarm.alarm.kind == "packet_loss":
            alarm.right |= any(
                first <= alarm.alarm.known_sample and cause in LOSSES for first, _, cause in hidden
            )


def _allow_outages(scenario: Scenario, raised: list[_Raised]) -> None:
    """Accept the word that straps are silent while the broker is away."""
    for alarm in raised:
        if alarm.alarm.kind == "strap_silent":
            alarm.right |= any(
                outage.at_s - NEAR_S <= alarm.at_s <= outage.at_s + outage.away_s + AFTER_S
                for outage in scenario.outage
            )


def _false(raised: _Raised) -> Event:
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
