"""Events of the heart by name, as scenario files and the command line give them: ``vf@600:20``."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from monitor.errors import UsageError
from simulators.arrhythmia import (
    Asystole,
    AtrialFibrillation,
    AtrialFlutter,
    VentricularFibrillation,
    VentricularTachycardia,
)
from simulators.ectopy import (
    Bigeminy,
    Pause,
    PrematureBeat,
    SupraventricularRun,
    VentricularRun,
    Wenckebach,
)
from simulators.rhythm_track import HeartEvent


class EventName(NamedTuple):
    """How an event is made by name.

    Attributes
    ----------
    make : callable
        Its class.
    settings : dict of str to object
        What the name stands for.
    length : str
        The field that a length is about: ``"length_s"``, ``"beats"``, ``"cycles"`` or ``"conducted"``; empty where the
        event has none.
    meaning : str
        In words.
    """

    make: Callable[..., HeartEvent]
    settings: dict[str, Any]
    length: str
    meaning: str


EVENT_NAMES: Final[Mapping[str, EventName]] = MappingProxyType(
    {
        "v": EventName(PrematureBeat, {"kind": "V"}, "", "a ventricular premature beat"),
        "s": EventName(PrematureBeat, {"kind": "S", "coupling": 0.65}, "", "a supraventricular one"),
        "aberrant": EventName(
            PrematureBeat,
            {"kind": "S", "coupling": 0.55, "aberrant": True},
            "",
            "a supraventricular one with a wide QRS complex",
        ),
        "fusion": EventName(PrematureBeat, {"kind": "F", "coupling": 0.95}, "", "a fusion beat"),
        "couplet": EventName(VentricularRun, {"beats": 2}, "", "two V in a row"),
        "run": EventName(VentricularRun, {"beats": 5}, "beats", "so many V in a row"),
        "supraventricular-run": EventName(SupraventricularRun, {}, "beats", "so many S in a row"),
        "bigeminy": EventName(Bigeminy, {}, "cycles", "a V at every second beat, so many"),
        "trigeminy": EventName(Bigeminy, {"every": 3}, "cycles", "a V at every third beat, so many"),
        "pause": EventName(Pause, {}, "length_s", "no beat for so many seconds"),
        "wenckebach": EventName(Wenckebach, {}, "conducted", "so many beats, then one not conducted"),
        "afib": EventName(AtrialFibrillation, {}, "length_s", "atrial fibrillation"),
        "aflutter": EventName(AtrialFlutter, {}, "length_s", "atrial flutter, 2 to 1"),
        "vt": EventName(VentricularTachycardia, {}, "length_s", "ventricular tachycardia at 180 a minute"),
        "torsades": EventName(
            VentricularTachycardia,
            {"polymorphic": True, "rate_bpm": 220.0},
            "length_s",
            "ventricular tachycardia whose axis turns",
        ),
        "vflutter": EventName(
            VentricularFibrillation,
            {"flutter": True, "hz": 4.2, "millivolts": 0.9},
            "length_s",
            "ventricular flutter",
        ),
        "vf": EventName(VentricularFibrillation, {}, "length_s", "ventricular fibrillation"),
        "asystole": EventName(Asystole, {}, "length_s", "nothing but the noise floor"),
        "standstill": EventName(Asystole, {"p_waves": True}, "length_s", "P waves only"),
    }
)
"""Every event that can be given by name."""


def make_event(
    name: str, at_s: float, length: float | None = None, settings: Mapping[str, Any] | None = None
) -> HeartEvent:
    """Return an event by its name.

    Parameters
    ----------
    name : str
        One of `EVENT_NAMES`.
    at_s : float
        When.
    length : float, optional
        Seconds, or beats where the event counts them.
    settings : mapping of str to object, optional
        Other fields of the event's class.

    Raises
    ------
    UsageError
        If there is no such event or field, or a value is out of range.
    """
    if name not in EVENT_NAMES:
        raise UsageError(f"event {name!r}: there are {', '.join(EVENT_NAMES)}")
    entry = EVENT_NAMES[name]
    values = {**entry.settings, **(settings or {})}
    if length is not None:
        if not entry.length:
            raise UsageError(f"event {name!r}: has no length, only a time")
        is_count = entry.length != "length_s"
        if is_count and length != int(length):
            raise UsageError(f"event {name!r}: length {length:g} counts beats; use a whole number")
        values[entry.length] = int(length) if is_count else float(length)
    try:
        event = entry.make(at_s=at_s, **values)
        event.check()
    except TypeError:
        fields = [field for field in entry.make.__dataclass_fields__ if field != "at_s"]  # type: ignore[attr-defined]  # every event is a dataclass
        raise UsageError(
            f"event {name!r} with {', '.join(map(repr, values))}: allowed are {', '.join(fields)}"
        ) from None
    return event


def parse_event(text: str) -> HeartEvent:
    """Return the event that ``NAME@SECONDS[:LENGTH]`` asks for.

    Raises
    ------
    UsageError
        If the text is none, or a value is out of range.
    """
    name, _, rest = text.partition("@")
    at, _, length = rest.partition(":")
    try:
        at_s, length_value = float(at), float(length) if length else None
    except ValueError:
        raise UsageError(f"event {text!r}: use NAME@SECONDS[:LENGTH], such as vf@600:20") from None
    return make_event(name, at_s, length_value)
