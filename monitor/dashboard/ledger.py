"""The life of each alarm, put together from the transitions in the alarms Stream."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.catalogue import CATALOGUE
from monitor.contract import Alarm
from monitor.live_state import ActiveAlarm, AthleteState, by_urgency

KEPT: Final = 1_000
"""Alarms that a ledger remembers; the oldest leave first."""


@dataclass(frozen=True, slots=True)
class AlarmRecord:
    """One alarm with all transitions seen so far.

    Attributes
    ----------
    raised_at : float
        Unix time, in seconds, of the first transition.
    latest : Alarm
        The newest transition that says something about the heart or the strap (not an acknowledgement).
    acknowledged_by : str
        Who acknowledged; empty if nobody has.
    acknowledged_at, cleared_at : float or None
        Unix times in seconds.
    transitions : tuple of Alarm
        In the order of the Stream.
    """

    raised_at: float
    latest: Alarm
    acknowledged_by: str
    acknowledged_at: float | None
    cleared_at: float | None
    transitions: tuple[Alarm, ...]

    @property
    def identity(self) -> str:
        """The alarm's identity."""
        return self.latest.identity

    @property
    def acknowledged(self) -> bool:
        """Whether somebody has acknowledged it."""
        return self.acknowledged_at is not None

    @property
    def is_open(self) -> bool:
        """Whether it still calls for somebody: not over, or over but latched until acknowledged."""
        return self.cleared_at is None or (self.latched and not self.acknowledged)

    @property
    def latched(self) -> bool:
        """Whether it stays after its condition is over until somebody acknowledges it."""
        return CATALOGUE[self.latest.kind].latched

    @property
    def escalated(self) -> bool:
        """Whether its priority has risen since it was raised."""
        return any(alarm.transition == "escalated" for alarm in self.transitions)

    @property
    def unanswered(self) -> bool:
        """Whether nobody acknowledged it in time."""
        return any(alarm.transition == "unanswered" for alarm in self.transitions)

    @property
    def told_with_strip(self) -> Alarm | None:
        """The newest transition that carries a strip; None where there is none."""
        return next((alarm for alarm in reversed(self.transitions) if alarm.strip is not None), None)

    def as_active(self) -> ActiveAlarm:
        """Return it as an athlete's state lists it."""
        return ActiveAlarm(
            identity=self.identity,
            kind=self.latest.kind,
            priority=self.latest.priority,
            technical=self.latest.technical,
            message=self.latest.message,
            action=self.latest.action,
            raised_at=self.raised_at,
            acknowledged_by=self.acknowledged_by,
            cleared=self.cleared_at is not None,
            acknowledged_at=self.acknowledged_at or 0.0,
            strap=self.latest.strap,
            escalated=self.escalated,
            unanswered=self.unanswered,
        )


def follow(record: AlarmRecord | None, alarm: Alarm) -> AlarmRecord:
    """Return an alarm's record after one more transition."""
    transitions = (*record.transitions, alarm) if record else (alarm,)
    raised_at = record.raised_at if record else alarm.at
    latest = record.latest if record else alarm
    acknowledged_by = record.acknowledged_by if record else ""
    acknowledged_at = record.acknowledged_at if record else None
    cleared_at = record.cleared_at if record else None
    if alarm.transition == "escalated":
        acknowledged_by, acknowledged_at = "", None
    if alarm.transition == "acknowledged":
        acknowledged_by, acknowledged_at = alarm.by or "somebody", alarm.at
    else:
        latest = alarm
        if alarm.transition == "cleared":
            cleared_at = alarm.at
    return AlarmRecord(raised_at, latest, acknowledged_by, acknowledged_at, cleared_at, transitions)


class Ledger:
    """All alarms of the teams that are read."""

    def __init__(self) -> None:
        self._records: dict[str, AlarmRecord] = {}

    def add(self, alarm: Alarm) -> AlarmRecord:
        """Take in one transition, in the order of the Stream, and return the alarm's record."""
        record = follow(self._records.get(alarm.identity), alarm)
        self._records[alarm.identity] = record
        if len(self._records) > KEPT:
            # An open alarm stays however old it is.
            oldest = next((i for i, r in self._records.items() if not r.is_open), next(iter(self._records)))
            del self._records[oldest]
        return record

    def records(self) -> list[AlarmRecord]:
        """Return all alarms, the newest first."""
        return sorted(self._records.values(), key=lambda record: record.raised_at, reverse=True)

    def by_athlete(self) -> dict[tuple[str, str], list[AlarmRecord]]:
        """Return the alarms of each (team, athlete), the newest first."""
        found: dict[tuple[str, str], list[AlarmRecord]] = {}
        for record in self.records():
            found.setdefault((record.latest.team, record.latest.athlete), []).append(record)
        return found


def active_alarms(state: AthleteState, records: Iterable[AlarmRecord]) -> list[ActiveAlarm]:
    """Return an athlete's alarms that are not over, most urgent first.

    The state is the monitor's own word; the Stream is ahead of it by up to one refresh, and goes on being written (by
    whoever acknowledges) when no monitor refreshes the state.
    """
    known = {record.identity: record for record in records}
    active: dict[str, ActiveAlarm] = {}
    for alarm in state.alarms:
        record = known.get(alarm.identity)
        active[alarm.identity] = _newest_word(alarm, record, state.updated_at) if record else alarm
    for identity, record in known.items():
        if identity not in active and record.is_open and record.transitions[-1].at > state.updated_at:
            active[identity] = record.as_active()
    return by_urgency([a for a in active.values() if not (a.cleared and a.acknowledged_by)])


def _newest_word(alarm: ActiveAlarm, record: AlarmRecord, state_at: float) -> ActiveAlarm:
    newest = record.as_active()
    if record.latest.at > state_at:
        return newest
    if record.acknowledged and not alarm.acknowledged_by:
        return msgspec.structs.replace(
            alarm, acknowledged_by=record.acknowledged_by, acknowledged_at=record.acknowledged_at or 0.0
        )
    return alarm


def describe(record: AlarmRecord, alarms: Sequence[ActiveAlarm] | None) -> str:
    """Return an alarm's present state in words.

    Parameters
    ----------
    record : AlarmRecord
        The alarm.
    alarms : sequence of ActiveAlarm or None
        What the athlete's state lists; None where no monitor has kept that state alive.
    """
    if alarms is None and record.is_open:
        seen = f"acknowledged by {record.acknowledged_by}" if record.acknowledged else "not acknowledged"
        return f"open, {seen}, no longer monitored"
    over = not record.is_open or (alarms is not None and all(a.identity != record.identity for a in alarms))
    by = f"acknowledged by {record.acknowledged_by}" if record.acknowledged else ""
    if over:
        return f"over, {by}" if by else "over"
    if by:
        return f"active, {by}"
    return "over, not acknowledged" if record.cleared_at is not None else "active"
