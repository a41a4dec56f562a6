"""The R-peak detector's figures on real recordings, and how it comes back from trouble."""

import os
from functools import reduce
from operator import add

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.detectors import score
from benchmarks.front_end import find_peaks
from benchmarks.recordings import held_out, noise_stress
from monitor.contract import IntArray
from monitor.scoring import QrsCounts
from simulators.noise import make_noise
from simulators.records import Record, read_record
from simulators.synthetic import SyntheticAthlete, synthesize

RATE_HZ = 360.0
TROUBLE_S, AGAIN_S = 20.0, 40.0

needs_data = pytest.mark.skipif(
    "STRAPWATCH_DATA" not in os.environ, reason="STRAPWATCH_DATA names no folder with recordings"
)


def _counts(records: list[Record]) -> QrsCounts:
    return reduce(
        add,
        (
            score(record.truth, find_peaks(record.millivolts, record.rate_hz), 0.150)
            for record in records
            if record.truth is not None
        ),
        QrsCounts(),
    )


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(
    ("names", "least_se", "least_ppv"),
    [
        (["edb/e0103", "edb/e0808", "edb/e1304"], 0.9990, 0.9990),
        ([f"mitdb/{name}" for name in held_out()["mitdb"][:2]], 0.9950, 0.9985),
    ],
)
def test_real_beats_are_found(names: list[str], least_se: float, least_ppv: float) -> None:
    """Sensitivity and positive predictivity stay a little under what was reached, or above."""
    counts = _counts([read_record(name, lead=0) for name in names])
    assert counts.se is not None
    assert counts.ppv is not None
    assert counts.se >= least_se
    assert counts.ppv >= least_ppv


@pytest.mark.data
@needs_data
@pytest.mark.parametrize(("snr_db", "least_f1"), [(24, 0.998), (12, 0.975), (6, 0.86), (0, 0.65)])
def test_beats_are_found_in_noise(snr_db: int, least_f1: float) -> None:
    """In the noisy stretches of the noise stress records F1 stays a little under what was reached, or above."""
    counts = _counts([noise_stress(snr_db)])
    assert counts.f1 is not None
    assert counts.f1 >= least_f1


def _troubled(trouble: str) -> tuple[NDArray[np.float64], IntArray]:
    """Return a minute in which something happens at 20 s, over by 40 s, and its beats."""
    heart = synthesize(SyntheticAthlete(), rate_hz=RATE_HZ, seconds=60.0, seed=4)
    assert heart.truth is not None
    x, beats = heart.millivolts.astype(np.float64), heart.truth.r_samples
    begin, end = round(TROUBLE_S * RATE_HZ), round(AGAIN_S * RATE_HZ)
    if trouble == "flat":
        x[begin:end] = x[begin]
    elif trouble == "railed":
        x[begin:end] = 5.0
    elif trouble == "motion":
        x[begin:end] += 5.0 * make_noise(
            "electrode", end - begin, rate_hz=RATE_HZ, random=np.random.default_rng(2)
        )
    else:
        x[end:] *= float(trouble)
    return x, beats


@pytest.mark.parametrize("trouble", ["flat", "railed", "motion", "0.2", "5", "-1", "-0.2"])
def test_nothing_silences_it_for_good(trouble: str) -> None:
    """Three seconds after a flat or railed line, violent motion, or a change of size or sign every beat is found."""
    signal, beats = _troubled(trouble)
    found = find_peaks(signal, RATE_HZ)
    again, over = (AGAIN_S + 3.0) * RATE_HZ, len(signal) - RATE_HZ
    late = beats[(beats > again) & (beats < over)]
    distance = np.abs(late[:, np.newaxis] - found).min(axis=1)
    assert (distance <= 0.15 * RATE_HZ).all()
    assert len(found[(found > again) & (found < over)]) <= len(late) + 1


@pytest.mark.parametrize("trouble", ["flat", "railed"])
def test_a_line_that_stands_still_holds_no_beats(trouble: str) -> None:
    """Half a second after a line has begun to stand still there is no beat in it."""
    found = find_peaks(_troubled(trouble)[0], RATE_HZ)
    inside = (found > (TROUBLE_S + 0.5) * RATE_HZ) & (found < (AGAIN_S - 0.2) * RATE_HZ)
    assert not inside.any()
