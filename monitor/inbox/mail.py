"""Reads the inbox: all alarms, what was said of them, and whether anybody watches.

However many inboxes a person has open, each is given everything. What the person was given is kept account of by a
consumer group of theirs, which all of these share.
"""

import asyncio
import os
import socket
import time
from collections import OrderedDict, deque
from collections.abc import Sequence
from typing import Any, Final

import msgspec
import redis.asyncio
import structlog
from redis.exceptions import RedisError

from monitor.backoff import Backoff
from monitor.contract import Alarm
from monitor.dashboard.alarm_list import Listed
from monitor.dashboard.ledger import Ledger, active_alarms
from monitor.inbox.letters import Letter, letters
from monitor.live_state import CANARY_TEAM, ActiveAlarm, AthleteState, athlete_key
from monitor.receivers.group import GroupReader
from monitor.receivers.relay import look
from monitor.receivers.tail import Tail
from monitor.receivers.watchdog import Watchdog
from monitor.responses import Feedback
from monitor.sinks import known_alarms
from monitor.sinks.audit import all_teams
from monitor.sinks.commands import feedback_after

READ_BACK: Final = 400
KNOWN_KEPT: Final = 10_000
"""Transitions by which one that is read twice is recognised; the oldest are forgotten."""
ANSWERED_KEPT: Final = 2_000
"""Alarms of which it is known what was said, twice as many as the list can hold; the oldest are forgotten."""
SAID_KEPT: Final = 50
"""Of one alarm, what was said last."""
_LOOK_EVERY_S: Final = 1.0
_WAIT_S: Final = 0.25

_log = structlog.stdlib.get_logger(__name__)
_states = msgspec.msgpack.Decoder(AthleteState)


class Mailbox:
    """The inbox of one person.

    Parameters
    ----------
    client : redis.asyncio.Redis
        See `monitor.sinks.open_redis`.
    owner : str
        Whose inbox: each has a consumer group, so that the server knows who has been given what.
    teams : sequence of str
        Only these; all by default.
    """

    def __init__(self, client: "redis.asyncio.Redis", owner: str, teams: Sequence[str] = ()) -> None:
        self._client = client
        self._teams = tuple(teams)
        self._reader = GroupReader(
            client, group=f"inbox:{owner}", consumer=f"{socket.gethostname()}-{os.getpid()}"
        )
        self._tail = Tail(client)
        self._ledger = Ledger()
        self._known: OrderedDict[tuple[str, str, str], None] = OrderedDict()
        self._states: dict[tuple[str, str], AthleteState] = {}
        self._unreadable: set[tuple[str, str]] = set()
        self._feedback: OrderedDict[str, deque[Feedback]] = OrderedDict()
        self._heard: dict[str, str] = {}
        began_at = time.monotonic()
        self.watchdog = Watchdog(began_at=began_at, unix_offset_s=time.time() - began_at)
        self.trouble = ""
        self.rings = 0
        """How many alarms have called for somebody since the inbox was opened."""

    async def run(self) -> None:
        """Read until cancelled; a server that is away is tried again for ever."""
        backoff = Backoff(most_s=3.0)
        looked_at = -_LOOK_EVERY_S
        begun = False
        while True:
            try:
                if not begun:
                    await self._tail.begin()
                    await self.read_back()
                    begun = True
                for entry in await self._tail.read(wait_s=_WAIT_S):
                    if entry.alarm is not None:
                        self._take(entry.alarm)
                entries = await self._reader.read(wait_s=0.0)
                for entry in [*entries, *(await self._reader.reclaim() if entries else [])]:
                    await self._reader.done(entry)
                if time.monotonic() - looked_at >= _LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    await self.look()
                self.trouble = ""
                backoff.succeeded()
            except (RedisError, OSError) as error:
                self.trouble = str(error) or type(error).__name__
                await asyncio.sleep(backoff.next_wait_s())
            told = self.watchdog.tick(time.monotonic())
            self.rings += sum(alarm.transition in ("raised", "escalated") for alarm in told)

    async def read_back(self) -> None:
        """Read what has happened before: whoever comes late sees what is active.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        for team in self._teams or await all_teams(self._client):
            for alarm in reversed(await known_alarms(self._client, team, at_most=READ_BACK)):
                self._add(alarm)
        await self.look()

    async def look(self) -> None:
        """Read what changes: who watches, how athletes are, what was said.

        Raises
        ------
        redis.exceptions.RedisError
            If the server cannot be reached.
        """
        await look(self._client, self.watchdog)
        states: dict[tuple[str, str], AthleteState] = {}
        for key in self._ledger.by_athlete():
            # `hget` is typed as either kind of client's.
            raw: Any = await self._client.hget(athlete_key(*key), "state")
            if raw is not None and (state := self._state(key, raw)) is not None:
                states[key] = state
        self._states = states
        for team in {key[0] for key in self._ledger.by_athlete()}:
            said, self._heard[team] = await feedback_after(self._client, team, self._heard.get(team, ""))
            for each in said:
                # Its copy of the alarm, strip and all, is not for showing.
                plain = msgspec.structs.replace(each, alarm=None)
                self._feedback.setdefault(each.identity, deque(maxlen=SAID_KEPT)).append(plain)
                self._feedback.move_to_end(each.identity)
                if len(self._feedback) > ANSWERED_KEPT:
                    self._feedback.popitem(last=False)

    def letters(self) -> list[Letter]:
        """Return what lies in the inbox, what nobody has answered first."""
        active: dict[tuple[str, str], list[ActiveAlarm] | None] = {}
        for key, records in self._ledger.by_athlete().items():
            state = self._states.get(key)
            active[key] = None if state is None else active_alarms(state, records)
        listed = [Listed(r, active[r.latest.team, r.latest.athlete]) for r in self._ledger.records()]
        return letters(listed, self._feedback)

    def paused_s(self, team: str, athlete: str) -> float:
        """Return for how many seconds more an athlete's alarms make no sound."""
        state = self._states.get((team, athlete))
        return max(0.0, state.paused_until - time.time()) if state is not None else 0.0

    def _take(self, alarm: Alarm) -> None:
        if alarm.team == CANARY_TEAM:
            self.watchdog.canary(alarm.athlete, time.monotonic())
        elif (not self._teams or alarm.team in self._teams) and self._add(alarm):
            calls = alarm.transition in ("raised", "escalated", "unanswered")
            quiet = alarm.priority in ("low", "information") or self.paused_s(alarm.team, alarm.athlete) > 0.0
            self.rings += calls and not quiet

    def _add(self, alarm: Alarm) -> bool:
        known = (alarm.identity, alarm.transition, alarm.priority)
        if known in self._known:
            return False
        self._known[known] = None
        if len(self._known) > KNOWN_KEPT:
            self._known.popitem(last=False)
        self._ledger.add(alarm)
        return True

    def _state(self, key: tuple[str, str], raw: bytes) -> AthleteState | None:
        try:
            state = _states.decode(raw)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            # Another version of the monitor may have written it. It is read every second, and told once.
            if key not in self._unreadable:
                self._unreadable.add(key)
                _log.error(
                    "an athlete's state cannot be read", team=key[0], athlete=key[1], reason=str(error)
                )
            return None
        self._unreadable.discard(key)
        return state
