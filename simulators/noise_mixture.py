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
from numpy.typing import NDArray

from monitor.contract import FloatArray, IntArray
from monitor.errors import RecordError
from simulators.annotations import Truth
from simulators.noise import noise_power, normal_beats, qrs_power
from simulators.records import Record, quantise, record_of_counts

CLEAN_FIRST_S: Final = 300.0
SEGMENT_S: Final = 120.0

_FACTORS: Final = np.linspace(2.05, 15.0, 20_000)
_CLOSER: Final = np.linspace(0.9995, 1.0005, 1001)
_RESTING_S: Final = 1.0


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


def stretch_levels_db(clean: Record, noisy: Record) -> FloatArray:
    """Return the signal-to-noise ratio of each noisy stretch, measured as ``nst`` measures, shape ``[stretches]``.

    Parameters
    ----------
    clean, noisy : Record
        A record with annotations, and the same with noise.

    Raises
    ------
    RecordError
        If the two are not of one length and rate, or the clean one has no annotations.

    Notes
    -----
    ``nst`` fits its factor to the noise record's *first* five minutes, which in these records are never added. Where
    the noise is louder later, as in the first lead of record em, a stretch is worse than the record's name says.
    """
    signal = _signal_power(clean)
    added = _added(clean, noisy)
    levels = [
        10.0 * np.log10(signal / noise_power(added[first:end], rate_hz=clean.rate_hz))
        for first, end in noisy_segments(clean.rate_hz, len(clean)).tolist()
    ]
    return np.array(levels, np.float32)


def fitted_factor(clean: Record, noisy: Record, *, snr_db: float) -> tuple[float, float]:
    """Return the factor that ``nst`` put on a noise record, and the RMS in counts that it must have measured of it.

    Parameters
    ----------
    clean, noisy : Record
        A record with annotations, and the same with noise, in counts of one size.
    snr_db : float
        What ``nst`` was asked for.

    Raises
    ------
    RecordError
        If the two are not of one length and rate, or the clean one has no annotations.

    Notes
    -----
    The samples of the noise record are whole numbers, so those of the difference are whole multiples of the factor,
    rounded: it is where the spectrum of their distribution has its line. It can be told where it is above 2.
    """
    first, end = noisy_segments(clean.rate_hz, len(clean))[0].tolist()
    aside = round(_RESTING_S * clean.rate_hz)
    counts = np.rint(_added(clean, noisy)[first + aside : end - aside] * 1e3 / clean.microvolts_per_count)
    values, times = np.unique(counts, return_counts=True)

    def line(factors: NDArray[np.float64]) -> float:
        turns = np.exp(2j * np.pi * values / factors[:, np.newaxis])
        return float(factors[np.argmax(np.abs(turns @ times))])

    factor = line(line(_FACTORS) * _CLOSER)
    root = float(np.sqrt(_signal_power(clean) / 10.0 ** (snr_db / 10.0)))
    return factor, root * 1e3 / clean.microvolts_per_count / factor


def _signal_power(clean: Record) -> float:
    if clean.truth is None:
        raise RecordError(f"{clean.name}: no annotations to measure QRS complexes by")
    beats = normal_beats(clean.truth.r_samples, clean.truth.classes)
    return qrs_power(clean.millivolts, beats, rate_hz=clean.rate_hz)


def _added(clean: Record, noisy: Record) -> FloatArray:
    if len(clean) != len(noisy) or clean.rate_hz != noisy.rate_hz:
        raise RecordError(f"{noisy.name} is not {clean.name} with noise: rate or length differ")
    added: FloatArray = noisy.millivolts - clean.millivolts
    return added


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
    RecordError
        If the two are not the same length and rate.
    """
    gain = np.float32(10.0 ** ((noisy_db - snr_db) / 20.0))
    millivolts = clean.millivolts + _added(clean, noisy) * gain
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
