"""Drawing a rhythm: the waves of all its beats, written down in closed form at any sampling rate."""

from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulators.athlete_hearts import Beat, Heart, Wave, peak_s, role_factors
from simulators.rhythm_track import Rhythm
from simulators.sinus import SinusNode

_Array: TypeAlias = NDArray[np.float64]
_REACH: Final = 5.0
_MARGIN_S: Final = 2.0
_LONGEST_MOVE_S: Final = 0.012


class _Table(NamedTuple):
    """Every wave of every beat, shape ``[beats, waves]``; a wave of no height is none."""

    height_mv: _Array
    centre_s: _Array
    width_s: _Array


class Drawing:
    """A rhythm of a heart, ready to be drawn.

    Parameters
    ----------
    heart : Heart
        Whose waves.
    rhythm : Rhythm
        Its beats.
    node : SinusNode
        Effort and breathing.
    breathing_gain : float
        By what share the beats' amplitude moves with breathing.
    variation : float
        Standard deviation of every wave's height from beat to beat, as a share of it.
    random : numpy.random.Generator
        Of that variation.
    """

    def __init__(
        self,
        heart: Heart,
        rhythm: Rhythm,
        node: SinusNode,
        *,
        breathing_gain: float,
        variation: float,
        random: np.random.Generator,
    ) -> None:
        self.rhythm = rhythm
        self.node = node
        self._breathing_gain = breathing_gain
        self._beats = self._beat_table(heart)
        self._beats.height_mv[:] *= 1.0 + variation * random.standard_normal(self._beats.height_mv.shape)
        _move_peaks(self._beats, rhythm.r_s)
        wave = next((wave for wave in heart.sinus if wave.role == "P"), None)
        self._lone_p = self._lone_p_table(wave)

    @property
    def lone_p_s(self) -> _Array:
        """Where the peaks of P waves lie that no QRS complex follows, in seconds, shape ``[waves]``."""
        return self._lone_p.centre_s[:, 0]

    def millivolts(self, first: int, samples: int, rate_hz: float) -> _Array:
        """Return the signal from sample `first` on, without noise and baseline wander, shape ``[samples]``."""
        signal = np.zeros(samples)
        begin_s, end_s = first / rate_hz, (first + samples) / rate_hz
        bounds = (begin_s - _MARGIN_S, end_s + _MARGIN_S)
        near = slice(*np.searchsorted(self.rhythm.r_s, bounds).tolist())
        lone = slice(*np.searchsorted(self.lone_p_s, bounds).tolist())
        kinds = self.rhythm.kinds[near]
        for beat in Beat:
            _add_waves(signal, _Table(*(part[near][kinds == beat] for part in self._beats)), first, rate_hz)
        _add_waves(signal, _Table(*(part[lone] for part in self._lone_p)), first, rate_hz)
        for oscillation in self.rhythm.oscillations:
            if oscillation.from_s < end_s and oscillation.to_s > begin_s:
                signal += oscillation.at(np.arange(first, first + samples) / rate_hz)
        return signal

    def _beat_table(self, heart: Heart) -> _Table:
        rhythm = self.rhythm
        shapes = [heart.waves(beat) for beat in Beat]
        shape = (len(rhythm.r_s), max(len(waves) for waves in shapes))
        table = _Table(np.zeros(shape), np.zeros(shape), np.ones(shape))
        reserve, recovery = (
            self.node.at(values, rhythm.r_s) for values in (self.node.reserve, self.node.recovery)
        )
        gain = rhythm.scale * self._breathing(rhythm.r_s)
        for beat, waves in zip(Beat, shapes, strict=True):
            of_kind = np.flatnonzero(rhythm.kinds == beat)
            at_s = rhythm.r_s[of_kind] - peak_s(waves)
            for column, wave in enumerate(waves):
                scale = rhythm.cycle_s[of_kind] ** wave.with_rate
                factors = role_factors(wave.role, reserve[of_kind], recovery[of_kind])
                table.height_mv[of_kind, column] = wave.millivolts * gain[of_kind] * factors
                table.centre_s[of_kind, column] = at_s + wave.phase * scale
                table.width_s[of_kind, column] = wave.width * scale
                if wave.role == "P":
                    table.centre_s[of_kind, column] -= rhythm.delay_s[of_kind]
        return table

    def _lone_p_table(self, wave: Wave | None) -> _Table:
        if wave is None:
            return _Table(np.empty((0, 1)), np.empty((0, 1)), np.empty((0, 1)))
        node, r_s = self.node, self.rhythm.lone_p_s
        scale = node.at(node.qt_cycle_s, r_s) ** wave.with_rate
        factors = role_factors("P", node.at(node.reserve, r_s), node.at(node.recovery, r_s))
        columns = (
            wave.millivolts * factors * self._breathing(r_s),
            r_s + wave.phase * scale,
            wave.width * scale,
        )
        return _Table(*(column[:, np.newaxis] for column in columns))

    def _breathing(self, time_s: _Array) -> _Array:
        breaths = self.node.at(self.node.breaths, time_s)
        return 1.0 + self._breathing_gain * np.sin(2.0 * np.pi * breaths)


def _move_peaks(table: _Table, r_s: _Array) -> None:
    """Move each beat so that the sum with its neighbours peaks at its R peak: one step of Newton's method.

    At high rates the flank of a T wave lies under the next QRS complex and would move its peak by milliseconds.
    """
    slope, curvature = np.zeros_like(r_s), np.zeros_like(r_s)
    beats = len(r_s)
    for neighbour in (-1, 0, 1):
        of = slice(max(0, -neighbour), min(beats, beats - neighbour))
        by = slice(max(0, neighbour), min(beats, beats + neighbour))
        height, centre, width = (part[by] for part in table)
        distance = (r_s[of, np.newaxis] - centre) / width
        value = height * np.exp(-0.5 * distance**2)
        slope[of] -= (value * distance / width).sum(axis=1)
        curvature[of] += (value * (distance**2 - 1.0) / width**2).sum(axis=1)
    step = np.divide(slope, curvature, out=np.zeros_like(slope), where=curvature != 0.0)
    table.centre_s[:] += np.clip(step, -_LONGEST_MOVE_S, _LONGEST_MOVE_S)[:, np.newaxis]


def _add_waves(signal: _Array, table: _Table, first: int, rate_hz: float) -> None:
    """Add waves of many beats at once, each within `_REACH` standard deviations of its centre."""
    for height, centre_s, width_s in zip(*(part.T for part in table), strict=True):
        if not height.any():
            continue
        reach = int(np.ceil(_REACH * float(width_s.max()) * rate_hz))
        middle = np.rint(centre_s * rate_hz).astype(np.int64)
        samples = middle[:, np.newaxis] + np.arange(-reach, reach + 1)
        distance = (samples / rate_hz - centre_s[:, np.newaxis]) / width_s[:, np.newaxis]
        value = height[:, np.newaxis] * np.exp(-0.5 * distance**2)
        samples -= first
        inside = (samples >= 0) & (samples < len(signal))
        signal += np.bincount(samples[inside], value[inside], minlength=len(signal))
