"""ECG paper: true millimetres, the same file for the same strip, beats where they lie."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from monitor.errors import UsageError
from monitor.strip_drawing import (
    PAPER_MM_PER_MV,
    PAPER_MM_PER_S,
    BeatMark,
    PaperStrip,
    Span,
    strip_figure,
    terminal_strip,
    write_strip,
)

_RATE_HZ = 200.0


def _strip(seconds: float = 8.0) -> PaperStrip:
    millivolts = np.zeros(round(seconds * _RATE_HZ), np.float32)
    millivolts[100::200] = 1.0
    return PaperStrip(
        millivolts=millivolts,
        rate_hz=_RATE_HZ,
        first_sample=1000,
        title="team/ada",
        caption="a pulse a second",
        beats=(BeatMark(1100, "N"), BeatMark(1300, "V", "missed", below=True), BeatMark(99, "S")),
        spans=(Span(1200, 1400, "here", "missed"),),
    )


@pytest.mark.parametrize("seconds", [8.0, 25.0])
def test_paper_is_in_true_millimetres(seconds: float) -> None:
    """A second is 25 mm and a millivolt 10 mm on every row of the page."""
    figure = strip_figure(_strip(seconds))
    width_mm, height_mm = (25.4 * inches for inches in figure.get_size_inches())
    assert len(figure.axes) == max(1, -int(-seconds // 10))
    for each in figure.axes:
        axes: Any = each
        box = axes.get_position()
        (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
        assert box.width * width_mm / (right - left) == pytest.approx(PAPER_MM_PER_S)
        assert box.height * height_mm / (top - bottom) == pytest.approx(PAPER_MM_PER_MV)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_files_are_of_their_kind(tmp_path: Path, suffix: str) -> None:
    """A PNG and an SVG are written; another suffix, and an empty strip, are refused."""
    content = write_strip(_strip(), tmp_path / f"a{suffix}").read_bytes()
    assert content.startswith(b"\x89PNG" if suffix == ".png" else b"<?xml")
    with pytest.raises(UsageError, match=r"ends in \.png or \.svg"):
        write_strip(_strip(), tmp_path / "a.jpg")
    with pytest.raises(UsageError, match="holds no sample"):
        write_strip(_strip(0.0), tmp_path / "b.svg")


def test_terminal_marks_stand_over_their_peaks() -> None:
    """Told beats stand above the signal, the truth below it, each in the column of its sample."""
    lines = terminal_strip(_strip(), width=80)
    told = next(line for line in lines if line.strip() == "N")
    truth = next(line for line in lines if line.strip() == "V")
    assert (told.index("N"), truth.index("V")) == (5, 15)
    assert not any("S" in line for line in lines)
    assert max(map(len, lines)) <= 80
