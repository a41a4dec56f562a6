"""Banks: the lines of all sampling rates, and which row of which belongs to whom."""

from collections.abc import Callable, Mapping
from typing import Final

from monitor.athlete import Athlete
from monitor.classifier import BeatClassifier
from monitor.contract import FloatArray
from monitor.line import Line, LineConfig
from monitor.rhythm import AthleteLimits

MAX_RATES: Final = 16
"""Banks there can be: more sampling rates than this are no straps but somebody probing."""
IDLE_BANK_S: Final = 60.0
"""Once there are `MAX_RATES` banks, one that has had no strap for this long makes room for another rate."""

Key = tuple[str, str]


class Banks:
    """A line for each sampling rate, made when a strap needs it.

    Parameters
    ----------
    config : LineConfig
        What decides, apart from the classifier.
    classifier : BeatClassifier or None
        See `monitor.line.Line`.
    limits_of : callable
        Returns the limits of an athlete, given team and athlete.
    corrections : mapping or None
        See `monitor.watch.Watch`.

    Attributes
    ----------
    limits_of : callable
        As above; it may be changed.
    """

    def __init__(
        self,
        config: LineConfig,
        classifier: BeatClassifier | None,
        limits_of: Callable[[str, str], AthleteLimits],
        corrections: Mapping[Key, FloatArray] | None,
    ) -> None:
        self.limits_of = limits_of
        self._config = config
        self._classifier = classifier
        self._corrections = None if corrections is None else dict(corrections)
        self._denoise_all = True
        self._lines: dict[float, Line] = {}
        self._idle_since: dict[float, float] = {}
        self._owners: dict[tuple[float, int], Athlete] = {}

    def __getitem__(self, rate_hz: float) -> Line:
        """Return the line of a sampling rate that there is one for."""
        return self._lines[rate_hz]

    def has_room(self, rate_hz: float) -> bool:
        """Whether straps of this sampling rate can be watched."""
        return rate_hz in self._lines or len(self._lines) < MAX_RATES

    def owner(self, rate_hz: float, row: int) -> Athlete:
        """Return whose row of a line it is."""
        return self._owners[rate_hz, row]

    @property
    def rows(self) -> int:
        """How many rows somebody has."""
        return len(self._owners)

    def denoise(self, *, all_beats: bool) -> None:
        """Let all windows be denoised, or only those that do not resemble the athlete's usual beat."""
        self._denoise_all = all_beats
        for line in self._lines.values():
            line.denoise_all = all_beats

    @property
    def not_denoised(self) -> int:
        """Beats so far whose window was left as it was; any thread may ask."""
        return sum(line.not_denoised for line in list(self._lines.values()))

    def claim(self, athlete: Athlete, rate_hz: float, boot: int, first_sample: int) -> bool:
        """Give an athlete a row in place of the one before; False where there can be no line of this rate."""
        self.release(athlete)
        athlete.silent_since = None
        if not self.has_room(rate_hz):
            return False
        line = self._lines.get(rate_hz)
        if line is None:
            line = Line(rate_hz=rate_hz, config=self._config, classifier=self._classifier)
            line.denoise_all = self._denoise_all
            self._lines[rate_hz] = line
        athlete.line = line
        athlete.row = line.claim(first_sample, self.limits_of(athlete.team, athlete.name))
        self.correct(athlete)
        athlete.boot = boot
        athlete.link.begin()
        athlete.schedule.clear()
        self._owners[rate_hz, athlete.row] = athlete
        return True

    def correct(self, athlete: Athlete) -> None:
        """Let the corrections that are known here hold for an athlete's row."""
        if athlete.line is not None and self._corrections is not None:
            athlete.line.correct(athlete.row, self._corrections.get((athlete.team, athlete.name)))

    def release(self, athlete: Athlete) -> None:
        """Take an athlete's row back, if there is one."""
        if athlete.line is not None:
            del self._owners[athlete.line.rate_hz, athlete.row]
            athlete.line.release(athlete.row)
            athlete.line = None

    def drop_idle(self, now: float) -> None:
        """Let go of lines without a strap, where there are as many lines as there can be."""
        if len(self._lines) < MAX_RATES:
            return
        in_use = {rate_hz for rate_hz, _ in self._owners}
        for rate_hz in list(self._lines):
            if rate_hz in in_use:
                self._idle_since.pop(rate_hz, None)
            elif now - self._idle_since.setdefault(rate_hz, now) >= IDLE_BANK_S:
                del self._lines[rate_hz], self._idle_since[rate_hz]
