"""Active and recent alarms outside the dashboard: read once from Redis, told as a table, as lines, or as JSON."""

import datetime as dt
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple

import msgspec
import redis.asyncio
from rich.table import Table
from rich.text import Text

from monitor.contract import Alarm
from monitor.dashboard.ledger import AlarmRecord, Ledger, active_alarms, describe
from monitor.dashboard.pieces import kind_words
from monitor.live_state import TEAMS_KEY, ActiveAlarm, AthleteState, athlete_key
from monitor.sinks import known_alarms

_READ_BACK: Final = 2_000
_WIDE: Final = 150
PRIORITY_STYLE: Final = {
    "high": "bold white on red",
    "medium": "bold black on yellow",
    "low": "bold black on cyan",
    "information": "",
}


Namer = Callable[[str, str], str]
"""Returns what to call an athlete, given team and pseudonym."""


def pseudonym(_team: str, athlete: str) -> str:
    """Call an athlete by the pseudonym: what a list does without a roster."""
    return athlete


class Listed(NamedTuple):
    """An alarm, and its athlete's active alarms; None where no monitor keeps that state alive."""

    record: AlarmRecord
    listed: Sequence[ActiveAlarm] | None

    @property
    def state(self) -> str:
        """How it stands, in words."""
        return describe(self.record, self.listed)

    @property
    def is_active(self) -> bool:
        """Whether it still calls for somebody."""
        return self.state == "over, not acknowledged" or not self.state.startswith("over")


async def read_alarms(
    client: "redis.asyncio.Redis", teams: Iterable[str], ledger: Ledger | None = None
) -> list[Listed]:
    """Return the alarms of `teams` (all, if empty), the newest first; `ledger` takes them up as well.

    Raises
    ------
    redis.exceptions.RedisError
        If the server cannot be reached.
    """
    ledger = ledger or Ledger()
    wanted = sorted(teams)
    if not wanted:
        names: Any = await client.smembers(TEAMS_KEY)
        wanted = sorted(name.decode() for name in names)
    for team in wanted:
        for alarm in reversed(await known_alarms(client, team, at_most=_READ_BACK)):
            ledger.add(alarm)
    listed: dict[tuple[str, str], Sequence[ActiveAlarm] | None] = {}
    for key, records in ledger.by_athlete().items():
        raw: Any = await client.hget(athlete_key(*key), "state")
        state = _state_in(raw)
        listed[key] = None if state is None else active_alarms(state, records)
    return [Listed(r, listed[r.latest.team, r.latest.athlete]) for r in ledger.records()]


def _state_in(raw: bytes | None) -> AthleteState | None:
    if raw is None:
        return None
    try:
        return msgspec.msgpack.decode(raw, type=AthleteState)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def table(alarms: Iterable[Listed], width: int, name_of: Namer = pseudonym) -> Table:
    """Return alarms as a table that fits `width` cells; on a narrow one the ID stands below the sentence."""
    wide = width >= _WIDE
    drawn = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    drawn.add_column("time", no_wrap=True)
    drawn.add_column("athlete")
    drawn.add_column("priority", no_wrap=True)
    drawn.add_column("what", ratio=None)
    if wide:
        drawn.add_column("what to do")
    drawn.add_column("state")
    if wide:
        drawn.add_column("ID", no_wrap=True)
    for alarm in alarms:
        latest = alarm.record.latest
        priority = Text(f" {latest.priority} ", PRIORITY_STYLE[latest.priority] if alarm.is_active else "dim")
        what = f"{kind_words(latest.kind)}: {latest.message}"
        cells: list[str | Text] = [
            clock(alarm.record.raised_at),
            Text(name_of(latest.team, latest.athlete)),
            priority,
        ]
        if wide:
            cells += [what, latest.action, alarm.state, alarm.record.identity]
        else:
            cells += [Text(f"{what}\n→ {latest.action}\n{alarm.record.identity}"), alarm.state]
        drawn.add_row(*cells)
    return drawn


def told(alarm: Alarm, name_of: Namer = pseudonym) -> Text:
    """Return one transition as a line."""
    text = Text(f"{clock(alarm.at)}  ")
    calls = alarm.transition in {"raised", "escalated"}
    text.append(f" {alarm.priority} ", PRIORITY_STYLE[alarm.priority] if calls else "dim")
    by = f" by {alarm.by}" if alarm.by else ""
    text.append(f" {name_of(alarm.team, alarm.athlete)}  {alarm.transition}{by}  ")
    text.append(f"{kind_words(alarm.kind)}: {alarm.message}")
    if calls:
        text.append(f" → {alarm.action}")
    return text.append(f"  {alarm.identity}", "dim")


def as_json(alarm: Listed, transition: Alarm | None = None, name_of: Namer = pseudonym) -> str:
    """Return an alarm, as it stands after `transition` (its newest, by default), as one line of JSON.

    With names from a roster it has one key more, ``name``.
    """
    record, latest = alarm.record, alarm.record.latest
    newest = transition or record.transitions[-1]
    name = {} if name_of is pseudonym else {"name": name_of(latest.team, latest.athlete)}
    return msgspec.json.encode(
        {
            "identity": record.identity,
            "team": latest.team,
            "athlete": latest.athlete,
            **name,
            "boot": latest.boot,
            "kind": latest.kind,
            "episode": latest.episode,
            "transition": newest.transition,
            "at": newest.at,
            "state": alarm.state,
            "active": alarm.is_active,
            "priority": latest.priority,
            "technical": latest.technical,
            "message": latest.message,
            "action": latest.action,
            "raised_at": record.raised_at,
            "cleared_at": record.cleared_at,
            "acknowledged_at": record.acknowledged_at,
            "acknowledged_by": record.acknowledged_by or None,
            "rate_bpm": latest.rate_bpm,
            "quality": latest.quality,
            "model": latest.model,
            "settings_hash": latest.settings_hash,
        }
    ).decode()


def clock(at: float) -> str:
    """Return a Unix time as one reads it here, with the date where it is not today's."""
    moment = dt.datetime.fromtimestamp(at).astimezone()
    today = dt.datetime.now().astimezone().date()
    return moment.strftime("%H:%M:%S" if moment.date() == today else "%Y-%m-%d %H:%M:%S")


def short_clock(at: float) -> str:
    """Return the same to the minute and without the year, in at most 11 cells."""
    moment = dt.datetime.fromtimestamp(at).astimezone()
    today = dt.datetime.now().astimezone().date()
    return moment.strftime("%H:%M" if moment.date() == today else "%m-%d %H:%M")
