"""Athletes' hearts: the waves of their beats, and how rate and effort change them.

A beat is a sum of Gaussians around its R peak (McSharry et al. 2003). With effort the P wave grows, R loses and S
gains depth, the ST segment slopes upwards from a depressed J point, T falls and then towers in the first minutes of
recovery (Simoons and Hugenholtz 1975); the QT interval follows the rate as T's place does. What is usual in trained
people (slow at rest, early repolarisation, high voltage, Wenckebach at rest, incomplete right bundle branch block) is
described by Sharma, Drezner et al. 2017.

References
----------
McSharry PE, Clifford GD, Tarassenko L, Smith LA. A dynamical model for generating synthetic electrocardiogram
signals. IEEE Trans Biomed Eng 50(3):289-294, 2003.
Simoons ML, Hugenholtz PG. Gradual changes of ECG waveform during and after exercise in normal subjects. Circulation
52(4):570-577, 1975.
Sharma S, Drezner JA, Baggish A, et al. International recommendations for electrocardiographic interpretation in
athletes. J Am Coll Cardiol 69(8):1057-1075, 2017.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.errors import UsageError
from simulators.annotations import CLASS_OF_SYMBOL

WaveRole = Literal["P", "Q", "R", "S", "ST", "J", "T", "V", "spike"]
_Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Wave:
    """One Gaussian of a beat.

    Attributes
    ----------
    millivolts : float
        Its height.
    phase : float
        Where it lies, as a share of a turn at 60 beats a minute; the R peak is at 0. So also seconds at that rate.
    width : float
        Its standard deviation, in the same unit.
    with_rate : float
        Exponent by which position and width follow the RR interval: 0 for the QRS complex, which conduction shapes,
        0.5 for the T wave, as in Bazett's rule.
    role : str
        Which wave it is, so how effort changes it. ``"J"`` is early repolarisation, ``"V"`` the QRS complex of a
        ventricular beat.
    """

    millivolts: float
    phase: float
    width: float
    with_rate: float = 0.0
    role: WaveRole = "V"


_GROWTH: Final[Mapping[str, float]] = MappingProxyType({"P": 0.6, "R": -0.12, "S": 0.5})
Waves: TypeAlias = tuple[Wave, ...]


class Beat(IntEnum):
    """What made a beat."""

    SINUS = 0
    ATRIAL = 1
    VENTRICULAR = 2
    OTHER_VENTRICULAR = 3
    FUSION = 4
    CONDUCTED = 5
    """Conducted from fibrillating or fluttering atria: no P wave of its own."""
    ABERRANT = 6
    """Atrial, and so early that the right bundle branch does not conduct it yet: wide, but no V."""


P: Final = Wave(0.12, -0.167, 0.025, 0.3, "P")
Q: Final = Wave(-0.12, -0.035, 0.010, role="Q")
R: Final = Wave(1.1, 0.0, 0.012, role="R")
S: Final = Wave(-0.22, 0.035, 0.011, role="S")
ST: Final = Wave(-0.10, 0.080, 0.025, 0.3, "ST")
T: Final = Wave(0.30, 0.30, 0.050, 0.5, "T")
SINUS_BEAT: Final[Waves] = (P, Q, R, S, ST, T)
"""ST is there at effort only."""
VENTRICULAR_BEAT: Final[Waves] = (
    Wave(-0.15, -0.075, 0.020),
    Wave(1.50, 0.0, 0.034),
    Wave(-0.60, 0.095, 0.036),
    Wave(-0.45, 0.29, 0.060, 0.5, "T"),
)
"""No P wave, a wide QRS of about 0.16 s, and a T wave against it."""
OTHER_VENTRICULAR_BEAT: Final[Waves] = (
    Wave(0.25, -0.070, 0.022),
    Wave(-1.35, 0.0, 0.038),
    Wave(0.35, 0.110, 0.040),
    Wave(0.42, 0.30, 0.062, 0.5, "T"),
)
"""From another focus: downwards, with T upwards."""
_ABERRANT_WIDTH, _ABERRANT_S_MV, _ABERRANT_T = 1.35, -0.45, -0.6
ECTOPIC_P: Final = Wave(-0.08, -0.115, 0.018, 0.3, "P")
"""Of a focus low in the atria: upside down and close to the QRS complex."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Heart:
    """An athlete's heart.

    Attributes
    ----------
    meaning : str
        What is special about it.
    rest_bpm, maximum_bpm : float
        Heart rate at rest and at maximum effort.
    variability : float
        Standard deviation of the RR interval at rest as a share of it.
    sinus : tuple of Wave
        Its own beat.
    ventricular, other_ventricular : tuple of Wave
        Beats from two foci.
    ectopic_p : Wave
        The P wave of its premature atrial beats.
    symbol : str
        MIT-BIH symbol of its own beat: ``"N"``, ``"L"``, ``"R"`` or ``"/"``.
    wenckebach : bool
        Whether single beats are not conducted at rest, after a PR interval that grew.
    """

    meaning: str
    rest_bpm: float = 58.0
    maximum_bpm: float = 190.0
    variability: float = 0.05
    sinus: Waves = SINUS_BEAT
    ventricular: Waves = VENTRICULAR_BEAT
    other_ventricular: Waves = OTHER_VENTRICULAR_BEAT
    ectopic_p: Wave = ECTOPIC_P
    symbol: str = "N"
    wenckebach: bool = False

    @property
    def rhythm(self) -> str:
        """The name of its own rhythm: ``"N"``, or ``"P"`` if it is paced."""
        return "P" if self.symbol == "/" else "N"

    def waves(self, beat: Beat) -> Waves:
        """Return the waves of a kind of beat."""
        without_p = tuple(wave for wave in self.sinus if wave.role != "P")
        match beat:
            case Beat.SINUS:
                return self.sinus
            case Beat.ATRIAL:
                return (self.ectopic_p, *without_p)
            case Beat.VENTRICULAR | Beat.OTHER_VENTRICULAR:
                return self.ventricular if beat is Beat.VENTRICULAR else self.other_ventricular
            case Beat.FUSION:
                # Half of the ventricles are excited from above, half from the focus.
                both = (*self.sinus, *self.ventricular)
                return tuple(replace(wave, millivolts=0.55 * wave.millivolts) for wave in both)
            case Beat.CONDUCTED:
                return without_p
            case Beat.ABERRANT:
                return (self.ectopic_p, *(_aberrant(wave) for wave in without_p))

    def symbol_of(self, beat: Beat) -> str:
        """Return the MIT-BIH symbol of a kind of beat."""
        own = "N" if self.symbol == "/" and beat is not Beat.SINUS else self.symbol
        return {
            Beat.SINUS: self.symbol,
            Beat.ATRIAL: "A",
            Beat.VENTRICULAR: "V",
            Beat.OTHER_VENTRICULAR: "V",
            Beat.FUSION: "F",
            Beat.CONDUCTED: own,
            Beat.ABERRANT: "a",
        }[beat]

    def class_of(self, beat: Beat) -> int:
        """Return the AAMI class of a kind of beat, an index in `monitor.contract.AAMI_CLASSES`."""
        return CLASS_OF_SYMBOL[self.symbol_of(beat)]


def role_factors(role: WaveRole, reserve: _Array, recovery: _Array) -> _Array:
    """Return by what a wave's height is multiplied.

    Parameters
    ----------
    role : str
        Which wave.
    reserve : ndarray of float64, shape ``[beats]``
        Share of the heart rate reserve in use, 0 at rest to 1 at maximum.
    recovery : ndarray of float64, shape ``[beats]``
        0, and up to 1 in the first moments after maximum effort.

    Returns
    -------
    ndarray of float64, shape ``[beats]``
        After Simoons and Hugenholtz, smoothed: P up to 1.6, R down to 0.88, S up to 1.5; T down to 0.7 halfway and up
        to 1.5 in recovery; early repolarisation gone at half effort.
    """
    match role:
        case "P" | "R" | "S":
            factors = 1.0 + _GROWTH[role] * reserve
        case "ST":
            factors = reserve
        case "J":
            factors = np.clip(1.0 - 2.0 * reserve, 0.0, 1.0)
        case "T":
            factors = 1.0 - 0.3 * np.sin(np.pi * reserve) + 0.5 * recovery
        case "Q" | "V" | "spike":
            factors = np.ones_like(reserve)
    return factors


def peak_s(waves: Waves) -> float:
    """Return where the QRS complex reaches farthest from zero, in seconds after the beat's centre.

    Its neighbours' flanks move the peak of the largest wave; truth is the peak of the sum.
    """
    time_s = np.linspace(-0.05, 0.05, 2001)
    height = np.zeros_like(time_s)
    for wave in waves:
        if wave.role not in {"ST", "spike"}:
            height += wave.millivolts * np.exp(-0.5 * ((time_s - wave.phase) / wave.width) ** 2)
    return float(time_s[np.argmax(np.abs(height))])


def _aberrant(wave: Wave) -> Wave:
    """Return a wave of a beat that the left bundle branch alone conducts: a slurred S wave, T against it."""
    match wave.role:
        case "S":
            return Wave(_ABERRANT_S_MV, 0.052, 0.026, role="S")
        case "Q" | "R" | "J":
            return replace(wave, width=_ABERRANT_WIDTH * wave.width)
        case "T":
            return replace(wave, millivolts=_ABERRANT_T * wave.millivolts)
        case _:
            return wave


def _larger(waves: Waves, gain: float) -> Waves:
    return tuple(replace(wave, millivolts=gain * wave.millivolts) for wave in waves)


_RIGHT_BLOCK: Final[Waves] = (
    P,
    Q,
    replace(R, millivolts=0.95),
    Wave(-0.38, 0.050, 0.024, role="S"),
    ST,
    replace(T, millivolts=0.26, phase=0.31),
)
_LEFT_BLOCK: Final[Waves] = (
    P,
    Wave(0.55, -0.042, 0.017, role="R"),
    Wave(0.95, 0.0, 0.020, role="R"),
    Wave(-0.14, 0.075, 0.022, role="S"),
    Wave(-0.32, 0.31, 0.060, 0.5, "T"),
)
_PACED: Final[Waves] = (
    Wave(0.7, -0.085, 0.0025, role="spike"),
    Wave(1.05, 0.0, 0.030),
    Wave(-0.50, 0.085, 0.034),
    Wave(-0.38, 0.30, 0.062, 0.5, "T"),
)

HEARTS: Final[Mapping[str, Heart]] = MappingProxyType(
    {
        "usual": Heart(meaning="nothing special"),
        "endurance": Heart(meaning="38 a minute at rest", rest_bpm=38.0, maximum_bpm=188.0, variability=0.07),
        "early_repolarisation": Heart(
            meaning="raised J point and tall T at rest, gone at effort",
            rest_bpm=48.0,
            variability=0.06,
            sinus=(
                P,
                Q,
                replace(R, millivolts=1.5),
                S,
                ST,
                Wave(0.22, 0.062, 0.016, role="J"),
                Wave(0.12, 0.13, 0.045, 0.5, "J"),
                replace(T, millivolts=0.55),
            ),
        ),
        "high_voltage": Heart(
            meaning="QRS complexes of 2.6 mV",
            rest_bpm=50.0,
            sinus=(
                P,
                replace(Q, millivolts=-0.25),
                replace(R, millivolts=2.6),
                replace(S, millivolts=-0.7),
                ST,
                replace(T, millivolts=0.55),
            ),
            ventricular=_larger(VENTRICULAR_BEAT, 1.9),
            other_ventricular=_larger(OTHER_VENTRICULAR_BEAT, 1.9),
        ),
        "wenckebach": Heart(
            meaning="second degree block, Mobitz I, at rest",
            rest_bpm=46.0,
            variability=0.05,
            wenckebach=True,
        ),
        "right_bundle_branch_block": Heart(
            meaning="a slurred S wave", sinus=_RIGHT_BLOCK, symbol="R", rest_bpm=52.0
        ),
        "left_bundle_branch_block": Heart(
            meaning="a notched wide QRS, T against it", sinus=_LEFT_BLOCK, symbol="L"
        ),
        "paced": Heart(
            meaning="a ventricular pacemaker that follows effort",
            sinus=_PACED,
            symbol="/",
            rest_bpm=60.0,
            maximum_bpm=130.0,
            variability=0.002,
        ),
    }
)
"""Kinds of hearts by name."""


def find_heart(name: str) -> Heart:
    """Return a kind of heart.

    Raises
    ------
    UsageError
        If there is none of that name.
    """
    try:
        return HEARTS[name]
    except KeyError:
        raise UsageError(f"heart {name!r}: there are {', '.join(HEARTS)}") from None
