"""Plots of synthetic athletes: their effort, hearts and rhythms, and how they lie beside recordings."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from monitor.contract import AAMI_CLASSES
from simulators.athlete_hearts import HEARTS
from simulators.comparison_measures import RR_MEASURES, mean_beat, rr_spectrum, rr_windows, signal_spectrum
from simulators.effort import PROGRAMMES
from simulators.event_names import parse_event
from simulators.records import Record
from simulators.synthetic import SyntheticAthlete, synthesize, synthesize_session

if TYPE_CHECKING:
    from simulators.comparison import Groups

_REAL, _MADE, _GREY = "#30527a", "#c4572f", "#8a8a8a"
_DPI: Final = 80
_SEED: Final = 4
_STRIPS: Final = (
    ("premature beats", ("v@6", "s@10")),
    ("couplet", ("couplet@8",)),
    ("run", ("run@8:6",)),
    ("bigeminy", ("bigeminy@6:4",)),
    ("Wenckebach", ("wenckebach@6:4",)),
    ("atrial fibrillation", ("afib@5:30",)),
    ("atrial flutter", ("aflutter@7:30",)),
    ("ventricular tachycardia", ("vt@8:30",)),
    ("torsades", ("torsades@7:30",)),
    ("flutter, then fibrillation", ("vflutter@5:5", "vf@10:30")),
    ("P waves only", ("standstill@7:30",)),
    ("noise floor only", ("asystole@7:30",)),
)


class _Axes(Protocol):
    """What is used of matplotlib's axes, which have no types."""

    def __getattr__(self, name: str) -> Any: ...


def draw_all(groups: "Groups", folder: Path) -> list[Path]:
    """Draw every plot as PNG and return the files.

    Parameters
    ----------
    groups : Groups
        Recordings and synthetic athletes.
    folder : Path
        Made if it is missing.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [
        *draw_athletes(folder),
        _saved(_beside(groups), folder / "synthetic-beside-real.png"),
    ]


def draw_athletes(folder: Path) -> list[Path]:
    """Draw what needs no recordings: effort, hearts, rhythms."""
    return [
        _saved(_effort(), folder / "synthetic-effort.png"),
        _saved(_hearts(), folder / "synthetic-hearts.png"),
        _saved(_rhythms(), folder / "synthetic-rhythms.png"),
    ]


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Any, Any]:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False)
    return figure, axes


def _saved(figure: Any, file: Path) -> Path:
    import matplotlib.pyplot as plt

    figure.tight_layout()
    # Without the program's version in it, the same figure is the same file.
    figure.savefig(file, dpi=_DPI, metadata={"Software": None})
    plt.close(figure)
    return file


def _effort() -> Any:
    programme = PROGRAMMES["maximum"]
    athlete = SyntheticAthlete(heart=HEARTS["endurance"], programme=programme, breathing_gain=0.05)
    session = synthesize_session(athlete, rate_hz=250.0, seconds=programme.seconds, seed=_SEED)
    record = session.record
    figure, axes = _figure(6, 1, 11.0, 11.0)
    rate, steps = axes[0, 0], axes[1, 0]
    minutes = np.arange(len(session.effort)) / 4.0 / 60.0
    if record.truth is not None:
        r_s = record.truth.r_samples / record.rate_hz
        rate.plot(r_s[1:] / 60.0, 60.0 / np.diff(r_s), ".", ms=1.2, color=_MADE)
        for span in record.truth.phases:
            height = 215 if span.kind == "maximum" else 235
            rate.text(span.onset_sample / record.rate_hz / 60.0, height, span.kind, fontsize=8, color=_GREY)
    rate.set_ylabel("rate, /min")
    rate.set_ylim(30, 255)
    steps.plot(minutes, session.effort, color=_REAL, label="effort")
    steps.plot(minutes, session.steps_hz, color=_GREY, lw=0.8, label="steps, Hz")
    steps.legend(fontsize=8, loc="upper left")
    steps.set_xlabel("minutes")
    steps.set_xlim(rate.get_xlim())
    for axis, (name, at_s) in zip(
        axes[2:, 0],
        (("rest", 200.0), ("effort", 900.0), ("maximum", 1280.0), ("recovery", 1305.0)),
        strict=True,
    ):
        _strip(axis, record, at_s, 6.0)
        axis.set_title(f"{name}, {at_s / 60:.1f} min", fontsize=9, loc="left")
    return figure


def _hearts() -> Any:
    figure, axes = _figure(4, 2, 11.0, 9.0)
    for axis, (name, heart) in zip(axes.ravel(), HEARTS.items(), strict=True):
        athlete = SyntheticAthlete(heart=heart, programme=PROGRAMMES["rest"], wander_mv=0.02)
        _strip(axis, synthesize(athlete, rate_hz=250.0, seconds=60.0, seed=_SEED), 30.0, 6.0)
        axis.set_title(f"{name}: {heart.meaning}", fontsize=9, loc="left")
    return figure


def _rhythms() -> Any:
    figure, axes = _figure(len(_STRIPS) // 2, 2, 13.0, 11.0)
    for axis, (name, events) in zip(axes.ravel(), _STRIPS, strict=True):
        athlete = SyntheticAthlete(
            rate_bpm=75.0, wander_mv=0.02, events=tuple(parse_event(text) for text in events)
        )
        _strip(axis, synthesize(athlete, rate_hz=250.0, seconds=40.0, seed=_SEED), 4.0, 10.0)
        axis.set_title(name, fontsize=9, loc="left")
    return figure


def _strip(axis: _Axes, record: Record, at_s: float, length_s: float) -> None:
    """Draw some seconds with the symbols of their beats, and names of rhythms where they begin."""
    first, end = round(at_s * record.rate_hz), round((at_s + length_s) * record.rate_hz)
    axis.plot(np.arange(first, end) / record.rate_hz, record.millivolts[first:end], lw=0.8, color="black")
    axis.tick_params(labelsize=7)
    axis.margins(x=0.0)
    if record.truth is None:
        return
    here = record.truth.between(first, end)
    bottom, top = axis.get_ylim()
    axis.set_ylim(bottom, top + 0.25 * (top - bottom))
    for sample, symbol in zip(here.r_samples.tolist(), here.beat_symbols, strict=True):
        axis.text(sample / record.rate_hz, top, symbol, fontsize=7, ha="center", color=_REAL)
    for sample in here.lone_p_samples.tolist():
        axis.text(sample / record.rate_hz, top, "p", fontsize=7, ha="center", color=_GREY)
    for span in here.rhythms[1:]:
        axis.axvline(span.onset_sample / record.rate_hz, color=_MADE, lw=0.8)
        axis.text(
            span.onset_sample / record.rate_hz,
            top + 0.12 * (top - bottom),
            f"({span.kind}",
            fontsize=7,
            color=_MADE,
        )


def _beside(groups: "Groups") -> Any:
    figure, axes = _figure(3, 3, 13.0, 10.5)
    sides: tuple[tuple[str, Sequence[Record], str], ...] = (
        ("recordings", groups.real, _REAL),
        ("synthetic", groups.daily, _MADE),
    )
    for side, records, colour in sides:
        _draw_spectrum(axes[0, 0], records, colour, side)
        _draw_rr_spectrum(axes[0, 1], groups.healthy if side == "synthetic" else records, colour, side)
        _draw_beats(axes[0, 2], records, colour, side)
    axes[0, 0].set_title("ECG, normalised power density", fontsize=9)
    axes[0, 1].set_title("RR series, normalised power density", fontsize=9)
    axes[0, 2].set_title("median beats N, and V below them", fontsize=9)
    for axis in axes[0]:
        axis.legend(fontsize=7)
    for axis, (name, label) in zip(axes[1:].ravel(), RR_MEASURES.items(), strict=True):
        values = [
            np.array(
                [entry[name] for record in records for entry in _windows(record) if np.isfinite(entry[name])]
            )
            for records in (groups.real, groups.healthy)
        ]
        low, high = np.percentile(np.concatenate(values), [1, 99])
        for value, (side, _, colour) in zip(values, sides, strict=True):
            axis.hist(
                value, bins=np.linspace(low, high, 30), density=True, alpha=0.55, color=colour, label=side
            )
        axis.set_title(label, fontsize=9)
    return figure


def _windows(record: Record) -> Iterator[dict[str, float]]:
    if record.truth is not None:
        yield from rr_windows(record.truth)


def _draw_spectrum(axis: _Axes, records: Sequence[Record], colour: str, label: str) -> None:
    grid = np.arange(0.5, 45.0, 0.25)
    densities = []
    for record in records:
        frequency, power = signal_spectrum(record)
        density = np.interp(grid, frequency, power)
        densities.append(density / density.sum())
    _draw_range(axis, grid, np.array(densities), colour, label)
    axis.set_yscale("log")
    axis.set_xlabel("Hz", fontsize=8)


def _draw_rr_spectrum(axis: _Axes, records: Sequence[Record], colour: str, label: str) -> None:
    grid = np.arange(0.01, 0.6, 0.01)
    densities = []
    for record in records:
        if record.truth is None or not any(True for _ in _windows(record)):
            continue
        r_s = record.truth.r_samples / record.rate_hz
        normal = (record.truth.classes[1:] == 0) & (record.truth.classes[:-1] == 0)
        frequency, power = rr_spectrum(r_s[1:][normal], np.diff(r_s)[normal])
        density = np.interp(grid, frequency, power)
        densities.append(density / density.sum())
    _draw_range(axis, grid, np.array(densities), colour, label)
    axis.set_yscale("log")
    axis.set_xlabel("Hz", fontsize=8)


def _draw_range(axis: _Axes, grid: Any, densities: Any, colour: str, label: str) -> None:
    low, middle, high = np.percentile(densities, [10, 50, 90], axis=0)
    axis.fill_between(grid, low, high, color=colour, alpha=0.2, lw=0)
    axis.plot(grid, middle, color=colour, lw=1.2, label=f"{label}: median, 10 to 90 %")


def _draw_beats(axis: _Axes, records: Sequence[Record], colour: str, label: str) -> None:
    for name, shift in (("N", 0.0), ("V", -2.5)):
        drawn = False
        for record in records:
            found = mean_beat(record, AAMI_CLASSES.index(name))
            if found is None:
                continue
            time_s, beat = found
            scaled = beat / np.abs(beat[np.abs(time_s) < 0.06]).max()
            named = label if name == "N" and not drawn else None
            axis.plot(time_s, scaled + shift, color=colour, lw=0.6, alpha=0.5, label=named)
            drawn = True
    axis.set_xlabel("s", fontsize=8)
