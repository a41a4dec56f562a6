"""What the option parser refuses, said as the commands say it: the value, what is allowed, where to read on."""

import shlex
from datetime import datetime
from typing import Any, Final, get_args

_A_DAY: Final = datetime(2026, 8, 31, 14, 30)  # noqa: DTZ001 - only to show how a date is written


def refusal(error: Any) -> str:
    """Return one sentence about a command line that was refused.

    Typer passes on what pydantic says of a number, a date or a choice, which names neither the value nor all that is
    allowed; from what the parameter is that sentence is made anew. Whatever else was refused is said as it came.

    Parameters
    ----------
    error : UsageError
        Of typer, or of the click that an older typer stands on (which names value and range by itself).
    """
    parameter = getattr(error, "param", None)
    descriptor = getattr(parameter, "type_descriptor", None)
    found = getattr(error.__cause__, "errors", None)
    allowed = None if descriptor is None or found is None else _allowed(descriptor)
    if parameter is None or found is None or allowed is None:
        return " ".join(error.format_message().split()).rstrip(".")
    value = shlex.quote(str(found()[0]["input"]))
    return f"{parameter.get_error_hint().replace(chr(39), '')} {value}: use {allowed}"


def _allowed(descriptor: Any) -> str | None:
    info = descriptor.parameter_info
    (wanted,) = get_args(descriptor.annotation)[:1] or (descriptor.annotation,)
    if descriptor.choices:
        return "one of " + ", ".join(str(getattr(each, "value", each)) for each in descriptor.choices)
    if wanted is datetime and info.formats:
        return "a date such as " + " or ".join(_A_DAY.strftime(form) for form in info.formats)
    if wanted in {int, float}:
        return f"a {'whole ' if wanted is int else ''}number{_range(info.min, info.max)}"
    return None


def _range(least: float | None, most: float | None) -> str:
    if least is None:
        return "" if most is None else f", at most {most:g}"
    return f", {least:g} or more" if most is None else f" from {least:g} to {most:g}"
