"""The review queue as lines of text: one card a shape of ectopic beats, its mean shape drawn, counts by phase."""

import datetime as dt
from typing import Final

import numpy as np

from monitor.contract import LABELS, UNSURE
from monitor.evidence import millivolts
from monitor.review_queue import SHAPE_HZ, ReviewQueue, StoredCard
from monitor.strip_drawing import PaperStrip, terminal_strip

_SHAPE_WIDTH: Final = 32
_SHAPE_ROWS: Final = 4


def review_lines(review: ReviewQueue, width: int) -> list[str]:
    """Return all there is to review of one athlete and boot, in lines.

    Parameters
    ----------
    review : ReviewQueue
        What was told of them.
    width : int
        Characters in a line, 20 or more.
    """
    ectopic = sum(card.beats for card in review.cards)
    shapes = "shape" if len(review.cards) == 1 else "shapes"
    left_out = f", {review.left_out} more of rare shapes on no card" if review.left_out else ""
    lines = [
        f"{review.athlete} ({review.team}), strap {review.strap}, as of {_when(review.at)}",
        f"{sum(review.beats.values())} beats, {ectopic} that may be ectopic in {len(review.cards)} {shapes}{left_out}",
    ]
    for number, card in enumerate(review.cards, 1):
        lines += ["", *_card_lines(number, card, width)]
    return lines


def _card_lines(number: int, card: StoredCard, width: int) -> list[str]:
    called = ", ".join(
        f"{card.labels.get(label, 0)} {'without a name' if label == UNSURE else label}"
        for label in ("V", "F", "S", *(label for label in LABELS if label not in ("V", "F", "S")))
        if card.labels.get(label, 0)
    )
    phases = ", ".join(f"{phase} {count}" for phase, count in card.phases.items())
    shape = millivolts(card.microvolts)
    drawn = terminal_strip(
        PaperStrip(millivolts=shape, rate_hz=SHAPE_HZ),
        width=max(20, min(_SHAPE_WIDTH, width - 4)),
        rows=_SHAPE_ROWS,
    )
    return [
        f"{number}.  {card.beats} {'beat' if card.beats == 1 else 'beats'}: called {called}",
        f"    {phases}; first {_when(card.first_at)}, last {_when(card.last_at)}",
        f"    mean shape, {len(shape) / SHAPE_HZ:.2f} s by {float(np.ptp(shape)):.1f} mV",
        # The last line is a scale of seconds; this is less than one.
        *(f"    {line}" for line in drawn[:-1]),
    ]


def _when(at: float) -> str:
    return (
        f"{dt.datetime.fromtimestamp(at).astimezone():%Y-%m-%d %H:%M:%S}" if at > 0.0 else "at no known time"
    )
