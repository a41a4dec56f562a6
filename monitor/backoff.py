"""How long to wait before trying again: longer each time, never in step with others."""

import random


class Backoff:
    """Exponentially growing waits with jitter, so that a fleet does not return to a restarted server all at once.

    Each wait is drawn evenly from the upper half of a bound that doubles with every failure.

    Parameters
    ----------
    first_s, most_s : float
        Bound of the first wait and the largest bound, in seconds.
    """

    def __init__(self, *, first_s: float = 0.25, most_s: float = 10.0) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._bound_s = first_s

    def next_wait_s(self) -> float:
        """Return how many seconds to wait now, and double the bound for the next time."""
        bound_s = self._bound_s
        self._bound_s = min(2 * bound_s, self._most_s)
        return random.uniform(bound_s / 2, bound_s)

    def succeeded(self) -> None:
        """Begin anew: it worked."""
        self._bound_s = self._first_s
