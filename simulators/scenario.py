"""Scenario files: who wears what, what goes wrong when, and what the monitor has to say about it.

A scenario is a TOML file. Every time in it is in seconds of the session (the signal's own time), so the same file says
the same at every speed. A key that does not exist is refused with the closest one that does.
"""

import difflib
import tomllib
import typing
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, Field, ValidationError, field_validator, model_validator

from monitor.catalogue import CATALOGUE
from monitor.errors import SettingsError
from simulators.scenario_hearts import read_heart
from simulators.scenario_keys import unknown_key
from simulators.scenario_tables import MOST_STRAPS, Length, Name, Seconds, Share, StrapTable, Table

SUFFIX: Final = ".toml"
BrokerName = Literal["embedded", "mosquitto"]


class Allowance(Table):
    """What a run may lack before it has failed; by default nothing.

    Attributes
    ----------
    missed_beats, extra_beats : float
        Share, 0 to 1, of the beats that could be seen: not found without a cause, and found where there are none.
    wrong_classes : float
        Share of the found beats that may have another class than the reference, or none.
    missed_events, false_alarms : dict of str to int
        How many of each kind.
    unaccounted_packets : int
        Packets that are neither taken nor counted lost.
    latency_p99_s : float or None
        Seconds from a beat's last sample to its entry that 99 % of them may take; not judged if left out.
    """

    missed_beats: Share = 0.0
    extra_beats: Share = 0.0
    wrong_classes: Share = 1.0
    missed_events: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    false_alarms: dict[str, Annotated[int, Field(ge=0)]] = Field(default_factory=dict)
    unaccounted_packets: Annotated[int, Field(ge=0)] = 0
    latency_p99_s: Annotated[float, Field(gt=0.0)] | None = None


class ExpectTable(Table):
    """An alarm that has to come.

    Attributes
    ----------
    athlete, alarm : str
        Whose, and its kind.
    at_s : float
        When what it is about begins.
    within_s : float
        How many seconds later its onset may lie.
    optional : bool
        It may come, but need not.
    """

    athlete: Name
    alarm: str
    at_s: Seconds
    within_s: Length = 10.0
    optional: bool = False

    @field_validator("alarm")
    @classmethod
    def _is_in_the_catalogue(cls, alarm: str) -> str:
        if alarm not in CATALOGUE:
            raise ValueError(f"expect.alarm is {alarm!r}; {unknown_key(alarm, CATALOGUE)}")
        return alarm


class OutageTable(Table):
    """The broker goes away and comes back.

    Attributes
    ----------
    at_s, away_s : float
        When, and for how long.
    how : {'stop', 'kill'}
        In order, or as in a crash.
    """

    at_s: Length
    away_s: Length = 2.0
    how: Literal["stop", "kill"] = "stop"


class Scenario(Table):
    """A whole scenario.

    Attributes
    ----------
    title, description : str
        What it is about.
    seconds : float
        Length of the session.
    seed : int
        Of everything random in it.
    team : str
        Pseudonym.
    speed : float
        Seconds of session per second, unless the command says otherwise.
    broker : str
        Which broker to start where none is given.
    allow : Allowance
        What may be missing.
    strap : list of StrapTable
        Who takes part.
    expect : list of ExpectTable
        Alarms that have to come.
    outage : list of OutageTable
        When the broker is away.
    """

    title: str
    description: str = ""
    seconds: Length
    seed: Annotated[int, Field(ge=0)] = 0
    team: Name = "scenario"
    speed: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0
    broker: BrokerName = "embedded"
    allow: Allowance = Allowance()
    strap: Annotated[list[StrapTable], Field(min_length=1)]
    expect: list[ExpectTable] = Field(default_factory=list)
    outage: list[OutageTable] = Field(default_factory=list)

    @model_validator(mode="after")
    def _names_whom_it_expects(self) -> Self:
        athletes = [name for strap in self.strap for name in athletes_of(strap)]
        if len(athletes) > MOST_STRAPS:
            raise ValueError(f"{len(athletes)} straps; at most {MOST_STRAPS} run in a scenario")
        for expected in self.expect:
            if expected.athlete not in athletes:
                close = difflib.get_close_matches(expected.athlete, athletes, n=1)
                raise ValueError(
                    f"expect.athlete is {expected.athlete!r}; "
                    + (f"did you mean {close[0]!r}?" if close else f"there are {', '.join(athletes[:8])}")
                )
        return self

    @model_validator(mode="after")
    def _ends_after_what_it_plans(self) -> Self:
        for strap in self.strap:
            end_s = self.seconds if strap.leaves_s is None else min(strap.leaves_s, self.seconds)
            for key, at_s in strap.troubles_at():
                if at_s >= end_s:
                    raise ValueError(
                        f"strap of {strap.athlete!r}: {key} at {at_s:g} s, but its session ends at {end_s:g} s"
                    )
        for what, at_s in (
            *((f"expect of {expected.alarm}", expected.at_s) for expected in self.expect),
            *(("outage", outage.at_s) for outage in self.outage),
        ):
            if at_s >= self.seconds:
                raise ValueError(f"{what} at {at_s:g} s, but the session ends at {self.seconds:g} s")
        return self


def athletes_of(strap: StrapTable) -> list[str]:
    """Return the athletes of a strap's table, one for each copy."""
    if strap.copies == 1:
        return [strap.athlete]
    return [f"{strap.athlete}-{number:03d}" for number in range(1, strap.copies + 1)]


def own_limits(scenario: Scenario) -> dict[str, dict[str, float]]:
    """Return the limits that a scenario gives to athletes, by athlete; every copy of a strap has those of its table."""
    limits: dict[str, dict[str, float]] = {}
    for strap in scenario.strap:
        given = strap.limits.model_dump(exclude_none=True)
        for athlete in athletes_of(strap) if given else ():
            limits.setdefault(athlete, {}).update(given)
    return limits


def shipped_scenarios() -> dict[str, Path]:
    """Return the scenarios that come with the installation, by name."""
    folder = Path(str(files("simulators").joinpath("scenarios")))
    return {file.stem: file for file in sorted(folder.glob(f"*{SUFFIX}"))}


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Read a scenario.

    Parameters
    ----------
    name_or_path : str or Path
        A file, or the name of one that comes with the installation.

    Raises
    ------
    SettingsError
        If there is no such file, it is no TOML, or holds a key or value that cannot be; the text names the file, the
        key and the closest key that exists.
    """
    shipped = shipped_scenarios()
    path = shipped.get(str(name_or_path), Path(name_or_path).expanduser())
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        close = difflib.get_close_matches(str(name_or_path), shipped, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]}?" if close else f"there come {', '.join(shipped) or 'none'}"
        raise SettingsError(f"scenario {name_or_path}: no such file; {hint}") from None
    except OSError as error:
        raise SettingsError(f"scenario {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"scenario {path}: no TOML: {error}") from None
    return parse_scenario(content, path)


def parse_scenario(content: dict[str, Any], path: Path | str) -> Scenario:
    """Check what a scenario's file holds.

    Parameters
    ----------
    content : dict
        The file's content.
    path : Path or str
        Named in the error.

    Raises
    ------
    SettingsError
        As `load_scenario`.
    """
    try:
        scenario = Scenario.model_validate(content)
    except ValidationError as error:
        raise SettingsError(f"scenario {path}: {_explain(error)}") from None
    for number, strap in enumerate(scenario.strap):
        if strap.synthetic is not None:
            read_heart(strap.synthetic, f"scenario {path}: strap[{number}].synthetic")
    return scenario


def _explain(error: ValidationError) -> str:
    # A key that does not exist is what a slip of the pen looks like, so it is said before what follows from it.
    errors = error.errors(include_url=False)
    first = next((found for found in errors if found["type"] == "extra_forbidden"), errors[0])
    where = _dotted(first["loc"])
    if first["type"] == "extra_forbidden":
        table = _table_at(first["loc"][:-1])
        return f"unknown key {where!r}; {unknown_key(str(first['loc'][-1]), table.model_fields)}"
    if first["type"] == "value_error":
        return str(first["ctx"]["error"])
    if first["type"] == "missing":
        return f"key {where!r} is missing"
    return f"{where} is {first['input']!r}; {first['msg'][:1].lower()}{first['msg'][1:]}"


def _dotted(location: tuple[int | str, ...]) -> str:
    text = ""
    for part in location:
        text += f"[{part}]" if isinstance(part, int) else f"{'.' if text else ''}{part}"
    return text


def _table_at(location: tuple[int | str, ...]) -> type[BaseModel]:
    table: type[BaseModel] = Scenario
    for part in location:
        field = table.model_fields.get(str(part))
        if field is not None:
            table = next(
                kind for kind in (field.annotation, *_inside(field.annotation)) if _is_table(kind)
            )  # fmt: skip
    return table


def _inside(annotation: Any) -> list[Any]:
    inner = list(typing.get_args(annotation))
    return inner + [deeper for kind in inner for deeper in _inside(kind)]


def _is_table(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
