"""Synthetic athletes who differ: each with a heart, a sampling rate and a few ectopic beats of their own."""

from typing import Final

import numpy as np

from simulators.ectopy import Bigeminy, Ectopy, Pause, PrematureBeat, VentricularRun
from simulators.records import Record
from simulators.synthetic import SYNTHETIC_NAME, SyntheticAthlete, synthesize

TEAM_RATES_HZ: Final = (360.0, 250.0, 130.0)
_FIRST_EVENT_S = 20.0
_EVENT_EVERY_S = 30.0


def synthetic_team(athletes: int, *, seconds: float, seed: int, first: int = 0) -> list[Record]:
    """Return records of synthetic athletes at 360, 250 and 130 Hz in turn.

    Each has an ectopic beat or two every half minute, a ventricular couplet, run or bigeminy, or a pause, in random
    order; athlete number k is the same however many there are.

    Parameters
    ----------
    athletes : int
        How many.
    seconds : float
        Length of each record.
    seed : int
        Of all of them.
    first : int
        Number of the first.
    """
    return [_athlete(number, seconds, seed) for number in range(first, first + athletes)]


def _athlete(number: int, seconds: float, seed: int) -> Record:
    random = np.random.default_rng([seed, number])
    rate_bpm = float(random.uniform(60.0, 130.0))
    athlete = SyntheticAthlete(
        rate_bpm=rate_bpm,
        variability=float(random.uniform(0.015, 0.04)),
        respiration_hz=float(random.uniform(0.2, 0.35)),
        gain=float(random.uniform(0.8, 1.3)),
        events=_events(seconds, rate_bpm, random),
    )
    return synthesize(
        athlete,
        rate_hz=TEAM_RATES_HZ[number % len(TEAM_RATES_HZ)],
        seconds=seconds,
        seed=int(random.integers(2**31)),
        name=SYNTHETIC_NAME,
    )


def _events(seconds: float, rate_bpm: float, random: np.random.Generator) -> tuple[Ectopy, ...]:
    events: list[Ectopy] = []
    at_s = _FIRST_EVENT_S + float(random.uniform(0.0, 10.0))
    # The last event needs room for its beats.
    while at_s < seconds - 15.0:
        kind = random.choice(6, p=[0.35, 0.25, 0.15, 0.1, 0.1, 0.05])
        faster_bpm = max(150.0, 1.3 * rate_bpm)
        options: tuple[Ectopy, ...] = (
            PrematureBeat(at_s=at_s, kind="V"),
            PrematureBeat(at_s=at_s, kind="S", coupling=0.65),
            VentricularRun(at_s=at_s, beats=2, rate_bpm=faster_bpm),
            VentricularRun(at_s=at_s, beats=int(random.integers(3, 8)), rate_bpm=faster_bpm),
            Bigeminy(at_s=at_s, cycles=4),
            Pause(at_s=at_s, length_s=float(random.uniform(2.2, 3.5))),
        )
        events.append(options[int(kind)])
        at_s += float(random.uniform(0.7, 1.3)) * _EVENT_EVERY_S
    return tuple(events)
