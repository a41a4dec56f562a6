"""Class Se/+P against the signal-to-noise ratio, end to end: ``python -m benchmarks.classifier_noise PART``.

Baseline wander, muscle noise and electrode motion, as the MIT-BIH Noise Stress Test Database recorded them, are added
to the first minutes of every record at 24 to 0 dB (as WFDB's ``nst`` defines it), and what results goes through the
monitor's line from raw samples. Part ``ds1`` asks the cross-fitted pair, which has seen none of these patients; part
``ds2`` asks the shipped weights and leaves a line in the log of looks at DS2. A run that was stopped goes on where it
was. Both parts together make ``docs/classifier/noise.md`` and its plot.
"""

import argparse
import datetime as dt
import hashlib
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from models.beat_data import cut, stages_version
from models.evaluate_ds2 import LOG
from models.evaluation import announce, append, describe
from models.runtime import CROSSFIT_WEIGHTS, SHIPPED_WEIGHTS, Classifier, load_classifier
from models.splits import DS1, DS2
from models.train import commit
from monitor.errors import StrapwatchError, UsageError
from monitor.scoring import ClassCounts
from simulators.annotations import Truth
from simulators.noise import noise_gain, noise_power, normal_beats, qrs_power
from simulators.noise_mixture import noisy_segments
from simulators.records import Record, data_folder, read_record

SNRS_DB: Final = (24, 18, 12, 6, 0)
NOISES: Final = {"wander": "baseline wander", "muscle": "muscle noise", "electrode": "electrode motion"}
CLEAN: Final = "clean"
REPORT: Final = Path(__file__).parents[1] / "models" / "reports" / "classifier-noise.json"
PAGE: Final = Path(__file__).parents[1] / "docs" / "classifier" / "noise.md"
_PARTS: Final = {"ds1": (DS1, CROSSFIT_WEIGHTS), "ds2": (DS2, SHIPPED_WEIGHTS)}
_TITLES: Final = {
    "ds1": "DS1, by the cross-fitted pair, which was fitted to DS2 and svdb",
    "ds2": "DS2, by the shipped weights",
}
_RATE_HZ: Final = 360.0
_APART_S: Final = 37.0
_Signal = NDArray[np.float64]


def recorded_noise() -> dict[str, _Signal]:
    """Return each noise without its mean, at 360 Hz: two records, and what electrode motion record 118e00 was given."""
    import wfdb

    found = {}
    for kind, name in (("wander", "bw"), ("muscle", "ma")):
        path = data_folder() / "nstdb" / name
        if not path.with_suffix(".hea").exists():
            raise UsageError(f"{path}: not there; download the Noise Stress Test Database first")
        found[kind] = np.asarray(wfdb.rdrecord(str(path), channels=[0]).p_signal[:, 0], np.float64)
    clean, noisy = read_record("mitdb/118"), read_record("nstdb/118e00")
    added = (noisy.millivolts - clean.millivolts).astype(np.float64)
    stretches = noisy_segments(_RATE_HZ, len(added)).tolist()
    found["electrode"] = np.concatenate([added[begin:end] for begin, end in stretches])
    return {kind: noise - noise.mean() for kind, noise in found.items()}


def begun(record: Record, minutes: float) -> Record:
    """Return the first minutes of a record, with its reference."""
    samples = round(minutes * 60 * record.rate_hz)
    truth = record.truth
    if truth is not None:
        inside = truth.r_samples < samples
        truth = Truth(truth.r_samples[inside], truth.classes[inside], truth.unscored, truth.rate_hz)
    return replace(
        record, millivolts=record.millivolts[:samples], counts=record.counts[:samples], truth=truth
    )


def noisy(record: Record, noise: _Signal, snr_db: float) -> Record:
    """Return `record` with as much of `noise`, repeated where it is too short, as makes `snr_db`."""
    if record.truth is None:
        raise UsageError(f"{record.name}: without reference annotations there is no amplitude to measure by")
    normal = normal_beats(record.truth.r_samples, record.truth.classes)
    power = qrs_power(record.millivolts, normal, rate_hz=record.rate_hz)
    gain = noise_gain(power, noise_power(noise, rate_hz=record.rate_hz), snr_db)
    heard = record.millivolts + gain * np.resize(noise, len(record))
    return replace(record, millivolts=heard.astype(np.float32))


def cells() -> Iterator[tuple[str, int | None]]:
    """Yield kind of noise and signal-to-noise ratio of every cell; without noise first."""
    yield CLEAN, None
    for kind in NOISES:
        for snr_db in SNRS_DB:
            yield kind, snr_db


def count(
    classifier: Classifier, records: list[Record], noise: _Signal | None, snr_db: int | None
) -> ClassCounts:
    """Return what becomes of all beats of `records` in one noise; each record hears another stretch of it."""
    total = ClassCounts()
    for place, record in enumerate(records):
        heard = record
        if noise is not None and snr_db is not None:
            heard = noisy(record, np.roll(noise, -round(place * _APART_S * _RATE_HZ)), snr_db)
        beats = cut(heard)
        total = total + beats.count(announce(classifier, beats))
    return total


def measure(part: str, minutes: float, folder: Path) -> list[dict[str, Any]]:
    """Return all cells of a part, those from `folder` that an earlier run of the same source had reached included."""
    names, weights = _PARTS[part]
    classifier = load_classifier(weights, device="cpu")
    version = [part, minutes, classifier.card.sha256, classifier.card.class_bias, stages_version()]
    file = folder / f"{hashlib.sha256(json.dumps(version).encode()).hexdigest()[:16]}.jsonl"
    folder.mkdir(parents=True, exist_ok=True)
    done = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    noises = recorded_noise()
    records = [begun(read_record(name), minutes) for name in names]
    for kind, snr_db in list(cells())[len(done) :]:
        counts = count(classifier, records, noises.get(kind), snr_db)
        done.append({"noise": kind, "snr_db": snr_db, **describe(counts)})
        append(file, done[-1])
        print(f"{part}  {kind} {'' if snr_db is None else f'{snr_db} dB'}", file=sys.stderr, flush=True)
    return done


def page(report: dict[str, Any]) -> str:
    """Return the page with one table per part, in Markdown."""
    parts = [
        "# Classes in noise",
        (
            "Written by `python -m benchmarks.classifier_noise`, end to end from raw samples. Noise of the MIT-BIH "
            "Noise Stress Test Database over the whole of each record's first minutes; signal-to-noise ratio as "
            'WFDB\'s `nst` defines it. A beat that is "unsure" or not announced is wrong; `all N` is the accuracy of '
            "calling every beat N, had each been announced. Se is sensitivity, +P positive predictivity, in %."
        ),
        "![Sensitivity and positive predictivity against noise](noise.png)",
    ]
    for part, told in report.items():
        clean = told["cells"][0]
        n = {name: clean["classes"][name]["n"] for name in ("S", "V")}
        parts.append(
            f"## {_TITLES[part]}\n\n{told['model']}, first {told['minutes']:g} minutes of {told['records']} records: "
            f"{clean['beats']} beats, {n['S']} S, {n['V']} V, all N {100 * clean['baseline']:.1f} %.\n\n"
            + _table(told["cells"])
        )
    return "\n\n".join(parts) + "\n"


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [
        "| noise | dB | accuracy | S Se | S +P | V Se | V +P | unsure | not announced |",
        "| --- |" + " ---: |" * 8,
    ]
    for row in rows:
        values = [row["accuracy"]]
        values += [row["classes"][name][key] for name in ("S", "V") for key in ("se", "ppv")]
        values += [row[key] / row["beats"] for key in ("unsure", "undetected")]
        shown = ["n/a" if value is None else f"{100 * value:.1f}" for value in values]
        title = NOISES.get(row["noise"], "none")
        decibels = "" if row["snr_db"] is None else str(row["snr_db"])
        lines.append(f"| {' | '.join([title, decibels, *shown])} |")
    return "\n".join(lines)


def plot(report: dict[str, Any], path: Path) -> None:
    """Draw Se and +P of S and V against the ratio, a column per noise and a row per part."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 3.1 * len(report)), layout="constrained")
    axes = figure.subplots(len(report), len(NOISES), squeeze=False, sharex=True, sharey=True)
    for row, (part, told) in enumerate(report.items()):
        for column, (kind, title) in enumerate(NOISES.items()):
            axis = axes[row, column]
            of = [cell for cell in told["cells"] if cell["noise"] == kind]
            for name, colour in (("V", "C3"), ("S", "C0")):
                for key, style, label in (("se", "o-", "Se"), ("ppv", "s--", "+P")):
                    values = [cell["classes"][name][key] for cell in of]
                    axis.plot(
                        [cell["snr_db"] for cell in of],
                        [np.nan if value is None else 100 * value for value in values],
                        style,
                        color=colour,
                        label=f"{name} {label}",
                        markersize=4,
                    )
            axis.set_title(f"{part.upper()}, {title}", fontsize=9)
            axis.set_ylim(0, 101)
            axis.grid(alpha=0.3)
            if row == len(report) - 1:
                axis.set_xlabel("signal-to-noise ratio, dB")
        axes[row, 0].set_ylabel("%")
    axes[0, 0].invert_xaxis()
    axes[0, 0].legend(fontsize=7)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110, metadata={"Software": None})


def main() -> int:
    """Measure a part, and write report, page and plot of all parts there are."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=sorted(_PARTS))
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--reason", help="why DS2 is looked at, for its log; needed for part ds2")
    parser.add_argument("--folder", type=Path, default=Path("build/classifier-noise"))
    arguments = parser.parse_args()
    if arguments.part == "ds2" and not arguments.reason:
        parser.error("part ds2 looks at DS2: say why with --reason, for its log")
    try:
        rows = measure(arguments.part, arguments.minutes, arguments.folder)
    except StrapwatchError as error:
        print(f"classifier_noise: {error}", file=sys.stderr)
        return error.exit_code
    names, weights = _PARTS[arguments.part]
    card = load_classifier(weights, device="cpu").card
    told = {
        "model": f"{card.name} {card.version} ({card.sha256[:12]})",
        "minutes": arguments.minutes,
        "records": len(names),
        "cells": rows,
    }
    if arguments.part == "ds2":
        seen = {"at": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"), "reason": arguments.reason}
        seen |= {"commit": commit(), "sha256": card.sha256, "protocol": "DS2 in noise"}
        append(LOG, {**seen, **told})
    report = json.loads(REPORT.read_text()) if REPORT.exists() else {}
    report = dict(sorted({**report, arguments.part: told}.items()))
    REPORT.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    plot(report, PAGE.with_suffix(".png"))
    PAGE.write_text(page(report), encoding="utf-8")
    print(_table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
