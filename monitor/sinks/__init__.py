"""Where beats, states and alarms go: Redis or Valkey, with an outbox on disk for alarms."""

from monitor.sinks.acknowledge import acknowledge, known_alarms
from monitor.sinks.alarm_script import Addition, AlarmScript, decode_alarm
from monitor.sinks.alarm_tail import acknowledgements, follow_alarms, follow_commands
from monitor.sinks.audit import audit_trail
from monitor.sinks.batch import SinkBatch
from monitor.sinks.commands import feedback_of, give_feedback, pause, resume
from monitor.sinks.connection import open_redis, shown_url
from monitor.sinks.evidence import evidence_key, store_evidence, stored_evidence, told_with_strip
from monitor.sinks.outbox import Outbox, OutboxCounts
from monitor.sinks.redis_sink import RedisSink

__all__ = [
    "Addition",
    "AlarmScript",
    "Outbox",
    "OutboxCounts",
    "RedisSink",
    "SinkBatch",
    "acknowledge",
    "acknowledgements",
    "audit_trail",
    "decode_alarm",
    "evidence_key",
    "feedback_of",
    "follow_alarms",
    "follow_commands",
    "give_feedback",
    "known_alarms",
    "open_redis",
    "pause",
    "resume",
    "shown_url",
    "store_evidence",
    "stored_evidence",
    "told_with_strip",
]
