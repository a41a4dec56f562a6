"""When work exceeds the machine: what is left out, in which order, and when it is done again.

How late the monitor is decides: seconds from a packet's arrival until all that it brings has been told. A step is taken
when it has been late for a while, and taken back when it has kept up for much longer, so that it does not swing. Left
out are, one after the other, waveforms for the eye, the denoising of beats that look like the athlete's own usual ones,
and asking the classifier about those that the athlete has had by the dozen. R peaks, pauses, lead-off and alarms are
never left out: they need no more than the packets.

A pure machine: what it takes is told, and it reads no clock.
"""

from dataclasses import dataclass
from typing import Final

WAVEFORMS: Final = 1
DENOISING: Final = 2
CLASSIFYING: Final = 3
"""Steps of relief: what is left out from each of them on, with all before it."""
STEPS: Final = ("nothing", "waveforms", "denoising of usual beats", "classifying of usual beats")
LATE_S: Final = 0.5
IN_TIME_S: Final = 0.25
"""Late is above the one, in time below the other; in between a step stands. A step is taken back by a look that finds
the monitor in time and it has not been late for `BETTER_AFTER_S`."""
WORSE_AFTER_S: Final = 1.0
BETTER_AFTER_S: Final = 10.0


@dataclass(slots=True)
class LoadGovernor:
    """Chooses the step of relief.

    Attributes
    ----------
    step : int
        From here on and below in `STEPS` things are left out; 0 for nothing.
    late_s : float
        How late the monitor was last, in seconds.
    """

    step: int = 0
    late_s: float = 0.0
    _late_since: float | None = None
    _not_late_since: float | None = None

    def look(self, late_s: float, now: float) -> int:
        """Take how late the monitor is, and return the step that holds from now on.

        Parameters
        ----------
        late_s : float
            Seconds since the oldest packet arrived whose effect has just been told; 0 where there was none.
        now : float
            Seconds, on a clock that only moves forward.
        """
        self.late_s = late_s
        self._late_since = _since(self._late_since, now, holds=late_s > LATE_S)
        self._not_late_since = _since(self._not_late_since, now, holds=late_s <= LATE_S)
        if self._late_since is not None and now - self._late_since >= WORSE_AFTER_S:
            self.step = min(self.step + 1, CLASSIFYING)
            self._late_since = now
        rested = self._not_late_since is not None and now - self._not_late_since >= BETTER_AFTER_S
        if rested and late_s < IN_TIME_S:
            self.step = max(self.step - 1, 0)
            self._not_late_since = now
        return self.step


def _since(since: float | None, now: float, *, holds: bool) -> float | None:
    if not holds:
        return None
    return now if since is None else since
