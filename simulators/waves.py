"""Drawing a rhythm: the waves of all its beats, written down in closed form at any sampling rate."""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulators.athlete_hearts import Beat, Heart, Wave, peak_s, role_factors
from simulators.rhythm_track import Rhythm
from simulators.sinus import SinusNode

_Array: TypeAlias = NDArray[np.float64]
_REACH: Final = 5.0
_MARGIN_S: Final = 2.0


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """A rhythm of a heart, ready to be drawn.

    Attributes
    ----------
    heart : Heart
        Whose waves.
    rhythm : Rhythm
        Its beats.
    node : SinusNode
        Effort and breathing.
    breathing_gain : float
        By what share the beats' amplitude moves with breathing.
    """

    heart: Heart
    rhythm: Rhythm
    node: SinusNode
    breathing_gain: float = 0.0

    def millivolts(self, first: int, samples: int, rate_hz: float) -> _Array:
        """Return the signal from sample `first` on, without noise and baseline wander, shape ``[samples]``."""
        signal = np.zeros(samples)
        rhythm = self.rhythm
        begin_s, end_s = first / rate_hz, (first + samples) / rate_hz
        near = slice(*np.searchsorted(rhythm.r_s, (begin_s - _MARGIN_S, end_s + _MARGIN_S)).tolist())
        for beat in Beat:
            chosen = np.flatnonzero(rhythm.kinds[near] == beat) + near.start
            if len(chosen):
                self._add_beats(signal, beat, chosen, first, rate_hz)
        self._add_lone_p(signal, first, rate_hz)
        for oscillation in rhythm.oscillations:
            if oscillation.from_s < end_s and oscillation.to_s > begin_s:
                signal += oscillation.at(np.arange(first, first + samples) / rate_hz)
        return signal

    @property
    def lone_p_s(self) -> _Array:
        """Where the peaks of P waves lie that no QRS complex follows, in seconds, shape ``[waves]``."""
        wave, r_s = self._p_wave(), self.rhythm.lone_p_s
        if wave is None:
            return np.empty(0)
        return r_s + wave.phase * self.node.at(self.node.qt_cycle_s, r_s) ** wave.with_rate

    def _add_beats(
        self, signal: _Array, beat: Beat, chosen: NDArray[np.int64], first: int, rate_hz: float
    ) -> None:
        rhythm = self.rhythm
        waves = self.heart.waves(beat)
        r_s = rhythm.r_s[chosen]
        at_s = r_s - peak_s(waves)
        height = rhythm.scale[chosen] * self._breathing(r_s)
        reserve, recovery = (self.node.at(values, r_s) for values in (self.node.reserve, self.node.recovery))
        for wave in waves:
            factors = role_factors(wave.role, reserve, recovery)
            if not factors.any():
                continue
            scale = rhythm.cycle_s[chosen] ** wave.with_rate
            centre_s = at_s + wave.phase * scale
            if wave.role == "P":
                centre_s = centre_s - rhythm.delay_s[chosen]
            _add(signal, wave.millivolts * height * factors, centre_s, wave.width * scale, first, rate_hz)

    def _add_lone_p(self, signal: _Array, first: int, rate_hz: float) -> None:
        wave, centre_s = self._p_wave(), self.lone_p_s
        if wave is None or len(centre_s) == 0:
            return
        near = np.abs(centre_s - (first + len(signal) / 2) / rate_hz) < len(signal) / rate_hz / 2 + _MARGIN_S
        r_s, centre_s = self.rhythm.lone_p_s[near], centre_s[near]
        reserve, recovery = (self.node.at(values, r_s) for values in (self.node.reserve, self.node.recovery))
        height = wave.millivolts * role_factors("P", reserve, recovery) * self._breathing(r_s)
        width_s = wave.width * self.node.at(self.node.qt_cycle_s, r_s) ** wave.with_rate
        _add(signal, height, centre_s, width_s, first, rate_hz)

    def _p_wave(self) -> Wave | None:
        return next((wave for wave in self.heart.sinus if wave.role == "P"), None)

    def _breathing(self, time_s: _Array) -> _Array:
        breaths = self.node.at(self.node.breaths, time_s)
        return 1.0 + self.breathing_gain * np.sin(2.0 * np.pi * breaths)


def _add(
    signal: _Array, height: _Array, centre_s: _Array, width_s: _Array, first: int, rate_hz: float
) -> None:
    """Add one wave of many beats at once, each within `_REACH` standard deviations of its centre."""
    if len(centre_s) == 0:
        return
    reach = int(np.ceil(_REACH * float(width_s.max()) * rate_hz))
    middle = np.rint(centre_s * rate_hz).astype(np.int64)
    samples = middle[:, np.newaxis] + np.arange(-reach, reach + 1)
    distance = (samples / rate_hz - centre_s[:, np.newaxis]) / width_s[:, np.newaxis]
    value = height[:, np.newaxis] * np.exp(-0.5 * distance**2)
    samples -= first
    inside = (samples >= 0) & (samples < len(signal))
    signal += np.bincount(samples[inside], value[inside], minlength=len(signal))
