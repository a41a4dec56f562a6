"""A synthetic athlete: ECG after the dynamical model of McSharry et al., from rest to maximum effort, with exact truth.

A point turns on a circle, once a beat; P, Q, R, S and T are Gaussians of its phase, and the time a turn takes follows
an RR series of a living heart. Here the trajectory is written down in closed form, beat by beat, instead of integrated:
the same waves, thousands of times real time. The node is in `simulators.sinus`, effort in `simulators.effort`, the
beats' shapes in `simulators.athlete_hearts`, what interrupts them in `simulators.ectopy` and `simulators.arrhythmia`.

References
----------
McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic electrocardiogram
signals. IEEE Trans Biomed Eng 50(3):289-294, 2003.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray
from monitor.errors import UsageError
from monitor.wire import MAX_RATE_HZ, MIN_RATE_HZ
from simulators.annotations import Truth
from simulators.athlete_hearts import HEARTS, Beat, Heart
from simulators.ectopy import Wenckebach
from simulators.effort import Programme
from simulators.episodes import Span, spans_of
from simulators.records import Record, record_of_counts
from simulators.rhythm_track import HeartEvent, Rhythm, place
from simulators.sinus import GRID_HZ, SinusNode, exercising_node, steady_node
from simulators.waves import Drawing

SYNTHETIC_NAME: Final = "synthetic"
MICROVOLTS_PER_COUNT: Final = 2.5

_Array: TypeAlias = NDArray[np.float64]
_BLOCK_S: Final = 300.0
_AT_REST: Final = 0.06
_WENCKEBACH_EVERY_S: Final = (12.0, 45.0)
_LONGEST_WENCKEBACH_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticAthlete:
    """An athlete.

    Attributes
    ----------
    rate_bpm : float or tuple of (float, float)
        Mean sinus rate, or (seconds, rate) points between which it changes steadily, held before and after. Not used
        where there is a programme.
    variability : float
        Standard deviation of the RR interval as a share of it. Not used where there is a programme: then the heart's.
    respiration_hz, low_frequency_hz : float
        Centres of the two peaks in the spectrum of the RR series. Not used where there is a programme.
    low_to_high : float
        Power of the low-frequency peak over that of the respiratory one. Not used where there is a programme.
    gain : float
        Factor on all waves.
    wander_mv : float
        Amplitude of the baseline's movement with respiration.
    noise_mv : float
        Standard deviation of white measurement noise.
    breathing_gain : float
        By what share the beats' amplitude moves with breathing.
    variation : float
        Standard deviation of every wave's height from beat to beat, as a share of it.
    heart : Heart
        Its beats' shapes, its rates at rest and at maximum effort; see `simulators.athlete_hearts.HEARTS`.
    programme : Programme or None
        What the athlete does; see `simulators.effort.PROGRAMMES`. Without one the rate is `rate_bpm`.
    events : tuple of HeartEvent
        What interrupts the sinus rhythm, see `simulators.ectopy` and `simulators.arrhythmia`.
    """

    rate_bpm: float | tuple[tuple[float, float], ...] = 75.0
    variability: float = 0.03
    respiration_hz: float = 0.25
    low_frequency_hz: float = 0.1
    low_to_high: float = 0.5
    gain: float = 1.0
    wander_mv: float = 0.05
    noise_mv: float = 0.01
    breathing_gain: float = 0.0
    variation: float = 0.0
    heart: Heart = HEARTS["usual"]
    programme: Programme | None = None
    events: tuple[HeartEvent, ...] = field(default=())


@dataclass(frozen=True, slots=True, eq=False)
class SyntheticSession:
    """A record of a synthetic athlete, and what the athlete did meanwhile.

    Attributes
    ----------
    record : Record
        The signal without motion or muscle noise, with exact truth.
    effort : ndarray of float32, shape ``[n]``
        0 to 1, `simulators.sinus.GRID_HZ` times a second from the first sample on.
    steps_hz : ndarray of float32, shape ``[n]``
        Steps a second on the same grid; 0 while standing.
    heart_rate_bpm : ndarray of float32, shape ``[n]``
        Mean rate of the sinus node on the same grid.
    """

    record: Record
    effort: FloatArray
    steps_hz: FloatArray
    heart_rate_bpm: FloatArray

    def effort_at(self, samples: NDArray[np.integer]) -> FloatArray:
        """Return the effort, 0 to 1, at samples of the record, shape ``[n]``."""
        return self._at(self.effort, samples)

    def steps_hz_at(self, samples: NDArray[np.integer]) -> FloatArray:
        """Return steps a second at samples of the record, shape ``[n]``; integrate for the steps' phase."""
        return self._at(self.steps_hz, samples)

    def _at(self, values: FloatArray, samples: NDArray[np.integer]) -> FloatArray:
        position = samples * (GRID_HZ / self.record.rate_hz)
        found: FloatArray = np.interp(position, np.arange(len(values)), values).astype(np.float32)
        return found


def synthesize(
    athlete: SyntheticAthlete, *, rate_hz: float, seconds: float, seed: int, name: str = SYNTHETIC_NAME
) -> Record:
    """Return a record of a synthetic athlete with exact truth; see `synthesize_session`."""
    return synthesize_session(athlete, rate_hz=rate_hz, seconds=seconds, seed=seed, name=name).record


def synthesize_session(
    athlete: SyntheticAthlete, *, rate_hz: float, seconds: float, seed: int, name: str = SYNTHETIC_NAME
) -> SyntheticSession:
    """Return a record of a synthetic athlete with exact truth, and its effort.

    The same seed gives the same heart at every sampling rate; only the noise differs.

    Parameters
    ----------
    athlete : SyntheticAthlete
        Whose.
    rate_hz : float
        Sampling rate, 100 to 1,000 Hz.
    seconds : float
        Length.
    seed : int
        Of everything random in it.
    name : str
        The record's name.

    Returns
    -------
    SyntheticSession
        Its record has the lead ``"synthetic"``; `Record.truth` has the sample nearest to each R peak.

    Raises
    ------
    UsageError
        If a value is out of range, or two events overlap.
    """
    if not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise UsageError(f"rate {rate_hz:g} Hz: use {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} Hz")
    if not 1.0 <= seconds <= 24 * 3600:
        raise UsageError(f"{seconds:g} s of synthetic ECG: use 1 to {24 * 3600} s")
    heart, noise, chance, blocks, shapes = (
        np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(5)
    )
    node = _node(athlete, seconds, heart)
    events = athlete.events
    if athlete.heart.wenckebach:
        events = (*events, *_blocked_at_rest(node, events, seconds, blocks))
    rhythm = place(events, node, seconds=seconds, home=athlete.heart.rhythm, random=chance)
    if not 0.0 <= athlete.variation <= 0.3:
        raise UsageError(f"variation {athlete.variation:g}: use 0 to 0.3")
    drawing = Drawing(
        athlete.heart,
        rhythm,
        node,
        breathing_gain=athlete.breathing_gain,
        variation=athlete.variation,
        random=shapes,
    )
    samples = round(seconds * rate_hz)
    record = record_of_counts(
        name=name,
        rate_hz=rate_hz,
        lead="synthetic",
        counts=_counts(athlete, drawing, samples, rate_hz, noise),
        microvolts_per_count=MICROVOLTS_PER_COUNT,
        truth=_truth(athlete, drawing, samples, rate_hz),
    )
    grid = int(np.ceil(seconds * GRID_HZ)) + 1
    return SyntheticSession(
        record=record,
        effort=node.effort[:grid].astype(np.float32),
        steps_hz=node.steps_hz[:grid].astype(np.float32),
        heart_rate_bpm=(60.0 / node.cycle_s[:grid]).astype(np.float32),
    )


def _node(athlete: SyntheticAthlete, seconds: float, random: np.random.Generator) -> SinusNode:
    if athlete.programme is not None:
        return exercising_node(athlete.programme, athlete.heart, seconds=seconds, random=random)
    if not 0.0 <= athlete.variability <= 0.2:
        raise UsageError(f"variability {athlete.variability:g}: use 0 to 0.2")
    points = athlete.rate_bpm if isinstance(athlete.rate_bpm, tuple) else ((0.0, athlete.rate_bpm),)
    rates = np.array([rate for _, rate in points])
    if not ((rates >= 20.0) & (rates <= 300.0)).all() or np.any(np.diff([at for at, _ in points]) <= 0):
        raise UsageError(f"rate_bpm {athlete.rate_bpm}: use 20 to 300 a minute, at rising times")
    return steady_node(
        points,
        seconds=seconds,
        variability=athlete.variability,
        respiration_hz=athlete.respiration_hz,
        low_frequency_hz=athlete.low_frequency_hz,
        low_to_high=athlete.low_to_high,
        random=random,
    )


def _blocked_at_rest(
    node: SinusNode, events: tuple[HeartEvent, ...], seconds: float, random: np.random.Generator
) -> tuple[Wenckebach, ...]:
    """Return Wenckebach periods wherever the athlete rests and nothing else happens."""
    periods = []
    at_s = float(random.uniform(*_WENCKEBACH_EVERY_S))
    while at_s < seconds - _LONGEST_WENCKEBACH_S:
        period = Wenckebach(at_s=at_s, conducted=int(random.integers(3, 6)))
        around = np.array([at_s, at_s + _LONGEST_WENCKEBACH_S])
        is_resting = float(node.at(node.reserve, around).max()) < _AT_REST
        is_free = all(
            event.at_s > at_s + _LONGEST_WENCKEBACH_S or event.at_s + event.lasts_s < at_s for event in events
        )
        if is_resting and is_free:
            periods.append(period)
        at_s += period.lasts_s + float(random.uniform(*_WENCKEBACH_EVERY_S))
    return tuple(periods)


def _counts(
    athlete: SyntheticAthlete, drawing: Drawing, samples: int, rate_hz: float, noise: np.random.Generator
) -> NDArray[np.int16]:
    """Draw block by block, so that hours need no more memory than minutes."""
    counts = np.empty(samples, np.int16)
    block = int(_BLOCK_S * rate_hz)
    node = drawing.node
    for first in range(0, samples, block):
        length = min(block, samples - first)
        millivolts = athlete.gain * drawing.millivolts(first, length, rate_hz)
        breaths = node.at(node.breaths, np.arange(first, first + length) / rate_hz)
        millivolts += athlete.wander_mv * np.sin(2.0 * np.pi * breaths)
        millivolts += athlete.noise_mv * noise.standard_normal(length)
        counts[first : first + length] = np.rint(millivolts * 1e3 / MICROVOLTS_PER_COUNT)
    return counts


def _truth(athlete: SyntheticAthlete, drawing: Drawing, samples: int, rate_hz: float) -> Truth:
    rhythm, heart = drawing.rhythm, athlete.heart
    r_samples = _samples(rhythm.r_s, rate_hz)
    inside = (r_samples >= 0) & (r_samples < samples)
    class_of = np.array([heart.class_of(beat) for beat in Beat], np.int8)
    symbol_of = [heart.symbol_of(beat) for beat in Beat]
    kinds = rhythm.kinds[inside]
    lone_p = _samples(drawing.lone_p_s, rate_hz)
    phases = athlete.programme.changes(samples / rate_hz) if athlete.programme is not None else []
    return Truth(
        r_samples=r_samples[inside],
        classes=class_of[kinds],
        unscored=_fibrillation(rhythm, samples, rate_hz),
        rate_hz=rate_hz,
        symbols=tuple(symbol_of[kind] for kind in kinds.tolist()),
        rhythms=_spans(rhythm.changes, samples, rate_hz),
        phases=_spans(phases, samples, rate_hz),
        lone_p_samples=lone_p[(lone_p >= 0) & (lone_p < samples)],
    )


def _samples(time_s: _Array, rate_hz: float) -> NDArray[np.int64]:
    return np.rint(time_s * rate_hz).astype(np.int64)


def _fibrillation(rhythm: Rhythm, samples: int, rate_hz: float) -> NDArray[np.int64]:
    spans = _samples(np.array(rhythm.fibrillation, np.float64).reshape(-1, 2), rate_hz)
    return np.minimum(spans[spans[:, 0] < samples], samples)


def _spans(changes: Sequence[tuple[float, str]], samples: int, rate_hz: float) -> tuple[Span, ...]:
    at = [(round(at_s * rate_hz), name) for at_s, name in changes]
    return spans_of([(sample, name) for sample, name in at if sample < samples], samples)
