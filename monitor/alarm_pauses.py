"""Pauses: somebody has heard the alarms and wants silence for a while, which something worse breaks through."""

from typing import Final

import msgspec

from monitor.contract import PRIORITIES, Alarm, Priority
from monitor.responses import AuditEntry, Command

MAX_PAUSE_S: Final = 300.0
"""No pause is longer; whoever needs more says so again."""
_SOUNDS: Final = ("raised", "escalated")


class _Pause(msgspec.Struct):
    until: float
    by: str
    covers: Priority


class Pauses:
    """Who has paused whose alarms, and until when.

    A pause covers priorities up to the most urgent alarm that was open when it began (low, where none was). Silence is
    all it brings: alarms are raised, shown, counted and delivered as ever. It ends by itself, by command, or when
    something comes up that it does not cover: a more urgent alarm, or any new one of high priority.
    """

    def __init__(self) -> None:
        self._pauses: dict[tuple[str, str], _Pause] = {}
        self._notes: list[AuditEntry] = []

    def command(self, command: Command, most_urgent: Priority | None, now: float) -> None:
        """Begin or end a pause.

        Parameters
        ----------
        command : Command
            What somebody wants.
        most_urgent : str or None
            Most urgent priority among the alarms that are open.
        now : float
            Unix time in seconds.
        """
        key = (command.team, command.athlete)
        if command.action == "resume":
            ended = [k for k in self._pauses if k == key or (not command.athlete and k[0] == command.team)]
            for each in ended:
                del self._pauses[each]
                self._note(each, command.by, "pause ended", "by command", now)
            return
        seconds = min(max(command.seconds, 0.0), MAX_PAUSE_S)
        covers: Priority = most_urgent if most_urgent in ("high", "medium") else "low"
        # The time the command took to get here is no part of the pause that somebody was promised.
        # A clock ahead of ours makes no pause longer.
        asked_at = min(max(command.at, now - MAX_PAUSE_S), now)
        self._pauses[key] = _Pause(asked_at + seconds, command.by, covers)
        self._note(key, command.by, "pause", f"{seconds:g} s, covers {covers} and below", now)

    def sounds(self, alarm: Alarm) -> None:
        """Let a transition end the pauses that do not cover it."""
        if alarm.transition not in _SOUNDS or not self._pauses:
            return
        for key in ((alarm.team, alarm.athlete), (alarm.team, "")):
            pause = self._pauses.get(key)
            if pause is None:
                continue
            worse = PRIORITIES.index(alarm.priority) < PRIORITIES.index(pause.covers)
            if worse or alarm.priority == "high":
                del self._pauses[key]
                self._note(key, "monitor", "pause ended", f"{alarm.priority}: {alarm.identity}", alarm.at)

    def expire(self, now: float) -> bool:
        """End what has lasted long enough; return whether anything has."""
        over = [key for key, pause in self._pauses.items() if pause.until <= now]
        for key in over:
            del self._pauses[key]
            self._note(key, "monitor", "pause ended", "time is up", now)
        return bool(over)

    def of(self, team: str, athlete: str) -> tuple[float, str, str]:
        """Return until when an athlete's alarms are silent (0: they are not), who paused, and what that covers."""
        found = [p for key in ((team, athlete), (team, "")) if (p := self._pauses.get(key)) is not None]
        if not found:
            return 0.0, "", ""
        longest = max(found, key=lambda pause: pause.until)
        return longest.until, longest.by, longest.covers

    def notes(self) -> list[AuditEntry]:
        """Return, once, what happened since the last call."""
        notes, self._notes = self._notes, []
        return notes

    def _note(self, key: tuple[str, str], by: str, action: str, detail: str, now: float) -> None:
        self._notes.append(
            AuditEntry(at=now, team=key[0], athlete=key[1], by=by, action=action, detail=detail)
        )
