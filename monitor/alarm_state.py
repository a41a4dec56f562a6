"""What the alarm machine remembers of one athlete: alarms that are open, held back, or over not long ago."""

from typing import Final

import msgspec

from monitor.alarm_inputs import Whose
from monitor.catalogue import AlarmRule, Kind, answer_within_s
from monitor.contract import Alarm
from monitor.live_state import ActiveAlarm

SAME_EPISODE_S: Final = 2.0
"""Two onsets of one kind this close, in seconds of samples, are one episode: it is told as over no sooner."""


class Open(msgspec.Struct):
    """An alarm that is still on somebody's screen."""

    alarm: Alarm
    over: bool = False
    acknowledged_by: str = ""
    acknowledged_at: float = 0.0
    complete_at_sample: int | None = None
    last_episode: int = -1  # the onset that came last, of those that are one episode
    over_at_sample: int | None = (
        None  # the condition is over; so is the alarm once the samples have come here
    )
    asked_at: float = 0.0  # since when somebody is to answer
    escalated: bool = False
    unanswered: bool = False
    repeats: int = 0


class Held(msgspec.Struct):
    """An alarm that is held back: by its onset delay, or because it comes back too soon."""

    alarm: Alarm
    raise_at_sample: int
    repeats: bool


class Over(msgspec.Struct):
    """Where the last alarm of a kind was over, from which repeats are counted."""

    strap: str
    boot: int
    sample: int


class Raised(msgspec.Struct):
    """What the last alarm of a kind was raised as, and how far samples had come then, or when it was over."""

    strap: str
    boot: int
    episode: int
    sample: int


class AthleteAlarms(msgspec.Struct):
    """The alarms of one athlete: open ones by identity; held ones, those that were over and those raised by kind."""

    open: dict[str, Open] = {}
    held: dict[Kind, Held] = {}
    over: dict[Kind, Over] = {}
    raised: dict[Kind, Raised] = {}


def unused_episode(own: AthleteAlarms, alarm: Alarm) -> int:
    """Return the episode of an alarm that is about to be raised: its own, or a later one where that name was used.

    Whoever comes back after it was told as over may bear the onset it had before: a tachycardia of several runs, a
    strap that is silent where it was silent already. Under the old name nobody would be told again.
    """
    before = own.raised.get(alarm.kind)
    if before is None or (before.strap, before.boot) != (alarm.strap, alarm.boot):
        return alarm.episode
    free = before.episode + round(SAME_EPISODE_S * alarm.rate_hz) + 1
    return alarm.episode if alarm.episode >= free else max(free, alarm.known_sample)


def is_of(alarm: Alarm, whose: Whose) -> bool:
    """Whether an alarm is of the strap and boot that `whose` names."""
    return (alarm.strap, alarm.boot) == (whose.strap, whose.boot)


def is_unanswered(known: Open, rule: AlarmRule, now: float) -> bool:
    """Whether an alarm has waited too long for somebody to acknowledge it."""
    within_s = answer_within_s(rule, known.alarm.priority)
    if within_s is None or known.acknowledged_by or known.unanswered:
        return False
    # What is over and needs nobody's word calls nobody either.
    return not (known.over and not rule.latched) and now - known.asked_at >= within_s


def same_episode(own: AthleteAlarms, alarm: Alarm, whose: Whose) -> Open | None:
    """Return the open alarm that is the same episode."""
    reach = round(SAME_EPISODE_S * whose.rate_hz)
    for known in own.open.values():
        if (
            not known.over
            and known.alarm.kind == alarm.kind
            and is_of(known.alarm, whose)
            and (
                known.last_episode == alarm.episode
                or known.over_at_sample is not None
                or abs(known.alarm.episode - alarm.episode) <= reach
            )
        ):
            return known
    return None


def count_repeat(own: AthleteAlarms, kind: Kind) -> None:
    """Count a condition that came back too soon to be told with the alarm before it."""
    for known in reversed(own.open.values()):
        if known.alarm.kind == kind:
            known.repeats += 1
            return


def nearest_open(own: AthleteAlarms, identity: str) -> Open | None:
    """Return the alarm that another monitor knows by `identity`, if there is one."""
    begin, _, episode = identity.rpartition(".")
    if not episode.isdecimal():
        return None
    alike = [known for known in own.open.values() if known.alarm.identity.rpartition(".")[0] == begin]
    near = [(abs(known.alarm.episode - int(episode)), known) for known in alike]
    apart, nearest = min(near, key=lambda found: found[0], default=(0, None))
    if nearest is not None and apart <= SAME_EPISODE_S * nearest.alarm.rate_hz:
        return nearest
    # The server keeps one alarm of a kind open at a time; a monitor that began later knows it by another onset.
    return next((known for known in alike if not known.over), None)


def shown(known: Open, rule: AlarmRule) -> ActiveAlarm:
    """Return an open alarm as an athlete's state lists it."""
    alarm = known.alarm
    asks = not known.acknowledged_by and not known.unanswered
    within_s = answer_within_s(rule, alarm.priority)
    return ActiveAlarm(
        identity=alarm.identity,
        kind=alarm.kind,
        priority=alarm.priority,
        technical=alarm.technical,
        message=alarm.message,
        action=alarm.action,
        raised_at=alarm.at,
        acknowledged_by=known.acknowledged_by,
        cleared=known.over,
        acknowledged_at=known.acknowledged_at,
        strap=alarm.strap,
        escalated=known.escalated,
        answer_by=known.asked_at + within_s if asks and within_s is not None else 0.0,
        unanswered=known.unanswered,
        repeats=known.repeats,
    )
