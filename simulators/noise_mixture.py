"""The noise stress records: where they are noisy, and the 6 dB one, made from two that exist.

A record of the MIT-BIH Noise Stress Test Database is a clean record to which electrode motion was added: five clean
minutes, then noisy and clean stretches of two minutes in turn. The noise itself is the difference of a noisy record
and its clean original, so a mixture at another signal-to-noise ratio is that difference, scaled.

References
----------
Moody GB, Muldrow WE, Mark RG. A noise stress test for arrhythmia detectors. Computers in Cardiology 11:381-384, 1984.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from monitor.contract import IntArray
from simulators.annotations import Truth
from simulators.records import Record, quantise, record_of_counts

CLEAN_FIRST_S: Final = 300.0
SEGMENT_S: Final = 120.0


def noisy_segments(rate_hz: float, samples: int) -> IntArray:
    """Return the noisy stretches of a noise stress record, shape ``[stretches, 2]``: first sample, first after.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    samples : int
        Length of the record.
    """
    begins = np.arange(CLEAN_FIRST_S * rate_hz, samples, 2 * SEGMENT_S * rate_hz)
    ends = np.minimum(begins + SEGMENT_S * rate_hz, samples)
    segments: IntArray = np.rint(np.stack([begins, ends], axis=1)).astype(np.int64)
    return segments


def score_noisy_only(truth: Truth, samples: int) -> Truth:
    """Return a noise stress record's reference with its clean stretches marked as not to be scored."""
    noisy = noisy_segments(truth.rate_hz, samples)
    borders = np.concatenate([[0], noisy.ravel(), [samples]]).reshape(-1, 2)
    return replace(truth, unscored=np.concatenate([truth.unscored, borders[borders[:, 1] > borders[:, 0]]]))


def mixture(clean: Record, noisy: Record, *, noisy_db: float, snr_db: float) -> Record:
    """Return `clean` with the noise of `noisy` at another signal-to-noise ratio.

    Parameters
    ----------
    clean, noisy : Record
        A record, and the same with noise at `noisy_db`.
    noisy_db, snr_db : float
        Signal-to-noise ratios, as the database counts them.

    Raises
    ------
    ValueError
        If the two are not the same length and rate.
    """
    if len(clean) != len(noisy) or clean.rate_hz != noisy.rate_hz:
        raise ValueError(f"{noisy.name} is not {clean.name} with noise: rate or length differ")
    gain = np.float32(10.0 ** ((noisy_db - snr_db) / 20.0))
    millivolts = clean.millivolts + (noisy.millivolts - clean.millivolts) * gain
    name = f"{clean.name.rsplit('/', 1)[-1]}e{round(snr_db):02d}"
    counts, microvolts_per_count = quantise(millivolts, file=name)
    return record_of_counts(
        name=f"{noisy.name.rsplit('/', 1)[0]}/{name}",
        rate_hz=clean.rate_hz,
        lead=clean.lead,
        counts=counts,
        microvolts_per_count=microvolts_per_count,
        truth=noisy.truth,
    )
