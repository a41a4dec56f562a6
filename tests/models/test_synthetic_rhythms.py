"""Synthetic rhythms are what they say, and belong to their patient."""

import numpy as np

from models.splits import patient_of
from models.synthetic_rhythms import RATE_HZ, exertion, fibrillation, paroxysms, sick_sinus

_TIME_S = (np.arange(600) - 300) / 360.0
_WINDOW = np.tile(np.exp(-0.5 * (_TIME_S / 0.015) ** 2), (60, 1)).astype(np.float32)


def test_early_beats_are_early_and_labelled() -> None:
    """S beats follow sooner than the N beats usually do; every R peak is where the reference says."""
    for seed in range(4):
        record = sick_sinus(_WINDOW, 120.0, np.random.default_rng(seed))
        rr = np.diff(record.r_samples) / RATE_HZ
        early = record.classes[1:] == 1
        assert early.mean() > 0.3
        assert np.median(rr[early]) < 0.8 * np.median(rr[~early])
        assert (record.millivolts[record.r_samples] > 0.6).mean() > 0.95
        assert len(record.r_samples) == len(record.classes)


def test_fibrillation_is_irregular_and_all_n() -> None:
    """RR intervals spread by a tenth at least, and no beat is S."""
    record = fibrillation(_WINDOW, 120.0, np.random.default_rng(1))
    rr = np.diff(record.r_samples)
    assert np.std(rr) / np.mean(rr) > 0.1
    assert not record.classes.any()


def test_a_tachycardia_begins_at_once_and_exertion_does_not() -> None:
    """The first early beat is far ahead of those before; under exertion no beat is, however fast it gets."""
    for seed in range(4):
        attack = paroxysms(_WINDOW, 200.0, np.random.default_rng(seed))
        rr = np.diff(attack.r_samples) / RATE_HZ
        early = attack.classes[1:] == 1
        onsets = np.flatnonzero(early[1:] & ~early[:-1]) + 1
        assert len(onsets) > 2
        assert (rr[onsets] < 0.86 * np.median(rr[~early])).all()
        work = exertion(_WINDOW, 200.0, np.random.default_rng(seed))
        rr = np.diff(work.r_samples) / RATE_HZ
        assert not work.classes.any()
        assert rr.min() < 0.52
        assert rr.max() > 0.58
        assert (rr[1:] / rr[:-1]).min() > 0.85


def test_they_belong_to_their_patient() -> None:
    """A synthetic record leaves a fit with the patient whose beats it is made of."""
    assert patient_of("mitdb/101#s1") == "mitdb/101"
