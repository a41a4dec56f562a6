"""What docs/simulators.md shows is what the code takes and writes."""

import re
import tomllib
from pathlib import Path
from typing import get_args

import msgspec

from simulators.ledger import AnyEntry, Cause, TroubleKind
from simulators.noise import NOISE_KINDS
from simulators.scenario import Scenario, parse_scenario, shipped_scenarios
from simulators.scenario_tables import StrapTable

_PAGE = (Path(__file__).parents[2] / "docs" / "simulators.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", _PAGE, flags=re.DOTALL)


def test_examples_are_taken() -> None:
    """The scenario on the page is one, and its ledger lines are entries."""
    (scenario,) = _blocks("toml")
    assert parse_scenario(tomllib.loads(scenario), "page").strap[0].athlete == "ada"
    (ledger,) = _blocks("json")
    entries = [msgspec.json.decode(line, type=AnyEntry) for line in ledger.splitlines()]
    assert len(entries) == 2


def test_everything_is_named() -> None:
    """Every key, noise, cause, trouble and ready scenario stands on the page."""
    names = [*Scenario.model_fields, *StrapTable.model_fields, *NOISE_KINDS, *shipped_scenarios()]
    names += [*get_args(Cause), *get_args(TroubleKind)]
    missing = [
        name
        for name in names
        if f"{name}`" not in _PAGE and f"{name}]" not in _PAGE and f"[{name}" not in _PAGE
    ]
    missing = [name for name in missing if f"`{name} " not in _PAGE]
    assert missing == []
