"""What passes between the stages: plain arrays and small records, with their shapes and units.

Samples are counted since a strap's boot. Every index named ``..._sample`` is such a count at the strap's own rate, so
two clocks never mix: sample counts order what happened, Unix times (``..._at``) tell only when somebody knew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Final, Literal, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

IntArray = NDArray[np.int64]
FloatArray = NDArray[np.float32]
BoolArray = NDArray[np.bool_]
RowState = Mapping[str, NDArray[np.generic]]

AAMI_CLASSES: Final = ("N", "S", "V", "F", "Q")
UNSURE: Final = "unsure"
LABELS: Final = (*AAMI_CLASSES, UNSURE)
UNSURE_LABEL: Final = len(AAMI_CLASSES)

WINDOW_S: Final = 0.8333333333333334
"""Half the length of a beat's window, in seconds (300 samples at 360 Hz)."""
WINDOW_POINTS: Final = 600
"""Points of a beat's window at every sampling rate."""

CONTEXT_FIELDS: Final = (
    "rr_before_s",
    "rr_after_s",
    "rr_median_s",
    "rr_before_ratio",
    "rr_after_ratio",
    "rr_before_previous_ratio",
    "rr_before_usual_ratio",
    "rr_after_usual_ratio",
    "rr_after_least_ratio",
    "rr_before_low_ratio",
    "rr_before_middle_ratio",
    "rr_before_high_ratio",
    "rr_spread_ratio",
    "rr_before_rank",
    "rr_previous_usual_ratio",
    "rr_second_usual_ratio",
    "rr_step_ratio",
    "rr_long_step_ratio",
    "rr_near_usual_share",
    "qrs_steep_s",
    "qrs_spread_s",
    "qrs_steep_ratio",
    "qrs_spread_ratio",
    "qrs_correlation",
    "qrs_size_ratio",
    "qrs_height_ratio",
    "qrs_rest_ratio",
    "p_correlation",
    "p_size_ratio",
    "p_height_ratio",
    "t_correlation",
    "shape_share",
    "shape_timely_share",
    "shape_rr_ratio",
    "qrs_correlation_before",
    "qrs_correlation_second",
)
"""What a beat's ``context`` holds, in order: the first six see `monitor.beats`, the others `monitor.template`."""
RR_FIELDS: Final = 6
"""How many of them are known without the athlete's template."""

QualityCategory = Literal["good", "noisy", "flat", "railed", "lead_off", "settling"]
QUALITY_CATEGORIES: Final[tuple[QualityCategory, ...]] = (
    "good",
    "noisy",
    "flat",
    "railed",
    "lead_off",
    "settling",
)


@dataclass(frozen=True, slots=True)
class Block:
    """Samples of some rows of a bank, equally many of each.

    Attributes
    ----------
    rows : ndarray of int64, shape ``[rows]``
        Which rows of the bank; each at most once.
    first_sample : ndarray of int64, shape ``[rows]``
        Index of each row's first sample.
    samples : ndarray of float32, shape ``[rows, n]``
        Millivolt.
    trusted : ndarray of bool, shape ``[rows, n]``
        False where the strap says that the samples mean nothing.
    """

    rows: IntArray
    first_sample: IntArray
    samples: FloatArray
    trusted: BoolArray


@dataclass(frozen=True, slots=True)
class Peaks:
    """R peaks as they become known.

    Attributes
    ----------
    rows, r_sample, known_sample : ndarray of int64, shape ``[peaks]``
        Row, position, and the last sample that was needed to know it.
    quality : ndarray of float32, shape ``[peaks]``
        0 to 1: how far the signal around this peak can be trusted.
    """

    rows: IntArray
    r_sample: IntArray
    known_sample: IntArray
    quality: FloatArray

    @classmethod
    def empty(cls) -> Self:
        """Return no peaks."""
        return cls(
            rows=np.empty(0, np.int64),
            r_sample=np.empty(0, np.int64),
            known_sample=np.empty(0, np.int64),
            quality=np.empty(0, np.float32),
        )

    def __len__(self) -> int:
        """Return how many peaks there are."""
        return len(self.rows)

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return all peaks of `parts`, in their order."""
        if not parts:
            return cls.empty()
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})


TRUSTED_QUALITY: Final = 0.5
"""From this quality on a beat is what it is called; below it the stages go by its time alone."""


@dataclass(frozen=True, slots=True)
class Beats:
    """Beats whose window is complete, one after the other in order of `known_sample` within each row.

    Attributes
    ----------
    rows, r_sample, known_sample : ndarray of int64, shape ``[beats]``
        Row, R peak, and the last sample that was needed to know all of this.
    rr_s : ndarray of float32, shape ``[beats]``
        Seconds since the R peak before; NaN after a gap.
    quality : ndarray of float32, shape ``[beats]``
        0 to 1: how far this beat can be trusted.
    complete : ndarray of bool, shape ``[beats]``
        False where a gap cut the window short: such a beat is announced but not classified.
    window : ndarray of float32, shape ``[beats, 600]``
        Millivolt, classifier path, R peak at index 300.
    template : ndarray of float32, shape ``[beats, 600]``
        Millivolt: the athlete's own usual beat as it was known before this one; zeros as long as there is none.
    context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
        RR intervals around the beat, and how it compares with the athlete's own, as far as known by then; NaN where
        unknown.
    probabilities : ndarray of float32, shape ``[beats, 5]``
        Of the classes in `AAMI_CLASSES`; zeros until the classifier has run.
    label : ndarray of int8, shape ``[beats]``
        Index in `LABELS`.
    """

    rows: IntArray
    r_sample: IntArray
    known_sample: IntArray
    rr_s: FloatArray
    quality: FloatArray
    complete: BoolArray
    window: FloatArray
    template: FloatArray
    context: FloatArray
    probabilities: FloatArray
    label: NDArray[np.int8]

    @classmethod
    def empty(cls) -> Self:
        """Return no beats."""
        return cls(
            rows=np.empty(0, np.int64),
            r_sample=np.empty(0, np.int64),
            known_sample=np.empty(0, np.int64),
            rr_s=np.empty(0, np.float32),
            quality=np.empty(0, np.float32),
            complete=np.empty(0, np.bool_),
            window=np.empty((0, WINDOW_POINTS), np.float32),
            template=np.empty((0, WINDOW_POINTS), np.float32),
            context=np.empty((0, len(CONTEXT_FIELDS)), np.float32),
            probabilities=np.empty((0, len(AAMI_CLASSES)), np.float32),
            label=np.empty(0, np.int8),
        )

    def __len__(self) -> int:
        """Return how many beats there are."""
        return len(self.rows)

    def take(self, index: NDArray[np.generic] | slice) -> Self:
        """Return the beats at `index` (anything that indexes an array)."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return all beats of `parts`, in their order."""
        if not parts:
            return cls.empty()
        if len(parts) == 1:
            return parts[0]
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def classified(self, probabilities: FloatArray, label: NDArray[np.int8]) -> Self:
        """Return the same beats with the classifier's answer."""
        return replace(self, probabilities=probabilities, label=label)


RhythmKind = Literal[
    "pause",
    "long_pause",
    "asystole",
    "ventricular_fibrillation",
    "sustained_ventricular_tachycardia",
    "ventricular_run",
    "polymorphic_run",
    "idioventricular_rhythm",
    "ventricular_couplet",
    "r_on_t",
    "bigeminy",
    "trigeminy",
    "isolated_ventricular",
    "possible_ventricular_run",
    "ventricular_burden_rising",
    "supraventricular_run",
    "atrial_fibrillation",
    "bradycardia",
    "tachycardia",
    "rate_above_maximum",
]
TechnicalKind = Literal[
    "lead_off",
    "flat",
    "railed",
    "noisy",
    "strap_silent",
    "packet_loss",
    "battery_low",
    "monitor_overloaded",
    "redis_unreachable",
    "monitoring_lost",
    "canary",
]
EffortPhase = Literal["rest", "effort", "recovery"]
EFFORT_PHASES: Final[tuple[EffortPhase, ...]] = ("rest", "effort", "recovery")
EpisodeTransition = Literal["onset", "update", "end"]
AlarmTransition = Literal["raised", "escalated", "completed", "unanswered", "cleared", "acknowledged"]
Priority = Literal["high", "medium", "low", "information"]
PRIORITIES: Final[tuple[Priority, ...]] = ("high", "medium", "low", "information")


@dataclass(frozen=True, slots=True)
class RhythmEvent:
    """Something the rhythm or the signal did: it began, changed or ended.

    Attributes
    ----------
    row : int
        Row of the bank; the line's owner knows whose it is and which boot.
    kind : str
        A `RhythmKind` or `TechnicalKind`.
    episode : int
        `onset_sample`: the same for every monitor that saw the same samples.
    transition : {'onset', 'update', 'end'}
        What happened.
    onset_sample, known_sample : int
        Where the episode began, and the last sample needed to know this transition.
    rate_bpm : float
        Heart rate within the episode; NaN where it has none.
    beats : tuple of (int, int, float)
        Evidence: R peak, index in `LABELS`, probability of that label.
    duration_s : float
        How long the episode has lasted by `known_sample`.
    quality : float
        Lowest quality among the evidence, 0 to 1.
    """

    row: int
    kind: RhythmKind | TechnicalKind
    episode: int
    transition: EpisodeTransition
    onset_sample: int
    known_sample: int
    rate_bpm: float
    beats: tuple[tuple[int, int, float], ...] = field(default=())
    duration_s: float = 0.0
    quality: float = 1.0


class Strip(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of filtered signal, as evidence.

    Attributes
    ----------
    first_sample : int
        Index of the first sample.
    rate_hz : float
        Sampling rate.
    microvolts : bytes
        Little-endian int16 microvolts, classifier path.
    beats : list of [r_sample, label, probability]
        The beats in it.
    """

    first_sample: int
    rate_hz: float
    microvolts: bytes
    beats: list[tuple[int, str, float]]


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was known of the athlete, beside the strip, when a transition of an alarm of the heart was told.

    Attributes
    ----------
    phase : str
        One of `EFFORT_PHASES`.
    times_before : int
        How often an alarm of this kind was raised for this athlete before, since the monitor has watched the session.
    last_before_at : float
        Unix time, in seconds, of the onset of the last of them; 0 where there was none.
    usual_microvolts : bytes
        The athlete's own usual beat: `WINDOW_POINTS` little-endian int16 microvolts over twice `WINDOW_S`, the R
        peak in the middle; empty as long as there is none.
    """

    phase: EffortPhase
    times_before: int = 0
    last_before_at: float = 0.0
    usual_microvolts: bytes = b""


class Alarm(msgspec.Struct, frozen=True, kw_only=True):
    """One transition in the life of one alarm.

    Attributes
    ----------
    team, athlete : str
        Pseudonyms.
    strap : str
        The strap that saw it; empty where it is not known.
    boot : int
        The strap's boot.
    kind : str
        A `RhythmKind` or `TechnicalKind`.
    episode : int
        Sample at which the episode began; with team, athlete, strap, boot and kind it is the alarm's identity.
    transition : str
        What happened to the alarm.
    priority : str
        One of `PRIORITIES`.
    technical : bool
        True if it is about the strap, not the heart.
    known_sample : int
        Last sample needed to know this transition.
    rate_hz : float
        The strap's sampling rate.
    at : float
        Unix time of this transition, in seconds.
    onset_at : float
        Unix time of the onset by the strap's schedule, in seconds; 0 where unknown.
    rate_bpm : float or None
        Heart rate within the episode.
    quality : float
        0 to 1: how far the evidence can be trusted.
    message : str
        One plain sentence: what was seen.
    action : str
        What to do: ``"stop"``, ``"check strap"``, ``"call"`` or ``"watch"`` and what else helps.
    strip : Strip or None
        The signal that shows why.
    model, settings_hash : str
        What decided.
    by : str
        Who acknowledged.
    evidence : Evidence or None
        What was known of the athlete, beside the strip.
    """

    team: str
    athlete: str
    boot: int
    kind: RhythmKind | TechnicalKind
    episode: int
    transition: AlarmTransition
    priority: Priority
    technical: bool
    known_sample: int
    rate_hz: float
    at: float
    onset_at: float
    rate_bpm: float | None
    quality: float
    message: str
    action: str
    strip: Strip | None = None
    model: str = ""
    settings_hash: str = ""
    by: str = ""
    strap: str = ""
    evidence: Evidence | None = None

    @property
    def identity(self) -> str:
        """``team.athlete.strap.boot.kind.episode``: the same in every transition, and what a user acknowledges.

        Without ``strap.`` where the strap is not known.
        """
        strap = f"{self.strap}." if self.strap else ""
        return f"{self.team}.{self.athlete}.{strap}{self.boot}.{self.kind}.{self.episode}"
