"""The line over whole records, its scores, and the command that prints them."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
import wfdb
from numpy.typing import NDArray
from typer.testing import CliRunner, Result
from wfdb.processing import compare_annotations

from monitor.annotation_writer import EXTENSION, write_annotations
from monitor.cli.evaluate import register
from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, FloatArray
from monitor.errors import RecordError, StrapwatchError, UsageError
from monitor.evaluation import Announced, Timing, run_line
from monitor.evaluation_report import RecordScore, gross, report, score_record
from monitor.recordings import is_listed
from monitor.scoring import QrsCounts
from monitor.sequence_network import SequenceNetwork
from simulators.annotations import AAMI_SYMBOLS, Truth
from simulators.ectopy import PrematureBeat
from simulators.records import Record, read_record, record_of_counts
from simulators.synthetic import SyntheticAthlete, synthesize

N, S, V, F, Q = range(5)


def _record(
    name: str = "team/one",
    *,
    rate_hz: float = 250.0,
    seconds: float = 40.0,
    seed: int = 1,
    rate_bpm: float = 90.0,
) -> Record:
    events = (PrematureBeat(at_s=12.0, kind="V"), PrematureBeat(at_s=20.0, kind="S"))
    athlete = SyntheticAthlete(rate_bpm=rate_bpm, events=events)
    return synthesize(athlete, rate_hz=rate_hz, seconds=seconds, seed=seed, name=name)


def _with_gap(record: Record, first: int, end: int) -> Record:
    valid = np.ones(len(record), np.bool_)
    valid[first:end] = False
    return record_of_counts(
        name=record.name,
        rate_hz=record.rate_hz,
        lead=record.lead,
        counts=record.counts,
        microvolts_per_count=record.microvolts_per_count,
        valid=valid,
        truth=record.truth,
    )


class ByWidth:
    """A stand-in that calls a beat V whose QRS is wide; what it gets is what any classifier gets."""

    name = "by width"
    input_path = ""
    training_records = frozenset({"mitdb/208"})
    sequence: SequenceNetwork | None = None

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:
        """Return certainty for N or V."""
        assert window.shape == template.shape == (len(context), 600)
        level = 0.5 * np.abs(window[:, 280:320]).max(axis=1, keepdims=True)
        wide = (np.abs(window[:, 260:340]) > level).sum(axis=1) > 14
        answer = np.zeros((len(window), 5), np.float32)
        answer[np.arange(len(window)), np.where(wide, V, N)] = 1.0
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the likeliest class."""
        likeliest: NDArray[np.int8] = probabilities.argmax(axis=1).astype(np.int8)
        return likeliest


def _plain(beats: Announced) -> tuple[object, ...]:
    """Return what was announced without the row it had, comparable although NaN differs from itself."""
    events = [str(replace(event, row=0)) for event in beats.events]
    return beats.r_sample.tolist(), beats.label.tolist(), events


def test_synthetic_athlete_is_watched_without_fault() -> None:
    """Every beat of clean ECG is found, and only the placed ventricular beat is called so."""
    record = _record()
    assert record.truth is not None
    (beats,) = run_line([record], classifier=ByWidth())
    score = score_record(record.name, record.lead, len(record), record.truth, beats, classified=True)
    assert score.with_learning.qrs.fp == 0
    assert score.with_learning.qrs.fn <= 1
    assert score.with_learning.classes.confusion[V].tolist() == [0, 0, 1, 0, 0]
    assert score.with_learning.classes.confusion[N, V] == 0


@pytest.mark.parametrize("block_s", [0.37, 1.0, 7.0, 60.0])
def test_block_length_is_irrelevant(block_s: float) -> None:
    """The same beats, labels and events come of blocks of any length."""
    records = [_with_gap(_record(), 2_000, 2_100), _record(seed=2, seconds=33.3)]
    expected = run_line(records, classifier=ByWidth())
    found = run_line(records, classifier=ByWidth(), block_s=block_s)
    assert [_plain(beats) for beats in found] == [_plain(beats) for beats in expected]


def test_bank_equals_one_by_one() -> None:
    """Records of unequal length and rate in one run give what each gives alone, in the order they came in."""
    records = [
        _record(seed=1, seconds=25.0),
        _record(seed=2, rate_hz=360.0),
        _with_gap(_record(seed=3), 0, 700),
        _record(seed=4, rate_hz=100.0, rate_bpm=120.0),
        _with_gap(_record(seed=5), 9_000, 10_000),
    ]
    together = run_line(records, classifier=ByWidth())
    for record, beats in zip(records, together, strict=True):
        (alone,) = run_line([record], classifier=ByWidth())
        assert _plain(alone) == _plain(beats)
        assert len(beats.r_sample) > 10


def test_gap_costs_its_own_beats_only() -> None:
    """No beat is announced inside invalid samples; before them nothing changes, and after settling all are found."""
    record = _record()
    gap = _with_gap(record, 4_000, 5_000)
    (whole,), (cut,) = run_line([record]), run_line([gap])
    assert not np.any((cut.r_sample >= 4_000) & (cut.r_sample < 5_000))
    before = whole.r_sample[whole.r_sample < 3_800]
    assert np.array_equal(cut.r_sample[: len(before)], before)
    after = whole.r_sample[whole.r_sample > 6_000]
    assert np.array_equal(cut.r_sample[-len(after) :], after)


def test_a_record_without_a_valid_sample_has_no_beats() -> None:
    """It neither fails nor disturbs its neighbours."""
    record = _record()
    nothing, beats = run_line([_with_gap(record, 0, len(record)), record])
    assert len(nothing.r_sample) == 0
    assert _plain(beats) == _plain(run_line([record])[0])


def test_timing_and_progress_count_every_sample() -> None:
    """What is reported as done is what there was."""
    records = [_record(), _record(rate_hz=360.0, seconds=20.0)]
    timing, done = Timing(), list[int]()
    run_line(records, timing=timing, progress=done.append)
    assert timing.samples == sum(done) == sum(len(record) for record in records)
    assert timing.signal_s == pytest.approx(60.0)
    assert timing.stages_s > 0.0
    assert timing.classifier_s == 0.0


def _perfect(name: str, *, wrong: int = 0, classified: bool = True) -> RecordScore:
    """Score a record of 20 minutes in which `wrong` beats after the learning period are called V."""
    r_samples = np.arange(1, 1_200) * 250
    classes = np.zeros(len(r_samples), np.int8)
    label = classes.copy()
    label[500 : 500 + wrong] = V
    return score_record(
        name,
        "MLII",
        300_000,
        Truth(r_samples, classes, np.empty((0, 2), np.int64), 250.0),
        Announced(r_samples, label),
        classified=classified,
        training_records={"mitdb/101", "mitdb/201", "mitdb/118"},
    )


def test_gross_classes_leave_out_paced_and_training_records() -> None:
    """R peaks count every record; classes only those neither paced nor trained on, and those are reported apart."""
    scores = [
        _perfect("mitdb/100", wrong=1),
        _perfect("mitdb/101", wrong=10),
        _perfect("mitdb/102", wrong=100),
    ]
    qrs, classes = gross(scores, learning=False)
    assert qrs == QrsCounts(tp=3 * 900)
    assert classes.n.tolist() == [900, 0, 0, 0, 0]
    summary = report(scores, learning=False)
    assert summary["gross"]["class_records"] == ["mitdb/100"]
    assert summary["gross"]["accuracy"] == 899 / 900
    assert summary["apart"]["trained_on"]["accuracy"] == 890 / 900
    assert summary["apart"]["paced"]["accuracy"] == 800 / 900
    assert summary["records"]["mitdb/101"]["trained_on"]
    assert summary["records"]["mitdb/102"]["paced"]


def test_learning_period_is_in_only_when_asked() -> None:
    """Both R-peak figures are always there; records and gross follow the wish."""
    scores = [_perfect("mitdb/100")]
    without, including = report(scores, learning=False), report(scores, learning=True)
    assert without["gross"]["qrs"]["tp"] == 900
    assert including["gross"]["qrs"]["tp"] == including["records"]["mitdb/100"]["qrs"]["tp"] == 1_199
    assert without["gross_qrs"] == including["gross_qrs"]
    assert without["gross_qrs"]["with_learning"]["tp"] == 1_199


def test_report_has_what_is_promised() -> None:
    """Fractions from 0 to 1, None where undefined, valid JSON, and null classes where nothing was classified."""
    summary = report([_perfect("mitdb/100", wrong=9)], learning=False)
    for figures in (summary["records"]["mitdb/100"], summary["gross"]):
        assert set(figures["qrs"]) == {"se", "ppv", "f1", "tp", "fp", "fn"}
        assert set(figures["classes"]) == set(AAMI_CLASSES)
        assert figures["classes"]["N"] == {"se": 0.99, "ppv": 1.0, "n": 900}
        assert figures["classes"]["S"] == {"se": None, "ppv": None, "n": 0}
        assert np.array(figures["confusion"]).shape == (5, 5)
        assert (figures["accuracy"], figures["baseline"]) == (0.99, 1.0)
    json.dumps(summary, allow_nan=False)
    plain = report([_perfect("mitdb/100", classified=False)], learning=False)
    assert plain["gross"]["classes"] is None
    assert plain["records"]["mitdb/100"]["accuracy"] is None
    assert plain["gross"]["qrs"]["se"] == 1.0


def test_recordings_are_recognised_wherever_they_lie() -> None:
    """A copy in another folder and a noise-stress record are the recording they were made of."""
    assert is_listed("1.0.0/208", {"mitdb/208"})
    assert is_listed("nstdb/118e06", {"mitdb/118"})
    assert is_listed("nstdb/118e_6", {"mitdb/118"})
    assert not is_listed("edb/e0103", {"mitdb/103"})
    assert not is_listed("nstdb/119e06", {"mitdb/118"})
    assert _perfect("mitdb/202").note == "same person as 201, trained on"
    assert not _perfect("mitdb/202").trained_on


def test_annotations_are_read_back_by_wfdb(tmp_path: Path) -> None:
    """Positions, symbols and rate survive; each symbol is one that the reference's own grouping knows."""
    announced = Announced(
        np.array([10, 400, 5_000, 5_100, 400_000, 400_200]), np.array([N, S, V, F, Q, UNSURE_LABEL], np.int8)
    )
    file = write_annotations("mitdb/100", 360.0, announced, tmp_path / "new" / "folder")
    assert file == tmp_path / "new" / "folder" / f"100.{EXTENSION}"
    back = wfdb.rdann(str(tmp_path / "new" / "folder" / "100"), EXTENSION)
    assert back.sample.tolist() == announced.r_sample.tolist()
    assert back.symbol == ["N", "S", "V", "F", "Q", "?"]
    assert back.fs == 360
    assert all(symbol in AAMI_SYMBOLS[name] for symbol, name in zip(back.symbol, AAMI_CLASSES, strict=False))
    assert (
        write_annotations(
            "mitdb/101", 360.0, Announced(np.empty(0, np.int64), np.empty(0, np.int8)), tmp_path
        )
        is None
    )


def _write(folder: Path, record: Record, *, truth: bool = True) -> Path:
    """Write a record, with its truth, as WFDB files."""
    folder.mkdir(exist_ok=True)
    name = record.name.rsplit("/", 1)[-1]
    wfdb.wrsamp(
        name,
        fs=record.rate_hz,
        units=["mV"],
        sig_name=["MLII"],
        d_signal=record.counts[:, np.newaxis].astype(np.int64),
        fmt=["16"],
        adc_gain=[1e3 / record.microvolts_per_count],
        baseline=[0],
        write_dir=str(folder),
    )
    if truth:
        assert record.truth is not None
        symbols = [AAMI_CLASSES[name] for name in record.truth.classes]
        wfdb.wrann(
            name, "atr", record.truth.r_samples, symbol=symbols, fs=record.rate_hz, write_dir=str(folder)
        )
    return folder / name


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database: two records that can be scored, one without annotations, one cut off."""
    folder = tmp_path_factory.mktemp("data") / "school"
    _write(folder, _record("a1", seconds=330.0))
    _write(folder, _record("a2", seconds=320.0, rate_hz=128.0, seed=2))
    _write(folder, _record("bare", seconds=20.0), truth=False)
    cut = _write(folder, _record("cut", seconds=20.0)).with_suffix(".dat")
    cut.write_bytes(cut.read_bytes()[:1_000])
    return folder


def _evaluate(*arguments: str) -> Result:
    app = typer.Typer()
    register(app)
    return CliRunner().invoke(app, list(arguments))


def test_command_prints_json_alone(database: Path) -> None:
    """Standard output is one JSON document with every promised key; nothing is refused and the code is 0."""
    result = _evaluate("--database", str(database), "--records", "a1,a2", "--no-classify", "--json", "-")
    assert result.exit_code == 0
    summary = json.loads(result.stdout)
    assert list(summary["records"]) == ["school/a1", "school/a2"]
    assert {"gross", "samples_per_second", "model", "settings_hash", "times_real_time"} <= set(summary)
    assert summary["model"] is None
    assert summary["gross"]["qrs"]["se"] == 1.0
    assert summary["gross"]["qrs"]["fp"] == 0
    assert summary["gross_qrs"]["with_learning"]["tp"] > 5 * summary["gross"]["qrs"]["tp"]


def test_command_scores_the_rest_and_names_what_it_refuses(database: Path, tmp_path: Path) -> None:
    """Of a whole folder, damaged records are named with the reason, the others scored, and the code is 1."""
    figures = tmp_path / "figures.json"
    result = _evaluate("--database", str(database), "--no-classify", "--json", str(figures))
    assert result.exit_code == 1
    assert "truncated" in result.stderr
    assert "bare.atr: no reference annotations" in result.stderr
    assert "2 of 4 records refused" in result.stderr
    assert "gross, 2 records" in result.stdout
    summary = json.loads(figures.read_text())
    assert set(summary["refused"]) == {"school/bare", "school/cut"}
    assert list(summary["records"]) == ["school/a1", "school/a2"]


def test_command_writes_annotations_even_without_a_reference(database: Path, tmp_path: Path) -> None:
    """Beats of a record that cannot be scored are written all the same."""
    result = _evaluate(str(database / "bare"), "--no-classify", "--write-annotations", str(tmp_path))
    assert result.exit_code == 0
    beats = wfdb.rdann(str(tmp_path / "bare"), EXTENSION)
    assert len(beats.sample) > 20
    assert set(beats.symbol) == {"?"}


@pytest.mark.parametrize(
    ("arguments", "kind", "text"),
    [
        ((), UsageError, "nothing to evaluate"),
        (("--records", "a1"), UsageError, "--database"),
        (("--database", "/nowhere"), RecordError, "/nowhere: no such folder"),
        (("/nowhere/100",), RecordError, "no such record"),
    ],
)
def test_command_refuses_in_one_line(
    arguments: tuple[str, ...], kind: type[StrapwatchError], text: str
) -> None:
    """Wrong calls raise an error of one line that says what to do."""
    result = _evaluate(*arguments, "--no-classify")
    assert isinstance(result.exception, kind)
    assert text in str(result.exception)
    assert "\n" not in str(result.exception)


def test_command_names_a_missing_lead(database: Path) -> None:
    """A lead that a record lacks refuses that record, naming those that there are."""
    result = _evaluate(str(database / "a1"), "--lead", "V9", "--no-classify")
    assert result.exit_code == 1
    assert "no lead 'V9'; there are 0 MLII" in result.stderr


def test_two_records_for_one_annotation_file_are_refused(database: Path, tmp_path: Path) -> None:
    """Beats of one record never overwrite another's."""
    other = _write(tmp_path / "other", _record("a1", seconds=20.0))
    result = _evaluate(
        str(database / "a1"), str(other), "--no-classify", "--write-annotations", str(tmp_path)
    )
    assert isinstance(result.exception, UsageError)


def test_installed_command_leaves_with_the_code(database: Path) -> None:
    """As a process: JSON alone on standard output, no traceback, 1 for a refusal."""
    command = [sys.executable, "-m", "monitor.cli", "evaluate", str(database / "a1"), str(database / "cut")]
    done = subprocess.run(
        [*command, "--no-classify", "--json", "-"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 1
    assert list(json.loads(done.stdout)["records"]) == ["school/a1"]
    assert "truncated" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.data
def test_counts_on_a_recording(recordings: Path) -> None:
    """Record 100 has as many beats as other tools count, and wfdb finds as many of ours right."""
    record = read_record("mitdb/100", database=recordings)
    assert record.truth is not None
    (beats,) = run_line([record])
    score = score_record(record.name, record.lead, len(record), record.truth, beats, classified=False)
    assert score.without_learning.qrs.tp + score.without_learning.qrs.fn == 1_902
    assert score.with_learning.qrs.tp + score.with_learning.qrs.fn == 2_273
    assert score.with_learning.qrs.fn <= 2
    theirs = compare_annotations(record.truth.r_samples, beats.r_sample, 54 + 1)
    assert score.with_learning.qrs == QrsCounts(theirs.tp, theirs.fp, theirs.fn)
