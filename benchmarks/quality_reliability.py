"""Whether signal quality means what it says: the probability that a beat, and the interval before it, are right.

``python -m benchmarks.quality_reliability [--json FILE] [--plot FILE]``, with mitdb, svdb and the noise records bw
and ma in ``STRAPWATCH_DATA``: the recordings kept aside (``benchmarks/held_out.toml``), as they are and with noise
that the detector was not trained on (`benchmarks.noisy_mixtures`). Printed and drawn: for each tenth of quality the
share of right beats, the expected calibration error, and the mean quality by signal-to-noise ratio.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.noisy_mixtures import CHOICE_SNR_DB, CLEAR_DB, mixture
from benchmarks.recordings import held_out
from benchmarks.train_detector import mark_offset_s, right_beats, watch
from monitor.beat_matching import inside
from monitor.contract import TRUSTED_QUALITY
from monitor.rpeak_judge import load_judge
from simulators.records import Record, read_record

BINS: Final = 10


@dataclass(frozen=True, slots=True)
class Bin:
    """Beats of about one quality."""

    beats: int
    quality: float
    right: float


def beats_in_noise(
    record: Record, random: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return quality, whether it was right, and signal-to-noise ratio of every beat announced in one recording."""
    judge = load_judge()
    offset = round(mark_offset_s(record, judge) * record.rate_hz)
    recording, snr_db = mixture(record, random, kept=True)
    peaks = watch(recording, judge).peaks
    right = right_beats(recording.r_samples + offset, peaks.r_sample, recording)
    scored = ~inside(peaks.r_sample, recording.unscored)
    ratio = snr_db[np.minimum(peaks.r_sample, len(snr_db) - 1)]
    return peaks.quality[scored].astype(np.float64), right[scored], ratio[scored]


def beats_of(seed: int) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.float64]]:
    """Return the same of all recordings kept aside."""
    random = np.random.default_rng(seed)
    parts = []
    for database, names in held_out().items():
        parts += [beats_in_noise(read_record(f"{database}/{name}", lead=0), random) for name in names]
        print(f"{database} done", file=sys.stderr)
    quality, right, ratio = (np.concatenate(part) for part in zip(*parts, strict=True))
    return quality, right, ratio


def binned(quality: NDArray[np.float64], right: NDArray[np.bool_]) -> list[Bin]:
    """Return mean quality and share of right beats, a tenth of quality at a time; empty tenths are left out."""
    place = np.minimum((quality * BINS).astype(np.int64), BINS - 1)
    return [
        Bin(int(here.sum()), float(quality[here].mean()), float(right[here].mean()))
        for here in (place == k for k in range(BINS))
        if here.any()
    ]


def calibration_error(bins: list[Bin]) -> float:
    """Return the expected calibration error: the mean gap between what quality says and what was right."""
    return sum(b.beats * abs(b.quality - b.right) for b in bins) / sum(b.beats for b in bins)


def plot(bins: list[Bin], error: float, file: Path) -> None:
    """Draw what was right over what quality said, and how many beats each point stands for."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 5.5), layout="constrained")
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot([0, 1], [0, 1], color="0.6", linewidth=1)
    upper.plot([b.quality for b in bins], [b.right for b in bins], "o-")
    upper.set_ylabel("share of right beats")
    upper.set_title(f"records kept aside, in noise; calibration error {error:.3f}", fontsize=9)
    lower.bar([b.quality for b in bins], [b.beats for b in bins], width=0.06)
    lower.set_yscale("log")
    lower.set_xlabel("quality announced")
    lower.set_ylabel("beats")
    figure.savefig(file, metadata={"Date": None} if file.suffix == ".svg" else None)


def main() -> int:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    quality, right, ratio = beats_of(arguments.seed)
    bins = binned(quality, right)
    error = calibration_error(bins)
    print(f"{len(quality)} beats announced, {100 * right.mean():.2f} % right with the interval before them")
    print("quality   beats   mean quality   right")
    for b in bins:
        print(f"{b.quality:7.2f} {b.beats:7} {b.quality:14.3f} {b.right:7.3f}")
    print(f"expected calibration error {error:.4f}")
    by_ratio: dict[str, Any] = {}
    for value in (CLEAR_DB, *CHOICE_SNR_DB):
        here = ratio == value
        name = "no noise added" if value == CLEAR_DB else f"{value:g} dB"
        by_ratio[name] = {
            "beats": int(here.sum()),
            "quality": float(quality[here].mean()),
            "right": float(right[here].mean()),
            "trusted": float((quality[here] >= TRUSTED_QUALITY).mean()),
        }
        print(f"{name:15} " + ", ".join(f"{key} {figure:.4g}" for key, figure in by_ratio[name].items()))
    if arguments.json:
        told = {"bins": [asdict(b) for b in bins], "calibration_error": error, "by_ratio": by_ratio}
        arguments.json.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        plot(bins, error, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
