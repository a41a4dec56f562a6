"""The life of an alarm: raised, escalated, completed, cleared, acknowledged.

One pure machine for all athletes. What comes in: rhythm events (on the sample clock), timed ticks, acknowledgements,
the news that a strap fell silent. What comes out: transitions, in order. It reads no clock and keeps no connection,
so the same inputs give the same alarms again.
"""

from dataclasses import dataclass
from math import isnan
from typing import Final

import msgspec
import numpy as np

from monitor.catalogue import CATALOGUE, AlarmRule, escalates
from monitor.contract import PRIORITIES, Alarm, AlarmTransition, Priority, RhythmEvent, RowState
from monitor.live_state import ActiveAlarm, by_urgency
from monitor.rows import number_in

VERSION: Final = 2
DISPLAY_S: Final = 30.0
"""An alarm that is over stays on screen at least this long after it was raised."""
COMPLETE_AFTER_S: Final = 5.0
"""The strip goes on this long after the alarm was known; then the alarm is told again, complete."""
SAME_EPISODE_S: Final = 2.0
"""Two onsets of one kind this close, in seconds of samples, are one episode: it is told as over no sooner."""
MAX_LATCHED: Final = 20
"""Alarms that one athlete may have open at once; beyond it the oldest of the least urgent that are over leave."""


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose event it is, and how its samples become times.

    Attributes
    ----------
    team, athlete : str
        Pseudonyms.
    boot : int
        The strap's boot.
    rate_hz : float
        Sampling rate.
    known_at : float
        Unix time, in seconds, at which the strap's schedule had sample `known_sample`; 0 where unknown.
    known_sample : int
        See `known_at`.
    """

    team: str
    athlete: str
    boot: int
    rate_hz: float
    known_at: float
    known_sample: int

    def at(self, sample: int) -> float:
        """Return the Unix time of a sample by the strap's schedule; 0 where unknown."""
        if self.known_at <= 0.0:
            return 0.0
        return self.known_at + (sample - self.known_sample) / self.rate_hz


class _Open(msgspec.Struct):
    """An alarm that is still on somebody's screen."""

    alarm: Alarm
    over: bool = False
    acknowledged_by: str = ""
    complete_at_sample: int | None = None
    last_episode: int = -1  # the onset that came last, of those that are one episode
    over_at_sample: int | None = (
        None  # the condition is over; so is the alarm once the samples have come here
    )


class AlarmMachine:
    """Turns events into transitions of alarms, and knows which alarms are open."""

    def __init__(self, *, model: str = "", settings_hash: str = "") -> None:
        self._model = model
        self._settings_hash = settings_hash
        self._open: dict[tuple[str, str], dict[str, _Open]] = {}

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
        rule = CATALOGUE[event.kind]
        alarms = self._open.setdefault((whose.team, whose.athlete), {})
        alarm = self._alarm(whose, event, rule, now)
        known = self._known(alarms, alarm, whose)
        if event.transition == "onset":
            return self._begin(alarms, known, alarm, whose)
        if known is None:
            return []
        if event.transition == "update":
            if known.alarm.priority == "high" or not escalates(event):
                return []
            escalated = self._alarm(whose, event, rule, now, transition="escalated", priority="high")
            known.alarm = msgspec.structs.replace(
                escalated, episode=known.alarm.episode, onset_at=known.alarm.onset_at
            )
            # Whoever acknowledged the lesser alarm has not seen this one.
            known.acknowledged_by = ""
            return [known.alarm]
        over_at = known.alarm.episode + round(SAME_EPISODE_S * whose.rate_hz)
        if event.known_sample <= over_at and not for_good:
            known.over_at_sample = over_at
            return []
        return [self._clear(alarms, known, event.known_sample, now)]

    def advance(self, whose: Whose, end_sample: int, now: float, *, signal_ends: bool = False) -> list[Alarm]:
        """Let one athlete's samples reach `end_sample`: strips that are complete and alarms that are over are told.

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
        alarms = self._open.get((whose.team, whose.athlete))
        if not alarms:
            return []
        told = []
        for known in list(alarms.values()):
            if known.alarm.boot != whose.boot:
                continue
            complete_at = known.complete_at_sample
            if complete_at is not None and (signal_ends or end_sample >= complete_at):
                told.append(
                    msgspec.structs.replace(
                        known.alarm,
                        transition="completed",
                        known_sample=max(min(complete_at, end_sample - 1), known.alarm.known_sample),
                        at=now,
                    )
                )
                known.complete_at_sample = None
            if known.over_at_sample is not None and end_sample > known.over_at_sample:
                told.append(self._clear(alarms, known, known.over_at_sample, now))
        return told

    def tick(self, now: float) -> None:
        """Let time reach `now`: alarms that are over and have been shown long enough leave the screen."""
        for key in list(self._open):
            alarms = self._open[key]
            for identity in list(alarms):
                self._drop_if_done(alarms, identity, CATALOGUE[alarms[identity].alarm.kind], now)
            if not alarms:
                del self._open[key]

    def acknowledge(self, team: str, athlete: str, identity: str, by: str, now: float) -> list[Alarm]:
        """Take the word that somebody has seen an alarm; unknown or acknowledged ones change nothing.

        The alarm may go by the name that another monitor gave it, whose onset lay within `SAME_EPISODE_S` of ours.
        """
        alarms = self._open.get((team, athlete), {})
        known = alarms.get(identity) or _nearest(alarms, identity)
        if known is None or known.acknowledged_by:
            return []
        known.acknowledged_by = by
        acknowledged = msgspec.structs.replace(known.alarm, transition="acknowledged", at=now, by=by)
        self._drop_if_done(alarms, known.alarm.identity, CATALOGUE[known.alarm.kind], now)
        return [acknowledged]

    def end_boot(self, team: str, athlete: str, boot: int, now: float) -> list[Alarm]:
        """Clear what an earlier boot of a strap left open: its samples will not go on."""
        told = []
        alarms = self._open.get((team, athlete), {})
        for identity, known in list(alarms.items()):
            if known.alarm.boot != boot:
                continue
            known.complete_at_sample = None
            if not known.over:
                told.append(self._clear(alarms, known, known.alarm.known_sample, now))
            else:
                self._drop_if_done(alarms, identity, CATALOGUE[known.alarm.kind], now)
        return told

    def active(self, team: str, athlete: str) -> list[ActiveAlarm]:
        """Return the alarms of one athlete that belong on screen, most urgent first."""
        alarms = self._open.get((team, athlete), {})
        return by_urgency(
            [
                ActiveAlarm(
                    identity=identity,
                    kind=known.alarm.kind,
                    priority=known.alarm.priority,
                    technical=known.alarm.technical,
                    message=known.alarm.message,
                    action=known.alarm.action,
                    raised_at=known.alarm.at,
                    acknowledged_by=known.acknowledged_by,
                    cleared=known.over,
                )
                for identity, known in alarms.items()
            ]
        )

    def export_athlete(self, team: str, athlete: str) -> RowState:
        """Return the open alarms of one athlete as plain arrays."""
        alarms = self._open.get((team, athlete), {})
        return {
            "version": np.array(VERSION),
            "alarms": np.frombuffer(msgspec.msgpack.encode(alarms), np.uint8).copy(),
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
            alarms = msgspec.msgpack.decode(state["alarms"].tobytes(), type=dict[str, _Open])
        except (KeyError, msgspec.DecodeError) as error:
            raise ValueError(f"alarm state is damaged: {error}") from error
        self._open[team, athlete] = alarms

    def _alarm(
        self,
        whose: Whose,
        event: RhythmEvent,
        rule: AlarmRule,
        now: float,
        *,
        transition: AlarmTransition = "raised",
        priority: Priority | None = None,
    ) -> Alarm:
        return Alarm(
            team=whose.team,
            athlete=whose.athlete,
            boot=whose.boot,
            kind=event.kind,
            episode=event.episode,
            transition=transition,
            priority=priority or rule.priority,
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

    def _begin(
        self, alarms: dict[str, _Open], known: _Open | None, alarm: Alarm, whose: Whose
    ) -> list[Alarm]:
        if known is not None:
            known.last_episode = alarm.episode
            known.over_at_sample = None
            return []
        complete_at = (
            None if alarm.technical else alarm.known_sample + round(COMPLETE_AFTER_S * whose.rate_hz)
        )
        alarms[alarm.identity] = _Open(alarm, complete_at_sample=complete_at, last_episode=alarm.episode)
        self._bound(alarms)
        return [alarm]

    def _clear(self, alarms: dict[str, _Open], known: _Open, known_sample: int, now: float) -> Alarm:
        known.over = True
        known.over_at_sample = None
        self._drop_if_done(alarms, known.alarm.identity, CATALOGUE[known.alarm.kind], now)
        return msgspec.structs.replace(known.alarm, transition="cleared", known_sample=known_sample, at=now)

    @staticmethod
    def _known(alarms: dict[str, _Open], alarm: Alarm, whose: Whose) -> _Open | None:
        """Return the open alarm that is the same episode."""
        reach = round(SAME_EPISODE_S * whose.rate_hz)
        for known in alarms.values():
            if (
                not known.over
                and (known.alarm.kind, known.alarm.boot) == (alarm.kind, alarm.boot)
                and (known.last_episode == alarm.episode or abs(known.alarm.episode - alarm.episode) <= reach)
            ):
                return known
        return None

    @staticmethod
    def _drop_if_done(alarms: dict[str, _Open], identity: str, rule: AlarmRule, now: float) -> None:
        known = alarms[identity]
        if not known.over or known.complete_at_sample is not None:
            return
        if known.acknowledged_by or (not rule.latched and now - known.alarm.at >= DISPLAY_S):
            del alarms[identity]

    @staticmethod
    def _bound(alarms: dict[str, _Open]) -> None:
        over = [known for known in alarms.values() if known.over]
        if len(alarms) > MAX_LATCHED and over:
            least = max(over, key=lambda known: (PRIORITIES.index(known.alarm.priority), -known.alarm.at))
            del alarms[least.alarm.identity]


def _nearest(alarms: dict[str, _Open], identity: str) -> _Open | None:
    """Return the alarm that another monitor knows by `identity`, if there is one."""
    begin, _, episode = identity.rpartition(".")
    if not episode.isdecimal():
        return None
    near = [
        (abs(known.alarm.episode - int(episode)), known)
        for known in alarms.values()
        if known.alarm.identity.rpartition(".")[0] == begin
    ]
    apart, nearest = min(near, key=lambda found: found[0], default=(0, None))
    return nearest if nearest is not None and apart <= SAME_EPISODE_S * nearest.alarm.rate_hz else None
