"""What is said of a setting that cannot be: one line with where it stands, its value, and what is allowed."""

import difflib
import os
import typing
from pathlib import Path
from types import UnionType
from typing import Any, Final

import annotated_types
from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

_ANY: Final = {"athletes": "<team/name>", "alarms": "<kind>", "receivers": "<name>"}
"""Sections with names of the user's own, and what stands for any of them."""


def explain(
    error: ValidationError,
    settings: type[BaseModel],
    path: Path | str | None,
    *,
    override_of: str | None = None,
) -> str:
    """Return one line about the first thing that is wrong.

    Parameters
    ----------
    error : ValidationError
        What pydantic found.
    settings : type of BaseModel
        The settings it was checked against.
    path : Path, str or None
        The file that was read.
    override_of : str or None
        The section, if it was the command line's values for it that were checked.
    """
    first = error.errors(include_url=False)[0]
    location = (*([override_of] if override_of else []), *(str(part) for part in first["loc"]))
    dotted = ".".join(location)
    where = "command line" if override_of else _where(location, path)
    if first["type"] == "extra_forbidden":
        return unknown_key(where, dotted, settings)
    if first["type"] == "value_error":
        # Its text is our own; the input may be a URL with a password.
        return f"{where}: {dotted}{': ' if dotted else ''}{first['ctx']['error']}"
    if first["type"] == "model_type":
        name = ".".join((*location[:1], *(f'"{part}"' for part in location[1:])))
        return f"{where}: {dotted} is {first['input']!r}; use a section, [{name}]"
    field = known_fields(settings).get(_general(location))
    if first["type"] == "missing":
        # The input is the whole section then, secrets and all.
        return f"{where}: {dotted} is not set; {'use ' + allowed_values(field) if field else first['msg']}"
    allowed = f"use {allowed_values(field)}" if field is not None else first["msg"]
    return f"{where}: {dotted} is {first['input']!r}; {allowed}"


def unknown_key(where: str, dotted: str, settings: type[BaseModel]) -> str:
    """Return one line about a key that does not exist, with the closest one that does."""
    said = f"{where}: unknown setting {dotted!r}"
    known = list(known_fields(settings))
    *section, key = _general(tuple(dotted.split("."))).split(".")
    beside = {name.rpartition(".")[2]: name for name in known if name.split(".")[:-1] == section}
    if beside:
        close = difflib.get_close_matches(key, beside, n=1, cutoff=0.5)
        return (
            f"{said}; did you mean {beside[close[0]]!r}?"
            if close
            else f"{said}; there are {', '.join(beside)}"
        )
    sections = list(settings.model_fields)
    by_key = {name.rpartition(".")[2]: name for name in reversed(known)}
    close = difflib.get_close_matches(dotted, known if section else sections, n=1, cutoff=0.6)
    close = close or [by_key[name] for name in difflib.get_close_matches(key, by_key, n=1, cutoff=0.6)]
    return f"{said}; did you mean {close[0]!r}?" if close else f"{said}; there are {', '.join(sections)}"


def known_fields(settings: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return every setting by its dotted name; ``athletes.<team/name>.…`` stands for any athlete, and so on."""
    found: dict[str, FieldInfo] = {}
    for section, field in settings.model_fields.items():
        model: Any = field.annotation
        prefix = section
        if typing.get_origin(model) is dict:
            model = typing.get_args(model)[1]
            prefix = f"{section}.{_ANY.get(section, '<name>')}"
        for key, inner in model.model_fields.items():
            found[f"{prefix}.{key}"] = inner
    return found


def allowed_values(field: FieldInfo) -> str:
    """Return in words what a setting may be."""
    least = _bound(field, annotated_types.Ge, "ge")
    most = _bound(field, annotated_types.Le, "le")
    kinds = [kind for kind in _alternatives(field.annotation) if kind is not type(None)]
    if least is not None and most is not None:
        number = "a whole number from" if kinds == [int] else "a number from"
        return f"{number} {least:g} to {most:,g}" if most < 1e5 else f"{number} {least:g} to {most:,.0f}"
    literals = [
        str(value)
        for kind in kinds
        if typing.get_origin(kind) is typing.Literal
        for value in typing.get_args(kind)
    ]
    if literals:
        return " or ".join(literals)
    names: dict[Any, str] = {bool: "true or false", str: "text", Path: "a path"}
    return " or ".join(names.get(kind, str(kind)) for kind in kinds)


def _bound(field: FieldInfo, kind: type, name: str) -> float | None:
    for constraint in field.metadata:
        if isinstance(constraint, kind):
            return float(getattr(constraint, name))
    return None


def _alternatives(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) in (typing.Union, UnionType):
        return typing.get_args(annotation)
    return (annotation,)


def _general(location: tuple[str, ...]) -> str:
    if location[0] in _ANY and len(location) > 1:
        location = (location[0], _ANY[location[0]], *location[2:])
    return ".".join(location)


def _where(location: tuple[str, ...], path: Path | str | None) -> str:
    """Return the variable that sets what is at `location`, else the file."""
    names = {name.upper(): name for name in os.environ}
    for length in range(len(location), 0, -1):
        name = names.get("STRAPWATCH_" + "__".join(location[:length]).upper())
        if name is not None:
            return f"environment variable {name}"
    return f"settings file {path}" if path is not None else "settings"
