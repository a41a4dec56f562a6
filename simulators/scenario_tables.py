"""The tables of a scenario's file that describe one strap: its record or heart, and what goes wrong with it."""

from collections.abc import Iterator
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from monitor.settings import AthleteSettings
from simulators.noise import NoiseKind

LONGEST_S: Final = 6 * 3600.0
MOST_STRAPS: Final = 2_000

Seconds = Annotated[float, Field(ge=0.0, le=LONGEST_S)]
Length = Annotated[float, Field(gt=0.0, le=LONGEST_S)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,56}$")]
_Stretch = tuple[Seconds, Length]
_BODY_KEYS: Final = ("noise", "saturation", "inverted", "gain", "contact_lost", "reboot")


class Table(BaseModel):
    """A table: what is not named in it is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class BurstTable(Table):
    """Losses in bursts, see `simulators.radio.Bursts`."""

    enter: Share
    leave: Share
    loss: Share = 1.0


class RadioTable(Table):
    """A strap's radio, see `simulators.radio.RadioSettings`; stretches are pairs of begin and length."""

    loss: Share = 0.0
    duplicates: Share = 0.0
    reorder: Share = 0.0
    jitter_s: Annotated[float, Field(ge=0.0, le=60.0)] = 0.0
    bursts: BurstTable | None = None
    dropouts: list[_Stretch] = []
    dropouts_lost: list[_Stretch] = []
    lead_off: list[_Stretch] = []


class _BodyTable(Table):
    at_s: Seconds = 0.0
    length_s: Length | None = None


class NoiseTable(_BodyTable):
    """Noise, see `simulators.body.Noise`; `record` names the WFDB record of kind ``"record"``."""

    kind: NoiseKind
    snr_db: Annotated[float, Field(ge=-60.0, le=120.0)] | None = None
    rms_mv: Annotated[float, Field(gt=0.0, le=100.0)] | None = None
    hz: Annotated[float, Field(gt=0.0, le=500.0)] = 50.0
    growth: Annotated[float, Field(ge=0.0, le=100.0)] = 2.0
    record: str | None = None


class SaturationTable(_BodyTable):
    """Saturation, see `simulators.body.Saturation`."""

    limit_mv: Annotated[float, Field(gt=0.0, le=1000.0)] = 5.0
    offset_mv: Annotated[float, Field(ge=-1000.0, le=1000.0)] = 12.0


class InvertedTable(_BodyTable):
    """Inverted polarity."""


class GainTable(_BodyTable):
    """A gain that nobody tells, see `simulators.body.Gain`."""

    factor: Annotated[float, Field(gt=0.0, le=1000.0)]


class ContactTable(_BodyTable):
    """Contact lost without a word, see `simulators.body.ContactLost`."""

    floating_mv: Annotated[float, Field(ge=0.0, le=100.0)] = 0.0


class RebootTable(Table):
    """The strap starts again.

    Attributes
    ----------
    at_s : float
        When it goes off.
    off_s : float
        For how long.
    """

    at_s: Length
    off_s: Annotated[float, Field(ge=0.0, le=LONGEST_S)] = 2.0


class ClockTable(Table):
    """The strap's clock: how fast its crystal is, and pairs of when it is set and by how many seconds."""

    drift_ppm: Annotated[float, Field(ge=-10_000.0, le=10_000.0)] = 0.0
    jumps: list[tuple[Seconds, float]] = []


class BatteryTable(Table):
    """Charge at the begin and at the end, 0 to 1; with 0 at the end the strap dies there."""

    begin: Share = 1.0
    end: Share = 0.0

    def charge(self, share: float) -> float:
        """Return the charge once so much of the time with it has passed, 0 to 1; a strap that starts again keeps it."""
        return self.begin + (self.end - self.begin) * share


class StrapTable(Table):
    """One strap, or several alike.

    Attributes
    ----------
    athlete : str
        Pseudonym; with `copies` it is followed by a number.
    copies : int
        How many straps, each a little further on in the same record.
    strap : str or None
        The strap's own name, by default the athlete's. Two straps of one athlete need two names.
    record : str or None
        A WFDB record, or ``"excerpt"``; else `synthetic` describes the heart.
    synthetic : dict or None
        See `simulators.scenario_hearts`.
    lead : str or None
        Lead of the record.
    start_s : float
        Where in the record it begins.
    joins_s, leaves_s : float, float or None
        When in the session the strap is switched on, and off; to the session's end if left out.
    packet_s : float
        Seconds of signal in a packet.
    limits : AthleteSettings
        The athlete's own limits, for a monitor that the scenario starts itself.
    """

    athlete: Name
    copies: Annotated[int, Field(ge=1, le=MOST_STRAPS)] = 1
    strap: Name | None = None
    record: str | None = None
    synthetic: dict[str, Any] | None = None
    lead: str | None = None
    start_s: Seconds = 0.0
    joins_s: Seconds = 0.0
    leaves_s: Length | None = None
    packet_s: Annotated[float, Field(gt=0.0, le=30.0)] = 0.25
    radio: RadioTable = RadioTable()
    noise: list[NoiseTable] = []
    saturation: list[SaturationTable] = []
    inverted: list[InvertedTable] = []
    gain: list[GainTable] = []
    contact_lost: list[ContactTable] = []
    reboot: list[RebootTable] = []
    skips: list[_Stretch] = []
    clock: ClockTable = ClockTable()
    battery: BatteryTable | None = None
    limits: AthleteSettings = AthleteSettings()

    @model_validator(mode="after")
    def _has_one_heart(self) -> Self:
        if (self.record is None) == (self.synthetic is None):
            raise ValueError(f"strap of {self.athlete!r}: give either record or synthetic")
        return self

    def troubles_at(self) -> Iterator[tuple[str, float]]:
        """Yield each trouble's key, and when in the session it begins."""
        for key in _BODY_KEYS:
            yield from ((key, each.at_s) for each in getattr(self, key))
        for key in ("dropouts", "dropouts_lost", "lead_off"):
            yield from ((f"radio.{key}", at_s) for at_s, _ in getattr(self.radio, key))
        yield from (("skips", at_s) for at_s, _ in self.skips)
        yield from (("clock.jumps", at_s) for at_s, _ in self.clock.jumps)
