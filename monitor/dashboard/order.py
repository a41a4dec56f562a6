"""In what order athletes are shown, and which."""

from collections.abc import Iterable
from typing import Final

from monitor.dashboard.snapshot import AthleteView, urgency

ORDERS: Final = ("alarm", "name", "heart rate", "quality")


def arrange(views: Iterable[AthleteView], order: str, wanted: str = "") -> list[AthleteView]:
    """Return the athletes to show, in order.

    Whoever has an alarm that nobody has acknowledged comes first in every order and passes every filter.

    Parameters
    ----------
    views : iterable of AthleteView
        All athletes.
    order : str
        One of `ORDERS`: by alarm (then name), by name, by heart rate (fastest first), by quality (worst first).
    wanted : str
        Part of a name, team or source, in any case; empty for everybody.
    """
    needle = wanted.casefold()

    def matches(view: AthleteView) -> bool:
        state = view.state
        return any(needle in text.casefold() for text in (view.name, state.athlete, state.team, state.source))

    def key(view: AthleteView) -> tuple[object, ...]:
        name = (view.name, view.state.team)
        calling = view.calling
        if calling:
            return (0, *urgency(calling), *name)
        if order == "heart rate":
            return (1, -(view.state.rate_bpm or 0.0), *name)
        if order == "quality":
            return (1, view.state.quality, *name)
        if order == "alarm" and view.pressing:
            return (1, *name)
        return (2, *name)

    return sorted((view for view in views if view.calling or matches(view)), key=key)
