"""The canary: a test alarm that travels the whole way of an alarm, so that its absence shows when the way is broken."""

from monitor.catalogue import CATALOGUE
from monitor.contract import Alarm
from monitor.live_state import CANARY_TEAM


def canary(monitor_id: str, now: float, *, since: float) -> Alarm:
    """Return a test alarm of one monitor.

    Parameters
    ----------
    monitor_id : str
        Stands where an alarm has its athlete.
    now, since : float
        Unix times, in seconds, of this moment and of the monitor's start; their difference, in seconds, is the episode.
    """
    rule = CATALOGUE["canary"]
    return Alarm(
        team=CANARY_TEAM,
        athlete=monitor_id,
        boot=int(since),
        kind="canary",
        episode=int(now - since),
        transition="raised",
        priority=rule.priority,
        technical=True,
        known_sample=int(now - since),
        rate_hz=1.0,
        at=now,
        onset_at=now,
        rate_bpm=None,
        quality=1.0,
        message="Alarms can travel.",
        action=rule.action,
    )
