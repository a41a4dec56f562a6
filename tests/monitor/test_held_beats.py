"""Beats that wait for the server: few enough, and none that stands there already."""

from monitor.live_state import BeatEntry
from monitor.sinks.held_beats import HeldBeats, not_yet_written


def _beat(r_sample: int, *, boot: int = 1) -> BeatEntry:
    return BeatEntry(
        boot=boot, r_sample=r_sample, known_sample=r_sample + 300, label="N", probabilities=(), quality=1.0,
        rr_s=None, due_at=0.0,
    )  # fmt: skip


def test_the_newest_are_held() -> None:
    """Room for so many: the oldest go and are counted; what is let go comes in order, and then is gone."""
    held = HeldBeats(most=5)
    assert held.hold(("red", "anna", _beat(n)) for n in range(4)) == 0
    assert held.hold(("red", "ben", _beat(n)) for n in range(4)) == 3
    assert len(held) == 5
    assert held.oldest(2) == held.oldest(2) == [("red", "anna", _beat(3)), ("red", "ben", _beat(0))]
    held.let_go(2)
    assert [(name, beat.r_sample) for _, name, beat in held.oldest(9)] == [("ben", 1), ("ben", 2), ("ben", 3)]
    held.let_go(9)
    assert len(held) == 0
    assert held.oldest(9) == []


def test_what_stands_in_the_server_is_not_told_again() -> None:
    """Each athlete's own last beat decides, by boot first."""
    beats = [("red", "anna", _beat(n)) for n in range(4)] + [("red", "ben", _beat(2, boot=2))]
    written = {("red", "anna"): _beat(1), ("red", "ben"): _beat(9)}
    assert not_yet_written(beats, written) == [*beats[2:4], beats[4]]
    assert not_yet_written(beats, {}) == beats
