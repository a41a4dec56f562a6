"""Where the line's time goes: each stage alone, over a bank of straps, in blocks of 1 s and 0.1 s.

``python -m benchmarks.stages [--straps 64] [--seconds 60] [--json FILE]``; one thread. The signal is synthetic: it
needs no recordings. `sleepecg` (compiled, whole file at once, offline) runs beside it on the same samples,
as a measure of the machine.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import sleepecg
from numpy.typing import NDArray

from benchmarks.front_end import FrontEnd
from monitor.contract import Block
from monitor.filters import FilterBank, classifier_sections, detector_sections
from monitor.line import Line
from monitor.rpeaks import RPeakBank
from simulators.synthetic_team import synthetic_team

RATE_HZ = 360.0


def signal(straps: int, seconds: float) -> NDArray[np.float32]:
    """Return ECG in millivolt, shape ``[straps, samples]``, of a few athletes at different phases."""
    records = synthetic_team(12, seconds=seconds + 10.0, seed=1)
    chosen = [record.millivolts for record in records if record.rate_hz == RATE_HZ]
    samples = int(seconds * RATE_HZ)
    return np.stack([np.roll(chosen[k % len(chosen)], 37 * k)[:samples] for k in range(straps)])


def timed(call: Callable[[], object]) -> float:
    """Return the processor seconds of the quicker of three calls: other programs on the machine do not count."""
    best = float("inf")
    for _ in range(3):
        begun = time.thread_time()
        call()
        best = min(best, time.thread_time() - begun)
    return best


def blocks(ecg: NDArray[np.float32], length: int) -> list[Block]:
    """Cut a bank's signal into blocks."""
    rows = np.arange(len(ecg))
    return [
        Block(
            rows,
            np.full(len(ecg), first),
            np.ascontiguousarray(ecg[:, first : first + length]),
            np.ones((len(ecg), min(length, ecg.shape[1] - first)), np.bool_),
        )
        for first in range(0, ecg.shape[1], length)
    ]


def measure(ecg: NDArray[np.float32], block_s: float) -> dict[str, float]:
    """Return million samples a second of each stage, and of the line without classifier."""
    cut = blocks(ecg, int(block_s * RATE_HZ))
    straps, total = len(ecg), ecg.size / 1e6

    def filters(sections: NDArray[np.float64]) -> Callable[[], object]:
        def call() -> None:
            bank = FilterBank(sections, capacity=straps)
            for block in cut:
                bank.process(block)

        return call

    ear = FilterBank(detector_sections(RATE_HZ), capacity=straps)
    banded = [ear.process(block) for block in cut]

    def detector() -> None:
        bank = RPeakBank(RATE_HZ, capacity=straps)
        for block, signal_ in zip(cut, banded, strict=True):
            bank.process(block.rows, block.first_sample, signal_)

    def line() -> None:
        whole = Line(rate_hz=RATE_HZ, capacity=straps)
        for _ in range(straps):
            whole.claim()
        for block in cut:
            whole.process(block)

    return {
        "classifier path filters": total / timed(filters(classifier_sections(RATE_HZ))),
        "detector path filters": total / timed(filters(detector_sections(RATE_HZ))),
        "R-peak detector": total / timed(detector),
        "front end": total / timed(lambda: _run_front_end(straps, cut)),
        "line without classifier": total / timed(line),
    }


def _run_front_end(straps: int, cut: list[Block]) -> None:
    whole = FrontEnd(RATE_HZ, straps)
    for block in cut:
        whole.process(block)


def more_straps(block_s: float = 0.1) -> dict[str, float]:
    """Return nanoseconds per sample of the front end with 10 and with 1,000 straps, and their ratio."""
    spent = {}
    for straps, seconds in ((10, 60.0), (1000, 6.0)):
        cut = blocks(signal(straps, seconds), int(block_s * RATE_HZ))
        took_s = timed(partial(_run_front_end, straps, cut))
        spent[f"{straps} straps"] = 1e9 * took_s / (straps * seconds * RATE_HZ)
    return {**spent, "ratio": spent["1000 straps"] / spent["10 straps"]}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--straps", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    ecg = signal(arguments.straps, arguments.seconds)
    peer = ecg.size / 1e6 / timed(lambda: [sleepecg.detect_heartbeats(row, RATE_HZ) for row in ecg])
    result = {f"{block_s:g} s": measure(ecg, block_s) for block_s in (1.0, 0.1)}
    print(
        f"{arguments.straps} straps, {arguments.seconds:g} s at {RATE_HZ:g} Hz; million samples a second, one thread"
    )
    for stage in result["1 s"]:
        print(
            f"{stage:26}" + "".join(f"  blocks of {name}: {row[stage]:6.1f}" for name, row in result.items())
        )
    print(f"{'sleepecg, whole file':26}  {peer:6.1f}")
    straps = more_straps()
    print("front end, blocks of 0.1 s: " + ", ".join(f"{name} {value:.3g}" for name, value in straps.items()))
    print("(nanoseconds per sample; the ratio is 1,000 straps over 10)")
    if arguments.json:
        arguments.json.write_text(
            json.dumps({"sleepecg": peer, "more_straps": straps, **result}, indent=2) + "\n"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
