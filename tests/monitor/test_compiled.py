"""Compiled code is never older than what it was compiled from, and all of it is there before the first packet."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import monitor
from models.runtime import load_classifier
from monitor.compiled import compiled_so_far, source_version
from monitor.evaluation import run_line
from monitor.warm_up import warm_up
from monitor.watch import Watch
from monitor.wire import Topic, encode
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team


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


@pytest.mark.timeout(400)
def test_nothing_is_compiled_once_the_first_packet_has_come() -> None:
    """A team to whom everything happens, over a bad radio and offline, meets no loop that getting ready has not met.

    In a process of its own: this one may have compiled anything by now.
    """
    done = subprocess.run(
        [sys.executable, __file__], capture_output=True, text=True, check=False, timeout=390
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["none"]


def _compiled_late() -> frozenset[str]:
    classifier = load_classifier()
    warm_up(classifier)
    ready = compiled_so_far()
    team = synthetic_team(6, seconds=60.0, seed=7)
    trouble = RadioSettings(loss=0.03, duplicates=0.1, reorder=0.1, jitter_s=0.05)
    arrivals = []
    for number, record in enumerate(team):
        strap = Strap(
            record=record, team="t", athlete=f"a{number}", strap=f"s{number}", boot=1, packet_s=0.25
        )
        radio = Radio(trouble, seed=3, team="t", athlete=strap.athlete, ledger=Ledger())
        topic = Topic("t", strap.athlete, "samples")
        arrivals += [
            (sent.at_s, topic, encode(sent.scheduled.packet))
            for sent in radio.transmit(strap.packets(start_at=0.0))
        ]
    watch, now = Watch(classifier=classifier), 0.0
    for at_s, topic, payload in sorted(arrivals, key=lambda arrival: arrival[0]):
        watch.receive(topic, payload, at_s)
        if at_s > now + 0.05:
            now = at_s
            watch.tick(now, {("t", "a0")})
    for record in team:
        run_line([record], classifier=classifier)
    return compiled_so_far() - ready


if __name__ == "__main__":
    print("\n".join(sorted(_compiled_late())) or "none")
