"""Beats that wait while the server is away: mostly it is back within seconds, and the history then has no hole."""

from collections import deque
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Final

import msgspec

from monitor.live_state import BeatEntry

MOST_HELD: Final = 10_000
"""Beats of all athletes together: eight seconds of a thousand hearts."""

Told = tuple[str, str, BeatEntry]
"""Team, athlete, beat."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(BeatEntry).decode


class HeldBeats:
    """The newest beats that are not known to be in the server, in the order in which they were told.

    They are held as bytes: as what they are they take twice the room, in many small pieces.

    Parameters
    ----------
    most : int
        Of all athletes together.
    """

    def __init__(self, most: int = MOST_HELD) -> None:
        self._beats: deque[tuple[str, str, bytes]] = deque()
        self._most = most

    def __len__(self) -> int:
        return len(self._beats)

    def hold(self, beats: Iterable[Told]) -> int:
        """Hold beats; return how many of the oldest had to go for them."""
        self._beats.extend((team, athlete, _encode(beat)) for team, athlete, beat in beats)
        too_many = max(len(self._beats) - self._most, 0)
        for _ in range(too_many):
            self._beats.popleft()
        return too_many

    def oldest(self, most: int) -> list[Told]:
        """Return the oldest, which stay held until they are let go."""
        return [(team, athlete, _decode(beat)) for team, athlete, beat in islice(self._beats, most)]

    def let_go(self, count: int) -> None:
        """Hold the oldest no more."""
        for _ in range(min(count, len(self._beats))):
            self._beats.popleft()


def not_yet_written(beats: Iterable[Told], written: Mapping[tuple[str, str], BeatEntry]) -> list[Told]:
    """Return the beats that came after the last one that stands in the server.

    Parameters
    ----------
    beats : iterable of (team, athlete, BeatEntry)
        In order of each athlete's beats.
    written : mapping
        The last beat that stands in each athlete's Stream, by team and athlete.
    """
    told = list(beats)
    # By R peaks: beats are told in their order, and one that was found late may have been known after the next. A boot
    # says nothing of those of another strap, so what was written is known by its own.
    begin: dict[tuple[str, str], int] = {}
    for place, (team, athlete, beat) in enumerate(told):
        last = written.get((team, athlete))
        if last is not None and beat.boot == last.boot and beat.r_sample <= last.r_sample:
            begin[team, athlete] = place + 1
    return [each for place, each in enumerate(told) if place >= begin.get(each[:2], 0)]
