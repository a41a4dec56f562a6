"""An event of a session, an alarm that was raised, and what settles whether the one was found by the other."""

from dataclasses import dataclass, field, replace
from typing import Final, Literal

from monitor.contract import Alarm
from simulators.scenario_straps import Life

Status = Literal["found", "missed", "explained", "false", "optional"]

NEAR_S: Final = 2.5
"""How far from a true episode's ends an alarm's onset may lie: two onsets within 2 s are one episode."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened or was told.

    Attributes
    ----------
    kind : str
        Of a true episode its kind, of a trouble or an expectation that of the alarm, of a false alarm its kind.
    athlete : str
        Whose.
    at_s, end_s : float
        From when to when, in seconds of the session.
    status : str
        ``"found"``, ``"missed"``, ``"explained"``, ``"optional"`` (may come, did not) or ``"false"``.
    why : str
        The cause that explains it, the trouble behind it, or where it comes from.
    alarm : str
        The alarm that found it: its identity; empty if none.
    delay_s : float or None
        From its onset to the alarm's entry, in seconds of the session.
    """

    kind: str
    athlete: str
    at_s: float
    end_s: float
    status: Status
    why: str = ""
    alarm: str = ""
    delay_s: float | None = None


@dataclass(slots=True, eq=False)
class Raised:
    """An alarm that was raised.

    Attributes
    ----------
    alarm : Alarm
        As it was told.
    entered_at : float
        Unix time, in seconds, at which the Stream took it.
    life : Life
        The boot it is about.
    start_at : float
        Unix time at which that strap's schedule began.
    right : bool
        Something in the truth calls for it, or allows it.
    """

    alarm: Alarm
    entered_at: float
    life: Life
    start_at: float
    right: bool = field(default=False)

    @property
    def at_s(self) -> float:
        """When its episode begins, in seconds of the session."""
        return self.life.session_s(self.alarm.episode)

    def delay_s(self, since_s: float) -> float:
        """Return seconds of session from `since_s` to the alarm's entry."""
        return (self.entered_at - self.start_at) * self.life.strap.speed - since_s


def settled(event: Event, finder: Raised | None, cause: str | None) -> Event:
    """Return an event as found by an alarm, else as explained by a cause, else as it was.

    Parameters
    ----------
    event : Event
        What happened.
    finder : Raised or None
        The alarm that found it.
    cause : str or None
        Why it could not be found.
    """
    if finder is not None:
        delay_s = round(finder.delay_s(event.at_s), 3)
        return replace(event, status="found", alarm=finder.alarm.identity, delay_s=delay_s)
    if cause is not None:
        return replace(event, status="explained", why=cause)
    return event
