"""Numerals three lines tall, for a heart rate that is read from across the room."""

from functools import lru_cache
from typing import Final

HEIGHT: Final = 3
"""Lines a numeral takes."""
DIGIT_WIDTH: Final = 3
"""Cells a numeral takes."""

# Three pixels wide, six high; two pixels share a cell.
_PIXELS: Final = {
    "0": ("###", "# #", "# #", "# #", "###", "   "),
    "1": (" # ", "## ", " # ", " # ", "###", "   "),
    "2": ("###", "  #", "###", "#  ", "###", "   "),
    "3": ("###", "  #", "###", "  #", "###", "   "),
    "4": ("# #", "# #", "###", "  #", "  #", "   "),
    "5": ("###", "#  ", "###", "  #", "###", "   "),
    "6": ("###", "#  ", "###", "# #", "###", "   "),
    "7": ("###", "  #", "  #", "  #", "  #", "   "),
    "8": ("###", "# #", "###", "# #", "###", "   "),
    "9": ("###", "# #", "###", "  #", "###", "   "),
    "-": ("   ", "   ", "###", "   ", "   ", "   "),
    " ": ("   ", "   ", "   ", "   ", "   ", "   "),
}
_HALVES: Final = {("#", "#"): "█", ("#", " "): "▀", (" ", "#"): "▄", (" ", " "): " "}


@lru_cache(maxsize=1024)
def tall(text: str) -> tuple[str, ...]:
    """Return `text` (digits, ``-`` and blanks) as three lines, one blank column between two numerals."""
    glyphs = [_PIXELS[character] for character in text]
    return tuple(
        " ".join("".join(_HALVES[pair] for pair in zip(g[row], g[row + 1], strict=True)) for g in glyphs)
        for row in range(0, 2 * HEIGHT, 2)
    )


def tall_rate(rate_bpm: float | None) -> tuple[str, ...]:
    """Return a heart rate as three lines of eleven cells, right-aligned; dashes where there is none."""
    return tall(f"{round(min(rate_bpm, 999.0)):3d}" if rate_bpm is not None else " --")
