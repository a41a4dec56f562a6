"""Compiled code that is kept on disk is never older than what it was compiled from."""

import shutil
from pathlib import Path

import pytest

import monitor
from monitor.compiled import source_version


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """Return a copy of the package's source."""
    source = Path(monitor.__file__).parent
    copied = tmp_path / "monitor"
    shutil.copytree(source, copied, ignore=shutil.ignore_patterns("__pycache__", "*.npz"))
    return copied


@pytest.mark.parametrize("module", ["rpeaks.py", "contract.py", "denoise.py", "rhythm/items.py", "rows.py"])
def test_a_constant_that_compiled_code_holds_moves_the_cache(package: Path, module: str) -> None:
    """A change in a compiled module, or in one that it imports from, leads to another folder."""
    before = source_version(package)
    with (package / module).open("a") as file:
        file.write("\nANOTHER = 1\n")
    assert source_version(package) != before


def test_what_no_compiled_code_can_hold_leaves_the_cache(package: Path) -> None:
    """A change in the command line compiles nothing anew."""
    before = source_version(package)
    with (package / "cli" / "alerts.py").open("a") as file:
        file.write("\nANOTHER = 1\n")
    assert source_version(package) == before
