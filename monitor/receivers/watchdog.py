"""The watchdog at the receiver: it needs no monitor to notice that nobody watches.

A pure machine: heartbeats, test alarms and the server's answers go in with the time at which they came, by the
receiver's own steady clock; alarms of the kind ``monitoring_lost`` come out.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from monitor.catalogue import CATALOGUE, Kind
from monitor.contract import PRIORITIES, Alarm, Priority

HEARTBEAT_LOST_AFTER_S: Final = 10.0
STRAPS_UNHEARD_AFTER_S: Final = 20.0
CANARY_LOST_AFTER_S: Final = 45.0
SERVER_LOST_AFTER_S: Final = 10.0
OVERLOADED_FOR_S: Final = 30.0
"""A monitor that has dropped packets counts as overloaded for so long."""
LATE_FROM_S: Final = 2.0
LATE_FOR_S: Final = 5.0
"""A monitor that has been later than the one for longer than the other counts as overloaded: so are its alarms."""
UNNAMED_FOR_S: Final = 30.0
"""A monitor whose classifier has failed counts as half blind for so long."""
ALARMS_STUCK_AFTER_S: Final = 20.0
WATCHDOG_TEAM: Final = "~watchdog"
_LOST: Final = "monitoring_lost"
_FORGET_S: Final = 24 * 3600.0

_Cause = tuple[Kind, str]
"""What is wrong, and with which monitor (or the server)."""


@dataclass(slots=True)
class _Monitor:
    beat: float
    beat_at: float
    canary_at: float
    connected_at: float
    ended: bool = False
    dropped: int = 0
    dropped_at: float = float("-inf")
    unnamed: int = 0
    unnamed_at: float = float("-inf")
    sent_at: float = 0.0
    late_since: float | None = None
    late_s: float = 0.0


@dataclass(slots=True)
class Watchdog:
    """Knows when each sign of life was last seen.

    Parameters
    ----------
    began_at : float
        Seconds on the receiver's steady clock.
    unix_offset_s : float
        What makes Unix seconds of that clock.
    """

    began_at: float
    unix_offset_s: float = 0.0
    _monitors: dict[str, _Monitor] = field(default_factory=dict)
    _server_at: float = 0.0
    _told: dict[_Cause, Alarm] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._server_at = self.began_at

    def server_answered(self, now: float) -> None:
        """Take the server's answer, whatever it was."""
        if now - self._server_at > SERVER_LOST_AFTER_S:
            # While it was away nothing could be seen: everybody has time to show up.
            for monitor in self._monitors.values():
                monitor.beat_at = monitor.canary_at = monitor.connected_at = monitor.sent_at = now
                monitor.late_since = None
        self._server_at = now

    def heartbeat(
        self,
        monitor_id: str,
        beat: float,
        *,
        connected: bool,
        ended: bool,
        now: float,
        dropped: int = 0,
        waiting: int = 0,
        unnamed: int = 0,
        late_s: float = 0.0,
    ) -> None:
        """Take a monitor's heartbeat; only one that has changed is a sign of life.

        Parameters
        ----------
        monitor_id : str
            Whose.
        beat : float
            Its time by the monitor's clock.
        connected : bool
            Whether the monitor hears its broker.
        ended : bool
            Whether it was ended in order.
        now : float
            Seconds on the receiver's clock.
        dropped : int
            Packets that the monitor could not take in, since its start.
        waiting : int
            Alarms that wait on its disk.
        unnamed : int
            Beats that its classifier failed to name, since its start.
        late_s : float
            How long after a packet's arrival all that it brings has been told, lately.
        """
        known = self._monitors.get(monitor_id)
        if known is None:
            known = _Monitor(
                beat,
                now,
                now,
                now,
                ended=ended,
                dropped=dropped,
                unnamed=unnamed,
                sent_at=now,
            )
            self._monitors[monitor_id] = known
        elif beat != known.beat:
            if known.ended and not ended:
                known.canary_at = known.connected_at = now
            known.beat, known.beat_at, known.ended = beat, now, ended
        if connected:
            known.connected_at = now
        if not waiting:
            known.sent_at = now
        if late_s < LATE_FROM_S:
            known.late_since = None
        elif known.late_since is None:
            known.late_since = now
        known.late_s = late_s
        if dropped > known.dropped:
            known.dropped_at = now
        if unnamed > known.unnamed:
            known.unnamed_at = now
        known.dropped, known.unnamed = dropped, unnamed

    def canary(self, monitor_id: str, now: float) -> None:
        """Take a test alarm that has come the whole way."""
        known = self._monitors.get(monitor_id)
        if known is not None:
            known.canary_at = now

    def canary_age_s(self, now: float) -> float | None:
        """Return how long the oldest of the monitors' last test alarms is ago; None where no monitor is to send one."""
        ages = [now - m.canary_at for m in self._monitors.values() if not m.ended]
        return max(ages, default=None)

    def tick(self, now: float) -> list[Alarm]:
        """Return what began to be wrong, has become worse, or is right again, by `now`."""
        for monitor_id in [i for i, m in self._monitors.items() if now - m.beat_at > _FORGET_S]:
            del self._monitors[monitor_id]
        wrong = self._wrong(now)
        told = [self._alarm(cause, wrong[cause], now) for cause in wrong.keys() - self._told.keys()]
        told += [
            self._escalated(alarm, wrong[cause], now)
            for cause, alarm in self._told.items()
            if cause in wrong and PRIORITIES.index(wrong[cause][0]) < PRIORITIES.index(alarm.priority)
        ]
        self._told |= {(alarm.kind, alarm.athlete): alarm for alarm in told}
        over = self._told.keys() - wrong.keys()
        return told + [self._cleared(self._told.pop(cause), now) for cause in over]

    @property
    def active(self) -> list[Alarm]:
        """What is wrong at this moment."""
        return list(self._told.values())

    def _wrong(self, now: float) -> dict[_Cause, tuple[Priority, str]]:
        if now - self._server_at > SERVER_LOST_AFTER_S:
            # Of all else nothing is known until it is back.
            unknown = {cause: (alarm.priority, alarm.message) for cause, alarm in self._told.items()}
            silent_s = now - self._server_at
            return unknown | {
                (_LOST, "server"): ("high", f"The server has not answered for {silent_s:.0f} s.")
            }
        wrong: dict[_Cause, tuple[Priority, str]] = {}
        for name, monitor in self._monitors.items():
            if not monitor.ended:
                wrong |= self._wrong_with(name, monitor, now)
        if not self._monitors and now - self.began_at > HEARTBEAT_LOST_AFTER_S:
            wrong[_LOST, "monitor"] = ("high", "No monitor is running.")
        return wrong

    def _wrong_with(self, name: str, monitor: _Monitor, now: float) -> dict[_Cause, tuple[Priority, str]]:
        others = [m for m in self._monitors.values() if m is not monitor and self._lives(m, now)]
        alone: Priority = "medium" if others else "high"
        if not self._lives(monitor, now):
            silent_s = now - monitor.beat_at
            return {(_LOST, name): (alone, f"Monitor {name} has been silent for {silent_s:.0f} s.")}
        wrong: dict[_Cause, tuple[Priority, str]] = {}
        if now - monitor.connected_at > STRAPS_UNHEARD_AFTER_S:
            wrong[_LOST, name] = (alone, f"Monitor {name} hears no strap: its broker is away.")
        elif now - monitor.canary_at > CANARY_LOST_AFTER_S:
            wrong[_LOST, name] = (
                alone,
                f"Alarms of monitor {name} do not arrive: its test alarms stay away.",
            )
        elif now - monitor.unnamed_at <= UNNAMED_FOR_S:
            wrong[_LOST, name] = (
                "medium",
                f"Monitor {name} finds beats but cannot name them: ventricular runs are not seen.",
            )
        if now - monitor.sent_at > ALARMS_STUCK_AFTER_S:
            wrong["redis_unreachable", name] = ("medium", f"The server takes no alarms of monitor {name}.")
        if now - monitor.dropped_at <= OVERLOADED_FOR_S:
            wrong["monitor_overloaded", name] = (
                "medium",
                f"Monitor {name} does not keep up: it drops packets.",
            )
        elif monitor.late_since is not None and now - monitor.late_since > LATE_FOR_S:
            wrong["monitor_overloaded", name] = (
                "medium",
                f"Monitor {name} does not keep up: it is {monitor.late_s:.0f} s late, and so are its alarms.",
            )
        return wrong

    @staticmethod
    def _lives(monitor: _Monitor, now: float) -> bool:
        return not monitor.ended and now - monitor.beat_at <= HEARTBEAT_LOST_AFTER_S

    def _alarm(self, cause: _Cause, wrong: tuple[Priority, str], now: float) -> Alarm:
        kind, whose = cause
        rule = CATALOGUE[kind]
        at = now + self.unix_offset_s
        return Alarm(
            team=WATCHDOG_TEAM,
            athlete=whose,
            boot=int(self.began_at + self.unix_offset_s),
            kind=kind,
            episode=int(now - self.began_at),
            transition="raised",
            priority=wrong[0],
            technical=True,
            known_sample=int(now - self.began_at),
            rate_hz=1.0,
            at=at,
            onset_at=at,
            rate_bpm=None,
            quality=1.0,
            message=wrong[1],
            action=rule.action,
        )

    def _escalated(self, alarm: Alarm, wrong: tuple[Priority, str], now: float) -> Alarm:
        return msgspec.structs.replace(
            alarm, transition="escalated", priority=wrong[0], message=wrong[1], at=now + self.unix_offset_s
        )

    def _cleared(self, alarm: Alarm, now: float) -> Alarm:
        return msgspec.structs.replace(alarm, transition="cleared", at=now + self.unix_offset_s)
