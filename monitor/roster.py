"""The roster: who wears which pseudonym, for those who may know it.

A file kept apart maps ``team/athlete``, as in the topic, to a person: name, bib number, age, resting and maximum heart
rate, limits of their own, notes. Nothing of it travels: neither packets nor Redis carry a name. The monitor takes
limits from it, dashboard and alarm lists take names.
"""

import csv
import difflib
import hashlib
import io
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Self

from pydantic import BeforeValidator, Field, ValidationError, field_validator, model_validator

from monitor.errors import SettingsError
from monitor.settings import AthleteSettings, LimitSettings
from monitor.settings_errors import allowed_values
from monitor.wire import is_name

BELOW_REST_BPM: Final = 5.0
"""Without a limit of their own, an athlete who rests low has bradycardia only this far below the resting rate."""
MAX_ROSTER_BYTES: Final = 4 * 1024 * 1024

_LIMITS: Final = tuple(LimitSettings.model_fields)
_WHO: Final = ("team", "athlete")

Key = tuple[str, str]


def _text(value: object) -> object:
    """Take the number 7 as the bib "7"."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class Person(AthleteSettings):
    """One athlete: who it is, and limits of their own.

    Attributes
    ----------
    name, bib, notes : str
        Name, number on the shirt, and what a physician should know ("known RBBB"); empty where not given.
    age : int or None
        Years.
    resting_bpm, maximum_bpm : float or None
        Heart rate at rest, and the highest this athlete reaches, beats a minute.
    """

    name: Annotated[str, Field(max_length=64, description="Name")] = ""
    bib: Annotated[str, BeforeValidator(_text), Field(max_length=8, description="Number on the shirt")] = ""
    age: Annotated[int | None, Field(ge=5, le=110, description="Years")] = None
    notes: Annotated[str, Field(max_length=400, description="What a physician should know")] = ""

    @field_validator("name", "bib", "notes")
    @classmethod
    def _is_printable(cls, text: str) -> str:
        # It is drawn in terminals, where control characters are commands.
        if not text.isprintable():
            raise ValueError("holds control characters; use plain text on one line")
        return text.strip()

    @model_validator(mode="after")
    def _rates_in_order(self) -> Self:
        rest, most = self.resting_bpm, self.maximum_bpm
        if rest is not None and most is not None and rest >= most:
            raise ValueError(f"resting_bpm {rest:g} must be below maximum_bpm {most:g}")
        return self

    @property
    def label(self) -> str:
        """Bib and name, such as ``"7 Anna Berg"``, as far as they are known; else empty."""
        return " ".join(part for part in (self.bib, self.name) if part)

    def limits(self, everybody: LimitSettings) -> dict[str, float]:
        """Return the limits that this athlete has other than `everybody`.

        Limits that are given stand. Where they are not, one who rests low has bradycardia `BELOW_REST_BPM` below the
        resting rate, and for one whose maximum is high tachycardia begins above it.
        """
        own: dict[str, float] = {}
        if self.resting_bpm is not None:
            own["bradycardia_bpm"] = min(everybody.bradycardia_bpm, self.resting_bpm - BELOW_REST_BPM)
        if self.maximum_bpm is not None:
            own["tachycardia_bpm"] = max(everybody.tachycardia_bpm, self.maximum_bpm)
        given = self.model_dump(include=set(_LIMITS), exclude_none=True)
        return own | given


@dataclass(frozen=True, slots=True)
class _Row:
    key: Key
    values: Mapping[str, Any]
    lines: Mapping[str, int]  # of each key; "" is the row itself


class Roster:
    """People by team and pseudonym; see `Roster.load`.

    Parameters
    ----------
    people : mapping of (team, athlete) to Person
        Everybody.
    file : Path or None
        Where they come from.
    lines : mapping of (team, athlete) to int
        In which line of it each begins.
    """

    def __init__(
        self,
        people: Mapping[Key, Person] | None = None,
        *,
        file: Path | None = None,
        lines: Mapping[Key, int] | None = None,
    ) -> None:
        self._people = dict(people or {})
        self._file = file
        self._lines = dict(lines or {})

    @classmethod
    def load(cls, path: Path | str | None) -> Self:
        """Read a roster: TOML with a table ``[athletes."team/athlete"]`` each, or CSV with a row each.

        Parameters
        ----------
        path : Path, str or None
            A file called ``.toml`` or ``.csv``; None gives an empty roster.

        Raises
        ------
        SettingsError
            If it cannot be read, or a row is wrong; the text names file and line, and the closest key for one that
            does not exist.
        """
        if path is None:
            return cls()
        file = Path(path).expanduser()
        readers = {".toml": _toml_rows, ".csv": _csv_rows}
        reader = readers.get(file.suffix.lower())
        if reader is None:
            raise SettingsError(f"roster {file}: use a file called .toml or .csv")
        people: dict[Key, Person] = {}
        lines: dict[Key, int] = {}
        bibs: dict[Key, int] = {}
        for row in reader(file, _read(file)):
            line = row.lines.get("", 1)
            if row.key in people:
                raise _wrong(file, line, f"{'/'.join(row.key)} stands in line {lines[row.key]} already")
            people[row.key] = person = _person(file, row)
            lines[row.key] = line
            if person.bib:
                bib = (row.key[0], person.bib)
                if bib in bibs:
                    raise _wrong(file, line, f"bib {person.bib!r} is taken in line {bibs[bib]} already")
                bibs[bib] = line
        return cls(people, file=file, lines=lines)

    def __len__(self) -> int:
        """Return how many people there are."""
        return len(self._people)

    def __iter__(self) -> Iterator[Key]:
        """Iterate over the keys, ``(team, athlete)``, in the order of the file."""
        return iter(self._people)

    def person(self, team: str, athlete: str) -> Person | None:
        """Return who wears a pseudonym; None if the roster does not know."""
        return self._people.get((team, athlete))

    def label(self, team: str, athlete: str) -> str:
        """Return what to call an athlete on a screen: bib and name, else the pseudonym."""
        person = self._people.get((team, athlete))
        return (person.label if person is not None else "") or athlete

    def limits(self, team: str, athlete: str, everybody: LimitSettings) -> dict[str, float]:
        """Return the limits that an athlete has other than `everybody`; see `Person.limits`."""
        person = self._people.get((team, athlete))
        return {} if person is None else person.limits(everybody)

    def where(self, team: str, athlete: str) -> str:
        """Return file and line of an athlete, for error texts."""
        return f"roster {self._file}, line {self._lines.get((team, athlete), 1)}"

    def limits_hash(self, everybody: LimitSettings) -> str:
        """Return a hash of all limits, which tells nothing else of anybody; empty where there are none."""
        own = {"/".join(key): limits for key in sorted(self) if (limits := self.limits(*key, everybody))}
        return hashlib.sha256(json.dumps(own, sort_keys=True).encode()).hexdigest() if own else ""


def _person(file: Path, row: _Row) -> Person:
    for key in row.values:
        if key not in Person.model_fields:
            line = row.lines.get(key, row.lines.get("", 1))
            raise _wrong(file, line, f"unknown key {key!r}; {_closest(key, Person.model_fields)}")
    try:
        return Person(**row.values)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        key = str(first["loc"][0]) if first["loc"] else ""
        line = row.lines.get(key, row.lines.get("", 1))
        if first["type"] == "value_error":
            raise _wrong(file, line, f"{key}{': ' if key else ''}{first['ctx']['error']}") from None
        if first["type"] == "string_too_long":
            most = first["ctx"]["max_length"]
            raise _wrong(
                file, line, f"{key} has {len(first['input'])} characters; use at most {most}"
            ) from None
        allowed = allowed_values(Person.model_fields[key])
        raise _wrong(file, line, f"{key} is {first['input']!r}; use {allowed}") from None


def _key(file: Path, line: int, team: str, athlete: str) -> Key:
    if not (is_name(team) and is_name(athlete)):
        shown = f"{team}/{athlete}"
        raise _wrong(
            file,
            line,
            f"{shown!r} is no athlete: use team/athlete as in the topic, letters, digits, '-' or '_'",
        )
    return team, athlete


def _csv_rows(file: Path, text: str) -> Iterator[_Row]:
    """Read CSV with a header; a spreadsheet's semicolons will do too."""
    header_line = text.partition("\n")[0]
    delimiter = ";" if header_line.count(";") > header_line.count(",") else ","
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    allowed = (*_WHO, *Person.model_fields)
    try:
        header = [name.strip() for name in next(reader, [])]
        for name in header:
            if name not in allowed:
                raise _wrong(file, 1, f"unknown column {name!r}; {_closest(name, allowed)}")
        for name in _WHO:
            if name not in header:
                raise _wrong(
                    file, 1, f"no column {name!r}; the first line names the columns: team,athlete,name,…"
                )
        twice = next((name for name in header if header.count(name) > 1), None)
        if twice is not None:
            raise _wrong(file, 1, f"column {twice!r} stands there twice")
        begins = reader.line_num + 1
        for cells in reader:
            line, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(header):
                raise _wrong(
                    file, line, f"{len(cells)} fields where the first line names {len(header)} columns"
                )
            values = {name: cell.strip() for name, cell in zip(header, cells, strict=True)}
            key = _key(file, line, *(values.pop(name) for name in _WHO))
            yield _Row(key, {name: value for name, value in values.items() if value}, {"": line})
    except csv.Error as error:
        raise _wrong(file, reader.line_num, f"no CSV: {error}") from error


def _toml_rows(file: Path, text: str) -> Iterator[_Row]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"at line (\d+)", str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        raise _wrong(file, line, f"no TOML: {error}") from error
    lines = _toml_lines(text)
    for name, section in document.items():
        if name != "athletes" or not isinstance(section, dict):
            line = lines.get((name,), 1)
            raise _wrong(file, line, f'unknown key {name!r}; use tables such as [athletes."red/anna"]')
    for name, values in document.get("athletes", {}).items():
        where = ("athletes", name)
        line = lines.get(where, 1)
        if not isinstance(values, dict):
            raise _wrong(file, line, f'{name!r} is no table; use one such as [athletes."red/anna"]')
        own = {key: lines.get((*where, key), line) for key in values}
        team, _, athlete = name.partition("/")
        yield _Row(_key(file, line, team, athlete), values, {"": line, **own})


def _toml_lines(text: str) -> dict[tuple[str, ...], int]:
    """Return the line in which each key first stands; the standard library's reader does not tell."""
    found: dict[tuple[str, ...], int] = {}
    table: tuple[str, ...] = ()
    for number, line in enumerate(text.splitlines(), start=1):
        try:
            parsed = tomllib.loads(line)
        except tomllib.TOMLDecodeError:
            continue  # a part of a value of several lines
        if line.lstrip().startswith("["):
            table = next(_paths(parsed), ())
            for depth in range(1, len(table) + 1):
                found.setdefault(table[:depth], number)
            continue
        for path in _paths(parsed):
            for depth in range(1, len(path) + 1):
                found.setdefault(table + path[:depth], number)
    return found


def _paths(parsed: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    for key, value in parsed.items():
        if isinstance(value, dict) and value:
            yield from ((key, *rest) for rest in _paths(value))
        else:
            yield (key,)


def _closest(key: str, allowed: Any) -> str:
    names = list(allowed)
    close = difflib.get_close_matches(key, names, n=1, cutoff=0.5)
    return f"did you mean {close[0]!r}?" if close else f"there are {', '.join(names)}"


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > MAX_ROSTER_BYTES:
            raise SettingsError(
                f"roster {file}: larger than {MAX_ROSTER_BYTES // 2**20} MiB; that is no roster"
            )
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise SettingsError(f"roster {file} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f'roster {file} is not UTF-8; save it as "CSV UTF-8" or TOML') from error


def _wrong(file: Path, line: int, text: str) -> SettingsError:
    return SettingsError(f"roster {file}, line {line}: {text}")
