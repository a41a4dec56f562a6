"""The catalogue of alarms: what each kind means, how urgent it is, and what to do."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import isnan
from types import MappingProxyType
from typing import Final

from monitor.contract import AAMI_CLASSES, Priority, RhythmEvent, RhythmKind, TechnicalKind

Kind = RhythmKind | TechnicalKind

SUSTAINED_RUN_BEATS: Final = 6
TACHYCARDIC_RUN_BPM: Final = 100.0
_V: Final = AAMI_CLASSES.index("V")


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
    """

    priority: Priority
    technical: bool
    latched: bool
    action: str
    sentence: Callable[[RhythmEvent], str]


def _rate(event: RhythmEvent) -> str:
    return "" if isnan(event.rate_bpm) else f" at {event.rate_bpm:.0f} bpm"


def run_beats(event: RhythmEvent) -> int:
    """Return how many of an event's evidence beats are ventricular."""
    return sum(1 for _, label, _ in event.beats if label == _V)


def escalates(event: RhythmEvent) -> bool:
    """Whether a ventricular run has become long and fast enough to be of high priority."""
    return (
        event.kind == "ventricular_run"
        and run_beats(event) >= SUSTAINED_RUN_BEATS
        and event.rate_bpm >= TACHYCARDIC_RUN_BPM
    )


def _heart(
    priority: Priority, action: str, sentence: Callable[[RhythmEvent], str], *, latched: bool
) -> AlarmRule:
    return AlarmRule(priority=priority, technical=False, latched=latched, action=action, sentence=sentence)


def _strap(priority: Priority, action: str, text: str) -> AlarmRule:
    return AlarmRule(
        priority=priority, technical=True, latched=False, action=action, sentence=lambda _event: text
    )


CATALOGUE: Final[Mapping[Kind, AlarmRule]] = MappingProxyType(
    {
        "asystole": _heart(
            "high",
            "STOP and CALL: look at the athlete now, get the defibrillator",
            lambda e: f"No heartbeat for {e.duration_s:.0f} s with the strap on.",
            latched=True,
        ),
        "ventricular_run": _heart(
            "medium",
            "STOP the athlete, watch, call the physician",
            lambda e: f"{run_beats(e)} or more ventricular beats in a row{_rate(e)}.",
            latched=True,
        ),
        "ventricular_fibrillation": _heart(
            "high",
            "STOP and CALL: look at the athlete now, get the defibrillator",
            lambda e: f"Ventricular flutter or fibrillation suspected{_rate(e)}: no beats, a fast wide wave.",
            latched=True,
        ),
        "sustained_ventricular_tachycardia": _heart(
            "high",
            "STOP and CALL: look at the athlete now, get the defibrillator",
            lambda e: f"Ventricular beats in a row for {e.duration_s:.0f} s{_rate(e)}.",
            latched=True,
        ),
        "polymorphic_run": _heart(
            "medium",
            "STOP the athlete, watch, call the physician",
            lambda e: f"{run_beats(e)} or more ventricular beats in a row, of changing shape{_rate(e)}.",
            latched=True,
        ),
        "long_pause": _heart(
            "medium",
            "STOP the athlete, ask how they feel",
            lambda e: f"No heartbeat for {e.duration_s:.1f} s.",
            latched=True,
        ),
        "pause": _heart(
            "medium",
            "STOP the athlete, ask how they feel",
            lambda e: f"No heartbeat for {e.duration_s:.1f} s.",
            latched=True,
        ),
        "tachycardia": _heart(
            "medium",
            "STOP the athlete, let the rate come down",
            lambda e: f"Heart rate above the athlete's limit{_rate(e)}.",
            latched=False,
        ),
        "bradycardia": _heart(
            "medium",
            "Ask the athlete how they feel",
            lambda e: f"Heart rate below the athlete's limit{_rate(e)}.",
            latched=False,
        ),
        "ventricular_couplet": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Two ventricular beats in a row{_rate(e)}.",
            latched=False,
        ),
        "bigeminy": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Every second beat is ventricular{_rate(e)}.",
            latched=False,
        ),
        "idioventricular_rhythm": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"{run_beats(e)} or more slow ventricular beats in a row{_rate(e)}.",
            latched=False,
        ),
        "r_on_t": _heart(
            "low",
            "Watch closely; tell the physician",
            lambda _e: "A ventricular beat fell on the T wave of the beat before.",
            latched=False,
        ),
        "trigeminy": _heart(
            "low",
            "Watch; tell the physician after training",
            lambda e: f"Every third beat is ventricular{_rate(e)}.",
            latched=False,
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
        ),
        "supraventricular_run": _heart(
            "information",
            "Tell the physician after training",
            lambda e: f"Premature supraventricular beats in a row{_rate(e)}.",
            latched=False,
        ),
        "isolated_ventricular": _heart(
            "information",
            "Nothing now; it is counted",
            lambda _e: "Single ventricular beats.",
            latched=False,
        ),
        "possible_ventricular_run": _heart(
            "information",
            "Nothing now; the physician reviews it after training",
            lambda e: f"Perhaps ventricular beats in a row{_rate(e)}; not sure enough for an alarm.",
            latched=False,
        ),
        "rate_above_maximum": _heart(
            "medium",
            "STOP the athlete, let the rate come down",
            lambda e: f"Heart rate above the athlete's maximum{_rate(e)}.",
            latched=False,
        ),
        "lead_off": _strap(
            "medium", "CHECK STRAP: moisten and tighten", "The strap has lost contact with the skin."
        ),
        "flat": _strap("medium", "CHECK STRAP and the athlete", "The signal stands still."),
        "railed": _strap("medium", "CHECK STRAP: dry off, reseat", "The signal is at the end of its range."),
        "noisy": _strap("low", "CHECK STRAP when there is time", "The signal is too noisy to be trusted."),
        "strap_silent": _strap(
            "medium", "CHECK STRAP: battery, range", "No packet has come from the strap for a while."
        ),
        "packet_loss": _strap(
            "low", "CHECK STRAP: range, radio", "Many of the strap's packets do not arrive."
        ),
        "battery_low": _strap("low", "CHARGE STRAP before the next session", "The strap's battery is low."),
        "monitor_overloaded": _strap(
            "medium", "CHECK MONITOR: fewer athletes or more cores", "The monitor does not keep up."
        ),
        "redis_unreachable": _strap(
            "medium", "CHECK SERVER: alarms wait on the monitor's disk", "Redis cannot be reached."
        ),
    }
)
