"""Reading what a monitor left in Redis, as any outside reader would: Streams of beats and alarms, and states."""

from typing import Any, Final

import msgspec
import redis.asyncio

from monitor.contract import Alarm
from monitor.live_state import (
    AthleteState,
    BeatEntry,
    MonitorState,
    alarms_key,
    athlete_key,
    beats_key,
    monitor_key,
)
from simulators.scenario_seen import Seen

_AT_ONCE: Final = 5000
_COUNTERS: Final = (
    "packets_received",
    "packets_lost",
    "packets_duplicate",
    "packets_refused",
    "packets_late",
    "packets_other",
)


class ScenarioReader:
    """Reads one team from now on.

    Parameters
    ----------
    client : redis.asyncio.Redis
        The server.
    team : str
        The team.
    athletes : list of str
        Its athletes.
    monitor_id : str or None
        The monitor whose heartbeat counts; None for any.
    """

    def __init__(
        self, client: "redis.asyncio.Redis", *, team: str, athletes: list[str], monitor_id: str | None
    ) -> None:
        self._client = client
        self._team = team
        self._athlete_of = {beats_key(team, athlete): athlete for athlete in athletes}
        self._athletes = athletes
        self._monitor_id = monitor_id
        self._last: dict[str, str] = {}
        self._before: dict[str, AthleteState] = {}
        self.seen = Seen()

    async def begin(self) -> None:
        """Begin where the Streams and the link counters stand now: what was before is no part of this run."""
        await self.read_states()
        self._before = dict(self.seen.states)
        self.seen.states.clear()
        for key in (alarms_key(self._team), *self._athlete_of):
            newest: Any = await self._client.xrevrange(key, count=1)
            self._last[key] = newest[0][0].decode() if newest else "0-0"

    async def read(self) -> int:
        """Read all that is new in the Streams and return how many entries that was."""
        count = 0
        while True:
            streams: Any = await self._client.xread(dict[Any, Any](self._last), count=_AT_ONCE)
            if not streams:
                return count
            for key, entries in streams:
                name = key.decode()
                for entry, fields in entries:
                    count += 1
                    self._last[name] = entry.decode()
                    entered_at = int(entry.split(b"-")[0]) / 1000.0
                    athlete = self._athlete_of.get(name)
                    if athlete is not None:
                        beat = msgspec.msgpack.decode(fields[b"beat"], type=BeatEntry)
                        self.seen.beats[athlete].append((entered_at, beat))
                    else:
                        alarm = msgspec.msgpack.decode(fields[b"alarm"], type=Alarm)
                        self.seen.alarms.append((entered_at, alarm))

    async def read_states(self) -> None:
        """Read how the athletes and the monitor are."""
        for athlete in self._athletes:
            payload: Any = await self._client.hget(athlete_key(self._team, athlete), "state")
            if payload is not None:
                state = msgspec.msgpack.decode(payload, type=AthleteState)
                self.seen.states[athlete] = _since(state, self._before.get(athlete))
        await self.read_monitor()

    async def read_monitor(self) -> MonitorState | None:
        """Return the monitor's last heartbeat, None if there is none."""
        keys: list[Any] = (
            [monitor_key(self._monitor_id)]
            if self._monitor_id
            else [key async for key in self._client.scan_iter(match=monitor_key("*"))]
        )
        for key in keys:
            heartbeat: Any = await self._client.get(key)
            if heartbeat is not None:
                self.seen.monitor = msgspec.msgpack.decode(heartbeat, type=MonitorState)
                return self.seen.monitor
        return None


def _since(state: AthleteState, before: AthleteState | None) -> AthleteState:
    """Return a state whose link counters begin with this run; a monitor that has started anew counts from 0 anyway."""
    if before is None or state.packets_received < before.packets_received:
        return state
    counted = {name: getattr(state, name) - getattr(before, name) for name in _COUNTERS}
    changed: AthleteState = msgspec.structs.replace(state, **counted)
    return changed
