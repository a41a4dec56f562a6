"""What is said of a key in a scenario that does not exist."""

import difflib
from collections.abc import Iterable


def unknown_key(key: str, known: Iterable[str]) -> str:
    """Return the closest key that exists, in words; all of them where none is close."""
    there = list(known)
    close = difflib.get_close_matches(key, there, n=1, cutoff=0.4)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(there)}"
