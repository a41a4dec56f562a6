"""The life of an alarm: held back, raised, escalated, completed, unanswered, cleared, acknowledged.

One pure machine for all athletes. What comes in: rhythm events and the samples' progress (on the sample clock), timed
ticks, acknowledgements, commands, changed rules. What comes out: transitions, in order. It reads no clock and keeps no
connection, so the same inputs give the same alarms again: `AlarmMachine` hands what it takes to a recorder, and
`replay` makes the alarms of a recording anew.

Priorities, latching, delays and pauses follow IEC 60601-1-8 in spirit and words; no conformity is claimed.
"""

from collections.abc import Iterable, Mapping
from math import isnan
from typing import Final

import msgspec
import numpy as np

from monitor.alarm_inputs import (
    Input,
    OnAcknowledgement,
    OnBootEnd,
    OnCommand,
    OnEvent,
    OnImport,
    OnRules,
    OnSamples,
    OnTick,
    Recorder,
    Whose,
)
from monitor.alarm_pauses import Pauses
from monitor.alarm_state import (
    SAME_EPISODE_S,
    AthleteAlarms,
    Held,
    Open,
    Over,
    count_repeat,
    is_of,
    is_unanswered,
    nearest_open,
    same_episode,
    shown,
)
from monitor.catalogue import AlarmRule, Kind, RuleChange, changed_rules, escalates
from monitor.contract import PRIORITIES, Alarm, Priority, RhythmEvent, RowState
from monitor.live_state import ActiveAlarm, by_urgency
from monitor.responses import AuditEntry, Command
from monitor.rows import number_in

__all__ = [
    "COMPLETE_AFTER_S",
    "MAX_LATCHED",
    "MAX_UNWATCHED",
    "SAME_EPISODE_S",
    "AlarmMachine",
    "Whose",
    "replay",
]

VERSION: Final = 3
COMPLETE_AFTER_S: Final = 5.0
"""The strip goes on this long after the alarm was known; then the alarm is told again, complete."""
MAX_LATCHED: Final = 20
"""Alarms that one athlete may have open at once; beyond it the oldest of the least urgent that are over leave."""
MAX_UNWATCHED: Final = 10_000
"""Athletes with open alarms; beyond it the one whose alarms have been over longest leaves."""


class AlarmMachine:
    """Turns events into transitions of alarms, and knows which alarms are open.

    Parameters
    ----------
    model, settings_hash : str
        Told with every alarm.
    changes : mapping of kind to RuleChange, optional
        What holds otherwise than the catalogue.
    """

    def __init__(
        self,
        *,
        model: str = "",
        settings_hash: str = "",
        changes: Mapping[Kind, RuleChange] | None = None,
    ) -> None:
        self._model = model
        self._settings_hash = settings_hash
        self._changes = dict(changes or {})
        self._rules = changed_rules(self._changes)
        self._recorder: Recorder | None = None
        self._athletes: dict[tuple[str, str], AthleteAlarms] = {}
        self._pauses = Pauses()
        self._changed = False

    def take(self, given: Input) -> list[Alarm]:  # noqa: C901 - one case an input, and nothing in them
        """Take any input; the methods below are the same by name."""
        self._changed = False
        match given:
            case OnEvent(whose, event, now, for_good):
                told = self._event(whose, event, now, for_good=for_good)
            case OnSamples(whose, end_sample, now, signal_ends):
                told = self._advance(whose, end_sample, now, signal_ends=signal_ends)
            case OnTick(now):
                told = self._tick(now)
            case OnAcknowledgement(team, athlete, identity, by, now):
                told = self._acknowledge(team, athlete, identity, by, now)
            case OnCommand(command, now):
                self._pauses.command(command, self._most_urgent(command.team, command.athlete), now)
                told, self._changed = [], True
            case OnBootEnd(team, athlete, boot, now):
                told = self._end_boot(team, athlete, boot, now)
            case OnRules(changes, settings_hash, _, model):
                self._changes, self._rules = changes, changed_rules(changes)
                self._settings_hash = settings_hash
                self._model = self._model if model is None else model
                told, self._changed = [], True
            case OnImport(team, athlete, alarms):
                self._athletes[team, athlete] = msgspec.msgpack.decode(alarms, type=AthleteAlarms)
                told, self._changed = [], True
        for alarm in told:
            self._pauses.sounds(alarm)
        if self._recorder is not None and (told or self._changed):
            self._recorder.record(given)
            if self._recorder.is_full:
                self._recorder.begin(self.checkpoint())
        return told

    def record(self, recorder: Recorder) -> None:
        """Give `recorder` every input that changes anything from now on, in order."""
        self._recorder = recorder
        recorder.begin(self.checkpoint())

    def checkpoint(self) -> list[Input]:
        """Return inputs that bring another machine to where this one is, except for pauses, which tell no alarm."""
        rules = OnRules(dict(self._changes), self._settings_hash, 0.0, self._model)
        own = [
            OnImport(team, athlete, msgspec.msgpack.encode(alarms))
            for (team, athlete), alarms in self._athletes.items()
        ]
        return [rules, *own]

    def event(self, whose: Whose, event: RhythmEvent, now: float, *, for_good: bool = False) -> list[Alarm]:
        """Take a rhythm or technical event.

        Parameters
        ----------
        whose : Whose
            Whose event it is.
        event : RhythmEvent
            What happened.
        now : float
            Unix time in seconds.
        for_good : bool
            No samples will follow that could show an end to be an interruption.

        Returns
        -------
        list of Alarm
            Transitions without strips; the caller adds what the signal shows.
        """
        return self.take(OnEvent(whose, event, now, for_good))

    def advance(self, whose: Whose, end_sample: int, now: float, *, signal_ends: bool = False) -> list[Alarm]:
        """Let one athlete's samples reach `end_sample`: what was held back, completed or over by then is told.

        Parameters
        ----------
        whose : Whose
            Whose samples they are.
        end_sample : int
            First sample that is not known yet.
        now : float
            Unix time in seconds.
        signal_ends : bool
            A gap follows, so that no strip will become longer than it is.
        """
        if (whose.team, whose.athlete) not in self._athletes:
            return []
        return self.take(OnSamples(whose, end_sample, now, signal_ends))

    def concerns(self, team: str, athlete: str) -> bool:
        """Whether there is anything of an athlete that `advance` could change."""
        return (team, athlete) in self._athletes

    def tick(self, now: float) -> list[Alarm]:
        """Let time reach `now`: who was not answered is told; alarms that are over and were shown long enough leave."""
        return self.take(OnTick(now))

    def acknowledge(self, team: str, athlete: str, identity: str, by: str, now: float) -> list[Alarm]:
        """Take the word that somebody has seen an alarm; unknown or acknowledged ones change nothing.

        The alarm may go by the name that another monitor gave it: an onset within `SAME_EPISODE_S` of ours, or else
        the one alarm of that kind whose condition we see.
        """
        return self.take(OnAcknowledgement(team, athlete, identity, by, now))

    def command(self, command: Command, now: float) -> None:
        """Let alarms pause or sound again, see `monitor.alarm_pauses.Pauses`."""
        self.take(OnCommand(command, now))

    def change_rules(self, changes: Mapping[Kind, RuleChange], settings_hash: str, now: float) -> None:
        """Let other rules hold from now on; what was raised before keeps its priority."""
        self.take(OnRules(dict(changes), settings_hash, now))

    def end_boot(self, team: str, athlete: str, boot: int, now: float) -> list[Alarm]:
        """Clear what an earlier boot of a strap left open: its samples will not go on."""
        return self.take(OnBootEnd(team, athlete, boot, now))

    def active(self, team: str, athlete: str) -> list[ActiveAlarm]:
        """Return the alarms of one athlete that belong on screen, most urgent first."""
        own = self._athletes.get((team, athlete))
        return (
            by_urgency([shown(known, self._rules[known.alarm.kind]) for known in own.open.values()])
            if own
            else []
        )

    def pause_of(self, team: str, athlete: str) -> tuple[float, str, str]:
        """Return until when (Unix seconds) an athlete's alarms make no sound, who paused, and what that covers."""
        return self._pauses.of(team, athlete)

    def notes(self) -> list[AuditEntry]:
        """Return, once, what the audit trail is to hold of what happened since the last call."""
        return self._pauses.notes()

    def export_athlete(self, team: str, athlete: str) -> RowState:
        """Return the open alarms of one athlete as plain arrays."""
        own = self._athletes.get((team, athlete), AthleteAlarms())
        return {
            "version": np.array(VERSION),
            "alarms": np.frombuffer(msgspec.msgpack.encode(own), np.uint8).copy(),
        }

    def import_athlete(self, team: str, athlete: str, state: RowState) -> None:
        """Take over the open alarms that `export_athlete` gave.

        Raises
        ------
        ValueError
            If the state has another version or is damaged; nothing is changed then.
        """
        if number_in(state, "version") != VERSION:
            raise ValueError(f"alarm state has another version than {VERSION}")
        try:
            self.take(OnImport(team, athlete, state["alarms"].tobytes()))
        except (KeyError, msgspec.DecodeError) as error:
            raise ValueError(f"alarm state is damaged: {error}") from error

    # --- what each input does --------------------------------------------------------------------------------------

    def _event(self, whose: Whose, event: RhythmEvent, now: float, *, for_good: bool) -> list[Alarm]:
        rule = self._rules[event.kind]
        own = self._own(whose)
        # What was over before this event came to be known is over, however long the block that brings both.
        told = self._move_on(own, whose, event.known_sample, now)
        alarm = self._alarm(whose, event, rule, now)
        known = same_episode(own, alarm, whose)
        held = own.held.get(event.kind)
        self._changed = True
        if event.transition == "onset" and known is None:
            told += self._begin(own, alarm, rule, whose)
        elif event.transition == "onset" and known is not None:
            known.last_episode = alarm.episode
            known.over_at_sample = None
        elif known is None:
            told += self._change_held(own, held, alarm, event, whose) if held is not None else []
        elif event.transition == "update":
            told += self._escalate(known, alarm, event, now)
        else:
            told += self._end(own, known, event, rule, whose, now, for_good=for_good)
        return told

    def _advance(self, whose: Whose, end_sample: int, now: float, *, signal_ends: bool) -> list[Alarm]:
        own = self._athletes.get((whose.team, whose.athlete))
        return self._move_on(own, whose, end_sample, now, signal_ends=signal_ends) if own else []

    def _tick(self, now: float) -> list[Alarm]:
        told = []
        if self._pauses.expire(now):
            self._changed = True
        for key in list(self._athletes):
            own = self._athletes[key]
            for identity, known in list(own.open.items()):
                rule = self._rules[known.alarm.kind]
                if is_unanswered(known, rule, now):
                    known.unanswered = True
                    told.append(msgspec.structs.replace(known.alarm, transition="unanswered", at=now, by=""))
                self._drop_if_done(own, identity, now)
            if not (own.open or own.held or own.over):
                del self._athletes[key]
        return told

    def _acknowledge(self, team: str, athlete: str, identity: str, by: str, now: float) -> list[Alarm]:
        own = self._athletes.get((team, athlete), AthleteAlarms())
        known = own.open.get(identity) or nearest_open(own, identity)
        if known is None or known.acknowledged_by:
            return []
        known.acknowledged_by, known.acknowledged_at = by, now
        acknowledged = msgspec.structs.replace(known.alarm, transition="acknowledged", at=now, by=by)
        self._drop_if_done(own, known.alarm.identity, now)
        return [acknowledged]

    def _end_boot(self, team: str, athlete: str, boot: int, now: float) -> list[Alarm]:
        told = []
        own = self._athletes.get((team, athlete), AthleteAlarms())
        for kind in [kind for kind, held in own.held.items() if held.alarm.boot == boot]:
            del own.held[kind]
            self._changed = True
        for kind in [kind for kind, over in own.over.items() if over.boot == boot]:
            del own.over[kind]
            self._changed = True
        for identity, known in list(own.open.items()):
            if known.alarm.boot != boot:
                continue
            self._changed = True
            known.complete_at_sample = None
            if not known.over:
                told.append(self._clear(own, known, known.alarm.known_sample, now))
                own.over.pop(known.alarm.kind, None)
            else:
                self._drop_if_done(own, identity, now)
        return told

    # --- steps of an alarm's life ----------------------------------------------------------------------------------

    def _own(self, whose: Whose) -> AthleteAlarms:
        key = (whose.team, whose.athlete)
        if key not in self._athletes:
            if len(self._athletes) >= MAX_UNWATCHED:
                over = (
                    k for k, own in self._athletes.items() if all(known.over for known in own.open.values())
                )
                # Whoever has an alarm that goes on stays, however many they are.
                self._athletes.pop(next(over, key), None)
            self._athletes[key] = AthleteAlarms()
        return self._athletes[key]

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

    def _raise(self, own: AthleteAlarms, alarm: Alarm, whose: Whose) -> Alarm:
        complete_at = (
            None if alarm.technical else alarm.known_sample + round(COMPLETE_AFTER_S * whose.rate_hz)
        )
        own.open[alarm.identity] = Open(
            alarm, complete_at_sample=complete_at, last_episode=alarm.episode, asked_at=alarm.at
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
        if known.alarm.priority == "high" or not escalates(event):
            return []
        known.alarm = msgspec.structs.replace(
            alarm,
            transition="escalated",
            priority="high",
            episode=known.alarm.episode,
            onset_at=known.alarm.onset_at,
        )
        # Whoever acknowledged the lesser alarm has not seen this one.
        known.acknowledged_by, known.acknowledged_at = "", 0.0
        known.asked_at, known.escalated, known.unanswered = now, True, False
        return [known.alarm]

    def _move_on(
        self, own: AthleteAlarms, whose: Whose, end_sample: int, now: float, *, signal_ends: bool = False
    ) -> list[Alarm]:
        """Tell what is due once all samples before `end_sample` are known."""
        told = []
        for kind, over in list(own.over.items()):
            if over.sample + self._rules[kind].repeat_after_s * whose.rate_hz < end_sample:
                del own.over[kind]
                self._changed = True
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

    def _clear(self, own: AthleteAlarms, known: Open, known_sample: int, now: float) -> Alarm:
        known.over = True
        known.over_at_sample = None
        alarm = known.alarm
        if self._rules[alarm.kind].repeat_after_s > 0:
            own.over[alarm.kind] = Over(alarm.strap, alarm.boot, known_sample)
        self._drop_if_done(own, alarm.identity, now)
        return msgspec.structs.replace(alarm, transition="cleared", known_sample=known_sample, at=now)

    def _drop_if_done(self, own: AthleteAlarms, identity: str, now: float) -> None:
        known = own.open[identity]
        if not known.over or known.complete_at_sample is not None:
            return
        rule = self._rules[known.alarm.kind]
        if known.acknowledged_by or (not rule.latched and now - known.alarm.at >= rule.display_s):
            del own.open[identity]
            self._changed = True

    # --- what is told ----------------------------------------------------------------------------------------------

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
            model=self._model,
            settings_hash=self._settings_hash,
        )

    def _most_urgent(self, team: str, athlete: str) -> Priority | None:
        """Return the most urgent priority among the open alarms of an athlete, or of a whole team."""
        present = [
            known.alarm.priority
            for key, own in self._athletes.items()
            if key[0] == team and athlete in ("", key[1])
            for known in own.open.values()
            if not known.over or not known.acknowledged_by
        ]
        return min(present, key=PRIORITIES.index, default=None)


def replay(inputs: Iterable[Input]) -> list[Alarm]:
    """Return the transitions that recorded inputs bring, in order: those of the machine that recorded them.

    Parameters
    ----------
    inputs : iterable of Input
        As the recorder was given them, from a checkpoint on.
    """
    machine = AlarmMachine()
    return [alarm for given in inputs for alarm in machine.take(given)]
