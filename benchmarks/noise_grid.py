"""Se and +P over heart rate and signal-to-noise ratio, as a heat map: ours and peers on the same signals.

``python -m benchmarks.noise_grid [--seconds 60] [--peers/--no-peers] [--json FILE] [--plot FILE]``; one thread. The
hearts are synthetic, 60 to 220 bpm; the noises are steps of running, muscle, electrode motion (synthetic), and, with
recordings in ``STRAPWATCH_DATA``, baseline wander and muscle as recorded and the electrode motion of the noise stress
records. The signal-to-noise ratio is that of WFDB's ``nst``.
"""

import argparse
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks import peers
from benchmarks.detectors import OURS, score
from benchmarks.front_end import find_peaks
from simulators.noise import NoiseKind, make_noise, noise_gain, noise_power, qrs_power
from simulators.noise_mixture import CLEAN_FIRST_S, SEGMENT_S
from simulators.records import data_folder, read_record
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ: Final = 360.0
RATES_BPM: Final = (60.0, 100.0, 140.0, 180.0, 220.0)
SNRS_DB: Final = (24.0, 18.0, 12.0, 6.0, 0.0)
_MADE: Final[tuple[NoiseKind, ...]] = ("motion", "muscle", "electrode")
_RECORDED: Final = {"bw": "recorded wander", "ma": "recorded muscle"}
_Signal = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Cell:
    """One detector at one heart rate, noise and signal-to-noise ratio."""

    detector: str
    noise: str
    rate_bpm: float
    snr_db: float
    se: float | None
    ppv: float | None
    f1: float | None


def noises(samples: int) -> dict[str, _Signal]:
    """Return the noises there are, each of `samples` samples."""
    random = np.random.default_rng(1)
    found: dict[str, _Signal] = {
        kind: make_noise(kind, samples, rate_hz=RATE_HZ, random=random) for kind in _MADE
    }
    if (data_folder() / "nstdb").is_dir() and (data_folder() / "mitdb").is_dir():
        for name, title in _RECORDED.items():
            found[title] = _recorded(name)[:samples]
        noisy, clean = read_record("nstdb/118e00", lead=0), read_record("mitdb/118", lead=0)
        begin = round(CLEAN_FIRST_S * RATE_HZ)
        end = begin + round(min(SEGMENT_S, samples / RATE_HZ) * RATE_HZ)
        motion = (noisy.millivolts - clean.millivolts)[begin:end].astype(np.float64)
        found["recorded electrode motion"] = np.resize(motion - motion.mean(), samples)
    return found


def _recorded(name: str) -> _Signal:
    import wfdb

    line = np.asarray(wfdb.rdrecord(str(data_folder() / "nstdb" / name), channels=[0]).p_signal[:, 0])
    return np.asarray(line - line.mean(), np.float64)


def measure(seconds: float, detectors: dict[str, peers.Detector]) -> list[Cell]:
    """Run all detectors over the grid."""
    cells = []
    of_kind = noises(round(seconds * RATE_HZ))
    for rate_bpm in RATES_BPM:
        heart = synthesize(SyntheticAthlete(rate_bpm=rate_bpm), rate_hz=RATE_HZ, seconds=seconds, seed=3)
        if heart.truth is None:
            raise ValueError("a synthetic record has its truth")
        power = qrs_power(heart.millivolts, heart.truth.r_samples, rate_hz=RATE_HZ)
        for kind, noise in of_kind.items():
            for snr_db in SNRS_DB:
                gain = noise_gain(power, noise_power(noise, rate_hz=RATE_HZ), snr_db)
                signal = heart.millivolts.astype(np.float64) + gain * noise[: len(heart)]
                for name, detector in detectors.items():
                    counts = score(heart.truth, detector(signal, RATE_HZ), 0.150)
                    cells.append(Cell(name, kind, rate_bpm, snr_db, counts.se, counts.ppv, counts.f1))
        print(f"{rate_bpm:g} bpm done", file=sys.stderr)
    return cells


def plot(cells: list[Cell], file: Path) -> None:
    """Draw F1 as a heat map: a row per detector, a column per noise."""
    from matplotlib.figure import Figure

    detectors = list(dict.fromkeys(cell.detector for cell in cells))
    kinds = list(dict.fromkeys(cell.noise for cell in cells))
    figure = Figure(figsize=(2.4 * len(kinds) + 1.5, 2.0 * len(detectors) + 0.8), layout="constrained")
    axes = figure.subplots(len(detectors), len(kinds), squeeze=False, sharex=True, sharey=True)
    image = None
    for row, detector in enumerate(detectors):
        for column, kind in enumerate(kinds):
            of = {(c.rate_bpm, c.snr_db): c.f1 for c in cells if (c.detector, c.noise) == (detector, kind)}
            grid = np.array([[of[rate, snr] or 0.0 for snr in SNRS_DB] for rate in RATES_BPM])
            axis = axes[row, column]
            image = axis.imshow(grid, vmin=0.5, vmax=1.0, cmap="viridis", aspect="auto", origin="lower")
            for y, x in np.ndindex(grid.shape):
                ink = "white" if grid[y, x] < 0.8 else "black"
                axis.text(x, y, f"{100 * grid[y, x]:.0f}", ha="center", va="center", fontsize=6, color=ink)
            axis.set_xticks(range(len(SNRS_DB)), [f"{snr:g}" for snr in SNRS_DB], fontsize=7)
            axis.set_yticks(range(len(RATES_BPM)), [f"{rate:g}" for rate in RATES_BPM], fontsize=7)
            if row == 0:
                axis.set_title(kind, fontsize=8)
            if column == 0:
                axis.set_ylabel(f"{detector}\nbpm", fontsize=7)
            if row == len(detectors) - 1:
                axis.set_xlabel("signal-to-noise ratio, dB", fontsize=7)
    if image is not None:
        figure.colorbar(image, ax=axes, label="F1", shrink=0.6)
    figure.savefig(file, dpi=110)


def print_means(cells: list[Cell]) -> None:
    """Print the mean F1 of each detector by noise and ratio."""
    for kind in dict.fromkeys(cell.noise for cell in cells):
        print(f"\n{kind}: mean F1 over {RATES_BPM[0]:g} to {RATES_BPM[-1]:g} bpm, %")
        print(f"{'':30}" + "".join(f"{snr:>7g} dB" for snr in SNRS_DB))
        for detector in dict.fromkeys(cell.detector for cell in cells):
            means = []
            for snr in SNRS_DB:
                of = [c.f1 or 0.0 for c in cells if (c.detector, c.noise, c.snr_db) == (detector, kind, snr)]
                means.append(100 * sum(of) / len(of))
            print(f"{detector:30}" + "".join(f"{mean:10.1f}" for mean in means))


def main() -> int:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--peers", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--plot", type=Path)
    arguments = parser.parse_args()
    detectors: dict[str, peers.Detector] = {OURS: find_peaks}
    if arguments.peers:
        there, missing = peers.installed()
        detectors.update(there)
        if missing:
            print(f"not installed, left out: {', '.join(missing)}", file=sys.stderr)
    cells = measure(arguments.seconds, detectors)
    print_means(cells)
    if arguments.json:
        text = json.dumps([asdict(cell) for cell in cells], indent=1)
        arguments.json.write_text(text + "\n", encoding="utf-8")
    if arguments.plot:
        plot(cells, arguments.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
