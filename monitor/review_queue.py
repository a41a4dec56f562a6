"""The review queue as it leaves the monitor: an athlete's ectopic beats of one session, one card a shape."""

from typing import Final

import msgspec

from monitor.athlete import Athlete
from monitor.contract import EffortPhase
from monitor.evidence import microvolts

REVIEW_EVERY_S: Final = 60.0
"""How often an athlete's cards are told; each time all of them."""
SHAPE_HZ: Final = 120.0
"""Points a second of a card's mean shape."""


class StoredCard(msgspec.Struct, frozen=True, kw_only=True):
    """A `monitor.rhythm.review.ReviewCard`, as it is stored.

    Attributes
    ----------
    beats, labels, phases : see there
    first_at, last_at : float
        Unix times, in seconds, of the first and the last; 0 where the strap told none.
    examples : list of int
        R peaks, as samples of the strap's boot, of some of them, the latest last.
    microvolts : bytes
        Mean shape: little-endian int16 microvolts, `SHAPE_HZ` points a second, the R peak in the middle.
    """

    beats: int
    labels: dict[str, int]
    phases: dict[EffortPhase, int]
    first_at: float
    last_at: float
    examples: list[int]
    microvolts: bytes


class ReviewQueue(msgspec.Struct, frozen=True, kw_only=True):
    """What a physician reviews of one athlete and boot of the strap.

    Attributes
    ----------
    team, athlete, strap : str
        Pseudonyms.
    boot : int
        The strap's boot.
    at : float
        Unix time, in seconds, of this state.
    rate_hz : float
        Sampling rate.
    beats : dict of str to int
        All beats of the athlete's session by label.
    cards : list of StoredCard
        The one with the most ventricular beats first.
    left_out : int
        Ectopic beats that are on no card, because there was no room.
    """

    team: str
    athlete: str
    strap: str
    boot: int
    at: float
    rate_hz: float
    beats: dict[str, int]
    cards: list[StoredCard]
    left_out: int


def review_queue(athlete: Athlete, now: float) -> ReviewQueue | None:
    """Return an athlete's review queue; None where no beat of this boot was ectopic."""
    if athlete.line is None:
        return None
    rhythm, whose = athlete.line.rhythm, athlete.whose()
    cards = rhythm.review_cards(athlete.row)
    if not cards:
        return None
    return ReviewQueue(
        team=athlete.team,
        athlete=athlete.name,
        strap=athlete.strap,
        boot=athlete.boot,
        at=now,
        rate_hz=athlete.rate_hz,
        beats=dict(athlete.counts),
        cards=[
            StoredCard(
                beats=card.beats,
                labels=card.labels,
                phases=card.phases,
                first_at=whose.at(card.first_sample),
                last_at=whose.at(card.last_sample),
                examples=card.examples,
                microvolts=microvolts(card.shape),
            )
            for card in cards
        ],
        left_out=rhythm.review_left_out(athlete.row),
    )
