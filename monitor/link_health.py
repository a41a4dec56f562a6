"""What a strap says of itself and its link: whether its battery is low, and whether many of its samples never come.

Both turn on at one level and off at another, so that a value that wavers is one alarm. Neither says anything about the
heart; what a missing sample may hide is the business of the stages that miss it.
"""

from typing import Final, Literal

import msgspec

from monitor.contract import EpisodeTransition, RhythmEvent

BATTERY_LOW: Final = 0.15
BATTERY_BACK: Final = 0.20
LOSS_OVER_S: Final = 30.0
"""Stretch of the strap's own time over which samples that never came are counted."""
LOSS_FROM: Final = 0.10
LOSS_BACK: Final = 0.03
LOOKED_EVERY_S: Final = 1.0

LinkKind = Literal["packet_loss", "battery_low"]


class LinkHealth(msgspec.Struct):
    """One strap's battery and link.

    Attributes
    ----------
    battery : float or None
        The charge that was last told, 0 to 1.
    low_since, lossy_since : int or None
        First sample that was not known yet when the alarm began.
    looks : list of (int, int)
        First sample not known yet, and samples lost until then, about once a second.
    """

    battery: float | None = None
    low_since: int | None = None
    lossy_since: int | None = None
    looks: list[tuple[int, int]] = []

    def begin(self) -> None:
        """Begin with another boot: what was open has been ended with the one before."""
        self.low_since = self.lossy_since = None
        self.looks = []

    def look(self, row: int, end_sample: int, lost_samples: int, rate_hz: float) -> list[RhythmEvent]:
        """Return what began or ended by now.

        Parameters
        ----------
        row : int
            Row of the bank, for the events.
        end_sample : int
            First sample that is not known yet.
        lost_samples : int
            How many of this strap's samples never came, since any earlier moment.
        rate_hz : float
            Sampling rate.
        """
        events = []
        if self.battery is not None:
            if self.low_since is None and self.battery <= BATTERY_LOW:
                self.low_since = end_sample
                events.append(_event(row, "battery_low", end_sample, end_sample, "onset", rate_hz))
            elif self.low_since is not None and self.battery >= BATTERY_BACK:
                events.append(_event(row, "battery_low", self.low_since, end_sample, "end", rate_hz))
                self.low_since = None
        share = self._lost_share(end_sample, lost_samples, rate_hz)
        if share is not None and self.lossy_since is None and share >= LOSS_FROM:
            self.lossy_since = end_sample
            events.append(_event(row, "packet_loss", end_sample, end_sample, "onset", rate_hz))
        elif share is not None and self.lossy_since is not None and share < LOSS_BACK:
            events.append(_event(row, "packet_loss", self.lossy_since, end_sample, "end", rate_hz))
            self.lossy_since = None
        return events

    def _lost_share(self, end_sample: int, lost_samples: int, rate_hz: float) -> float | None:
        """Return the share of the samples of the last `LOSS_OVER_S` that were lost; None where nothing is new."""
        if self.looks and end_sample - self.looks[-1][0] < LOOKED_EVERY_S * rate_hz:
            return None
        self.looks.append((end_sample, lost_samples))
        while len(self.looks) > 2 and end_sample - self.looks[1][0] >= LOSS_OVER_S * rate_hz:
            del self.looks[0]
        first_sample, lost_before = self.looks[0]
        # Of a session's first seconds no share is known: what is lost counts against the whole stretch.
        stretch = max(end_sample - first_sample, LOSS_OVER_S * rate_hz)
        return (lost_samples - lost_before) / stretch


def _event(
    row: int, kind: LinkKind, onset: int, known: int, transition: EpisodeTransition, rate_hz: float
) -> RhythmEvent:
    return RhythmEvent(
        row=row,
        kind=kind,
        episode=onset,
        transition=transition,
        onset_sample=onset,
        known_sample=known,
        rate_bpm=float("nan"),
        duration_s=(known - onset) / rate_hz,
        quality=0.0,
    )
