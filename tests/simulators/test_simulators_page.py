"""What docs/simulators.md shows is what the code takes and writes."""

import re
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import typer

from monitor.cli.application import app
from simulators.effort import Phase
from simulators.ledger import AnyEntry, Cause, TroubleKind
from simulators.noise import NOISE_KINDS
from simulators.scenario import Scenario, parse_scenario, shipped_scenarios
from simulators.scenario_hearts import EVENTS
from simulators.scenario_tables import StrapTable
from simulators.synthetic import SyntheticAthlete

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


@pytest.mark.parametrize("name", ["scenario", "simulate", "herd", "synthesize"])
def test_every_option_stands_in_a_table(name: str) -> None:
    """Every option of a simulator's command has a row in the table below the command's heading."""
    heading = "A scenario and its verdict" if name == "scenario" else name
    section = _PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    rows = [line.partition(" | ")[0] for line in section.splitlines() if line.startswith("| `--")]
    (command,) = (each for each in app.registered_commands if each.name == name)
    options = typer.main.get_command_from_info(command, pretty_exceptions_short=True, rich_markup_mode=None)
    shown = [option for option in options.params if not getattr(option, "hidden", False)]
    named = {option.opts[0] for option in shown if option.opts[0].startswith("--")}
    assert named == set(re.findall(r"--[a-z-]+", " ".join(rows)))


def test_every_key_of_a_synthetic_heart_is_named() -> None:
    """A heart, its phases and its events can be written from the page alone, by their right defaults."""
    section = _PAGE.partition("### A synthetic heart")[2].partition("\n### ")[0]
    for kind in (SyntheticAthlete, Phase):
        assert [field.name for field in fields(kind) if field.name not in section] == []
    rows = dict(re.findall(r"^\| `([a-z_]+)` \| (.*) \|$", section, flags=re.MULTILINE))
    for name, event in EVENTS.items():
        for field in fields(event):
            default = str(field.default).lower() if isinstance(field.default, bool) else f"{field.default}"
            if field.name != "at_s":
                assert re.search(
                    rf'`{field.name}` \(`?"?{re.escape(default.removesuffix(".0"))}\b', rows[name]
                ), field
