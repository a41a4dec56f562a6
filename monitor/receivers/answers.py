"""Who still waits for an answer, as the alarms Streams tell it: a pure machine on the server's clock.

The monitor itself tells alarms that nobody answers. It may die first; then the relay does, a little later.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec

from monitor.catalogue import CATALOGUE, AlarmRule, Kind, answer_within_s
from monitor.contract import Alarm

GRACE_S: Final = 5.0
"""How much later than the monitor would tell it."""
_KEPT: Final = 10_000


class _Asked(NamedTuple):
    alarm: Alarm
    due_at: float


class Answers:
    """Alarms that wait for somebody to acknowledge them.

    Parameters
    ----------
    rules : mapping of kind to AlarmRule
        Say how long each may wait.
    """

    def __init__(self, rules: Mapping[Kind, AlarmRule] = CATALOGUE) -> None:
        self._rules = rules
        self._asked: dict[str, _Asked] = {}

    def __len__(self) -> int:
        """Return how many wait."""
        return len(self._asked)

    def take(self, alarm: Alarm, told_at: float) -> None:
        """Take a transition that was added to a Stream at `told_at`, Unix seconds by the server's clock."""
        rule = self._rules[alarm.kind]
        if alarm.transition in ("raised", "escalated"):
            within_s = answer_within_s(rule, alarm.priority)
            if within_s is not None:
                self._asked[alarm.identity] = _Asked(alarm, told_at + within_s + GRACE_S)
            if len(self._asked) > _KEPT:
                del self._asked[next(iter(self._asked))]
        elif alarm.transition in ("acknowledged", "unanswered") or (
            alarm.transition == "cleared" and not rule.latched
        ):
            self._asked.pop(alarm.identity, None)

    def due(self, now: float) -> list[Alarm]:
        """Return, as transitions, what nobody has answered by `now`; it is returned until it has been taken."""
        return [
            msgspec.structs.replace(asked.alarm, transition="unanswered", at=now, by="", strip=None)
            for asked in self._asked.values()
            if now >= asked.due_at
        ]
