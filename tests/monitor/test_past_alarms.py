"""What happened before: counted by kind, each alarm once, and carried on by whoever takes the athlete over."""

import msgspec

from monitor.contract import Alarm, RhythmKind
from monitor.past_alarms import PastAlarms


def _alarm(episode: int, *, kind: RhythmKind = "pause", boot: int = 1_795_823_674) -> Alarm:
    return Alarm(
        team="red", athlete="anna", strap="s", boot=boot, kind=kind, episode=episode, transition="raised",
        priority="low", technical=False, known_sample=episode, rate_hz=360.0, at=2.5, onset_at=episode + 0.25,
        rate_bpm=None, quality=1.0, message="m", action="a",
    )  # fmt: skip


def test_each_alarm_counts_once_and_those_of_its_kind_before_it_are_told() -> None:
    """More than are kept are still counted; another kind, or the same episode of another boot, is another alarm."""
    past = PastAlarms()
    assert past.before(_alarm(10)) == (0, 0.0)
    for episode in range(10, 210, 10):
        past.add(_alarm(episode))
        past.add(_alarm(episode))
    assert past.before(_alarm(210)) == (20, 200.25)
    # While it is told again, it is not one of those before itself.
    assert past.before(_alarm(200)) == (19, 190.25)
    assert past.before(_alarm(200, boot=1)) == (20, 200.25)
    assert past.before(_alarm(10, kind="asystole")) == (0, 0.0)


def test_what_was_is_taken_over_as_plain_values() -> None:
    """Packed and unpacked it says the same, numbers as large as a boot or a sample counter can be among them."""
    past, other = PastAlarms(), PastAlarms()
    for alarm in (_alarm(2**53 - 1, boot=2**53 - 1), _alarm(7, kind="asystole")):
        past.add(alarm)
    described = past.described()
    assert described == [
        ("pause", 1, [(2**53 - 1, 2**53 - 1, float(2**53 - 1))]),
        ("asystole", 1, [(1_795_823_674, 7, 7.25)]),
    ]
    other.take_over(msgspec.msgpack.decode(msgspec.msgpack.encode(described)))
    assert other.described() == described
    assert other.before(_alarm(8, kind="asystole")) == past.before(_alarm(8, kind="asystole")) == (1, 7.25)
