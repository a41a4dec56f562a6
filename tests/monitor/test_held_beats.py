"""Beats that wait for the server: few enough, and none that stands there already."""

from monitor.live_state import BeatEntry
from monitor.sinks.held_beats import HeldBeats, not_yet_written


def _beat(r_sample: int, *, boot: int = 1, waited: int = 300) -> BeatEntry:
    return BeatEntry(
        boot=boot, r_sample=r_sample, known_sample=r_sample + waited, label="N", probabilities=(), quality=1.0,
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
    """Each athlete's own last beat decides, and only over beats of its own boot."""
    beats = [("red", "anna", _beat(n)) for n in range(4)] + [("red", "ben", _beat(2, boot=2))]
    written = {("red", "anna"): _beat(1), ("red", "ben"): _beat(9)}
    assert not_yet_written(beats, written) == [*beats[2:4], beats[4]]
    assert not_yet_written(beats, {}) == beats


def test_a_beat_that_was_known_before_the_one_written_last_is_told() -> None:
    """One that search back found was known after the beat that follows it: that one still has to be told."""
    late, next_one = _beat(1000, waited=900), _beat(1300)
    assert next_one.known_sample < late.known_sample
    held = [("red", "anna", late), ("red", "anna", next_one)]
    assert not_yet_written(held, {("red", "anna"): late}) == held[1:]


def test_a_strap_with_an_older_boot_is_told() -> None:
    """Boots grow with each strap, not from strap to strap: a spare one has an older boot, and its beats are new."""
    spare = [("red", "anna", _beat(n, boot=3)) for n in range(3)]
    assert not_yet_written(spare, {("red", "anna"): _beat(900, boot=7)}) == spare
    both = [("red", "anna", _beat(900, boot=7)), *spare]
    assert not_yet_written(both, {("red", "anna"): _beat(900, boot=7)}) == spare
