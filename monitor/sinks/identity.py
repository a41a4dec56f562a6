"""Taking an alarm's identity apart, as a user gives it."""

from typing import NamedTuple

from monitor.errors import UsageError
from monitor.wire import is_name


class Identity(NamedTuple):
    """An alarm's identity, taken apart; `strap` is empty where it is not known."""

    team: str
    athlete: str
    strap: str
    boot: int
    kind: str
    episode: int


def parse_identity(identity: str) -> Identity:
    """Take an alarm's identity apart.

    Raises
    ------
    UsageError
        If it is none.
    """
    *names, boot, kind, episode = identity.split(".") if identity.count(".") in (4, 5) else [""] * 3
    numbers = all(part.isascii() and part.isdigit() and len(part) <= 16 for part in (boot, episode))
    if not (numbers and all(map(is_name, (*names, kind)))):
        raise UsageError(
            f"alarm {identity!r}: use team.athlete.strap.boot.kind.episode, as `strapwatch alerts` prints it "
            "in the last column"
        )
    team, athlete, strap = names if len(names) == 3 else (*names, "")
    return Identity(team, athlete, strap, int(boot), kind, int(episode))
