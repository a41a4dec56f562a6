"""What the detector makes of hearts that it finds hard: ventricular runs, beats on T waves, spikes without capture.

``python -m benchmarks.hard_beats``; one thread, synthetic hearts, no recordings. Each is seen with the first look alone
and with the second one that is asked in doubt (`monitor.rpeak_doubt`).
"""

import os
import sys
from collections.abc import Sequence
from typing import Final

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from numpy.typing import NDArray

from benchmarks.front_end import blocks
from benchmarks.spoiled import Spoiled
from benchmarks.train_detector import watch
from monitor.contract import TRUSTED_QUALITY, IntArray, Peaks
from monitor.pacer_spikes import SpikeBank
from monitor.rpeak_judge import load_judge
from simulators.ectopy import PrematureBeat, VentricularRun
from simulators.rhythm_track import HeartEvent
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ: Final = 360.0
RUN_RATES_BPM: Final = (160.0, 200.0, 240.0, 280.0)
RUN_BEATS: Final = (5, 12, 30)
COUPLINGS: Final = (0.3, 0.38, 0.45)
_LOOKS: Final = {"first look alone": 0.0, "and the second": float(load_judge().doubt[0])}
_NEAR_S: Final = 0.15
_SPIKES_S: Final = (20.0, 30.0)
_SPIKE_MV: Final = 5.0
_SPIKE_EVERY_S: Final = 0.85


def heart(rate_bpm: float, seconds: float, events: tuple[HeartEvent, ...] = ()) -> Spoiled:
    """Return a synthetic heart and its beats."""
    athlete = SyntheticAthlete(rate_bpm=rate_bpm, events=events)
    made = synthesize(athlete, rate_hz=RATE_HZ, seconds=seconds, seed=5)
    if made.truth is None:
        raise ValueError("a synthetic record has its truth")
    return Spoiled(made.millivolts, made.truth.r_samples, np.empty((0, 2), np.int64), RATE_HZ)


def find(recording: Spoiled, doubt: float) -> Peaks:
    """Return what is found if the second look is asked below a mean probability of `doubt`."""
    return watch(recording, load_judge()._replace(doubt=np.array([doubt]))).peaks


def look_at_samples(recording: Spoiled, peaks: Peaks) -> Peaks:
    """Return the peaks after the look at the samples that tells lone spikes."""
    spikes = SpikeBank(RATE_HZ, capacity=1)
    return spikes.process(next(blocks(recording.millivolts[np.newaxis], len(recording.millivolts))), peaks)


def missed(recording: Spoiled, found: IntArray) -> NDArray[np.bool_]:
    """Return which beats from the third second to the last but one were not found."""
    beats = recording.r_samples
    inside = (beats > 2.0 * RATE_HZ) & (beats < len(recording.millivolts) - RATE_HZ)
    near = np.abs(beats[:, np.newaxis] - found).min(axis=1) <= _NEAR_S * RATE_HZ
    missing: NDArray[np.bool_] = inside & ~near
    return missing


def missed_of_runs(rate_bpm: float, *, polymorphic: bool, doubt: float) -> int:
    """Return how many beats are missed where a run of each length is followed by one of five beats."""
    total = 0
    for beats in RUN_BEATS:
        runs = tuple(
            VentricularRun(at_s=at_s, beats=count, rate_bpm=rate_bpm, polymorphic=polymorphic)
            for at_s, count in ((12.0, beats), (32.0, 5))
        )
        recording = heart(75.0, 50.0, runs)
        total += int(missed(recording, find(recording, doubt).r_sample).sum())
    return total


def print_row(title: str, values: Sequence[object]) -> None:
    """Print a line of the table."""
    print(f"{title:44}" + "".join(f"{value!s:>18}" for value in values))


def main() -> int:
    """Measure and print."""
    print_row("", list(_LOOKS))
    of = sum(RUN_BEATS) + 5 * len(RUN_BEATS)
    for polymorphic in (False, True):
        for rate_bpm in RUN_RATES_BPM:
            kind = "polymorphic" if polymorphic else "of one shape"
            counts = [missed_of_runs(rate_bpm, polymorphic=polymorphic, doubt=d) for d in _LOOKS.values()]
            print_row(f"run, {kind}, {rate_bpm:g}/min: missed of {of}", counts)
    for coupling in COUPLINGS:
        early = tuple(PrematureBeat(at_s=at_s, coupling=coupling) for at_s in (8.0, 15.0, 22.0, 29.0))
        recording = heart(60.0, 40.0, early)
        counts = [int(missed(recording, find(recording, d).r_sample).sum()) for d in _LOOKS.values()]
        print_row(f"beat on a T wave, coupling {coupling:g}: missed of {len(early)}", counts)
    recording = heart(70.0, 40.0)
    begin, end = (round(at_s * RATE_HZ) for at_s in _SPIKES_S)
    recording.millivolts[begin:end] = recording.millivolts[begin]
    recording.millivolts[begin : end : round(_SPIKE_EVERY_S * RATE_HZ)] += _SPIKE_MV
    spikes = len(range(begin, end, round(_SPIKE_EVERY_S * RATE_HZ)))
    announced, trusted = [], []
    for doubt in _LOOKS.values():
        peaks = find(recording, doubt)
        inside = (peaks.r_sample >= begin) & (peaks.r_sample < end)
        announced.append(int(inside.sum()))
        looked = look_at_samples(recording, peaks)
        trusted.append([int((of.quality[inside] >= TRUSTED_QUALITY).sum()) for of in (peaks, looked)])
    print_row(f"spikes without capture: announced of {spikes}", announced)
    print_row("of these trusted by the detector", [by_detector for by_detector, _ in trusted])
    print_row("of these trusted in the end", [in_the_end for _, in_the_end in trusted])
    return 0


if __name__ == "__main__":
    sys.exit(main())
