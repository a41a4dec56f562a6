"""When one strap's packets were due: what latency and the time of a sample are told from."""

from array import array
from collections.abc import Iterable
from typing import Final

from monitor.assembly import Piece

_MOST: Final = 4096
_MOST_S: Final = 3.0
_LEAST: Final = 64
"""Packets that are remembered however old: a beat that a long gap cut short is told with what comes after it."""
_TRIMMED: Final = 16
"""Packets that are forgotten together: moving what stays costs as much for one."""

Due = tuple[int, float, int]
"""First sample after a packet's signal, Unix seconds at which the packet was due, first sample after the packet."""


class Schedule:
    """The last packets of one strap, as bare numbers: a thousand straps have tens of thousands of them."""

    __slots__ = ("_at", "_due_samples", "_ends")

    def __init__(self) -> None:
        self._ends: array[int] = array("q")
        self._at: array[float] = array("d")
        self._due_samples: array[int] = array("q")

    def __len__(self) -> int:
        return len(self._ends)

    @property
    def last(self) -> Due:
        """The newest packet; zeros where there is none."""
        return (self._ends[-1], self._at[-1], self._due_samples[-1]) if self._ends else (0, 0.0, 0)

    def add(self, piece: Piece) -> None:
        """Remember when a piece was due; forget what no beat can ask for any more."""
        ends = self._ends
        ends.append(piece.end_sample)
        self._at.append(piece.due_at)
        self._due_samples.append(piece.due_sample)
        if len(ends) >= _LEAST + _TRIMMED:
            # No beat is known later than within a block after what it needed.
            past = piece.end_sample - _MOST_S * piece.rate_hz
            if ends[_TRIMMED - 1] < past or len(ends) > _MOST:
                self._keep_from(_TRIMMED)

    def due_at(self, sample: int) -> float:
        """Return when the packet with `sample` was due by the strap's schedule, Unix seconds."""
        due = 0.0
        for number in range(len(self._ends) - 1, -1, -1):
            if self._ends[number] <= sample:
                break
            due = self._at[number]
        return due

    def clear(self) -> None:
        """Forget all."""
        self._keep_from(len(self._ends))

    def described(self) -> list[Due]:
        """Return all, the oldest first."""
        return list(zip(self._ends, self._at, self._due_samples, strict=True))

    def take_over(self, described: Iterable[Due]) -> None:
        """Take the place of what there is.

        Raises
        ------
        ValueError
            If it is not what `described` gives.
        """
        found = [(int(end), float(at), int(due)) for end, at, due in described][-_MOST:]
        try:
            ends = array("q", [end for end, _, _ in found])
            due_samples = array("q", [due for _, _, due in found])
        except OverflowError as error:
            raise ValueError(f"a sample of the schedule is no 64-bit number: {error}") from error
        self._ends, self._due_samples = ends, due_samples
        self._at = array("d", [at for _, at, _ in found])

    def _keep_from(self, number: int) -> None:
        del self._ends[:number]
        del self._at[:number]
        del self._due_samples[:number]
