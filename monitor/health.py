"""Whether a monitor is at work: ``python -m monitor.health`` asks Redis for its heartbeat, and ends with 0 or 1.

It reads the same settings as the monitor, so that a container's health check needs no option.
"""

import sys
from typing import Final

import msgspec
import redis
from redis.exceptions import RedisError

from monitor.errors import StrapwatchError
from monitor.live_state import MonitorState, monitor_key
from monitor.settings import Settings
from monitor.sinks import shown_url

_TIMEOUT_S: Final = 3.0


def unhealthy_because(settings: Settings) -> str:
    """Return why the monitor of these settings is not at work; empty if it is."""
    client = redis.Redis.from_url(
        settings.redis.url, socket_timeout=_TIMEOUT_S, socket_connect_timeout=_TIMEOUT_S
    )
    try:
        beat = client.get(monitor_key(settings.monitor.id))
    except (RedisError, OSError) as error:
        return f"{shown_url(settings.redis.url)} does not answer: {error}"
    finally:
        client.close()
    if not isinstance(beat, bytes):
        return f"monitor {settings.monitor.id!r} has no heartbeat in {shown_url(settings.redis.url)}"
    try:
        state = msgspec.msgpack.decode(beat, type=MonitorState)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return f"the heartbeat of {settings.monitor.id!r} cannot be read: {error}"
    return "" if state.broker_connected else f"monitor {settings.monitor.id!r} has no broker"


def main() -> int:
    """Print one line and return the exit code."""
    try:
        reason = unhealthy_because(Settings.load())
    except StrapwatchError as error:
        reason = str(error)
    print(reason or "healthy")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
