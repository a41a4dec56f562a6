"""How long messages may be left with the broker: a flood passes meanwhile, lasting overload does not."""

from typing import Final

LONGEST_S: Final = 20.0
"""So long in one go what comes is left with the broker."""
REGAINED: Final = 0.1
"""Seconds that are regained in each second of reading."""


class Patience:
    """Decides whether reading is put off while there is no room.

    After an outage a broker pours out at once what it has kept: it can keep it for some seconds more. A monitor for
    which there is too much for long must not hide that in the broker's queue, where it grows old and may be dropped by
    somebody who tells nobody: once patience is used up it reads all the same, and counts what finds no room.

    A pure machine: it is told the time.
    """

    def __init__(self) -> None:
        self._left_s = LONGEST_S
        self._looked_at: float | None = None
        self._waits = self._used_up = False

    def waits(self, now: float, *, full: bool) -> bool:
        """Return whether to wait on.

        Parameters
        ----------
        now : float
            Seconds, on a clock that only moves forward.
        full : bool
            Whether there is no room just now.
        """
        since_s = 0.0 if self._looked_at is None else now - self._looked_at
        self._looked_at = now
        regained_s = -since_s if self._waits else REGAINED * since_s
        self._left_s = min(max(self._left_s + regained_s, 0.0), LONGEST_S)
        # Once it is used up it has to come back by half, else waiting and reading took turns.
        self._used_up = self._left_s <= 0.0 or (self._used_up and self._left_s < LONGEST_S / 2)
        self._waits = full and not self._used_up
        return self._waits
