"""A ledger of what became of every packet, so that a test can say exactly what a monitor should have seen."""

from collections import Counter
from typing import Final, Literal, TextIO, TypeAlias

import msgspec

Cause = Literal[
    "sent",
    "lost",
    "lost_in_burst",
    "lost_in_dropout",
    "duplicated",
    "reordered",
    "delayed",
    "held_in_dropout",
    "lead_off",
    "resent",
    "unacknowledged",
    "unsent",
]

FATES: Final[tuple[Cause, ...]] = ("sent", "lost", "lost_in_burst", "lost_in_dropout", "unsent")
"""Each packet has exactly one of these; every other cause is noted beside it."""

TroubleKind: TypeAlias = Literal[
    "noise",
    "saturation",
    "inverted",
    "gain",
    "contact_lost",
    "lead_off",
    "dropout",
    "dropout_lost",
    "samples_skipped",
    "clock_drift",
    "clock_jump",
    "reboot",
    "battery_low",
    "battery_empty",
    "other_strap",
]


class LedgerEntry(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="packet"):
    """One thing that happened to one packet; in a file a line with ``"entry": "packet"``.

    Attributes
    ----------
    team, athlete, strap : str
        Whose packet.
    boot, sequence, first_sample, samples : int
        Which packet.
    cause : str
        What happened, see `Ledger`.
    due_s, at_s : float
        Seconds of the strap's schedule at which the packet was due, and at which this happened.
    at : float
        The same as `at_s`, as Unix time in seconds.
    """

    team: str
    athlete: str
    strap: str
    boot: int
    sequence: int
    first_sample: int
    samples: int
    cause: Cause
    due_s: float
    at_s: float
    at: float


class TroubleEntry(msgspec.Struct, frozen=True, kw_only=True, tag_field="entry", tag="trouble"):
    """One trouble that a strap has: a stretch of its samples; in a file a line with ``"entry": "trouble"``.

    Attributes
    ----------
    team, athlete, strap : str
        Whose trouble.
    boot : int
        The boot whose samples are counted.
    trouble : str
        Its kind.
    first_sample, end_sample : int
        The samples it touches: first, and first after.
    at, end_at : float
        When that is, Unix time in seconds.
    detail : dict
        What else there is to say: kind of noise, ratio in dB, gain, seconds.
    """

    team: str
    athlete: str
    strap: str
    boot: int
    trouble: TroubleKind
    first_sample: int
    end_sample: int
    at: float
    end_at: float
    detail: dict[str, float | str] = {}


AnyEntry: TypeAlias = LedgerEntry | TroubleEntry

_NOTABLE: Final = frozenset({"lost", "lost_in_burst", "lost_in_dropout", "unsent", "lead_off"})
"""Causes whose samples a scorer must know: nobody could see a beat there."""
_NO_NEWS: Final[frozenset[TroubleKind]] = frozenset(
    {
        # Facts of the radio are told packet by packet; what was only planned is not told twice.
        "lead_off",
        "dropout",
        "dropout_lost",
        # A clock touches no sample, and would take the blame for every missed beat.
        "clock_drift",
        "clock_jump",
        # So would a battery that is low, until it is empty.
        "battery_low",
    }
)
_NEWS_KEPT: Final = 2_000


class LedgerNews:
    """What a ledger has to tell of one boot of a strap: counts so far, and the stretches that are new.

    Attributes
    ----------
    counts : Counter
        Packets by cause since the boot began.
    troubles : list of (int, int, str)
        First sample, first after, and cause: what has not been told yet, the oldest first. Whoever has told it removes
        it.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.troubles: list[tuple[int, int, str]] = []

    def packet(self, entry: LedgerEntry) -> None:
        """Take in what happened to a packet."""
        self.counts[entry.cause] += 1
        if entry.cause in _NOTABLE:
            self._add(entry.first_sample, entry.first_sample + entry.samples, entry.cause)

    def trouble(self, entry: TroubleEntry) -> None:
        """Take in a trouble."""
        if entry.trouble not in _NO_NEWS and entry.first_sample < entry.end_sample:
            self._add(entry.first_sample, entry.end_sample, entry.trouble)

    def _add(self, first_sample: int, end_sample: int, cause: str) -> None:
        self.troubles.append((first_sample, end_sample, cause))
        del self.troubles[:-_NEWS_KEPT]


class Ledger:
    """Counts, and on request keeps or writes, what happened.

    ===================  ==========================================================================================
    ``sent``             went to the broker for the first time
    ``lost``             the radio lost it; nobody will ever see it
    ``lost_in_burst``    likewise, in a burst
    ``lost_in_dropout``  likewise, during a dropout
    ``unsent``           the run ended while the packet still waited for the broker or was held back by the radio
    ``duplicated``       went out once more without need
    ``reordered``        was held back so that later packets overtook it
    ``delayed``          went out later than due, by jitter
    ``held_in_dropout``  went out after the dropout, in the flood
    ``lead_off``         carries no signal: the electrodes had no contact
    ``resent``           went out again after a reconnection, because the broker had not acknowledged it
    ``unacknowledged``   went out, but the run ended without the broker's word that it arrived
    ===================  ==========================================================================================

    The first five are a packet's fate, so ``packets == sent + lost + lost_in_burst + lost_in_dropout + unsent``; to the
    broker went ``sent + duplicated + resent``. Troubles that touch the signal or the strap itself, and the stretches
    planned for the radio, are entered beside the packets, each with its samples and its time.

    Parameters
    ----------
    file : text stream, optional
        Each entry is written here as a line of JSON.
    keep : bool
        Keep the entries in `entries` and `troubles`. Off by default: a long run has millions.
    """

    def __init__(self, *, file: TextIO | None = None, keep: bool = False) -> None:
        self.counts: Counter[Cause] = Counter()
        self.entries: list[LedgerEntry] = []
        self.troubles: list[TroubleEntry] = []
        self._file = file
        self._keep = keep
        self._encoder = msgspec.json.Encoder()
        self._news: dict[tuple[str, str, str, int], LedgerNews] = {}

    def news(self, team: str, athlete: str, strap: str, boot: int) -> LedgerNews:
        """Return what there is to tell of a boot of a strap; it is collected from the first call on."""
        return self._news.setdefault((team, athlete, strap, boot), LedgerNews())

    def note(self, entry: LedgerEntry) -> None:
        """Enter one thing that happened."""
        self.counts[entry.cause] += 1
        if self._keep:
            self.entries.append(entry)
        news = self._news.get((entry.team, entry.athlete, entry.strap, entry.boot))
        if news is not None:
            news.packet(entry)
        self._write(entry)

    def note_trouble(self, entry: TroubleEntry) -> None:
        """Enter a trouble that a strap has."""
        if self._keep:
            self.troubles.append(entry)
        news = self._news.get((entry.team, entry.athlete, entry.strap, entry.boot))
        if news is not None:
            news.trouble(entry)
        self._write(entry)

    def _write(self, entry: AnyEntry) -> None:
        if self._file is not None:
            self._file.write(self._encoder.encode(entry).decode() + "\n")

    @property
    def packets(self) -> int:
        """How many packets have met their fate."""
        return sum(self.counts[fate] for fate in FATES)

    @property
    def transmissions(self) -> int:
        """How many messages with samples were handed to the broker."""
        return self.counts["sent"] + self.counts["duplicated"] + self.counts["resent"]
