"""A scenario without broker and server: the same packets reach the same watch, in virtual time and as fast as it goes.

It shows everything but the two ends (MQTT and Redis), in a hundredth of the time and the same to the last bit every
time; so a tester can run it on every change.
"""

import heapq
from collections.abc import Iterator
from typing import Final

from monitor.watch import Watch
from monitor.wire import Topic, encode
from simulators.fleet import lives_of
from simulators.ledger import Ledger
from simulators.radio import Radio
from simulators.scenario_seen import Seen
from simulators.scenario_straps import Life
from simulators.strap import BATTERY_TOLD_EVERY_S

BEGIN_AT: Final = 1_700_000_000.0
"""Unix time, in seconds, at which every run in virtual time begins."""
TICK_S: Final = 0.1
_DRAIN_S: Final = 2.0
_WILL_AFTER_S: Final = 0.05

_Event = tuple[float, int, int, Topic, bytes]


def run_offline(
    lives: list[Life], watch: Watch, ledger: Ledger, *, seed: int, tick_s: float = TICK_S
) -> Seen:
    """Let straps send to a watch in virtual time and return what came of it.

    Parameters
    ----------
    lives : list of Life
        Who sends what.
    watch : Watch
        A new one.
    ledger : Ledger
        Where it is entered what became of every packet.
    seed : int
        Of the radios.
    tick_s : float
        How often the watch is moved on, in seconds: by so much at most a latency is longer than it would be.
    """
    seen = Seen()
    sources = []
    for number, (life, count) in enumerate(zip(lives, lives_of([life.strap for life in lives]), strict=True)):
        strap = life.strap
        start_at = BEGIN_AT + number * strap.packet_s / strap.speed / len(lives)
        seen.start_at.append(start_at)
        life.enter_troubles(ledger, start_at)
        radio = Radio(
            life.radio, seed=seed, team=strap.team, athlete=strap.athlete, ledger=ledger, life=count
        )
        sources += [_packets(number, life, radio, start_at), _statuses(number, life, start_at)]
    now = BEGIN_AT
    end_at = BEGIN_AT
    for at, _, _, topic, payload in heapq.merge(*sources):
        while now < at:
            _tick(watch, now, seen)
            now += tick_s
        watch.receive(topic, payload, at)
        end_at = at
    while now < end_at + _DRAIN_S:
        _tick(watch, now, seen)
        now += tick_s
    return seen


def _tick(watch: Watch, now: float, seen: Seen) -> None:
    batch = watch.tick(now)
    for _, athlete, beat in batch.beats:
        seen.beats[athlete].append((now, beat))
    seen.alarms += [(now, alarm) for alarm in batch.alarms]
    for state in batch.states:
        seen.states[state.athlete] = state


def _packets(number: int, life: Life, radio: Radio, start_at: float) -> Iterator[_Event]:
    strap = life.strap
    topic = Topic(strap.team, strap.athlete, "samples")
    packets = strap.packets(start_at=start_at)
    for order, transmission in enumerate(radio.transmit(packets, begins_at=start_at)):
        scheduled = transmission.scheduled
        radio.note("duplicated" if transmission.duplicate else "sent", scheduled, transmission.at_s)
        yield start_at + transmission.at_s, number, order, topic, encode(scheduled.packet)


def _statuses(number: int, life: Life, start_at: float) -> Iterator[_Event]:
    """Yield what a broker would tell of the strap: its begin, its battery, and its farewell or its last will."""
    strap = life.strap
    topic = Topic(strap.team, strap.athlete, "status")
    begins_s, ends_s = strap.schedule_s(0), strap.schedule_s(life.end_sample)
    times_s = [begins_s]
    while strap.battery is not None and times_s[-1] + BATTERY_TOLD_EVERY_S < ends_s:
        times_s.append(times_s[-1] + BATTERY_TOLD_EVERY_S)
    for order, at_s in enumerate(times_s):
        status = strap.status(online=True, schedule_s=at_s)
        yield start_at + at_s, number, -len(times_s) + order, topic, encode(status)
    last = strap.status(online=False, ended=not strap.dies)
    # What the radio still holds back goes out before the end is told.
    held_s = max((stretch.start_s + stretch.length_s for stretch in life.radio.dropouts), default=0.0)
    yield max(start_at + ends_s, start_at + held_s) + _WILL_AFTER_S, number, 0, topic, encode(last)
