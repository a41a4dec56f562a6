"""Synthetic athletes who differ: each with a heart, a sampling rate and a few ectopic beats of their own."""

from typing import Final, Literal

import numpy as np

from simulators.athlete_hearts import HEARTS
from simulators.ectopy import Bigeminy, Ectopy, Pause, PrematureBeat, SupraventricularRun, VentricularRun
from simulators.effort import PROGRAMMES, Programme
from simulators.heart_variation import vary, vary_atrial, vary_ventricular
from simulators.records import Record
from simulators.rhythm_track import RETURN_CYCLES, HeartEvent
from simulators.synthetic import (
    SYNTHETIC_NAME,
    SyntheticAthlete,
    SyntheticSession,
    synthesize,
    synthesize_session,
)

TEAM_RATES_HZ: Final = (360.0, 250.0, 130.0)
Burden = Literal["none", "usual", "frequent"]
BURDENS: Final[tuple[Burden, ...]] = ("none", "usual", "frequent")
"""How many ectopic beats an athlete has: none; what healthy people have; some every minute, of every kind and shape."""

_FIRST_EVENT_S = 20.0
_EVENT_EVERY_S = 30.0
_LAST_EVENT_BEFORE_S = 15.0
# Healthy people: a few an hour, some of them many more.
_USUAL_PER_HOUR: Final = 4.0
_FREQUENT_PER_HOUR: Final = 80.0
# Of the 379 S of DS1 that follow an N the coupling is 0.61, 0.77 and 0.90 (5 %, median, 95 %), the median return 1.12.
_LATE_S: Final = (0.6, 0.93)
_SOON_CYCLES: Final = 1.12
_TRAINED_HEARTS: Final = {
    "usual": 0.3,
    "endurance": 0.2,
    "early_repolarisation": 0.15,
    "high_voltage": 0.15,
    "wenckebach": 0.08,
    "right_bundle_branch_block": 0.09,
    "left_bundle_branch_block": 0.03,
}
_TRAINING: Final = ("intervals", "run", "sprints", "maximum")


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


def training_athlete(
    number: int,
    *,
    seconds: float,
    seed: int,
    heart: str | None = None,
    programme: Programme | None = None,
    burden: Burden = "usual",
    events: tuple[HeartEvent, ...] = (),
) -> SyntheticAthlete:
    """Return an athlete who trains, with a heart of their own.

    Parameters
    ----------
    number, seed : int
        Athlete number k of a seed is the same however many there are.
    seconds : float
        Length of the session.
    heart : str, optional
        A kind of heart, see `simulators.athlete_hearts.HEARTS`; without it one that trained people have.
    programme : Programme, optional
        What the athlete does; without it one of intervals, a run, sprints and a test to maximum effort, fitted to the
        session.
    burden : {'none', 'usual', 'frequent'}
        How many ectopic beats.
    events : tuple of HeartEvent
        What is to happen besides; random events give way.
    """
    random = np.random.default_rng([seed, number, 1])
    kinds = list(_TRAINED_HEARTS)
    chosen = str(random.choice(kinds, p=[_TRAINED_HEARTS[kind] for kind in kinds]))
    own = vary(HEARTS[chosen if heart is None else heart], random)
    if burden == "frequent":
        own = vary_ventricular(own, np.random.default_rng([seed, number, 3]))
        own = vary_atrial(own, np.random.default_rng([seed, number, 4]))
    training = PROGRAMMES[str(random.choice(_TRAINING))].scaled(seconds)
    placed: list[HeartEvent] = list(events)
    for event in _session_events(seconds, burden, random):
        if all(
            event.at_s > other.at_s + other.lasts_s or event.at_s + event.lasts_s < other.at_s
            for other in placed
        ):
            placed.append(event)
    return SyntheticAthlete(
        heart=own,
        programme=training if programme is None else programme,
        breathing_gain=float(random.uniform(0.02, 0.1)),
        variation=float(random.uniform(0.02, 0.06)),
        wander_mv=float(random.uniform(0.02, 0.1)),
        noise_mv=float(random.uniform(0.005, 0.015)),
        events=tuple(placed),
    )


def training_session(
    number: int,
    *,
    seconds: float,
    seed: int,
    rate_hz: float | None = None,
    burden: Burden = "usual",
    events: tuple[HeartEvent, ...] = (),
) -> SyntheticSession:
    """Return a training session of `training_athlete` number `number`, at 360, 250 or 130 Hz if no rate is given."""
    athlete = training_athlete(number, seconds=seconds, seed=seed, burden=burden, events=events)
    return synthesize_session(
        athlete,
        rate_hz=TEAM_RATES_HZ[number % len(TEAM_RATES_HZ)] if rate_hz is None else rate_hz,
        seconds=seconds,
        seed=seed_of(number, seed),
        name=f"{SYNTHETIC_NAME}-{number:04d}",
    )


def seed_of(number: int, seed: int) -> int:
    """Return the seed of an athlete's own chances, from the number and the seed of the team."""
    return int(np.random.default_rng([seed, number, 2]).integers(2**31))


def _session_events(seconds: float, burden: Burden, random: np.random.Generator) -> list[HeartEvent]:
    if burden == "none":
        return []
    frequent = burden == "frequent"
    per_hour = _FREQUENT_PER_HOUR if frequent else _USUAL_PER_HOUR * float(random.lognormal(0.0, 0.8))
    focus = int(random.integers(2))
    events: list[HeartEvent] = []
    at_s = _FIRST_EVENT_S + float(random.exponential(3600.0 / per_hour))
    while at_s < seconds - _LAST_EVENT_BEFORE_S:
        coupling = float(random.uniform(0.5, 0.8))
        rate_bpm = float(random.uniform(150.0, 230.0))
        # S of people with many are hardly early, and the sinus node soon returns (`_LATE_S`); the earliest find a
        # bundle branch asleep.
        late = float(random.uniform(*_LATE_S)) if frequent else coupling
        return_cycles = _SOON_CYCLES if frequent else RETURN_CYCLES
        choices: list[tuple[float, HeartEvent]] = [
            (0.5, PrematureBeat(at_s=at_s, coupling=coupling, focus=1 if focus else 0)),
            (0.45, PrematureBeat(at_s=at_s, kind="S", coupling=late, return_cycles=return_cycles)),
            (0.05, PrematureBeat(at_s=at_s, coupling=0.5, interpolated=True)),
        ]
        if frequent:
            beats = int(random.integers(3, 9))
            choices += [
                (0.07, PrematureBeat(at_s=at_s, kind="S", coupling=min(coupling, 0.65), aberrant=True)),
                (0.07, PrematureBeat(at_s=at_s, kind="F", coupling=float(random.uniform(0.88, 0.95)))),
                (0.05, PrematureBeat(at_s=at_s, coupling=coupling, focus=0 if focus else 1)),
                (0.15, VentricularRun(at_s=at_s, beats=2, rate_bpm=rate_bpm, focus=1 if focus else 0)),
                (0.1, VentricularRun(at_s=at_s, beats=beats, rate_bpm=rate_bpm)),
                (0.08, SupraventricularRun(at_s=at_s, beats=beats, rate_bpm=rate_bpm)),
                (0.06, Bigeminy(at_s=at_s, cycles=beats)),
                (0.03, Bigeminy(at_s=at_s, cycles=beats, every=3)),
                (0.06, Pause(at_s=at_s, length_s=float(random.uniform(2.1, 3.8)))),
            ]
        share = np.array([weight for weight, _ in choices])
        event = choices[int(random.choice(len(choices), p=share / share.sum()))][1]
        events.append(event)
        at_s += event.lasts_s + float(random.exponential(3600.0 / per_hour))
    return events


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
    while at_s < seconds - _LAST_EVENT_BEFORE_S:
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
