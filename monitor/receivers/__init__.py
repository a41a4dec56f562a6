"""Who is told of alarms outside the monitor: one small interface, a relay that serves it, and a watchdog beside it.

A receiver says which alarms it wants and delivers one notice at a time; all the rest (reading the Streams by a consumer
group of its own, acknowledging, trying again, taking over from a dead instance) is `monitor.receivers.relay`'s.
"""

from monitor.receivers.group import Entry, GroupReader
from monitor.receivers.notice import DeliveryError, Notice, Receiver
from monitor.receivers.relay import Relay
from monitor.receivers.watchdog import Watchdog
from monitor.receivers.webhook import WebhookReceiver

__all__ = [
    "DeliveryError",
    "Entry",
    "GroupReader",
    "Notice",
    "Receiver",
    "Relay",
    "Watchdog",
    "WebhookReceiver",
]
