"""Beats from the reference's R peaks: all of them, where they are, with the classes that they have."""

import numpy as np

from models.reference_beats import cut_at_reference
from simulators.annotations import Truth
from simulators.records import Record

RATE_HZ = 360.0


def test_every_reference_beat_is_cut_where_it_is() -> None:
    """Positions and classes are the reference's, the R peak is in the middle, and RR intervals are theirs."""
    r_samples = np.cumsum(np.tile([300, 250, 340], 20)).astype(np.int64) + 400
    classes = np.tile(np.array([0, 1, 0], np.int8), 20)
    signal = np.zeros(r_samples[-1] + 600, np.float32)
    for r in r_samples:
        signal[r - 20 : r + 21] += np.exp(-0.5 * (np.arange(-20, 21) / 5.0) ** 2).astype(np.float32)
    record = Record(
        name="made/up",
        rate_hz=RATE_HZ,
        lead="I",
        millivolts=signal,
        counts=np.zeros(len(signal), np.int16),
        microvolts_per_count=1.0,
        truth=Truth(r_samples, classes, np.empty((0, 2), np.int64), RATE_HZ),
    )
    beats = cut_at_reference(record, "made/up")
    assert beats.r_sample.tolist() == r_samples.tolist()
    assert beats.label.tolist() == classes.tolist()
    assert beats.complete.all()
    assert not beats.missed.any()
    np.testing.assert_allclose(beats.context[1:, 0], np.diff(r_samples) / RATE_HZ, rtol=1e-5)
    # Its neighbours lie in the window too.
    assert (np.abs(beats.window[:, 200:400].argmax(axis=1) - 100) <= 8).all()
