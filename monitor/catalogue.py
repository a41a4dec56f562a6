"""The catalogue of alarms: what each kind means, how urgent it is, when it is told and over, and what to do.

Delays of the condition (`AlarmRule.onset_delay_s`, `clear_delay_s`, `repeat_after_s`) run on the sample clock; what
concerns people (`display_s`, `answer_within_s`) runs in real time.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isnan
from types import MappingProxyType
from typing import Final

import msgspec

from monitor.contract import (
    PRIORITIES,
    Priority,
    RhythmEvent,
    RhythmKind,
    TechnicalKind,
)

Kind = RhythmKind | TechnicalKind

SUSTAINED_RUN_BEATS: Final = 6
_LEAST_RUN: Final = 3
TACHYCARDIC_RUN_BPM: Final = 100.0


@dataclass(frozen=True, kw_only=True)
class AlarmRule:
    """How one kind of event becomes an alarm.

    Attributes
    ----------
    priority : str
        See `monitor.contract.PRIORITIES`.
    technical : bool
        True if it is about the strap, not the heart.
    latched : bool
        It stays on screen after its condition is over until somebody acknowledges it.
    action : str
        What to do.
    sentence : callable
        Says what was seen, in one plain sentence.
    onset_delay_s : float
        Seconds of samples for which the condition must go on after its onset is known before it is told; what ends
        before that is no alarm. It comes on top of what the condition itself needs.
    clear_delay_s : float
        Hysteresis: seconds of samples for which the condition must stay away before the alarm is over; if it comes
        back sooner, the alarm goes on.
    repeat_after_s : float
        Repeat suppression: a condition that comes back within this many seconds of samples after the alarm was over is
        told only once it has lasted until then; what ends sooner is counted with the alarm before.
    display_s : float
        Minimum display time: seconds for which an alarm stays listed after it was raised, though it be over.
    answer_within_s : float or None
        Seconds after which an alarm that nobody has acknowledged is told as unanswered and leaves the building; None:
        never.
    """

    priority: Priority
    technical: bool
    latched: bool
    action: str
    sentence: Callable[[RhythmEvent], str]
    onset_delay_s: float = 0.0
    clear_delay_s: float = 2.0
    repeat_after_s: float = 0.0
    display_s: float = 30.0
    answer_within_s: float | None = None


class RuleChange(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody has set otherwise than the catalogue for one kind; None leaves it as it is.

    Attributes
    ----------
    priority, latched, onset_delay_s, clear_delay_s, repeat_after_s, display_s, answer_within_s
        See `AlarmRule`; an `answer_within_s` of 0 means never.
    """

    priority: Priority | None = None
    latched: bool | None = None
    onset_delay_s: float | None = None
    clear_delay_s: float | None = None
    repeat_after_s: float | None = None
    display_s: float | None = None
    answer_within_s: float | None = None


def changed_rules(changes: Mapping[Kind, RuleChange]) -> Mapping[Kind, AlarmRule]:
    """Return the catalogue as somebody has set it.

    Raises
    ------
    KeyError
        If there is no such kind.
    """
    rules = dict(CATALOGUE)
    for kind, change in changes.items():
        given = {name: value for name, value in msgspec.structs.asdict(change).items() if value is not None}
        if given.get("answer_within_s") == 0:
            given["answer_within_s"] = None
        elif "priority" in given and "answer_within_s" not in given and not rules[kind].technical:
            given["answer_within_s"] = _ANSWER_WITHIN_S[given["priority"]]
        rules[kind] = replace(rules[kind], **given)
    return MappingProxyType(rules)


def _rate(event: RhythmEvent) -> str:
    return "" if isnan(event.rate_bpm) else f" at {event.rate_bpm:.0f} bpm"


def run_of(event: RhythmEvent) -> list[int]:
    """Return the R peaks of a run's beats, as far as they are evidence; none of its end, which tells beats after it.

    Whatever they are called, all beats from the onset of a run on are of it.
    """
    return [] if event.transition == "end" else [r for r, _, _ in event.beats if r >= event.onset_sample]


def _in_a_row(event: RhythmEvent) -> str:
    return f"{max(len(run_of(event)), _LEAST_RUN)} or more"


def escalates(event: RhythmEvent) -> bool:
    """Whether a ventricular run has become long and fast enough to be of high priority."""
    return (
        event.kind == "ventricular_run"
        and len(run_of(event)) >= SUSTAINED_RUN_BEATS
        and event.rate_bpm >= TACHYCARDIC_RUN_BPM
    )


def answer_within_s(rule: AlarmRule, priority: Priority) -> float | None:
    """Return within how many seconds an alarm wants an answer that has a priority of its own; None: never.

    One that has risen above the priority of its rule waits no longer than others of that priority.
    """
    if PRIORITIES.index(priority) >= PRIORITIES.index(rule.priority):
        return rule.answer_within_s
    given = [seconds for seconds in (rule.answer_within_s, _ANSWER_WITHIN_S[priority]) if seconds is not None]
    return min(given, default=None)


_ANSWER_WITHIN_S: Final[Mapping[Priority, float | None]] = MappingProxyType(
    {"high": 60.0, "medium": 180.0, "low": None, "information": None}
)


def _heart(
    priority: Priority,
    action: str,
    sentence: Callable[[RhythmEvent], str],
    *,
    latched: bool,
    onset_delay_s: float = 0.0,
    clear_delay_s: float = 2.0,
    repeat_after_s: float = 0.0,
) -> AlarmRule:
    return AlarmRule(
        priority=priority,
        technical=False,
        latched=latched,
        action=action,
        sentence=sentence,
        onset_delay_s=onset_delay_s,
        clear_delay_s=clear_delay_s,
        repeat_after_s=repeat_after_s,
        answer_within_s=_ANSWER_WITHIN_S[priority],
    )


def _strap(
    priority: Priority,
    action: str,
    text: str,
    *,
    onset_delay_s: float = 0.0,
    clear_delay_s: float = 2.0,
    repeat_after_s: float = 20.0,
) -> AlarmRule:
    return AlarmRule(
        priority=priority,
        technical=True,
        latched=False,
        action=action,
        sentence=lambda _event: text,
        onset_delay_s=onset_delay_s,
        clear_delay_s=clear_delay_s,
        repeat_after_s=repeat_after_s,
    )


CATALOGUE: Final[Mapping[Kind, AlarmRule]] = MappingProxyType(
    {
        "asystole": _heart(
            "high",
            "STOP and CALL, get the defibrillator: look at the athlete now",
            lambda e: f"No heartbeat for {e.duration_s:.0f} s with the strap on.",
            latched=True,
        ),
        "ventricular_run": _heart(
            "medium",
            "STOP the athlete, watch, call the physician",
            lambda e: f"{_in_a_row(e)} ventricular beats in a row{_rate(e)}.",
            latched=True,
        ),
        "ventricular_fibrillation": _heart(
            "high",
            "STOP and CALL, get the defibrillator: look at the athlete now",
            lambda e: f"Ventricular flutter or fibrillation suspected{_rate(e)}: no beats, a fast wide wave.",
            latched=True,
        ),
        "sustained_ventricular_tachycardia": _heart(
            "high",
            "STOP and CALL, get the defibrillator: look at the athlete now",
            lambda e: f"Ventricular beats in a row for {e.duration_s:.0f} s{_rate(e)}.",
            latched=True,
        ),
        "polymorphic_run": _heart(
            "medium",
            "STOP the athlete, watch, call the physician",
            lambda e: f"{_in_a_row(e)} ventricular beats in a row, of changing shape{_rate(e)}.",
            latched=True,
        ),
        "long_pause": _heart(
            "medium",
            "STOP the athlete, ask how they feel",
            lambda e: f"No heartbeat for {e.duration_s:.1f} s.",
            latched=True,
        ),
        "pause": _heart(
            "low",
            "Ask the athlete how they feel",
            lambda e: f"No heartbeat for {e.duration_s:.1f} s.",
            latched=True,
        ),
        "tachycardia": _heart(
            "medium",
            "STOP the athlete, let the rate come down",
            lambda e: f"Heart rate above the athlete's limit{_rate(e)}.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "bradycardia": _heart(
            "medium",
            "Ask the athlete how they feel",
            lambda e: f"Heart rate below the athlete's limit{_rate(e)}.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "ventricular_couplet": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Two ventricular beats in a row{_rate(e)}.",
            latched=False,
            repeat_after_s=60.0,
        ),
        "bigeminy": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Every second beat is ventricular{_rate(e)}.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "idioventricular_rhythm": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"{_in_a_row(e)} slow ventricular beats in a row{_rate(e)}.",
            latched=False,
            repeat_after_s=60.0,
        ),
        "r_on_t": _heart(
            "low",
            "Watch closely; tell the physician",
            lambda _e: "A ventricular beat fell on the T wave of the beat before.",
            latched=False,
            repeat_after_s=60.0,
        ),
        "trigeminy": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Every third beat is ventricular{_rate(e)}.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "ventricular_burden_rising": _heart(
            "medium",
            "STOP the athlete, tell the physician",
            lambda _e: "Ventricular beats become more frequent with effort.",
            latched=True,
        ),
        "atrial_fibrillation": _heart(
            "medium",
            "STOP the athlete, tell the physician",
            lambda e: f"The rhythm is irregular as in atrial fibrillation{_rate(e)}.",
            latched=True,
            clear_delay_s=10.0,
            repeat_after_s=120.0,
        ),
        "supraventricular_run": _heart(
            "information",
            "Tell the physician after training",
            lambda e: f"Premature supraventricular beats in a row{_rate(e)}.",
            latched=False,
            repeat_after_s=60.0,
        ),
        "isolated_ventricular": _heart(
            "information",
            "Nothing now; it is counted",
            lambda _e: "Single ventricular beats.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "possible_ventricular_run": _heart(
            "information",
            "Nothing now; the physician reviews it after training",
            lambda e: f"Perhaps ventricular beats in a row{_rate(e)}; not sure enough for an alarm.",
            latched=False,
            repeat_after_s=60.0,
        ),
        "rate_above_maximum": _heart(
            "medium",
            "STOP the athlete, let the rate come down",
            lambda e: f"Heart rate above the athlete's maximum{_rate(e)}.",
            latched=False,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        "lead_off": _strap(
            "medium", "CHECK STRAP: moisten and tighten", "The strap has lost contact with the skin."
        ),
        "flat": _strap("medium", "CHECK STRAP and the athlete", "The signal stands still."),
        "railed": _strap("medium", "CHECK STRAP: dry off, reseat", "The signal is at the end of its range."),
        "noisy": _strap(
            "low",
            "CHECK STRAP when there is time",
            "The signal is too noisy to be trusted.",
            onset_delay_s=3.0,
            clear_delay_s=5.0,
            repeat_after_s=60.0,
        ),
        # Its samples stand still, so nothing on the sample clock can hold it back.
        "strap_silent": _strap(
            "medium",
            "CHECK STRAP: battery, range",
            "No packet has come from the strap for a while.",
            repeat_after_s=0.0,
        ),
        # Raised by the watchdog at the receiver, which needs no monitor for it.
        "monitoring_lost": AlarmRule(
            priority="high",
            technical=True,
            latched=False,
            action="NOBODY WATCHES: look after the athletes, see to the monitor",
            sentence=lambda e: f"Nothing has been heard of the monitor for {e.duration_s:.0f} s.",
        ),
        # Travels the whole way of an alarm, so that its absence shows when the way is broken.
        "canary": AlarmRule(
            priority="information",
            technical=True,
            latched=False,
            action="Nothing: a test alarm that shows that alarms arrive",
            sentence=lambda _event: "Alarms can travel.",
            clear_delay_s=0.0,
            display_s=0.0,
        ),
        "packet_loss": _strap(
            "low",
            "CHECK STRAP: range, radio",
            "Many of the strap's packets do not arrive.",
            clear_delay_s=10.0,
            repeat_after_s=120.0,
        ),
        "battery_low": _strap(
            "low",
            "CHARGE STRAP before the next session",
            "The strap's battery is low.",
            repeat_after_s=3600.0,
        ),
        "monitor_overloaded": _strap(
            "medium", "CHECK MONITOR: fewer athletes or more cores", "The monitor does not keep up."
        ),
        "redis_unreachable": _strap(
            "medium", "CHECK SERVER: alarms wait on the monitor's disk", "Redis cannot be reached."
        ),
    }
)
