"""Going on after a crash or a restart: snapshots first, then the packets that came after them, on their own times."""

from dataclasses import dataclass, field
from typing import Final

import structlog

from monitor.recovery.packets import PacketJournal, Recorded
from monitor.recovery.rows import RowStore
from monitor.responses import AuditEntry
from monitor.sinks.batch import SinkBatch
from monitor.watch import Watch
from monitor.wire import Topic

STEP_S: Final = 0.1
"""Packets that came within this time are taken in one tick."""
LOOKED_FOR_S: Final = 30.0
"""What is still missing so long after a restart was missed."""
CLOCKS_APART_S: Final = 60.0
"""By how much the server's clock may differ from ours."""
_MOST_TICKS: Final = 10_000

Key = tuple[str, str]
_log = structlog.stdlib.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Resumed:
    """Where one athlete went on.

    Attributes
    ----------
    lost_samples : int
        Samples that had been lost by then.
    """

    lost_samples: int


@dataclass(slots=True)
class Resumption:
    """What a restart found.

    Attributes
    ----------
    at : float
        Unix time, in seconds, of the restart.
    away_s : float
        Seconds since the last packet that the monitor before took; 0 where there was none.
    athletes : dict of (team, athlete) to Resumed
        Who goes on.
    begun_anew : int
        Athletes whose snapshot could not be used.
    packets : int
        Packets that were taken from the journal.
    batch : SinkBatch
        What they brought: beats and alarms, some of them told before.
    acknowledged_since : float or None
        Unix time, in seconds, since when acknowledgements may have been given that no snapshot holds.
    """

    at: float
    away_s: float = 0.0
    athletes: dict[Key, Resumed] = field(default_factory=dict)
    begun_anew: int = 0
    packets: int = 0
    batch: SinkBatch = field(default_factory=SinkBatch)
    acknowledged_since: float | None = None

    def sentence(self) -> str:
        """Return in one sentence what was found; empty where there was nothing."""
        if not (self.athletes or self.packets or self.begun_anew):
            return ""
        anew = f", {self.begun_anew} could not and began anew" if self.begun_anew else ""
        return (
            f"{len(self.athletes)} athletes went on where they were{anew}; nobody watched for {self.away_s:.1f} s, "
            f"{self.packets} packets from before were looked at again"
        )

    def missed(self, watch: Watch, now: float, *, by: str) -> list[AuditEntry]:
        """Return what of each athlete's signal no monitor has seen: to be asked `LOOKED_FOR_S` after the restart."""
        entries = []
        for (team, athlete), before in self.athletes.items():
            lost = watch.lost_samples(team, athlete)
            if lost is None:
                continue
            samples, rate_hz = lost
            seconds = (samples - before.lost_samples) / rate_hz
            if seconds > 0.0:
                detail = f"{seconds:.1f} s of signal around the restart were never seen"
                entries.append(
                    AuditEntry(at=now, team=team, athlete=athlete, by=by, action="missed", detail=detail)
                )
        return entries


def resume(watch: Watch, rows: RowStore, journal: PacketJournal, now: float) -> Resumption:
    """Let a new watch take over where the one before ended.

    Parameters
    ----------
    watch : Watch
        Without athletes.
    rows : RowStore
        Their snapshots.
    journal : PacketJournal
        The packets that came.
    now : float
        Unix time, in seconds, of this moment.
    """
    resumption = Resumption(at=now)
    covered: dict[Key, int] = {}
    for snapshot in rows.load(now):
        key = (snapshot.team, snapshot.athlete)
        try:
            watch.import_athlete(*key, snapshot.state, now)
        except ValueError as error:
            resumption.begun_anew += 1
            _log.error("an athlete begins anew", team=key[0], athlete=key[1], reason=str(error))
        else:
            covered[key] = snapshot.position
            since = snapshot.at - CLOCKS_APART_S
            resumption.acknowledged_since = min(resumption.acknowledged_since or since, since)
    _take_again(watch, journal, covered, resumption)
    for key in covered:
        lost = watch.lost_samples(*key)
        if lost is not None:
            resumption.athletes[key] = Resumed(lost[0])
    watch.expect_all(now)
    # They may have been changed while nobody watched.
    watch.apply_limits()
    return resumption


def _take_again(
    watch: Watch, journal: PacketJournal, covered: dict[Key, int], resumption: Resumption
) -> None:
    step_end = -1.0
    last: Recorded | None = None
    for recorded in journal.read():
        last = recorded
        if recorded.position <= covered.get((recorded.team, recorded.athlete), -1):
            continue
        if recorded.arrived_at >= step_end:
            if step_end > 0.0:
                _tick(watch, step_end, resumption)
            step_end = recorded.arrived_at + STEP_S
        topic = Topic(recorded.team, recorded.athlete, recorded.channel)
        watch.receive(topic, recorded.payload, recorded.arrived_at)
        resumption.packets += 1
    if last is not None:
        resumption.away_s = max(0.0, resumption.at - last.arrived_at)
        _tick(watch, last.arrived_at, resumption)


def _tick(watch: Watch, now: float, resumption: Resumption) -> None:
    for _ in range(_MOST_TICKS):
        brought = watch.tick(now)
        batch = resumption.batch
        batch.beats += brought.beats
        batch.alarms += brought.alarms
        batch.audit += brought.audit
        batch.evidence += brought.evidence
        if not watch.behind:
            return
