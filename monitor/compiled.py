"""One typed door to numba, so that every compiled loop is cached, releases the GIL and is compiled alike."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar, cast

import numba

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def compiled(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Compile `function` on first call; machine code is cached on disk (``NUMBA_CACHE_DIR`` moves the folder)."""
    return cast(
        "Callable[_Parameters, _Result]", numba.njit(cache=True, nogil=True, fastmath=False)(function)
    )
