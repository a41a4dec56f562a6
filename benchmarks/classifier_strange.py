"""What is called of windows that are no beat it knows: ``python -m benchmarks.classifier_strange``.

Five minutes of each record of DS1, then two minutes of something else at the height of its QRS complexes: noise alone
as the MIT-BIH Noise Stress Test Database recorded it, or ventricular flutter as a wave of 3.3 to 5 Hz; flutter as
record 207 has it; complexes whose QRS was taken out; and the paced records. What is announced there goes through the
monitor's line and the cross-fitted pair, which has seen none of these patients; "unsure" is the right answer, N the
worst. The page, ``docs/classifier/strange.md``, also says how many real beats are called unsure.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from benchmarks.classifier_noise import recorded_noise
from models.beat_data import stream
from models.beat_set import BeatSet
from models.evaluation import announce
from models.reference_beats import load_reference_beats
from models.runtime import CROSSFIT_WEIGHTS, Classifier, load_classifier
from models.splits import DS1, PACED
from monitor.contract import LABELS, UNSURE_LABEL, WINDOW_POINTS, Beats, FloatArray
from monitor.errors import StrapwatchError
from monitor.line import Line
from simulators.noise import noise_gain, noise_power, normal_beats, qrs_power
from simulators.records import Record, read_record

CLEAN_S: Final = 300.0
STRANGE_S: Final = 120.0
REPORT: Final = Path(__file__).parents[1] / "models" / "reports" / "classifier-strange.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "classifier" / "strange.md"
_FLUTTER_RECORD: Final = "mitdb/207"
_FLUTTER_HZ: Final = (3.3, 5.0)
_SETTLED_S: Final = 1.0
_SURE_OF_SIGNAL: Final = 0.5
_Signal = NDArray[np.float64]


@dataclass(slots=True)
class Called:
    """What was announced of one kind of window.

    Attributes
    ----------
    labels : ndarray of int64, shape ``[6]``
        Announcements by label.
    poor : int
        How many of them had a quality below 0.5, which the monitor shows as poor signal.
    poor_or_unsure : int
        How many had that, or were called unsure.
    """

    labels: NDArray[np.int64]
    poor: int = 0
    poor_or_unsure: int = 0

    def add(self, label: NDArray[np.int8], quality: FloatArray) -> None:
        """Take announcements."""
        self.labels += np.bincount(label, minlength=len(LABELS))
        poor = quality < _SURE_OF_SIGNAL
        self.poor += int(poor.sum())
        self.poor_or_unsure += int((poor | (label == UNSURE_LABEL)).sum())

    def plain(self) -> dict[str, Any]:
        """Return counts as plain values."""
        labels = dict(zip(LABELS, self.labels.tolist(), strict=True))
        return {"announced": int(self.labels.sum()), **labels, "poor": self.poor} | {
            "poor_or_unsure": self.poor_or_unsure
        }


def measure(classifier: Classifier) -> dict[str, dict[str, Any]]:
    """Return what was called of each kind of window."""
    found: dict[str, Called] = {}

    def take(title: str, beats: Beats | BeatSet, label: NDArray[np.int8]) -> None:
        found.setdefault(title, Called(np.zeros(len(LABELS), np.int64))).add(label, beats.quality)

    def watch(record: Record) -> Beats:
        return stream(record, line=Line(rate_hz=record.rate_hz, capacity=1, classifier=classifier))

    noises = recorded_noise()
    for place, name in enumerate(DS1):
        for title, record, begin in _slid_off(read_record(name), noises, np.random.default_rng([7, place])):
            beats = watch(record)
            there = beats.r_sample >= begin + _SETTLED_S * record.rate_hz
            take(title, beats.take(there), beats.label[there])
            if title == "noise: muscle":
                real = beats.take(beats.r_sample < begin)
                take("real beats before that", real, real.label)
        print(name, file=sys.stderr, flush=True)
    record = read_record(_FLUTTER_RECORD)
    beats = watch(record)
    if record.truth is not None:
        there = ~record.truth.is_scored(beats.r_sample)
        take("flutter of record 207", beats.take(there), beats.label[there])
    for name in PACED:
        beats = watch(read_record(name))
        take("paced beats", beats, beats.label)
    reference = load_reference_beats(DS1[::3])
    take("QRS taken out, window by window", *_without_qrs(classifier, reference))
    return {title: called.plain() for title, called in sorted(found.items())}


def _slid_off(
    record: Record, noises: dict[str, _Signal], random: np.random.Generator
) -> Iterator[tuple[str, Record, int]]:
    """Yield records that go on as something else, with a title and the sample from which on."""
    if record.truth is None:
        return
    begin, samples = round(CLEAN_S * record.rate_hz), round(STRANGE_S * record.rate_hz)
    normal = normal_beats(record.truth.r_samples, record.truth.classes)
    power = qrs_power(record.millivolts, normal, rate_hz=record.rate_hz)
    seconds = np.arange(samples) / record.rate_hz
    wave = np.sin(
        2 * np.pi * np.cumsum(random.uniform(*_FLUTTER_HZ) + 0.1 * np.sin(seconds)) / record.rate_hz
    )
    others = {
        f"noise: {kind}": np.resize(np.roll(n, -random.integers(len(n))), samples)
        for kind, n in noises.items()
    }
    for title, other in {**others, "flutter, a wave": wave + 0.02 * random.standard_normal(samples)}.items():
        gain = noise_gain(power, noise_power(other, rate_hz=record.rate_hz), 0.0)
        millivolts = np.concatenate([record.millivolts[:begin], gain * other]).astype(np.float32)
        yield (
            title,
            replace(record, millivolts=millivolts, counts=np.zeros(len(millivolts), np.int16), truth=None),
            begin,
        )


def _without_qrs(classifier: Classifier, beats: BeatSet) -> tuple[BeatSet, NDArray[np.int8]]:
    """Return every tenth beat, whose window loses its QRS complex, and what it is called among the others."""
    chosen = np.arange(len(beats)) % 10 == 9
    distance = np.abs(np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0
    flat = np.median(beats.window, axis=1, keepdims=True)
    faded = flat + (beats.window - flat) * np.clip((distance - 0.08) / 0.04, 0, 1)
    window = np.where(chosen[:, np.newaxis], faded, beats.window).astype(np.float32)
    label = announce(classifier, replace(beats, window=window))
    return beats.where(chosen), label[chosen]


def page(report: dict[str, Any]) -> str:
    """Return the page, in Markdown."""
    lines = [
        "# Windows that are no beat it knows\n",
        (
            "Written by `python -m benchmarks.classifier_strange` "
            f"({report['model']}, which has seen none of these patients). "
            'Shares of what was announced, in %. "Poor" is a quality below 0.5: the coach is told of poor signal. Here '
            "unsure is the right answer, N the worst.\n"
        ),
        "| windows | announced | unsure | N | S | V | F | Q | poor | poor or unsure |",
        "| --- |" + " ---: |" * 9,
    ]
    for title, row in report["kinds"].items():
        total = max(row["announced"], 1)
        keys = ("unsure", "N", "S", "V", "F", "Q", "poor", "poor_or_unsure")
        shares = " | ".join(f"{100 * row[key] / total:.1f}" for key in keys)
        lines.append(f"| {title} | {row['announced']} | {shares} |")
    return "\n".join(lines) + "\n"


def main() -> int:
    """Measure, and write report and page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=CROSSFIT_WEIGHTS)
    arguments = parser.parse_args()
    try:
        classifier = load_classifier(arguments.weights, device="cpu")
        kinds = measure(classifier)
    except StrapwatchError as error:
        print(f"classifier_strange: {error}", file=sys.stderr)
        return error.exit_code
    card = classifier.card
    report = {"model": f"{card.name} {card.version} ({card.sha256[:12]})", "kinds": kinds}
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    text = page(report)
    PAGE.write_text(text, encoding="utf-8")
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
