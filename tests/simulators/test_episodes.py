"""Episodes: one definition for recordings and synthetic athletes."""

import numpy as np
import pytest

from simulators.annotations import Truth
from simulators.episodes import Span, spans_of
from simulators.records import data_folder, read_record


def _truth(
    symbols: str, rr: list[int] | None = None, *, unscored: list[list[int]] | None = None, **more: object
) -> Truth:
    intervals = [100] * len(symbols) if rr is None else rr
    return Truth(
        np.cumsum(intervals).astype(np.int64),
        np.array(["NSVFQ".index(symbol) for symbol in symbols], np.int8),
        np.array(unscored or [], np.int64).reshape(-1, 2),
        100.0,
        **more,  # type: ignore[arg-type]  # fields of Truth
    )


@pytest.mark.parametrize(
    ("symbols", "expected"),
    [
        ("NNVNN", []),
        ("NNVVNN", [("ventricular_couplet", 300, 401, 2)]),
        ("NVVVN", [("ventricular_run", 200, 401, 3)]),
        ("VVV", [("ventricular_run", 100, 301, 3)]),
        ("NSSN", []),
        ("NSSSSN", [("supraventricular_run", 200, 501, 4)]),
        ("NVNVN", []),
        ("NVNVNVN", [("bigeminy", 200, 601, 5)]),
        ("VNNVNNVNN", [("trigeminy", 100, 701, 7)]),
        ("NVVNVNVN", [("ventricular_couplet", 200, 301, 2), ("bigeminy", 300, 701, 5)]),
    ],
)
def test_rows_of_beats(symbols: str, expected: list[tuple[str, int, int, int]]) -> None:
    """Couplets are exactly two, runs three or more, bigeminy a V at every second beat at least three times."""
    assert [tuple(span) for span in _truth(symbols).episodes()] == expected


def test_pauses() -> None:
    """From 2 s an interval is a pause, from 4 s an asystole too; one that reaches into flutter is neither."""
    rr = [100, 199, 200, 399, 400]
    found = [(span.kind, span.end_sample - span.onset_sample) for span in _truth("NNNNN", rr).episodes()]
    assert found == [("pause", 200), ("pause", 399), ("asystole", 400), ("pause", 400)]
    flutter = _truth("NNNN", [100, 100, 900, 100], unscored=[[300, 1000]]).episodes()
    assert [span.kind for span in flutter] == ["ventricular_fibrillation"]


def test_flutter_parts_a_row() -> None:
    """Two V before flutter and two after are two couplets."""
    kinds = [span.kind for span in _truth("NVVVVN", unscored=[[310, 390]]).episodes()]
    assert kinds.count("ventricular_couplet") == 2
    assert "ventricular_run" not in kinds


def test_rhythms_name_episodes() -> None:
    """Fibrillation is where its rhythm is; named asystole reaches from beat to beat, or to its own end."""
    rhythms = spans_of([(0, "N"), (150, "AFIB"), (420, "ASYS")], 900)
    found = _truth("NNNN", rhythms=rhythms).episodes()
    assert [tuple(span[:3]) for span in found] == [
        ("atrial_fibrillation", 150, 420),
        ("asystole", 400, 900),
        ("pause", 400, 900),
    ]


def test_rate_of_a_run() -> None:
    """Three beats a second apart are 60 a minute; one beat has no rate."""
    assert Span("ventricular_run", 100, 301, 3).rate_bpm(100.0) == pytest.approx(60.0)
    assert np.isnan(Span("pause", 0, 300).rate_bpm(100.0))


def test_spans_join_what_is_named_twice() -> None:
    """A name that comes twice in a row is one span, an empty one is none."""
    assert spans_of([(0, "N"), (5, "N"), (9, "B"), (9, "T"), (12, "N")], 20) == (
        Span("N", 0, 9),
        Span("T", 9, 12),
        Span("N", 12, 20),
    )


@pytest.mark.data
@pytest.mark.skipif(
    not (data_folder() / "mitdb" / "203.hea").is_file(), reason="needs mitdb in STRAPWATCH_DATA"
)
def test_a_recording_has_its_rhythms_and_runs() -> None:
    """Record 203 has atrial fibrillation and 21 ventricular runs, as its annotations say."""
    truth = read_record("mitdb/203").truth
    assert truth is not None
    assert {span.kind for span in truth.rhythms} >= {"AFIB", "VT"}
    kinds = [span.kind for span in truth.episodes()]
    assert kinds.count("ventricular_run") == 21
    assert "atrial_fibrillation" in kinds
