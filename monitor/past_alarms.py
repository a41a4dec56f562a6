"""Whether an alarm of this kind happened to this athlete before: how often, and when last."""

from typing import Final

from monitor.contract import Alarm

_KEPT: Final = 8


class PastAlarms:
    """What was raised for one athlete, by kind, since the monitor has watched the session."""

    def __init__(self) -> None:
        self._count: dict[str, int] = {}
        self._last: dict[str, list[tuple[int, int, float]]] = {}

    def add(self, alarm: Alarm) -> None:
        """Count an alarm that was raised; the same one counts once."""
        last = self._last.setdefault(alarm.kind, [])
        if any(known[:2] == (alarm.boot, alarm.episode) for known in last):
            return
        last.append((alarm.boot, alarm.episode, alarm.onset_at))
        del last[:-_KEPT]
        self._count[alarm.kind] = self._count.get(alarm.kind, 0) + 1

    def before(self, alarm: Alarm) -> tuple[int, float]:
        """Return how many of its kind were raised before an alarm, and the Unix time of the last one's onset, or 0."""
        last = self._last.get(alarm.kind, [])
        place = next(
            (k for k, known in enumerate(last) if known[:2] == (alarm.boot, alarm.episode)), len(last)
        )
        count = self._count.get(alarm.kind, 0) - (len(last) - place)
        return count, last[place - 1][2] if place else 0.0

    def described(self) -> list[tuple[str, int, list[tuple[int, int, float]]]]:
        """Return all of it in plain values, for `take_over`."""
        return [(kind, count, list(self._last[kind])) for kind, count in self._count.items()]

    def take_over(self, described: list[tuple[str, int, list[tuple[int, int, float]]]]) -> None:
        """Take over what `described` gave."""
        self._count = {kind: int(count) for kind, count, _ in described}
        self._last = {
            kind: [(int(boot), int(episode), float(at)) for boot, episode, at in last]
            for kind, _, last in described
        }
