"""Beats as WFDB annotation files, so that the field's own tools can read and score them."""

from pathlib import Path
from typing import Final

from monitor.contract import AAMI_CLASSES
from monitor.errors import RecordError
from monitor.evaluation import Announced

EXTENSION: Final = "strapwatch"
"""The annotator's name, and so the suffix of its files."""
UNSURE_SYMBOL: Final = "?"
"""How a beat without a class is written; other tools take it for one of unknown class."""

_SYMBOLS: Final = (*AAMI_CLASSES, UNSURE_SYMBOL)


def write_annotations(name: str, rate_hz: float, announced: Announced, directory: Path) -> Path | None:
    """Write what was announced of a record as ``<directory>/<record>.strapwatch``.

    Parameters
    ----------
    name : str
        The record; a folder before it is left out.
    rate_hz : float
        Its sampling rate.
    announced : Announced
        Its beats.
    directory : Path
        Made if it is missing.

    Returns
    -------
    Path or None
        The file; None where there is no beat, which the format cannot express.

    Raises
    ------
    RecordError
        If the file cannot be written.
    """
    import wfdb

    if len(announced.r_sample) == 0:
        return None
    record = name.rsplit("/", 1)[-1]
    try:
        directory.mkdir(parents=True, exist_ok=True)
        wfdb.wrann(
            record,
            EXTENSION,
            announced.r_sample,
            symbol=[_SYMBOLS[label] for label in announced.label],
            fs=rate_hz,
            write_dir=str(directory),
        )
    except (OSError, ValueError) as error:
        raise RecordError(f"{directory / record}.{EXTENSION}: cannot be written: {error}") from error
    return directory / f"{record}.{EXTENSION}"
