"""The roster: people by pseudonym from TOML or CSV, and wrong rows refused where they stand."""

from dataclasses import asdict
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.errors import SettingsError
from monitor.roster import Roster
from monitor.settings import Settings, settings_hash

_PAGE = Path(__file__).parents[2] / "docs" / "roster.md"
_TOML = """\
# the red team
[athletes."red/anna"]
name = "Anna Berg"
bib = 7
resting_bpm = 41
maximum_bpm = 196
notes = "known RBBB"

[athletes."red/bea"]
bib = "11B"
tachycardia_bpm = 205
"""
_CSV = "team,athlete,name,bib,resting_bpm,maximum_bpm,notes\nred,anna,Anna Berg,7,41,196,known RBBB\n"


def _file(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, encoding="utf-8")
    return file


def _refused(file: Path) -> str:
    with pytest.raises(SettingsError) as refused:
        Roster.load(file)
    text = str(refused.value)
    assert "\n" not in text
    return text.removeprefix(f"roster {file}, ")


def test_toml_and_csv_say_the_same(tmp_path: Path) -> None:
    """One person reads the same from TOML, from CSV, and from a spreadsheet's CSV with semicolons and a mark."""
    toml = Roster.load(_file(tmp_path, "a.toml", _TOML)).person("red", "anna")
    plain = Roster.load(_file(tmp_path, "a.csv", _CSV)).person("red", "anna")
    spreadsheet = "\ufeff" + _CSV.replace(",", ";").replace("\n", "\r\n")
    marked = Roster.load(_file(tmp_path, "b.csv", spreadsheet)).person("red", "anna")
    assert toml is not None
    assert toml == plain == marked
    assert (toml.name, toml.bib, toml.notes, toml.label) == ("Anna Berg", "7", "known RBBB", "7 Anna Berg")


def test_whom_it_does_not_know_it_does_not_name(tmp_path: Path) -> None:
    """Without a row, a name or a roster the pseudonym stands."""
    roster = Roster.load(_file(tmp_path, "a.toml", _TOML))
    assert [roster.label("red", name) for name in ("anna", "bea", "cleo")] == ["7 Anna Berg", "11B", "cleo"]
    assert roster.person("blue", "anna") is None
    assert len(Roster.load(None)) == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_TOML.replace("resting_bpm", "restin_bpm"), "line 5: unknown key 'restin_bpm'; did you mean 'resting_bpm'?"),
        (_TOML.replace("= 41", "= 410"), "line 5: resting_bpm is 410; use a number from 20 to 120"),
        (_TOML.replace("= 41", "= 119").replace("196", "110"), "line 2: resting_bpm 119 must be below maximum_bpm 110"),
        (_TOML.replace('"11B"', "7"), "line 9: bib '7' is taken in line 2 already"),
        (_TOML.replace("red/bea", "red/b a"), "line 9: 'red/b a' is no athlete: use team/athlete"),
        (_TOML.replace("[athletes.", "[athlete.", 1), "line 2: unknown key 'athlete'; use tables such as"),
        (_TOML.replace("= 205", "= twice"), "line 11: no TOML: "),
        (_TOML.replace("known", "\\u001b[2J"), "line 7: notes: holds control characters"),
    ],
)  # fmt: skip
def test_wrong_toml_is_refused_where_it_stands(tmp_path: Path, text: str, said: str) -> None:
    """Line, value and what is allowed are named."""
    assert _refused(_file(tmp_path, "a.toml", text)).startswith(said)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_CSV.replace("bib", "bibb", 1), "line 1: unknown column 'bibb'; did you mean 'bib'?"),
        (_CSV.replace("team", "notes", 1), "line 1: no column 'team'"),
        (_CSV + "red,anna,,,,,\n", "line 3: red/anna stands in line 2 already"),
        (_CSV + '\nred,bea,"Bea\nLind",,,,\n', "line 4: name: holds control characters"),
        (_CSV + "red,bea,Bea\n", "line 3: 3 fields where the first line names 7 columns"),
        (_CSV + "red,bea,Bea,8,slow,,\n", "line 3: resting_bpm is 'slow'; use a number from 20 to 120"),
        ("", "line 1: no column 'team'"),
    ],
)
def test_wrong_csv_is_refused_where_it_stands(tmp_path: Path, text: str, said: str) -> None:
    """Line, value and what is allowed are named; a field over two lines counts as where it begins."""
    assert _refused(_file(tmp_path, "a.csv", text)).startswith(said)


def test_limits_settings_before_roster_before_everybody(tmp_path: Path) -> None:
    """A limit in the settings stands before the roster's, and that before everybody's."""
    roster = _file(tmp_path, "a.toml", _TOML)
    settings = _file(
        tmp_path, "s.toml", f'[monitor]\nroster = "{roster}"\n[athletes."red/bea"]\ntachycardia_bpm = 190\n'
    )
    loaded = Settings.load(settings)
    people = loaded.load_roster()
    anna, bea, cleo = (
        asdict(loaded.limits_of("red", name, roster=people)) for name in ("anna", "bea", "cleo")
    )
    assert (anna["bradycardia_bpm"], anna["tachycardia_bpm"]) == (36.0, 200.0)
    assert (anna["resting_bpm"], anna["maximum_bpm"]) == (41.0, 196.0)
    assert people.limits("red", "cleo", loaded.limits) == {}
    assert bea["tachycardia_bpm"] == 190.0
    assert cleo == asdict(loaded.limits_of("blue", "dora"))
    assert settings_hash(loaded, people) != settings_hash(loaded)
    assert settings_hash(loaded, Roster()) == settings_hash(loaded)


def test_a_high_maximum_raises_the_limit_of_tachycardia(tmp_path: Path) -> None:
    """Who reaches 212 beats a minute in earnest has no tachycardia at 205; a limit that is given stands."""
    roster = Roster.load(_file(tmp_path, "a.toml", _TOML.replace("196", "212")))
    settings = Settings.load(None)
    assert settings.limits_of("red", "anna", roster=roster).tachycardia_bpm == 212.0
    given = Roster.load(_file(tmp_path, "b.toml", _TOML.replace("= 196", "= 212\ntachycardia_bpm = 190")))
    assert settings.limits_of("red", "anna", roster=given).tachycardia_bpm == 190.0


def test_limits_that_do_not_fit_everybodys_are_refused(tmp_path: Path) -> None:
    """A roster's limit above one of the settings is refused with the athlete's line."""
    roster = _file(tmp_path, "a.toml", _TOML.replace("tachycardia_bpm = 205", "bradycardia_bpm = 90"))
    settings = _file(tmp_path, "s.toml", f'[monitor]\nroster = "{roster}"\n[limits]\ntachycardia_bpm = 85\n')
    with pytest.raises(SettingsError, match="line 9: bradycardia_bpm 90 must be below tachycardia_bpm 85"):
        Settings.load(settings).load_roster()


def test_the_pages_examples_are_rosters(tmp_path: Path) -> None:
    """What the page prints can be read, and both forms say the same."""
    page = _PAGE.read_text(encoding="utf-8")
    read = {
        kind: Roster.load(_file(tmp_path, f"a.{kind}", page.split(f"```{kind}\n")[1].split("```")[0]))
        for kind in ("toml", "csv")
    }
    for key in read["toml"]:
        assert read["toml"].person(*key) == read["csv"].person(*key)
    assert len(read["toml"]) == len(read["csv"]) == 2


@given(st.binary(max_size=200), st.sampled_from(["toml", "csv"]))
def test_whatever_the_file_holds_is_read_or_refused(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, kind: str
) -> None:
    """No file makes anything but a roster or one line."""
    file = tmp_path_factory.getbasetemp() / f"any.{kind}"
    file.write_bytes(content)
    said = ""
    try:
        Roster.load(file)
    except SettingsError as error:
        said = str(error).replace(str(file), "")
    assert "\n" not in said
