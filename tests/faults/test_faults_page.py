"""The page about faults says what catalogue and reports hold, and no more."""

import ast
from pathlib import Path

from benchmarks.faults.catalogue import FAULTS, SHORT
from benchmarks.faults.faults_page import page

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"


def test_the_page_is_what_its_command_writes() -> None:
    """Rewritten by ``python -m benchmarks.faults.faults_page``, not one character differs."""
    assert PAGE.read_text(encoding="utf-8") == page()


def test_every_kind_of_fault_is_tried() -> None:
    """The fifteen kinds are all there, and no two trials have one name."""
    assert {fault.number for fault in FAULTS} == set(range(1, 16))
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


def test_every_kind_has_a_short_test_that_says_what_must_happen() -> None:
    """Each of the fifteen kinds has tests, each with a docstring; one of these begins with the number of the kind."""
    assert set(SHORT) == set(range(1, 16))
    root = Path(__file__).parents[1]
    for kind, names in SHORT.items():
        said = []
        for name in names:
            file, _, function = name.partition("::")
            tree = ast.parse((root / file).read_text(encoding="utf-8"))
            (found,) = [
                node
                for node in tree.body
                if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name == function
            ]
            said.append(ast.get_docstring(found) or "")
        assert all(said), names
        assert any(kind in _numbers(words) for words in said), f"{kind}: {said}"


def _numbers(docstring: str) -> set[int]:
    """Return the kinds that a docstring names before its first colon: ``1-4, 11:`` are 1, 2, 3, 4 and 11."""
    numbers: set[int] = set()
    for part in docstring.partition(":")[0].split(","):
        first, _, last = part.strip().partition("-")
        if first.isdigit() and (last or first).isdigit():
            numbers |= set(range(int(first), int(last or first) + 1))
    return numbers
