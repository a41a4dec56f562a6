"""The synthetic hearts of a scenario: tables of plain values become an athlete with a programme and events.

A table's keys are the fields of `simulators.synthetic.SyntheticAthlete`; ``heart`` and ``programme`` are names (or, for
a programme, a list of phases), ``rate_hz`` is the strap's sampling rate, and each of ``events`` names its kind under
``event`` beside its own fields, such as ``{event = "ventricular_run", at_s = 30, beats = 5}``.
"""

import re
import typing
from dataclasses import dataclass, fields
from typing import Any, Final

import msgspec

from monitor.errors import SettingsError, UsageError
from simulators.arrhythmia import (
    Asystole,
    AtrialFibrillation,
    AtrialFlutter,
    VentricularFibrillation,
    VentricularTachycardia,
)
from simulators.athlete_hearts import HEARTS
from simulators.ectopy import Bigeminy, Pause, PrematureBeat, SupraventricularRun, VentricularRun, Wenckebach
from simulators.effort import PROGRAMMES, Phase, Programme
from simulators.scenario_keys import unknown_key
from simulators.synthetic import SyntheticAthlete

DEFAULT_RATE_HZ: Final = 250.0

EVENTS: Final[dict[str, type]] = {
    re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower(): kind
    for kind in (
        PrematureBeat,
        Bigeminy,
        VentricularRun,
        SupraventricularRun,
        Pause,
        Wenckebach,
        AtrialFibrillation,
        AtrialFlutter,
        VentricularTachycardia,
        VentricularFibrillation,
        Asystole,
    )
}
"""What may interrupt a heart, by its name in a file."""
_NAMED: Final = {"heart": HEARTS, "programme": PROGRAMMES}


@dataclass(frozen=True, slots=True)
class SyntheticHeart:
    """A heart and the rate at which its strap samples it."""

    athlete: SyntheticAthlete
    rate_hz: float


def read_heart(table: dict[str, Any], where: str) -> SyntheticHeart:
    """Return the heart that a table describes.

    Parameters
    ----------
    table : dict
        What the file holds.
    where : str
        Where it stands, for the error: file and key.

    Raises
    ------
    SettingsError
        If a key does not exist or a value cannot be; the text names it and the closest key that exists.
    """
    known = ["rate_hz", *(field.name for field in fields(SyntheticAthlete))]
    values: dict[str, Any] = {}
    rate_hz = DEFAULT_RATE_HZ
    types = typing.get_type_hints(SyntheticAthlete)
    for key, value in table.items():
        here = f"{where}.{key}"
        if key not in known:
            raise SettingsError(f"{where}: unknown key {key!r}; {unknown_key(key, known)}")
        if key == "rate_hz":
            rate_hz = _converted(value, float, here)
        elif key in _NAMED and isinstance(value, str):
            values[key] = _named(_NAMED[key], value, here)
        elif key == "programme":
            phases = [_built(Phase, phase, f"{here}[{n}]") for n, phase in enumerate(_tables(value, here))]
            values[key] = _checked(Programme, (tuple(phases),), {}, here)
        elif key == "events":
            values[key] = tuple(_event(event, f"{here}[{n}]") for n, event in enumerate(_tables(value, here)))
        else:
            values[key] = _converted(value, types[key], here)
    return SyntheticHeart(_checked(SyntheticAthlete, (), values, where), rate_hz)


def _event(table: dict[str, Any], where: str) -> Any:
    name = table.get("event")
    if not isinstance(name, str):
        raise SettingsError(f"{where}: key 'event' is missing; there are {', '.join(EVENTS)}")
    if name not in EVENTS:
        raise SettingsError(f"{where}: unknown event {name!r}; {unknown_key(name, EVENTS)}")
    return _built(EVENTS[name], {key: value for key, value in table.items() if key != "event"}, where)


def _built(kind: type, table: dict[str, Any], where: str) -> Any:
    types = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind)]
    for key in table:
        if key not in known:
            raise SettingsError(f"{where}: unknown key {key!r}; {unknown_key(key, known)}")
    values = {key: _converted(value, types[key], f"{where}.{key}") for key, value in table.items()}
    return _checked(kind, (), values, where)


def _checked(kind: Any, values: tuple[Any, ...], named: dict[str, Any], where: str) -> Any:
    try:
        return kind(*values, **named)
    except TypeError as error:
        raise SettingsError(f"{where}: {str(error).partition('__init__() ')[2] or error}") from None
    except UsageError as error:
        raise SettingsError(f"{where}: {error}") from None


def _converted(value: Any, kind: Any, where: str) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"{where} is {value!r}; {error}") from None


def _named(there: typing.Mapping[str, Any], name: str, where: str) -> Any:
    if name not in there:
        raise SettingsError(f"{where} is {name!r}; {unknown_key(name, there)}")
    return there[name]


def _tables(value: Any, where: str) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(table, dict) for table in value):
        raise SettingsError(f"{where} is {value!r}; use a list of tables")
    return value
