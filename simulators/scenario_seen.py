"""What an outside reader has seen of a run: beats and alarms with the time at which each was entered, and states."""

from collections import defaultdict
from dataclasses import dataclass, field

from monitor.contract import Alarm
from monitor.live_state import AthleteState, BeatEntry, MonitorState


@dataclass(slots=True)
class Seen:
    """What has been read so far.

    Attributes
    ----------
    beats : dict of str to list of (float, BeatEntry)
        Each athlete's beats and the Unix time, in seconds, at which the Stream took them.
    alarms : list of (float, Alarm)
        Transitions of alarms, likewise.
    states : dict of str to AthleteState
        The last state of each athlete.
    monitor : MonitorState or None
        The last heartbeat.
    start_at : list of float
        Unix time, in seconds, at which each life's schedule began.
    unacknowledged : int
        Packets of which no one can tell whether the broker had them.
    """

    beats: dict[str, list[tuple[float, BeatEntry]]] = field(default_factory=lambda: defaultdict(list))
    alarms: list[tuple[float, Alarm]] = field(default_factory=list)
    states: dict[str, AthleteState] = field(default_factory=dict)
    monitor: MonitorState | None = None
    start_at: list[float] = field(default_factory=list)
    unacknowledged: int = 0
