"""What the dashboard knows at one moment, and how far it can be believed."""

import math
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Final, NamedTuple

from monitor.contract import PRIORITIES
from monitor.dashboard.ledger import AlarmRecord
from monitor.live_state import CANARY_EVERY_S, ActiveAlarm, AthleteState, BeatEntry, MonitorState
from monitor.overload import STEPS
from monitor.responses import ReceiverState

if TYPE_CHECKING:
    # Reading rosters needs pydantic, showing none does not.
    from monitor.roster import Person

STALE_S: Final = 3.0
"""Age from which a state, or a strap's last packet, is no longer live."""
UNREADABLE_S: Final = 10.0
"""Age from which a heart rate is no longer shown at all."""
MONITOR_GONE_S: Final = 5.0
"""Age from which a monitor without a heartbeat counts as gone."""
TEST_ALARM_MISSING: Final = "test alarm missing"
OVERLOADED: Final = "overloaded"
CANARY_MISSING_S: Final = 3 * CANARY_EVERY_S
"""Age of the last test alarm from which alarms may not arrive either."""


class Key(NamedTuple):
    """An athlete of a team."""

    team: str
    athlete: str


class Life(Enum):
    """Whether an athlete's values are of now."""

    LIVE = "live"
    SILENT = "no data"
    GONE = "strap gone"
    STALE = "stale"


# Compared by identity: a view is made anew with every snapshot, and drawing keeps what it drew of one.
@dataclass(frozen=True, slots=True, eq=False)
class AthleteView:
    """An athlete's state with what the reader of it knows beside it.

    Attributes
    ----------
    state : AthleteState
        As the monitor wrote it.
    age_s : float
        Seconds since the monitor last wrote it.
    alarms : tuple of ActiveAlarm
        Not over, most urgent first.
    history : tuple of AlarmRecord
        All alarms known, the newest first.
    person : Person or None
        Who it is, where the roster knows.
    """

    state: AthleteState
    age_s: float
    alarms: tuple[ActiveAlarm, ...] = ()
    history: tuple[AlarmRecord, ...] = ()
    person: "Person | None" = None

    @property
    def key(self) -> Key:
        """Whose it is."""
        return Key(self.state.team, self.state.athlete)

    @property
    def name(self) -> str:
        """What to call the athlete: bib and name, else the pseudonym."""
        return (self.person.label if self.person is not None else "") or self.state.athlete

    @property
    def paused_s(self) -> float:
        """Seconds for which alarms still make no sound; 0 if they do."""
        # The monitor's own clock says until when; how long ago it wrote that is known by ours.
        return max(0.0, self.state.paused_until - self.state.updated_at - self.age_s)

    @property
    def paused_words(self) -> str:
        """The countdown of a pause, such as ``1:43``; empty without one."""
        left = math.ceil(self.paused_s)
        return f"{left // 60}:{left % 60:02d}" if left else ""

    def is_silenced(self, alarm: ActiveAlarm) -> bool:
        """Whether the pause covers this alarm."""
        covers = self.state.paused_covers
        return (
            self.paused_s > 0.0
            and covers in PRIORITIES
            and PRIORITIES.index(alarm.priority) >= PRIORITIES.index(covers)
        )

    @property
    def calling(self) -> ActiveAlarm | None:
        """The most urgent alarm that nobody has acknowledged; what is mere information calls nobody."""
        return next((alarm for alarm in self.pressing if not alarm.acknowledged_by), None)

    @property
    def pressing(self) -> tuple[ActiveAlarm, ...]:
        """The alarms above information, most urgent first."""
        return tuple(alarm for alarm in self.alarms if alarm.priority != "information")

    @property
    def silence_s(self) -> float:
        """Seconds since the strap's last packet."""
        return max(0.0, self.state.updated_at - self.state.last_packet_at) + self.age_s

    @property
    def life(self) -> Life:
        """Whether the values are of now, and if not, why."""
        if self.age_s > STALE_S:
            return Life.STALE
        if not self.state.online:
            return Life.GONE
        return Life.SILENT if self.silence_s > STALE_S else Life.LIVE

    @property
    def life_words(self) -> str:
        """Why the values are not of now, with the age; empty when they are."""
        if self.life is Life.LIVE:
            return ""
        if self.life is Life.STALE:
            return f"stale, {duration(self.age_s)} old"
        return f"{self.life.value} {duration(self.silence_s)}"

    @property
    def old_s(self) -> float:
        """Age of the values in seconds, whatever the reason."""
        return 0.0 if self.life is Life.LIVE else self.silence_s


@dataclass(frozen=True, slots=True)
class MonitorView:
    """A monitor's heartbeat and how old it is."""

    state: MonitorState
    age_s: float


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything at one moment.

    Attributes
    ----------
    athletes : tuple of AthleteView
        In no order.
    monitors : tuple of MonitorView
        Every monitor seen since the dashboard started.
    waited_s : float
        How long Redis has been away, or not yet answered.
    connected : bool
        Whether Redis answers.
    trouble : str
        Why it does not.
    ever_connected : bool
        Whether it ever has.
    canary_age_s : float or None
        Age of the last test alarm; None before the first.
    receivers : tuple of ReceiverState
        Who else takes alarms.
    """

    athletes: tuple[AthleteView, ...] = ()
    monitors: tuple[MonitorView, ...] = ()
    waited_s: float = 0.0
    connected: bool = False
    trouble: str = ""
    ever_connected: bool = False
    canary_age_s: float | None = None
    receivers: tuple[ReceiverState, ...] = ()

    @property
    def calling(self) -> list[tuple[AthleteView, ActiveAlarm]]:
        """Alarms that nobody has acknowledged, most urgent first, one for each athlete."""
        found = [(view, alarm) for view in self.athletes if (alarm := view.calling)]
        return sorted(found, key=lambda pair: urgency(pair[1]))


def by_name(snapshot: Snapshot) -> list[AthleteView]:
    """Return all athletes in the order of their names."""
    return sorted(snapshot.athletes, key=lambda view: (view.name, view.state.team))


@dataclass(frozen=True, slots=True)
class Closeup:
    """What only the detail view of one athlete needs.

    Attributes
    ----------
    key : Key
        Whose.
    beats : tuple of BeatEntry
        The last beats, the newest first.
    """

    key: Key
    beats: tuple[BeatEntry, ...] = ()


def urgency(alarm: ActiveAlarm) -> tuple[int, float]:
    """Return a key that sorts alarms by priority, then the oldest first."""
    return PRIORITIES.index(alarm.priority), alarm.raised_at


def monitor_words(snapshot: Snapshot) -> tuple[str, bool]:
    """Return the monitors' state in words, and whether all is well."""
    if not snapshot.connected:
        verb = "unreachable" if snapshot.ever_connected else "not reached yet"
        return f"Redis {verb} {duration(snapshot.waited_s)}", False
    if not snapshot.monitors:
        return "no monitor running", False
    present = [m for m in snapshot.monitors if m.age_s <= MONITOR_GONE_S and not m.state.ended]
    if not present:
        last = min(snapshot.monitors, key=lambda m: m.age_s)
        # Who ends a monitor in order knows that nobody watches; whoever it was killed under does not.
        what = "monitor ended" if last.state.ended else "MONITORING LOST"
        return f"{what} {duration(last.age_s)}", False
    words, well = _present_words([m.state for m in present])
    if well and _canary_missing(snapshot, [m.state for m in present]):
        return TEST_ALARM_MISSING, False
    return words, well


def _canary_missing(snapshot: Snapshot, present: list[MonitorState]) -> bool:
    ran_s = max(monitor.at - monitor.started_at for monitor in present)
    age_s = ran_s if snapshot.canary_age_s is None else snapshot.canary_age_s
    return min(ran_s, age_s) > CANARY_MISSING_S


def _present_words(monitors: list[MonitorState]) -> tuple[str, bool]:
    if not any(monitor.broker_connected for monitor in monitors):
        return "monitor: broker away", False
    waiting = sum(monitor.outbox_waiting for monitor in monitors)
    if waiting:
        return f"monitor: {waiting} alarm{'s' * (waiting > 1)} waiting", False
    relief = max(monitor.relief for monitor in monitors)
    if relief:
        return f"{OVERLOADED}: without {STEPS[min(relief, len(STEPS) - 1)]}", False
    return f"{len(monitors)} monitors live" if len(monitors) > 1 else "monitor live", True


def duration(seconds: float) -> str:
    """Return a duration in the largest unit that keeps it readable."""
    whole = max(0, int(seconds))
    if whole < 120:
        return f"{whole} s"
    if whole < 7200:
        return f"{whole // 60} min"
    return f"{whole // 3600} h"
