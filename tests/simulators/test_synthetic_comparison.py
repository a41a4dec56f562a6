"""The measures that compare synthetic athletes with recordings know what was put in."""

from pathlib import Path

import numpy as np
import pytest

from monitor.errors import RecordError
from monitor.scoring import ClassCounts, Score
from simulators.annotations import Truth
from simulators.arrhythmia import AtrialFibrillation, VentricularFibrillation
from simulators.comparison_measures import (
    dfa_alpha1,
    fibrillation_measures,
    irregularity,
    rr_windows,
    shape_measures,
)
from simulators.comparison_monitor import Side, class_answers, monitored
from simulators.comparison_page import write_page
from simulators.comparison_plots import draw_athletes
from simulators.ectopy import PrematureBeat
from simulators.records import Record
from simulators.synthetic import SyntheticAthlete, synthesize


def _record(athlete: SyntheticAthlete, seconds: float = 700.0) -> tuple[Record, Truth]:
    record = synthesize(athlete, rate_hz=250.0, seconds=seconds, seed=1)
    assert record.truth is not None
    return record, record.truth


def test_rr_measures_find_what_was_put_in() -> None:
    """Rate, variation and which peak has more power come out; five minutes each, and none in another rhythm."""
    athlete = SyntheticAthlete(rate_bpm=60.0, variability=0.04, low_to_high=0.5)
    windows = list(rr_windows(_record(athlete)[1]))
    assert len(windows) == 2
    for window in windows:
        assert window["rate_bpm"] == pytest.approx(60.0, rel=0.02)
        assert window["sdnn_share"] == pytest.approx(0.04, rel=0.25)
    low, high = (
        np.mean([w["low_over_high"] for w in rr_windows(_record(SyntheticAthlete(low_to_high=share))[1])])
        for share in (0.2, 5.0)
    )
    assert high > 8 * low
    fibrillating = SyntheticAthlete(events=(AtrialFibrillation(at_s=10.0, length_s=680.0),))
    assert list(rr_windows(_record(fibrillating)[1])) == []


def test_scaling_exponent() -> None:
    """White noise has the exponent 0.5, its sum 1.5."""
    noise = np.random.default_rng(1).standard_normal(4000)
    assert dfa_alpha1(noise) == pytest.approx(0.5, abs=0.12)
    assert dfa_alpha1(np.cumsum(noise)) == pytest.approx(1.5, abs=0.12)
    assert np.isnan(dfa_alpha1(np.ones(100)))


def test_shapes() -> None:
    """Height and width of the QRS complex are the model's, shares of power add up to one, and V are wide."""
    events = tuple(PrematureBeat(at_s=at_s) for at_s in range(10, 280, 15))
    found = shape_measures(_record(SyntheticAthlete(events=events), 300.0)[0])
    assert found["qrs_mv"] == pytest.approx(1.1, rel=0.08)
    assert found["qrs_ms"] == pytest.approx(2.355 * 12, rel=0.15)
    assert found["low_band"] + found["middle_band"] + found["high_band"] == pytest.approx(1.0)
    assert found["v_over_n_width"] == pytest.approx(34 / 12, rel=0.25)
    assert np.isnan(shape_measures(_record(SyntheticAthlete(), 30.0)[0])["v_over_n_width"])


def test_rhythms_are_measured() -> None:
    """Irregularity and the frequency of flutter come out as they were put in."""
    athlete = SyntheticAthlete(
        variability=0.0,
        events=(
            AtrialFibrillation(at_s=10.0, length_s=300.0, irregularity=0.25),
            VentricularFibrillation(at_s=320.0, length_s=40.0, flutter=True, hz=4.5),
        ),
    )
    record, truth = _record(athlete, 400.0)
    assert irregularity(truth, "AFIB")["sd_share"] == pytest.approx(0.25, rel=0.2)
    assert irregularity(truth, "AFL") == {}
    assert fibrillation_measures(record)["peak_hz"] == pytest.approx(4.5, abs=0.3)
    assert fibrillation_measures(_record(SyntheticAthlete(), 30.0)[0]) == {}


def test_prevalence_decides_nothing() -> None:
    """The same judge on ten times as many N has the same figures, though positive predictivity as it is usual falls."""
    table = np.zeros((6, 7), np.int64)
    table[0, [0, 1, 2]] = 960, 30, 10
    table[1, [0, 1]] = 20, 80
    table[2, [2, 6]] = 45, 5
    many = table.copy()
    many[:2] *= 10
    shares = {"V": 0.05, "S": 0.1}
    few_v, many_n = (class_answers([Score(classes=ClassCounts(one))], shares) for one in (table, many))
    counted = {"v", "s", "s_false", "s_false_records", "s_ppv_alike"}
    assert {k: v for k, v in few_v.items() if k not in counted} == {
        k: v for k, v in many_n.items() if k not in counted
    }
    assert few_v["v_se"] == 0.9
    assert few_v["v_false"] == pytest.approx(1e3 * 10 / 1100, abs=0.01)
    assert few_v["v_ppv_alike"] == pytest.approx(0.9 * 0.05 / (0.9 * 0.05 + 10 / 1100 * 0.95), abs=1e-4)
    usual = [ClassCounts(one).plain()["V"].ppv for one in (table, many)]
    assert usual == pytest.approx([45 / 55, 45 / 145])


def test_one_judge_for_both_sides() -> None:
    """The same record on both sides has the same figures on both."""
    events = tuple(PrematureBeat(at_s=at_s) for at_s in range(10, 380, 15))
    record, _ = _record(SyntheticAthlete(events=events), 400.0)
    found = monitored([record], [Side("made", [record])])
    assert found["sides"]["real"] == found["sides"]["made"]
    assert found["sides"]["made"]["v"] > 3
    assert found["shipped"]["sides"].keys() == {"made"}


def test_a_page_gets_its_tables(tmp_path: Path) -> None:
    """Only the part between the marks is replaced, again and again; a page without them is refused."""
    page = tmp_path / "page.md"
    begin, end = "<!-- written by python -m simulators.comparison -->", "<!-- end of what it writes -->"
    page.write_text(f"before\n{begin}\nold\n{end}\nafter\n", encoding="utf-8")
    for text in ("one", "two"):
        write_page(text, page)
    assert page.read_text(encoding="utf-8") == f"before\n{begin}\n\ntwo\n\n{end}\nafter\n"
    page.write_text("nothing", encoding="utf-8")
    with pytest.raises(RecordError, match="no page with a part"):
        write_page("three", page)
    assert page.read_text(encoding="utf-8") == "nothing"


def test_plots_are_drawn(tmp_path: Path) -> None:
    """Effort, hearts and rhythms are pictures that are not empty."""
    files = draw_athletes(tmp_path)
    assert [file.name for file in files] == [
        "synthetic-effort.png",
        "synthetic-hearts.png",
        "synthetic-rhythms.png",
    ]
    assert all(file.stat().st_size > 20_000 for file in files)
