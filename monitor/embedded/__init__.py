"""Real servers that run for as long as we do, so that a demo or a test needs nothing installed or left behind."""

from monitor.embedded.children import die_with_parent, spawn
from monitor.embedded.servers import (
    EmbeddedBroker,
    EmbeddedServer,
    GuardedServer,
    InstalledMosquitto,
    InstalledRedis,
)

__all__ = [
    "EmbeddedBroker",
    "EmbeddedServer",
    "GuardedServer",
    "InstalledMosquitto",
    "InstalledRedis",
    "die_with_parent",
    "spawn",
]
