"""What the watch remembers of one athlete, beside the rows of the stages."""

from collections import deque
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import msgspec
import numpy as np

from monitor.alarm_inputs import Whose
from monitor.assembly import Piece, StrapAssembly
from monitor.contract import LABELS, RowState
from monitor.evidence_log import EvidenceLog
from monitor.line import Line
from monitor.link_health import LinkHealth
from monitor.live_state import ExerciseState
from monitor.past_alarms import PastAlarms
from monitor.rows import number_in
from monitor.schedule import Schedule

VERSION: Final = 8
RECENT_LABELS: Final = 60
_PLAIN: Final = (
    "boot",
    "strap",
    "online",
    "ended",
    "source",
    "last_packet_at",
    "expected_since",
    "told_off_at",
    "silent_since",
    "refused",
    "dropped",
    "exercise_at",
)


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
    boot, strap : int, str
        The boot that runs in the row, and whose it is.
    pieces : deque of Piece
        What comes next, in order.
    schedule : Schedule
        When the last pieces were due.
    last_packet_at, expected_since : float
        When a packet last arrived, and when a strap that had been switched off last said that it is on
        again, Unix seconds.
    exercise, exercise_at : ExerciseState or None, float
        What exercise does, and when that was last looked at, Unix seconds.
    refused, dropped : int
        Packets that could not be used, and packets that we had no time for.
    told_off_at : float
        When the strap or its last will last said that it is off, Unix seconds.
    mind_at : float
        When there is next something to decide about the strap's silence, Unix seconds.
    link : LinkHealth
        The strap's battery, and how much of its signal is lost.
    past : PastAlarms
        What was raised before.
    log : EvidenceLog
        From what an alarm could be raised again; it does not leave with the row.
    """

    team: str
    name: str
    assembly: StrapAssembly
    line: Line | None = None
    row: int = -1
    boot: int = -1
    strap: str = ""
    pieces: deque[Piece] = field(default_factory=deque)
    schedule: Schedule = field(default_factory=Schedule)
    online: bool = True
    ended: bool = False
    source: str = ""
    last_packet_at: float = 0.0
    expected_since: float = 0.0
    told_off_at: float = 0.0
    silent_since: int | None = None
    refused: int = 0
    dropped: int = 0
    recent: deque[str] = field(default_factory=lambda: deque(maxlen=RECENT_LABELS))
    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(LABELS, 0))
    exercise: ExerciseState | None = None
    exercise_at: float = 0.0
    told_at: float = 0.0
    exported_at: float = 0.0
    reviewed_at: float = 0.0
    mind_at: float = 0.0
    changed: bool = True
    link: LinkHealth = field(default_factory=LinkHealth)
    past: PastAlarms = field(default_factory=PastAlarms)
    log: EvidenceLog = field(default_factory=EvidenceLog)

    @property
    def end_sample(self) -> int:
        """First sample that is not known yet."""
        return self.line.history.end.item(self.row) if self.line is not None else 0

    @property
    def rate_hz(self) -> float:
        """Sampling rate; NaN before the first sample."""
        return self.line.rate_hz if self.line is not None else float("nan")

    @property
    def lost(self) -> int:
        """Packets that the radio lost: what never came, without what we dropped ourselves."""
        return max(self.assembly.counters.lost - self.dropped, 0)

    def next_stretch(self, most: int) -> list[Piece]:
        """Take the pieces that follow one another, up to `most` samples."""
        first = self.pieces[0] if len(self.pieces) == 1 else None
        if first is not None and not (first.lead_off or first.begins) and len(first.millivolts) <= most:
            # What live packets mostly are.
            self.pieces.clear()
            self.schedule.add(first)
            return [first]
        taken: list[Piece] = []
        room = most
        while self.pieces and room > 0:
            piece = self.pieces[0]
            if piece.lead_off or piece.begins:
                break
            if taken and piece.first_sample != taken[-1].end_sample:
                break
            if len(piece.millivolts) > room:
                cut = piece.first_sample + room
                self.pieces[0] = replace(piece, first_sample=cut, millivolts=piece.millivolts[room:])
                piece = replace(piece, end_sample=cut, millivolts=piece.millivolts[:room])
            else:
                self.pieces.popleft()
            taken.append(piece)
            self.schedule.add(piece)
            room -= len(piece.millivolts)
        return taken

    def backlogged(self, *, most_pieces: int, most_s: float) -> bool:
        """Whether more waits than the watch will ever need to catch up on."""
        if len(self.pieces) < 2:
            return False
        if len(self.pieces) >= most_pieces:
            return True
        return sum((piece.end_sample - piece.first_sample) / piece.rate_hz for piece in self.pieces) > most_s

    def whose(self) -> Whose:
        """Return whose events these are."""
        _, known_at, known_sample = self.schedule.last
        return Whose(
            team=self.team,
            athlete=self.name,
            boot=self.boot,
            rate_hz=self.rate_hz,
            known_at=known_at,
            known_sample=known_sample,
            strap=self.strap,
        )

    def export_row(self) -> RowState:
        """Return what is remembered beside the stages' rows, as plain arrays.

        Raises
        ------
        ValueError
            If the athlete has no row.
        """
        if self.line is None:
            raise ValueError(f"athlete {self.name!r} of team {self.team!r} has no row to export")
        described: dict[str, Any] = {name: getattr(self, name) for name in _PLAIN}
        described["pieces"] = [
            {**asdict(piece), "millivolts": piece.millivolts.tobytes()} for piece in self.pieces
        ]
        described["schedule"] = self.schedule.described()
        described["recent"] = list(self.recent)
        described["exercise"] = self.exercise
        described["link"] = self.link
        described["counts"] = self.counts
        described["past"] = self.past.described()
        return {
            "version": np.array(VERSION),
            "rate_hz": np.array(self.line.rate_hz),
            "athlete": np.frombuffer(msgspec.msgpack.encode(described), np.uint8).copy(),
        }

    def import_row(self, state: RowState) -> None:
        """Take over what `export_row` gave; `line` and `row` stay as they are.

        Raises
        ------
        ValueError
            If it has another version or is damaged.
        """
        if number_in(state, "version") != VERSION:
            raise ValueError(f"athlete state has another version than {VERSION}")
        try:
            described = msgspec.msgpack.decode(state["athlete"].tobytes())
            self.pieces = deque(
                Piece(**{**piece, "millivolts": np.frombuffer(piece["millivolts"], np.float32)})
                for piece in described["pieces"]
            )
            self.schedule.take_over(described["schedule"])
            self.recent.extend(described["recent"])
            self.counts.update(described["counts"])
            self.past.take_over(described["past"])
            self.exercise = msgspec.convert(described["exercise"], ExerciseState | None)
            self.link = msgspec.convert(described["link"], LinkHealth)
            for name in _PLAIN:
                setattr(self, name, described[name])
        except (KeyError, TypeError, ValueError, msgspec.DecodeError) as error:
            raise ValueError(f"athlete state is damaged: {error}") from error
