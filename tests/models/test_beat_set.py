"""No beat is lost or counted twice between the monitor's announcement and the score."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import monitor
from models.beat_data import cut, load_beats, stages_version, stream
from models.beat_set import NO_BEAT, BeatSet
from models.evaluation import announce, evaluate
from models.runtime import load_classifier
from monitor.contract import UNSURE_LABEL
from monitor.evaluation import run_line
from simulators.records import read_record
from simulators.synthetic_team import synthetic_team

MadeUp = Callable[[tuple[str, ...], int, int], BeatSet]


def test_records_part_and_join(made_up_beats: MadeUp) -> None:
    """Taking records out in another order keeps every beat with its record; a record cannot be there twice."""
    beats = BeatSet.join([made_up_beats(("a", "b"), 5, 1), made_up_beats(("c",), 7, 2)])
    turned = beats.of("c", "a")
    assert turned.names == ("c", "a")
    np.testing.assert_array_equal(turned.window[:7], beats.window[10:])
    np.testing.assert_array_equal(turned.record, [0] * 7 + [1] * 5)
    with pytest.raises(ValueError, match="two parts: a, a"):
        BeatSet.join([beats.of("a"), beats.of("a")])
    with pytest.raises(ValueError, match="no beats"):
        BeatSet.join([])


def test_every_reference_beat_is_counted(made_up_beats: MadeUp) -> None:
    """Missed beats, false detections and cut windows each have their place in the table."""
    beats = made_up_beats(("a",), 6, 3)
    beats = replace(
        beats,
        label=np.array([0, 0, 2, 2, NO_BEAT, 1], np.int8),
        complete=np.array([1, 1, 1, 1, 1, 0], np.bool_),
        missed=np.array([[3, 0, 1, 0, 0]]),
    )
    counts = beats.count(np.array([0, 2, 2, UNSURE_LABEL, 2, UNSURE_LABEL]))
    assert counts.n.tolist() == [5, 1, 3, 0, 0]
    assert counts.undetected.tolist() == [3, 0, 1, 0, 0]
    assert counts.unsure.tolist() == [0, 1, 1, 0, 0]
    assert counts.extra.tolist() == [0, 0, 1, 0, 0, 0]
    v = counts.plain()["V"]
    assert v.se == pytest.approx(1 / 3)
    assert v.ppv == pytest.approx(1 / 3)
    assert len(beats.learnable()) == 4


def test_evaluation_adds_up(made_up_beats: MadeUp, small_model: Path) -> None:
    """Records add up to gross; leaving one out is gross less that one; a cut window is never classified."""
    names = ("mitdb/232", "mitdb/202", "mitdb/100")
    beats = made_up_beats(names, 20, 4)
    whole = beats.complete.copy()
    whole[5] = False
    beats = replace(beats, complete=whole)
    classifier = load_classifier(small_model, device="cpu")
    assert announce(classifier, beats)[5] == UNSURE_LABEL
    results = evaluate(classifier, beats)
    tables = {name: np.array(results["records"][name]["table"]) for name in names}
    np.testing.assert_array_equal(results["gross"]["table"], sum(tables.values()))
    np.testing.assert_array_equal(
        results["without"]["mitdb/232"]["table"], tables["mitdb/202"] + tables["mitdb/100"]
    )
    assert results["gross"]["baseline"] == pytest.approx((beats.label == 0).mean(), abs=1e-4)


@pytest.mark.data
def test_beats_come_from_the_line_and_from_the_cache(recordings: Path, tmp_path: Path) -> None:
    """Record 100 is cut as its reference counts it, and read back from the cache as it was cut."""
    fresh = load_beats(["mitdb/100"], database=recordings, cache=tmp_path)
    again = load_beats(["mitdb/100"], database=recordings, cache=tmp_path)
    np.testing.assert_array_equal(fresh.window, again.window)
    np.testing.assert_array_equal(fresh.label, again.label)
    assert len(list(tmp_path.rglob("*.npz"))) == 1
    truth = read_record("mitdb/100", database=recordings).truth
    assert truth is not None
    counted = np.bincount(fresh.label[fresh.label != NO_BEAT], minlength=5) + fresh.missed[0]
    np.testing.assert_array_equal(counted, np.bincount(truth.classes, minlength=5))


@pytest.mark.data
def test_the_cut_does_not_depend_on_the_lead_before(recordings: Path) -> None:
    """A record cut twice gives the same beats to the last bit."""
    record = read_record("mitdb/100", database=recordings)
    first, second = cut(record), cut(record)
    np.testing.assert_array_equal(first.window, second.window)
    np.testing.assert_array_equal(first.context, second.context)


def test_a_hole_in_a_record_is_cut_as_it_is_watched() -> None:
    """Around samples that a recording lacks, training sees the beats that an evaluation sees, and no others."""
    record = synthetic_team(1, seconds=40.0, seed=3)[0]
    millivolts = record.millivolts.copy()
    millivolts[:500] = np.nan
    millivolts[5_010:6_300] = np.nan
    record = replace(record, millivolts=millivolts)
    beats, watched = stream(record), run_line([record])[0]
    np.testing.assert_array_equal(beats.r_sample, watched.r_sample)
    assert np.isnan(beats.rr_s).sum() == 2
    assert not beats.complete[beats.r_sample < 5_010][-1]


def test_what_the_detector_has_learnt_is_part_of_the_cache_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another weight of its judge, or a line in any of its modules, and beats are cut anew; a comment elsewhere not."""
    here = Path(monitor.__file__).parent
    shutil.copytree(here, tmp_path / "monitor", ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(monitor, "__file__", str(tmp_path / "monitor" / "__init__.py"))
    unchanged = stages_version.__wrapped__()
    for name, counts in (("rpeak_judge.npz", True), ("rpeak_levels.py", True), ("settings.py", False)):
        path = tmp_path / "monitor" / name
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert (stages_version.__wrapped__() != unchanged) is counts, name
        path.write_bytes(before)
