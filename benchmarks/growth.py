"""How the watch's cost grows: ``python -m benchmarks.growth [--plot docs/growth.svg] [--json FILE]``.

Processor seconds of the watch alone (packets in, beats, states and alarms out; one thread), against the number of
athletes, the length of packets and the heart rate, one varied at a time; fitted are exponents of cost ~ quantity^e.
"""

import argparse
import json
import sys
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.live_straps import load_records
from benchmarks.watch_load import cost_s, ticks
from models.runtime import load_classifier
from monitor.warm_up import warm_up
from monitor.watch import Watch

ATHLETES: Final = (10, 30, 100, 300, 1000)
PACKET_S: Final = (0.1, 0.25, 0.5, 1.0)
BPM: Final = (75.0, 100.0, 150.0)
_ATHLETES: Final = 200
_PACKET_S: Final = 0.25
_BPM: Final = 75.0
_TICK_S: Final = 0.1
_SETTLING_S: Final = 3.0
_ATHLETE_SECONDS: Final = 3000.0
_LEAST_S, _MOST_S = 5.0, 60.0


def cost_ms(classifier: Any, *, athletes: int, packet_s: float, bpm: float) -> float:
    """Return milliseconds of a core for a second of the signal of all athletes."""
    seconds = min(max(_ATHLETE_SECONDS / athletes, _LEAST_S), _MOST_S)
    watch = Watch(classifier=classifier)
    load = ticks(_records(bpm), athletes, seconds=_SETTLING_S + seconds, packet_s=packet_s, tick_s=_TICK_S)
    cost_s(watch, (tick for _, tick in zip(range(int(_SETTLING_S / _TICK_S)), load, strict=False)))
    spent_s, _ = cost_s(watch, load)
    return 1e3 * spent_s / seconds


_records = cache(load_records)


def exponent(quantities: tuple[float, ...], costs: list[float]) -> float:
    """Return the slope of log cost over log quantity."""
    return float(np.polyfit(np.log(quantities), np.log(costs), 1)[0])


def main() -> int:
    """Measure, print and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--plot", type=Path)
    parser.add_argument("--json", type=Path)
    arguments = parser.parse_args()
    classifier = load_classifier()
    warm_up(classifier)
    curves: dict[str, tuple[tuple[float, ...], list[float]]] = {
        "athletes": (
            ATHLETES,
            [cost_ms(classifier, athletes=n, packet_s=_PACKET_S, bpm=_BPM) for n in ATHLETES],
        ),
        "seconds in a packet": (
            PACKET_S,
            [cost_ms(classifier, athletes=_ATHLETES, packet_s=p, bpm=_BPM) for p in PACKET_S],
        ),
        "beats a minute": (
            BPM,
            [cost_ms(classifier, athletes=_ATHLETES, packet_s=_PACKET_S, bpm=b) for b in BPM],
        ),
    }
    for name, (quantities, costs) in curves.items():
        told = ", ".join(f"{q:g}: {c:.1f}" for q, c in zip(quantities, costs, strict=True))
        print(f"{name}: {told} ms of a core a second; exponent {exponent(quantities, costs):.2f}")
    if arguments.json:
        arguments.json.write_text(json.dumps(curves, indent=2) + "\n", encoding="utf-8")
    if arguments.plot:
        _draw(curves, arguments.plot)
    return 0


def _draw(curves: dict[str, tuple[tuple[float, ...], list[float]]], path: Path) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "strapwatch"
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, (name, (quantities, costs)) in zip(axes, curves.items(), strict=True):
        axis.loglog(quantities, costs, "o-", color="#1f6f8b")
        axis.set_xlabel(name)
        axis.set_title(f"exponent {exponent(quantities, costs):.2f}", fontsize=10)
        axis.set_xticks(quantities, [f"{q:g}" for q in quantities])
        axis.minorticks_off()
        axis.grid(visible=True, alpha=0.3)
    axes[0].set_ylabel("ms of a core a second")
    figure.savefig(path, metadata={"Date": None})


if __name__ == "__main__":
    sys.exit(main())
