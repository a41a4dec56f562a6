"""What a user would otherwise write: ``python -m benchmarks.alternative --athletes 8``.

A loop that, each second and for each athlete, runs a library's detector over a sliding window of the last seconds,
takes the beats whose window has just closed, and asks the same network about each in torch. The watch runs in the same
process, one after the other, over the same records for as long: packets in, beats out, one thread each. Printed is how
many athletes one core holds by each, and the ratio.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.live_straps import RATE_HZ, load_records, straps_of
from benchmarks.watch_load import cost_s, ticks
from models.runtime import load_classifier
from monitor.contract import CONTEXT_FIELDS, WINDOW_POINTS
from monitor.warm_up import warm_up
from monitor.watch import Watch
from simulators.records import Record

WINDOW_S: Final = 10.0
"""Long enough for either library's thresholds; a beat is taken when its own window has closed within it."""
_HALF: Final = WINDOW_POINTS // 2
_TICK_S: Final = 0.1

Detector = Callable[[NDArray[np.float64]], NDArray[np.int64]]


def neurokit(signal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return R peaks by NeuroKit2, cleaned as it recommends."""
    import neurokit2

    cleaned = neurokit2.ecg_clean(signal, sampling_rate=int(RATE_HZ))
    _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=int(RATE_HZ))
    return np.asarray(found["ECG_R_Peaks"], np.int64)


def xqrs(signal: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return R peaks by wfdb's XQRS."""
    from wfdb.processing import XQRS

    detector = XQRS(sig=signal, fs=RATE_HZ)
    detector.detect(verbose=False)
    return np.asarray(detector.qrs_inds, np.int64)


DETECTORS: Final[dict[str, Detector]] = {"neurokit2": neurokit, "wfdb xqrs": xqrs}


def alternative_s(
    signals: list[NDArray[np.float64]], detect: Detector, classifier: Any, *, seconds: int
) -> tuple[float, int]:
    """Run the loop over some athletes; return its processor seconds, and the beats it named."""
    begun, named = time.thread_time(), 0
    done = [0] * len(signals)
    for second in range(int(WINDOW_S), int(WINDOW_S) + seconds + 1):
        if second == int(WINDOW_S) + 1:
            # The first window brings ten seconds' beats at once: it is no part of the cost.
            begun, named = time.thread_time(), 0
        end = int(second * RATE_HZ)
        first = end - int(WINDOW_S * RATE_HZ)
        for athlete, signal in enumerate(signals):
            try:
                peaks = first + detect(signal[first:end])
            except (ValueError, IndexError, ZeroDivisionError):
                # A library that cannot bear a stretch of signal finds nothing in it.
                continue
            for r in peaks.tolist():
                if r <= done[athlete] or r - _HALF < first or r + _HALF > end:
                    continue
                done[athlete] = r
                window = signal[r - _HALF : r + _HALF].astype(np.float32)[np.newaxis]
                context = np.zeros((1, len(CONTEXT_FIELDS)), np.float32)
                classifier.probabilities(window, np.zeros_like(window), context)
                named += 1
    return time.thread_time() - begun, named


def watch_s(records: list[Record], athletes: int, *, seconds: int) -> tuple[float, int]:
    """Run the watch over as many athletes; return its processor seconds, and the beats it named."""
    classifier = load_classifier()
    warm_up(classifier)
    watch = Watch(classifier=classifier)
    load = ticks(records, athletes, seconds=seconds + WINDOW_S, packet_s=0.25, tick_s=_TICK_S)
    settling = int(WINDOW_S / _TICK_S)
    cost_s(watch, (tick for _, tick in zip(range(settling), load, strict=False)))
    return cost_s(watch, load)


def main() -> int:
    """Measure both, and print how many athletes a core holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--athletes", type=int, default=8, help="in the loop; the watch gets its own number")
    parser.add_argument("--watched", type=int, default=500, help="athletes of the watch")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--bpm", type=float, default=75.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    records = load_records(arguments.bpm)
    straps = straps_of(records, arguments.athletes, packet_s=0.25, boot=1)
    length = int((WINDOW_S + arguments.seconds + 1) * RATE_HZ)
    signals = [
        np.nan_to_num(
            np.roll(strap.record.millivolts, -int(strap.start_s * RATE_HZ))[:length].astype(np.float64)
        )
        for strap in straps
    ]
    rows: dict[str, dict[str, float]] = {}
    spent, beats = watch_s(records, arguments.watched, seconds=arguments.seconds)
    rows["strapwatch"] = _row(spent, beats, arguments.watched, arguments.seconds)
    by_torch = load_classifier(device="torch")
    for name, detect in DETECTORS.items():
        detect(signals[0][: int(WINDOW_S * RATE_HZ)])
        spent, beats = alternative_s(signals, detect, by_torch, seconds=arguments.seconds)
        rows[name] = _row(spent, beats, arguments.athletes, arguments.seconds)
    for name, row in rows.items():
        ratio = rows["strapwatch"]["athletes_a_core"] / row["athletes_a_core"]
        print(
            f"{name:10}  {row['ms_per_athlete_s']:8.3f} ms a second and athlete  "
            f"{row['athletes_a_core']:7.0f} athletes on a core  ours: {ratio:.0f} times  ({row['beats']:.0f} beats)"
        )
    if arguments.json:
        arguments.json.write_text(json.dumps(rows, indent=2) + "\n", encoding="utf-8")
    return 0


def _row(spent_s: float, beats: int, athletes: int, seconds: int) -> dict[str, float]:
    each_s = spent_s / (athletes * seconds)
    return {"ms_per_athlete_s": 1e3 * each_s, "athletes_a_core": 1.0 / each_s, "beats": beats}


if __name__ == "__main__":
    sys.exit(main())
