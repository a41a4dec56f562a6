"""One athlete's alarms, step by step: what an event, the samples' progress, time or an answer do to them.

The machine (`monitor.alarms`) keeps the athletes, pauses and the recording; here is what happens to one of them. One
silence of the heart is one alarm: a pause of 2 s that grows to 3 s rises under its identity; an asystole, which waits
for no other alarm, takes the place of the pause as which it began.
"""

from collections.abc import Mapping
from math import isnan
from typing import Final

import msgspec

from monitor.alarm_inputs import Whose
from monitor.alarm_state import (
    SAME_EPISODE_S,
    AthleteAlarms,
    Held,
    Open,
    Over,
    Raised,
    count_repeat,
    is_of,
    is_unanswered,
    nearest_open,
    same_episode,
    unused_episode,
)
from monitor.catalogue import AlarmRule, Kind, escalates
from monitor.contract import PRIORITIES, Alarm, Priority, RhythmEvent

COMPLETE_AFTER_S: Final = 5.0
"""The strip goes on this long after the alarm was known; then the alarm is told again, complete."""
NAME_KEPT_S: Final = 60.0
"""So long after an alarm was over, in seconds of samples, its name is remembered: none that comes then may bear it."""
MAX_LATCHED: Final = 20
"""Alarms that one athlete may have open at once; beyond it the oldest of the least urgent that are over leave."""
_SILENCES: Final[tuple[Kind, ...]] = ("pause", "long_pause", "asystole")
"""What a silence of the heart is called as it grows."""


class AlarmLife:
    """What happens to an athlete's alarms.

    Parameters
    ----------
    rules : mapping of kind to AlarmRule
        What holds.
    model, settings_hash : str
        Told with every alarm.

    Attributes
    ----------
    changed : bool
        Something was changed since somebody set this to False, whether it was told or not.
    """

    def __init__(self, rules: Mapping[Kind, AlarmRule], *, model: str, settings_hash: str) -> None:
        self.rules = rules
        self.model = model
        self.settings_hash = settings_hash
        self.changed = False

    def event(
        self, own: AthleteAlarms, whose: Whose, event: RhythmEvent, now: float, *, for_good: bool
    ) -> list[Alarm]:
        """Take an event; see `monitor.alarms.AlarmMachine.event`."""
        rule = self.rules[event.kind]
        # What was over before this event came to be known is over, however long the block that brings both.
        told = self.move_on(own, whose, event.known_sample, now)
        alarm = self._alarm(whose, event, rule, now)
        known = same_episode(own, alarm, whose)
        held = own.held.get(event.kind)
        self.changed = True
        if event.transition == "onset" and known is None:
            deeper = self._deepen(own, alarm, rule, whose, now)
            if deeper is None and escalates(event):
                # Long and fast before it is known: no delay holds it back, and none told a moment ago.
                own.held.pop(event.kind, None)
                deeper = [self._raise(own, msgspec.structs.replace(alarm, priority="high"), whose)]
            told += self._begin(own, alarm, rule, whose) if deeper is None else deeper
        elif event.transition == "onset" and known is not None:
            known.last_episode = alarm.episode
            known.over_at_sample = None
            told += self._escalate(known, alarm, event, now)
        elif known is None:
            told += self._change_held(own, held, alarm, event, whose) if held is not None else []
        elif event.transition == "update":
            told += self._escalate(known, alarm, event, now)
        else:
            told += self._end(own, known, event, rule, whose, now, for_good=for_good)
        return told

    def tick(self, own: AthleteAlarms, now: float) -> list[Alarm]:
        """Let time come to `now`: what nobody has answered is told, what has been shown long enough leaves."""
        told = []
        for identity, known in list(own.open.items()):
            if is_unanswered(known, self.rules[known.alarm.kind], now):
                known.unanswered = True
                told.append(msgspec.structs.replace(known.alarm, transition="unanswered", at=now, by=""))
            self._drop_if_done(own, identity, now)
        return told

    def acknowledge(self, own: AthleteAlarms, identity: str, by: str, now: float) -> list[Alarm]:
        """Take an acknowledgement; see `monitor.alarms.AlarmMachine.acknowledge`."""
        known = own.open.get(identity) or nearest_open(own, identity)
        if known is None or known.acknowledged_by:
            return []
        known.acknowledged_by, known.acknowledged_at = by, now
        acknowledged = msgspec.structs.replace(known.alarm, transition="acknowledged", at=now, by=by)
        self._drop_if_done(own, known.alarm.identity, now)
        return [acknowledged]

    def end_boot(self, own: AthleteAlarms, boot: int, now: float) -> list[Alarm]:
        """Clear what a boot left open."""
        told = []
        for kind in [kind for kind, held in own.held.items() if held.alarm.boot == boot]:
            del own.held[kind]
            self.changed = True
        for kind in [kind for kind, over in own.over.items() if over.boot == boot]:
            del own.over[kind]
            self.changed = True
        for kind in [kind for kind, raised in own.raised.items() if raised.boot == boot]:
            del own.raised[kind]
            self.changed = True
        for identity, known in list(own.open.items()):
            if known.alarm.boot != boot:
                continue
            self.changed = True
            known.complete_at_sample = None
            if not known.over:
                told.append(self._clear(own, known, known.alarm.known_sample, now))
                own.over.pop(known.alarm.kind, None)
            else:
                self._drop_if_done(own, identity, now)
        return told

    def _begin(self, own: AthleteAlarms, alarm: Alarm, rule: AlarmRule, whose: Whose) -> list[Alarm]:
        raise_at = alarm.known_sample + round(rule.onset_delay_s * whose.rate_hz)
        over = own.over.get(alarm.kind)
        repeats = False
        if (
            over is not None
            and (over.strap, over.boot) == (whose.strap, whose.boot)
            and rule.priority != "high"
        ):
            until = over.sample + round(rule.repeat_after_s * whose.rate_hz)
            repeats = until > raise_at
            raise_at = max(raise_at, until)
        if raise_at > alarm.known_sample:
            own.held[alarm.kind] = Held(alarm, raise_at, repeats)
            return []
        return [self._raise(own, alarm, whose)]

    def _deepen(
        self, own: AthleteAlarms, alarm: Alarm, rule: AlarmRule, whose: Whose, now: float
    ) -> list[Alarm] | None:
        """Let a silence that has a name already take its next; None where it is to be raised as any other alarm."""
        if alarm.kind not in _SILENCES:
            return None
        rank = _SILENCES.index(alarm.kind)
        for kind in _SILENCES[:rank]:
            own.held.pop(kind, None)
        # A heart has one silence at a time: what is not over is this one.
        same = [
            known
            for known in own.open.values()
            if known.alarm.kind in _SILENCES
            and not known.over
            and known.over_at_sample is None
            and is_of(known.alarm, whose)
        ]
        if any(_SILENCES.index(known.alarm.kind) > rank for known in same):
            return []
        if not same or rule.onset_delay_s > 0.0:
            return None
        if alarm.kind == "asystole":
            told = self._begin(own, alarm, rule, whose)
            for known in same:
                known.complete_at_sample = None
                told.append(self._clear(own, known, alarm.known_sample, now))
                own.open.pop(known.alarm.identity, None)
            return told
        return self._rise(
            same[0], msgspec.structs.replace(alarm, kind=same[0].alarm.kind), rule.priority, now
        )

    def _raise(self, own: AthleteAlarms, alarm: Alarm, whose: Whose) -> Alarm:
        complete_at = (
            None if alarm.technical else alarm.known_sample + round(COMPLETE_AFTER_S * whose.rate_hz)
        )
        last_episode = alarm.episode
        alarm = msgspec.structs.replace(alarm, episode=unused_episode(own, alarm))
        own.raised[alarm.kind] = Raised(alarm.strap, alarm.boot, alarm.episode, alarm.known_sample)
        own.open[alarm.identity] = Open(
            alarm, complete_at_sample=complete_at, last_episode=last_episode, asked_at=alarm.at
        )
        over = [known for known in own.open.values() if known.over]
        if len(own.open) > MAX_LATCHED and over:
            least = max(over, key=lambda known: (PRIORITIES.index(known.alarm.priority), -known.alarm.at))
            del own.open[least.alarm.identity]
        return alarm

    def _change_held(
        self, own: AthleteAlarms, held: Held, alarm: Alarm, event: RhythmEvent, whose: Whose
    ) -> list[Alarm]:
        """Let an event change what is held back: it ends untold, or becomes urgent and is told at once."""
        if event.transition == "end":
            del own.held[event.kind]
            if held.repeats:
                count_repeat(own, event.kind)
            return []
        if not escalates(event):
            return []
        del own.held[event.kind]
        urgent = msgspec.structs.replace(
            alarm, priority="high", episode=held.alarm.episode, onset_at=held.alarm.onset_at
        )
        return [self._raise(own, urgent, whose)]

    def _end(
        self,
        own: AthleteAlarms,
        known: Open,
        event: RhythmEvent,
        rule: AlarmRule,
        whose: Whose,
        now: float,
        *,
        for_good: bool,
    ) -> list[Alarm]:
        """Let a condition be over: at once, or once it has stayed away long enough."""
        reach = known.alarm.episode + round(SAME_EPISODE_S * whose.rate_hz)
        over_at = max(reach, event.known_sample + round(rule.clear_delay_s * whose.rate_hz))
        if not for_good and over_at >= event.known_sample and (over_at == reach or rule.clear_delay_s > 0):
            known.over_at_sample = over_at
            return []
        return [self._clear(own, known, event.known_sample, now)]

    def _escalate(self, known: Open, alarm: Alarm, event: RhythmEvent, now: float) -> list[Alarm]:
        return self._rise(known, alarm, "high", now) if escalates(event) else []

    def _rise(self, known: Open, alarm: Alarm, priority: Priority, now: float) -> list[Alarm]:
        """Let an open alarm become what `alarm` says, under its own identity, if that is more urgent."""
        if PRIORITIES.index(known.alarm.priority) <= PRIORITIES.index(priority):
            return []
        known.alarm = msgspec.structs.replace(
            alarm,
            transition="escalated",
            priority=priority,
            episode=known.alarm.episode,
            onset_at=known.alarm.onset_at,
        )
        # Whoever acknowledged the lesser alarm has not seen this one.
        known.acknowledged_by, known.acknowledged_at = "", 0.0
        known.asked_at, known.escalated, known.unanswered = now, True, False
        return [known.alarm]

    def move_on(
        self, own: AthleteAlarms, whose: Whose, end_sample: int, now: float, *, signal_ends: bool = False
    ) -> list[Alarm]:
        """Tell what is due once all samples before `end_sample` are known."""
        told = []
        self._forget(own, whose, end_sample)
        for kind, held in list(own.held.items()):
            if is_of(held.alarm, whose) and end_sample > held.raise_at_sample:
                del own.held[kind]
                late = msgspec.structs.replace(held.alarm, known_sample=held.raise_at_sample, at=now)
                told.append(self._raise(own, late, whose))
        for known in list(own.open.values()):
            if not is_of(known.alarm, whose):
                continue
            complete_at = known.complete_at_sample
            if complete_at is not None and (signal_ends or end_sample >= complete_at):
                known_sample = max(min(complete_at, end_sample - 1), known.alarm.known_sample)
                told.append(
                    msgspec.structs.replace(
                        known.alarm, transition="completed", known_sample=known_sample, at=now
                    )
                )
                known.complete_at_sample = None
            if known.over_at_sample is not None and end_sample > known.over_at_sample:
                told.append(self._clear(own, known, known.over_at_sample, now))
        return told

    def _forget(self, own: AthleteAlarms, whose: Whose, end_sample: int) -> None:
        """Forget what was over, and raised, too long ago to matter."""
        for kind, over in list(own.over.items()):
            if over.sample + self.rules[kind].repeat_after_s * whose.rate_hz < end_sample:
                del own.over[kind]
                self.changed = True
        long_ago = end_sample - NAME_KEPT_S * whose.rate_hz
        if old := [kind for kind, raised in own.raised.items() if raised.sample < long_ago]:
            going_on = {known.alarm.kind for known in own.open.values() if not known.over}
            for kind in [kind for kind in old if kind not in going_on]:
                del own.raised[kind]
                self.changed = True

    def _clear(self, own: AthleteAlarms, known: Open, known_sample: int, now: float) -> Alarm:
        known.over = True
        known.over_at_sample = None
        alarm = known.alarm
        raised = own.raised.get(alarm.kind)
        if raised is not None and raised.episode == alarm.episode:
            raised.sample = max(raised.sample, known_sample)
        if self.rules[alarm.kind].repeat_after_s > 0:
            own.over[alarm.kind] = Over(alarm.strap, alarm.boot, known_sample)
        self._drop_if_done(own, alarm.identity, now)
        return msgspec.structs.replace(alarm, transition="cleared", known_sample=known_sample, at=now)

    def _drop_if_done(self, own: AthleteAlarms, identity: str, now: float) -> None:
        known = own.open[identity]
        if not known.over or known.complete_at_sample is not None:
            return
        rule = self.rules[known.alarm.kind]
        if known.acknowledged_by or (not rule.latched and now - known.alarm.at >= rule.display_s):
            del own.open[identity]
            self.changed = True

    def _alarm(self, whose: Whose, event: RhythmEvent, rule: AlarmRule, now: float) -> Alarm:
        return Alarm(
            team=whose.team,
            athlete=whose.athlete,
            strap=whose.strap,
            boot=whose.boot,
            kind=event.kind,
            episode=event.episode,
            transition="raised",
            priority=rule.priority,
            technical=rule.technical,
            known_sample=event.known_sample,
            rate_hz=whose.rate_hz,
            at=now,
            onset_at=whose.at(event.onset_sample),
            rate_bpm=None if isnan(event.rate_bpm) else event.rate_bpm,
            quality=event.quality,
            message=rule.sentence(event),
            action=rule.action,
            model=self.model,
            settings_hash=self.settings_hash,
        )
