"""What the monitor hands to a sink at once."""

from dataclasses import dataclass, field

from monitor.contract import Alarm
from monitor.evidence_log import KeptEvidence, KeptStretch
from monitor.live_state import AthleteState, BeatEntry, MonitorState, WaveMessage
from monitor.recovery.rows import Snapshot
from monitor.responses import AuditEntry
from monitor.review_queue import ReviewQueue


@dataclass(slots=True)
class SinkBatch:
    """Everything that became known since the last batch.

    Attributes
    ----------
    beats : list of (team, athlete, BeatEntry)
        In order of each athlete's beats.
    states : list of AthleteState
        At most one an athlete.
    waves : list of (team, athlete, WaveMessage)
        Only of athletes that somebody watches.
    alarms : list of Alarm
        In the order in which they are to be told.
    monitor : MonitorState or None
        The heartbeat, when it is due.
    audit : list of AuditEntry
        What is to stand in the audit trail.
    snapshots : list of Snapshot
        States of athletes, for the disk; none may be written before the alarms above are safe.
    evidence : list of KeptEvidence
        From what alarms that were raised can be raised again.
    reviews : list of ReviewQueue
        What there is to review after training, each as a whole.
    kept : list of KeptStretch
        Of what stays in memory: whoever has time packs it.
    """

    beats: list[tuple[str, str, BeatEntry]] = field(default_factory=list)
    states: list[AthleteState] = field(default_factory=list)
    waves: list[tuple[str, str, WaveMessage]] = field(default_factory=list)
    alarms: list[Alarm] = field(default_factory=list)
    monitor: MonitorState | None = None
    audit: list[AuditEntry] = field(default_factory=list)
    snapshots: list[Snapshot] = field(default_factory=list)
    evidence: list[KeptEvidence] = field(default_factory=list)
    reviews: list[ReviewQueue] = field(default_factory=list)
    kept: list[KeptStretch] = field(default_factory=list)

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(
            self.beats
            or self.states
            or self.waves
            or self.alarms
            or self.monitor
            or self.audit
            or self.snapshots
            or self.evidence
            or self.reviews
            or self.kept
        )
