"""Waves that are no beats: the atria in fibrillation or flutter, the ventricles in fibrillation or flutter.

Atrial fibrillation is a sawtooth whose amplitude and frequency wander (Stridh and Sörnmo 2001). Ventricular
fibrillation is the sum of such waves near 5 Hz, which come in and out of step. All are functions of time and are the
same at every sampling rate.

References
----------
Stridh M, Sörnmo L. Spatiotemporal QRST cancellation techniques for analysis of atrial fibrillation. IEEE Trans Biomed
Eng 48(1):105-111, 2001.
"""

from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

_Array: TypeAlias = NDArray[np.float64]
_GRID_HZ: Final = 50.0
_RAMP_S: Final = 0.3


@dataclass(frozen=True, slots=True, eq=False)
class Oscillation:
    """Waves from one time to another.

    Attributes
    ----------
    from_s, to_s : float
        When they begin and end; both ends swell over 0.3 s.
    parts : tuple of (ndarray, ndarray, ndarray)
        Each a wave: its phase in turns and its height in millivolts on a grid of 50 Hz from `from_s` on, shape ``[k]``,
        and the relative height of its harmonics, shape ``[harmonics]``.
    """

    from_s: float
    to_s: float
    parts: tuple[tuple[_Array, _Array, _Array], ...]

    def at(self, time_s: _Array) -> _Array:
        """Return millivolts at times in seconds, shape ``[n]``."""
        inside = (time_s > self.from_s) & (time_s < self.to_s)
        value = np.zeros_like(time_s)
        here = time_s[inside]
        if len(here) == 0:
            return value
        position = (here - self.from_s) * _GRID_HZ
        grid = np.arange(len(self.parts[0][0]))
        total = np.zeros_like(here)
        for phase, height, harmonics in self.parts:
            angle = 2.0 * np.pi * np.interp(position, grid, phase)
            wave = np.zeros_like(here)
            for number, share in enumerate(harmonics.tolist(), start=1):
                wave += share * np.sin(number * angle)
            total += np.interp(position, grid, height) * wave
        edge = np.minimum(here - self.from_s, self.to_s - here) / _RAMP_S
        value[inside] = total * np.clip(edge, 0.0, 1.0)
        return value


def atrial_fibrillation(
    from_s: float, to_s: float, *, hz: float, millivolts: float, random: np.random.Generator
) -> Oscillation:
    """Return f waves around `hz`."""
    n = _points(from_s, to_s)
    frequency = hz + 0.35 * _wandering(n, 0.3, random)
    height = millivolts * (1.0 + 0.3 * _wandering(n, 0.4, random))
    return Oscillation(from_s, to_s, ((_turns(frequency, random), height, _sawtooth(3)),))


def atrial_flutter(from_s: float, to_s: float, *, hz: float, millivolts: float) -> Oscillation:
    """Return flutter waves of exactly `hz`, whose first begins at `from_s`."""
    n = _points(from_s, to_s)
    turns = np.arange(n, dtype=np.float64) * (hz / _GRID_HZ)
    return Oscillation(from_s, to_s, ((turns, np.full(n, millivolts, np.float64), _sawtooth(4)),))


def ventricular_fibrillation(
    from_s: float, to_s: float, *, hz: float, millivolts: float, random: np.random.Generator
) -> Oscillation:
    """Return coarse waves around `hz` that grow finer over minutes."""
    n = _points(from_s, to_s)
    finer = np.exp(-np.arange(n) / _GRID_HZ / 300.0)
    parts = []
    for centre, share in ((1.0, 0.7), (1.25, 0.45), (0.8, 0.4)):
        frequency = centre * hz + 0.5 * _wandering(n, 0.7, random)
        height = share * millivolts * finer * np.exp(0.45 * _wandering(n, 0.5, random))
        parts.append((_turns(frequency, random), height, np.array([1.0, 0.25, 0.08])))
    return Oscillation(from_s, to_s, tuple(parts))


def ventricular_flutter(
    from_s: float, to_s: float, *, hz: float, millivolts: float, random: np.random.Generator
) -> Oscillation:
    """Return waves like a sine, almost regular."""
    n = _points(from_s, to_s)
    frequency = hz + 0.15 * _wandering(n, 0.3, random)
    height = millivolts * (1.0 + 0.06 * _wandering(n, 0.3, random))
    return Oscillation(from_s, to_s, ((_turns(frequency, random), height, np.array([1.0, 0.2])),))


def _points(from_s: float, to_s: float) -> int:
    return int(np.ceil((to_s - from_s) * _GRID_HZ)) + 2


def _sawtooth(harmonics: int) -> _Array:
    return 1.0 / np.arange(1, harmonics + 1)


def _turns(frequency: _Array, random: np.random.Generator) -> _Array:
    turns: _Array = random.uniform() + np.cumsum(frequency) / _GRID_HZ
    return turns


def _wandering(n: int, hz: float, random: np.random.Generator) -> _Array:
    """Return a series of about unit variance with nothing faster than about `hz`."""
    from scipy.ndimage import gaussian_filter1d

    deviation = _GRID_HZ / (2.0 * np.pi * hz)
    smooth: _Array = gaussian_filter1d(random.standard_normal(n), deviation, mode="wrap")
    wandering: _Array = np.clip(smooth * np.sqrt(2.0 * np.sqrt(np.pi) * deviation), -2.5, 2.5)
    return wandering
