"""Rhythm: what the beats of one athlete mean together, on the sample clock."""

from monitor.rhythm.bank import EVIDENCE_BEATS, RhythmBank
from monitor.rhythm.blocked import BlockedBank
from monitor.rhythm.items import Verdicts
from monitor.rhythm.limits import AthleteLimits
from monitor.rhythm.pauses import FIRST_BEAT_S
from monitor.rhythm.rate import SUSTAINED_S
from monitor.rhythm.ventricular_fibrillation import FibrillationBank

__all__ = [
    "EVIDENCE_BEATS",
    "FIRST_BEAT_S",
    "SUSTAINED_S",
    "AthleteLimits",
    "BlockedBank",
    "FibrillationBank",
    "RhythmBank",
    "Verdicts",
]
