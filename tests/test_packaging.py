"""The wheel, as a stranger gets it: built, installed into an empty environment, run from a folder of their own."""

import json
import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(*command: str | Path, cwd: Path, timeout: float = 600.0) -> "subprocess.CompletedProcess[str]":
    """Run a command and return what it printed; fail with its own words."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env={key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "STRAPWATCH_DATA")},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-4000:]}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of what git tracks, so that nothing untracked can slip in."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    tracked = run("git", "ls-files", "-z", cwd=ROOT).stdout.split("\0")
    for name in filter(None, tracked):
        file = ROOT / name
        if file.is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_bytes(file.read_bytes())
    run(sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_packages_and_nothing_else(wheel: Path) -> None:
    """Three packages, the weights and their card, scripts and styles; no tests, no benchmarks."""
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names if ".dist-info/" not in name}
    assert tops == {"monitor", "simulators", "models"}
    for needed in (
        "models/weights/grunet.safetensors",
        "models/weights/grunet.json",
        "monitor/sinks/alarms.lua",
        "monitor/py.typed",
    ):
        assert needed in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


@pytest.mark.timeout(900)
def test_the_wheel_works_in_an_empty_environment(wheel: Path, tmp_path: Path) -> None:
    """Installed with its own dependencies only, `strapwatch` runs where the folder has a `models/` of its own."""
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", wheel, cwd=tmp_path)
    home = tmp_path / "home"
    for trap in ("models", "monitor", "simulators"):
        (home / trap).mkdir(parents=True)
        (home / trap / "__init__.py").write_text("raise ImportError('the folder of the user was imported')\n")
    strapwatch = tmp_path / "venv" / "bin" / "strapwatch"
    assert run(strapwatch, "--version", cwd=home).stdout.startswith("strapwatch ")
    shown = run(strapwatch, "demo", "--athletes", "2", "--seconds", "12", "--headless", "--json", cwd=home)
    summary = json.loads(shown.stdout)
    assert summary["packets"]["lost"] == 0
    assert summary["packets"]["sent"] == summary["packets"]["received"] > 0
    assert sum(summary["beats"].values()) > 0
