"""Memory that nobody uses goes back to the system, so that a monitor does not grow with every burst it has seen.

glibc gives each thread an arena of its own and keeps what was freed in it. A monitor's threads pass large pieces on to
each other (states to be stored, packets that waited while the network was away), and each arena then stays as large as
it ever was. Elsewhere than on glibc nothing is done here.
"""

import ctypes
from functools import cache
from typing import Any, Final

_ARENA_MAX: Final = -8
"""``M_ARENA_MAX`` of ``malloc.h``."""


@cache
def _glibc() -> Any:
    """Return the C library, or None where it is not glibc."""
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 - raises where there is none
    except (OSError, TypeError, AttributeError):
        return None
    return library


def share_one_arena() -> bool:
    """Let all threads that begin from now on allocate in one arena; return whether the C library is one that does."""
    library = _glibc()
    return library is not None and bool(library.mallopt(_ARENA_MAX, 1))


def give_back() -> None:
    """Give back to the system what is free; meanwhile other threads cannot allocate."""
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)
