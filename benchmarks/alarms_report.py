"""How often alarms are right and how often false: recordings, grave events and long training sessions, in one report.

Works in chunks and resumes where it stopped; what is done lies in ``build/alarms-report`` and is used again only if
model and settings are the same. Recordings that the model was trained on are run with the cross-fitted weights.

    python -m benchmarks.alarms_report --hours 150 --out docs/reports/alarms.json

On several cores: one process each with ``--share 0 2`` and ``--share 1 2``, then the command without.
"""

import argparse
import hashlib
import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np

from models.runtime import Classifier, load_classifier
from models.splits import DS2
from monitor.alarm_report import AlarmScore, figures, report, total
from monitor.alarm_scoring import AlarmCounts, score_alarms
from monitor.compiled import source_version
from monitor.evaluation import run_line
from monitor.line import LineConfig
from monitor.recordings import is_listed
from monitor.scoring import LEARNING_S
from simulators.annotations import PACED_RECORDS
from simulators.arrhythmia import Asystole, VentricularFibrillation, VentricularTachycardia
from simulators.body import BodyTrouble, Noise, Saturation, clean_power, trouble_record
from simulators.noise import CADENCE_HZ, MEASURED_S, Effort, make_noise, noise_power
from simulators.records import Record, data_folder, read_record, record_of_counts, records_in
from simulators.rhythm_track import HeartEvent
from simulators.synthetic import synthesize
from simulators.synthetic_team import seed_of, training_athlete, training_session

CHUNKS: Final = Path("build/alarms-report")
CROSS_WEIGHTS: Final = Path("models/weights/crossfit/grunet.safetensors")
SEED: Final = 20261122
SESSION_S: Final = 3600.0
SESSIONS: Final = 6
RECORDINGS: Final = 8
"""Sessions, and recordings, that make a chunk: some minutes of a core that has other things to do."""
MOTION_DB: Final = (24.0, 18.0, 12.0, 6.0)
"""Ratio of an athlete's QRS to the motion at full effort, one after the other."""
AMPLIFIER_MV: Final = 5.0
"""What a strap's amplifier takes."""
GRAVE_S: Final = 100.0
GRAVE_AT_S: Final = 50.0
GRAVE: Final = 20
"""Athletes of each kind that make a chunk."""


def main() -> None:
    """Run what is missing and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--hours", type=float, default=150.0, help="hours of training sessions")
    parser.add_argument("--out", type=Path, default=Path("docs/reports/alarms.json"))
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop after so long, and report")
    parser.add_argument(
        "--share",
        type=int,
        nargs=2,
        metavar=("K", "N"),
        help="do every N-th chunk from the K-th (0 is the first) on and write no report: one process a core",
    )
    arguments = parser.parse_args()
    began = perf_counter()
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    models = (load_classifier(threads=1), load_classifier(CROSS_WEIGHTS, threads=1))
    version = _version(models)
    done: dict[str, list[dict[str, Any]]] = {}
    first, every = arguments.share or (0, 1)
    for number, (name, make) in enumerate(_chunks(arguments.hours)):
        file = CHUNKS / version / f"{name}.json"
        if number % every != first:
            continue
        if not file.is_file():
            if perf_counter() - began > 60.0 * arguments.minutes:
                continue
            started = perf_counter()
            records = make()
            scores = [asdict(score) for score in _scores(records, models, recordings=name.startswith("rec"))]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"seconds": perf_counter() - started, "scores": scores}))
            print(f"{name}: {perf_counter() - started:.0f} s", flush=True)
        done[name] = [json.loads(file.read_text())]
    if arguments.share:
        return
    summary = _summary(done, models, commit)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(summary, indent=1, allow_nan=False) + "\n")
    print(f"{arguments.out}: {summary['false_alarms']['hours']:.1f} hours")


def _chunks(hours: float) -> "Iterator[tuple[str, Any]]":
    for database in ("mitdb", "svdb", "edb"):
        folder = data_folder() / database
        stems = records_in(folder) if folder.is_dir() else []
        if not stems:
            print(f"{folder}: no recordings; set STRAPWATCH_DATA to have them in the report", flush=True)
        for begin in range(0, len(stems), RECORDINGS):
            share = stems[begin : begin + RECORDINGS]
            yield f"rec-{database}-{begin:03d}", lambda share=share: [read_record(stem) for stem in share]
    for kind in ("asystole", "asystole_p", "ventricular_fibrillation", "ventricular_tachycardia"):
        yield f"grave-{kind}", lambda kind=kind: [_grave(kind, number) for number in range(GRAVE)]
    for begin in range(0, round(hours), SESSIONS):
        yield (
            f"session-{begin:03d}",
            lambda begin=begin: [hour_of_training(begin + k) for k in range(SESSIONS)],
        )


def _grave(kind: str, number: int) -> Record:
    event: HeartEvent
    random = np.random.default_rng([SEED, number, 7])
    if kind.startswith("asystole"):
        event = Asystole(at_s=GRAVE_AT_S, length_s=15.0, p_waves=kind.endswith("p"))
    elif kind == "ventricular_fibrillation":
        event = VentricularFibrillation(
            at_s=GRAVE_AT_S,
            length_s=20.0,
            hz=float(random.uniform(3.5, 7.0)),
            millivolts=float(random.uniform(0.15, 0.8)),
            flutter=bool(number % 3 == 0),
        )
    else:
        event = VentricularTachycardia(
            at_s=GRAVE_AT_S, length_s=40.0, rate_bpm=float(random.uniform(120.0, 250.0))
        )
    athlete = training_athlete(number, seconds=GRAVE_S, seed=SEED, burden="none", events=(event,))
    rate_hz = (360.0, 250.0, 130.0)[number % 3]
    record = synthesize(
        athlete, rate_hz=rate_hz, seconds=GRAVE_S, seed=seed_of(number, SEED), name=f"{kind}-{number}"
    )
    return trouble_record(
        record, [Noise(kind="muscle", rms_mv=0.02), Noise(kind="wander", rms_mv=0.1)], seed=number
    )[0]


def hour_of_training(number: int) -> Record:
    """Return an hour of training with motion that follows the effort, muscle, wander, and an electrode that slips."""
    session = training_session(number, seconds=SESSION_S, seed=SEED)
    record = session.record
    samples = np.arange(len(record))
    effort = Effort(session.effort_at(samples), session.steps_hz_at(samples), record.rate_hz)
    random = np.random.default_rng([SEED, number, 8])
    seed = seed_of(number, SEED)
    at_full_effort = _rms(record, MOTION_DB[number % len(MOTION_DB)])
    slips = [
        Noise(
            kind="electrode",
            at_s=float(at),
            length_s=float(random.uniform(3.0, 15.0)),
            rms_mv=_rms(record, 6.0),
        )
        for at in np.sort(random.uniform(60.0, SESSION_S - 60.0, random.poisson(4.0)))
    ]
    troubles: list[BodyTrouble] = [
        Noise(kind="muscle", rms_mv=_rms(record, 18.0)),
        Noise(kind="wander", rms_mv=_rms(record, 12.0)),
        *slips,
        Saturation(limit_mv=AMPLIFIER_MV, offset_mv=0.0),
    ]
    moving = _with_motion(record, effort, rms_mv=at_full_effort, seed=seed)
    return trouble_record(moving, troubles, seed=seed)[0]


def _with_motion(record: Record, effort: Effort, *, rms_mv: float, seed: int) -> Record:
    """Return a record with the motion of its athlete, of level `rms_mv` where they give everything.

    `simulators.body.trouble_record` measures a noise over its first minutes, as ``nst`` does: there an athlete warms
    up, and what is measured then says nothing of the motion to come.
    """
    random = np.random.default_rng([seed, 9])
    samples = round(MEASURED_S * record.rate_hz)
    everything = Effort(
        np.ones(samples, np.float32), np.full(samples, CADENCE_HZ[1], np.float32), record.rate_hz
    )
    of_everything = make_noise("motion", samples, rate_hz=record.rate_hz, random=random, effort=everything)
    wave = make_noise("motion", len(record), rate_hz=record.rate_hz, random=random, effort=effort)
    wave *= rms_mv / np.sqrt(noise_power(of_everything, rate_hz=record.rate_hz))
    microvolts = np.clip(1e3 * (record.millivolts + wave), -1e3 * AMPLIFIER_MV, 1e3 * AMPLIFIER_MV)
    return record_of_counts(
        name=record.name,
        rate_hz=record.rate_hz,
        lead=record.lead,
        counts=np.rint(microvolts / record.microvolts_per_count).astype(np.int16),
        microvolts_per_count=record.microvolts_per_count,
        valid=record.valid,
        truth=record.truth,
    )


def _rms(record: Record, snr_db: float) -> float:
    """Return the level of a noise, in mV, that has this ratio to a record's own signal."""
    return float(np.sqrt(clean_power(record) / 10.0 ** (snr_db / 10.0)))


def _scores(
    records: Sequence[Record], models: tuple[Classifier, Classifier], *, recordings: bool
) -> list[AlarmScore]:
    model, cross = models
    scores = []
    known = [record for record in records if is_listed(record.name, model.training_records)]
    others = [record for record in records if record not in known]
    for share, classifier in ((known, cross), (others, model)):
        for record, told in zip(share, run_line(share, classifier=classifier), strict=True):
            assert record.truth is not None  # noqa: S101 - recordings without one are not listed, hearts have theirs
            start = round(LEARNING_S * record.rate_hz) if recordings else 0
            counts = score_alarms(record.truth, told.events, len(record), start_sample=start)
            paced = is_listed(record.name, PACED_RECORDS)
            trained_on = is_listed(record.name, classifier.training_records)
            scores.append(AlarmScore(record.name, paced, trained_on, counts))
    return scores


def _summary(
    done: dict[str, list[dict[str, Any]]], models: tuple[Classifier, Classifier], commit: str
) -> dict[str, Any]:
    scores: dict[str, list[AlarmScore]] = {}
    seconds = 0.0
    for name, parts in done.items():
        for part in parts:
            seconds += part["seconds"]
            scores.setdefault(name.rsplit("-", 1)[0], []).extend(_score(plain) for plain in part["scores"])
            if name.startswith("grave"):
                scores[name] = scores.pop("grave")
    sessions = scores.get("session", [])
    mitdb = scores.get("rec-mitdb", [])
    everything = [
        score for group in scores.values() for score in group if not score.paced and not score.trained_on
    ]
    high = total(everything).get("high_priority", AlarmCounts())
    return {
        "command": "make alarms-report",
        "commit": commit,
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "python": platform.python_version(),
        },
        "seconds": seconds,
        "models": [model.name for model in models],
        "settings_hash": LineConfig().version(),
        "mitdb": report(mitdb, DS2),
        **{
            name: {"records": len(group), **figures(total(group))}
            for name, group in scores.items()
            if name not in ("rec-mitdb", "session")
        },
        "sessions": {
            "records": len(sessions),
            "hours": len(sessions) * SESSION_S / 3600.0,
            **figures(total(sessions)),
        },
        "false_alarms": {
            "of": "mitdb without paced records, svdb, edb, grave events and training sessions",
            **high.figures(),
        },
    }


def _score(plain: dict[str, Any]) -> AlarmScore:
    counts = {
        kind: AlarmCounts(**{**of_kind, "latencies_s": tuple(of_kind["latencies_s"])})
        for kind, of_kind in plain["counts"].items()
    }
    return AlarmScore(plain["name"], plain["paced"], plain["trained_on"], counts)


def _version(models: Sequence[Classifier]) -> str:
    """Return a hash of what decides: settings, models, all compiled code, and what is asked of it."""
    code = Path(__file__).read_bytes()
    decides = [
        LineConfig().version(),
        source_version(),
        *(model.card.sha256 for model in models),
        hashlib.sha256(code).hexdigest(),
    ]
    return hashlib.sha256(" ".join(decides).encode()).hexdigest()[:12]


if __name__ == "__main__":
    main()
