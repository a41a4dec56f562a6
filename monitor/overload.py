"""When work exceeds the machine: what is left out, in which order, and when it is done again.

How late the monitor is decides: seconds from a packet's arrival until all that it brings has been told. A step is taken
when it has been late for a while, and taken back when that has not been so for much longer, so that it does not swing.
On a machine that does other work too it is late for a moment now and then: that takes no step, and keeps none. Left out
are, one after the other, waveforms for the eye, the denoising of beats that look like the athlete's own usual ones,
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
"""Late is above the one, in time below the other; in between a step stands."""
WORSE_AFTER_S: Final = 1.0
"""Late for so long on end, and a step is taken."""
BETTER_AFTER_S: Final = 10.0
"""A step is taken back by a look that finds the monitor in time, when it was not late for `WORSE_AFTER_S` on end for so
long."""


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
    _worse_at: float = 0.0
    _calm_since: float | None = None

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
        if late_s <= LATE_S:
            self._late_since = None
        elif self._late_since is None:
            self._late_since, self._worse_at = now, now + WORSE_AFTER_S
        lasting = self._late_since is not None and now - self._late_since >= WORSE_AFTER_S
        # What a packet has waited beyond the limit, the monitor has been late for.
        if self._calm_since is None or lasting or late_s > LATE_S + WORSE_AFTER_S:
            self._calm_since = now
        if lasting and now >= self._worse_at:
            self.step = min(self.step + 1, CLASSIFYING)
            self._worse_at = now + WORSE_AFTER_S
        elif late_s < IN_TIME_S and now - self._calm_since >= BETTER_AFTER_S:
            self.step = max(self.step - 1, 0)
            self._calm_since = now
        return self.step
