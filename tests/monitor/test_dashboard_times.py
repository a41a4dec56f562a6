"""Times and shares in the dashboard's lists: what is of another day says so, and a certain beat is one of 100 %."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from monitor.catalogue import CATALOGUE
from monitor.contract import Alarm
from monitor.dashboard import tester
from monitor.dashboard.alarm_list import short_clock
from monitor.dashboard.alarm_view import alarm_screen_lines, history_rows
from monitor.dashboard.detail import detail_lines
from monitor.dashboard.drawing import Drawing
from monitor.dashboard.ledger import AlarmRecord, Ledger
from monitor.dashboard.miss_strip import miss_lines
from monitor.dashboard.snapshot import AthleteView, Closeup, Snapshot
from monitor.live_state import BeatEntry
from monitor.scores import Miss
from tests.monitor.dashboard_team import ALARMS, TEAM, Team

# Noon, so that neither a late test nor the time zone's change of clocks makes two days of one.
TODAY = datetime.now(UTC).astimezone().replace(hour=12, minute=34, second=56, microsecond=0)
BEFORE = TODAY - timedelta(days=2)


def _view(*at: datetime) -> AthleteView:
    ledger = Ledger()
    records: list[AlarmRecord] = []
    for n, moment in enumerate(at):
        priority, technical, message, action = ALARMS["tachycardia"]
        raised = Alarm(
            team=TEAM,
            athlete="a01",
            boot=1,
            kind="tachycardia",
            episode=1000 * (n + 1),
            transition="raised",
            priority=priority,
            technical=technical,
            known_sample=1000 * (n + 1),
            rate_hz=250.0,
            at=moment.timestamp(),
            onset_at=moment.timestamp(),
            rate_bpm=203.0,
            quality=0.9,
            message=message,
            action=action,
        )
        records.append(ledger.add(raised))
    assert not CATALOGUE["tachycardia"].latched
    state = Team(None, 1).athletes[0].state()  # type: ignore[arg-type]
    return AthleteView(state, 0.0, (), tuple(records))


@pytest.mark.parametrize(
    ("width", "today", "before"),
    [(80, " 12:34 ", f"{BEFORE:%m-%d} 12:34"), (120, " 12:34:56 ", f"{BEFORE:%Y-%m-%d} 12:34:56")],
    ids=["80", "120"],
)
def test_the_alarm_list_tells_days_apart(width: int, today: str, before: str) -> None:
    """An alarm of another day carries the date in the list and below it; one of today only the time."""
    view = _view(TODAY, BEFORE)
    snapshot = Snapshot(athletes=(view,), connected=True)
    rows = history_rows(snapshot)
    for at, clock in ((0, f"{TODAY:%H:%M:%S}"), (1, f"{BEFORE:%Y-%m-%d %H:%M:%S}")):
        lines = alarm_screen_lines(snapshot, rows, at, width, 21, chosen=True, history=True, said={})
        text = [line.text for line in lines]
        assert today in text[1]
        assert f"{TODAY:%m-%d}" not in text[1]
        assert before in text[2]
        assert text[1].index("a01") == text[2].index("a01")
        assert "over" in text[1]
        assert any(clock in line for line in text[3:])
        assert f"{BEFORE:%m-%d}" not in "\n".join(text[3:]) or at == 1


@pytest.mark.parametrize("width", [80, 200])
def test_the_page_of_one_athlete_tells_days_apart(width: int) -> None:
    """Its list of alarms and its list of beats carry the date where it is not today's."""
    for moment, said in ((TODAY, False), (BEFORE, True)):
        beats = Closeup(_view().key, tuple(_beat(moment, 0.9) for _ in range(3)))
        text = Drawing(detail_lines(_view(moment), None, beats, width, 30)).text
        beat_lines = [line for line in text.splitlines() if "RR s" in line]
        assert (f"{moment:%Y-%m-%d}" in beat_lines[0]) == said
        alarm_lines = [line.partition("│")[2] for line in text.splitlines() if "Tachycardia" in line]
        assert (
            any(f"{moment:%m-%d %H:%M}" in line or f"{moment:%m-%d} " in line for line in alarm_lines) == said
        )
        assert any(f"{moment:%H:%M}" in line for line in alarm_lines)


def test_a_certain_beat_is_one_of_100_percent() -> None:
    """A share of 99.5 % or more is written in percent like all others, in its column."""
    for probability, shown in ((1.0, "100%"), (0.995, "100%"), (0.994, " 99%")):
        beats = Closeup(_view().key, (_beat(TODAY, probability),))
        lines = Drawing(detail_lines(_view(), None, beats, 80, 30)).text.splitlines()
        heading = next(line for line in lines if "RR s" in line)
        row = next(line for line in lines if "0.95" in line)
        # The letter stands over the last digit.
        assert row[: heading.index(" N ") + 3].endswith(shown)
        assert " 1." not in row


@pytest.fixture
def misses() -> list[Miss]:
    """Return a difference of today and one of another day."""
    plain: dict[str, Any] = {
        "team": TEAM,
        "athlete": "a02",
        "boot": 1,
        "r_sample": 6000,
        "kind": "missed",
        "reference": "V",
        "called": "",
        "cause": "noise",
        "rate_hz": 250.0,
        "first_sample": 5000,
        "microvolts": b"",
        "truth": [],
        "beats": [],
        "troubles": [],
    }
    return [Miss(at=moment.timestamp(), **plain) for moment in (TODAY, BEFORE)]


def test_differences_tell_days_apart(misses: list[Miss]) -> None:
    """So do the tester's list and the difference in full."""
    choice = tester.TesterChoice(of_misses=True, athlete=None, miss=0)
    lines = tester.miss_list_lines(misses, choice, "all", 80, 10, lambda key: key.athlete)
    assert " 12:34:56" in lines[1].text
    assert f"{BEFORE:%Y-%m-%d} 12:34:56" in lines[2].text
    assert lines[1].text.index("a02") == lines[2].text.index("a02")
    assert "no strip" in lines[2].text
    assert f"{BEFORE:%Y-%m-%d} 12:34:56" in miss_lines(misses[1], "a02", 80, 10)[0].text


def test_the_short_clock() -> None:
    """To the minute, with month and day where it is not today."""
    assert short_clock(TODAY.timestamp()) == "12:34"
    assert short_clock(BEFORE.timestamp()) == f"{BEFORE:%m-%d} 12:34"


def _beat(at: datetime, probability: float) -> BeatEntry:
    return BeatEntry(
        boot=1,
        r_sample=100,
        known_sample=300,
        label="N",
        probabilities=(probability, 0.0, 0.0, 0.0, 0.0),
        quality=0.95,
        rr_s=0.83,
        due_at=at.timestamp(),
    )
