"""How long messages may be left with the broker."""

from hypothesis import given
from hypothesis import strategies as st

from monitor.sources.patience import LONGEST_S, REGAINED, Patience

_STEPS = st.lists(st.tuples(st.floats(0.001, 3.0), st.booleans()), max_size=300)


@given(_STEPS)
def test_waits_only_without_room_and_never_longer_than_it_may(steps: list[tuple[float, bool]]) -> None:
    """Whatever comes: no waiting while there is room, and no more than patience lasts and reading has given back."""
    patience, now, waited_s, read_s, waits = Patience(), 0.0, 0.0, 0.0, False
    assert not patience.waits(now, full=False)
    for length_s, full in steps:
        now += length_s
        waited_s, read_s = (waited_s + length_s, read_s) if waits else (waited_s, read_s + length_s)
        waits = patience.waits(now, full=full)
        assert full or not waits
        assert not waits or waited_s < LONGEST_S + REGAINED * read_s + 1e-6


def test_lasting_overload_is_read_and_patience_comes_back() -> None:
    """Full all the time: after the longest wait nearly all of the time is spent reading; at rest all is regained."""
    patience = Patience()
    waits = [patience.waits(0.1 * k, full=True) for k in range(3000)]
    first = waits.index(False)
    assert abs(0.1 * first - LONGEST_S) < 0.2
    assert sum(waits[first:]) < 0.15 * len(waits[first:])
    later_s = 300.0 + LONGEST_S / REGAINED
    patience.waits(300.0, full=False)
    patience.waits(later_s, full=False)
    assert [patience.waits(later_s + 0.1 * k, full=True) for k in range(150)] == [True] * 150
