"""Draw how the R-peak detector works, step by step, on a real record.

``python -m benchmarks.detector_figures [--record mitdb/203] [--from 60] [--seconds 6] [--out docs/detector-steps.svg]``
"""

import argparse
import sys
from pathlib import Path

import numpy as np

from monitor.contract import Block
from monitor.filters import FilterBank, detector_sections, group_delay_s
from monitor.rpeak_doubt import WIDE_INPUTS
from monitor.rpeak_state import JUDGED, Trace
from monitor.rpeaks import RPeakBank
from simulators.records import read_record


def main() -> int:
    """Draw one figure with a panel per step."""
    from matplotlib.figure import Figure

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", default="mitdb/203")
    parser.add_argument("--from", dest="begin_s", type=float, default=60.0)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--out", type=Path, default=Path("docs/detector-steps.svg"))
    arguments = parser.parse_args()
    record = read_record(arguments.record, lead=0)
    rate_hz = record.rate_hz
    begin, end = (round(s * rate_hz) for s in (arguments.begin_s, arguments.begin_s + arguments.seconds))
    samples = record.millivolts[np.newaxis, : end + round(rate_hz)]
    row = np.array([0])
    block = Block(row, row, samples, np.ones(samples.shape, np.bool_))
    banded = FilterBank(detector_sections(rate_hz), capacity=1).process(block)
    room = samples.shape[1]
    trace = Trace(
        np.empty((room, WIDE_INPUTS), np.float32),
        np.empty((room, JUDGED)),
        np.empty((1, 0), np.float32),
    )
    peaks, _, count = RPeakBank(rate_hz, capacity=1).traced(row, row, banded, trace)
    step, average = max(1, round(0.012 * rate_hz)), round(0.08 * rate_hz)
    change = np.abs(banded[0, step:] - banded[0, :-step])
    feature = np.convolve(change, np.ones(average) / average)[: len(change)]
    time_s = np.arange(begin, end) / rate_hz
    figure = Figure(figsize=(10, 7), layout="constrained")
    axes = figure.subplots(4, 1, sharex=True)
    axes[0].plot(time_s, record.millivolts[begin:end], lw=0.8)
    axes[0].set_ylabel("ECG, mV")
    delay_s = group_delay_s(detector_sections(rate_hz), rate_hz, 12.0)
    axes[1].plot(time_s, banded[0, begin:end], lw=0.8)
    axes[1].set_ylabel(f"5 to 35 Hz, mV\n({1e3 * delay_s:.0f} ms later)")
    axes[2].plot(time_s, feature[begin:end], lw=0.8)
    axes[2].set_ylabel("mean slope")
    judged = trace.judged[:count]
    judged = judged[(judged[:, 1] >= begin) & (judged[:, 1] < end)]
    axes[3].stem(judged[:, 1] / rate_hz, judged[:, 2], basefmt=" ")
    axes[3].set_ylabel("probability of\neach candidate")
    axes[3].set_xlabel("s")
    for r, known in zip(peaks.r_sample.tolist(), peaks.known_sample.tolist(), strict=True):
        if begin <= r < end:
            axes[0].axvline(r / rate_hz, color="C3", lw=0.8)
            axes[0].axvspan(r / rate_hz, known / rate_hz, color="C3", alpha=0.12)
    axes[0].set_title(
        f"{record.name}: R peaks (lines), and when each was known (end of the shade)", fontsize=9
    )
    figure.savefig(arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
