"""Whether a trial has passed: its beats and alarms against those of a watch to which nothing happened."""

from collections import Counter
from typing import Final

from benchmarks.faults.trial_stage import Stage, Trial
from monitor.contract import Alarm
from monitor.live_state import BeatEntry
from simulators.scenario_seen import Seen

COMES_BACK_S: Final = 12.0
"""How long after a server is back a client may still wait before it tries again."""


def compare(trial: Trial, stage: Stage, hit: set[str], *, unnamed: bool) -> None:
    """Hold beats and alarms against those of an undisturbed watch."""
    outcome, seen = trial.outcome, trial.seen
    counts: Counter[str] = Counter()
    for number, life in enumerate(trial.lives):
        athlete, boot = life.strap.athlete, life.strap.boot
        told = _own_beats(seen, athlete, boot)
        wanted = _own_beats(trial.expected, athlete, boot)
        counts["told twice"] += sum(
            count - 1
            for count in Counter(
                b.r_sample for _, b in seen.beats.get(athlete, []) if b.boot == boot
            ).values()
        )
        if athlete in hit:
            continue
        counts["expected"] += len(wanted)
        for r_sample in wanted.keys() | told.keys():
            there, due = told.get(r_sample), wanted.get(r_sample)
            if there is not None and due is not None and there.label == due.label:
                counts["identical"] += 1
            elif there is None and due is not None:
                at = seen.start_at[number] + life.strap.schedule_s(due.known_sample)
                away = any(begin - 2.0 <= at <= over + COMES_BACK_S for begin, over in stage.server_away)
                counts["unwritten" if away else "missing"] += 1
            elif due is None:
                counts["extra"] += 1
            else:
                counts["unnamed" if there is not None and there.label == "unsure" else "renamed"] += 1
    told_unwritten = seen.monitor.unwritten.get("beats", 0) if seen.monitor is not None else 0
    told_unnamed = seen.monitor.beats_unnamed if seen.monitor is not None else 0
    left_out = seen.monitor.left_out if seen.monitor is not None else {}
    relieved = sum(count for name, count in left_out.items() if name != "waveforms")
    if counts["renamed"] <= relieved:
        # A machine with too much to do, which the monitor tells, leaves usual beats as they are.
        counts["renamed under load"] = counts.pop("renamed", 0)
    wrong = ["missing", "extra", "renamed"] + ([] if unnamed else ["unnamed"])
    outcome.failures += [f"{counts[name]} beats {name}" for name in wrong if counts[name]]
    if counts["unwritten"] > told_unwritten:
        outcome.failures.append(f"{counts['unwritten']} beats unwritten, told are {told_unwritten}")
    if unnamed and counts["unnamed"] > told_unnamed:
        outcome.failures.append(f"{counts['unnamed']} beats unnamed, told are {told_unnamed}")
    outcome.measured["beats"] = {name: count for name, count in sorted(counts.items()) if count}
    _compare_alarms(trial, hit)


def _compare_alarms(trial: Trial, hit: set[str]) -> None:
    transitions = Counter((alarm.identity, alarm.transition) for _, alarm in trial.seen.alarms)
    twice = sum(count - 1 for count in transitions.values())
    if twice:
        trial.outcome.failures.append(f"{twice} transitions of alarms are told twice")
    # Whoever is nobody's athlete, such as a hostile sender's, is not judged.
    ours = {life.strap.athlete for life in trial.lives} - hit
    told, wanted = (_raised(seen, ours) for seen in (trial.seen, trial.expected))
    for name, difference in (("missing", wanted - told), ("extra", told - wanted)):
        trial.outcome.failures += [f"alarm {name}: {alarm}" for alarm in sorted(difference)]
    trial.outcome.measured["alarms"] = {
        "raised": sum(transition == "raised" for _, transition in transitions),
        "of the heart, as undisturbed": len(told & wanted),
    }


def _raised(seen: Seen, ours: set[str]) -> set[tuple[str, int, str, int]]:
    return {
        (alarm.athlete, alarm.boot, alarm.kind, alarm.episode)
        for _, alarm in seen.alarms
        if _is_of_the_heart(alarm) and alarm.athlete in ours
    }


def _is_of_the_heart(alarm: Alarm) -> bool:
    return alarm.transition == "raised" and not alarm.technical


def _own_beats(seen: Seen, athlete: str, boot: int) -> dict[int, BeatEntry]:
    return {beat.r_sample: beat for _, beat in seen.beats.get(athlete, []) if beat.boot == boot}


def measure(trial: Trial) -> None:
    """Enter figures of packets, events and losses in the outcome."""
    verdict, measured = trial.verdict, trial.outcome.measured
    statuses = Counter(event.status for event in verdict.events)
    accounts = verdict.accounts
    measured["events"] = dict(sorted(statuses.items())) | {"false": len(verdict.false_alarms)}
    measured["packets"] = {
        "made": sum(account.packets for account in accounts),
        "taken": sum(account.taken for account in accounts),
        "counted lost": sum(account.counted_lost for account in accounts),
        "sent again": sum(account.resent for account in accounts),
        "unaccounted": sum(account.difference for account in accounts),
    }
    if trial.seen.monitor is not None:
        measured["told"] = {
            name: told
            for name, told in (
                ("unwritten", trial.seen.monitor.unwritten),
                ("unsaved", trial.seen.monitor.unsaved),
                ("refused", trial.seen.monitor.refused),
                ("unnamed", trial.seen.monitor.beats_unnamed),
                ("left out", trial.seen.monitor.left_out),
            )
            if told
        }
