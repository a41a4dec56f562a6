"""Where each athlete's tile stands: as large as the screen allows for as many as there are."""

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

LEAST_WIDTH: Final = 80
"""Cells across that a terminal must have for everything to be shown as it is meant."""
LEAST_HEIGHT: Final = 24
"""Lines that it must have."""
MIN_TILE_WIDTH: Final = 34
MIN_TILE_HEIGHT: Final = 4
MAX_TILE_HEIGHT: Final = 24
ROW_WIDTH: Final = 78
"""Narrowest row that shows an athlete on one line."""
GUTTER: Final = 1
_PREFERRED_ASPECT: Final = 9.0


class Placement(NamedTuple):
    """A tile: which athlete (index in the order given), and its cells on the page."""

    athlete: int
    x: int
    y: int
    width: int
    height: int


class Shape(NamedTuple):
    """Tiles of one size in columns; a height of 1 means one line an athlete, two for one who calls."""

    columns: int
    width: int
    height: int


def shape(athletes: int, width: int, height: int) -> Shape:
    """Return the tiles' shape for `athletes` on a page of `width` by `height` cells.

    All on one page in tiles if that leaves each at least `MIN_TILE_HEIGHT` lines, else one line each, else pages.
    """
    best: tuple[float, Shape] | None = None
    for columns in range(1, max(1, (width + GUTTER) // (MIN_TILE_WIDTH + GUTTER)) + 1):
        tile_width = (width - GUTTER * (columns - 1)) // columns
        rows = math.ceil(max(1, athletes) / columns)
        tile_height = min(height // rows, MAX_TILE_HEIGHT)
        if tile_height < MIN_TILE_HEIGHT:
            continue
        empty = (rows * columns - athletes) / (rows * columns)
        score = -abs(math.log(tile_width / tile_height / _PREFERRED_ASPECT)) - empty
        if best is None or score > best[0]:
            best = (score, Shape(columns, tile_width, tile_height))
    if best is not None:
        return best[1]
    if width >= ROW_WIDTH:
        columns = max(1, width // (ROW_WIDTH + GUTTER))
        return Shape(columns, (width - GUTTER * (columns - 1)) // columns, 1)
    return Shape(1, width, min(MIN_TILE_HEIGHT, max(1, height)))


def pages(calling: Sequence[bool], width: int, height: int) -> list[list[Placement]]:
    """Place all athletes, page by page.

    Parameters
    ----------
    calling : sequence of bool
        For each athlete in the order of display, whether it has an alarm that nobody has acknowledged.
    width, height : int
        Cells of a page.

    Returns
    -------
    list of list of Placement
        Every athlete exactly once; tiles of a page never overlap and never leave it.
    """
    if not calling or width <= 0 or height <= 0:
        return []
    columns, tile_width, tile_height = shape(len(calling), width, height)
    if tile_height == 1:
        return _rows(calling, columns, tile_width, height)
    per_page = columns * max(1, height // tile_height)
    return [
        [
            Placement(
                athlete=start + n,
                x=(n % columns) * (tile_width + GUTTER),
                y=(n // columns) * tile_height,
                width=tile_width,
                height=tile_height,
            )
            for n in range(min(per_page, len(calling) - start))
        ]
        for start in range(0, len(calling), per_page)
    ]


def _rows(calling: Sequence[bool], columns: int, width: int, height: int) -> list[list[Placement]]:
    filled: list[list[Placement]] = [[]]
    column = y = 0
    for index, calls in enumerate(calling):
        needed = min(2 if calls else 1, height)
        if y + needed > height:
            column, y = column + 1, 0
            if column == columns:
                filled.append([])
                column = 0
        filled[-1].append(Placement(index, column * (width + GUTTER), y, width, needed))
        y += needed
    return filled


def neighbour(page: Sequence[Placement], index: int, dx: int, dy: int) -> int | None:
    """Return the athlete next to `index` on its page in one direction; None at the edge."""
    here = next((p for p in page if p.athlete == index), None)
    if here is None:
        return None

    def distance(p: Placement) -> tuple[int, int]:
        along, across = (
            (abs(p.x - here.x), abs(p.y - here.y)) if dx else (abs(p.y - here.y), abs(p.x - here.x))
        )
        return along, across

    ahead = [p for p in page if (p.x - here.x) * dx > 0 or (p.y - here.y) * dy > 0]
    return min(ahead, key=distance).athlete if ahead else None
