"""State of a bank: it grows, begins anew, leaves and arrives row by row."""

import io
from typing import Any

import numpy as np
import pytest

from monitor.rows import Rows


def _rows(*, capacity: int = 2, version: int = 3) -> Rows:
    rows = Rows(version=version, capacity=capacity)
    rows.add("level", np.float64, (2, 3), np.inf)
    rows.add("count", np.int64, fill=-1)
    rows.add("pattern", np.int64, (4,), np.array([4, 3, 2, 1]))
    return rows


def _fill(rows: Rows, row: int, value: int) -> None:
    for name in ("level", "count", "pattern"):
        rows[name][row] = value


def test_rows_begin_as_declared() -> None:
    """Every row begins as its fill, scalars and patterns alike."""
    rows = _rows()
    assert np.isinf(rows["level"]).all()
    assert (rows["count"] == -1).all()
    assert rows["pattern"].tolist() == [[4, 3, 2, 1]] * 2


def test_growth_keeps_rows_and_begins_new_ones() -> None:
    """Growing keeps what rows hold, gives new rows their fill, and never shrinks."""
    rows = _rows()
    _fill(rows, 1, 7)
    rows.grow(5)
    assert rows.capacity == 5
    assert (rows["level"][1] == 7).all()
    assert rows["count"].tolist() == [-1, 7, -1, -1, -1]
    assert rows["pattern"][4].tolist() == [4, 3, 2, 1]
    rows.grow(3)
    assert rows.capacity == 5


def test_reset_touches_its_rows_and_names_only() -> None:
    """Reset lets the named rows and arrays begin anew, and no others."""
    rows = _rows(capacity=3)
    for row in range(3):
        _fill(rows, row, 7)
    rows.reset(np.array([1]), ("count",))
    assert rows["count"].tolist() == [7, -1, 7]
    assert (rows["level"] == 7).all()
    rows.reset(np.array([0, 2]))
    assert rows["pattern"].tolist() == [[4, 3, 2, 1], [7] * 4, [4, 3, 2, 1]]


def test_a_row_survives_export_npz_and_import() -> None:
    """A row exported, saved with numpy and imported elsewhere is the same row, and shares no memory."""
    rows = _rows()
    _fill(rows, 1, 9)
    state = rows.export_row(1)
    _fill(rows, 1, 0)
    file = io.BytesIO()
    np.savez(file, **state)  # type: ignore[arg-type]  # numpy's stub takes the keyword allow_pickle for the arrays
    file.seek(0)
    with np.load(file, allow_pickle=False) as archive:
        loaded: dict[str, Any] = dict(archive)
    other = _rows(capacity=7)
    other.import_row(5, loaded)
    assert (other["level"][5] == 9).all()
    assert other["count"].tolist() == [-1] * 5 + [9, -1]


@pytest.mark.parametrize(
    "damage",
    [
        lambda state: state.pop("version"),
        lambda state: state.update(version=np.array(2)),
        lambda state: state.pop("count"),
        lambda state: state.update(stranger=np.array(1)),
        lambda state: state.update(level=np.zeros((3, 2))),
        lambda state: state.update(pattern=np.zeros(4, np.int32)),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(damage: Any) -> None:
    """Wrong version, names, shapes or types are refused before anything is written."""
    rows = _rows()
    _fill(rows, 0, 5)
    state = _rows().export_row(0)
    damage(state)
    with pytest.raises(ValueError, match="row state"):
        rows.import_row(0, state)
    assert all((rows[name][0] == 5).all() for name in ("level", "count", "pattern"))
