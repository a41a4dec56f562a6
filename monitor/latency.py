"""How late what people see is: from the straps' schedule to the entry that the server gave."""

from collections.abc import Collection

import numpy as np

from monitor.contract import Alarm


def alarm_latency_s(alarm: Alarm, entered_at: float) -> float | None:
    """Return the seconds from the last R peak in an alarm's evidence to its entry; None where it has no beats.

    Parameters
    ----------
    alarm : Alarm
        As it was raised.
    entered_at : float
        Unix time, in seconds, of the entry.
    """
    if alarm.strip is None or not alarm.strip.beats or alarm.onset_at <= 0:
        return None
    last_r = alarm.strip.beats[-1][0]
    return entered_at - (alarm.onset_at + (last_r - alarm.episode) / alarm.rate_hz)


def quantiles(seconds: Collection[float]) -> tuple[float, float] | None:
    """Return p50 and p99 of some seconds; None where there are none."""
    if not seconds:
        return None
    p50, p99 = np.quantile(np.fromiter(seconds, np.float64, len(seconds)), [0.5, 0.99]).tolist()
    return p50, p99
