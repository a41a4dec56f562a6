"""The watch: every athlete of every team, from packets to beats, states and alarms. No I/O, no clock of its own.

Here athletes come, are told about, and leave; each tick lets `monitor.moving` move on what every strap has waiting.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import numpy as np

from monitor.alarm_inputs import Recorder
from monitor.alarms import AlarmMachine
from monitor.assembly import Piece, ReorderLimits, StrapAssembly
from monitor.athlete import Athlete
from monitor.banks import MAX_RATES, Banks, Key
from monitor.catalogue import Kind, RuleChange
from monitor.classifier import BeatClassifier
from monitor.contract import (
    Alarm,
    FloatArray,
    RhythmEvent,
    RowState,
)
from monitor.errors import PacketError
from monitor.evidence_log import KeptEvidence, KeptStretch
from monitor.line import LineConfig
from monitor.messages import athlete_state
from monitor.moving import Mover, tell_review
from monitor.naming import BeatNaming
from monitor.overload import DENOISING, WAVEFORMS
from monitor.presence import FORGET_AFTER_S, SILENT_AFTER_S, Statuses, hear, mind_silence
from monitor.recordings import recording_of
from monitor.responses import Command
from monitor.review_queue import REVIEW_EVERY_S
from monitor.rhythm import AthleteLimits
from monitor.rows import number_in
from monitor.sinks.batch import SinkBatch
from monitor.wire import MAX_RATE_HZ, MIN_RATE_HZ, Topic, decode_samples, decode_status

__all__ = [
    "FORGET_AFTER_S",
    "MAX_ATHLETES",
    "MAX_ROUNDS",
    "SILENT_AFTER_S",
    "SILENT_STATE_EVERY_S",
    "Key",
    "Watch",
]

MAX_ATHLETES: Final = 5000
MAX_ROUNDS: Final = 8
"""Stretches of at most a second by which a tick moves an athlete on: nobody's backlog stops the rest."""
MAX_BACKLOG_S: Final = 400.0
MAX_BACKLOG_PIECES: Final = 1024
STATE_EVERY_S: Final = 1.0
SILENT_STATE_EVERY_S: Final = 3.0
SILENT_EXPORT_EVERY_S: Final = 60.0
"""A strap that is silent changes little: a thousand of them must not cost what a thousand that send do."""
ALARMS_EVERY_S: Final = 0.1
"""How often the alarms' own clock is moved on: all of them are looked at then."""
EXPORT_ROUNDS: Final = 100
"""Rounds over which a large team is exported, so that no tick pays for all."""


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
        self._classifier = classifier
        self._config = config or LineConfig()
        self._banks = Banks(
            self._config,
            classifier,
            limits_of or (lambda _team, _athlete: self._config.limits),
            corrections,
        )
        self._reorder = reorder or ReorderLimits()
        self._rules = dict(rules or {})
        records = classifier.training_records if classifier is not None else ()
        self._trained_on = frozenset(recording_of(record) for record in records)
        self._athletes: dict[Key, Athlete] = {}
        self._statuses = Statuses()
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
        self.naming = BeatNaming(classifier)
        self._mover = Mover(self._banks, self._machine, self.naming, take_status=self._statuses.give)
        self.counters = self._mover.counters
        self._unpacked: list[KeptStretch] = []
        self._unseen_waves = 0

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
        self._mover.relief = step
        self._banks.denoise(all_beats=step < DENOISING)

    @property
    def left_out(self) -> dict[str, int]:
        """What was left out under load since the watch began: waveforms, and beats not denoised or not classified."""
        return {
            "waveforms": self._unseen_waves,
            "denoising": self._banks.not_denoised,
            "classifying": self._mover.unasked,
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
        self._banks.limits_of = limits_of
        self._rules = dict(rules)
        self._machine.change_rules(rules, settings_hash, now)
        self.apply_limits()

    def apply_limits(self) -> None:
        """Give every athlete the limits that hold now; those who came with a state brought others."""
        for (team, name), athlete in self._athletes.items():
            if athlete.line is not None:
                athlete.line.rhythm.set_limits(np.array([athlete.row]), self._banks.limits_of(team, name))
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
        if looked_at and self._mover.relief >= WAVEFORMS:
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
            self._mover.move(list(self._ready.values()), now, looked_at, output)
            self._ready = {key: athlete for key, athlete in self._ready.items() if athlete.pieces}
        for athlete in [athlete for athlete in self._athletes.values() if athlete.mind_at <= now]:
            self._mind_silence(athlete, now, output)
        if now - self._alarms_at >= ALARMS_EVERY_S:
            self._alarms_at = now
            output.alarms.extend(self._machine.tick(now))
        self._banks.drop_idle(now)
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
                self._mover.mind_link(athlete, now, output)
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
            tell_review(athlete, now, output)

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
            limits=self._banks.limits_of(alarm.team, alarm.athlete),
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
        self._banks.claim(athlete, rate_hz, athlete.assembly.boot, 0)
        if athlete.line is None:
            raise ValueError(f"more than {MAX_RATES} different sampling rates")
        try:
            athlete.import_row(own)
            athlete.line.import_row(athlete.row, stages)
            # What is known here holds, not what held where the state comes from: a file taken back has no effect.
            self._banks.correct(athlete)
            self._machine.import_athlete(team, name, alarms)
        except ValueError:
            self._banks.release(athlete)
            raise
        athlete.log.forget()
        athlete.log.keep(state, boot=athlete.boot, end_sample=athlete.end_sample, now=now)
        self._athletes[team, name] = athlete
        self._sort((team, name), athlete)

    def _samples(self, topic: Topic, payload: bytes, now: float) -> None:
        packet = decode_samples(payload)
        athlete = self._athletes.get((topic.team, topic.athlete))
        if athlete is None:
            if not self._banks.has_room(packet.rate_hz):
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
        self._statuses.give(athlete, strap)
        self._athletes[team, name] = athlete
        return athlete

    def _status(self, topic: Topic, payload: bytes, now: float) -> None:
        status = decode_status(payload)
        self._statuses.take(topic.team, topic.athlete, status)
        athlete = self._athletes.get((topic.team, topic.athlete))
        if athlete is not None:
            hear(athlete, status, now)

    def _mind_silence(self, athlete: Athlete, now: float, output: SinkBatch) -> None:
        def tell(event: RhythmEvent, *, for_good: bool = False) -> None:
            self._mover.tell_event(athlete, event, now, output, for_good=for_good)

        if mind_silence(athlete, now, tell):
            output.alarms.extend(self._machine.end_boot(athlete.team, athlete.name, athlete.boot, now))
            self._banks.release(athlete)
            self._lost_by_the_forgotten += athlete.lost
            key = athlete.team, athlete.name
            del self._athletes[key]
            self._holding.pop(key, None)
            self._ready.pop(key, None)
