"""When and where R peaks were told: how far from the reference, and how long after they happened."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from monitor.beat_matching import match_beats, window_samples
from monitor.contract import IntArray
from simulators.annotations import Truth

_NOTHING = np.empty(0, np.float64)


@dataclass(frozen=True, slots=True, eq=False)
class PeakTiming:
    """Distances and delays of the peaks that were found.

    Attributes
    ----------
    errors : ndarray of float64, shape ``[pairs]``
        Distance of each peak from its reference beat in samples, after the record's own median was taken off: where in
        a complex the reference sets its mark is a habit of the record.
    delays_s : ndarray of float64, shape ``[peaks]``
        Seconds from each R peak to the sample at which it became known. Fed sample by sample, the delay is just this.
    """

    errors: NDArray[np.float64] = field(default_factory=_NOTHING.copy)
    delays_s: NDArray[np.float64] = field(default_factory=_NOTHING.copy)

    @classmethod
    def of(cls, truth: Truth, r_sample: IntArray, known_sample: IntArray) -> Self:
        """Measure the peaks of one record.

        Parameters
        ----------
        truth : Truth
            Its reference.
        r_sample, known_sample : ndarray of int64, shape ``[peaks]``
            Where the peaks lie, and the last sample each of them needed.
        """
        reference = truth.r_samples[truth.is_scored(truth.r_samples)]
        pairs = match_beats(reference, r_sample, window=window_samples(truth.rate_hz))
        errors = (r_sample[pairs.detection] - reference[pairs.reference]).astype(np.float64)
        if len(errors):
            errors = np.abs(errors - np.median(errors))
        return cls(errors, (known_sample - r_sample) / truth.rate_hz)

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return the peaks of all parts together."""
        if not parts:
            return cls()
        return cls(
            np.concatenate([part.errors for part in parts]), np.concatenate([part.delays_s for part in parts])
        )

    def figures(self) -> dict[str, Any]:
        """Return medians and upper percentiles as plain values; None without peaks."""
        return {
            "position_error_samples": _percentiles(self.errors, median=50, p95=95),
            "delay_s": _percentiles(self.delays_s, median=50, p99=99, most=100),
        }


def _percentiles(values: NDArray[np.float64], **wanted: float) -> dict[str, float | None]:
    if len(values) == 0:
        return dict.fromkeys(wanted)
    return {name: float(np.percentile(values, at)) for name, at in wanted.items()}
