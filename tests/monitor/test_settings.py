"""Settings: read once, checked whole, refused with one line that helps."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import ValidationError

from monitor.errors import ModelError, SettingsError
from monitor.settings import NOT_SETTINGS, Settings, settings_hash
from monitor.settings_errors import known_fields
from monitor.settings_reference import settings_table

Load = Callable[[str], Settings]


@pytest.fixture(autouse=True)
def _without_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("STRAPWATCH_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads settings from TOML text."""

    def loaded(text: str) -> Settings:
        path = tmp_path / "strapwatch.toml"
        path.write_text(text, encoding="utf-8")
        return Settings.load(path)

    return loaded


def test_defaults_work_and_are_frozen() -> None:
    """Without file and environment everything has a value, and nothing can be changed afterwards."""
    settings = Settings.load()
    assert settings.broker.url == "mqtt://127.0.0.1:1883"
    assert settings.outbox_path.name == f"outbox-{settings.monitor.id}.sqlite3"
    with pytest.raises(ValidationError):
        settings.monitor.tick_s = 1.0
    with pytest.raises(ValidationError):
        settings.monitor = settings.monitor


def test_every_section_can_be_set(load: Load) -> None:
    """A file that sets everything is taken as it stands."""
    settings = load("""
        [broker]
        url = "mqtts://me:secret@broker.example.org"
        client_id = "monitor-1"
        persistent_session = true
        [redis]
        url = "redis://10.0.0.7/2"
        [monitor]
        id = "north"
        tick_s = 0.1
        queue_packets = 500
        outbox = "/var/lib/strapwatch/outbox.sqlite3"
        [signal]
        mains_hz = 60
        [limits]
        bradycardia_bpm = 45
        tachycardia_bpm = 190
        pause_s = 2.5
        asystole_s = 5
        [classifier]
        weights = "own.safetensors"
        device = "cpu"
        threads = 2
        [reorder]
        packets = 4
        wait_s = 0.5
        [athletes."red/anna"]
        bradycardia_bpm = 34
    """)
    assert settings.outbox_path == Path("/var/lib/strapwatch/outbox.sqlite3")
    assert settings.line_config().mains_hz == 60.0
    anna, bea = settings.limits_of("red", "anna"), settings.limits_of("red", "bea")
    assert (anna.bradycardia_bpm, anna.tachycardia_bpm, anna.pause_s, anna.asystole_s) == (
        34.0,
        190.0,
        2.5,
        5.0,
    )
    assert bea.bradycardia_bpm == 45.0
    assert bea == settings.line_config().limits
    assert (settings.reorder_limits().packets, settings.reorder_limits().wait_s) == (4, 0.5)


def test_environment_stands_above_the_file(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable replaces its key and leaves the rest of the section as the file has it."""
    monkeypatch.setenv("STRAPWATCH_MONITOR__TICK_S", "0.2")
    monkeypatch.setenv("STRAPWATCH_SIGNAL__MAINS_HZ", "50")
    monkeypatch.setenv("STRAPWATCH_BROKER", "mqtt://elsewhere:1884")
    monkeypatch.setenv("STRAPWATCH_ATHLETES", '{"red/anna": {"pause_s": 3}}')
    for name in NOT_SETTINGS:
        monkeypatch.setenv(name, "/somewhere")
    settings = load(
        '[monitor]\nid = "north"\ntick_s = 0.1\n[broker]\nclient_id = "m"\n[signal]\nmains_hz = 60'
    )
    assert (settings.monitor.id, settings.monitor.tick_s) == ("north", 0.2)
    assert (settings.broker.url, settings.broker.client_id) == ("mqtt://elsewhere:1884", "m")
    assert settings.signal.mains_hz == 50
    assert settings.limits_of("red", "anna").pause_s == 3.0
    monkeypatch.setenv("STRAPWATCH_SIGNAL__MAINS_HZ", "none")
    assert Settings.load().signal.mains_hz is None


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("[monitor]\ntick = 0.1", ["'monitor.tick'", "'monitor.tick_s'"]),
        ("[monitr]\ntick_s = 0.1", ["'monitr'", "'monitor'"]),
        ("[limits]\nbradycardia = 40", ["'limits.bradycardia'", "'limits.bradycardia_bpm'"]),
        ("tick_s = 0.1", ["'tick_s'", "'monitor.tick_s'"]),
        ('[athletes."red/anna"]\npause = 3', ["'athletes.red/anna.pause'", "pause_s'"]),
        ("[redis]\nxyzzy = 1", ["'redis.xyzzy'", "there are url"]),
        ("[monitor]\ntick_s = 5.0", ["monitor.tick_s", "5.0", "0.005 to 1"]),
        ("[monitor]\ntick_s = nan", ["monitor.tick_s", "nan", "0.005 to 1"]),
        ('[monitor]\ntick_s = "fast"', ["monitor.tick_s", "'fast'", "0.005 to 1"]),
        ("[monitor]\nqueue_packets = 1", ["queue_packets", "100 to 1,000,000"]),
        ('[monitor]\nid = "two words"', ["monitor.id", "two words", "64"]),
        ("[signal]\nmains_hz = 55", ["signal.mains_hz", "55", "50 or 60"]),
        ('[classifier]\ndevice = "tpu"', ["classifier.device", "'tpu'", "auto or cpu or cuda"]),
        ('[broker]\nurl = "http://x"', ["broker.url", "mqtt://"]),
        ('[redis]\nurl = "http://x"', ["redis.url", "redis://"]),
        ("[broker]\npersistent_session = true", ["broker", "client_id"]),
        ("[limits]\npause_s = 5", ["pause_s 5", "asystole_s 4"]),
        (
            "[limits]\nbradycardia_bpm = 100\ntachycardia_bpm = 90",
            ["bradycardia_bpm 100", "tachycardia_bpm 90"],
        ),
        ('[athletes."red/anna"]\npause_s = 6', ["red/anna", "pause_s 6", "asystole_s 4"]),
        ("[athletes.anna]\npause_s = 3", ["'anna'", "team/name"]),
        ('[athletes."red/an na"]\npause_s = 3', ["an na", "team/name"]),
        ("monitor = 3", ["monitor", "3"]),
        ("[monitor\ntick_s = 1", ["no TOML", "line 1"]),
        ("broker = 5", ["broker is 5", "use a section, [broker]"]),
        ('[athletes]\n"red/anna" = 3', ["athletes.red/anna is 3", '[athletes."red/anna"]']),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(load: Load, text: str, names: list[str]) -> None:
    """The line names the file, the key, its value, and what is allowed or meant."""
    with pytest.raises(SettingsError) as caught:
        load(text)
    for name in ["strapwatch.toml", *names]:
        assert name in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("name", "value", "names"),
    [
        ("STRAPWATCH_MONITOR__TICK_S", "9", ["'9'", "0.005 to 1"]),
        ("STRAPWATCH_MONITOR__TIK_S", "1", ["monitor.tick_s"]),
        ("STRAPWATCH_REDDIS", "redis://x", ["'redis'"]),
        ("STRAPWATCH_BROKER", "localhost", ["mqtt://"]),
        ("STRAPWATCH_ATHLETES", "red/anna", ["athletes"]),
    ],
)
def test_what_the_environment_cannot_say_is_refused_too(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, names: list[str]
) -> None:
    """The line names the variable, not the file."""
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as caught:
        Settings.load()
    for part in names:
        assert part in str(caught.value)
    assert name in str(caught.value) or "environment" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_password_is_repeated(load: Load) -> None:
    """A URL that is refused does not show its password."""
    for text in ('[broker]\nurl = "http://me:hunter2@x"', '[redis]\nurl = "http://me:hunter2@x"'):
        with pytest.raises(SettingsError) as caught:
            load(text)
        assert "hunter2" not in str(caught.value)


def test_command_line_stands_above_all(load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was said on the command line wins; what cannot be is said to come from there."""
    monkeypatch.setenv("STRAPWATCH_REDIS", "redis://elsewhere")
    load('[monitor]\nid = "north"\ntick_s = 0.1')
    path = tmp_path / "strapwatch.toml"
    overrides = {"monitor": {"id": "south"}, "redis": {"url": "redis://here"}}
    settings = Settings.load(path, overrides=overrides)
    assert (settings.monitor.id, settings.monitor.tick_s) == ("south", 0.1)
    assert settings.redis.url == "redis://here"
    with pytest.raises(SettingsError, match=r"command line: monitor\.id: 'two words'"):
        Settings.load(path, overrides={"monitor": {"id": "two words"}})


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A file that was named must be there."""
    with pytest.raises(SettingsError, match=r"none\.toml cannot be read"):
        Settings.load(tmp_path / "none.toml")


def test_hash_is_of_what_decides(load: Load, tmp_path: Path) -> None:
    """Addresses, names and threads leave it as it is; signal, limits, athletes, weights and corrections change it."""
    plain = settings_hash(Settings.load())
    assert plain == Settings.load().line_config().version()
    for text in (
        '[broker]\nurl = "mqtt://elsewhere"',
        '[redis]\nurl = "redis://elsewhere"',
        '[monitor]\nid = "x"\ntick_s = 0.5',
        '[classifier]\ndevice = "cpu"\nthreads = 4',
        "[limits]\npause_s = 2",
        '[athletes."red/anna"]',
    ):
        assert settings_hash(load(text)) == plain
    weights = tmp_path / "own.safetensors"
    weights.write_bytes(b"one")
    own = f'[classifier]\nweights = "{weights}"'
    hashes = {
        settings_hash(load(text))
        for text in (
            "[signal]\nmains_hz = 50",
            "[limits]\npause_s = 3",
            '[athletes."red/anna"]\npause_s = 3',
            own,
        )
    }
    first = settings_hash(load(own))
    weights.write_bytes(b"two")
    hashes |= {plain, settings_hash(load(own))}
    (tmp_path / "red").mkdir()
    corrections = f'[classifier]\ncorrections = "{tmp_path}"'
    hashes.add(settings_hash(load(corrections)))
    (tmp_path / "red" / "anna.json").write_text("{}")
    hashes.add(settings_hash(load(corrections)))
    assert len(hashes) == 8
    assert first in hashes
    weights.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        settings_hash(load(own))


def test_documentation_is_complete() -> None:
    """The table in the documentation is the one that the settings give."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    assert settings_table() in page, "print it anew with: python -m monitor.settings_reference"
    assert set(re.findall(r"^\| `([^`]+)`", page, re.MULTILINE)) == set(known_fields(Settings))


def test_example_in_the_documentation_is_valid(load: Load) -> None:
    """What a user copies works."""
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text(encoding="utf-8")
    settings = load(page.partition("```toml")[2].partition("```")[0])
    assert settings.limits_of("red", "anna").bradycardia_bpm == 34.0
