"""Whether a strap is there: what it says of itself, and when its silence has lasted too long."""

from typing import Final, Protocol

from monitor.athlete import Athlete
from monitor.contract import EpisodeTransition, RhythmEvent
from monitor.wire import StatusMessage

SILENT_AFTER_S: Final = 5.0
FORGET_AFTER_S: Final = 600.0
MAX_STATUSES: Final = 5000
"""Athletes of whose straps the last status is kept."""
MAX_STRAPS: Final = 8
"""Straps of one athlete of which it is."""


class _Tell(Protocol):
    def __call__(self, event: RhythmEvent, *, for_good: bool = False) -> None: ...


class Statuses:
    """The last status of each strap, whether its samples come or not.

    Both numbers are bounded, and what was told longest ago goes first: whoever tells of more straps than anybody has
    costs the others nothing.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, StatusMessage]] = {}

    def take(self, team: str, name: str, status: StatusMessage) -> None:
        """Take what a strap that bears an athlete's name says of itself."""
        straps = self._known.pop((team, name), {})
        straps.pop(status.strap, None)
        straps[status.strap] = status
        if len(straps) > MAX_STRAPS:
            del straps[next(iter(straps))]
        self._known[team, name] = straps
        if len(self._known) > MAX_STATUSES:
            del self._known[next(iter(self._known))]

    def give(self, athlete: Athlete, strap: str) -> None:
        """Let an athlete have what `strap` said before its samples came."""
        status = self._known.get((athlete.team, athlete.name), {}).get(strap)
        if status is not None:
            athlete.source, athlete.link.battery = status.source or "", status.battery


def hear(athlete: Athlete, status: StatusMessage, now: float) -> None:
    """Let a status change what is known of an athlete's strap.

    Parameters
    ----------
    athlete : Athlete
        Whose topic it came by.
    status : StatusMessage
        What was said.
    now : float
        Unix time in seconds.
    """
    strap, boot = athlete.assembly.strap, athlete.assembly.boot
    if not status.online and (status.strap != strap or status.boot < boot):
        # The last will of a connection that another one has replaced.
        return
    heard = athlete.online and now - athlete.assembly.progress_at < SILENT_AFTER_S
    if status.strap != strap and heard:
        # Another strap under the same name: what it says of itself counts once its samples do.
        return
    athlete.source, athlete.link.battery = status.source or "", status.battery
    if status.online and athlete.ended:
        athlete.expected_since = now
    if not status.online:
        athlete.told_off_at = now
    athlete.online = status.online
    athlete.ended = status.ended and not status.online
    athlete.changed = True
    athlete.mind_at = 0.0


def mind_silence(athlete: Athlete, now: float, tell: _Tell) -> bool:
    """Tell whether an athlete's strap has fallen silent or is heard again; return whether it is to be forgotten.

    Parameters
    ----------
    athlete : Athlete
        Whose.
    now : float
        Unix time in seconds.
    tell : callable
        Takes the event.
    """
    # Packets that are refused are no sign of life: what counts is that samples come.
    since = max(athlete.assembly.progress_at, athlete.expected_since)
    silent_for = now - since
    silent = (silent_for >= SILENT_AFTER_S or not athlete.online) and not athlete.ended
    end = athlete.end_sample
    if silent and athlete.silent_since is None and athlete.line is not None:
        athlete.silent_since = end
        tell(_silence(athlete.row, end, "onset", silent_for))
    elif not silent and athlete.silent_since is not None:
        tell(_silence(athlete.row, athlete.silent_since, "end", silent_for), for_good=athlete.ended)
        athlete.silent_since = None
    # Samples may only put off when there is next something to decide, unless they end a silence; a status asks for
    # another look.
    told = athlete.silent_since is not None
    next_s = FORGET_AFTER_S if told or silent_for >= SILENT_AFTER_S else SILENT_AFTER_S
    athlete.mind_at = 0.0 if silent and not told else since + next_s
    return silent_for >= FORGET_AFTER_S


def _silence(row: int, episode: int, transition: EpisodeTransition, silent_for_s: float) -> RhythmEvent:
    return RhythmEvent(
        row=row,
        kind="strap_silent",
        episode=episode,
        transition=transition,
        onset_sample=episode,
        known_sample=episode,
        rate_bpm=float("nan"),
        duration_s=silent_for_s,
        quality=0.0,
    )
