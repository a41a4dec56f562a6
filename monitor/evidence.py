"""What goes with an alarm of the heart: the strip that shows why, and what was known of the athlete.

The strip stands there at once, from `STRIP_BEFORE_S` before the alarm was known, and is told again, complete, when
`monitor.alarms.COMPLETE_AFTER_S` more has come. It ends with a sample that the alarm names, not with a packet, so that
the same samples give the same strip however they came.
"""

from typing import Any, Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from monitor.alarms import COMPLETE_AFTER_S
from monitor.athlete import Athlete
from monitor.contract import LABELS, Alarm, Evidence, FloatArray, Strip

STRIP_BEFORE_S: Final = 30.0
"""The strip begins this long before the alarm was known."""
STRIP_MOST_SAMPLES: Final = 12_600
"""A strip has at most so many samples (25 kB, 35 s at 360 Hz): above 360 Hz it begins later."""


def with_evidence(athlete: Athlete, alarm: Alarm, before: tuple[int, FloatArray] | None = None) -> Alarm:
    """Return an alarm of the heart with its evidence; others as they are.

    Parameters
    ----------
    athlete : Athlete
        Whose.
    alarm : Alarm
        A transition.
    before : tuple of int and ndarray of float32, optional
        First sample and millivolts of what was kept before a gap, and has been forgotten since.
    """
    line = athlete.line
    if alarm.technical or line is None or alarm.boot != athlete.boot or alarm.transition == "cleared":
        return alarm
    if alarm.transition == "raised":
        athlete.past.add(alarm)
    times, last_at = athlete.past.before(alarm)
    return msgspec.structs.replace(
        alarm,
        strip=_strip(athlete, alarm, before),
        evidence=Evidence(
            phase=line.rhythm.phase(athlete.row),
            times_before=times,
            last_before_at=last_at,
            usual_microvolts=microvolts(line.usual_beat(athlete.row)),
        ),
    )


def _strip(athlete: Athlete, alarm: Alarm, before: tuple[int, FloatArray] | None) -> Strip:
    line = athlete.line
    assert line is not None  # noqa: S101 - alarms of the heart come from one
    length_s = STRIP_BEFORE_S + (COMPLETE_AFTER_S if alarm.transition == "completed" else 0.0)
    end = alarm.known_sample + 1
    begin = end - min(round(length_s * line.rate_hz), STRIP_MOST_SAMPLES)
    if before is None:
        first, samples = line.trace.stretch(athlete.row, begin, end)
    else:
        first, samples = before
        samples = samples[max(begin - first, 0) : max(end - first, 0)]
        first = max(first, begin)
    return Strip(
        first_sample=first,
        rate_hz=line.rate_hz,
        microvolts=microvolts(samples),
        beats=[(r, LABELS[label], p) for r, label, p in line.rhythm.recent_beats(athlete.row) if r >= first],
    )


def microvolts(millivolts: FloatArray) -> bytes:
    """Return millivolts as little-endian int16 microvolts; what does not fit stays at the edge."""
    limit = np.iinfo(np.int16).max
    counts: NDArray[np.int16] = np.clip(np.rint(millivolts * 1000.0), -limit, limit).astype("<i2")
    return counts.tobytes()


def millivolts(microvolts: bytes) -> FloatArray:
    """Return what `microvolts` was given, to the microvolt."""
    scale: Any = np.float32(1000.0)
    found: FloatArray = np.frombuffer(microvolts, "<i2").astype(np.float32) / scale
    return found
