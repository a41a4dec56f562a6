"""The dashboard's pure parts: braille, traces, layout, tiles, ledger."""

import itertools
import time
from xml.etree import ElementTree as ET

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from monitor.contract import QUALITY_CATEGORIES, Alarm, AlarmTransition
from monitor.dashboard.bars import Heading, footer_lines, header_lines
from monitor.dashboard.braille import braille_rows, envelope
from monitor.dashboard.detail import detail_lines
from monitor.dashboard.digits import tall_rate
from monitor.dashboard.drawing import Drawing, fit, wrap
from monitor.dashboard.layout import neighbour, pages
from monitor.dashboard.ledger import Ledger, active_alarms, describe
from monitor.dashboard.order import ORDERS, arrange
from monitor.dashboard.pieces import TileMood
from monitor.dashboard.snapshot import AthleteView, Life, MonitorView, Snapshot, monitor_words
from monitor.dashboard.svg import svg
from monitor.dashboard.tiles import tile, wave_cells
from monitor.dashboard.trace import KEPT_S, Trace, TraceWindow
from monitor.live_state import ActiveAlarm, AthleteState, MonitorState, WaveMessage

SIZES = [(100, 12), (66, 16), (39, 4), (39, 5), (39, 7), (80, 1), (80, 2), (200, 24), (34, 4)]


def _alarm(identity: str = "t.a.1.asystole.5", *, by: str = "", cleared: bool = False) -> ActiveAlarm:
    return ActiveAlarm(
        identity=identity,
        kind="asystole",
        priority="high",
        technical=False,
        message="No heartbeat for 5 s with the strap on.",
        action="STOP and CALL",
        raised_at=100.0,
        acknowledged_by=by,
        cleared=cleared,
    )


def _state(**changes: object) -> AthleteState:
    state = AthleteState(
        team="falcons",
        athlete="a01",
        strap="s1",
        online=True,
        updated_at=1000.0,
        last_packet_at=999.9,
        boot=1,
        last_sample=5000,
        rate_hz=250.0,
        lead="MLII",
        source="",
        trained_on=False,
        rate_bpm=72.4,
        quality=0.9,
        quality_category="good",
        coverage=0.98,
        recent_labels=["N", "V", "unsure", "S"] * 10,
        counts={"N": 30, "V": 10},
        packets_received=10,
        packets_lost=1,
        packets_duplicate=0,
        packets_refused=0,
        alarms=[],
    )
    return msgspec.structs.replace(state, **changes)


def _view(age_s: float = 0.1, alarms: tuple[ActiveAlarm, ...] = (), **changes: object) -> AthleteView:
    return AthleteView(_state(**changes), age_s, alarms)


def _wave(cells: int) -> TraceWindow:
    high = np.sin(np.arange(2 * cells)).astype(np.float32)
    return TraceWindow(high - np.float32(0.1), high, -1.0, 1.0, ())


def _message(first: int, samples: np.ndarray[tuple[int], np.dtype[np.int16]], boot: int = 1) -> WaveMessage:
    return WaveMessage(
        boot=boot,
        first_sample=first,
        rate_hz=250.0,
        microvolts=samples.astype("<i2").tobytes(),
        peaks=[],
        beats=[],
    )


# --- braille -----------------------------------------------------------------------------------------------------


def test_braille_draws_a_ramp_dot_by_dot() -> None:
    """Eight rising columns over two lines light one dot each, from the lowest to the highest."""
    ramp = np.arange(8, dtype=np.float32)
    assert braille_rows(ramp, ramp, bottom=0.0, top=7.0, rows=2) == ["  ⡠⠊", "⡠⠊  "]


def test_braille_leaves_a_gap_blank() -> None:
    """Where there is no signal there is no dot, and a gap's edges are not joined."""
    low = np.array([0, 0, np.nan, np.nan, 3, 3], np.float32)
    assert braille_rows(low, low, bottom=0.0, top=3.0, rows=1) == ["⣀ ⠉"]


@given(
    st.lists(st.floats(-5, 5, width=32) | st.just(float("nan")), max_size=40),
    st.integers(1, 5),
)
def test_braille_has_its_size_and_joins_neighbours(values: list[float], rows: int) -> None:
    """Any signal gives `rows` lines of equal width, and every column with a signal has a dot."""
    signal = np.array(values, np.float32)
    drawn = braille_rows(signal, signal, bottom=-1.0, top=1.0, rows=rows)
    assert [len(line) for line in drawn] == [(len(values) + 1) // 2] * rows
    for column, value in enumerate(values):
        mask = (0x40 | 0x04 | 0x02 | 0x01) if column % 2 == 0 else (0x80 | 0x20 | 0x10 | 0x08)
        cells = [ord(line[column // 2]) for line in drawn]
        lit = any(code & mask for code in cells if code != ord(" "))
        assert lit == (not np.isnan(value))


@given(st.lists(st.floats(-5, 5, width=32), min_size=1, max_size=50), st.data())
def test_envelope_bounds_its_samples(values: list[float], data: st.DataObject) -> None:
    """A column's low and high are those of its own samples; a column without any is NaN."""
    samples = np.array(values, np.float32)
    inner = data.draw(st.lists(st.integers(0, len(values)), max_size=10))
    edges = np.array([0, *sorted(inner), len(values)], np.int64)
    low, high = envelope(samples, edges)
    for column, (begin, end) in enumerate(itertools.pairwise(edges)):
        if begin == end:
            assert np.isnan(low[column])
            assert np.isnan(high[column])
        else:
            assert low[column] == samples[begin:end].min()
            assert high[column] == samples[begin:end].max()


def test_numerals_are_three_lines_of_equal_width() -> None:
    """Any heart rate, and none, takes three lines of eleven cells."""
    for rate in (None, 0.0, 7.0, 72.4, 188.0, 1e6):
        assert [len(line) for line in tall_rate(rate)] == [11, 11, 11]


# --- trace -------------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 400), min_size=1, max_size=12))
def test_trace_does_not_depend_on_how_the_signal_was_cut(cuts: list[int]) -> None:
    """The same samples in one stretch or many draw the same columns."""
    samples = (1000 * np.sin(np.arange(sum(cuts)) / 9)).astype(np.int16)
    whole, parts = Trace(), Trace()
    whole.add(_message(0, samples), 0.0)
    first = 0
    for cut in cuts:
        parts.add(_message(first, samples[first : first + cut]), 0.0)
        first += cut
    for trace in (whole, parts):
        trace.play(100.0)
    a, b = whole.window(80, 25.0, 100.0), parts.window(80, 25.0, 100.0)
    assert a is not None
    assert b is not None
    assert np.array_equal(a.low, b.low, equal_nan=True)
    assert np.array_equal(a.high, b.high, equal_nan=True)


def test_trace_shows_a_gap_as_a_gap_and_begins_anew_with_a_boot() -> None:
    """A hole in the samples stays empty on screen; another boot leaves nothing of the one before."""
    trace = Trace()
    # Longer than the memory, so that the hole lies where older samples were.
    trace.add(_message(0, np.full(10_000, 500, np.int16)), 0.0)
    trace.add(_message(10_250, np.full(250, 500, np.int16)), 0.0)
    trace.play(100.0)
    window = trace.window(60, 25.0, 0.0)
    assert window is not None
    seen = np.isfinite(window.low)
    assert 20 <= np.count_nonzero(~seen[10:-10]) <= 30
    trace.add(_message(0, np.full(25, 100, np.int16), boot=2), 0.0)
    trace.play(200.0)
    window = trace.window(60, 25.0, 200.0)
    assert window is not None
    assert np.nanmax(np.append(window.high, 0.0)) <= 0.11


def test_trace_scrolls_evenly_and_never_past_the_newest_sample() -> None:
    """Stretches of a quarter second, played at 12.5 frames a second, move by about two dots a frame."""
    trace, now, first = Trace(), 0.0, 0
    positions = []
    for frame in range(200):
        while first / 250.0 <= now:
            trace.add(_message(first, np.zeros(62, np.int16)), now)
            first += 62
        trace.play(now)
        positions.append(trace._position)
        assert trace._position <= first
        now = 0.08 * (frame + 1)
    steps = np.diff(positions[50:]) / 250.0
    assert 0.04 < steps.min() <= steps.max() < 0.13


def test_trace_takes_any_order_of_stretches() -> None:
    """Late, doubled and far-off stretches neither fail nor grow the memory."""
    trace = Trace()
    for first in (0, 250, 250, 100, 10_000_000, 9_999_990, 5):
        trace.add(_message(first, np.ones(100, np.int16)), 0.0)
        trace.play(1.0)
        window = trace.window(40, 25.0, 1.0)
        assert window is not None
        assert len(window.low) == 40
    assert len(trace._ring) == int(KEPT_S * 250)


# --- layout ------------------------------------------------------------------------------------------------------


@given(
    st.lists(st.booleans(), min_size=1, max_size=130),
    st.integers(20, 300),
    st.integers(3, 100),
)
def test_layout_shows_everybody_once_and_inside(calling: list[bool], width: int, height: int) -> None:
    """Every athlete stands on exactly one page, inside it, and no two tiles of a page overlap."""
    found = pages(calling, width, height)
    assert [p.athlete for page in found for p in page] == list(range(len(calling)))
    for page in found:
        taken = np.zeros((height, width), np.int8)
        for p in page:
            assert p.x >= 0
            assert p.y >= 0
            assert p.x + p.width <= width
            assert p.y + p.height <= height
            taken[p.y : p.y + p.height, p.x : p.x + p.width] += 1
        assert taken.max() <= 1


@pytest.mark.parametrize(
    ("athletes", "width", "height", "expected_pages"),
    [(8, 200, 48, 1), (60, 200, 48, 1), (8, 80, 21, 1), (60, 80, 21, 3)],
)
def test_layout_at_the_sizes_that_matter(athletes: int, width: int, height: int, expected_pages: int) -> None:
    """8 and 60 athletes on 200 x 50, and 8 on 80 x 24, fit on one page; 60 on 80 x 24 take three."""
    assert len(pages([False] * athletes, width, height)) == expected_pages


def test_arrow_keys_reach_every_tile() -> None:
    """From any tile of a page every other can be reached."""
    page = pages([False] * 8, 80, 21)[0]
    reached, todo = {0}, [0]
    while todo:
        here = todo.pop()
        for step in ((0, 1), (0, -1), (1, 0), (-1, 0)):
            there = neighbour(page, here, *step)
            if there is not None and there not in reached:
                reached.add(there)
                todo.append(there)
    assert reached == set(range(8))


# --- tiles -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("category", QUALITY_CATEGORIES)
@pytest.mark.parametrize("alarmed", [False, True])
def test_every_tile_says_all_it_must(width: int, height: int, category: str, alarmed: bool) -> None:  # noqa: FBT001 - parametrised
    """At every size: exact size, name, rate, quality in words, coverage; with an alarm what it is and what to do."""
    alarms = (_alarm(),) if alarmed else ()
    view = _view(alarms=alarms, quality_category=category)
    drawn = tile(view, _wave(wave_cells(width, height)), width, height)
    assert [cell_len(line.text) for line in drawn.lines] == [width] * height
    text = drawn.text
    assert "a01" in text
    assert category.replace("_", " ") in text
    assert "98%" in text
    assert "72" in text or all(part in text for part in (line.rstrip() for line in tall_rate(72.4)))
    if alarmed and height > 1:  # in rows, whoever calls gets two lines
        assert "Asystole" in text
        assert "STOP" in text
        assert "HIGH" in text


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize(
    ("age_s", "online", "words"),
    [(12.0, True, "stale, 12 s old"), (0.1, False, "strap gone 0 s")],
)
def test_old_values_never_look_live(
    width: int,
    height: int,
    age_s: float,
    online: bool,  # noqa: FBT001 - parametrised
    words: str,
) -> None:
    """A state that is old, or a strap that is gone, is said in words, and nothing bright or green is left."""
    view = _view(age_s, online=online)
    drawn = tile(view, _wave(wave_cells(width, height)), width, height)
    assert words in drawn.text
    colours = {
        s.style.color.name
        for line in drawn.lines
        for s in line.segments
        if s.style and s.style.color and s.text.strip()
    }
    assert "#ffffff" not in colours
    assert "#4fd6a0" not in colours
    assert "good" not in drawn.text


def test_a_heart_rate_too_old_is_not_shown() -> None:
    """After ten seconds without news the heart rate itself is gone."""
    assert "72" in tile(_view(5.0), None, 80, 1).text
    assert "72" not in tile(_view(11.0), None, 80, 1).text


def test_a_silent_strap_is_not_live_though_the_monitor_is() -> None:
    """A fresh state whose last packet is old counts from the packet."""
    view = _view(0.2, last_packet_at=992.0)
    assert view.life is Life.SILENT
    assert "no data 8 s" in tile(view, None, 39, 4).text


@pytest.mark.parametrize(("width", "height"), SIZES)
@pytest.mark.parametrize("alarms", [(), (_alarm(by="Dr. M"),), (_alarm(),)])
def test_trained_on_this_is_always_said(width: int, height: int, alarms: tuple[ActiveAlarm, ...]) -> None:
    """A recording from the training list carries the words, also under an alarm."""
    view = _view(alarms=alarms, trained_on=True, source="mitdb/208")
    assert "trained on this" in tile(view, _wave(wave_cells(width, height)), width, height).text


def test_acknowledged_alarms_are_not_filled_with_colour() -> None:
    """Only what nobody has acknowledged shouts."""
    for width, height in SIZES:
        wave = _wave(wave_cells(width, height))
        backgrounds = [
            {
                s.style.bgcolor.name
                for line in tile(view, wave, width, height).lines
                for s in line.segments
                if s.style and s.style.bgcolor
            }
            for view in (_view(alarms=(_alarm(),)), _view(alarms=(_alarm(by="Dr. M"),)))
        ]
        assert "#c8102e" in backgrounds[0]
        assert "#c8102e" not in backgrounds[1]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_an_alarm_whose_condition_is_over_says_so(width: int, height: int) -> None:
    """What waits only for an acknowledgement is told from what goes on."""
    view = _view(alarms=(_alarm(cleared=True),))
    if height > 1:  # in rows, whoever calls gets two lines
        assert "over" in tile(view, None, width, height).text


def test_selection_and_team_are_seen() -> None:
    """The tile under the cursor differs, and carries the team where several are shown."""
    for width, height in SIZES:
        plain = tile(_view(), None, width, height)
        chosen = tile(_view(), None, width, height, TileMood(selected=True, show_team=True))
        assert "falcons" in chosen.text
        assert [line.segments for line in plain.lines] != [line.segments for line in chosen.lines]


@pytest.mark.parametrize("height", [5, 12, 20, 47])
@pytest.mark.parametrize("width", [78, 200])
def test_detail_fits_any_height(width: int, height: int) -> None:
    """The detail view fills its room exactly and names alarm and action."""
    view = _view(alarms=(_alarm(), _alarm("t.a.1.asystole.6", by="me")))
    lines = detail_lines(view, None, None, width, height)
    assert [cell_len(line.text) for line in lines] == [width] * height
    text = Drawing(lines).text
    if height >= 12:
        assert "No heartbeat for 5 s" in text
        assert "STOP and CALL" in text


@given(st.text(max_size=60), st.integers(0, 40))
def test_fit_and_wrap_never_exceed_the_width(text: str, width: int) -> None:
    """No text runs over its room."""
    assert cell_len(fit(text, width)) <= width
    for line in wrap(text, width, 3):
        assert cell_len(line) <= width


# --- bars --------------------------------------------------------------------------------------------------------


def _monitor(**changes: object) -> MonitorState:
    state = MonitorState(
        monitor_id="m",
        at=0.0,
        started_at=0.0,
        athletes=1,
        packets_received=0,
        packets_lost=0,
        packets_refused=0,
        packets_dropped=0,
        samples=0,
        beats=0,
        alarms=0,
        broker_connected=True,
        outbox_waiting=0,
        model="",
        settings_hash="",
        refused={},
    )
    return msgspec.structs.replace(state, **changes)


@pytest.mark.parametrize(
    ("snapshot", "words", "well"),
    [
        (Snapshot(waited_s=4.0), "Redis not reached yet 4 s", False),
        (Snapshot(waited_s=130.0, ever_connected=True), "Redis unreachable 2 min", False),
        (Snapshot(connected=True), "no monitor running", False),
        (Snapshot(connected=True, monitors=(MonitorView(_monitor(), 12.0),)), "MONITORING LOST 12 s", False),
        (
            Snapshot(connected=True, monitors=(MonitorView(_monitor(broker_connected=False), 0.0),)),
            "monitor: broker away",
            False,
        ),
        (
            Snapshot(connected=True, monitors=(MonitorView(_monitor(outbox_waiting=2), 0.0),)),
            "monitor: 2 alarms waiting",
            False,
        ),
        (Snapshot(connected=True, monitors=(MonitorView(_monitor(), 0.3),)), "monitor live", True),
    ],
)
def test_the_monitors_state_is_said_plainly(snapshot: Snapshot, words: str, well: bool) -> None:  # noqa: FBT001 - parametrised
    """Every way in which nobody may be watching has its own words, and the header carries them."""
    assert monitor_words(snapshot) == (words, well)
    for width in (80, 200):
        lines = header_lines(snapshot, Heading(now=0.0), width)
        assert all(cell_len(line.text) == width for line in lines)
        assert words in lines[0].text
        assert "not a medical device" in lines[0].text


def test_the_top_bar_names_the_most_urgent_alarm() -> None:
    """Athlete, what, and what to do of the first alarm, and how many more."""
    views = (_view(alarms=(_alarm(),)), _view(athlete="a02", alarms=(_alarm("x"),)))
    snapshot = Snapshot(athletes=views, connected=True, ever_connected=True)
    for width in (80, 200):
        text = Drawing(header_lines(snapshot, Heading(now=0.0), width)).text
        assert "a01: Asystole → STOP and CALL" in text
        assert "+1 more" in text


def test_a_status_line_is_shown_at_both_sizes() -> None:
    """Whoever runs the dashboard can say something below."""
    for width in (80, 200):
        lines = footer_lines(Heading(now=0.0, status="from 0:93", page=1, pages=3), width)
        assert "from 0:93" in Drawing(lines).text
        assert "page 1/3" in Drawing(lines).text
        assert all(cell_len(line.text) == width for line in lines)


# --- order and ledger --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ORDERS)
def test_whoever_calls_comes_first_and_passes_the_filter(order: str) -> None:
    """In every order and under every filter an alarm that nobody has acknowledged is first."""
    views = [_view(athlete=f"a{n:02d}", rate_bpm=float(n), quality=n / 10) for n in range(8)]
    views.append(_view(athlete="z99", rate_bpm=None, quality=1.0, alarms=(_alarm(),)))
    assert arrange(views, order)[0].state.athlete == "z99"
    assert [v.state.athlete for v in arrange(views, order, "A03")] == ["z99", "a03"]


def _transition(transition: AlarmTransition, at: float, by: str = "", kind: str = "asystole") -> Alarm:
    alarm = Alarm(
        team="falcons",
        athlete="a01",
        boot=1,
        kind="asystole",
        episode=5,
        transition=transition,
        priority="high",
        technical=False,
        known_sample=10,
        rate_hz=250.0,
        at=at,
        onset_at=0.0,
        rate_bpm=None,
        quality=1.0,
        message="No heartbeat.",
        action="STOP",
        by=by,
    )
    return msgspec.structs.replace(alarm, kind=kind)


def test_the_stream_is_ahead_of_the_state() -> None:
    """What was raised or acknowledged after the state was written counts at once."""
    ledger = Ledger()
    record = ledger.add(_transition("raised", 1001.0))
    assert [a.identity for a in active_alarms(_state(), [record])] == [record.identity]
    record = ledger.add(_transition("acknowledged", 1002.0, by="Dr. M"))
    assert [a.acknowledged_by for a in active_alarms(_state(), [record])] == ["Dr. M"]
    assert active_alarms(_state(updated_at=1003.0), [record]) == []


def test_an_alarm_that_is_over_stays_only_while_it_must() -> None:
    """A latched alarm calls until acknowledged; one that is not latched is over when its condition is."""
    ledger = Ledger()
    ledger.add(_transition("raised", 1.0))
    record = ledger.add(_transition("cleared", 2.0))
    assert record.is_open
    assert not ledger.add(_transition("acknowledged", 3.0, by="x")).is_open
    loose = Ledger()
    loose.add(_transition("raised", 1.0, kind="tachycardia"))
    assert not loose.add(_transition("cleared", 2.0, kind="tachycardia")).is_open


def test_an_alarm_is_described_by_what_is_known() -> None:
    """Active, acknowledged, over, and no longer monitored are different words."""
    ledger = Ledger()
    record = ledger.add(_transition("raised", 1.0))
    active = [record.as_active()]
    assert describe(record, active) == "active"
    assert describe(record, None) == "open, not acknowledged, no longer monitored"
    assert describe(record, []) == "over"
    record = ledger.add(_transition("acknowledged", 2.0, by="x"))
    assert describe(record, active) == "active, acknowledged by x"
    record = ledger.add(_transition("cleared", 3.0))
    assert describe(record, []) == "over, acknowledged by x"


def test_the_picture_is_well_formed() -> None:
    """The SVG can be parsed and holds every word."""
    lines = tile(_view(alarms=(_alarm(),)), _wave(96), 100, 12).lines
    root = ET.fromstring(svg([line.segments for line in lines], 100, "a <title>"))  # noqa: S314 - our own text
    words = " ".join(element.text or "" for element in root.iter("{http://www.w3.org/2000/svg}text"))
    assert "Asystole" in words


def test_a_tile_is_drawn_in_well_under_a_millisecond() -> None:
    """Sixty tiles at ten frames a second must leave most of a core free."""
    view, wave = _view(), _wave(25)
    tile(view, wave, 39, 4)
    begin = time.process_time()
    for _ in range(200):
        tile(view, wave, 39, 4)
    assert (time.process_time() - begin) / 200 < 0.001
