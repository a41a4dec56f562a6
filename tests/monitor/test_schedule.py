"""When packets were due: what is remembered, and for how long."""

import numpy as np
import pytest

from monitor.assembly import Piece
from monitor.schedule import Schedule


def _piece(end_sample: int, due_at: float, *, samples: int = 90) -> Piece:
    return Piece(
        boot=1, first_sample=end_sample - samples, end_sample=end_sample, millivolts=np.zeros(samples, np.float32),
        lead_off=False, due_at=due_at, due_sample=end_sample, rate_hz=360.0, begins=False, strap="s",
    )  # fmt: skip


@pytest.mark.parametrize("samples", [4, 36, 90, 360])
def test_the_last_seconds_are_known(samples: int) -> None:
    """Of packets of any length: any sample of the last three seconds has the time its own packet was due."""
    schedule = Schedule()
    for number in range(1, 2000):
        schedule.add(_piece(samples * number, 10.0 + number, samples=samples))
        begin = max(samples * number - 3 * 360, 0)
        for sample in (begin, (begin + samples * number) // 2, samples * number - 1):
            assert schedule.due_at(sample) == 10.0 + sample // samples + 1
        assert schedule.due_at(samples * number) == 0.0
    assert len(schedule) <= max(3 * 360 // samples, 64) + 32
    assert schedule.last == (samples * 1999, 2009.0, samples * 1999)


def test_what_lies_before_a_long_gap_stays_known() -> None:
    """A beat that the gap cut short is told with what comes after it."""
    schedule = Schedule()
    for number in range(1, 200):
        schedule.add(_piece(90 * number, float(number)))
    schedule.add(_piece(10_000_000, 500.0))
    assert [schedule.due_at(90 * (199 - back)) for back in (1, 30, 61)] == [199.0, 170.0, 139.0]


def test_a_schedule_goes_on_elsewhere() -> None:
    """What is described and taken over is the same; what is no schedule is refused and changes nothing."""
    schedule, other = Schedule(), Schedule()
    for number in range(1, 100):
        schedule.add(_piece(90 * number, float(number)))
    other.take_over(schedule.described())
    assert other.described() == schedule.described()
    with pytest.raises(ValueError, match="64-bit"):
        other.take_over([(1 << 70, 0.0, 0)])
    assert other.described() == schedule.described()
    other.clear()
    assert (len(other), other.last, other.due_at(0)) == (0, (0, 0.0, 0), 0.0)
