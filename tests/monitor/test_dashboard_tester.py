"""The tester's view: what it says, that it fits, and that figures which flatter the classifier are marked."""

import pytest

from monitor.boot_scorer import UNEXPLAINED
from monitor.dashboard import tester
from monitor.dashboard.miss_strip import miss_lines
from monitor.dashboard.snapshot import Key
from monitor.dashboard.tester_feed import Verdicts
from monitor.scores import AthleteScore, Latency, Miss, ScorerState

_SIZES = [(80, 21), (200, 47), (139, 30), (140, 30), (60, 12)]
_LAG = Latency(p50=0.02, p99=0.06, n=100)


def _score(athlete: str, *, fn: int = 0, unaccounted: int = 0) -> AthleteScore:
    table = [[0] * 7 for _ in range(6)]
    table[0][0], table[2][2], table[2][0] = 90, 8, 2
    return AthleteScore(
        team="red",
        athlete=athlete,
        at=1.0,
        tp=100,
        fp=0,
        fn=fn,
        table=table,
        scored_s=80.0,
        dropped=0,
        missed_by_cause={UNEXPLAINED: fn} if fn else {},
        false_by_cause={},
        latency=_LAG,
        ledger={"sent": 400, "lost": 3},
        received=400,
        duplicate=0,
        refused=0,
        lost=3,
        unaccounted=unaccounted,
    )


def _miss(kind: str = "missed") -> Miss:
    samples = bytes(2 * 2000)
    return Miss(
        team="red",
        athlete="bo",
        boot=5,
        r_sample=1000,
        at=1.8e9,
        kind=kind,
        reference="V" if kind == "missed" else "",
        called="" if kind == "missed" else "N",
        cause=UNEXPLAINED,
        rate_hz=250.0,
        microvolts=samples,
        truth=[(1000, "V")],
    )


def _verdicts(*scores: AthleteScore) -> Verdicts:
    scorer = ScorerState(
        scorer_id="s",
        at=1.0,
        broker_connected=True,
        athletes=len(scores),
        latency=_LAG,
        alarm_latency=Latency(p50=1.0, p99=1.1, n=3),
        dropped=0,
    )
    return Verdicts(scores=scores, misses=(_miss(),), scorers=((scorer, 0.5),), read=True)


def _text(verdicts: Verdicts, choice: tester.TesterChoice, width: int, height: int) -> str:
    lines = tester.tester_lines(verdicts, choice, width, height, name=lambda key: key.athlete)
    assert [line.width for line in lines] == [width] * height
    return "\n".join("".join(part.text for part in line.segments) for line in lines)


@pytest.mark.parametrize(("width", "height"), _SIZES)
def test_it_fits_and_says_what_counts(width: int, height: int) -> None:
    """At any size: all together, who has most of the monitor's own misses first, and nothing wider than the screen."""
    text = _text(_verdicts(_score("ada"), _score("bo", fn=5)), tester.TesterChoice(), width, height)
    assert "Se 0.9756 +P 1.0000" in text
    assert "unexplained 5" in text
    assert text.index("bo") < text.index("ada")


@pytest.mark.parametrize(("width", "height"), _SIZES)
def test_trained_on_is_marked(width: int, height: int) -> None:
    """A recording that the classifier was trained on is marked in its row and among all; others are not."""
    verdicts = _verdicts(_score("ada"), _score("bo"))
    text = _text(verdicts, tester.TesterChoice(trained_on=frozenset({Key("red", "ada")})), width, height)
    assert "ada*" in text
    assert "bo*" not in text
    assert width < 80 or "* 1 trained on" in text
    assert ("trained on this" in text) == (width in {139, 200})
    assert "trained on" not in _text(verdicts, tester.TesterChoice(), width, height)


def test_packets_that_nobody_can_account_for_are_said() -> None:
    """The balance says how many; without any it says that there are none."""
    assert "every packet accounted for" in _text(_verdicts(_score("ada")), tester.TesterChoice(), 200, 40)
    assert "7 packets unaccounted for" in _text(
        _verdicts(_score("ada", unaccounted=7)), tester.TesterChoice(), 200, 40
    )


@pytest.mark.parametrize("kind", ["missed", "false"])
def test_a_miss_says_whose_it_is(kind: str) -> None:
    """What the ledger does not explain is said to be the monitor's own, above the signal."""
    lines = miss_lines(_miss(kind), "Bo", 130, 20)
    text = "\n".join("".join(part.text for part in line.segments) for line in lines)
    assert "Bo" in text
    assert "this is the monitor's own" in text
    assert all(line.width <= 130 for line in lines)
