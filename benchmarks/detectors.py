"""R-peak detectors side by side on the same recordings: ours, which sees only the past, and peers, which see all.

``python -m benchmarks.detectors [--peers/--no-peers] [--cache DIR] [--json FILE] [--plot FILE]``, with the databases in
``STRAPWATCH_DATA``; one thread. Se and +P at ±150 ms, F1 also at ±50 ms; of the noise stress records only the noisy
stretches count. Peers are slow: with ``--cache`` what they found, and the seconds it took, is kept and used again; the
recording's content is part of the key.
"""

import argparse
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from benchmarks import peers
from benchmarks.front_end import find_peaks
from benchmarks.recordings import RecordSet, record_sets
from monitor.contract import UNSURE_LABEL, IntArray
from monitor.evaluation import Announced, run_line
from monitor.peak_timing import PeakTiming
from monitor.scoring import QrsCounts, score_beats
from simulators.annotations import Truth
from simulators.records import Record

OURS: Final = "strapwatch (causal)"
_WINDOWS_S: Final = {"150 ms": 0.150, "50 ms": 0.050}
_WARM_UP_S: Final = 30


@dataclass(frozen=True, slots=True)
class Row:
    """One detector on one set of recordings.

    Attributes
    ----------
    recordings, detector : str
        Which.
    beats : int
        Reference beats.
    se, ppv, f1, f1_50ms : float or None
        Fractions, at ±150 ms, and F1 at ±50 ms.
    million_samples_per_s : float or None
        Speed on one core, with what is needed before the detector.
    timing : dict
        Ours only: position error and delay.
    """

    recordings: str
    detector: str
    beats: int
    se: float | None
    ppv: float | None
    f1: float | None
    f1_50ms: float | None
    million_samples_per_s: float | None
    timing: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """What a detector found in one recording, and how long it took."""

    r_sample: IntArray
    seconds: float
    known_sample: IntArray | None = None


def score(truth: Truth, r_sample: IntArray, window_s: float) -> QrsCounts:
    """Count what was found and missed of one recording."""
    label = np.full(len(r_sample), UNSURE_LABEL, np.int8)
    return score_beats(
        truth.r_samples,
        truth.classes,
        r_sample,
        label,
        rate_hz=truth.rate_hz,
        unscored=truth.unscored,
        window_s=window_s,
    ).qrs


def ours(records: tuple[Record, ...]) -> list[Found]:
    """Run the monitor's own stages; time its front end alone, record by record."""
    announced: list[Announced] = run_line(records)
    found = []
    for record, told in zip(records, announced, strict=True):
        _, seconds = _timed(find_peaks, record)
        found.append(Found(told.r_sample, seconds, told.known_sample))
    return found


def theirs(name: str, detector: peers.Detector, record: Record, cache: Path | None) -> Found:
    """Run a peer over one recording, or read what it found before."""
    digest = hashlib.sha256(record.millivolts.tobytes()).hexdigest()[:16]
    file = None if cache is None else cache / f"{name.replace(' ', '_')}-{digest}.json"
    if file is not None and file.is_file():
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Found(np.array(kept["r_sample"], np.int64), kept["seconds"])
    r_sample, seconds = _timed(detector, record)
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({"r_sample": r_sample.tolist(), "seconds": seconds}), encoding="utf-8")
    return Found(r_sample, seconds)


def _timed(detector: Callable[..., IntArray], record: Record) -> tuple[IntArray, float]:
    millivolts = np.nan_to_num(record.millivolts).astype(np.float64)
    began = time.perf_counter()
    found = detector(millivolts, record.rate_hz)
    return found, time.perf_counter() - began


def row(recordings: str, detector: str, records: tuple[Record, ...], found: list[Found]) -> Row:
    """Add up one set."""
    counts = {
        name: reduce(
            add,
            (
                score(r.truth, f.r_sample, window)
                for r, f in zip(records, found, strict=True)
                if r.truth is not None
            ),
            QrsCounts(),
        )
        for name, window in _WINDOWS_S.items()
    }
    timings = [
        PeakTiming.of(r.truth, f.r_sample, f.known_sample)
        for r, f in zip(records, found, strict=True)
        if r.truth is not None and f.known_sample is not None
    ]
    wide = counts["150 ms"]
    return Row(
        recordings,
        detector,
        wide.tp + wide.fn,
        wide.se,
        wide.ppv,
        wide.f1,
        counts["50 ms"].f1,
        sum(map(len, records)) / 1e6 / sum(f.seconds for f in found),
        PeakTiming.join(timings).figures() if timings else None,
    )


def compare(sets: list[RecordSet], detectors: dict[str, peers.Detector], cache: Path | None) -> list[Row]:
    """Run all detectors over all sets; a record that is in two sets is run once."""
    rows = []
    known: dict[tuple[str, str], Found] = {}
    for chosen in sets:
        missing = tuple(record for record in chosen.records if (OURS, record.name) not in known)
        for record, found in zip(missing, ours(missing), strict=True):
            known[OURS, record.name] = found
        for name, detector in detectors.items():
            for record in chosen.records:
                if (name, record.name) not in known:
                    known[name, record.name] = theirs(name, detector, record, cache)
        rows += [
            row(chosen.name, name, chosen.records, [known[name, record.name] for record in chosen.records])
            for name in (OURS, *detectors)
        ]
        print(f"{chosen.name} done", file=sys.stderr)
    return rows


def print_rows(rows: list[Row]) -> None:
    """Print the table."""
    print(
        f"{'recordings':20} {'detector':30} {'beats':>7} {'Se':>8} {'+P':>8} {'F1':>8} {'F1 50 ms':>9} {'MS/s':>7}"
    )
    for r in rows:
        values = " ".join(f"{100 * v:8.3f}" if v is not None else f"{'-':>8}" for v in (r.se, r.ppv, r.f1))
        narrow = f"{100 * r.f1_50ms:9.3f}" if r.f1_50ms is not None else f"{'-':>9}"
        print(
            f"{r.recordings:20} {r.detector:30} {r.beats:7} {values} {narrow} {r.million_samples_per_s:7.2f}"
        )
    print(
        "\nours: position error in samples after each record's own offset; delay from R peak to known, in seconds"
    )
    for r in rows:
        if r.timing is not None:
            error, delay = r.timing["position_error_samples"], r.timing["delay_s"]
            print(
                f"{r.recordings:20} error median {error['median']:.0f}, p95 {error['p95']:.0f}; "
                f"delay median {delay['median']:.3f}, p99 {delay['p99']:.3f}"
            )


def plot(rows: list[Row], file: Path) -> None:
    """Draw errors of each detector on each set: a point for Se, one for +P."""
    from matplotlib.figure import Figure

    sets = list(dict.fromkeys(r.recordings for r in rows))
    detectors = list(dict.fromkeys(r.detector for r in rows))
    figure = Figure(figsize=(11, 5), layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, what in zip(axes, ("se", "ppv"), strict=True):
        for place, detector in enumerate(detectors):
            of = {r.recordings: getattr(r, what) for r in rows if r.detector == detector}
            errors = [100 * max(1 - (of[name] or 0.0), 1e-4) for name in sets]
            marker = "*" if detector == OURS else "o"
            axis.plot(errors, range(len(sets)), marker, label=detector, color=f"C{place}", alpha=0.8)
        axis.set_xscale("log")
        axis.set_xlabel({"se": "beats missed (100 - Se), %", "ppv": "beats invented (100 - +P), %"}[what])
        axis.grid(alpha=0.3)
    axes[0].set_yticks(range(len(sets)), sets)
    axes[0].invert_yaxis()
    axes[1].legend(fontsize=8)
    figure.savefig(file)


def main() -> int:
    """Compare, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    sets = list(record_sets())
    if not sets:
        print("no recordings: set STRAPWATCH_DATA to the folder of the databases", file=sys.stderr)
        return 1
    there, missing = peers.installed() if arguments.peers else ({}, [])
    if missing:
        print(
            f"not installed, left out: {', '.join(missing)}; pip install 'strapwatch[bench]'", file=sys.stderr
        )
    first = sets[0].records[0]
    short = replace(first, millivolts=first.millivolts[: int(_WARM_UP_S * first.rate_hz)])
    for detector in (find_peaks, *there.values()):
        _timed(detector, short)
    rows = compare(sets, there, arguments.cache)
    print_rows(rows)
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(r) for r in rows], indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(rows, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
