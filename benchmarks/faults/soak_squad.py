"""Who takes part in a soak, and what an undisturbed monitor says of them."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from monitor.classifier import BeatClassifier
from monitor.live_state import BeatEntry
from monitor.watch import Watch
from monitor.wire import Topic, encode
from simulators.arrhythmia import Asystole
from simulators.ectopy import Pause, PrematureBeat, VentricularRun
from simulators.records import Record
from simulators.rhythm_track import HeartEvent
from simulators.strap import Strap
from simulators.synthetic import SyntheticAthlete, synthesize

HEARTS: Final = 20
RECORD_S: Final = 600.0
PACKET_S: Final = 0.25
RATES_HZ: Final = (360.0, 200.0, 128.0)
"""A packet holds a whole number of samples at each."""
ATHLETES_OF_A_TEAM: Final = 50
LOSSY_EVERY: Final = 4
"""Every so many athletes have a radio that may be bad; all others must not be touched by anybody's."""
BOOT: Final = 1


def hearts(seed: int) -> list[Record]:
    """Return the records that are replayed over and over."""
    return [_heart(number, seed) for number in range(HEARTS)]


def squad(athletes: int, records: list[Record]) -> list[Strap]:
    """Return straps: athlete number k replays record ``k % HEARTS``."""
    return [
        Strap(
            record=records[number % HEARTS],
            team=f"team{number // ATHLETES_OF_A_TEAM:02d}",
            athlete=f"a{number:04d}",
            strap=f"s{number:04d}",
            boot=BOOT,
            packet_s=PACKET_S,
            loop=True,
        )
        for number in range(athletes)
    ]


def lossy(straps: list[Strap]) -> frozenset[tuple[str, str]]:
    """Return whose radio may be bad."""
    return frozenset((strap.team, strap.athlete) for strap in straps[LOSSY_EVERY - 1 :: LOSSY_EVERY])


@dataclass(slots=True)
class Undisturbed:
    """What a monitor says of one heart when nothing goes wrong.

    Attributes
    ----------
    beats : dict of int to BeatEntry
        By R sample.
    alarms : Counter
        Raised, by kind and episode; those of the strap are not among them.
    packet_samples : int
        Samples of a packet.
    """

    packet_samples: int
    beats: dict[int, BeatEntry] = field(default_factory=dict)
    alarms: "Counter[tuple[str, int]]" = field(default_factory=Counter)


def undisturbed(records: list[Record], packets: int, classifier: BeatClassifier | None) -> list[Undisturbed]:
    """Let an undisturbed watch take so many packets of each record, in virtual time.

    Parameters
    ----------
    records : list of Record
        See `hearts`.
    packets : int
        Packets of each.
    classifier : BeatClassifier or None
        As the monitor's.
    """
    watch = Watch(classifier=classifier)
    straps = squad(len(records), records)
    found = [Undisturbed(round(PACKET_S * record.rate_hz)) for record in records]
    number_of = {strap.athlete: number for number, strap in enumerate(straps)}
    sending = [strap.packets(start_at=0.0) for strap in straps]
    for number in range(packets + round(4.0 / PACKET_S)):
        now = (number + 1) * PACKET_S
        if number < packets:
            for strap, own in zip(straps, sending, strict=True):
                watch.receive(Topic(strap.team, strap.athlete, "samples"), encode(next(own).packet), now)
        batch = watch.tick(now)
        for _, athlete, beat in batch.beats:
            found[number_of[athlete]].beats[beat.r_sample] = beat
        for alarm in batch.alarms:
            if alarm.transition == "raised" and not alarm.technical:
                found[number_of[alarm.athlete]].alarms[alarm.kind, alarm.episode] += 1
    return found


def _heart(number: int, seed: int) -> Record:
    at_s = 60.0 + 20.0 * number
    events: list[HeartEvent] = [PrematureBeat(at_s=30.0), PrematureBeat(at_s=40.0)]
    if number % 10 == 9:
        events.append(Asystole(at_s=at_s, length_s=9.0))
    elif number % 2:
        events.append(Pause(at_s=at_s, length_s=3.5))
    else:
        events.append(VentricularRun(at_s=at_s, beats=6))
    athlete = SyntheticAthlete(rate_bpm=75.0 + 75.0 * number / HEARTS, events=tuple(events))
    return synthesize(
        athlete,
        rate_hz=RATES_HZ[number % len(RATES_HZ)],
        seconds=RECORD_S,
        seed=seed + number,
        name=f"soak-{number}",
    )
