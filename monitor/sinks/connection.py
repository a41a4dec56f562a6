"""One way to open a Redis-compatible server, for the monitor and for everybody who reads what it wrote."""

from typing import Any, Final
from urllib.parse import urlsplit

import redis.asyncio
from redis.asyncio.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from monitor.cancellation import end_if_cancelled, times_cancelled
from monitor.errors import SettingsError

SOCKET_TIMEOUT_S: Final = 2.0
_SCHEMES: Final = ("redis", "rediss", "unix")
_FORM: Final = "use redis://[user:password@]host[:port][/database], rediss:// for TLS, or unix://path"


class _Cancellable:
    """A connection whose user can be cancelled at any moment, see `monitor.cancellation`."""

    async def send_packed_command(self, *arguments: Any, **options: Any) -> None:
        since = times_cancelled()
        connection: Any = super()
        await connection.send_packed_command(*arguments, **options)
        try:
            end_if_cancelled(since)
        except BaseException:
            # Its reply would be taken for the next command's.
            await connection.disconnect(nowait=True)
            raise


class _PlainConnection(_Cancellable, Connection):
    pass


class _TlsConnection(_Cancellable, SSLConnection):
    pass


class _UnixConnection(_Cancellable, UnixDomainSocketConnection):
    pass


_CANCELLABLE: Final[dict[Any, Any]] = {
    Connection: _PlainConnection,
    SSLConnection: _TlsConnection,
    UnixDomainSocketConnection: _UnixConnection,
}


def open_redis(url: str) -> "redis.asyncio.Redis":
    """Return a client for the server at `url`; nothing is connected yet, and nothing is tried twice.

    Whoever uses it decides how often and how long to try again, see `monitor.backoff`.

    Parameters
    ----------
    url : str
        ``redis://[user:password@]host[:port][/database]``, ``rediss://…`` or ``unix://path``.

    Raises
    ------
    SettingsError
        If `url` is none of these. The text repeats neither user nor password.
    """
    try:
        parts = urlsplit(url)
        usable = parts.scheme in _SCHEMES and bool(parts.hostname or (parts.scheme == "unix" and parts.path))
        if not usable or parts.port == 0:
            raise SettingsError(f"Redis URL {shown_url(url)!r} is none; {_FORM}")
        pool: Any = redis.asyncio.ConnectionPool.from_url(
            url,
            # Replies look alike in all versions of the client then.
            protocol=2,
            socket_timeout=SOCKET_TIMEOUT_S,
            socket_connect_timeout=SOCKET_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),
            health_check_interval=0,
        )
        pool.connection_class = _CANCELLABLE[pool.connection_class]
        return redis.asyncio.Redis.from_pool(pool)
    except ValueError:
        raise SettingsError(f"Redis URL {shown_url(url)!r} cannot be read; {_FORM}") from None


def shown_url(url: str) -> str:
    """Return `url` without user and password, fit for a log."""
    scheme, separator, rest = url.partition("://")
    return url if "@" not in rest else f"{scheme}{separator}{rest.rpartition('@')[2]}"
