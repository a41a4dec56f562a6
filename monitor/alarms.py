"""The life of an alarm: held back, raised, escalated, completed, unanswered, cleared, acknowledged.

One pure machine for all athletes. What comes in: rhythm events and the samples' progress (on the sample clock), timed
ticks, acknowledgements, commands, changed rules. What comes out: transitions, in order. It reads no clock and keeps no
connection, so the same inputs give the same alarms again: `AlarmMachine` hands what it takes to a recorder, and
`replay` makes the alarms of a recording anew.

Priorities, latching, delays and pauses follow IEC 60601-1-8 in spirit and words; no conformity is claimed.
"""

from collections.abc import Iterable, Mapping
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
from monitor.alarm_life import COMPLETE_AFTER_S, MAX_LATCHED, AlarmLife
from monitor.alarm_pauses import Pauses
from monitor.alarm_state import SAME_EPISODE_S, AthleteAlarms, shown
from monitor.catalogue import Kind, RuleChange, changed_rules
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
        self._changes = dict(changes or {})
        self._life = AlarmLife(changed_rules(self._changes), model=model, settings_hash=settings_hash)
        self._recorder: Recorder | None = None
        self._athletes: dict[tuple[str, str], AthleteAlarms] = {}
        self._pauses = Pauses()

    def take(self, given: Input) -> list[Alarm]:  # noqa: C901 - one case an input, and nothing in them
        """Take any input; the methods below are the same by name."""
        life, told = self._life, []
        life.changed = False
        match given:
            case OnEvent(whose, event, now, for_good):
                told = life.event(self._own(whose), whose, event, now, for_good=for_good)
            case OnSamples(whose, end_sample, now, signal_ends):
                own = self._athletes.get((whose.team, whose.athlete), AthleteAlarms())
                told = life.move_on(own, whose, end_sample, now, signal_ends=signal_ends)
            case OnTick(now):
                told = self._tick(now)
            case OnAcknowledgement(team, athlete, identity, by, now):
                own = self._athletes.get((team, athlete), AthleteAlarms())
                told = life.acknowledge(own, identity, by, now)
            case OnCommand(command, now):
                self._pauses.command(command, self._most_urgent(command.team, command.athlete), now)
                life.changed = True
            case OnBootEnd(team, athlete, boot, now):
                own = self._athletes.get((team, athlete), AthleteAlarms())
                told = life.end_boot(own, boot, now)
            case OnRules(changes, settings_hash, _, model):
                self._changes, life.rules = changes, changed_rules(changes)
                life.settings_hash = settings_hash
                life.model = life.model if model is None else model
                life.changed = True
            case OnImport(team, athlete, alarms):
                self._athletes[team, athlete] = msgspec.msgpack.decode(alarms, type=AthleteAlarms)
                life.changed = True
        for alarm in told:
            self._pauses.sounds(alarm)
        if self._recorder is not None and (told or life.changed):
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
        rules = OnRules(dict(self._changes), self._life.settings_hash, 0.0, self._life.model)
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
            by_urgency([shown(known, self._life.rules[known.alarm.kind]) for known in own.open.values()])
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
        except (KeyError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"alarm state is damaged: {error}") from error

    def _tick(self, now: float) -> list[Alarm]:
        told = []
        if self._pauses.expire(now):
            self._life.changed = True
        for key in list(self._athletes):
            own = self._athletes[key]
            told += self._life.tick(own, now)
            if not (own.open or own.held or own.over or own.raised):
                del self._athletes[key]
        return told

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
