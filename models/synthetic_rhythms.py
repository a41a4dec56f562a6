"""Synthetic rhythms from real beats: what 47 patients happen not to have had, laid down with their own complexes.

Few patients of training have early atrial beats, and fewer fibrillate, so a network fitted to them alone learns those
patients. Here complexes of one patient's N beats are laid on a new course of time: a slow sinus rhythm with pauses, in
which early beats are the rule, each with another P wave or none; atrial fibrillation, without P waves; tachycardia that
begins from one beat to the next; and, as fast, a sinus rhythm under exertion. The signal goes through the monitor's own
line like any record, so window, template and context fit each other.

An early beat is class S, a beat of fibrillation N, as the reference annotations of both databases have it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray

RATE_HZ: Final = 360.0
_R: Final = 300
_P: Final = (-100, -22)
_QRST: Final = (-22, 190)
_EDGE: Final = 12
_S: Final = 1
_LEAST_RR_S: Final = 0.34


@dataclass(frozen=True, slots=True)
class SyntheticRecord:
    """A signal with the beats that were laid into it.

    Attributes
    ----------
    millivolts : ndarray of float32, shape ``[samples]``
        At 360 Hz.
    r_samples : ndarray of int64, shape ``[beats]``
        R peaks.
    classes : ndarray of int8, shape ``[beats]``
        0 for N, 1 for S.
    """

    millivolts: FloatArray
    r_samples: NDArray[np.int64]
    classes: NDArray[np.int8]


def sick_sinus(window: FloatArray, seconds: float, random: np.random.Generator) -> SyntheticRecord:
    """Return a slow sinus rhythm with pauses, where early atrial beats are the rule.

    Each sinus beat is followed by a run of early beats, whose lengths have a mean of 1.5 to 8, and that by a pause.

    Parameters
    ----------
    window : ndarray of float32, shape ``[beats, 600]``
        N beats of one patient.
    seconds : float
        How long.
    random : Generator
        Where the chance comes from.
    """
    sinus, coupling, mean = random.uniform(0.9, 1.7), random.uniform(0.4, 0.75), random.uniform(1.5, 8)
    rr: list[float] = []
    early: list[bool] = []
    total = 0.0
    while total < seconds:
        base = sinus * np.exp(random.normal(0, 0.06))
        pause = 1.0
        if rr and random.random() < 0.85:
            run = coupling * np.exp(random.normal(0, 0.08))
            for _ in range(int(random.geometric(1 / mean))):
                rr.append(max(base * run * np.exp(random.normal(0, 0.04)), 0.3))
                early.append(True)
            pause = random.uniform(1.0, 1.9)
        rr.append(base * pause)
        early.append(False)
        total = float(np.sum(rr))
    return _lay(window, np.array(rr), np.array(early), random, atrial=True)


def fibrillation(window: FloatArray, seconds: float, random: np.random.Generator) -> SyntheticRecord:
    """Return atrial fibrillation: irregular, without P waves; parameters as in `sick_sinus`."""
    base, spread = random.uniform(0.45, 0.95), random.uniform(0.12, 0.3)
    beats = int(seconds / base) + 1
    slow = np.exp(0.1 * np.sin(np.arange(beats) / 80 + random.uniform(0, 6.28)))
    rr = np.maximum(base * slow * np.exp(random.normal(0, spread, beats)), 0.28)
    return _lay(window, rr, np.zeros(beats, np.bool_), random, atrial=False)


def paroxysms(window: FloatArray, seconds: float, random: np.random.Generator) -> SyntheticRecord:
    """Return a sinus rhythm that an even tachycardia of the atria breaks into, from one beat to the next.

    Runs have mean lengths of 4 to 150 beats, at 0.45 to 0.78 of the sinus interval; parameters as in `sick_sinus`.
    """
    sinus, mean = random.uniform(0.55, 1.1), np.exp(random.uniform(np.log(4), np.log(150)))
    run, pause = random.uniform(0.45, 0.78), random.uniform(0.95, 1.5)
    rr: list[float] = []
    early: list[bool] = []
    total = 0.0
    while total < seconds:
        between = int(random.geometric(1 / 25)) + 8
        wander = np.cumsum(random.normal(0, 0.01, between))
        rr += (sinus * np.exp(wander - wander.mean() + random.normal(0, 0.025, between))).tolist()
        early += [False] * between
        length = int(random.geometric(1 / mean))
        fast = max(sinus * run * np.exp(random.normal(0, 0.05)), _LEAST_RR_S)
        rr += (fast * np.exp(random.normal(0, 0.012, length))).tolist()
        early += [True] * length
        rr.append(sinus * pause * np.exp(random.normal(0, 0.05)))
        early.append(False)
        total = float(np.sum(rr))
    return _lay(window, np.array(rr), np.array(early), random, atrial=True)


def exertion(window: FloatArray, seconds: float, random: np.random.Generator) -> SyntheticRecord:
    """Return a sinus rhythm that exertion makes fast and rest slow again, beat by beat; parameters as in `sick_sinus`.

    As fast as the tachycardia of `paroxysms`, but it gets there in 15 to 60 s and not at once.
    """
    slow, fast = random.uniform(0.6, 1.1), random.uniform(_LEAST_RR_S, 0.5)
    period = random.uniform(40.0, 150.0)
    rr: list[float] = []
    now = random.uniform(0.0, period)
    while now < seconds + period:
        effort = np.clip(0.5 - 0.8 * np.cos(2 * np.pi * now / period), 0.0, 1.0)
        level = slow * (fast / slow) ** effort
        # Sinus arrhythmia fades as the rate rises.
        rr.append(max(level * np.exp(random.normal(0, 0.008 + 0.03 * (1 - effort))), _LEAST_RR_S))
        now += rr[-1]
    return _lay(window, np.array(rr), np.zeros(len(rr), np.bool_), random, atrial=True)


def _lay(
    window: FloatArray,
    rr: NDArray[np.float64],
    early: NDArray[np.bool_],
    random: np.random.Generator,
    *,
    atrial: bool,
) -> SyntheticRecord:
    r_samples = np.rint((0.5 + np.cumsum(rr)) * RATE_HZ).astype(np.int64)
    signal = np.zeros(r_samples[-1] + 400, np.float64)
    level = np.median(window, axis=1, keepdims=True)
    complexes = window - level
    p_sign, p_size, p_lead = (
        random.choice([-1.0, 1.0]),
        random.choice([0.0, 0.5, 1.0, 1.6]),
        random.integers(-12, 22),
    )
    p_mean = complexes[:, _R + _P[0] : _R + _P[1]].mean(axis=0)
    for r, is_early in zip(r_samples.tolist(), early.tolist(), strict=True):
        shape = complexes[random.integers(len(complexes))] * np.exp(random.normal(0, 0.04))
        _add(signal, shape, r, _QRST, 0)
        if atrial and not is_early:
            _add(signal, shape, r, _P, 0)
        elif atrial:
            other = np.zeros(len(shape))
            other[_R + _P[0] : _R + _P[1]] = p_sign * p_size * p_mean * np.exp(random.normal(0, 0.1))
            _add(signal, other, r, _P, int(p_lead))
    if not atrial:
        seconds = np.arange(len(signal)) / RATE_HZ
        size = random.uniform(0.0, 0.08) * np.ptp(np.median(complexes, axis=0))
        frequency = random.uniform(4.5, 8.0)
        drift = np.cumsum(random.normal(0, 0.02, len(signal)))
        signal += size * np.sin(6.28 * frequency * seconds + drift)
    rough = float(np.std(np.diff(complexes[:, 480:], axis=1)))
    signal += random.normal(0, random.uniform(0.0, 1.5) * rough, len(signal))
    return SyntheticRecord(signal.astype(np.float32), r_samples, early.astype(np.int8) * _S)


def _add(
    signal: NDArray[np.float64], shape: NDArray[np.floating], r: int, zone: tuple[int, int], lead: int
) -> None:
    """Add a zone of a complex, faded at both edges so that zones side by side add up to the whole."""
    first, end = zone[0] - _EDGE, zone[1] + _EDGE
    fade = np.clip(np.minimum(np.arange(end - first), np.arange(end - first)[::-1]) / (2 * _EDGE), 0, 1)
    at = r + first - lead
    if at < 0 or at + end - first > len(signal):
        return
    signal[at : at + end - first] += shape[_R + first : _R + end] * fade
