"""Synthetic athletes as WFDB files: what is written is what is read."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from monitor.cli.application import run
from monitor.errors import RecordError, UsageError
from simulators.annotations import Truth, read_truth
from simulators.athlete_hearts import HEARTS
from simulators.effort import PROGRAMMES
from simulators.event_names import parse_event
from simulators.records import read_record
from simulators.synthetic import SyntheticAthlete, synthesize
from simulators.truth_files import write_record, write_truth

_EVENTS = ("bigeminy@20:4", "afib@60:20", "vt@100:6", "vf@106:9.5", "standstill@115.5:8", "run@140:4")


def _same(a: Truth, b: Truth) -> None:
    np.testing.assert_array_equal(a.r_samples, b.r_samples)
    np.testing.assert_array_equal(a.classes, b.classes)
    np.testing.assert_array_equal(a.unscored, b.unscored)
    np.testing.assert_array_equal(a.lone_p_samples, b.lone_p_samples)
    assert (a.symbols, a.rhythms, a.phases, a.rate_hz) == (b.symbols, b.rhythms, b.phases, b.rate_hz)
    assert a.episodes() == b.episodes()


@pytest.mark.parametrize("rate_hz", [130.0, 360.0])
@pytest.mark.parametrize("heart", ["wenckebach", "paced"])
def test_what_is_written_is_what_is_read(tmp_path: Path, rate_hz: float, heart: str) -> None:
    """Counts, beats, symbols, rhythms, flutter, lone P waves, phases and episodes survive the round trip."""
    athlete = SyntheticAthlete(
        heart=HEARTS[heart],
        programme=PROGRAMMES["maximum"].scaled(200.0),
        events=tuple(parse_event(text) for text in _EVENTS),
    )
    record = synthesize(athlete, rate_hz=rate_hz, seconds=200.0, seed=3)
    stem = write_record(record, tmp_path, "one", comments=["a comment"])
    again = read_record(stem)
    np.testing.assert_array_equal(again.counts, record.counts)
    assert again.microvolts_per_count == pytest.approx(record.microvolts_per_count)
    assert (again.rate_hz, again.lead) == (record.rate_hz, record.lead)
    assert record.truth is not None
    assert again.truth is not None
    _same(again.truth, record.truth)


def test_a_fault_in_the_signal_is_written(tmp_path: Path) -> None:
    """Samples that are not valid are read as not valid."""
    record = synthesize(SyntheticAthlete(), rate_hz=250.0, seconds=10.0, seed=1)
    millivolts = record.millivolts.copy()
    millivolts[500:700] = np.nan
    faulty = replace(record, millivolts=millivolts, truth=None)
    again = read_record(write_record(faulty, tmp_path, "faulty"))
    np.testing.assert_array_equal(again.valid, faulty.valid)
    assert again.truth is None


def test_nothing_to_write(tmp_path: Path) -> None:
    """Truth without anything in it makes no file."""
    nothing = Truth(np.empty(0, np.int64), np.empty(0, np.int8), np.empty((0, 2), np.int64), 250.0)
    assert write_truth(nothing, tmp_path, "nothing") is None
    assert list(tmp_path.iterdir()) == []


def test_where_nothing_can_be_written_it_is_said(tmp_path: Path) -> None:
    """A folder that is a file, or a name that the format refuses, is named in one line."""
    record = synthesize(SyntheticAthlete(), rate_hz=250.0, seconds=5.0, seed=1)
    (tmp_path / "file").write_text("")
    with pytest.raises(RecordError, match="cannot be written"):
        write_record(record, tmp_path / "file", "one")
    with pytest.raises(RecordError, match="cannot be written"):
        write_record(record, tmp_path, "a b")


def test_a_part_of_truth(tmp_path: Path) -> None:
    """What lies between two samples is clipped to them, in every part of the truth."""
    athlete = SyntheticAthlete(
        programme=PROGRAMMES["maximum"].scaled(200.0), events=tuple(parse_event(text) for text in _EVENTS)
    )
    truth = synthesize(athlete, rate_hz=250.0, seconds=200.0, seed=3).truth
    assert truth is not None
    part = truth.between(65 * 250, 118 * 250)
    assert len(part.symbols) == len(part) > 20
    assert part.rhythms[0].kind == "AFIB"
    assert part.rhythms[0].onset_sample == 65 * 250
    assert part.rhythms[-1].end_sample == 118 * 250
    assert all(65 * 250 <= span.onset_sample < span.end_sample <= 118 * 250 for span in part.phases)
    assert "ventricular_fibrillation" in {span.kind for span in part.episodes()}
    assert tmp_path.exists()


def test_synthesize_writes_what_it_says(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The command's records can be read, its counts are theirs, and a seed gives the same files again."""
    arguments = ["--athletes", "2", "--seconds", "120", "--rate", "130", "--event", "vf@60:10", "--seed", "9"]
    assert run(["synthesize", str(tmp_path / "a"), *arguments, "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)
    truths = [read_truth(tmp_path / "a" / f"synthetic-000{k}") for k in (0, 1)]
    assert summary["records"] == 2
    assert sum(summary["beats"].values()) == sum(len(truth) for truth in truths)
    assert summary["episodes"]["ventricular_fibrillation"] == 2
    np.testing.assert_array_equal(truths[0].unscored, [[60 * 130, 70 * 130]])
    assert run(["synthesize", str(tmp_path / "b"), *arguments, "--first", "1", "--athletes", "1"]) == 0
    assert "times real time" in capsys.readouterr().out
    for suffix in ("dat", "atr"):
        file = f"synthetic-0001.{suffix}"
        assert (tmp_path / "b" / file).read_bytes() == (tmp_path / "a" / file).read_bytes()


def test_synthesize_lists_and_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Lists name what there is; mistakes are one line and leave no file."""
    assert run(["synthesize", "--heart", "list", "--programme", "list"]) == 0
    said = capsys.readouterr().out
    assert "endurance" in said
    assert "sprints" in said
    for arguments, text in (
        ([], "give DIR"),
        ([str(tmp_path / "c"), "--heart", "lion"], "heart 'lion'"),
        ([str(tmp_path / "c"), "--programme", "war"], "programme 'war'"),
        ([str(tmp_path / "c"), "--burden", "much"], "use none, usual, frequent"),
        ([str(tmp_path / "c"), "--seconds", "0"], "use 1 to 86400"),
        ([str(tmp_path / "c"), "--rate", "50"], "use 100 to 1000 Hz"),
        ([str(tmp_path / "c"), "--event", "vf@9000:5"], "the rhythm ends at"),
    ):
        with pytest.raises(UsageError, match=text):
            run(["synthesize", *arguments])
    assert not (tmp_path / "c").exists()
