"""Settings of alarms: what of the catalogue holds otherwise, and who is told outside."""

import difflib
from collections.abc import Callable
from typing import Annotated, Final, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, field_validator

from monitor.catalogue import CATALOGUE, Kind, RuleChange
from monitor.contract import Priority
from monitor.errors import SettingsError
from monitor.wire import is_name

_NOT_TO_BE_SET: Final = ("canary", "monitoring_lost")
"""They watch over the way of alarms itself."""


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


class AlarmRuleSettings(_Section):
    """One kind of alarm; what is left out is as in the catalogue."""

    priority: Annotated[Priority | None, Field(description="How urgent it is")] = None
    latched: Annotated[
        bool | None, Field(description="It stays after its condition is over until somebody acknowledges it")
    ] = None
    onset_delay_s: Annotated[
        float | None,
        Field(
            ge=0.0, le=60.0, description="Seconds a condition must last once it is known, before it is told"
        ),
    ] = None
    clear_delay_s: Annotated[
        float | None,
        Field(ge=0.0, le=60.0, description="Seconds a condition must stay away before its alarm is over"),
    ] = None
    repeat_after_s: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=3600.0,
            description="Seconds after an alarm for which the same condition is only counted, unless it lasts "
            "(never with high priority)",
        ),
    ] = None
    display_s: Annotated[
        float | None, Field(ge=0.0, le=3600.0, description="Seconds for which an alarm is listed at least")
    ] = None
    answer_within_s: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=3600.0,
            description="Seconds after which an alarm that nobody acknowledges leaves the building; 0: never",
        ),
    ] = None


class ReceiverSettings(_Section):
    """A webhook that `strapwatch relay` tells of alarms."""

    url: Annotated[
        str, Field(description="`https://…`; `http://` to this machine only; better kept in the environment")
    ]
    secret: Annotated[
        str,
        Field(description="Key of the signature, at least 16 characters; better kept in the environment"),
    ]
    least: Annotated[Priority, Field(description="Lowest priority that is told")] = "high"
    when: Annotated[
        Literal["unanswered", "raised"],
        Field(description="Tell what nobody has answered in time, or everything as it is raised"),
    ] = "unanswered"
    canary: Annotated[bool, Field(description="Tell test alarms too, every 15 s")] = False

    @field_validator("url")
    @classmethod
    def _is_endpoint(cls, url: str) -> str:
        from monitor.receivers.webhook import check_endpoint

        return _checked(check_endpoint, url)

    @field_validator("secret")
    @classmethod
    def _is_secret(cls, secret: str) -> str:
        from monitor.receivers.webhook import secret_bytes

        return _checked(secret_bytes, secret)


def check_kinds(alarms: dict[str, AlarmRuleSettings]) -> dict[str, AlarmRuleSettings]:
    """Refuse kinds of alarm that there are not, naming the closest.

    Raises
    ------
    ValueError
        With one line about the first of them.
    """
    known = [kind for kind in CATALOGUE if kind not in _NOT_TO_BE_SET]
    for kind in alarms:
        if kind not in known:
            close = difflib.get_close_matches(kind, known, n=1, cutoff=0.5)
            meant = f"did you mean {close[0]!r}?" if close else f"there are {', '.join(known)}"
            raise ValueError(f"{kind!r} is no kind of alarm; {meant}")
    return alarms


def check_names(receivers: dict[str, ReceiverSettings]) -> dict[str, ReceiverSettings]:
    """Refuse names that a receiver cannot have.

    Raises
    ------
    ValueError
        With one line about the first of them.
    """
    for name in receivers:
        if not is_name(name):
            raise ValueError(f"{name!r} is no name: use 1 to 64 letters, digits, '-' or '_'")
    return receivers


def rule_changes(alarms: dict[str, AlarmRuleSettings]) -> dict[Kind, RuleChange]:
    """Return what holds otherwise than the catalogue, by kind."""
    return {cast("Kind", kind): RuleChange(**rule.model_dump()) for kind, rule in alarms.items()}


def _checked(check: Callable[[str], object], text: str) -> str:
    try:
        check(text)
    except SettingsError as error:
        # Our own text: pydantic's would repeat the value, which may be a secret.
        raise ValueError(str(error)) from None
    return text
