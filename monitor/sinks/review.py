"""The review queue on the server, for days after training.

``strapwatch:review:{team}:<athlete>`` is a Hash with a time to live: by boot of the strap, a MessagePack
`monitor.review_queue.ReviewQueue`, each time it is told as a whole. Only the last `BOOTS_KEPT` boots stay.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

import msgspec
import redis.asyncio
import structlog

from monitor.live_state import PREFIX, TEAMS_KEY
from monitor.review_queue import ReviewQueue

REVIEW_KEPT_S: Final = 14 * 24 * 3600
BOOTS_KEPT: Final = 16

_log = structlog.stdlib.get_logger(__name__)
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(ReviewQueue)


def review_key(team: str, athlete: str) -> str:
    """Return the key of an athlete's review queues."""
    return f"{PREFIX}review:{{{team}}}:{athlete}"


async def store_reviews(client: "redis.asyncio.Redis", reviews: Sequence[ReviewQueue]) -> None:
    """Store review queues in place of what was told of the same boots before.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached or refuses.
    """
    pipeline: Any = client.pipeline(transaction=False)
    for review in reviews:
        key = review_key(review.team, review.athlete)
        pipeline.hset(key, str(review.boot), _encoder.encode(review))
        pipeline.expire(key, REVIEW_KEPT_S)
        pipeline.hkeys(key)
    replies = await pipeline.execute()
    for review, boots in zip(reviews, replies[2::3], strict=True):
        too_many = sorted(boots, key=int)[:-BOOTS_KEPT]
        if too_many:
            # The client types this as either kind of client's.
            removing: Any = client.hdel(review_key(review.team, review.athlete), *too_many)
            await removing


async def stored_reviews(
    client: "redis.asyncio.Redis", teams: Iterable[str] = (), athletes: Iterable[str] = ()
) -> list[ReviewQueue]:
    """Return the review queues of all athletes, the latest of each first.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server.
    teams, athletes : iterable of str
        Only these; all by default.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    # As in `store_reviews`.
    members: Any = await client.smembers(TEAMS_KEY)
    wanted_teams, wanted = set(teams), set(athletes)
    found: list[ReviewQueue] = []
    for team in sorted(member.decode() for member in members):
        if wanted_teams and team not in wanted_teams:
            continue
        async for key in client.scan_iter(match=review_key(team, "*"), count=1000):
            raw: Any = await client.hvals(key)
            found += [review for content in raw if (review := _read(content, key)) is not None]
    return sorted(
        (review for review in found if not wanted or review.athlete in wanted),
        key=lambda review: (review.team, review.athlete, -review.at),
    )


def _read(content: bytes, key: bytes) -> ReviewQueue | None:
    try:
        return _decoder.decode(content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        _log.error("a review queue cannot be read", key=key.decode(errors="replace"))
        return None
