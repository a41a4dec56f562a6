"""What people and receivers answer to alarms: commands, the audit trail, feedback, and whether a receiver lives.

Names of keys and the records behind them, as in `monitor.live_state`, whose page lists all keys.
"""

from typing import Final, Literal

import msgspec

from monitor.contract import Alarm
from monitor.live_state import PREFIX

COMMANDS_KEPT: Final = 1_000
AUDIT_KEPT: Final = 10_000
FEEDBACK_KEPT: Final = 5_000
RECEIVER_PATTERN: Final = "strapwatch:receiver:*"
RECEIVER_TTL_S: Final = 15


def commands_key(team: str) -> str:
    """Return the Stream of commands to a team's monitors."""
    return f"{PREFIX}commands:{{{team}}}"


def audit_key(team: str) -> str:
    """Return the Stream in which stands who changed what for a team, and when."""
    return f"{PREFIX}audit:{{{team}}}"


def feedback_key(team: str) -> str:
    """Return the Stream of what physicians said of a team's alarms."""
    return f"{PREFIX}feedback:{{{team}}}"


def receiver_key(name: str) -> str:
    """Return the key of a receiver's heartbeat."""
    return f"{PREFIX}receiver:{name}"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wants all monitors of a team to do.

    Attributes
    ----------
    action : {'pause', 'resume'}
        Let alarms make no sound for a while, or let them again.
    team, athlete : str
        Whose; an empty athlete means the whole team.
    by : str
        Who wants it.
    at : float
        Unix time in seconds.
    seconds : float
        For how long.
    """

    action: Literal["pause", "resume"]
    team: str
    athlete: str = ""
    by: str
    at: float
    seconds: float = 0.0


class AuditEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit trail: who changed what, and when.

    Attributes
    ----------
    at : float
        Unix time in seconds.
    team, athlete : str
        Whose; an empty athlete means the whole team.
    by : str
        A person, ``"file <name> of <owner>"`` or ``"monitor <id>"``.
    action : str
        Such as ``"pause"``, ``"pause ended"``, ``"setting changed"``, ``"settings refused"``, ``"feedback"``.
    detail : str
        What it was before and is now, or why.
    """

    at: float
    team: str
    athlete: str = ""
    by: str
    action: str
    detail: str = ""


class Feedback(msgspec.Struct, frozen=True, kw_only=True):
    """What a physician said of an alarm.

    Attributes
    ----------
    identity : str
        Of the alarm.
    at : float
        Unix time in seconds.
    by : str
        Who said it.
    verdict : {'true', 'false', 'comment'}
        Whether the alarm was right; ``"comment"`` says neither.
    finding : str
        Of a true alarm: what it is, such as ``"ventricular_run"`` or free words; empty if it is as the alarm says.
    comment : str
        Free words.
    alarm : Alarm or None
        The alarm as it was last told with a strip, so that it outlives the alarms Stream.
    """

    identity: str
    at: float
    by: str
    verdict: Literal["true", "false", "comment"]
    finding: str = ""
    comment: str = ""
    alarm: Alarm | None = None


class ReceiverState(msgspec.Struct, frozen=True, kw_only=True):
    """A receiver's heartbeat.

    Attributes
    ----------
    name : str
        Its name, which is that of its consumer group.
    at : float
        Unix time in seconds.
    delivered, failed : int
        Deliveries that were taken, and attempts that were not.
    waiting : int
        Entries that it has been given and has not acknowledged.
    canary_age_s : float or None
        Seconds since the last test alarm came; None before the first.
    trouble : str
        Why the last attempt failed; empty if it did not.
    """

    name: str
    at: float
    delivered: int
    failed: int
    waiting: int
    canary_age_s: float | None = None
    trouble: str = ""
