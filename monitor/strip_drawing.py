"""A stretch of ECG on paper: 25 mm/s and 10 mm/mV, beats and findings marked, as PNG, SVG or text for a terminal.

The millimetres are true: an SVG or PNG printed at its own size can be measured with a ruler. Long stretches go on in
further rows, as on a page of a Holter report.
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from monitor.contract import FloatArray
from monitor.dashboard.braille import DOTS_PER_CELL, braille_rows, envelope
from monitor.errors import UsageError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PAPER_MM_PER_S: Final = 25.0
PAPER_MM_PER_MV: Final = 10.0
ROW_S: Final = 10.0
"""Seconds in a row of paper."""
DOTS_PER_INCH: Final = 150
SUFFIXES: Final = (".png", ".svg")

Tone = Literal["plain", "found", "missed", "extra", "explained"]
TONES: Final[dict[Tone, str]] = {
    "plain": "#1b2733",
    "found": "#1b6e3c",
    "missed": "#c8102e",
    "extra": "#b35900",
    "explained": "#3057a8",
}
"""Colour of each tone on paper; a word or a sign always stands beside it."""

_MM_PER_INCH: Final = 25.4
_MARGIN_MM: Final = 12.0
_CAPTION_MM: Final = 14.0
_MARK_MM: Final = 9.0
_LONGEST_ROW_S: Final = 12.0
_LEAST_MV, _MOST_MV = 2.0, 6.0
_PAPER, _FINE, _COARSE = "#fffaf8", "#f6d5d0", "#e9a59c"
_CALIBRATION_MM: Final = 9.0
_TERMINAL_ROWS: Final = 6


@dataclass(frozen=True, slots=True)
class BeatMark:
    """A beat on the paper.

    Attributes
    ----------
    sample : int
        Its R peak.
    text : str
        What is written there, such as the class.
    tone : str
        One of `TONES`.
    below : bool
        Written under the signal (what should have been) instead of above it (what was told).
    """

    sample: int
    text: str
    tone: Tone = "plain"
    below: bool = False


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch that is shaded and named.

    Attributes
    ----------
    first_sample, end_sample : int
        First sample, and first after.
    text : str
        What it is.
    tone : str
        One of `TONES`.
    """

    first_sample: int
    end_sample: int
    text: str
    tone: Tone = "plain"


@dataclass(frozen=True, kw_only=True, eq=False)
class PaperStrip:
    """What goes on the paper.

    Attributes
    ----------
    millivolts : ndarray of float32, shape ``[n]``
        The signal; NaN where there is none.
    rate_hz : float
        Sampling rate.
    first_sample : int
        Index of the first sample.
    title : str
        First line: who and what.
    caption : str
        Second line.
    beats : tuple of BeatMark
        In any order; those outside are left out.
    spans : tuple of Span
        Likewise.
    clock_s : float or None
        What the time scale says at the first sample; by default the sample's own time since boot.
    """

    millivolts: FloatArray
    rate_hz: float
    first_sample: int = 0
    title: str = ""
    caption: str = ""
    beats: tuple[BeatMark, ...] = field(default=())
    spans: tuple[Span, ...] = field(default=())
    clock_s: float | None = None

    @property
    def end_sample(self) -> int:
        """First sample after the strip."""
        return self.first_sample + len(self.millivolts)

    @property
    def begin_s(self) -> float:
        """What the time scale says at the first sample."""
        return self.first_sample / self.rate_hz if self.clock_s is None else self.clock_s

    def seconds(self, sample: int) -> float:
        """Return how far `sample` lies into the strip, in seconds."""
        return (sample - self.first_sample) / self.rate_hz


def write_strip(strip: PaperStrip, file: Path) -> Path:
    """Draw a strip into a PNG or an SVG file and return its path.

    Raises
    ------
    UsageError
        If the file's suffix is neither, the strip is empty, or the file cannot be written.
    """
    if file.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{file}: use a name that ends in {' or '.join(SUFFIXES)}")
    figure = strip_figure(strip)
    # No date in it: the same strip is the same file.
    metadata: dict[str, Any] = {"Date": None} if file.suffix.lower() == ".svg" else {"Software": None}
    try:
        figure.savefig(file, dpi=DOTS_PER_INCH, facecolor=_PAPER, metadata=metadata)
    except OSError as error:
        raise UsageError(f"{file}: cannot be written: {error.strerror}") from error
    return file


def strip_figure(strip: PaperStrip) -> "Figure":
    """Return the drawing as a matplotlib figure in true size.

    Raises
    ------
    UsageError
        If the strip is empty.
    """
    from matplotlib.figure import Figure

    if len(strip.millivolts) == 0:
        raise UsageError(f"strip {strip.title!r}: holds no sample")
    bottom_mv, top_mv = _range_mv(strip.millivolts)
    length_s = len(strip.millivolts) / strip.rate_hz
    # A row may be a little longer rather than leave a moment alone on the next one.
    rows = 1 if length_s <= _LONGEST_ROW_S else int(np.ceil(length_s / ROW_S - 1e-9))
    row_s = ROW_S if rows > 1 else max(np.ceil(length_s), 1.0)
    paper_mm = (row_s * PAPER_MM_PER_S, (top_mv - bottom_mv) * PAPER_MM_PER_MV)
    row_mm = paper_mm[1] + 2 * _MARK_MM
    width_mm = _CALIBRATION_MM + paper_mm[0] + 2 * _MARGIN_MM
    height_mm = rows * row_mm + _CAPTION_MM + _MARGIN_MM
    figure = Figure(figsize=(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH))
    figure.text(
        _MARGIN_MM / width_mm,
        1 - 5.0 / height_mm,
        strip.title,
        size=11,
        weight="bold",
        va="center",
        color=TONES["plain"],
    )
    figure.text(_MARGIN_MM / width_mm, 1 - 10.0 / height_mm, strip.caption, size=9, va="center", color="#445")
    figure.text(
        1 - _MARGIN_MM / width_mm,
        5.0 / height_mm,
        f"{PAPER_MM_PER_S:g} mm/s   {PAPER_MM_PER_MV:g} mm/mV   {strip.rate_hz:g} Hz   "
        "research software, not a medical device",
        size=7,
        ha="right",
        va="center",
        color="#667",
    )
    for row in range(rows):
        lowest_mm = height_mm - _CAPTION_MM - (row + 1) * row_mm + _MARK_MM
        axes: Any = figure.add_axes(
            (
                _MARGIN_MM / width_mm,
                lowest_mm / height_mm,
                (_CALIBRATION_MM + paper_mm[0]) / width_mm,
                paper_mm[1] / height_mm,
            )
        )
        axes.set_xlim(-_CALIBRATION_MM / PAPER_MM_PER_S, row_s)
        axes.set_ylim(bottom_mv, top_mv)
        _draw_grid(axes, row_s, bottom_mv, top_mv)
        _draw_row(axes, strip, row * ROW_S, row_s, bottom_mv, top_mv)
    return figure


def terminal_strip(strip: PaperStrip, *, width: int, rows: int = _TERMINAL_ROWS) -> list[str]:
    """Return the strip as plain lines of text: told beats above, the signal in braille, the truth and time below.

    Parameters
    ----------
    strip : PaperStrip
        What to draw.
    width : int
        Characters in a line, 20 or more.
    rows : int
        Lines for the signal.

    Raises
    ------
    UsageError
        If the strip is empty or the width too small.
    """
    if width < 20:
        raise UsageError(f"width {width}: use 20 or more characters")
    if len(strip.millivolts) == 0:
        raise UsageError(f"strip {strip.title!r}: holds no sample")
    n = len(strip.millivolts)
    edges = np.linspace(0, n, width * DOTS_PER_CELL + 1).astype(np.int64)
    low, high = envelope(strip.millivolts, edges)
    bottom_mv, top_mv = _range_mv(strip.millivolts)
    above, below, shade = _blank(width), _blank(width), _blank(width)
    for span in strip.spans:
        begin, end = _cell(strip, span.first_sample, width), _cell(strip, span.end_sample, width)
        begin, end = max(begin, 0), min(max(end, begin + 1), width)
        shade[begin:end] = "▔" * (end - begin)
        shade[begin : begin + len(span.text[: end - begin])] = span.text[: end - begin]
    for mark in sorted(strip.beats, key=lambda mark: mark.sample):
        cell = _cell(strip, mark.sample, width)
        if strip.first_sample <= mark.sample < strip.end_sample:
            line = below if mark.below else above
            line[cell : cell + len(mark.text)] = list(mark.text)[: width - cell]
    lines = [strip.title[:width], strip.caption[:width], "".join(above)]
    lines += braille_rows(low, high, bottom=bottom_mv, top=top_mv, rows=rows)
    lines += ["".join(below), "".join(shade), _time_line(strip, width)]
    return [line.rstrip() for line in lines if line.strip()]


def _draw_grid(axes: Any, row_s: float, bottom_mv: float, top_mv: float) -> None:
    axes.set_facecolor(_PAPER)
    left = -_CALIBRATION_MM / PAPER_MM_PER_S
    for fine_mm, colour, width in ((1.0, _FINE, 0.35), (5.0, _COARSE, 0.6)):
        across, up = fine_mm / PAPER_MM_PER_S, fine_mm / PAPER_MM_PER_MV
        axes.vlines(
            np.arange(np.ceil(left / across - 1e-9), row_s / across + 0.5) * across,
            bottom_mv, top_mv, colors=colour, linewidths=width, zorder=0,
        )  # fmt: skip
        axes.hlines(
            np.arange(np.ceil(bottom_mv / up - 1e-9), top_mv / up + 0.5) * up,
            left, row_s, colors=colour, linewidths=width, zorder=0,
        )  # fmt: skip
    axes.tick_params(length=0, labelsize=7, colors="#667", pad=1)
    axes.set_yticks([])
    for side in ("top", "bottom", "left", "right"):
        axes.spines[side].set_visible(False)


def _draw_row(
    axes: Any, strip: PaperStrip, begin_s: float, row_s: float, bottom_mv: float, top_mv: float
) -> None:
    first, end = round(begin_s * strip.rate_hz), round((begin_s + row_s) * strip.rate_hz)
    samples = strip.millivolts[first:end]
    time_s = np.arange(len(samples)) / strip.rate_hz
    ink = TONES["plain"]
    # The calibration pulse: 1 mV for 0.2 s, drawn where every reader of ECG paper looks for it.
    pulse_s = np.array([-9.0, -7.0, -7.0, -2.0, -2.0, 0.0]) / PAPER_MM_PER_S
    axes.plot(pulse_s, [0, 0, 1, 1, 0, 0], color=ink, linewidth=0.8)
    axes.plot(time_s, samples, color=ink, linewidth=0.9, solid_joinstyle="round", zorder=3)
    for span in strip.spans:
        left, right = strip.seconds(span.first_sample) - begin_s, strip.seconds(span.end_sample) - begin_s
        if right > 0 and left < row_s:
            left, right = max(left, 0.0), min(right, row_s)
            axes.axvspan(left, right, color=TONES[span.tone], alpha=0.12, linewidth=0, zorder=1)
            axes.text(
                left + 0.02, bottom_mv + 0.06, span.text, size=7, color=TONES[span.tone], zorder=4, clip_on=True
            )  # fmt: skip
    for mark in strip.beats:
        at_s = strip.seconds(mark.sample) - begin_s
        if not 0 <= at_s < row_s or not strip.first_sample <= mark.sample < strip.end_sample:
            continue
        y, side = (bottom_mv, "top") if mark.below else (top_mv, "bottom")
        offset = -0.05 if mark.below else 0.05
        axes.text(
            at_s, y + offset, mark.text, size=9, ha="center", va=side, color=TONES[mark.tone],
            weight="normal" if mark.tone == "plain" else "bold",
        )  # fmt: skip
        inner = y + (0.12 if mark.below else -0.12)
        axes.plot([at_s, at_s], [y, inner], color=TONES[mark.tone], linewidth=1.0, zorder=4)
    step = 1.0 if row_s <= 12 else 2.0
    from_s = strip.begin_s + begin_s
    ticks = np.arange(np.ceil(from_s / step - 1e-9) * step, from_s + row_s - 0.05, step)
    axes.set_xticks(ticks - from_s, [f"{tick:g} s" for tick in np.round(ticks, 3)])
    axes.tick_params(axis="x", pad=_MARK_MM * 72 / _MM_PER_INCH - 8)


def _range_mv(millivolts: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Return the lowest and highest millivolt on the paper: whole half-millivolts, the signal inside where it fits."""
    finite = millivolts[np.isfinite(millivolts)]
    if len(finite) == 0:
        return -_LEAST_MV / 2, _LEAST_MV / 2
    low, high = float(finite.min()), float(finite.max())
    if high - low > _MOST_MV:
        # A rail or a step of the baseline must not flatten everything else.
        middle = float(np.median(finite))
        low, high = max(low, middle - _MOST_MV / 2), min(high, middle + _MOST_MV / 2)
    bottom, top = np.floor(2 * (low - 0.1)) / 2, np.ceil(2 * (high + 0.1)) / 2
    spare = max(_LEAST_MV - (top - bottom), 0.0)
    return float(bottom - np.floor(spare) / 2), float(top + np.ceil(spare) / 2)


def _blank(width: int) -> list[str]:
    return [" "] * width


def _cell(strip: PaperStrip, sample: int, width: int) -> int:
    return int((sample - strip.first_sample) * width / len(strip.millivolts))


def _time_line(strip: PaperStrip, width: int) -> str:
    length_s = len(strip.millivolts) / strip.rate_hz
    step = next((s for s in (1.0, 2.0, 5.0, 10.0, 20.0, 60.0) if length_s / s * 7 <= width), 300.0)
    line = _blank(width)
    tick = np.ceil(strip.begin_s / step - 1e-9) * step
    while tick < strip.begin_s + length_s:
        cell = int((tick - strip.begin_s) / length_s * width)
        text = f"|{tick:g} s"
        if cell + len(text) <= width:
            line[cell : cell + len(text)] = text
        tick += step
    return "".join(line)
