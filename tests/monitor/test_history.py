"""The ring of the last seconds, addressed by sample index."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from monitor.history import HISTORY_S, History
from monitor.trace import TRACE_S, Trace

ROW = np.array([0])


def _appended(history: History, row: int, first: int, samples: list[float], cuts: list[int]) -> None:
    values = np.array([samples])
    at = 0
    for n in [*cuts, len(samples)]:
        part = values[:, at : at + n]
        if part.size:
            history.append(np.array([row]), np.array([first + at]), part)
        at += part.shape[1]


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 250.0, 360.0, 1000.0])
def test_it_holds_as_long_as_it_states(rate_hz: float) -> None:
    """The ring holds `HISTORY_S`, to the sample."""
    history = History(rate_hz, capacity=1)
    assert history.ring.shape[1] == HISTORY_S * rate_hz


@settings(max_examples=40, deadline=None)
@given(
    first=st.integers(0, 2**40),
    n=st.integers(1, 2500),
    cuts=st.lists(st.integers(1, 900), max_size=8),
    ask=st.tuples(st.integers(-3000, 3000), st.integers(0, 3000)),
)
@example(first=5, n=2500, cuts=[300], ask=(-2000, 1500))
def test_a_stretch_is_what_was_appended(first: int, n: int, cuts: list[int], ask: tuple[int, int]) -> None:
    """Any stretch asked for is what was appended there, cut where nothing is known, however it came."""
    history = History(100.0, capacity=1)
    history.restart(ROW, np.array([first]))
    samples = np.arange(n, dtype=np.float64)
    _appended(history, 0, first, samples.tolist(), cuts)
    end = first + n
    begin = end + ask[0]
    at, got = history.stretch(0, begin, begin + ask[1])
    held = max(first, end - history.ring.shape[1])
    expected = [s for s in range(begin, begin + ask[1]) if held <= s < end]
    assert got.tolist() == [float(s - first) for s in expected]
    if expected:
        assert at == expected[0]
    assert history.end[0] == end


def test_a_restart_hides_what_lies_before() -> None:
    """After a restart nothing from before it is given."""
    history = History(100.0, capacity=1)
    history.append(ROW, np.array([0]), np.ones((1, 300)))
    history.restart(ROW, np.array([250_000]))
    assert len(history.stretch(0, 0, 250_010)[1]) == 0
    history.append(ROW, np.array([250_000]), np.full((1, 5), 2.0))
    at, got = history.stretch(0, 0, 250_010)
    assert at == 250_000
    assert got.tolist() == [2.0] * 5


def test_rows_leave_and_arrive_whole() -> None:
    """An exported row gives the same stretches in another bank, and growth keeps it."""
    history = History(100.0, capacity=2)
    rows = np.array([1, 0])
    history.append(rows, np.zeros(2, np.int64), np.arange(2000.0).reshape(2, 1000))
    history.grow(9)
    other = History(100.0, capacity=4)
    other.import_row(3, history.export_row(1))
    assert other.stretch(3, 400, 700)[1].tolist() == [float(s) for s in range(400, 700)]
    with pytest.raises(ValueError, match="row state"):
        other.import_row(3, History(360.0, capacity=1).export_row(0))


def test_a_trace_is_a_history_in_whole_microvolts() -> None:
    """It gives back the last half minute to half a microvolt, the edge for what does not fit."""
    random = np.random.default_rng(2)
    trace, history = Trace(100.0, capacity=2), History(100.0, capacity=2, kept_s=TRACE_S)
    rows, first = np.array([1]), np.array([500])
    for ring in (trace, history):
        ring.restart(rows, first)
    signal = random.normal(0.0, 1.0, (1, 2000))
    signal[0, 7] = 99.0
    for begin in range(0, signal.shape[1], 333):
        part = signal[:, begin : begin + 333]
        for ring in (trace, history):
            ring.append(rows, first + begin, part.astype(np.float32))
    begin, shown = trace.stretch(1, 0, 10**6)
    assert (begin, len(shown)) == (500, signal.shape[1])
    assert shown[7] == np.float32(32.767)
    shown[7] = signal[0, 7]
    np.testing.assert_allclose(shown, history.stretch(1, 0, 10**6)[1], atol=0.00051)
