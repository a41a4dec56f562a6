"""What the watch remembers of one athlete, beside the rows of the stages."""

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from monitor.alarms import Whose
from monitor.assembly import Piece, StrapAssembly
from monitor.contract import LABELS
from monitor.line import Line

RECENT_LABELS: Final = 60
_SCHEDULE_KEPT: Final = 4096


@dataclass(slots=True)
class Athlete:
    """One athlete under watch.

    Attributes
    ----------
    team, name : str
        Pseudonyms.
    assembly : StrapAssembly
        Puts the strap's packets in order.
    line, row : Line or None, int
        The bank and the row the strap's samples run in; None before the first.
    boot : int
        The boot that runs in the row.
    pieces : deque of Piece
        What comes next, in order.
    schedule : deque of (int, float)
        First sample after each of the last packets, and when that packet was due.
    """

    team: str
    name: str
    assembly: StrapAssembly
    line: Line | None = None
    row: int = -1
    boot: int = -1
    pieces: deque[Piece] = field(default_factory=deque)
    schedule: deque[tuple[int, float]] = field(default_factory=lambda: deque(maxlen=_SCHEDULE_KEPT))
    online: bool = True
    ended: bool = False
    source: str = ""
    last_packet_at: float = 0.0
    silent_since: int | None = None
    refused: int = 0
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_LABELS))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))
    told_at: float = 0.0
    changed: bool = True

    @property
    def end_sample(self) -> int:
        """First sample that is not known yet."""
        return int(self.line.history.end[self.row]) if self.line is not None else 0

    def scheduled(self, piece: Piece) -> None:
        """Remember when a piece was due."""
        self.schedule.append((piece.end_sample, piece.due_at))

    def due_at(self, sample: int) -> float:
        """Return when the packet with `sample` was due by the strap's schedule, Unix seconds."""
        due = 0.0
        for end_sample, at in reversed(self.schedule):
            if end_sample <= sample:
                break
            due = at
        return due

    def whose(self) -> Whose:
        """Return whose events these are."""
        known_sample, known_at = self.schedule[-1] if self.schedule else (0, 0.0)
        return Whose(
            team=self.team,
            athlete=self.name,
            boot=self.boot,
            rate_hz=self.line.rate_hz if self.line is not None else float("nan"),
            known_at=known_at,
            known_sample=known_sample,
        )
