"""What ``strapwatch simulate`` is told of radio and noise, as text, and what it means."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from monitor.errors import RecordError, UsageError

if TYPE_CHECKING:
    # Their imports are heavy, and `strapwatch --help` must stay quick.
    from simulators.body import Noise, Touched
    from simulators.fleet import Fleet
    from simulators.radio import Bursts, RadioSettings, Stretch
    from simulators.records import Record
    from simulators.strap import Strap

_DROPOUT: Final = "START:LENGTH or START:LENGTH:lost"


def radio_settings(
    *,
    loss: float,
    duplicates: float,
    reorder: float,
    burst: str | None,
    jitter_s: float,
    dropouts: list[str],
    lead_off: list[str],
) -> "RadioSettings":
    """Return the radio that some options describe.

    Raises
    ------
    UsageError
        If one of them cannot be read or is out of range.
    """
    from simulators.radio import RadioSettings

    return RadioSettings(
        loss=loss,
        duplicates=duplicates,
        reorder=reorder,
        bursts=None if burst is None else _bursts(burst),
        jitter_s=jitter_s,
        dropouts=tuple(
            _stretch("--dropout", text, form=_DROPOUT) for text in dropouts if not text.endswith(":lost")
        ),
        dropouts_lost=tuple(
            _stretch("--dropout", text, form=_DROPOUT) for text in dropouts if text.endswith(":lost")
        ),
        lead_off=tuple(_stretch("--lead-off", text) for text in lead_off),
    )


def with_noise(
    records: "list[Record]", noises: list[str], *, starts: list[float], database: Path | None, seed: int
) -> "tuple[list[Record], list[list[Touched]]]":
    """Return the records with noise on top, and which of each strap's samples it touches.

    Parameters
    ----------
    records : list of Record
        Clean.
    noises : list of str
        ``KIND:DB`` or ``KIND:DB:START:LENGTH`` each; times count from where each strap begins.
    starts : list of float
        Where the straps begin in their records, in seconds: none, one for all, or one for each.
    database : Path or None
        Where recorded noise is looked up.
    seed : int
        Of the noise; every strap has its own.

    Raises
    ------
    UsageError, RecordError
        If a noise cannot be read, or a record has no annotations to measure its QRS by.
    """
    if not noises:
        return records, []
    from simulators.body import trouble_record

    wanted = [_noise(text, database) for text in noises]
    each = starts if len(starts) > 1 else (starts or [0.0]) * len(records)
    noisy, touched = [], []
    for number, (record, start_s) in enumerate(zip(records, each, strict=False)):
        moved = [replace(noise, at_s=noise.at_s + start_s) for noise in wanted]
        troubled, stretches = trouble_record(record, moved, seed=seed + number)
        noisy.append(replace(troubled, excerpt_from=record.excerpt_from))
        first = int(start_s * record.rate_hz)
        touched.append(
            [
                replace(one, first_sample=one.first_sample - first, end_sample=one.end_sample - first)
                for one in stretches
            ]
        )
    return noisy, touched


async def enter_noise(fleet: "Fleet", straps: "list[Strap]", touched: "list[list[Touched]]") -> None:
    """Enter the noise in a fleet's ledger as soon as its schedule has begun, once for each strap."""
    from simulators.radio import RadioSettings
    from simulators.scenario_straps import Life

    await fleet.started.wait()
    for strap, start_at, stretches in zip(straps, fleet.start_at, touched, strict=False):
        life = Life(strap=strap, radio=RadioSettings(), troubles=tuple(stretches))
        life.enter_troubles(fleet.ledger, start_at)


def _noise(text: str, database: Path | None) -> "Noise":
    from simulators.body import ALL, Noise
    from simulators.noise import NOISE_KINDS
    from simulators.records import find_record, read_record

    name, *numbers = text.split(":")
    try:
        values = [*map(float, numbers)]
        snr_db, at_s, length_s = [*values, 0.0, ALL] if len(values) == 1 else values
    except ValueError:
        raise UsageError(
            f"--noise {text!r}: use KIND:DB or KIND:DB:START:LENGTH, such as muscle:6 or nstdb/ma:12:30:60"
        ) from None
    kind = next((known for known in NOISE_KINDS if known == name and known != "record"), None)
    if kind is not None:
        return Noise(kind=kind, snr_db=snr_db, at_s=at_s, length_s=length_s)
    try:
        find_record(name, database=database)
    except RecordError as error:
        kinds = ", ".join(known for known in NOISE_KINDS if known != "record")
        # Who gives a folder means a record, and is told where it was looked for; who gives a word, mostly a kind.
        why = str(error) if len(Path(name).parts) > 1 else f"no record {name!r} either; nstdb/ma is one"
        raise RecordError(f"--noise {text!r}: none of the kinds ({kinds}), and {why}") from error
    return Noise(
        kind="record",
        record=read_record(name, database=database),
        snr_db=snr_db,
        at_s=at_s,
        length_s=length_s,
    )


def _bursts(text: str) -> "Bursts":
    from simulators.radio import Bursts

    try:
        enter, leave, *loss = map(float, text.split(":"))
    except ValueError:
        enter, leave, loss = 0.0, 0.0, [0.0, 0.0]
    if len(loss) > 1:
        raise UsageError(f"--burst {text!r}: use ENTER:LEAVE or ENTER:LEAVE:LOSS, such as 0.02:0.25")
    for name, probability in zip(("ENTER", "LEAVE", "LOSS"), (enter, leave, *loss), strict=False):
        if not 0.0 <= probability <= 1.0:
            raise UsageError(f"--burst {text!r}: {name} is {probability:g}; use a probability, 0 to 1")
    return Bursts(enter=enter, leave=leave, loss=loss[0] if loss else 1.0)


def _stretch(option: str, text: str, *, form: str = "START:LENGTH") -> "Stretch":
    from simulators.radio import Stretch

    start, _, length = text.removesuffix(":lost" if form == _DROPOUT else "").partition(":")
    try:
        stretch = Stretch(float(start), float(length))
    except ValueError:
        raise UsageError(f"{option} {text!r}: use {form} in seconds, such as 30:5") from None
    if not (0.0 <= stretch.start_s < float("inf") and 0.0 < stretch.length_s < float("inf")):
        raise UsageError(f"{option} {text!r}: use a START of 0 or more and a LENGTH above 0, in seconds")
    return stretch
