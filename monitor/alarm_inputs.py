"""What the alarm machine takes, as plain records: written down in order, they replay to the same alarms."""

from dataclasses import dataclass
from typing import Protocol

import msgspec

from monitor.catalogue import Kind, RuleChange
from monitor.contract import RhythmEvent
from monitor.responses import Command


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose event it is, and how its samples become times.

    Attributes
    ----------
    team, athlete : str
        Pseudonyms.
    boot : int
        The strap's boot.
    rate_hz : float
        Sampling rate.
    known_at : float
        Unix time, in seconds, at which the strap's schedule had sample `known_sample`; 0 where unknown.
    known_sample : int
        See `known_at`.
    strap : str
        The strap; empty where it is not known.
    """

    team: str
    athlete: str
    boot: int
    rate_hz: float
    known_at: float
    known_sample: int
    strap: str = ""

    def at(self, sample: int) -> float:
        """Return the Unix time of a sample by the strap's schedule; 0 where unknown."""
        if self.known_at <= 0.0:
            return 0.0
        return self.known_at + (sample - self.known_sample) / self.rate_hz


class OnEvent(msgspec.Struct, frozen=True, tag="event"):
    """A rhythm or technical event; see `monitor.alarms.AlarmMachine.event`."""

    whose: Whose
    event: RhythmEvent
    now: float
    for_good: bool = False


class OnSamples(msgspec.Struct, frozen=True, tag="samples"):
    """An athlete's samples have come to `end_sample`; see `monitor.alarms.AlarmMachine.advance`."""

    whose: Whose
    end_sample: int
    now: float
    signal_ends: bool = False


class OnTick(msgspec.Struct, frozen=True, tag="tick"):
    """Time has come to `now`, Unix seconds."""

    now: float


class OnAcknowledgement(msgspec.Struct, frozen=True, tag="acknowledgement"):
    """Somebody has seen an alarm."""

    team: str
    athlete: str
    identity: str
    by: str
    now: float


class OnCommand(msgspec.Struct, frozen=True, tag="command"):
    """Somebody wants alarms to pause, or to sound again."""

    command: Command
    now: float


class OnBootEnd(msgspec.Struct, frozen=True, tag="boot_end"):
    """The samples of a boot will not go on."""

    team: str
    athlete: str
    boot: int
    now: float


class OnRules(msgspec.Struct, frozen=True, tag="rules"):
    """What holds otherwise than the catalogue from now on, and what decides."""

    changes: dict[Kind, RuleChange]
    settings_hash: str
    now: float
    model: str | None = None


class OnImport(msgspec.Struct, frozen=True, tag="import"):
    """An athlete came from another monitor, or from before a restart, with these open alarms."""

    team: str
    athlete: str
    alarms: bytes


Input = OnEvent | OnSamples | OnTick | OnAcknowledgement | OnCommand | OnBootEnd | OnRules | OnImport
"""Everything the machine takes."""


class Recorder(Protocol):
    """Where what was taken is written down."""

    @property
    def is_full(self) -> bool:
        """Whether a new stretch is to begin."""
        ...

    def begin(self, checkpoint: list[Input]) -> None:
        """Begin a stretch with what brings an empty machine to where the recorded one is."""
        ...

    def record(self, given: Input) -> None:
        """Write an input down."""
        ...
