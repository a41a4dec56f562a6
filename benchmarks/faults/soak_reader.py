"""What a soak finds in the server: read piece by piece, so that an hour of hundreds of athletes stays small."""

from array import array
from collections.abc import Iterable, Iterator
from itertools import starmap
from typing import Any, Final, NamedTuple

import msgspec

from benchmarks.faults.place import MONITOR_ID, patient_client
from monitor.contract import Alarm
from monitor.embedded import GuardedServer
from monitor.live_state import (
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
)
from simulators.strap import Strap

Key = tuple[str, str]
_AT_ONCE: Final = 500
_beats = msgspec.msgpack.Decoder(BeatEntry)
_alarms = msgspec.msgpack.Decoder(Alarm)


class Told(NamedTuple):
    """A beat that stands in the server.

    Attributes
    ----------
    r_sample, known_sample : int
        Where it lies, and when it became known.
    label : str
        What it is.
    entered_at : float
        When the server took it, Unix seconds.
    """

    r_sample: int
    known_sample: int
    label: str
    entered_at: float


class _Beats:
    """The beats of one athlete, in little memory."""

    def __init__(self) -> None:
        self.last = b"-"
        self._samples = (array("q"), array("q"))
        self._labels: list[str] = []
        self._entered_at = array("d")

    def __iter__(self) -> Iterator[Told]:
        return starmap(Told, zip(*self._samples, self._labels, self._entered_at, strict=True))

    def add(self, beat: BeatEntry, labels: dict[str, str], last: bytes) -> None:
        self.last = last
        self._samples[0].append(beat.r_sample)
        self._samples[1].append(beat.known_sample)
        self._labels.append(labels.setdefault(beat.label, beat.label))
        self._entered_at.append(int(last[1:].partition(b"-")[0]) / 1e3)


class SoakReader:
    """Reads what is new since it last did.

    Parameters
    ----------
    straps : iterable of Strap
        Whose entries.

    Attributes
    ----------
    states : dict
        The last state of each athlete who has one.
    alarms : dict
        All transitions of each athlete's alarms, in order, without strips.
    monitor : MonitorState or None
        The last heartbeat.
    """

    def __init__(self, straps: Iterable[Strap]) -> None:
        self.states: dict[Key, AthleteState] = {}
        self.alarms: dict[Key, list[Alarm]] = {}
        self.monitor: MonitorState | None = None
        self._beats = {(strap.team, strap.athlete): _Beats() for strap in straps}
        self._last_alarm = dict.fromkeys(sorted({team for team, _ in self._beats}), b"-")
        self._labels: dict[str, str] = {}

    def beats(self, key: Key) -> list[Told]:
        """Return all beats of an athlete that have been read."""
        return list(self._beats[key])

    async def read(self, server: GuardedServer) -> None:
        """Read on."""
        client = patient_client(server)
        try:
            for key, own in self._beats.items():
                async for fields, last in _entries(client, beats_key(*key), own.last):
                    own.add(_beats.decode(fields[b"beat"]), self._labels, last)
                state = await client.hget(athlete_key(*key), "state")
                if state is not None:
                    self.states[key] = msgspec.msgpack.decode(state, type=AthleteState)
            for team, begin in self._last_alarm.items():
                async for fields, last in _entries(client, alarms_key(team), begin):
                    alarm = msgspec.structs.replace(
                        _alarms.decode(fields[b"alarm"]), strip=None, evidence=None
                    )
                    self.alarms.setdefault((team, alarm.athlete), []).append(alarm)
                    self._last_alarm[team] = last
            heartbeat = await client.get(monitor_key(MONITOR_ID))
            if heartbeat is not None:
                self.monitor = msgspec.msgpack.decode(heartbeat, type=MonitorState)
        finally:
            await client.aclose()


async def _entries(client: Any, stream: str, last: bytes) -> Any:
    """Yield the fields of each entry after `last`, and how the next call is to go on."""
    while entries := await client.xrange(stream, min=last, count=_AT_ONCE):
        for entry, fields in entries:
            last = b"(" + entry
            yield fields, last
