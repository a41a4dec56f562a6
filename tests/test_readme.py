"""The README keeps its word: its publisher, targets, commands and links exist."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _code(text: str) -> str:
    (code,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    return str(code)


def test_the_publisher_is_the_one_that_is_tested() -> None:
    """The README's strap is letter for letter that of the wire format's page, which a test runs."""
    assert _code(README) == _code((ROOT / "docs" / "wire-format.md").read_text(encoding="utf-8"))


def test_links_and_files_exist() -> None:
    """Every relative link and every file named in code marks is there."""
    links = re.findall(r"\]\(([^)#:]+)\)", README)
    files = re.findall(r"`((?:monitor|models|benchmarks|docs)/[\w/.-]*)`", README)
    assert len(links) > 4
    assert len(files) > 10
    for name in (*links, *files):
        assert (ROOT / name).exists(), name


def test_targets_and_commands_exist() -> None:
    """Every `make` target has a rule, every `strapwatch` command has a help."""
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in set(re.findall(r"make ([a-z]+)[`\" \n]", README)) - {"and"}:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for command in set(re.findall(r"strapwatch (demo|simulate|monitor|dashboard|alerts|evaluate)\b", README)):
        done = subprocess.run(
            [sys.executable, "-P", "-m", "monitor.cli", command, "--help"], capture_output=True, check=False
        )
        assert done.returncode == 0, command


def test_the_notice_is_there() -> None:
    """Nobody reads this page without seeing what it is not."""
    assert "Research software, not a medical device." in README
