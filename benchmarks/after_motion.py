"""How long after ten seconds of violent motion the detector finds the rhythm again, and what it made of the motion.

``python -m benchmarks.after_motion [--json FILE]``; one thread. Hearts: synthetic ones of 55 to 170 bpm and, with
mitdb in ``STRAPWATCH_DATA``, the first two minutes of five of its records that are not kept aside. Motion (steps of
running, electrode, muscle, jumps from level to level), whose standard deviation is a multiple of a third of the
heart's own height, is added from 40 to 50 s. The rhythm is found again at the end of motion, or with the first beat
after it, from which on `IN_A_ROW` beats in a row are found and none is invented between them.
"""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.front_end import FrontEnd, blocks
from benchmarks.spoiled import clean
from monitor.contract import TRUSTED_QUALITY, IntArray, Peaks
from simulators.noise import NoiseKind, make_noise
from simulators.records import data_folder, read_record
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ: Final = 360.0
SECONDS: Final = 120.0
MOTION_S: Final = (40.0, 50.0)
WITHIN_S: Final = 3.0
IN_A_ROW: Final = 3
SIZES: Final = (3.0, 10.0, 30.0, 100.0)
SEEDS: Final = 3
_MADE: Final[tuple[NoiseKind, ...]] = ("motion", "electrode", "muscle")
_RECORDS: Final = ("100", "106", "108", "119", "213")
_NEAR_S: Final = 0.15
_Signal = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Trial:
    """One heart after one motion.

    Attributes
    ----------
    heart, motion : str
        Which.
    size : float
        Of the motion.
    again_s : float
        Seconds after its end at which the rhythm was found again.
    invented, trusted : int
        Beats announced during the motion that are none, and how many of these were trusted.
    """

    heart: str
    motion: str
    size: float
    again_s: float
    invented: int
    trusted: int


def hearts() -> Iterator[tuple[str, _Signal, IntArray]]:
    """Return the hearts there are, each with its beats."""
    for seed, rate_bpm in enumerate((55.0, 70.0, 120.0, 170.0), 4):
        made = synthesize(SyntheticAthlete(rate_bpm=rate_bpm), rate_hz=RATE_HZ, seconds=SECONDS, seed=seed)
        if made.truth is None:
            raise ValueError("a synthetic record has its truth")
        yield f"{rate_bpm:g} bpm", made.millivolts.astype(np.float64), made.truth.r_samples
    if (data_folder() / "mitdb").is_dir():
        end = round(SECONDS * RATE_HZ)
        for name in _RECORDS:
            whole = clean(read_record(f"mitdb/{name}", lead=0))
            beats = whole.r_samples[whole.r_samples < end]
            yield f"mitdb/{name}", whole.millivolts[:end].astype(np.float64), beats


def motion(kind: str, samples: int, seed: int) -> _Signal:
    """Return motion of standard deviation 1."""
    random = np.random.default_rng(seed)
    if kind == "jumps":
        made = np.repeat(random.normal(size=40), samples // 40 + 1)[:samples]
    else:
        made = make_noise(kind, samples, rate_hz=RATE_HZ, random=random)  # type: ignore[arg-type] # one of `_MADE`
    return np.asarray(made / made.std())


def found_again_s(beats: IntArray, found: IntArray, end: int) -> float:
    """Return after how many seconds from sample `end` on beats are found in a row, with none invented between."""
    near = round(_NEAR_S * RATE_HZ)
    late = beats[beats > end]
    right = np.abs(late[:, np.newaxis] - found).min(axis=1) <= near
    invented = found[np.abs(found[:, np.newaxis] - beats).min(axis=1) > near]
    for k in range(len(late) - IN_A_ROW + 1):
        first, last = late[k], late[k + IN_A_ROW - 1]
        between = (invented > first) & (invented < last)
        if right[k : k + IN_A_ROW].all() and not between.any():
            return float(first - end) / RATE_HZ if k else 0.0
    return float(len(late) and late[-1] - end) / RATE_HZ


def try_motion(heart: str, clear: _Signal, beats: IntArray, kind: str, size: float, seed: int) -> Trial:
    """Add motion to a heart and see what the front end makes of it."""
    begin, end = (round(at_s * RATE_HZ) for at_s in MOTION_S)
    height = np.ptp(clear[begin // 2 : begin])
    signal = clear.copy()
    signal[begin:end] += size * height / 3.0 * motion(kind, end - begin, seed)
    front_end = FrontEnd(RATE_HZ, 1)
    parts = blocks(signal[np.newaxis].astype(np.float32), round(RATE_HZ))
    peaks = Peaks.join([front_end.process(block) for block in parts])
    found = peaks.r_sample
    far = np.abs(found[:, np.newaxis] - beats).min(axis=1) > _NEAR_S * RATE_HZ
    invented = far & (found >= begin) & (found < end)
    trusted = invented & (peaks.quality >= TRUSTED_QUALITY)
    return Trial(heart, kind, size, found_again_s(beats, found, end), int(invented.sum()), int(trusted.sum()))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    trials = [
        try_motion(heart, clear, beats, kind, size, seed)
        for heart, clear, beats in hearts()
        for kind in (*_MADE, "jumps")
        for size in SIZES
        for seed in range(SEEDS)
    ]
    print(
        "motion      size   trials   again within 3 s, %   longest, s   invented a trial   trusted of these"
    )
    for kind in (*_MADE, "jumps"):
        for size in SIZES:
            of = [trial for trial in trials if (trial.motion, trial.size) == (kind, size)]
            again = 100 * sum(trial.again_s <= WITHIN_S for trial in of) / len(of)
            invented, trusted = (
                sum(getattr(t, what) for t in of) / len(of) for what in ("invented", "trusted")
            )
            longest = max(trial.again_s for trial in of)
            print(
                f"{kind:10} {size:5g} {len(of):8} {again:21.1f} {longest:12.1f} {invented:18.1f} {trusted:18.1f}"
            )
    late = [trial for trial in trials if trial.again_s > WITHIN_S]
    print(f"all        {len(trials):14} {100 - 100 * len(late) / len(trials):21.1f}; later than that:")
    for trial in late:
        print(f"  {trial.heart}, {trial.motion}, size {trial.size:g}: {trial.again_s:.1f} s")
    if arguments.json:
        arguments.json.write_text(json.dumps([asdict(t) for t in trials], indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
