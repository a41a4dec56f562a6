"""R-peak detectors that people use, each as one function of a whole recording.

All of them see the whole file, ours only the past. They come with ``pip install 'strapwatch[bench]'``; one that is not
installed is left out by name.
"""

import importlib.util
import warnings
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

Signal: TypeAlias = NDArray[np.float64]
Detector: TypeAlias = Callable[[Signal, float], NDArray[np.int64]]


def _sleepecg(millivolts: Signal, rate_hz: float) -> NDArray[np.int64]:
    import sleepecg

    return np.asarray(sleepecg.detect_heartbeats(millivolts, rate_hz), np.int64)


def _xqrs(millivolts: Signal, rate_hz: float) -> NDArray[np.int64]:
    from wfdb import processing

    xqrs = processing.XQRS(sig=millivolts, fs=rate_hz)
    xqrs.detect(verbose=False)
    return np.asarray(xqrs.qrs_inds, np.int64)


def _neurokit(method: str) -> Detector:
    def detect(millivolts: Signal, rate_hz: float) -> NDArray[np.int64]:
        import neurokit2

        # Its filters and its peaks belong together; mains at 60 Hz does not exist at 100 Hz, so it is switched off.
        cleaned = neurokit2.ecg_clean(millivolts, sampling_rate=rate_hz, method=method)
        _, found = neurokit2.ecg_peaks(cleaned, sampling_rate=rate_hz, method=method)
        peaks = np.asarray(found["ECG_R_Peaks"], np.float64)
        return peaks[np.isfinite(peaks)].astype(np.int64)

    return detect


def _py_ecg(method: str) -> Detector:
    def detect(millivolts: Signal, rate_hz: float) -> NDArray[np.int64]:
        from ecgdetectors import Detectors

        found: Any = getattr(Detectors(rate_hz), method)(millivolts)
        return np.asarray(found, np.int64)

    return detect


_PEERS: Final[tuple[tuple[str, str, Detector], ...]] = (
    ("sleepecg", "sleepecg", _sleepecg),
    ("wfdb XQRS", "wfdb", _xqrs),
    ("NeuroKit2", "neurokit2", _neurokit("neurokit")),
    ("NeuroKit2 Pan-Tompkins", "neurokit2", _neurokit("pantompkins1985")),
    ("py-ecg-detectors two average", "ecgdetectors", _py_ecg("two_average_detector")),
    ("py-ecg-detectors SWT", "ecgdetectors", _py_ecg("swt_detector")),
)


def installed() -> tuple[dict[str, Detector], list[str]]:
    """Return the peers that are installed, by name, and the names of those that are not."""
    there = {name: _quiet(run) for name, package, run in _PEERS if importlib.util.find_spec(package)}
    return there, [name for name, _, _ in _PEERS if name not in there]


def _quiet(detector: Detector) -> Detector:
    def detect(millivolts: Signal, rate_hz: float) -> NDArray[np.int64]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = detector(millivolts, rate_hz)
        return np.unique(found[(found >= 0) & (found < len(millivolts))])

    return detect
