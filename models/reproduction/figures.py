"""The paper's eight figures, each drawn from what it shows: modules, recordings, counts. PNG and SVG."""

from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, cast

import matplotlib as mpl
import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from torch import nn

from models.reproduction.experiments import ALL_FILTERS, Experiment
from models.reproduction.networks import Shaped, build
from models.reproduction.preprocessing import DIRECTIONS, combination, cut, filtered
from monitor.contract import WINDOW_POINTS

EXAMPLE_RECORD: Final = "mitdb/203"
"""Baseline wander, muscle noise and ventricular beats, all in one stretch; of DS1."""
_EXAMPLE_FROM_S: Final = 60.0
_EXAMPLE_S: Final = 8.0
_STAGES: Final = (
    ("figure-3-raw", "Raw", None),
    ("figure-4-baseline", "Baseline removed (high-pass)", "high-pass"),
    ("figure-5-wavelet", "High-pass, then the wavelet step", "high-pass + wavelet"),
    ("figure-6-low-pass", "All three: high-pass, low-pass, then the wavelet step", ALL_FILTERS),
)
_MATRICES: Final = (
    ("figure-7-mitdb", "MIT-BIH, 5 classes", Experiment(database="mitdb")),
    ("figure-8-edb", "European ST-T, 3 classes", Experiment(database="edb")),
)
_BLUE, _RED = "#1f5f99", "#b5402a"


def draw_all(outcomes: Mapping[str, dict[str, Any]], folder: Path, *, recordings: bool) -> list[Path]:
    """Draw every figure that can be drawn, and return the files.

    Parameters
    ----------
    outcomes : mapping
        Finished runs by key; a confusion matrix without its run is not drawn.
    folder : Path
        Receives PNG and SVG.
    recordings : bool
        Whether recordings are there to draw figures 3 to 6 from.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = [
        *_save(network_figure(), folder, "figure-1-network"),
        *_save(gru_figure(), folder, "figure-2-gru"),
    ]
    if recordings:
        for name, title, filters in _STAGES:
            files += _save(step_figure(title, filters), folder, name)
    for name, title, experiment in _MATRICES:
        outcome = outcomes.get(experiment.key)
        if outcome is not None:
            files += _save(confusion_figure(title, outcome), folder, name)
    return files


def network_figure() -> Figure:
    """Draw the network from its modules, with the shapes that a window really takes on its way through."""
    network = cast("Shaped", build("Grunet")).network
    shapes = _shapes(network)
    figure = Figure(figsize=(9.0, 4.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.7, 8.7)
    axes.set_ylim(-3.7, 1.3)
    places = {
        "stem": (0, 0),
        "down1": (1, -1),
        "down2": (2, -2),
        "down3": (3, -3),
        "up2": (4.2, -2),
        "up1": (5.2, -1),
        "up0": (6.2, 0),
        "out_convolution": (7.3, 0),
        "out_linear": (8.3, 0),
    }
    drawn = {}
    for name, (x, y) in places.items():
        channels, length = shapes[name]
        what = rf"{channels} $\times$ {length}" if length else f"{channels} classes"
        colour = "#dce9f5" if name.startswith("down") else "#f3ead9"
        drawn[name] = _box(axes, x, y, f"{name.replace('_', chr(10))}\n{what}", colour)
    for begin, end in pairwise(places):
        _arrow(axes, drawn[begin], drawn[end])
    for begin, end in (("stem", "up0"), ("down1", "up1"), ("down2", "up2")):
        _arrow(axes, drawn[begin], drawn[end], linestyle="--", color=_BLUE)
    axes.text(
        0,
        1.1,
        rf"window, 1 $\times$ {WINDOW_POINTS}; dashed: beside the decoder's features of the same length",
        fontsize=8,
    )
    axes.text(
        0,
        -3.5,
        "down: max-pool 2, two (convolution, batch norm), one GRU over time; "
        r"up: linear $\times$ 2, concatenate, convolve",
        fontsize=8,
    )
    return figure


def gru_figure() -> Figure:
    """Draw one step of the GRU as it is used, with the sizes of the network's first."""
    layer = cast("Shaped", build("Grunet")).network.down1.gru
    figure = Figure(figsize=(9.0, 3.6), layout="constrained")
    axes = figure.add_subplot()
    axes.set_axis_off()
    axes.set_xlim(-0.4, 8.6)
    axes.set_ylim(-0.7, 3.0)
    boxes = {
        "hidden": (0.2, 2.0, "h(t-1)", "#ffffff"),
        "input": (0.2, 0.8, "x(t)", "#ffffff"),
        "update": (3.1, 2.7, r"update  z = $\sigma$(Wz x + Uz h)", "#dce9f5"),
        "reset": (3.1, 1.4, r"reset  r = $\sigma$(Wr x + Ur h)", "#dce9f5"),
        "candidate": (3.1, 0.1, r"candidate  n = tanh(Wn x + r $\circ$ Un h)", "#f3ead9"),
        "new": (7.0, 1.4, r"h(t) = (1 - z) $\circ$ n + z $\circ$ h(t-1)", "#e4f1df"),
    }
    drawn = {name: _box(axes, x, y, text, colour) for name, (x, y, text, colour) in boxes.items()}
    for begin, end in (
        *(("hidden", part) for part in ("update", "reset", "candidate", "new")),
        *(("input", gate) for gate in ("update", "reset", "candidate")),
        *(("reset", "candidate"), ("candidate", "new"), ("update", "new")),
    ):
        _arrow(axes, drawn[begin], drawn[end])
    axes.text(
        0,
        -0.5,
        f"PyTorch's nn.GRU: {layer.input_size} inputs, {layer.hidden_size} hidden units here; each W is "
        f"{layer.hidden_size} by {layer.input_size}, each U {layer.hidden_size} by {layer.hidden_size}, biases not "
        "drawn. The paper's equations leave r out of n.",
        fontsize=8,
    )
    return figure


def _box(axes: Axes, x: float, y: float, text: str, colour: str) -> Text:
    style = {"boxstyle": "round", "facecolor": colour, "edgecolor": "#555"}
    return axes.text(x, y, text, ha="center", va="center", fontsize=9, bbox=style)


def _arrow(axes: Axes, begin: Text, end: Text, **style: str) -> None:
    axes.annotate(
        "",
        end.get_position(),
        begin.get_position(),
        arrowprops={
            "arrowstyle": "->",
            "patchA": begin.get_bbox_patch(),
            "patchB": end.get_bbox_patch(),
            "shrinkA": 4,
            "shrinkB": 4,
            **style,
        },
    )


def step_figure(title: str, filters: str | None) -> Figure:
    """Draw a stretch of `EXAMPLE_RECORD` after some steps, filtered both ways.

    Parameters
    ----------
    title : str
        Above the picture.
    filters : str or None
        See `models.reproduction.preprocessing.combination`; none for the raw signal.
    """
    from simulators.records import read_record

    record = read_record(EXAMPLE_RECORD, lead=0)
    begin = round(_EXAMPLE_FROM_S * record.rate_hz)
    length = round(_EXAMPLE_S * record.rate_hz)
    seconds = np.arange(length) / record.rate_hz + _EXAMPLE_FROM_S
    figure = Figure(figsize=(9.0, 2.6), layout="constrained")
    axes = figure.add_subplot()
    if filters is None:
        axes.plot(seconds, record.millivolts[begin : begin + length], color=_BLUE, linewidth=0.8)
    else:
        for direction, colour in zip(DIRECTIONS, (_BLUE, _RED), strict=True):
            steps, said = combination(filters), str(direction)
            whole = filtered(record.millivolts, record.rate_hz, steps, direction)
            if direction == "causal" and "wavelet" in steps:
                # As each window is cut when it closes: shown is every window's newest half second, one after another.
                half = round(0.5 * record.rate_hz)
                ends = np.arange(begin + half, begin + length + half, half)
                pieces = cut(whole, ends - WINDOW_POINTS // 2, steps, direction)[:, -half:]
                shown = pieces.reshape(-1)[:length]
                said = "causal, the newest half second of one window after another"
            else:
                shown = whole[begin : begin + length]
            axes.plot(seconds, shown, color=colour, linewidth=0.8, label=said)
        axes.legend(loc="upper left", ncols=2, fontsize=8)
    axes.set_title(f"{title} ({EXAMPLE_RECORD}, {record.lead})", fontsize=10)
    axes.set_xlabel("s")
    axes.set_ylabel("mV")
    return figure


def confusion_figure(title: str, outcome: dict[str, Any]) -> Figure:
    """Draw a normalised confusion matrix from an outcome's counts."""
    counts = np.array(outcome["confusion"], np.float64)
    totals = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, totals, out=np.zeros_like(counts), where=totals > 0)
    names = outcome["classes"]
    figure = Figure(figsize=(4.8, 4.4), layout="constrained")
    axes = figure.add_subplot()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(
        range(len(names)), [f"{name} ({int(n)})" for name, n in zip(names, totals[:, 0], strict=True)]
    )
    axes.set_xlabel("called")
    axes.set_ylabel("reference (beats tested)")
    for row, column in np.ndindex(*shares.shape):
        dark = shares[row, column] > 0.5
        axes.text(
            column,
            row,
            f"{shares[row, column]:.3f}",
            ha="center",
            va="center",
            color="white" if dark else "black",
        )
    axes.set_title(f"{title}\n{outcome['experiment']['protocol']}", fontsize=9)
    return figure


def _shapes(network: nn.Module) -> dict[str, tuple[int, int]]:
    """Return channels and length (0 at the end) of what each child of a network puts out."""
    shapes: dict[str, tuple[int, int]] = {}

    def remember(name: str) -> Callable[..., None]:
        def hook(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
            shapes[name] = (output.shape[1], output.shape[2] if output.ndim > 2 else 0)

        return hook

    hooks = [child.register_forward_hook(remember(name)) for name, child in network.named_children()]
    network.eval()
    with torch.inference_mode():
        window = torch.zeros(1, WINDOW_POINTS)
        network(window, window)
    for hook in hooks:
        hook.remove()
    return shapes


def _save(figure: Figure, folder: Path, name: str) -> list[Path]:
    png, svg = folder / f"{name}.png", folder / f"{name}.svg"
    figure.savefig(png, dpi=110, metadata={"Software": None})
    # A fixed salt and no date, so that an unchanged figure is an unchanged file.
    with mpl.rc_context({"svg.hashsalt": "strapwatch", "svg.fonttype": "none"}):
        figure.savefig(svg, metadata={"Date": None})
    return [png, svg]
