"""The detector at other sampling rates, and where packets are lost, on the mitdb records kept aside.

``python -m benchmarks.rates_and_loss [--json FILE]``, with mitdb in ``STRAPWATCH_DATA``; one thread. Each record is
resampled to rates from 100 to 1,000 Hz and scored at ±150 ms. Then, at its own rate, packets of 0.2 s are lost at
random, alone or in bursts of five; a beat counts where its R peak arrived, from the first second on, and what the
detector announces inside a gap counts as invented.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from functools import reduce
from operator import add
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy import signal

from benchmarks.detectors import score
from benchmarks.front_end import find_peaks
from benchmarks.recordings import held_out
from benchmarks.spoiled import clean
from benchmarks.train_detector import watch
from monitor.contract import IntArray
from monitor.rpeak_judge import load_judge
from monitor.scoring import QrsCounts
from simulators.annotations import Truth
from simulators.records import Record, read_record

RATES_HZ: Final = (100.0, 128.0, 200.0, 250.0, 360.0, 500.0, 1000.0)
LOSSES: Final = ((0.0, 1), (0.01, 1), (0.05, 1), (0.10, 1), (0.05, 5))
"""Share of the packets that are lost, and how many are lost in a row."""
PACKET_S: Final = 0.2
_WINDOW_S: Final = 0.150


@dataclass(frozen=True, slots=True)
class Row:
    """One condition, all records together."""

    condition: str
    beats: int
    se: float | None
    ppv: float | None


def at_rate(record: Record, rate_hz: float) -> QrsCounts:
    """Score a record resampled to another rate."""
    truth = record.truth
    if truth is None:
        raise ValueError(f"{record.name} has no reference annotations")
    millivolts = np.nan_to_num(record.millivolts).astype(np.float64)
    if rate_hz != record.rate_hz:
        ratio = Fraction(rate_hz / record.rate_hz).limit_denominator(1000)
        millivolts = signal.resample_poly(millivolts, ratio.numerator, ratio.denominator)
    scale = rate_hz / record.rate_hz
    resampled = replace(
        truth,
        rate_hz=rate_hz,
        r_samples=np.rint(truth.r_samples * scale).astype(np.int64),
        unscored=np.rint(truth.unscored * scale).astype(np.int64),
    )
    return score(resampled, find_peaks(millivolts, rate_hz), _WINDOW_S)


def with_loss(record: Record, share: float, in_a_row: int, random: np.random.Generator) -> QrsCounts:
    """Score a record of which packets were lost."""
    truth, whole = record.truth, clean(record)
    if truth is None:
        raise ValueError(f"{record.name} has no reference annotations")
    packet = round(PACKET_S * record.rate_hz)
    count = len(whole.millivolts) // packet
    lost = np.zeros(count, np.bool_)
    for first in np.flatnonzero(random.random(count) < share / in_a_row).tolist():
        lost[max(first, 1) : first + in_a_row] = True
    lost[-1] = False
    edges = np.flatnonzero(np.diff(np.concatenate([[0], lost.astype(np.int8), [0]])))
    gaps = tuple((int(a) * packet, int(b) * packet) for a, b in zip(edges[::2], edges[1::2], strict=True))
    found = watch(replace(whole, gaps=gaps), load_judge()).peaks.r_sample
    return score(_arrived(truth, gaps), found, _WINDOW_S)


def _arrived(truth: Truth, gaps: tuple[tuple[int, int], ...]) -> Truth:
    firsts = np.array([first for first, _ in gaps], np.int64)
    ends = np.array([end for _, end in gaps], np.int64)
    after: IntArray = np.searchsorted(firsts, truth.r_samples, side="right") - 1
    inside = (
        (after >= 0) & (truth.r_samples < ends[np.maximum(after, 0)])
        if len(gaps)
        else np.zeros(len(truth.r_samples), np.bool_)
    )
    return replace(truth, r_samples=truth.r_samples[~inside], classes=truth.classes[~inside])


def measure(records: list[Record]) -> list[Row]:
    """Score all records at all rates and losses."""
    rows = []
    for rate_hz in RATES_HZ:
        counts = reduce(add, (at_rate(record, rate_hz) for record in records), QrsCounts())
        rows.append(Row(f"{rate_hz:g} Hz", counts.tp + counts.fn, counts.se, counts.ppv))
        print(f"{rate_hz:g} Hz done", file=sys.stderr)
    for share, in_a_row in LOSSES:
        random = np.random.default_rng(1)
        counts = reduce(add, (with_loss(record, share, in_a_row, random) for record in records), QrsCounts())
        name = f"{100 * share:g} % of packets lost" + (f", {in_a_row} in a row" if in_a_row > 1 else "")
        rows.append(Row(name, counts.tp + counts.fn, counts.se, counts.ppv))
    return rows


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    rows = measure([read_record(f"mitdb/{name}", lead=0) for name in held_out()["mitdb"]])
    print(f"{'condition':34} {'beats':>7} {'Se':>8} {'+P':>8}")
    for row in rows:
        values = " ".join(f"{100 * v:8.3f}" if v is not None else f"{'-':>8}" for v in (row.se, row.ppv))
        print(f"{row.condition:34} {row.beats:7} {values}")
    if arguments.json:
        arguments.json.write_text(
            json.dumps([asdict(row) for row in rows], indent=2) + "\n", encoding="utf-8"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
