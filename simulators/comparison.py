"""Synthetic athletes beside real records, in numbers: ``python -m simulators.comparison``.

Recordings come from `simulators.records.data_folder`. Those that are kept aside from tuning
(``benchmarks/held_out.toml``) and those that only test the classifier (DS2) are not looked at.
"""

import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import typer

from monitor.errors import RecordError, StrapwatchError
from simulators.arrhythmia import AtrialFibrillation, VentricularFibrillation
from simulators.body import Noise, trouble_record
from simulators.comparison_measures import (
    RR_MEASURES,
    SHAPE_MEASURES,
    fibrillation_measures,
    irregularity,
    rr_windows,
    shape_measures,
)
from simulators.comparison_monitor import Side, monitored
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
_HOLTER_NOISE_DB: Final = {"wander": (6.0, 18.0), "muscle": (16.0, 28.0), "electrode": (6.0, 18.0)}
"""What a Holter recorder hears beside the heart, at ratios between these: the first two all the time."""
_ELECTRODE_EVERY_S, _ELECTRODE_S = 300.0, (5.0, 20.0)


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
        The same athletes with many, and with the noise of everyday life.
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


def with_holter_noise(record: Record, *, seed: int) -> Record:
    """Return a record as noisy as one of everyday life: baseline and muscles, and an electrode that moves at times."""
    random = np.random.default_rng(seed)
    level = {kind: float(random.uniform(*between)) for kind, between in _HOLTER_NOISE_DB.items()}
    noise = [Noise(kind="wander", snr_db=level["wander"]), Noise(kind="muscle", snr_db=level["muscle"])]
    at_s, end_s = float(random.exponential(_ELECTRODE_EVERY_S)), len(record) / record.rate_hz
    while at_s < end_s - _ELECTRODE_S[1]:
        length_s = float(random.uniform(*_ELECTRODE_S))
        noise.append(Noise(kind="electrode", snr_db=level["electrode"], at_s=at_s, length_s=length_s))
        at_s += length_s + float(random.exponential(_ELECTRODE_EVERY_S))
    return trouble_record(record, noise, seed=seed)[0]


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
        "monitor": monitored(
            groups.real,
            (Side("synthetic daily life", groups.daily), Side("synthetic training", groups.training)),
        ),
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
            daily=tuple(
                with_holter_noise(record, seed=seed_of(number, _SEED))
                for number, record in enumerate(
                    synthetic_records(athletes, seconds=1800.0, programme=_DAILY_LIFE)
                )
            ),
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
