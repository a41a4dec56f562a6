"""What happens to the signal before it is sent: noise, saturation, turned electrodes, wrong gain, lost contact. Pure.

A trouble acts on a record as the strap would have sampled it and gives another record, so that everything behind it
(packets, truth, replay) is the same with and without trouble. Times are seconds since the strap began.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from monitor.contract import IntArray
from monitor.errors import UsageError
from simulators.ledger import TroubleKind
from simulators.noise import (
    DEFAULT_MAINS_HZ,
    NOISE_KINDS,
    Effort,
    NoiseKind,
    make_noise,
    noise_gain,
    noise_power,
    normal_beats,
    qrs_power,
    resampled,
)
from simulators.records import Record, record_of_counts

ALL: Final = float("inf")
"""A length that reaches to the end of the record."""
_COUNT_LIMIT: Final = 32_767
_Array: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise:
    """Noise on top of the signal, at a ratio or at a level.

    Attributes
    ----------
    kind : str
        One of `simulators.noise.NOISE_KINDS`.
    at_s, length_s : float
        Begin and length, in seconds.
    snr_db : float or None
        Signal-to-noise ratio as ``nst`` defines it; the record must have reference annotations.
    rms_mv : float or None
        Instead: the noise's own level in mV, measured as ``nst`` does.
    hz : float
        Mains frequency.
    growth : float
        Of motion without a known effort: amplitude at the end over that at the begin.
    record : Record or None
        The recorded noise, of kind ``"record"``: from its sample at `at_s` on, over and over.
    """

    kind: NoiseKind
    at_s: float = 0.0
    length_s: float = ALL
    snr_db: float | None = None
    rms_mv: float | None = None
    hz: float = DEFAULT_MAINS_HZ
    growth: float = 2.0
    record: Record | None = None

    def __post_init__(self) -> None:
        _check_stretch("noise", self.at_s, self.length_s)
        if self.kind not in NOISE_KINDS:
            raise UsageError(f"noise {self.kind!r}: use {', '.join(NOISE_KINDS)}")
        if (self.snr_db is None) == (self.rms_mv is None):
            raise UsageError(f"noise {self.kind!r}: give either snr_db or rms_mv")
        if (self.kind == "record") != (self.record is not None):
            raise UsageError(f"noise {self.kind!r}: a recorded noise, and no other, needs its record")


@dataclass(frozen=True, slots=True, kw_only=True)
class Saturation:
    """An offset drives the amplifier to the end of its range, where the signal stands still.

    Attributes
    ----------
    at_s, length_s : float
        Begin and length, in seconds.
    limit_mv : float
        The amplifier's range: what is beyond plus or minus this is cut off.
    offset_mv : float
        What is added to the signal before.
    """

    at_s: float = 0.0
    length_s: float = ALL
    limit_mv: float = 5.0
    offset_mv: float = 12.0

    def __post_init__(self) -> None:
        _check_stretch("saturation", self.at_s, self.length_s)
        if not self.limit_mv > 0.0:
            raise UsageError(f"saturation at {self.limit_mv:g} mV: use a range above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class Inverted:
    """The strap is worn upside down: the signal changes its sign.

    Attributes
    ----------
    at_s, length_s : float
        Begin and length, in seconds.
    """

    at_s: float = 0.0
    length_s: float = ALL

    def __post_init__(self) -> None:
        _check_stretch("inverted polarity", self.at_s, self.length_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gain:
    """The signal becomes larger or smaller and the strap does not say so: wet skin, a strap that has slipped.

    Attributes
    ----------
    factor : float
        Above 0.
    at_s, length_s : float
        Begin and length, in seconds.
    """

    factor: float
    at_s: float = 0.0
    length_s: float = ALL

    def __post_init__(self) -> None:
        _check_stretch("gain", self.at_s, self.length_s)
        if not 0.0 < self.factor < ALL:
            raise UsageError(f"gain {self.factor:g}: use a factor above 0")


@dataclass(frozen=True, slots=True, kw_only=True)
class ContactLost:
    """The electrodes lose contact and the strap does not notice: the heart is gone from the signal.

    Attributes
    ----------
    at_s, length_s : float
        Begin and length, in seconds.
    floating_mv : float
        RMS of what an open input picks up instead; 0 for an amplifier that stands still.
    """

    at_s: float = 0.0
    length_s: float = ALL
    floating_mv: float = 0.0

    def __post_init__(self) -> None:
        _check_stretch("lost contact", self.at_s, self.length_s)
        if not 0.0 <= self.floating_mv < ALL:
            raise UsageError(f"lost contact with {self.floating_mv:g} mV: use 0 or more")


BodyTrouble: TypeAlias = Noise | Saturation | Inverted | Gain | ContactLost

_KIND: Final[dict[type, TroubleKind]] = {
    Noise: "noise",
    Saturation: "saturation",
    Inverted: "inverted",
    Gain: "gain",
    ContactLost: "contact_lost",
}


@dataclass(frozen=True, slots=True)
class Touched:
    """What one trouble did to a record.

    Attributes
    ----------
    trouble : str
        Its kind.
    first_sample, end_sample : int
        The samples it touched: first, and first after.
    detail : dict
        What else there is to say.
    hides : bool
        No heartbeat can be seen in these samples.
    """

    trouble: TroubleKind
    first_sample: int
    end_sample: int
    detail: dict[str, float | str]
    hides: bool = False


def trouble_record(
    record: Record,
    troubles: Sequence[BodyTrouble],
    *,
    seed: int,
    signal_power: float | None = None,
    effort: Effort | None = None,
) -> tuple[Record, list[Touched]]:
    """Return a record with troubles, in the order given, and what they touched.

    Parameters
    ----------
    record : Record
        A clean record.
    troubles : sequence
        Saturation cuts off what comes before it, so it belongs behind the noise.
    seed : int
        Of the noise.
    signal_power : float, optional
        Power of the clean ECG in mV², see `simulators.noise.qrs_power`; else that of this record is measured.
    effort : Effort, optional
        What the athlete does, from the record's first sample on: motion follows it.

    Raises
    ------
    RecordError, UsageError
        If a noise is to have a ratio to a signal without reference annotations.
    """
    if not troubles:
        return record, []
    millivolts = record.millivolts.astype(np.float64)
    touched = []
    for number, trouble in enumerate(troubles):
        first, end = _stretch(trouble, record)
        detail: dict[str, float | str] = {}
        hides = False
        here = slice(first, end)
        match trouble:
            case Noise():
                random = np.random.default_rng([seed, number])
                noise, detail = _noise(trouble, record, first, end, random, signal_power, effort)
                # As nst does: no step where the noise begins, and none where it ends.
                millivolts[here] += noise - noise[:1]
                if len(noise):
                    millivolts[end:] += noise[-1] - noise[0]
            case Saturation():
                limit_mv = trouble.limit_mv
                shifted = millivolts[here] + trouble.offset_mv
                millivolts[here] = np.clip(shifted, -limit_mv, limit_mv)
                detail = {"limit_mv": limit_mv, "offset_mv": trouble.offset_mv}
                hides = bool((np.abs(shifted) >= limit_mv).mean() > 0.9) if end > first else False
            case Inverted():
                millivolts[here] *= -1.0
            case Gain():
                millivolts[here] *= trouble.factor
                detail = {"factor": trouble.factor}
            case ContactLost():
                level = np.nan_to_num(millivolts[first : first + 1])
                millivolts[here] = level + _floating(trouble, record, end - first, seed, number)
                detail = {"floating_mv": trouble.floating_mv}
                hides = True
        touched.append(Touched(_KIND[type(trouble)], first, end, detail, hides))
    return _sampled(record, millivolts), touched


def _noise(
    noise: Noise,
    record: Record,
    first: int,
    end: int,
    random: np.random.Generator,
    signal_power: float | None,
    effort: Effort | None,
) -> tuple[_Array, dict[str, float | str]]:
    rate_hz, samples = record.rate_hz, end - first
    if noise.record is not None:
        source = resampled(noise.record.millivolts, from_hz=noise.record.rate_hz, to_hz=rate_hz)
        begin = round(noise.at_s * rate_hz)
        wave = source[(begin + np.arange(samples)) % len(source)]
        measured = noise_power(source, rate_hz=rate_hz)
        name = noise.record.name
    else:
        moves = (
            None if effort is None else Effort(effort.effort[first:end], effort.steps_hz[first:end], rate_hz)
        )
        wave = make_noise(
            noise.kind,
            samples,
            rate_hz=rate_hz,
            random=random,
            hz=noise.hz,
            growth=noise.growth,
            effort=moves,
        )
        measured = noise_power(wave, rate_hz=rate_hz)
        name = noise.kind
    if noise.rms_mv is not None:
        factor = noise.rms_mv / np.sqrt(measured) if measured > 0.0 else 0.0
        return wave * factor, {"kind": name, "rms_mv": noise.rms_mv}
    assert noise.snr_db is not None  # noqa: S101 - checked when the noise was described
    power = clean_power(record) if signal_power is None else signal_power
    return wave * noise_gain(power, measured, noise.snr_db), {"kind": name, "snr_db": noise.snr_db}


def clean_power(record: Record) -> float:
    """Return the power of a record's ECG as ``nst`` measures it, in mV².

    Raises
    ------
    UsageError
        If the record has no reference annotations.
    """
    if record.truth is None:
        raise UsageError(
            f"{record.name}: has no reference annotations to measure its QRS by; choose another record, or a scenario "
            "in which the noise has rms_mv instead of a ratio"
        )
    beats: IntArray = normal_beats(record.truth.r_samples, record.truth.classes)
    return qrs_power(record.millivolts, beats, rate_hz=record.rate_hz)


def _floating(trouble: ContactLost, record: Record, samples: int, seed: int, number: int) -> _Array:
    if trouble.floating_mv == 0.0 or samples == 0:
        return np.zeros(samples)
    random = np.random.default_rng([seed, number])
    wave = make_noise("wander", samples, rate_hz=record.rate_hz, random=random)
    wave += 0.3 * make_noise("white", samples, rate_hz=record.rate_hz, random=random)
    power = noise_power(wave, rate_hz=record.rate_hz)
    floating: _Array = wave * (trouble.floating_mv / np.sqrt(power))
    return floating


def _sampled(record: Record, millivolts: NDArray[np.floating[Any]]) -> Record:
    """Return the record with other samples, in counts of the same size unless they would not fit."""
    valid = np.isfinite(millivolts)
    microvolts = np.where(valid, millivolts, 0.0) * 1e3
    needed = float(np.abs(microvolts).max(initial=0.0)) / _COUNT_LIMIT
    step = max(record.microvolts_per_count, needed)
    return record_of_counts(
        name=record.name,
        rate_hz=record.rate_hz,
        lead=record.lead,
        counts=np.rint(microvolts / step).astype(np.int16),
        microvolts_per_count=step,
        valid=valid,
        truth=record.truth,
    )


def _stretch(trouble: BodyTrouble, record: Record) -> tuple[int, int]:
    n, rate_hz = len(record), record.rate_hz
    first = min(round(trouble.at_s * rate_hz), n)
    end = n if trouble.length_s == ALL else min(round((trouble.at_s + trouble.length_s) * rate_hz), n)
    return first, end


def _check_stretch(what: str, at_s: float, length_s: float) -> None:
    if not (0.0 <= at_s < ALL and 0.0 < length_s <= ALL):
        raise UsageError(
            f"{what} at {at_s:g} s for {length_s:g} s: use a begin of 0 or more, a length above 0"
        )
