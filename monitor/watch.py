"""The watch: every athlete of every team, from packets to beats, states and alarms. No I/O, no clock of its own.

Each tick takes what every strap has waiting, groups the rows of equal length, runs each group as one block, names
all new beats with one call of the classifier, reads the rhythms and moves the alarms on.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from monitor.alarm_inputs import Recorder
from monitor.alarms import AlarmMachine
from monitor.assembly import Piece, ReorderLimits, StrapAssembly
from monitor.athlete import Athlete
from monitor.catalogue import Kind, RuleChange
from monitor.classifier import BeatClassifier
from monitor.contract import (
    Alarm,
    Beats,
    Block,
    EpisodeTransition,
    FloatArray,
    IntArray,
    RhythmEvent,
    RowState,
)
from monitor.errors import PacketError
from monitor.evidence import with_evidence
from monitor.evidence_log import KeptEvidence, KeptStretch
from monitor.line import MAX_BLOCK_S, Line, LineConfig, LineOutput
from monitor.messages import athlete_state, beat_entry, wave_message
from monitor.naming import BeatNaming
from monitor.overload import CLASSIFYING, DENOISING, WAVEFORMS
from monitor.recordings import recording_of
from monitor.responses import Command
from monitor.review_queue import REVIEW_EVERY_S, review_queue
from monitor.rhythm import AthleteLimits
from monitor.rows import number_in
from monitor.sinks.batch import SinkBatch
from monitor.wire import MAX_RATE_HZ, MIN_RATE_HZ, StatusMessage, Topic, decode_samples, decode_status

MAX_ATHLETES: Final = 5000
MAX_RATES: Final = 16
"""Banks there can be: more sampling rates than this are no straps but somebody probing."""
MAX_ROUNDS: Final = 8
"""Stretches of at most a second by which a tick moves an athlete on: nobody's backlog stops the rest."""
MAX_BACKLOG_S: Final = 400.0
MAX_BACKLOG_PIECES: Final = 1024
SILENT_AFTER_S: Final = 5.0
FORGET_AFTER_S: Final = 600.0
IDLE_BANK_S: Final = 60.0
"""Once there are `MAX_RATES` banks, one that has had no strap for this long makes room for another rate."""
STATE_EVERY_S: Final = 1.0
SILENT_STATE_EVERY_S: Final = 3.0
SILENT_EXPORT_EVERY_S: Final = 60.0
"""A strap that is silent changes little: a thousand of them must not cost what a thousand that send do."""
ALARMS_EVERY_S: Final = 0.1
"""How often the alarms' own clock is moved on: all of them are looked at then."""
EXPORT_ROUNDS: Final = 100
"""Rounds over which a large team is exported, so that no tick pays for all."""

Key = tuple[str, str]


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


class Watch:
    """Watches athletes.

    Parameters
    ----------
    classifier : BeatClassifier or None
        Names the beats.
    config : LineConfig
        What decides, apart from the classifier.
    limits_of : callable
        Returns the limits of an athlete, given team and athlete.
    reorder : ReorderLimits
        How long packets wait for those before them.
    settings_hash : str
        Told with every alarm.
    rules : mapping of kind to RuleChange, optional
        What holds otherwise than the catalogue of alarms.
    corrections : mapping, optional
        A physician's corrections by team and athlete, see `monitor.beat_sequence.SequenceBank.correct`; None leaves
        an athlete's state that is taken over as it is.
    """

    def __init__(
        self,
        *,
        classifier: BeatClassifier | None,
        config: LineConfig | None = None,
        limits_of: Callable[[str, str], AthleteLimits] | None = None,
        reorder: ReorderLimits | None = None,
        settings_hash: str = "",
        rules: Mapping[Kind, RuleChange] | None = None,
        corrections: Mapping[Key, FloatArray] | None = None,
    ) -> None:
        self._corrections = None if corrections is None else dict(corrections)
        self._classifier = classifier
        self._config = config or LineConfig()
        self._limits_of = limits_of or (lambda _team, _athlete: self._config.limits)
        self._reorder = reorder or ReorderLimits()
        self._rules = dict(rules or {})
        records = classifier.training_records if classifier is not None else ()
        self._trained_on = frozenset(recording_of(record) for record in records)
        self._lines: dict[float, Line] = {}
        self._idle_since: dict[float, float] = {}
        self._owners: dict[tuple[float, int], Athlete] = {}
        self._athletes: dict[Key, Athlete] = {}
        self._statuses: dict[tuple[str, str, str], StatusMessage] = {}
        self._lost_by_the_forgotten = 0
        # Whose assembly holds packets back, and who has pieces to be looked at: all others cost a tick nothing.
        self._holding: dict[Key, Athlete] = {}
        self._ready: dict[Key, Athlete] = {}
        self._alarms_at = float("-inf")
        self._machine = AlarmMachine(
            model=classifier.name if classifier is not None else "",
            settings_hash=settings_hash,
            changes=rules,
        )
        self.counters = WatchCounters()
        self.naming = BeatNaming(classifier)
        self._unpacked: list[KeptStretch] = []
        self._relief = 0
        self._unasked = self._unseen_waves = 0

    @property
    def athletes(self) -> int:
        """How many athletes are watched."""
        return len(self._athletes)

    @property
    def behind(self) -> bool:
        """Whether the last tick left something for the next, which should come at once."""
        return bool(self._ready)

    def relieve(self, step: int) -> None:
        """Leave out from now on what `monitor.overload.STEPS` says; 0 leaves nothing out."""
        self._relief = step
        for line in self._lines.values():
            line.denoise_all = step < DENOISING

    @property
    def left_out(self) -> dict[str, int]:
        """What was left out under load since the watch began: waveforms, and beats not denoised or not classified."""
        return {
            "waveforms": self._unseen_waves,
            "denoising": sum(line.not_denoised for line in list(self._lines.values())),
            "classifying": self._unasked,
        }

    def dropped(self, drops: Mapping[Key, int]) -> None:
        """Take how many packets of each athlete we have dropped ourselves: those the radio did not lose."""
        for key, count in drops.items():
            athlete = self._athletes.get(key)
            if athlete is not None:
                athlete.dropped += count

    def lost_packets(self) -> int:
        """Return how many packets never came, over all athletes there have been; any thread may ask.

        Those that we dropped ourselves are not among them.
        """
        # Copied in one step: a generator would meet the athletes whom `receive` adds meanwhile.
        lost = sum(athlete.lost for athlete in list(self._athletes.values()))
        return self._lost_by_the_forgotten + lost

    def receive(self, topic: Topic, payload: bytes, now: float) -> None:
        """Take what arrived on a topic; what cannot be used is counted and dropped.

        Parameters
        ----------
        topic : Topic
            Where it arrived.
        payload : bytes
            Untrusted.
        now : float
            Unix time, in seconds, on a clock that only moves forward.
        """
        try:
            if topic.channel == "samples":
                self._samples(topic, payload, now)
            elif topic.channel == "status":
                self._status(topic, payload, now)
        except PacketError as error:
            self.counters.refuse(error.reason)
            athlete = self._athletes.get((topic.team, topic.athlete))
            if athlete is not None:
                athlete.refused += 1
                athlete.dropped += error.reason == "backlog"

    def acknowledge(self, alarm: Alarm, now: float) -> None:
        """Take an acknowledgement that somebody stored: the alarm is shown as seen from now on."""
        self._machine.acknowledge(alarm.team, alarm.athlete, alarm.identity, alarm.by, now)
        athlete = self._athletes.get((alarm.team, alarm.athlete))
        if athlete is not None:
            athlete.changed = True

    def record_alarms(self, recorder: Recorder) -> None:
        """Write down from now on what the alarm machine takes."""
        self._machine.record(recorder)

    def command(self, command: Command, now: float) -> None:
        """Take a command that somebody gave to all monitors."""
        self._machine.command(command, now)
        for key, athlete in self._athletes.items():
            athlete.changed |= key[0] == command.team and command.athlete in ("", key[1])

    def change_settings(
        self,
        limits_of: Callable[[str, str], AthleteLimits],
        rules: Mapping[Kind, RuleChange],
        settings_hash: str,
        now: float,
    ) -> None:
        """Let other limits and rules of alarms hold from now on.

        Parameters
        ----------
        limits_of : callable
            Returns the limits of an athlete, given team and athlete.
        rules : mapping of kind to RuleChange
            What holds otherwise than the catalogue.
        settings_hash : str
            Told with every alarm from now on.
        now : float
            Unix time in seconds.
        """
        self._limits_of = limits_of
        self._rules = dict(rules)
        self._machine.change_rules(rules, settings_hash, now)
        self.apply_limits()

    def apply_limits(self) -> None:
        """Give every athlete the limits that hold now; those who came with a state brought others."""
        for (team, name), athlete in self._athletes.items():
            if athlete.line is not None:
                athlete.line.rhythm.set_limits(np.array([athlete.row]), self._limits_of(team, name))
            athlete.log.forget()

    def teams(self) -> set[str]:
        """Return the teams of all who are watched."""
        return {team for team, _ in self._athletes}

    def tick(self, now: float, watched: Iterable[Key] = ()) -> SinkBatch:
        """Move everything on that has something waiting.

        Parameters
        ----------
        now : float
            Unix time, in seconds, on a clock that only moves forward.
        watched : iterable of (team, athlete)
            Whose waveforms somebody looks at.
        """
        output = SinkBatch()
        looked_at = frozenset(watched)
        if looked_at and self._relief >= WAVEFORMS:
            self._unseen_waves += len(looked_at)
            looked_at = frozenset()
        for key, athlete in list(self._holding.items()):
            pieces = athlete.assembly.tick(now)
            if pieces:
                self._add_pieces(athlete, pieces)
                self._log(athlete, now, None)
            self._sort(key, athlete)
        for _ in range(MAX_ROUNDS):
            if not self._ready:
                break
            self._round(list(self._ready.values()), now, looked_at, output)
            self._ready = {key: athlete for key, athlete in self._ready.items() if athlete.pieces}
        for athlete in [athlete for athlete in self._athletes.values() if athlete.mind_at <= now]:
            self._mind_silence(athlete, now, output)
        if now - self._alarms_at >= ALARMS_EVERY_S:
            self._alarms_at = now
            output.alarms.extend(self._machine.tick(now))
        if len(self._lines) >= MAX_RATES:
            self._drop_idle_banks(now)
        self._tell_states(now, output)
        self._tell_reviews(now, output)
        output.audit.extend(self._machine.notes())
        output.evidence.extend(found for alarm in output.alarms if (found := self._kept(alarm)) is not None)
        self._keep_states(now, output)
        self.counters.beats += len(output.beats)
        self.counters.alarms += sum(alarm.transition == "raised" for alarm in output.alarms)
        return output

    def _tell_states(self, now: float, output: SinkBatch) -> None:
        for athlete in self._athletes.values():
            every_s = STATE_EVERY_S if athlete.silent_since is None else SILENT_STATE_EVERY_S
            if athlete.line is not None and (athlete.changed or now - athlete.told_at >= every_s):
                athlete.changed = False
                athlete.told_at = now
                self._mind_link(athlete, now, output)
                output.states.append(
                    athlete_state(
                        athlete,
                        now,
                        trained_on=recording_of(athlete.source) in self._trained_on,
                        alarms=self._machine.active(athlete.team, athlete.name),
                        pause=self._machine.pause_of(athlete.team, athlete.name),
                    )
                )

    def _tell_reviews(self, now: float, output: SinkBatch) -> None:
        due = [athlete for athlete in self._athletes.values() if now - athlete.reviewed_at >= REVIEW_EVERY_S]
        # A team that came at once is spread over the ticks to follow.
        for athlete in due[: 1 + len(self._athletes) // EXPORT_ROUNDS]:
            self._tell_review(athlete, now, output)

    @staticmethod
    def _tell_review(athlete: Athlete, now: float, output: SinkBatch) -> None:
        athlete.reviewed_at = now
        found = review_queue(athlete, now)
        if found is not None:
            output.reviews.append(found)

    def _kept(self, alarm: Alarm) -> KeptEvidence | None:
        """Return that from which an alarm of the heart that was just raised can be raised again."""
        athlete = self._athletes.get((alarm.team, alarm.athlete))
        if athlete is None or alarm.technical or alarm.transition != "raised" or alarm.strip is None:
            return None
        before = athlete.log.before(alarm) if alarm.priority != "information" else None
        if before is None:
            return None
        return KeptEvidence(
            alarm=alarm,
            input_path=self._classifier.input_path if self._classifier is not None else "",
            mains_hz=self._config.mains_hz,
            limits=self._limits_of(alarm.team, alarm.athlete),
            rules=self._rules,
            before=before,
        )

    def _keep_states(self, now: float, output: SinkBatch) -> None:
        due = [
            key
            for key, athlete in self._athletes.items()
            if athlete.line is not None and athlete.log.due(now)
        ]
        # A team that came at once is spread over the ticks to follow.
        for key in due[: 1 + len(self._athletes) // EXPORT_ROUNDS]:
            self._keep(self._athletes[key], self.export_athlete(*key), now)
        output.kept, self._unpacked = self._unpacked, []

    def _log(self, athlete: Athlete, now: float, payload: bytes | None) -> None:
        grown = athlete.log.take(now, payload)
        if grown is not None:
            self._unpacked.append(grown)

    def _keep(self, athlete: Athlete, state: dict[str, RowState], now: float) -> None:
        kept = athlete.log.keep(state, boot=athlete.boot, end_sample=athlete.end_sample, now=now)
        self._unpacked.extend(kept)

    def lost_samples(self, team: str, name: str) -> tuple[int, float] | None:
        """Return how many samples of an athlete's strap never came, and their rate; None where there are none yet."""
        athlete = self._athletes.get((team, name))
        if athlete is None or athlete.line is None:
            return None
        return athlete.assembly.counters.lost_samples, athlete.rate_hz

    def expect_all(self, now: float) -> None:
        """Count silence from now on for everybody who was not silent before: it was we who did not listen."""
        for athlete in self._athletes.values():
            if athlete.silent_since is None:
                athlete.expected_since = now

    def export_due(self, now: float, every_s: float) -> dict[Key, dict[str, RowState]]:
        """Return the state of those whom this has not returned for `every_s` seconds, spread over that time.

        Those whose strap is silent come every `SILENT_EXPORT_EVERY_S`: no packet changes them.

        Parameters
        ----------
        now : float
            Unix time in seconds.
        every_s : float
            How often each athlete is to be exported.
        """
        silent_s = max(every_s, SILENT_EXPORT_EVERY_S)
        due = [
            key
            for key, athlete in self._athletes.items()
            if athlete.line is not None
            and now - athlete.exported_at >= (every_s if athlete.silent_since is None else silent_s)
        ]
        # A team that came at once is spread over the rounds to follow.
        due.sort(key=lambda key: self._athletes[key].exported_at)
        exported = {}
        for key in due[: 1 + len(self._athletes) // EXPORT_ROUNDS]:
            athlete = self._athletes[key]
            athlete.exported_at = now
            exported[key] = self.export_athlete(*key)
            if athlete.log.due(now + every_s / 2):
                # One export serves both; nobody writes into it.
                self._keep(athlete, exported[key], now)
        return exported

    def export_athlete(self, team: str, name: str) -> dict[str, RowState]:
        """Return all state of one athlete, stage by stage, as plain arrays.

        Raises
        ------
        KeyError
            If the athlete is not watched, or no sample has come yet.
        """
        athlete = self._athletes[team, name]
        if athlete.line is None:
            raise KeyError((team, name))
        return {
            "watch": athlete.export_row(),
            "assembly": athlete.assembly.export_row(),
            "alarms": self._machine.export_athlete(team, name),
            **athlete.line.export_row(athlete.row),
        }

    def import_athlete(self, team: str, name: str, state: dict[str, RowState], now: float) -> None:
        """Take over an athlete that `export_athlete` gave: beats and alarms go on as if nothing had happened.

        Raises
        ------
        ValueError
            If the athlete is watched here already, there is no room, or a stage is missing, damaged or has another
            version; nothing is changed then.
        """
        if (team, name) in self._athletes:
            raise ValueError(f"athlete {name!r} of team {team!r} is watched here already")
        if len(self._athletes) >= MAX_ATHLETES:
            raise ValueError(f"more than {MAX_ATHLETES} athletes")
        missing = {"watch", "assembly", "alarms"} - set(state)
        if missing:
            raise ValueError(f"state lacks {sorted(missing)}")
        stages = dict(state)
        own, assembly, alarms = (stages.pop(part) for part in ("watch", "assembly", "alarms"))
        athlete = Athlete(team, name, StrapAssembly(self._reorder), last_packet_at=now)
        athlete.assembly.import_row(assembly)
        rate_hz = number_in(own, "rate_hz")
        if rate_hz is None or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
            raise ValueError(f"athlete state is one of {rate_hz} Hz")
        self._claim(athlete, rate_hz, athlete.assembly.boot, 0)
        if athlete.line is None:
            raise ValueError(f"more than {MAX_RATES} different sampling rates")
        try:
            athlete.import_row(own)
            athlete.line.import_row(athlete.row, stages)
            # What is known here holds, not what held where the state comes from: a file taken back has no effect.
            self._correct(athlete)
            self._machine.import_athlete(team, name, alarms)
        except ValueError:
            self._release(athlete)
            raise
        athlete.log.forget()
        athlete.log.keep(state, boot=athlete.boot, end_sample=athlete.end_sample, now=now)
        self._athletes[team, name] = athlete
        self._sort((team, name), athlete)

    def _samples(self, topic: Topic, payload: bytes, now: float) -> None:
        packet = decode_samples(payload)
        athlete = self._athletes.get((topic.team, topic.athlete))
        if athlete is None:
            if packet.rate_hz not in self._lines and len(self._lines) >= MAX_RATES:
                raise PacketError("range", f"more than {MAX_RATES} different sampling rates")
            athlete = self._athlete(topic.team, topic.athlete, packet.strap, now)
        if athlete.backlogged(most_pieces=MAX_BACKLOG_PIECES, most_s=MAX_BACKLOG_S):
            raise PacketError("backlog", f"more than {MAX_BACKLOG_S:g} s wait to be looked at")
        self.counters.packets += 1
        athlete.last_packet_at = now
        self._log(athlete, now, payload)
        pieces = athlete.assembly.push(packet, now)
        self._add_pieces(athlete, pieces)
        self._sort((topic.team, topic.athlete), athlete)
        # A farewell may overtake the last packets; after a last will every packet shows that the strap is there.
        if (
            pieces
            and not athlete.online
            and not (athlete.ended and now - athlete.told_off_at < SILENT_AFTER_S)
        ):
            athlete.online, athlete.ended = True, False
            athlete.mind_at = 0.0

    @staticmethod
    def _add_pieces(athlete: Athlete, pieces: list[Piece]) -> None:
        athlete.pieces.extend(pieces)
        if pieces and athlete.silent_since is not None:
            athlete.mind_at = 0.0
            # What is silent is told seldom, but the last that was waited for, and what never came, at once.
            athlete.changed = True

    def _sort(self, key: Key, athlete: Athlete) -> None:
        """Enter an athlete among those who have something waiting, as far as that is so."""
        if athlete.pieces:
            self._ready[key] = athlete
        if athlete.assembly.waiting:
            self._holding[key] = athlete
        else:
            self._holding.pop(key, None)

    def _athlete(self, team: str, name: str, strap: str, now: float) -> Athlete:
        if len(self._athletes) >= MAX_ATHLETES:
            raise PacketError("range", f"more than {MAX_ATHLETES} athletes")
        athlete = Athlete(team, name, StrapAssembly(self._reorder), last_packet_at=now)
        self._take_status(athlete, strap)
        self._athletes[team, name] = athlete
        return athlete

    def _take_status(self, athlete: Athlete, strap: str) -> None:
        """Take what a strap said of itself before its samples came."""
        status = self._statuses.get((athlete.team, athlete.name, strap))
        if status is not None:
            athlete.source, athlete.link.battery = status.source or "", status.battery

    def _status(self, topic: Topic, payload: bytes, now: float) -> None:
        status = decode_status(payload)
        of_strap = (topic.team, topic.athlete, status.strap)
        if len(self._statuses) < MAX_ATHLETES or of_strap in self._statuses:
            self._statuses[of_strap] = status
        athlete = self._athletes.get((topic.team, topic.athlete))
        if athlete is None:
            return
        strap, boot = athlete.assembly.strap, athlete.assembly.boot
        if not status.online and (status.strap != strap or status.boot < boot):
            # The last will of a connection that another one has replaced.
            return
        heard = athlete.online and now - athlete.assembly.progress_at < SILENT_AFTER_S
        if status.strap != strap and heard:
            # Another strap under the same name: what it says of itself counts once its samples do.
            return
        athlete.source, athlete.link.battery = status.source or "", status.battery
        if status.online and athlete.ended:
            athlete.expected_since = now
        if not status.online:
            athlete.told_off_at = now
        athlete.online = status.online
        athlete.ended = status.ended and not status.online
        athlete.changed = True
        athlete.mind_at = 0.0

    def _round(self, waiting: list[Athlete], now: float, watched: frozenset[Key], output: SinkBatch) -> None:
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
        moved += [self._skip_all(self._lines[rate_hz], over, now, output) for rate_hz, over in gaps.items()]
        for (rate_hz, length), members in groups.items():
            line = self._lines[rate_hz]
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
                owner = self._owners[group.line.rate_hz, event.row]
                before = None if group.before is None else group.before[event.row]
                self._tell_event(owner, event, now, output, before=before)
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
        if self._relief < CLASSIFYING:
            return self.naming.name(Beats.join([group.output.beats for group in moved]), now)
        spared = [group.line.usual.spared(group.output.beats) for group in moved]
        asked = [group.output.beats.take(~left) for group, left in zip(moved, spared, strict=True)]
        answered = self.naming.name(Beats.join(asked), now)
        begin, told = 0, []
        for group, left in zip(moved, spared, strict=True):
            beats = group.output.beats
            own = answered.take(slice(begin, begin + len(beats) - int(left.sum())))
            begin += len(own)
            group.line.usual.answered(own)
            probabilities, label = beats.probabilities.copy(), beats.label.copy()
            probabilities[~left], label[~left] = own.probabilities, own.label
            told.append(group.line.usual.take_over(beats.classified(probabilities, label), left))
            self._unasked += int(left.sum())
        return Beats.join(told)

    def _tell_beats(self, group: _Moved, beats: Beats, output: SinkBatch) -> None:
        for index, row in enumerate(beats.rows.tolist()):
            athlete = self._owners[group.line.rate_hz, row]
            entry = beat_entry(athlete, beats, index)
            athlete.recent.append(entry.label)
            athlete.counts[entry.label] += 1
            output.beats.append((athlete.team, athlete.name, entry))

    def _tell_event(
        self,
        athlete: Athlete,
        event: RhythmEvent,
        now: float,
        output: SinkBatch,
        *,
        before: tuple[int, FloatArray] | None = None,
        for_good: bool = False,
    ) -> None:
        for alarm in self._machine.event(athlete.whose(), event, now, for_good=for_good):
            output.alarms.append(with_evidence(athlete, alarm, before))
            athlete.changed = True

    def _change_boot(self, athlete: Athlete, piece: Piece, now: float, output: SinkBatch) -> None:
        """Begin a row for a strap that is new, or has started again."""
        if athlete.line is not None:
            before = self._before_gap(athlete, athlete.line, now, output)
            ended = athlete.line.finish(np.array([athlete.row]))
            row, end = np.array([athlete.row]), np.array([athlete.end_sample])
            moved = _Moved(athlete.line, [athlete], row, ended, end, {athlete.row: before})
            self._name_beats([moved], now, frozenset(), output)
            output.alarms.extend(self._machine.end_boot(athlete.team, athlete.name, athlete.boot, now))
            self._tell_review(athlete, now, output)
        athlete.pieces[0] = replace(piece, begins=False)
        self._claim(athlete, piece.rate_hz, piece.boot, piece.first_sample)
        if athlete.strap not in ("", piece.strap):
            athlete.source, athlete.link.battery = "", None
            self._take_status(athlete, piece.strap)
        athlete.strap = piece.strap

    def _claim(self, athlete: Athlete, rate_hz: float, boot: int, first_sample: int) -> None:
        self._release(athlete)
        athlete.silent_since = None
        line = self._lines.get(rate_hz)
        if line is None:
            if len(self._lines) >= MAX_RATES:
                # The strap changed its rate to one more than there can be: its samples cannot be watched.
                athlete.pieces.clear()
                self.counters.refuse("range")
                return
            line = Line(rate_hz=rate_hz, config=self._config, classifier=self._classifier)
            line.denoise_all = self._relief < DENOISING
            self._lines[rate_hz] = line
        athlete.line = line
        athlete.row = line.claim(first_sample, self._limits_of(athlete.team, athlete.name))
        self._correct(athlete)
        athlete.boot = boot
        athlete.link.begin()
        athlete.schedule.clear()
        self._owners[rate_hz, athlete.row] = athlete

    def _correct(self, athlete: Athlete) -> None:
        if athlete.line is not None and self._corrections is not None:
            athlete.line.correct(athlete.row, self._corrections.get((athlete.team, athlete.name)))

    def _release(self, athlete: Athlete) -> None:
        if athlete.line is not None:
            del self._owners[athlete.line.rate_hz, athlete.row]
            athlete.line.release(athlete.row)
            athlete.line = None

    def _mind_link(self, athlete: Athlete, now: float, output: SinkBatch) -> None:
        lost = athlete.assembly.counters.lost_samples
        for event in athlete.link.look(athlete.row, athlete.end_sample, lost, athlete.rate_hz):
            self._tell_event(athlete, event, now, output)

    def _drop_idle_banks(self, now: float) -> None:
        in_use = {rate_hz for rate_hz, _ in self._owners}
        for rate_hz in list(self._lines):
            if rate_hz in in_use:
                self._idle_since.pop(rate_hz, None)
            elif now - self._idle_since.setdefault(rate_hz, now) >= IDLE_BANK_S:
                del self._lines[rate_hz], self._idle_since[rate_hz]

    def _mind_silence(self, athlete: Athlete, now: float, output: SinkBatch) -> None:
        # Packets that are refused are no sign of life: what counts is that samples come.
        since = max(athlete.assembly.progress_at, athlete.expected_since)
        silent_for = now - since
        silent = (silent_for >= SILENT_AFTER_S or not athlete.online) and not athlete.ended
        end = athlete.end_sample
        if silent and athlete.silent_since is None and athlete.line is not None:
            athlete.silent_since = end
            self._tell_event(athlete, _silence(athlete.row, end, "onset", silent_for), now, output)
        elif not silent and athlete.silent_since is not None:
            heard = _silence(athlete.row, athlete.silent_since, "end", silent_for)
            self._tell_event(athlete, heard, now, output, for_good=athlete.ended)
            athlete.silent_since = None
        # Samples may only put off when there is next something to decide, unless they end a silence; a status asks for
        # another look.
        told = athlete.silent_since is not None
        next_s = FORGET_AFTER_S if told or silent_for >= SILENT_AFTER_S else SILENT_AFTER_S
        athlete.mind_at = 0.0 if silent and not told else since + next_s
        if silent_for >= FORGET_AFTER_S:
            output.alarms.extend(self._machine.end_boot(athlete.team, athlete.name, athlete.boot, now))
            self._release(athlete)
            self._lost_by_the_forgotten += athlete.lost
            key = athlete.team, athlete.name
            del self._athletes[key]
            self._holding.pop(key, None)
            self._ready.pop(key, None)


def _goes_on_off(piece: Piece, end_sample: int) -> bool:
    return piece.lead_off and not piece.begins and piece.first_sample == end_sample


def _silence(row: int, episode: int, transition: EpisodeTransition, silent_for_s: float) -> RhythmEvent:
    return RhythmEvent(
        row=row,
        kind="strap_silent",
        episode=episode,
        transition=transition,
        onset_sample=episode,
        known_sample=episode,
        rate_bpm=float("nan"),
        duration_s=silent_for_s,
        quality=0.0,
    )
