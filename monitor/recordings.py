"""When two names mean one recording: so that what a model was trained on is recognised under another folder too."""

import re
from collections.abc import Iterable
from typing import Final

_NOISE_STRESS: Final = re.compile(r"(?P<record>\d{3})e_?\d{1,2}")


def recording_of(name: str) -> str:
    """Return the recording behind a record's name, such as ``"208"`` for ``"mitdb/208"``.

    Folders are left out, so that a copy elsewhere is recognised too; a noise-stress record such as ``118e06`` is
    recording 118.
    """
    base = name.rsplit("/", 1)[-1]
    noisy = _NOISE_STRESS.fullmatch(base)
    return noisy["record"] if noisy else base


def is_listed(name: str, records: Iterable[str]) -> bool:
    """Whether a record, or the recording it was made of, is among `records`; see `recording_of`."""
    return recording_of(name) in {recording_of(record) for record in records}
