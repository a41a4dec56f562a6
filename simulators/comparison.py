"""Synthetic athletes beside real records, in numbers: ``python -m simulators.comparison``.

Recordings come from `simulators.records.data_folder`. Those that are kept aside from tuning
(``benchmarks/held_out.toml``) and those that only test the classifier (DS2) are not looked at.
"""

import json
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from monitor.errors import RecordError, StrapwatchError
from simulators.arrhythmia import AtrialFibrillation, VentricularFibrillation
from simulators.comparison_measures import (
    RR_MEASURES,
    SHAPE_MEASURES,
    fibrillation_measures,
    irregularity,
    rr_windows,
    shape_measures,
)
from simulators.comparison_page import tables, write_page
from simulators.effort import Phase, Programme
from simulators.records import Record, data_folder, read_record, records_in
from simulators.synthetic import synthesize
from simulators.synthetic_team import TEAM_RATES_HZ, Burden, seed_of, training_athlete

_ROOT: Final = Path(__file__).parent.parent
_HELD_OUT: Final = _ROOT / "benchmarks" / "held_out.toml"
PAGE: Final = _ROOT / "docs" / "synthetic-athletes.md"
_SEED: Final = 20261122
_EVERY: Final = {"svdb": 2}
"""Not every record of a large database is needed."""
_DAILY_LIFE: Final = Programme(
    (
        Phase(name="rest", seconds=600.0, effort=0.08),
        Phase(name="warm-up", seconds=300.0, effort=0.25, climbs=True),
        Phase(name="recovery", seconds=900.0, effort=0.12),
    )
)
"""What somebody with a Holter recorder does: sits, walks a little, sits."""


@dataclass(frozen=True, slots=True)
class Groups:
    """What is compared.

    Attributes
    ----------
    real : tuple of Record
        Recordings.
    healthy : tuple of Record
        Synthetic athletes in daily life, as the people in the recordings were, with few ectopic beats.
    daily : tuple of Record
        The same athletes with many.
    training : tuple of Record
        These, who train.
    """

    real: tuple[Record, ...]
    healthy: tuple[Record, ...]
    daily: tuple[Record, ...]
    training: tuple[Record, ...]


def real_records() -> list[Record]:
    """Return one lead of DS1 and edb records, and of every second of svdb, that are here and not kept aside.

    Raises
    ------
    RecordError
        If there is none.
    """
    from models.splits import DS1

    held_out = tomllib.loads(_HELD_OUT.read_text(encoding="utf-8"))
    folder = data_folder()
    records = []
    for database in ("mitdb", "svdb", "edb"):
        if not (folder / database).is_dir():
            continue
        for stem in records_in(folder / database)[:: _EVERY.get(database, 1)]:
            is_tested = database == "mitdb" and f"mitdb/{stem.name}" not in DS1
            if not is_tested and stem.name not in held_out.get(database, ()):
                records.append(read_record(stem))
    if not records:
        raise RecordError(f"{folder}: no recordings to compare with; set STRAPWATCH_DATA")
    return records


def synthetic_records(
    athletes: int, *, seconds: float, programme: Programme | None = None, burden: Burden = "frequent"
) -> list[Record]:
    """Return synthetic athletes at 360, 250 and 130 Hz in turn."""
    records = []
    for number in range(athletes):
        athlete = training_athlete(number, seconds=seconds, seed=_SEED, burden=burden, programme=programme)
        records.append(
            synthesize(
                athlete,
                rate_hz=TEAM_RATES_HZ[number % len(TEAM_RATES_HZ)],
                seconds=seconds,
                seed=seed_of(number, _SEED),
                name=f"synthetic/{number:02d}",
            )
        )
    return records


def compare(groups: Groups) -> dict[str, Any]:
    """Return all figures, ready for JSON."""
    rr = {
        "real": [window for record in groups.real for window in _windows(record)],
        "synthetic": [window for record in groups.healthy for window in _windows(record)],
    }
    shapes = {
        "real": [shape_measures(record) for record in groups.real],
        "synthetic": [shape_measures(record) for record in groups.daily],
    }
    return {
        "records": {
            "real": [record.name for record in groups.real],
            "synthetic_daily": len(groups.daily),
            "synthetic_training": len(groups.training),
        },
        "hours": {
            "real": _hours(groups.real),
            "synthetic_daily": _hours(groups.daily),
            "synthetic_training": _hours(groups.training),
        },
        "rr_windows": {side: len(windows) for side, windows in rr.items()},
        "rr": _distributions(RR_MEASURES, rr),
        "shape": _distributions(SHAPE_MEASURES, shapes),
        "rhythms": _rhythms(groups.real),
        "monitor": _monitored(groups),
    }


def _windows(record: Record) -> Iterable[dict[str, float]]:
    return rr_windows(record.truth) if record.truth is not None else ()


def _hours(records: Sequence[Record]) -> float:
    return round(sum(len(record) / record.rate_hz for record in records) / 3600.0, 2)


def _distributions(
    names: Iterable[str], sides: dict[str, list[dict[str, float]]]
) -> dict[str, dict[str, Any]]:
    """Return three percentiles on both sides, and the share of synthetic values between the outer two real ones."""
    found: dict[str, dict[str, Any]] = {}
    for name in names:
        values = {
            side: np.array([entry[name] for entry in entries if np.isfinite(entry[name])])
            for side, entries in sides.items()
        }
        if min(len(value) for value in values.values()) == 0:
            continue
        low, high = np.percentile(values["real"], [5, 95])
        found[name] = {
            **{
                side: [round(float(p), 4) for p in np.percentile(value, [5, 50, 95])]
                for side, value in values.items()
            },
            "within": round(float(np.mean((values["synthetic"] >= low) & (values["synthetic"] <= high))), 3),
        }
    return found


def _rhythms(real: Sequence[Record]) -> dict[str, Any]:
    fibrillation = training_athlete(
        0,
        seconds=1800.0,
        seed=_SEED,
        burden="none",
        programme=_DAILY_LIFE,
        events=(AtrialFibrillation(at_s=10.0, length_s=1780.0),),
    )
    flutter = training_athlete(
        0,
        seconds=200.0,
        seed=_SEED,
        burden="none",
        events=(VentricularFibrillation(at_s=10.0, length_s=180.0, flutter=True, hz=4.6, millivolts=0.9),),
    )
    disorder = training_athlete(
        0,
        seconds=200.0,
        seed=_SEED,
        burden="none",
        events=(VentricularFibrillation(at_s=10.0, length_s=180.0),),
    )

    def made(athlete: Any, seconds: float) -> Record:
        return synthesize(athlete, rate_hz=360.0, seconds=seconds, seed=_SEED)

    synthetic_fibrillation = made(fibrillation, 1800.0)
    return {
        "atrial_fibrillation": {
            **{
                record.name: found
                for record in real
                if record.truth is not None and (found := irregularity(record.truth, "AFIB"))
            },
            "synthetic": irregularity(_truth(synthetic_fibrillation), "AFIB"),
        },
        "ventricular_flutter": {
            **{record.name: found for record in real if (found := fibrillation_measures(record))},
            "synthetic flutter": fibrillation_measures(made(flutter, 200.0)),
            "synthetic fibrillation": fibrillation_measures(made(disorder, 200.0)),
        },
    }


def _truth(record: Record) -> Any:
    return record.truth


def _monitored(groups: Groups) -> dict[str, Any]:
    """Return what the monitor's own stages make of both sides; classes of real records only where not trained on."""
    from models.runtime import load_classifier
    from monitor.evaluation import run_line
    from monitor.evaluation_report import score_record
    from monitor.scoring import Score

    classifier = load_classifier(threads=1)
    known = set(classifier.training_records) | {"mitdb/114", "mitdb/201", "mitdb/215", "mitdb/223"}
    sides: dict[str, tuple[Sequence[Record], Callable[[Record], bool]]] = {
        "real": (groups.real, lambda record: record.name not in known),
        "synthetic daily life": (groups.daily, lambda _: True),
        "synthetic training": (groups.training, lambda _: True),
    }
    answers = {}
    for side, (records, is_unseen) in sides.items():
        announced = run_line(records, classifier=classifier)
        qrs, classes = Score(), Score()
        for record, beats in zip(records, announced, strict=True):
            score = score_record(
                record.name, record.lead, len(record), _truth(record), beats, classified=True
            ).without_learning
            qrs += score
            if is_unseen(record):
                classes += score
        table = classes.classes
        by_class = table.ec57()
        answers[side] = {
            "beats": int(qrs.qrs.tp + qrs.qrs.fn),
            "qrs_se": _rounded(qrs.qrs.se),
            "qrs_ppv": _rounded(qrs.qrs.ppv),
            "class_records": sum(is_unseen(record) for record in records),
            "n_called_n": _rounded(int(table.confusion[0, 0]) / max(int(table.n[0]), 1)),
            "n_unsure": _rounded(int(table.unsure[0]) / max(int(table.n[0]), 1)),
            "v": by_class["V"].n,
            "v_se": _rounded(by_class["V"].se),
            "v_ppv": _rounded(by_class["V"].ppv),
            "s": by_class["S"].n,
            "s_se": _rounded(by_class["S"].se),
            "s_ppv": _rounded(by_class["S"].ppv),
        }
    return answers


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def main(
    *,
    athletes: Annotated[int, typer.Option(help="Synthetic athletes on each side.", min=3)] = 18,
    json_file: Annotated[Path | None, typer.Option("--json", help="Figures as JSON.")] = None,
    figures_to: Annotated[
        Path | None, typer.Option("--figures", help="Draw the plots into a folder.")
    ] = None,
    page: Annotated[bool, typer.Option("--page", help=f"Write the tables into {PAGE.name}.")] = False,
) -> None:
    """Compare synthetic athletes with recordings: RR series, spectrum, beats, detector and classifier."""
    try:
        groups = Groups(
            real=tuple(real_records()),
            healthy=tuple(synthetic_records(athletes, seconds=1800.0, programme=_DAILY_LIFE, burden="usual")),
            daily=tuple(synthetic_records(athletes, seconds=1800.0, programme=_DAILY_LIFE)),
            training=tuple(synthetic_records(athletes, seconds=1800.0)),
        )
        figures = compare(groups)
        text = tables(figures)
        typer.echo(text)
        if json_file is not None:
            json_file.write_text(f"{json.dumps(figures, indent=2)}\n", encoding="utf-8")
        if page:
            write_page(text, PAGE)
        if figures_to is not None:
            from simulators.comparison_plots import draw_all

            for file in draw_all(groups, figures_to):
                typer.echo(f"{file}", err=True)
    except StrapwatchError as error:
        typer.echo(f"comparison: {error}", err=True)
        raise typer.Exit(error.exit_code) from None


if __name__ == "__main__":
    typer.run(main)
