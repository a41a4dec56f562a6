"""Settings that change while the monitor runs: checked like at the start, applied, and written down."""

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from monitor.cli.live import _live_settings
from monitor.rhythm import AthleteLimits
from monitor.settings import Settings, settings_hash
from monitor.settings_watch import LiveSettings
from monitor.watch import Watch

FIRST = '[limits]\npause_s = 2.0\n\n[athletes."red/anna"]\nbradycardia_bpm = 34\n'


def limits_of(settings: Settings) -> Callable[[str, str], AthleteLimits]:
    """Return what returns an athlete's limits."""
    return settings.limits_of


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Return a file with settings."""
    path = tmp_path / "strapwatch.toml"
    path.write_text(FIRST)
    return path


@pytest.fixture
def live(file: Path) -> LiveSettings:
    """Return what looks at the file."""
    return LiveSettings(
        file,
        Settings.load(file),
        reload=partial(Settings.load, file),
        limits_of=limits_of,
        hash_of=settings_hash,
    )


def write(file: Path, text: str) -> None:
    """Write a file so that it looks newer than before."""
    file.write_text(text)
    at = file.stat().st_mtime + 5.0
    os.utime(file, (at, at))


def test_a_file_that_stands_still_changes_nothing(file: Path, live: LiveSettings) -> None:
    """Neither looking again nor a file written anew with the same content is a change; nor is one that is gone."""
    assert live.check() is None
    write(file, FIRST + "\n")
    assert live.check() is None
    file.unlink()
    assert live.check() is None


def test_every_change_is_told_with_what_it_was_and_is(file: Path, live: LiveSettings) -> None:
    """Limits, an athlete's own ones and rules of alarms hold from then on; an athlete's stand in their team's trail."""
    write(
        file,
        FIRST.replace("2.0", "2.5").replace("34", "36") + '\n[alarms.bigeminy]\npriority = "medium"\n',
    )
    change = live.check()
    assert change is not None
    assert change.limits_of is not None
    assert change.limits_of("red", "anna").bradycardia_bpm == 36.0
    assert change.limits_of("red", "bea").pause_s == 2.5
    assert change.rules["bigeminy"].priority == "medium"
    assert change.settings_hash == settings_hash(Settings.load(file)) != settings_hash(Settings())
    entries = change.audit({"red", "blue"}, 5.0)
    said = {(entry.team, entry.athlete, entry.detail) for entry in entries}
    assert ("red", "anna", "athletes.red/anna.bradycardia_bpm: 34.0 → 36.0") in said
    assert {("red", "", "limits.pause_s: 2.0 → 2.5"), ("blue", "", "limits.pause_s: 2.0 → 2.5")} <= said
    assert ("red", "", "alarms.bigeminy.priority: as for everybody → medium") in said
    assert {entry.action for entry in entries} == {"setting changed"}
    assert all(entry.by.startswith("file strapwatch.toml of ") for entry in entries)
    assert live.check() is None


@pytest.mark.parametrize(
    "text",
    ["[limits]\npause_s = 99\n", "[limits]\npaus_s = 2\n", "no toml", "[alarms.asistole]\nlatched = true\n"],
)
def test_a_file_that_is_wrong_changes_nothing_and_is_said(file: Path, live: LiveSettings, text: str) -> None:
    """The old settings hold on; the audit trail has the one line that a start would have ended with."""
    write(file, text)
    change = live.check()
    assert change is not None
    assert change.limits_of is None
    (entry,) = change.audit({"red"}, 5.0)
    assert entry.action == "settings refused"
    assert "strapwatch.toml" in entry.detail
    assert "\n" not in entry.detail
    write(file, FIRST.replace("2.0", "2.2"))
    mended = live.check()
    assert mended is not None
    assert [note[2] for note in mended.notes] == ["limits.pause_s: 2.0 → 2.2"]


def test_what_needs_a_restart_says_so_without_its_value(file: Path, live: LiveSettings) -> None:
    """An address with a password is not repeated, and is not applied."""
    write(file, FIRST + '\n[redis]\nurl = "redis://me:hunter2@x"\n')
    change = live.check()
    assert change is not None
    assert change.notes == [("needs a restart", "", "redis.url")]


def test_a_watch_takes_other_limits_and_rules(file: Path, live: LiveSettings) -> None:
    """Those who are watched, and those who come later, have the new limits; alarms tell the new hash."""
    watch = Watch(classifier=None)
    write(file, FIRST.replace("2.0", "3.5").replace("34", "35"))
    change = live.check()
    assert change is not None
    assert change.limits_of is not None
    watch.change_settings(change.limits_of, change.rules, change.settings_hash, 1.0)
    assert watch._banks.limits_of("red", "anna").pause_s == 3.5
    assert watch._machine._life.settings_hash == change.settings_hash


def test_a_second_change_is_told_against_the_first(file: Path, live: LiveSettings) -> None:
    """What a change is compared with is what holds, not what held at the start."""
    for was, now in (("2.0", "2.5"), ("2.5", "3.5")):
        write(file, FIRST.replace("pause_s = 2.0", f"pause_s = {now}"))
        change = live.check()
        assert change is not None
        ((_, _, detail),) = change.notes
        assert was in detail
        assert now in detail


def test_limits_that_contradict_the_roster_change_nothing(tmp_path: Path, file: Path) -> None:
    """A limit for everybody that an athlete of the roster cannot have is refused, as at a start, and named."""
    roster = tmp_path / "roster.toml"
    roster.write_text('[athletes."red/anna"]\nname = "Anna"\npause_s = 3.0\n')
    file.write_text(f'[monitor]\nroster = "{roster}"\n\n[limits]\nasystole_s = 4.0\n')
    settings = Settings.load(file)
    live = _live_settings(file, settings, settings.load_roster(), overrides={})
    watch = Watch(classifier=None)
    write(file, file.read_text().replace("4.0", "3.0"))
    change = live.check()
    assert change is not None
    assert change.limits_of is None
    ((action, _, detail),) = change.notes
    assert action == "settings refused"
    assert "roster.toml, line 1" in detail
    assert "pause_s" in detail
    write(file, file.read_text().replace("3.0", "3.5"))
    mended = live.check()
    assert mended is not None
    assert mended.limits_of is not None
    watch.change_settings(mended.limits_of, mended.rules, mended.settings_hash, 1.0)
    assert watch._banks.limits_of("red", "anna").asystole_s == 3.5
