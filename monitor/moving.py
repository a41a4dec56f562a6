"""Moving on: what athletes have waiting becomes blocks, beats, events and alarms.

Rows of equal length run as one block, and all new beats of a round are named with one call of the classifier.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from monitor.alarms import AlarmMachine
from monitor.assembly import Piece
from monitor.athlete import Athlete
from monitor.banks import Banks, Key
from monitor.contract import Beats, Block, FloatArray, IntArray, RhythmEvent
from monitor.evidence import with_evidence
from monitor.line import MAX_BLOCK_S, Line, LineOutput
from monitor.messages import beat_entry, wave_message
from monitor.naming import BeatNaming
from monitor.overload import CLASSIFYING
from monitor.review_queue import review_queue
from monitor.sinks.batch import SinkBatch


@dataclass(slots=True)
class WatchCounters:
    """Totals since the watch began."""

    packets: int = 0
    samples: int = 0
    beats: int = 0
    alarms: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a packet that was refused; whoever reads ``refused`` in another thread keeps a whole mapping."""
        self.refused = {**self.refused, reason: self.refused.get(reason, 0) + 1}


@dataclass(frozen=True, slots=True)
class _Moved:
    """A group of rows that moved on together.

    Rows that went over a gap have `before`: by row, index and samples of what the trace held until then. Their rhythm
    has been read already.
    """

    line: Line
    athletes: list[Athlete]
    rows: IntArray
    output: LineOutput
    first_sample: IntArray
    before: Mapping[int, tuple[int, FloatArray]] | None = None


class Mover:
    """Moves athletes on.

    Parameters
    ----------
    banks : Banks
        Their rows.
    machine : AlarmMachine
        The life of their alarms.
    naming : BeatNaming
        Names their beats.
    take_status : callable
        Given an athlete and a strap, lets the athlete have what that strap has said of itself.

    Attributes
    ----------
    relief : int
        What is left out, see `monitor.overload.STEPS`.
    unasked : int
        Beats so far that the classifier was not asked about.
    """

    def __init__(
        self,
        banks: Banks,
        machine: AlarmMachine,
        naming: BeatNaming,
        *,
        take_status: Callable[[Athlete, str], None],
    ) -> None:
        self._banks = banks
        self._machine = machine
        self._naming = naming
        self._take_status = take_status
        self.counters = WatchCounters()
        self.relief = self.unasked = 0

    def move(self, waiting: list[Athlete], now: float, watched: frozenset[Key], output: SinkBatch) -> None:
        """Move each waiting athlete on by one stretch."""
        moved: list[_Moved] = []
        gaps: dict[float, list[tuple[Athlete, int]]] = {}
        groups: dict[tuple[float, int], list[tuple[Athlete, int, list[Piece]]]] = {}
        for athlete in waiting:
            piece = athlete.pieces[0]
            if athlete.line is None or piece.begins:
                self._change_boot(athlete, piece, now, output)
            line = athlete.line
            if line is None:
                continue
            if piece.lead_off:
                moved.append(self._skip(athlete, line, piece, now, output))
            elif piece.first_sample > athlete.end_sample:
                gaps.setdefault(line.rate_hz, []).append((athlete, piece.first_sample))
            if not piece.lead_off:
                pieces = athlete.next_stretch(int(MAX_BLOCK_S * line.rate_hz))
                length = sum(len(part.millivolts) for part in pieces)
                groups.setdefault((line.rate_hz, length), []).append((athlete, piece.first_sample, pieces))
        moved += [self._skip_all(self._banks[rate_hz], over, now, output) for rate_hz, over in gaps.items()]
        for (rate_hz, length), members in groups.items():
            line = self._banks[rate_hz]
            athletes = [athlete for athlete, _, _ in members]
            rows = np.array([athlete.row for athlete in athletes])
            first = np.array([first_sample for _, first_sample, _ in members])
            joined = np.concatenate([piece.millivolts for _, _, pieces in members for piece in pieces])
            samples = joined.reshape(len(members), length)
            block = Block(rows, first, samples, np.ones(samples.shape, np.bool_))
            moved.append(_Moved(line, athletes, rows, line.sense(block), first))
            self.counters.samples += length * len(members)
        self._name_beats(moved, now, watched, output)

    def _skip_all(self, line: Line, over: list[tuple[Athlete, int]], now: float, output: SinkBatch) -> _Moved:
        """Move athletes over their gaps: when much is lost, all of them have one at once."""
        before = {athlete.row: self._before_gap(athlete, line, now, output) for athlete, _ in over}
        athletes = [athlete for athlete, _ in over]
        rows = np.array([athlete.row for athlete in athletes])
        first = np.array([first_sample for _, first_sample in over])
        return _Moved(line, athletes, rows, line.restart(rows, first), first, before)

    def _skip(
        self, athlete: Athlete, line: Line, piece: Piece, now: float, output_batch: SinkBatch
    ) -> _Moved:
        """Move one athlete past a stretch in which nothing could be seen."""
        row, first = np.array([athlete.row]), np.array([piece.first_sample])
        before = self._before_gap(athlete, line, now, output_batch)
        output = line.restart(row, first) if piece.first_sample > athlete.end_sample else None
        if piece.lead_off:
            end_sample = piece.first_sample
            while athlete.pieces and _goes_on_off(athlete.pieces[0], end_sample):
                end_sample = athlete.pieces[0].end_sample
                athlete.schedule.add(athlete.pieces.popleft())
            off = line.restart(row, np.array([end_sample]), lead_off=True)
            if output is not None:
                off = LineOutput(output.peaks, output.beats, output.events + off.events, off.filtered)
            output = off
        assert output is not None  # noqa: S101 - the caller saw a gap or a lead that is off
        return _Moved(line, [athlete], row, output, first, {athlete.row: before})

    def _before_gap(
        self, athlete: Athlete, line: Line, now: float, output: SinkBatch
    ) -> tuple[int, FloatArray]:
        """Tell what has to be told before the signal breaks off, and return what is known of it."""
        end = athlete.end_sample
        for alarm in self._machine.advance(athlete.whose(), end, now, signal_ends=True):
            output.alarms.append(with_evidence(athlete, alarm))
        return line.trace.stretch(athlete.row, 0, end)

    def _name_beats(
        self, moved: list[_Moved], now: float, watched: frozenset[Key], output: SinkBatch
    ) -> None:
        """Classify all new beats in one call, then read rhythms and tell what there is to tell."""
        beats = self._named(moved, now)
        begin = 0
        for group in moved:
            named = beats.take(slice(begin, begin + len(group.output.beats)))
            begin += len(named)
            events = group.output.events
            if group.before is None:
                named = group.line.place(named)
                ends = group.line.history.end[group.rows]
                events = events + group.line.conclude(group.rows, ends, group.output.peaks, named)
                # Stable, so that signal comes before rhythm where both are known at once.
                events.sort(key=lambda event: event.known_sample)
            self._tell_beats(group, named, output)
            for event in events:
                owner = self._banks.owner(group.line.rate_hz, event.row)
                before = None if group.before is None else group.before[event.row]
                self.tell_event(owner, event, now, output, before=before)
            for position, athlete in enumerate(group.athletes):
                if self._machine.concerns(athlete.team, athlete.name):
                    for alarm in self._machine.advance(athlete.whose(), athlete.end_sample, now):
                        output.alarms.append(with_evidence(athlete, alarm))
                if watched and (athlete.team, athlete.name) in watched and group.output.filtered.shape[1]:
                    wave = wave_message(
                        athlete,
                        first_sample=int(group.first_sample[position]),
                        filtered=group.output.filtered[position],
                        peaks=group.output.peaks,
                        beats=named,
                    )
                    output.waves.append((athlete.team, athlete.name, wave))

    def _named(self, moved: list[_Moved], now: float) -> Beats:
        """Return the beats of all groups with their classes."""
        if self.relief < CLASSIFYING:
            return self._naming.name(Beats.join([group.output.beats for group in moved]), now)
        spared = [group.line.usual.spared(group.output.beats) for group in moved]
        asked = [group.output.beats.take(~left) for group, left in zip(moved, spared, strict=True)]
        answered = self._naming.name(Beats.join(asked), now)
        begin, told = 0, []
        for group, left in zip(moved, spared, strict=True):
            beats = group.output.beats
            own = answered.take(slice(begin, begin + len(beats) - int(left.sum())))
            begin += len(own)
            group.line.usual.answered(own)
            probabilities, label = beats.probabilities.copy(), beats.label.copy()
            probabilities[~left], label[~left] = own.probabilities, own.label
            told.append(group.line.usual.take_over(beats.classified(probabilities, label), left))
            self.unasked += int(left.sum())
        return Beats.join(told)

    def _tell_beats(self, group: _Moved, beats: Beats, output: SinkBatch) -> None:
        for index, row in enumerate(beats.rows.tolist()):
            athlete = self._banks.owner(group.line.rate_hz, row)
            entry = beat_entry(athlete, beats, index)
            athlete.recent.append(entry.label)
            athlete.counts[entry.label] += 1
            output.beats.append((athlete.team, athlete.name, entry))

    def tell_event(
        self,
        athlete: Athlete,
        event: RhythmEvent,
        now: float,
        output: SinkBatch,
        *,
        before: tuple[int, FloatArray] | None = None,
        for_good: bool = False,
    ) -> None:
        """Let the alarm machine take an event, and tell what comes of it."""
        for alarm in self._machine.event(athlete.whose(), event, now, for_good=for_good):
            output.alarms.append(with_evidence(athlete, alarm, before))
            athlete.changed = True

    def mind_link(self, athlete: Athlete, now: float, output: SinkBatch) -> None:
        """Tell what battery and link of an athlete's strap say by now."""
        lost = athlete.assembly.counters.lost_samples
        for event in athlete.link.look(athlete.row, athlete.end_sample, lost, athlete.rate_hz):
            self.tell_event(athlete, event, now, output)

    def _change_boot(self, athlete: Athlete, piece: Piece, now: float, output: SinkBatch) -> None:
        """Begin a row for a strap that is new, or has started again."""
        if athlete.line is not None:
            before = self._before_gap(athlete, athlete.line, now, output)
            ended = athlete.line.finish(np.array([athlete.row]))
            row, end = np.array([athlete.row]), np.array([athlete.end_sample])
            moved = _Moved(athlete.line, [athlete], row, ended, end, {athlete.row: before})
            self._name_beats([moved], now, frozenset(), output)
            output.alarms.extend(self._machine.end_boot(athlete.team, athlete.name, athlete.boot, now))
            tell_review(athlete, now, output)
        athlete.pieces[0] = replace(piece, begins=False)
        if not self._banks.claim(athlete, piece.rate_hz, piece.boot, piece.first_sample):
            # The strap changed its rate to one more than there can be: its samples cannot be watched.
            athlete.pieces.clear()
            self.counters.refuse("range")
        if athlete.strap not in ("", piece.strap):
            athlete.source, athlete.link.battery = "", None
            self._take_status(athlete, piece.strap)
        athlete.strap = piece.strap


def tell_review(athlete: Athlete, now: float, output: SinkBatch) -> None:
    """Tell an athlete's review queue, if there is something in it."""
    athlete.reviewed_at = now
    found = review_queue(athlete, now)
    if found is not None:
        output.reviews.append(found)


def _goes_on_off(piece: Piece, end_sample: int) -> bool:
    return piece.lead_off and not piece.begins and piece.first_sample == end_sample
