"""Scores of alarms, against stories whose answer can be counted by hand."""

import json
import re
from pathlib import Path

import numpy as np
import pytest

from monitor.alarm_catalogue_page import PAGE, REPORT, catalogue_page
from monitor.alarm_report import GROSS, AlarmScore, groups, report, total
from monitor.alarm_scoring import HIGH, AlarmCounts, poisson_upper, score_alarms
from monitor.contract import AAMI_CLASSES, RhythmEvent, RhythmKind
from simulators.annotations import Truth
from simulators.episodes import Span

ROOT = Path(__file__).parents[2]
RATE_HZ = 100.0
HOUR = 360_000


def _truth(
    labels: str, *, rr: int = 60, rhythms: tuple[Span, ...] = (), flutter: tuple[tuple[int, int], ...] = ()
) -> Truth:
    return Truth(
        r_samples=1000 + rr * np.arange(len(labels)),
        classes=np.array([AAMI_CLASSES.index(c) for c in labels], np.int8),
        unscored=np.array(flutter, np.int64).reshape(-1, 2),
        rate_hz=RATE_HZ,
        rhythms=rhythms,
    )


def _episode(
    kind: RhythmKind, first: int, last: int, *, beats: int = 0, rate: float = 120.0
) -> list[RhythmEvent]:
    own = tuple((int(r), 2, 0.9) for r in np.linspace(first, last, beats))
    return [
        RhythmEvent(
            row=0,
            kind=kind,
            episode=first,
            transition=transition,
            onset_sample=first,
            known_sample=last + 84,
            rate_bpm=rate,
            beats=own,
            duration_s=(last - first) / RATE_HZ,
        )
        for transition in ("onset", "end")
    ]


def _figures(counts: AlarmCounts) -> tuple[int, int, int, int]:
    return counts.tp, counts.fn, counts.right, counts.fp


def test_runs_are_compared_as_rxr_does() -> None:
    """A run is answered by one as long as its own class or longer, and told ones ask the same of the reference."""
    # Runs of 2, 3 and 7 beats, the third with a fusion beat in it.
    truth = _truth("NNVVNNVVVNNVVVFVVVNN")
    r = truth.r_samples
    told = [
        *_episode("ventricular_run", int(r[2]), int(r[4]), beats=3),  # a couplet taken for a run: false
        *_episode("ventricular_couplet", int(r[6]), int(r[7]), beats=2),  # a run of three taken for a couplet
        *_episode("ventricular_run", int(r[11]), int(r[14]), beats=4),  # seven taken for four
    ]
    scores = score_alarms(truth, told, HOUR)
    assert _figures(scores["ventricular_couplet"]) == (1, 0, 1, 0)
    assert _figures(scores["ventricular_run"]) == (1, 1, 1, 1)
    assert _figures(scores["ventricular_run_3_5"]) == (0, 1, 1, 1)
    assert _figures(scores["ventricular_run_6"]) == (0, 1, 0, 0)


def test_fibrillation_is_compared_as_epicmp_does() -> None:
    """Episodes by overlap, durations by the time both have; flutter of the atria is neither right nor false."""
    rhythms = (
        Span("N", 0, 100_000),
        Span("AFIB", 100_000, 200_000),
        Span("AFL", 200_000, 250_000),
        Span("N", 250_000, HOUR),
    )
    truth = _truth("N" * 10, rhythms=rhythms)
    told = [
        *_episode("atrial_fibrillation", 150_000, 220_000),
        *_episode("atrial_fibrillation", 230_000, 240_000),
        *_episode("atrial_fibrillation", 300_000, 310_000),
    ]
    counts = score_alarms(truth, told, HOUR)["atrial_fibrillation"]
    assert _figures(counts) == (1, 0, 1, 1)
    figures = counts.figures()
    assert figures["duration_se"] == pytest.approx(0.5, abs=0.001)
    assert figures["duration_ppv"] == pytest.approx(50 / 60, abs=0.001)


def test_pauses_in_flutter_do_not_count_and_the_learning_period_neither() -> None:
    """What overlaps ventricular flutter is no false pause; what ends before the start is not asked for."""
    truth = _truth("NN" + "N" * 20, rr=250, flutter=((3000, 4000),))
    told = [*_episode("pause", 3100, 3400), *_episode("pause", 100, 500), *_episode("pause", 20_000, 20_300)]
    counts = score_alarms(truth, told, HOUR, start_sample=1000)["pause"]
    assert (counts.right, counts.fp) == (0, 1)
    assert counts.hours == pytest.approx((HOUR - 1000) / HOUR)


def test_false_alarms_of_high_priority() -> None:
    """An asystole without one is false; a long run told of a shorter one is not."""
    truth = _truth("NNVVVNN" + "N" * 200)
    run = _episode("ventricular_run", int(truth.r_samples[2]), int(truth.r_samples[7]), beats=6)
    counts = score_alarms(truth, [*run, *_episode("asystole", 9000, 9500)], HOUR)[HIGH]
    assert counts.fp == 1


def test_the_bound_of_no_false_alarm_is_three() -> None:
    """The upper 95 % bound of none seen is 3.0 (the rule of three), and bounds lie above what was seen."""
    assert poisson_upper(0) == pytest.approx(-np.log(0.05))
    assert all(poisson_upper(n) > n for n in range(10))


def test_records_are_summed_up_without_the_paced_and_the_known() -> None:
    """Sums are those of the parts; paced records and those the model was trained on are in none."""
    one = AlarmCounts(tp=1, fp=2, hours=1.0, latencies_s=(1.0,))
    scores = [
        AlarmScore("mitdb/203", paced=False, trained_on=False, counts={"pause": one}),
        AlarmScore("mitdb/100", paced=False, trained_on=False, counts={"pause": one}),
        AlarmScore("mitdb/102", paced=True, trained_on=False, counts={"pause": one}),
        AlarmScore("mitdb/101", paced=False, trained_on=True, counts={"pause": one}),
    ]
    assert total(groups(scores)[GROSS])["pause"] == AlarmCounts(tp=2, fp=4, hours=2.0, latencies_s=(1.0, 1.0))
    plain = report(scores, ["mitdb/100"])
    assert plain["alarm_totals"]["ds2"]["pause"]["fp"] == 2
    assert plain["alarm_totals"]["without_203_and_232"]["records"] == 1
    assert plain["alarms"]["pause"]["false_per_hour"] == 2.0
    json.dumps(plain, allow_nan=False)


def test_the_page_is_current() -> None:
    """The catalogue's page is what the code and the report say."""
    measured = json.loads(REPORT.read_text(encoding="utf-8")) if REPORT.is_file() else None
    written = PAGE.read_text(encoding="utf-8")
    assert written == catalogue_page(measured), "write it anew: python -m monitor.alarm_catalogue_page"


def test_the_page_of_promises_names_what_is_there() -> None:
    """Every file and every test that the page of promises names exists."""
    page = (ROOT / "docs/alarm-checks.md").read_text("utf-8")
    tests = re.findall(r"`(test_\w+)\.(test_\w+)`", page)
    files = re.findall(r"`([\w/]+(?:\.py|\.lua|/))`", page)
    assert len(tests) > 60
    assert len(files) > 30
    for file, name in tests:
        assert f"def {name}(" in (ROOT / f"tests/monitor/{file}.py").read_text("utf-8"), (file, name)
    for file in files:
        assert (ROOT / "monitor" / file).exists() or (ROOT / file).exists(), file
