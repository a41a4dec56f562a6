"""The page about faults says what catalogue and reports hold, and no more."""

from pathlib import Path

from benchmarks.faults.catalogue import FAULTS
from benchmarks.faults.faults_page import page

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_is_what_its_command_writes() -> None:
    """Rewritten by ``python -m benchmarks.faults.faults_page``, not one character differs."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_kind_of_fault_is_tried() -> None:
    """The fifteen kinds are all there, and no two trials have one name."""
    assert {fault.number for fault in FAULTS} == set(range(1, 16))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
