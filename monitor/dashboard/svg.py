"""Lines of the screen as an SVG that looks the same everywhere: braille, blocks and frames are drawn, not typed."""

from collections.abc import Iterable, Sequence
from html import escape
from typing import Final

from rich.segment import Segment
from rich.style import Style

from monitor.dashboard.palette import BACKGROUND, TEXT

CELL_WIDTH: Final = 9.0
CELL_HEIGHT: Final = 19.0
_BASELINE: Final = 14.5
_FONT_SIZE: Final = 14.9
_MARGIN: Final = 10.0
_DOT: Final = 3.1
_CRISP: Final = 'shape-rendering="crispEdges"'  # no seams between neighbouring cells
_FONTS: Final = "'DejaVu Sans Mono','Cascadia Mono',Menlo,Consolas,'Liberation Mono',monospace"

# Shares of the cell: left, top, right, bottom.
_BLOCKS: Final[dict[str, tuple[float, float, float, float]]] = {
    "█": (0, 0, 1, 1),
    "▀": (0, 0, 1, 0.5),
    "▄": (0, 0.5, 1, 1),
    **{character: (0, 0, (8 - n) / 8, 1) for n, character in enumerate("▉▊▋▌▍▎▏", start=1)},
}
# Which of left, right, up, down a frame's character reaches, and whether it is heavy.
_FRAMES: Final[dict[str, tuple[str, bool]]] = {
    "─": ("lr", False),
    "│": ("ud", False),
    "╭": ("rd", False),
    "╮": ("ld", False),
    "╰": ("ru", False),
    "╯": ("lu", False),
    "━": ("lr", True),
    "┃": ("ud", True),
    "┏": ("rd", True),
    "┓": ("ld", True),
    "┗": ("ru", True),
    "┛": ("lu", True),
}
_ARMS: Final = {"l": (0.0, 0.5), "r": (1.0, 0.5), "u": (0.5, 0.0), "d": (0.5, 1.0)}


def svg(lines: Sequence[Sequence[Segment]], columns: int, title: str) -> str:
    """Return a picture of the screen.

    Parameters
    ----------
    lines : sequence of sequence of rich.segment.Segment
        What the screen shows.
    columns : int
        Its width in cells.
    title : str
        For those who cannot see it.
    """
    width = columns * CELL_WIDTH + 2 * _MARGIN
    height = len(lines) * CELL_HEIGHT + 2 * _MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img">',
        f"<title>{escape(title)}</title>",
        f'<rect width="100%" height="100%" rx="8" fill="{BACKGROUND}"/>',
        f'<g transform="translate({_MARGIN:g},{_MARGIN:g})" font-family="{_FONTS}" font-size="{_FONT_SIZE:g}">',
    ]
    for number, line in enumerate(lines):
        parts.extend(_line(line, number * CELL_HEIGHT))
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _line(line: Sequence[Segment], top: float) -> Iterable[str]:
    x = 0.0
    foreground: list[str] = []
    for segment in line:
        style = segment.style or Style()
        ink = style.color.name if style.color else TEXT
        paper = style.bgcolor.name if style.bgcolor else BACKGROUND
        wide = len(segment.text) * CELL_WIDTH
        if paper != BACKGROUND:
            yield f'<rect x="{x:g}" y="{top:g}" width="{wide:g}" height="{CELL_HEIGHT:g}" fill="{paper}" {_CRISP}/>'
        foreground.extend(_text(segment.text, x, top, ink, bold=bool(style.bold)))
        x += wide
    yield from foreground


def _text(text: str, x: float, top: float, ink: str, *, bold: bool) -> Iterable[str]:
    path: list[str] = []
    dots: list[str] = []
    strokes: dict[bool, list[str]] = {False: [], True: []}
    typed = ""
    for n, character in enumerate(text):
        left = x + n * CELL_WIDTH
        drawn = True
        if 0x2800 < ord(character) <= 0x28FF:
            dots.extend(_braille(ord(character) - 0x2800, left, top))
        elif character in _BLOCKS:
            path.append(_block(_BLOCKS[character], left, top))
        elif character in _FRAMES:
            arms, heavy = _FRAMES[character]
            strokes[heavy].append(_frame(arms, left, top))
        else:
            drawn = False
        typed += " " if drawn else character
    if dots:
        yield f'<path d="{"".join(dots)}" stroke="{ink}" stroke-width="{_DOT:g}" stroke-linecap="round"/>'
    if path:
        yield f'<path d="{"".join(path)}" fill="{ink}" {_CRISP}/>'
    for heavy, found in strokes.items():
        if found:
            yield f'<path d="{"".join(found)}" stroke="{ink}" stroke-width="{2.4 if heavy else 1.1:g}" fill="none"/>'
    weight = ' font-weight="bold"' if bold else ""
    for start, word in _words(typed):
        yield (
            f'<text x="{x + start * CELL_WIDTH:g}" y="{top + _BASELINE:g}" fill="{ink}"{weight} '
            f'textLength="{len(word) * CELL_WIDTH:g}">{escape(word)}</text>'
        )


def _words(text: str) -> Iterable[tuple[int, str]]:
    """Return the stretches without blanks, each with where it begins."""
    start = 0
    for word in text.split(" "):
        if word:
            yield start, word
        start += len(word) + 1


def _braille(bits: int, left: float, top: float) -> Iterable[str]:
    for bit in range(8):
        if bits >> bit & 1:
            column, row = (bit // 3, bit % 3) if bit < 6 else (bit - 6, 3)
            x = left + CELL_WIDTH * (0.25 + 0.5 * column)
            y = top + CELL_HEIGHT * (0.125 + 0.25 * row)
            # A stroke without length and with round ends is a dot.
            yield f"M{round(x, 1):g} {round(y, 1):g}h0"


def _block(shares: tuple[float, float, float, float], left: float, top: float) -> str:
    x, y, right, bottom = shares
    return (
        f"M{left + x * CELL_WIDTH:g} {top + y * CELL_HEIGHT:g}"
        f"h{(right - x) * CELL_WIDTH:g}v{(bottom - y) * CELL_HEIGHT:g}h{-(right - x) * CELL_WIDTH:g}z"
    )


def _frame(arms: str, left: float, top: float) -> str:
    (x1, y1), (x2, y2) = _ARMS[arms[0]], _ARMS[arms[1]]
    begin = f"M{left + x1 * CELL_WIDTH:g} {top + y1 * CELL_HEIGHT:g}"
    middle = f"{left + CELL_WIDTH / 2:g} {top + CELL_HEIGHT / 2:g}"
    return f"{begin}Q{middle} {left + x2 * CELL_WIDTH:g} {top + y2 * CELL_HEIGHT:g}"
