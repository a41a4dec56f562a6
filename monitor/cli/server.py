"""What commands that read the server share: opening it, and who sits here."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import typer

from monitor.errors import ServerError

if TYPE_CHECKING:
    import redis.asyncio


@contextlib.asynccontextmanager
async def opened(url: str, *, keep_trying: bool = False) -> AsyncIterator["redis.asyncio.Redis"]:
    """Open Redis and make sure that it answers; with `keep_trying`, as long as it takes."""
    from redis.exceptions import RedisError

    from monitor.backoff import Backoff
    from monitor.sinks import open_redis, shown_url

    client = open_redis(url)
    backoff = Backoff()
    away = f"Redis at {shown_url(url)} cannot be reached"
    try:
        while True:
            try:
                await client.ping()
                break
            except (RedisError, OSError) as error:
                if not keep_trying:
                    raise ServerError(f"{away}: {error}; is it running there? (--redis URL)") from error
                typer.echo(f"strapwatch: {away}, trying again", err=True)
                await asyncio.sleep(backoff.next_wait_s())
        try:
            yield client
        except (RedisError, OSError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            raise ServerError(f"{away} any more: {error}") from error
    finally:
        with contextlib.suppress(RedisError, OSError):
            await client.aclose()


def login_name() -> str:
    """Return the login name of whoever sits here."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
