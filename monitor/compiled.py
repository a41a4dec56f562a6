"""One typed door to numba, so that every compiled loop is cached, releases the GIL and is compiled alike.

Machine code holds the constants that its module imported, but numba looks only at the one source file when it asks
whether cached code is still good. A constant renumbered elsewhere would leave old code running. So what is cached
lives in a folder named after the source of every compiled module and of all they import from this package.
"""

import hashlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec, TypeVar, cast

import numba

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

_PACKAGE: Final = Path(__file__).parent
_DISPATCHERS: Final[list[Any]] = []
_IMPORT: Final = re.compile(r"^from (monitor[\w.]*) import ([^#\n]*(?:\([^)]*\))?)", re.MULTILINE)


def compiled(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Compile `function` on first call; machine code is cached on disk (``NUMBA_CACHE_DIR`` moves the folder)."""
    dispatcher = numba.njit(cache=True, nogil=True, fastmath=False)(function)
    _DISPATCHERS.append(dispatcher)
    return cast("Callable[_Parameters, _Result]", dispatcher)


def compiled_so_far() -> frozenset[str]:
    """Return what this process has compiled or loaded by now: each function with the types it was called with."""
    return frozenset(
        f"{dispatcher.py_func.__module__}.{dispatcher.py_func.__qualname__}{signature}"
        for dispatcher in _DISPATCHERS
        for signature in dispatcher.signatures
    )


def everything_compiled() -> bool:
    """Return whether `mark_compiled` was called with this source, this Python and this numba."""
    return _mark().exists()


def mark_compiled() -> None:
    """Say that everything has been compiled that a monitor runs; the folder alone is there from the first import on."""
    _mark().parent.mkdir(parents=True, exist_ok=True)
    _mark().touch()


def _mark() -> Path:
    return (
        Path(numba.config.CACHE_DIR) / f"everything-{sys.implementation.cache_tag}-numba-{numba.__version__}"
    )


def source_version(package: Path = _PACKAGE) -> str:
    """Return a hash of all source that compiled code can hold something of.

    Parameters
    ----------
    package : Path
        The folder of package ``monitor``.
    """
    sources = {path: path.read_text("utf-8") for path in sorted(package.rglob("*.py"))}
    wanted = [path for path, text in sources.items() if "from monitor.compiled import" in text]
    seen: set[Path] = set()
    while wanted:
        path = wanted.pop()
        if path in seen or path not in sources:
            continue
        seen.add(path)
        for module, names in _IMPORT.findall(sources[path]):
            folder = package.joinpath(*module.split(".")[1:])
            wanted += [folder.with_suffix(".py"), folder / "__init__.py"]
            # ``from monitor import filters`` names modules, not what is in them.
            wanted += [folder / f"{name}.py" for name in re.findall(r"\w+", names)]
    digest = hashlib.sha256()
    for path in sorted(seen):
        digest.update(f"{path.relative_to(package)}\n{sources[path]}".encode())
    return digest.hexdigest()[:16]


def _cache_folder() -> Path:
    named = os.environ.get("NUMBA_CACHE_DIR")
    if named:
        return Path(named)
    beside = _PACKAGE / "__pycache__"
    writable = os.access(beside if beside.exists() else _PACKAGE, os.W_OK)
    if writable:
        return beside / "numba"
    import platformdirs

    return Path(platformdirs.user_cache_dir("strapwatch")) / "numba"


numba.config.CACHE_DIR = str(_cache_folder() / source_version())
