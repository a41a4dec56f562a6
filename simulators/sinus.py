"""The sinus node: how far it has turned at every moment, once round for a beat.

The RR series has the low-frequency and the respiratory peak of a living heart (Task Force 1996). Through a programme of
effort its mean follows the heart rate reserve, breathing quickens, and variability fades as the vagus lets go.

References
----------
Task Force of the European Society of Cardiology and the North American Society of Pacing and Electrophysiology. Heart
rate variability: standards of measurement, physiological interpretation, and clinical use. Circulation
93(5):1043-1065, 1996.
Pueyo E, Smetana P, Caminal P, de Luna AB, Malik M, Laguna P. Characterization of QT interval adaptation to RR interval
changes and its use as a risk-stratifier of arrhythmic mortality in amiodarone-treated survivors of acute myocardial
infarction. IEEE Trans Biomed Eng 51(9):1511-1520, 2004.
"""

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from simulators.athlete_hearts import Heart
from simulators.effort import Programme, breaths_hz, reserve_of, steps_hz

GRID_HZ: Final = 4.0
QT_FOLLOWS_S: Final = 45.0
"""Time constant with which the QT interval follows a change of rate: nine tenths of it in about two minutes."""

_Array: TypeAlias = NDArray[np.float64]
_SPARE_S: Final = 5.0
# Of the RR series' standard deviation; breathing is never quite regular, nor quite as deep.
_BREATH_SHARE: Final = 0.5
_LOW_SHARE: Final = 0.5
_SLOW_SHARE: Final = 0.8
_BREATH_DRIFT: Final = 0.15
_BREATH_DEPTH: Final = 0.35
_LINE_WIDTH_HZ: Final = 0.01
_LOW_WIDTH_HZ: Final = 0.03
_SLOWEST_HZ: Final = 1.0 / 900.0


@dataclass(frozen=True, slots=True, eq=False)
class SinusNode:
    """A sinus node on a grid of `GRID_HZ`; every array has the shape ``[n]``.

    Attributes
    ----------
    time_s : ndarray of float64, shape ``[n + 1]``
        The grid.
    turns : ndarray of float64, shape ``[n + 1]``
        How many beats it has made since the first moment, with fractions.
    first_turn : float
        Where its first beat lies.
    cycle_s, qt_cycle_s : ndarray of float64
        Mean RR interval, and that which the QT interval obeys.
    effort, steps_hz, reserve, recovery : ndarray of float64
        Effort, steps a second, share of the heart rate reserve in use, and how much of it is debt after effort.
    breaths : ndarray of float64
        Breaths since the first moment, with fractions.
    """

    time_s: _Array
    turns: _Array
    first_turn: float
    cycle_s: _Array
    qt_cycle_s: _Array
    effort: _Array
    steps_hz: _Array
    reserve: _Array
    recovery: _Array
    breaths: _Array

    def turn_at(self, time_s: float) -> float:
        """Return how far it has turned at a time."""
        return float(np.interp(time_s, self.time_s, self.turns)) + max(
            0.0, (time_s - float(self.time_s[-1])) / float(self.cycle_s[-1])
        )

    def time_of(self, turns: NDArray[np.floating[Any]]) -> _Array:
        """Return when it has turned so far; beyond the grid it goes on at its last rate."""
        beyond = np.maximum(turns - self.turns[-1], 0.0) * self.cycle_s[-1]
        times: _Array = np.interp(turns, self.turns, self.time_s) + beyond
        return times

    def at(self, values: _Array, time_s: NDArray[np.floating[Any]]) -> _Array:
        """Return one of its arrays at times in seconds."""
        found: _Array = np.interp(time_s, self.time_s[: len(values)], values)
        return found


def steady_node(
    points: tuple[tuple[float, float], ...],
    *,
    seconds: float,
    variability: float,
    respiration_hz: float,
    low_frequency_hz: float,
    low_to_high: float,
    random: np.random.Generator,
) -> SinusNode:
    """Return a node whose mean rate follows (seconds, rate) points, with two peaks in the spectrum of its RR series.

    Parameters
    ----------
    points : tuple of (float, float)
        Times rising.
    seconds : float
        Length.
    variability : float
        Standard deviation of the RR interval as a share of it.
    respiration_hz, low_frequency_hz, low_to_high : float
        Centres of the peaks, and the power of the low one over that of the other.
    random : numpy.random.Generator
        Of phases.
    """
    n = _length(seconds)
    time_s = np.arange(n + 1) / GRID_HZ
    mean_rr_s = 60.0 / np.interp(time_s[:n], [at for at, _ in points], [rate for _, rate in points])
    spectrum = ((low_frequency_hz, low_to_high), (respiration_hz, 1.0))
    rr_s = mean_rr_s * (1.0 + variability * _peaked(spectrum, _LINE_WIDTH_HZ, n, random))
    nothing = np.zeros(n)
    return SinusNode(
        time_s=time_s,
        turns=_integrated(1.0 / rr_s),
        first_turn=float(random.uniform(0.3, 0.9)),
        cycle_s=mean_rr_s,
        qt_cycle_s=mean_rr_s,
        effort=nothing,
        steps_hz=nothing,
        reserve=nothing,
        recovery=nothing,
        breaths=respiration_hz * time_s[:n],
    )


def exercising_node(
    programme: Programme, heart: Heart, *, seconds: float, random: np.random.Generator
) -> SinusNode:
    """Return a node that follows a programme of effort from rest to maximum and back."""
    n = _length(seconds)
    time_s = np.arange(n + 1) / GRID_HZ
    effort = programme.effort_at(time_s[:n])
    reserve = reserve_of(effort, 1.0 / GRID_HZ)
    mean_rr_s = 60.0 / (heart.rest_bpm + (heart.maximum_bpm - heart.rest_bpm) * reserve)
    breaths = _integrated(breaths_hz(reserve) * np.exp(_BREATH_DRIFT * _pink(n, 0.3, random)))[:n]
    depth = np.exp(_BREATH_DEPTH * _pink(n, 0.1, random))
    calm = 1.0 - reserve
    # Breathing still moves the node mechanically when the vagus is silent.
    breathing = np.sqrt(2.0) * _BREATH_SHARE * (calm**2.5 + 0.06) * depth * np.sin(2.0 * np.pi * breaths)
    low = _LOW_SHARE * (calm**2 + 0.05) * _peaked(((0.1, 1.0),), _LOW_WIDTH_HZ, n, random)
    slow = _SLOW_SHARE * (calm**1.5 + 0.04) * _pink(n, 1.0, random)
    rr_s = mean_rr_s * np.exp(heart.variability * (breathing + low + slow))
    return SinusNode(
        time_s=time_s,
        turns=_integrated(1.0 / rr_s),
        first_turn=float(random.uniform(0.3, 0.9)),
        cycle_s=mean_rr_s,
        qt_cycle_s=_following(mean_rr_s, QT_FOLLOWS_S),
        effort=effort,
        steps_hz=steps_hz(effort),
        reserve=reserve,
        recovery=np.clip(1.5 * (reserve - effort), 0.0, 1.0),
        breaths=breaths,
    )


def _length(seconds: float) -> int:
    return 2 * int(np.ceil((seconds + _SPARE_S) * GRID_HZ / 2.0))


def _integrated(per_second: _Array) -> _Array:
    return np.concatenate([[0.0], np.cumsum(per_second) / GRID_HZ])


def _following(values: _Array, constant_s: float) -> _Array:
    """Return `values` through a first-order low-pass that had settled on the first of them."""
    from scipy.signal import lfilter

    share = 1.0 - np.exp(-1.0 / (constant_s * GRID_HZ))
    followed: _Array
    followed, _ = lfilter([share], [1.0, share - 1.0], values, zi=[(1.0 - share) * values[0]])
    return followed


def _peaked(
    peaks: tuple[tuple[float, float], ...], width_hz: float, n: int, random: np.random.Generator
) -> _Array:
    """Return a series of unit variance with Gaussian peaks of (hertz, power) in its spectrum, phases random."""
    frequency = np.fft.rfftfreq(n, 1.0 / GRID_HZ)
    power = np.zeros_like(frequency)
    for centre_hz, share in peaks:
        power += share * np.exp(-0.5 * ((frequency - centre_hz) / width_hz) ** 2)
    return _of_power(power, n, random)


def _pink(n: int, fastest_hz: float, random: np.random.Generator) -> _Array:
    """Return a series of unit variance whose power falls as 1/f from a quarter of an hour to `fastest_hz`."""
    frequency = np.fft.rfftfreq(n, 1.0 / GRID_HZ)
    inside = (frequency > _SLOWEST_HZ) & (frequency < fastest_hz)
    power = np.divide(1.0, frequency, out=np.zeros_like(frequency), where=inside)
    return _of_power(power, n, random)


def _of_power(power: _Array, n: int, random: np.random.Generator) -> _Array:
    power[0] = 0.0
    phase = random.uniform(0.0, 2.0 * np.pi, len(power))
    series: _Array = np.fft.irfft(np.sqrt(power) * np.exp(1j * phase), n)
    spread = float(series.std())
    # A stretch too short to hold any of it has no variability.
    return np.clip(series / spread, -3.0, 3.0) if spread > 0.0 else series
