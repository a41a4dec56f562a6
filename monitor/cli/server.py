"""What commands that read the server share: opening it, and who sits here."""

import asyncio
import contextlib
import getpass
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

import typer

from monitor.cli.dashboard import REDIS_VARIABLE
from monitor.errors import ServerError, StrapwatchError

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
                refusal = _refusal(error, client, shown_url(url))
                if refusal:
                    raise ServerError(refusal) from error
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


async def check_teams(client: "redis.asyncio.Redis", teams: Sequence[str], *, only_say: bool = False) -> None:
    """Refuse teams that were never seen: what is asked of a mistyped one looks like good news."""
    from monitor.sinks.seen import unknown_teams

    unknown = await unknown_teams(client, teams)
    if unknown and not only_say:
        raise StrapwatchError(unknown)
    if unknown:
        typer.echo(f"strapwatch: {unknown}", err=True)


def _refusal(error: Exception, client: "redis.asyncio.Redis", where: str) -> str:
    """Return what to change where the server is there and refuses us; empty where it is away, or busy."""
    from redis.exceptions import AuthenticationError, ResponseError

    if isinstance(error, AuthenticationError):
        if client.connection_pool.connection_kwargs.get("password") is None:
            given = f"redis://:PASSWORD@host:port, with --redis or in {REDIS_VARIABLE}"
            return f"Redis at {where} wants a password: {given}"
        return f"Redis at {where} does not take this user or password: {error}"
    if isinstance(error, ResponseError) and "DB index" in str(error):
        return f"Redis at {where} has no database {client.connection_pool.connection_kwargs.get('db')}"
    return ""


def login_name() -> str:
    """Return the login name of whoever sits here."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "somebody"
