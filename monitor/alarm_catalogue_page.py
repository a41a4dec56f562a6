"""The catalogue of alarms as ``docs/alarms.md``; ``python -m monitor.alarm_catalogue_page`` writes it anew.

What an alarm means, its priority, delays and what to do come from `monitor.catalogue`, limits from the modules that
find it, measured figures from the report of ``make alarms-report``, if there is one.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, get_args

from monitor import link_health, quality
from monitor.catalogue import CATALOGUE, SUSTAINED_RUN_BEATS, TACHYCARDIC_RUN_BPM, AlarmRule, Kind
from monitor.contract import TRUSTED_QUALITY, RhythmEvent, RhythmKind
from monitor.live_state import CANARY_EVERY_S
from monitor.receivers import watchdog
from monitor.rhythm import AthleteLimits, atrial_fibrillation, blocked, patterns, pauses, rate, rr_statistics
from monitor.rhythm import ventricular_burden as burden
from monitor.rhythm import ventricular_fibrillation as vf
from monitor.rhythm import ventricular_runs as runs
from monitor.rpeaks import MAX_DELAY_S
from monitor.watch import SILENT_AFTER_S

PAGE: Final = Path(__file__).parents[1] / "docs" / "alarms.md"
REPORT: Final = Path(__file__).parents[1] / "docs" / "reports" / "alarms.json"

_LIMITS: Final = AthleteLimits()
_WINDOW_S: Final = 0.83

_CONDITION: Final[Mapping[str, str]] = {
    "pause": f"no R peak for {_LIMITS.pause_s:g} s (per athlete), neither over a gap nor in ventricular fibrillation",
    "long_pause": f"no R peak for {_LIMITS.long_pause_s:g} s; a `pause` that was told rises to it",
    "asystole": (
        f"no R peak for {_LIMITS.asystole_s:g} s, whatever the quality; added up over short gaps; while an electrode's "
        f"pop blocks the amplifier, {pauses.BLOCKED_FACTOR} times that"
    ),
    "ventricular_fibrillation": (
        f"{vf.WINDOW_S:g} s of signal: leakage of the VF filter below {vf.LEAKAGE_BELOW:g}, no steep slopes, "
        f"{vf.WAVES_HZ[0]:g} to {vf.WAVES_HZ[1]:g} waves a second, {vf.HOPS_ON} times {vf.HOP_S:g} s apart"
    ),
    "sustained_ventricular_tachycardia": (
        f"runs at {runs.TACHYCARDIC_BPM:g} a minute or more over {runs.SUSTAINED_RUN_S:g} s, no more than "
        f"{runs.PARTED_S:g} s apart"
    ),
    "ventricular_run": (
        f"{runs.RUN_BEATS} V in a row at {runs.TACHYCARDIC_BPM:g} a minute or more, one in doubt bridged, mean log "
        f"odds {runs.SURE_MEAN:g} (falling to {runs.LONG_LEAST:g} in long runs); high from "
        f"{SUSTAINED_RUN_BEATS} beats at {TACHYCARDIC_RUN_BPM:g} a minute on"
    ),
    "packet_loss": (
        f"{link_health.LOSS_FROM:.0%} of the samples of {link_health.LOSS_OVER_S:g} s never came; until "
        f"{link_health.LOSS_BACK:.0%}"
    ),
    "battery_low": (
        f"the strap says {link_health.BATTERY_LOW:.0%} or less; until it says {link_health.BATTERY_BACK:.0%}"
    ),
    "polymorphic_run": f"a run in which the shape changes {runs.SHAPE_CHANGES} times",
    "idioventricular_rhythm": f"{runs.RUN_BEATS} V in a row below {runs.TACHYCARDIC_BPM:g} a minute",
    "ventricular_couplet": "two V in a row",
    "r_on_t": f"a V earlier than {runs.R_ON_T:.0%} of the QT interval",
    "bigeminy": f"a V at every second beat, {patterns.ALTERNATIONS} V at least",
    "trigeminy": f"a V at every third beat, {patterns.ALTERNATIONS} V at least",
    "isolated_ventricular": f"single V, no more than {runs.ISOLATED_APART_S:g} s apart",
    "possible_ventricular_run": (
        f"{runs.RUN_BEATS} beats in a row, each V with a probability of {runs.POSSIBLE_FROM:g} or more, and no run"
    ),
    "ventricular_burden_rising": (
        f"V an hour at effort above those at rest with 95 % confidence, {burden.MIN_EFFORT_BEATS} V at effort at least"
    ),
    "supraventricular_run": f"{patterns.RUN_BEATS} S in a row",
    "atrial_fibrillation": (
        f"{atrial_fibrillation.INTERVALS} intervals without V: little order (sample entropy), no pattern, no P waves; "
        f"one sum decides, for {atrial_fibrillation.HELD_BEATS} beats"
    ),
    "bradycardia": (
        f"mean of {rate.RATE_BEATS} intervals below {_LIMITS.bradycardia_bpm:g} a minute (at effort "
        f"{_LIMITS.bradycardia_effort_bpm:g}) for {rate.SUSTAINED_S:g} s; over short gaps"
    ),
    "tachycardia": (
        f"mean of {rate.RATE_BEATS} intervals above {_LIMITS.tachycardia_bpm:g} a minute (at rest "
        f"{_LIMITS.tachycardia_rest_bpm:g}) for {rate.SUSTAINED_S:g} s; over short gaps"
    ),
    "rate_above_maximum": f"the same above {_LIMITS.maximum_bpm:g}",
    "flat": f"the signal stands still for {quality.EVENT_AFTER_S['flat']:g} s",
    "railed": f"the signal stands at its end for {quality.EVENT_AFTER_S['railed']:g} s",
    "noisy": f"mean quality of the last R peaks below {TRUSTED_QUALITY:g} and not above "
    f"{quality.CLEAR_AGAIN:g} since, for {quality.EVENT_AFTER_S['noisy']:g} s",
    "lead_off": "the strap says so",
    "strap_silent": f"no packet for {SILENT_AFTER_S:g} s, or the strap's last will",
    "monitoring_lost": (
        f"the watchdog at the receiver: no heartbeat or no server for {watchdog.HEARTBEAT_LOST_AFTER_S:g} s, no broker "
        f"for {watchdog.STRAPS_UNHEARD_AFTER_S:g} s, no test alarm for {watchdog.CANARY_LOST_AFTER_S:g} s"
    ),
    "canary": f"every {CANARY_EVERY_S:g} s",
    "monitor_overloaded": (
        f"the watchdog: packets dropped within {watchdog.OVERLOADED_FOR_S:g} s, or {watchdog.LATE_FROM_S:g} s late for "
        f"{watchdog.LATE_FOR_S:g} s"
    ),
    "redis_unreachable": f"the watchdog: alarms wait on the monitor's disk for {watchdog.ALARMS_STUCK_AFTER_S:g} s",
}
_DELAY_S: Final[Mapping[str, float]] = {
    **dict.fromkeys((*runs.KINDS, *patterns.KINDS, *atrial_fibrillation.KINDS, *burden.KINDS), _WINDOW_S),
    **dict.fromkeys((*pauses.KINDS, *rate.KINDS), MAX_DELAY_S),
    "ventricular_fibrillation": vf.HOP_S,
}

_INTRODUCTION: Final = f"""# Alarms

One row a kind; `python -m monitor.alarm_catalogue_page` writes this page from the code and from the report of
`make alarms-report`. A V is a beat that the classifier called V or F with a quality of {TRUSTED_QUALITY:g} or
more, for which enough speaks besides (`monitor/rhythm/ventricular_odds.py`); a run also takes beats of other names that
are V or F with a probability of {runs.LIKELY_FROM:g} ({runs.MEMBER_FROM:g} where unsure), and poor ones that look
alike. Se, +P and false/h (in brackets below what it lies with 95 % confidence) are explained under the table. *Known
after* is what the beat's window or the detector adds to the condition itself; *told after*, *over after* and *again
after* are the alarm's own delays (onset delay, hysteresis, repeat suppression).

Two tiers: alarms are to be right; the review queue is to miss nothing. `possible_ventricular_run` and the review cards
(`strapwatch review`: ectopic beats by shape, counted by phase of effort) are for the physician after training, never
for the pitch. What holds each promise is in [alarm-checks.md](alarm-checks.md).

While the signal itself looks like ventricular flutter or fibrillation, nothing is told of beats. A gap is never a
pause. No quality hides an asystole; an electrode's pop (a baseline that jumps by {blocked.JUMP_MV:g} mV) holds it back
for no more than {pauses.BLOCKED_FACTOR} times its own time. P waves that were taken for R peaks do not end it.

RMSSD, SDNN and DFA alpha 1 are of two minutes, and hidden where more than {rr_statistics.MAX_CORRECTED:.0%} of the
intervals had to be corrected.

"""
_GROUPS: Final[Mapping[str, str]] = {
    "gross": "all",
    "without_203_and_232": "without 203 and 232",
    "ds1": "DS1",
    "ds2": "DS2",
    "ds2_without_232": "DS2 without 232",
}
_ASKED: Final[Mapping[str, tuple[str, str, str]]] = {
    "ventricular runs of 3 and more": ("ventricular_run", "se", "ppv"),
    "of 3 to 5": ("ventricular_run_3_5", "se", "ppv"),
    "of 6 and more": ("ventricular_run_6", "se", "ppv"),
    "runs, with the review tier": ("ventricular_run_either_tier", "se", "ppv"),
    "couplets": ("ventricular_couplet", "se", "ppv"),
    "atrial fibrillation, by time": ("atrial_fibrillation", "duration_se", "duration_ppv"),
    "pauses of 2 s and more": ("pause", "se", "ppv"),
}
"""What is asked: kind, and the figures of it."""
_GRAVE: Final[Mapping[str, tuple[str, str]]] = {
    "asystole, a flat line": ("grave-asystole", "asystole"),
    "asystole with P waves": ("grave-asystole_p", "asystole"),
    "ventricular fibrillation": ("grave-ventricular_fibrillation", "ventricular_fibrillation"),
    "sustained tachycardia, any alarm of high priority": (
        "grave-ventricular_tachycardia",
        "sustained_ventricular_tachycardia",
    ),
}
"""What is asked of synthetic athletes: group, and the kind in it."""


def catalogue_page(report: Mapping[str, Any] | None) -> str:
    """Return the page.

    Parameters
    ----------
    report : mapping or None
        The report of ``make alarms-report``.
    """
    return f"{_INTRODUCTION}{_table(report)}\n\n{_measured(report)}"


def _table(report: Mapping[str, Any] | None) -> str:
    names = (
        *(
            "alarm",
            "what is said",
            "condition",
            "known after",
            "told / over / again after",
            "priority",
            "latched",
        ),
        *("what to do", "Se", "+P", "false/h"),
    )
    lines = [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}"]
    lines += [_row(kind, rule, report) for kind, rule in CATALOGUE.items()]
    return "\n".join(lines)


def _row(kind: Kind, rule: AlarmRule, report: Mapping[str, Any] | None) -> str:
    known = _DELAY_S.get(kind)
    cells = (
        f"`{kind}`",
        _said(kind, rule),
        _CONDITION.get(kind, "the monitor says so" if rule.technical else ""),
        "" if known is None else f"{known:g} s",
        f"{rule.onset_delay_s:g} / {rule.clear_delay_s:g} / {rule.repeat_after_s:g} s",
        rule.priority,
        "yes" if rule.latched else "no",
        rule.action,
        *_figures(kind, report),
    )
    return f"| {' | '.join(cells)} |"


def _said(kind: Kind, rule: AlarmRule) -> str:
    event = RhythmEvent(
        row=0,
        kind=kind,
        episode=0,
        transition="onset",
        onset_sample=0,
        known_sample=0,
        rate_bpm=float("nan"),
        duration_s=_EXAMPLE_S.get(kind, 0.0),
        beats=tuple((k, 2, 1.0) for k in range(runs.RUN_BEATS)),
    )
    return rule.sentence(event)


_EXAMPLE_S: Final[Mapping[str, float]] = {
    "pause": _LIMITS.pause_s,
    "long_pause": _LIMITS.long_pause_s,
    "asystole": _LIMITS.asystole_s,
    "sustained_ventricular_tachycardia": runs.SUSTAINED_RUN_S,
    "monitoring_lost": watchdog.HEARTBEAT_LOST_AFTER_S,
}
_OF_SYNTHETIC: Final[Mapping[str, str]] = {
    "asystole": "grave-asystole",
    "ventricular_fibrillation": "grave-ventricular_fibrillation",
    "sustained_ventricular_tachycardia": "grave-ventricular_tachycardia",
    "tachycardia": "grave-ventricular_tachycardia",
    "rate_above_maximum": "grave-ventricular_tachycardia",
}
"""Kinds that mitdb has too few of, or none, and the group that asks for them."""
_NOT_MEASURED: Final = "not measured"


def _figures(kind: Kind, report: Mapping[str, Any] | None) -> tuple[str, str, str]:
    """Return sensitivity, positive predictivity and false alarms an hour (and its bound) of one kind."""
    if report is None or kind not in get_args(RhythmKind):
        return _NOT_MEASURED, _NOT_MEASURED, _NOT_MEASURED
    gross = report["mitdb"]["alarms"].get(kind)
    session = report["sessions"].get(kind)
    if gross is None or session is None:
        return _NOT_MEASURED, _NOT_MEASURED, _NOT_MEASURED
    false = f"{session['false_per_hour']:.3f} (<{session['false_per_hour_upper95']:.3f})"
    if kind not in _OF_SYNTHETIC:
        return _fraction(gross["se"]), _fraction(gross["ppv"]), false
    asked = report[_OF_SYNTHETIC[kind]][kind]
    groups = [gross, *(report[name][kind] for name in report if name.startswith("grave-"))]
    told, wrong = (sum(group[key] for group in groups) for key in ("told", "fp"))
    # By its own alarm: that another one of high priority came stands in the table of synthetic athletes.
    found = min(asked["told"], asked["tp"]) / asked["n"] if asked["n"] else None
    return _fraction(found), _fraction((told - wrong) / told if told else None), false


def _fraction(value: float | None) -> str:
    return _NOT_MEASURED if value is None else f"{value:.3f}"


def _measured(report: Mapping[str, Any] | None) -> str:
    if report is None:
        return "Not measured yet: `make alarms-report` does, in some hours, and this page is then written anew.\n"
    sessions, false = report["sessions"], report["false_alarms"]
    return (
        "Sensitivity and positive predictivity are of mitdb without its paced records, each record with weights that "
        "never saw it,\nwithout the first five minutes. Asystole, ventricular fibrillation and every tachycardia are "
        "asked of synthetic athletes:\nsensitivity is by the kind's own alarm, positive predictivity of mitdb and all "
        f"synthetic events together. {_of_another(report)}\n"
        "False alarms an hour, and below what they lie with 95 % confidence, are of "
        f"{sessions['hours']:.0f} hours of synthetic training with motion.\n\nFalse alarms of high priority, over "
        f"everything ({false['of']}; of svdb the records that no weights were fitted to): {false['fp']} in "
        f"{false['hours']:.1f} hours,\n"
        f"{false['false_per_hour']:.3f} an hour, below {false['false_per_hour_upper95']:.3f} with 95 % confidence. "
        f"Models {' and '.join(report['models'])}, commit `{report['commit'][:12]}`.\n\n{_asked(report)}\n"
    )


def _of_another(report: Mapping[str, Any]) -> str:
    """Say which alarms named another grave event than there was."""
    said = [
        f"`{kind}` {report[group][kind]['fp']} times in {report[group]['records']} of "
        f"{group.removeprefix('grave-').replace('_', ' ')}"
        for group in report
        if group.startswith("grave-")
        for kind, rule in CATALOGUE.items()
        if rule.priority == "high" and kind in report[group] and report[group][kind]["fp"]
    ]
    return f"Told, but of another event than there was: {', '.join(said)}." if said else ""


def _asked(report: Mapping[str, Any]) -> str:
    """Return what the single groups of records gave, and how soon grave events were known, as two tables."""
    totals = report["mitdb"]["alarm_totals"]
    lines = [
        "mitdb, sensitivity / positive predictivity (episodes that were there). Rules were chosen on DS1, those of",
        "ventricular runs on svdb and other hours of training, too; DS2 was looked at meanwhile, every look is in",
        "`docs/reports/alarms-ds2-log.jsonl`, and nothing was chosen on it.",
        "",
        f"| | {' | '.join(_GROUPS.values())} |",
        f"|{'---|' * (len(_GROUPS) + 1)}",
    ]
    for words, (kind, se, ppv) in _ASKED.items():
        cells = [_cell(totals[group][kind], se, ppv) for group in _GROUPS]
        lines.append(f"| {words} | {' | '.join(cells)} |")
    lines += ["", "| synthetic athletes | told | known after, median and longest |", "|---|---|---|"]
    alone = report["grave-ventricular_tachycardia"]["sustained_ventricular_tachycardia"]
    for words, (group, kind) in _GRAVE.items():
        found = report[group][kind]
        lines.append(
            f"| {words} | {found['tp']} of {found['n']} | {found['latency_s_median']:.1f} s, "
            f"{found['latency_s_max']:.1f} s |"
        )
    lines.append(
        f"| sustained tachycardia, by its own alarm after 30 s | {alone['told']} of {alone['n']} | |"
    )
    return "\n".join(lines)


def _cell(figures: Mapping[str, Any], se: str, ppv: str) -> str:
    return f"{_fraction(figures[se])} / {_fraction(figures[ppv])} ({figures['n']})"


def main() -> None:
    """Write the page anew."""
    report = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.is_file() else None
    PAGE.write_text(catalogue_page(report), encoding="utf-8")
    print(f"{PAGE}: {len(CATALOGUE)} kinds")


if __name__ == "__main__":
    main()
