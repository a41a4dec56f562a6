"""Who has been seen so far, and what to say of a name that has not: most are another one, mistyped."""

import difflib
from collections.abc import Iterable, Sequence
from typing import Any, Final

import redis.asyncio

from monitor.live_state import PREFIX, athlete_key, beats_key
from monitor.sinks.audit import all_teams

_NAMED: Final = 8
_OF_AN_ATHLETE: Final = ("athlete", "beats", "alarms-seen")


async def unknown_teams(client: "redis.asyncio.Redis", teams: Iterable[str]) -> str:
    """Return what to say of teams that no monitor has ever written; empty if there are none.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    wanted = list(teams)
    seen = await all_teams(client) if wanted else []
    return "; ".join(
        f"team {team!r} is not known; {_closest(team, seen)}teams seen: {_named(seen)}"
        for team in wanted
        if team not in seen
    )


async def unknown_athlete(client: "redis.asyncio.Redis", team: str, athlete: str) -> str:
    """Return what to say of an athlete of whom the server holds nothing; empty if it holds something.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    if await client.exists(athlete_key(team, athlete), beats_key(team, athlete)):
        return ""
    seen = await _athletes(client, team)
    if athlete in seen:
        return ""
    return f"athlete {athlete!r} of team {team} is not known; {_closest(athlete, seen)}seen: {_named(seen)}"


async def _athletes(client: "redis.asyncio.Redis", team: str) -> list[str]:
    """Return the athletes of a team of whom there is a state, a beat or an alarm, in order."""
    found = set()
    async for raw in client.scan_iter(match=f"{PREFIX}*:{{{team}}}:*", count=1000):
        key: Any = raw.decode(errors="replace")
        kind, _, whose = key.removeprefix(PREFIX).partition(f":{{{team}}}:")
        if kind in _OF_AN_ATHLETE:
            found.add(whose.partition(":")[0])
    return sorted(found)


def _closest(name: str, seen: Sequence[str]) -> str:
    closest = difflib.get_close_matches(name, seen, n=1, cutoff=0.6)
    return f"did you mean {closest[0]}? " if closest else ""


def _named(seen: Sequence[str]) -> str:
    more = f" and {len(seen) - _NAMED} more" if len(seen) > _NAMED else ""
    return f"{', '.join(seen[:_NAMED])}{more}" if seen else "none"
