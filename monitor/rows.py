"""A bank's state: arrays whose first axis is the strap, so that one call serves them all and one row can leave."""

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from monitor.contract import IntArray, RowState

_VERSION_KEY = "version"


def number_in(state: RowState, name: str) -> float | None:
    """Return the one number that a state holds under `name`; None where there is none."""
    value = state.get(name)
    if value is None or value.shape != () or value.dtype.kind not in "iuf":
        return None
    return float(value)


class Rows:
    """Arrays of shape ``[capacity, …]``, one row a strap.

    Every stage keeps all its memory in one of these, which gives each of them the same way to grow, to begin a row
    anew, and to export and import one.

    Parameters
    ----------
    version : int
        Version of the layout; a row is imported only into the same version.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, *, version: int, capacity: int) -> None:
        self.version = version
        self.capacity = capacity
        self._arrays: dict[str, NDArray[Any]] = {}
        self._fills: dict[str, NDArray[Any]] = {}

    def add(
        self, name: str, dtype: DTypeLike, shape: tuple[int, ...] = (), fill: float | NDArray[Any] = 0
    ) -> None:
        """Declare an array of `shape` per row that begins as `fill`."""
        template = np.empty(shape, dtype)
        template[...] = fill
        self._fills[name] = template
        self._arrays[name] = np.repeat(template[np.newaxis], self.capacity, axis=0)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """Return the array `name`, shape ``[capacity, …]``; it is replaced when the bank grows."""
        return self._arrays[name]

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows; existing rows keep their state."""
        if capacity <= self.capacity:
            return
        for name, old in self._arrays.items():
            new = np.repeat(self._fills[name][np.newaxis], capacity, axis=0)
            new[: self.capacity] = old
            self._arrays[name] = new
        self.capacity = capacity

    def reset(self, rows: IntArray | int, names: tuple[str, ...] | None = None) -> None:
        """Let `rows` begin anew, in all arrays or those in `names`."""
        for name in names or tuple(self._arrays):
            self._arrays[name][rows] = self._fills[name]

    def export_row(self, row: int) -> dict[str, NDArray[Any]]:
        """Return a copy of one row's state as plain arrays, with the layout's version."""
        state = {name: np.copy(array[row]) for name, array in self._arrays.items()}
        state[_VERSION_KEY] = np.array(self.version)
        return state

    def import_row(self, row: int, state: RowState) -> None:
        """Take over a state that `export_row` gave; the row goes on bit for bit.

        Raises
        ------
        ValueError
            If version, names or shapes are not this layout's; nothing is changed then.
        """
        found = number_in(state, _VERSION_KEY)
        if found != self.version:
            raise ValueError(f"row state has version {found}, this stage has {self.version}")
        if set(state) - {_VERSION_KEY} != set(self._arrays):
            raise ValueError(f"row state holds {sorted(state)}, this stage needs {sorted(self._arrays)}")
        for name, fill in self._fills.items():
            if state[name].shape != fill.shape or state[name].dtype != fill.dtype:
                raise ValueError(
                    f"row state {name!r} is {state[name].dtype}{state[name].shape}, "
                    f"this stage needs {fill.dtype}{fill.shape}"
                )
        for name, array in self._arrays.items():
            array[row] = state[name]


class RowStage:
    """A stage that keeps all its memory in one `Rows`: rows can be added, leave, and go on elsewhere bit for bit."""

    _state: Rows

    def grow(self, capacity: int) -> None:
        """Make room for `capacity` rows."""
        self._state.grow(capacity)

    def export_row(self, row: int) -> RowState:
        """Return a copy of one row's state as plain arrays."""
        return self._state.export_row(row)

    def import_row(self, row: int, state: RowState) -> None:
        """Take over a state that `export_row` gave.

        Raises
        ------
        ValueError
            If it is not of this stage and version; nothing is changed then.
        """
        self._state.import_row(row, state)
