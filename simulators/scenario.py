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

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from monitor.catalogue import CATALOGUE
from monitor.errors import SettingsError
from monitor.settings import AthleteSettings
from simulators.noise import NoiseKind
from simulators.scenario_hearts import read_heart
from simulators.scenario_keys import unknown_key

SUFFIX: Final = ".toml"
LONGEST_S: Final = 6 * 3600.0
MOST_STRAPS: Final = 2_000
BrokerName = Literal["embedded", "mosquitto"]

_Seconds = Annotated[float, Field(ge=0.0, le=LONGEST_S)]
_Length = Annotated[float, Field(gt=0.0, le=LONGEST_S)]
_Share = Annotated[float, Field(ge=0.0, le=1.0)]
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,56}$")]
_Stretch = tuple[_Seconds, _Length]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Allowance(_Table):
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

    missed_beats: _Share = 0.0
    extra_beats: _Share = 0.0
    wrong_classes: _Share = 1.0
    missed_events: dict[str, Annotated[int, Field(ge=0)]] = {}
    false_alarms: dict[str, Annotated[int, Field(ge=0)]] = {}
    unaccounted_packets: Annotated[int, Field(ge=0)] = 0
    latency_p99_s: Annotated[float, Field(gt=0.0)] | None = None


class BurstTable(_Table):
    """Losses in bursts, see `simulators.radio.Bursts`."""

    enter: _Share
    leave: _Share
    loss: _Share = 1.0


class RadioTable(_Table):
    """A strap's radio, see `simulators.radio.RadioSettings`; stretches are pairs of begin and length."""

    loss: _Share = 0.0
    duplicates: _Share = 0.0
    reorder: _Share = 0.0
    jitter_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.0
    bursts: BurstTable | None = None
    dropouts: list[_Stretch] = []
    dropouts_lost: list[_Stretch] = []
    lead_off: list[_Stretch] = []


class _BodyTable(_Table):
    at_s: _Seconds = 0.0
    length_s: _Length | None = None


class NoiseTable(_BodyTable):
    """Noise, see `simulators.body.Noise`; `record` names the WFDB record of kind ``"record"``."""

    kind: NoiseKind
    snr_db: Annotated[float, Field(ge=-60.0, le=120.0)] | None = None
    rms_mv: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    hz: Annotated[float, Field(gt=0.0, le=500.0)] = 50.0
    growth: Annotated[float, Field(ge=0.0, le=100.0)] = 2.0
    record: str | None = None


class SaturationTable(_BodyTable):
    """Saturation, see `simulators.body.Saturation`."""

    limit_mv: Annotated[float, Field(gt=0.0, le=1000.0)] = 5.0
    offset_mv: Annotated[float, Field(ge=-1000.0, le=1000.0)] = 12.0


class InvertedTable(_BodyTable):
    """Inverted polarity."""


class GainTable(_BodyTable):
    """A gain that nobody tells, see `simulators.body.Gain`."""

    factor: Annotated[float, Field(gt=0.0, le=1000.0)]


class ContactTable(_BodyTable):
    """Contact lost without a word, see `simulators.body.ContactLost`."""

    floating_mv: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0


class RebootTable(_Table):
    """The strap starts again.

    Attributes
    ----------
    at_s : float
        When it goes off.
    off_s : float
        For how long.
    """

    at_s: _Length
    off_s: Annotated[float, Field(ge=0.0, le=LONGEST_S)] = 2.0


class ClockTable(_Table):
    """The strap's clock: how fast its crystal is, and pairs of when it is set and by how many seconds."""

    drift_ppm: Annotated[float, Field(ge=-10_000.0, le=10_000.0)] = 0.0
    jumps: list[tuple[_Seconds, float]] = []


class BatteryTable(_Table):
    """Charge at the begin and at the end, 0 to 1; with 0 at the end the strap dies there."""

    begin: _Share = 1.0
    end: _Share = 0.0


class StrapTable(_Table):
    """One strap, or several alike.

    Attributes
    ----------
    athlete : str
        Pseudonym; with `copies` it is followed by a number.
    copies : int
        How many straps, each a little further on in the same record.
    strap : str or None
        The strap's own name, by default the athlete's. Two straps of one athlete need two names.
    record : str or None
        A WFDB record, or ``"excerpt"``; else `synthetic` describes the heart.
    synthetic : dict or None
        See `simulators.scenario_hearts`.
    lead : str or None
        Lead of the record.
    start_s : float
        Where in the record it begins.
    joins_s, leaves_s : float, float or None
        When in the session the strap is switched on, and off; to the session's end if left out.
    packet_s : float
        Seconds of signal in a packet.
    limits : AthleteSettings
        The athlete's own limits, for a monitor that the scenario starts itself.
    """

    athlete: _Name
    copies: Annotated[int, Field(ge=1, le=MOST_STRAPS)] = 1
    strap: _Name | None = None
    record: str | None = None
    synthetic: dict[str, Any] | None = None
    lead: str | None = None
    start_s: _Seconds = 0.0
    joins_s: _Seconds = 0.0
    leaves_s: _Length | None = None
    packet_s: Annotated[float, Field(gt=0.0, le=30.0)] = 0.25
    radio: RadioTable = RadioTable()
    noise: list[NoiseTable] = []
    saturation: list[SaturationTable] = []
    inverted: list[InvertedTable] = []
    gain: list[GainTable] = []
    contact_lost: list[ContactTable] = []
    reboot: list[RebootTable] = []
    skips: list[_Stretch] = []
    clock: ClockTable = ClockTable()
    battery: BatteryTable | None = None
    limits: AthleteSettings = AthleteSettings()

    @model_validator(mode="after")
    def _has_one_heart(self) -> Self:
        if (self.record is None) == (self.synthetic is None):
            raise ValueError(f"strap of {self.athlete!r}: give either record or synthetic")
        return self


class ExpectTable(_Table):
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

    athlete: _Name
    alarm: str
    at_s: _Seconds
    within_s: _Length = 10.0
    optional: bool = False

    @field_validator("alarm")
    @classmethod
    def _is_in_the_catalogue(cls, alarm: str) -> str:
        if alarm not in CATALOGUE:
            raise ValueError(f"expect.alarm is {alarm!r}; {unknown_key(alarm, CATALOGUE)}")
        return alarm


class OutageTable(_Table):
    """The broker goes away and comes back.

    Attributes
    ----------
    at_s, away_s : float
        When, and for how long.
    how : {'stop', 'kill'}
        In order, or as in a crash.
    """

    at_s: _Length
    away_s: _Length = 2.0
    how: Literal["stop", "kill"] = "stop"


class Scenario(_Table):
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
    seconds: _Length
    seed: Annotated[int, Field(ge=0)] = 0
    team: _Name = "scenario"
    speed: Annotated[float, Field(gt=0.0, le=1000.0)] = 1.0
    broker: BrokerName = "embedded"
    allow: Allowance = Allowance()
    strap: Annotated[list[StrapTable], Field(min_length=1)]
    expect: list[ExpectTable] = []
    outage: list[OutageTable] = []

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


def athletes_of(strap: StrapTable) -> list[str]:
    """Return the athletes of a strap's table, one for each copy."""
    if strap.copies == 1:
        return [strap.athlete]
    return [f"{strap.athlete}-{number:03d}" for number in range(1, strap.copies + 1)]


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
