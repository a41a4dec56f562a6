"""The limits of one athlete: what is normal for some is an alarm for others, and at rest other than at effort."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class AthleteLimits:
    """Limits of one athlete.

    Attributes
    ----------
    bradycardia_bpm, tachycardia_bpm : float
        Heart rates below and above which an episode begins.
    pause_s, long_pause_s, asystole_s : float
        Seconds without an R peak.
    bradycardia_effort_bpm : float
        The lower limit during effort, where it is above `bradycardia_bpm`.
    tachycardia_rest_bpm : float
        The upper limit at rest, where it is below `tachycardia_bpm`.
    resting_bpm, maximum_bpm : float
        The athlete's resting and maximum heart rates: they span the zones, and tell effort from rest.
    """

    bradycardia_bpm: float = 40.0
    tachycardia_bpm: float = 200.0
    pause_s: float = 2.0
    asystole_s: float = 4.0
    long_pause_s: float = 3.0
    bradycardia_effort_bpm: float = 50.0
    tachycardia_rest_bpm: float = 160.0
    resting_bpm: float = 60.0
    maximum_bpm: float = 205.0
