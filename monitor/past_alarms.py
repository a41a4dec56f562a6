"""Whether an alarm of this kind happened to this athlete before: how often, and when last."""

from array import array
from typing import Final

from monitor.contract import Alarm

_KEPT: Final = 8
_NUMBERS: Final = 3

_Known = tuple[int, int, float]
"""Boot, episode, Unix time of the onset."""


class PastAlarms:
    """What was raised for one athlete, by kind, since the monitor has watched the session."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        # Bare numbers, three an alarm: it is looked at with each alarm, and kept for as long as the session.
        self._last: dict[str, array[float]] = {}

    def add(self, alarm: Alarm) -> None:
        """Count an alarm that was raised; the same one counts once."""
        if any(known[:2] == (alarm.boot, alarm.episode) for known in self._of(alarm.kind)):
            return
        last = self._last.setdefault(alarm.kind, array("d"))
        last.extend((alarm.boot, alarm.episode, alarm.onset_at))
        del last[: -_KEPT * _NUMBERS]
        self._count[alarm.kind] = self._count.get(alarm.kind, 0) + 1

    def before(self, alarm: Alarm) -> tuple[int, float]:
        """Return how many of its kind were raised before an alarm, and the Unix time of the last one's onset, or 0."""
        last = self._of(alarm.kind)
        place = next(
            (k for k, known in enumerate(last) if known[:2] == (alarm.boot, alarm.episode)), len(last)
        )
        count = self._count.get(alarm.kind, 0) - (len(last) - place)
        return count, last[place - 1][2] if place else 0.0

    def described(self) -> list[tuple[str, int, list[_Known]]]:
        """Return all of it in plain values, for `take_over`."""
        return [(kind, count, self._of(kind)) for kind, count in self._count.items()]

    def take_over(self, described: list[tuple[str, int, list[_Known]]]) -> None:
        """Take over what `described` gave."""
        self._count = {kind: int(count) for kind, count, _ in described}
        self._last = {
            kind: array("d", [float(number) for known in last for number in known])
            for kind, _, last in described
        }

    def _of(self, kind: str) -> list[_Known]:
        last = self._last.get(kind, ())
        return [(int(last[k]), int(last[k + 1]), last[k + 2]) for k in range(0, len(last), _NUMBERS)]
