"""Colours of the dashboard, and what they mean.

Alarm colours follow IEC 60601-1-8 (high: red, medium: yellow, low: cyan). Colour never stands alone: every use of it
has a word or a letter beside it.
"""

from functools import lru_cache
from typing import Final

from rich.style import Style

from monitor.contract import UNSURE, Priority

BACKGROUND: Final = "#0b1016"
BAR: Final = "#1a2632"
SELECTED_BAR: Final = "#2f4a66"
TEXT: Final = "#dbe4ec"
BRIGHT: Final = "#ffffff"
MUTED: Final = "#8fa0b0"
FAINT: Final = "#4a5967"
TRACE: Final = "#4fd6a0"
CAUTION: Final = "#ffc44d"
BAD: Final = "#ff6b6b"
SOURCE: Final = "#9fb7ff"

_ALARM_BACKGROUND: Final[dict[Priority, str]] = {
    "high": "#c8102e",
    "medium": "#ffc107",
    "low": "#35c6e6",
    "information": "#56687a",
}
_ALARM_BACKGROUND_OFF: Final[dict[Priority, str]] = {
    "high": "#8d0b20",
    "medium": "#e0a800",
    "low": "#35c6e6",
    "information": "#56687a",
}
_ALARM_ON: Final[dict[Priority, str]] = {
    "high": "#ffffff",
    "medium": "#161000",
    "low": "#001318",
    "information": "#ffffff",
}
_ALARM_TEXT: Final[dict[Priority, str]] = {
    "high": "#ff6b7f",
    "medium": "#ffcf4a",
    "low": "#62d8f2",
    "information": "#b4c2cf",
}

_LABEL_COLOUR: Final = {
    "N": "#5f9f86",
    "S": "#ffb454",
    "V": "#ff5d6c",
    "F": "#e58cff",
    "Q": "#9aa7b4",
    UNSURE: "#9aa7b4",
}

_QUALITY_COLOUR: Final = {
    "good": TRACE,
    "settling": MUTED,
    "noisy": CAUTION,
    "flat": BAD,
    "railed": BAD,
    "lead_off": BAD,
}


@lru_cache(maxsize=1024)
def paint(colour: str, *, on: str = BACKGROUND, bold: bool = False) -> Style:
    """Return the style for text of `colour` on `on`."""
    return Style(color=colour, bgcolor=on, bold=bold)


PLAIN: Final = paint(TEXT)
DIM: Final = paint(MUTED)
GONE: Final = paint(FAINT)


@lru_cache(maxsize=64)
def alarm_fill(priority: Priority, *, lit: bool = True) -> Style:
    """Return the style of an alarm that nobody has acknowledged; `lit` is the bright half of its slow blink."""
    background = (_ALARM_BACKGROUND if lit else _ALARM_BACKGROUND_OFF)[priority]
    return paint(_ALARM_ON[priority], on=background, bold=True)


@lru_cache(maxsize=64)
def alarm_text(priority: Priority, *, bold: bool = True) -> Style:
    """Return the style of an alarm's words on the plain background."""
    return paint(_ALARM_TEXT[priority], bold=bold)


def label_letter(label: str) -> str:
    """Return the letter of a class; ``?`` for an unsure beat, ``·`` for one not yet classified."""
    if not label:
        return "·"
    return "?" if label == UNSURE else label[:1]


def label_colour(label: str) -> str:
    """Return the colour of a class."""
    return _LABEL_COLOUR.get(label, MUTED)


@lru_cache(maxsize=64)
def label_style(label: str) -> Style:
    """Return the style of a class's letter; anything but a normal beat is bold."""
    return paint(label_colour(label), bold=label not in {"N", ""})


def quality_colour(category: str) -> str:
    """Return the colour of a quality category."""
    return _QUALITY_COLOUR.get(category, MUTED)
