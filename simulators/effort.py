"""Effort: what an athlete does over time, and how heart rate, breathing and stride follow.

Heart rate follows effort as a first-order system, faster up than down (Bunc et al. 1988): within a minute after
maximum effort it falls by 30 beats and more in trained people (Cole et al. 1999 take less than 12 as abnormal).

References
----------
Bunc V, Heller J, Leso J. Kinetics of heart rate responses to exercise. J Sports Sci 6(1):39-48, 1988.
Cole CR, Blackstone EH, Pashkow FJ, Snader CE, Lauer MS. Heart-rate recovery immediately after exercise as a predictor
of mortality. N Engl J Med 341(18):1351-1357, 1999.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError

PhaseName = Literal["rest", "warm-up", "effort", "maximum", "recovery"]
_Array: TypeAlias = NDArray[np.float64]

UP_S: Final = 28.0
"""Time constant of the heart rate as effort grows."""
DOWN_S: Final = 55.0
"""The same as effort ends."""
REST_BREATHS_HZ: Final = 0.22
MAXIMUM_BREATHS_HZ: Final = 0.8
_STANDING: Final = 0.04
_WALKING: Final = 0.22


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A stretch of one effort.

    Attributes
    ----------
    name : str
        ``"rest"``, ``"warm-up"``, ``"effort"``, ``"maximum"`` or ``"recovery"``.
    seconds : float
        How long.
    effort : float
        0 (standing or lying) to 1 (maximum), the same all through, or where it ends if it `climbs`.
    climbs : bool
        Whether effort changes steadily from that of the phase before.
    """

    name: PhaseName
    seconds: float
    effort: float
    climbs: bool = False


@dataclass(frozen=True, slots=True)
class Programme:
    """What an athlete does; the last phase goes on for as long as is asked for.

    Attributes
    ----------
    phases : tuple of Phase
        In order.

    Raises
    ------
    UsageError
        If there is no phase, or one has a length or an effort out of range.
    """

    phases: tuple[Phase, ...]

    def __post_init__(self) -> None:
        if not self.phases:
            raise UsageError("a programme without phases: give one or more")
        for phase in self.phases:
            if not 1.0 <= phase.seconds <= 24 * 3600:
                raise UsageError(f"phase {phase.name!r} of {phase.seconds:g} s: use 1 to {24 * 3600} s")
            if not 0.0 <= phase.effort <= 1.0:
                raise UsageError(f"effort {phase.effort:g} in phase {phase.name!r}: use 0 to 1")

    @property
    def seconds(self) -> float:
        """How long all phases last."""
        return sum(phase.seconds for phase in self.phases)

    def effort_at(self, time_s: _Array) -> _Array:
        """Return the effort, 0 to 1, at times in seconds, shape ``[n]``."""
        ends = np.cumsum([phase.seconds for phase in self.phases])
        index = np.minimum(np.searchsorted(ends, time_s, side="right"), len(self.phases) - 1)
        level = np.array([phase.effort for phase in self.phases])
        before = np.concatenate([[0.0], level[:-1]])
        climbs = np.array([phase.climbs for phase in self.phases])
        length = np.array([phase.seconds for phase in self.phases])
        share = np.clip((time_s - (ends - length)[index]) / length[index], 0.0, 1.0)
        climbing = before[index] + share * (level - before)[index]
        effort: _Array = np.where(climbs[index], climbing, level[index])
        return effort

    def changes(self, seconds: float) -> list[tuple[float, PhaseName]]:
        """Return when each phase that begins within `seconds` begins, and its name."""
        begins = np.cumsum([0.0, *(phase.seconds for phase in self.phases[:-1])]).tolist()
        return [
            (begin, phase.name) for begin, phase in zip(begins, self.phases, strict=True) if begin < seconds
        ]

    def scaled(self, seconds: float) -> "Programme":
        """Return the same programme made `seconds` long, every phase by the same factor."""
        factor = seconds / self.seconds
        return Programme(
            tuple(
                Phase(
                    name=phase.name,
                    seconds=max(phase.seconds * factor, 1.0),
                    effort=phase.effort,
                    climbs=phase.climbs,
                )
                for phase in self.phases
            )
        )


def reserve_of(effort: _Array, step_s: float) -> _Array:
    """Return the share of the heart rate reserve in use, shape ``[n]``, as it follows effort.

    Parameters
    ----------
    effort : ndarray of float64, shape ``[n]``
        0 to 1, every `step_s` seconds; before the first it had been what the first is.
    step_s : float
        Seconds.
    """
    reserve = np.empty_like(effort)
    up, down = 1.0 - np.exp(-step_s / UP_S), 1.0 - np.exp(-step_s / DOWN_S)
    state = float(effort[0])
    for position, wanted in enumerate(effort.tolist()):
        state += (up if wanted > state else down) * (wanted - state)
        reserve[position] = state
    return reserve


def breaths_hz(reserve: _Array) -> _Array:
    """Return breaths a second, shape ``[n]``, at shares of the heart rate reserve."""
    return REST_BREATHS_HZ + (MAXIMUM_BREATHS_HZ - REST_BREATHS_HZ) * reserve**1.2


def steps_hz(effort: _Array) -> _Array:
    """Return steps a second, shape ``[n]``: none at rest, walking at 1.8, running at 2.5 to 3.0 Hz with effort."""
    running = 2.5 + 0.5 * np.clip((effort - _WALKING) / (1.0 - _WALKING), 0.0, 1.0)
    return np.where(effort < _STANDING, 0.0, np.where(effort < _WALKING, 1.8, running))


def _interval(repeats: int, work_s: float, easy_s: float, effort: float) -> tuple[Phase, ...]:
    work = Phase(name="effort", seconds=work_s, effort=effort)
    easy = Phase(name="recovery", seconds=easy_s, effort=0.15)
    return (work, easy) * repeats


_WARM_UP: Final = Phase(name="warm-up", seconds=480.0, effort=0.45, climbs=True)
_COOL_DOWN: Final = Phase(name="recovery", seconds=600.0, effort=0.02)

PROGRAMMES: Final[Mapping[str, Programme]] = MappingProxyType(
    {
        "rest": Programme((Phase(name="rest", seconds=600.0, effort=0.0),)),
        "maximum": Programme(
            (
                Phase(name="rest", seconds=300.0, effort=0.0),
                Phase(name="warm-up", seconds=300.0, effort=0.3, climbs=True),
                Phase(name="effort", seconds=600.0, effort=0.95, climbs=True),
                Phase(name="maximum", seconds=90.0, effort=1.0),
                Phase(name="recovery", seconds=510.0, effort=0.02),
            )
        ),
        "run": Programme(
            (
                Phase(name="rest", seconds=180.0, effort=0.0),
                _WARM_UP,
                Phase(name="effort", seconds=2400.0, effort=0.7),
                _COOL_DOWN,
            )
        ),
        "intervals": Programme(
            (
                Phase(name="rest", seconds=180.0, effort=0.0),
                _WARM_UP,
                *_interval(8, 120.0, 90.0, 0.92),
                Phase(name="maximum", seconds=60.0, effort=1.0),
                _COOL_DOWN,
            )
        ),
        "sprints": Programme(
            (
                Phase(name="rest", seconds=120.0, effort=0.0),
                _WARM_UP,
                *_interval(20, 20.0, 70.0, 1.0),
                _COOL_DOWN,
            )
        ),
    }
)
"""Ready programmes by name: rest, a step test to maximum effort and recovery, an easy run, intervals, sprints."""


def find_programme(name: str) -> Programme:
    """Return a ready programme.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    try:
        return PROGRAMMES[name]
    except KeyError:
        raise UsageError(f"programme {name!r}: there are {', '.join(PROGRAMMES)}") from None
