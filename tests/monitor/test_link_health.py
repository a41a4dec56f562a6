"""What a strap says of its battery and link becomes one alarm each, and no more."""

from collections.abc import Iterable

import numpy as np
import pytest

from monitor.contract import Alarm
from monitor.link_health import BATTERY_BACK, BATTERY_LOW, LOSS_OVER_S, LinkHealth
from monitor.watch import Watch
from monitor.wire import SamplePacket, StatusMessage, Topic, encode

RATE_HZ = 250.0
PACKET = 50


def told(link: LinkHealth, lost_in_second: Iterable[int], *, begin_s: int = 0, lost: int = 0) -> list[str]:
    """Return what a link tells of seconds in which so many samples were lost, with the second in which it does."""
    found = []
    for second, here in enumerate(lost_in_second, start=begin_s + 1):
        lost += here
        events = link.look(0, round(second * RATE_HZ), lost, RATE_HZ)
        found += [f"{event.kind} {event.transition} {second}" for event in events]
    return found


def test_one_packet_lost_now_and_then_is_no_alarm() -> None:
    """A link that loses one sample in twenty is not told."""
    assert told(LinkHealth(), [round(0.05 * RATE_HZ)] * 300) == []


def test_heavy_loss_is_one_alarm_that_ends() -> None:
    """A fifth lost for a minute is told once, within the time it is counted over, and ends after it is over."""
    found = told(LinkHealth(), [0] * 60 + [round(0.2 * RATE_HZ)] * 60 + [0] * 60)
    assert [entry.rsplit(" ", 1)[0] for entry in found] == ["packet_loss onset", "packet_loss end"]
    onset_s, end_s = (int(entry.rsplit(" ", 1)[1]) for entry in found)
    assert 60 < onset_s <= 60 + LOSS_OVER_S
    assert 120 < end_s <= 120 + LOSS_OVER_S


def test_a_battery_that_wavers_is_one_alarm() -> None:
    """Between the two levels nothing changes; a strap that knows no charge is never low."""
    link = LinkHealth()
    kinds = []
    middle = (BATTERY_LOW + BATTERY_BACK) / 2
    for second, battery in enumerate(
        (None, 1.0, middle, BATTERY_LOW, middle, BATTERY_LOW, None, BATTERY_BACK, middle)
    ):
        link.battery = battery
        kinds += [event.transition for event in link.look(0, round(second * RATE_HZ), 0, RATE_HZ)]
    assert kinds == ["onset", "end"]


def play(
    watch: Watch, *, packets: Iterable[int], status_at: dict[int, float], boot: int = 1, strap: str = "s"
) -> list[Alarm]:
    """Let a strap send some of its packets, five a second, and say its charge with some of them."""
    alarms = []
    random = np.random.default_rng(1)
    for number in packets:
        now = number * PACKET / RATE_HZ
        if number in status_at:
            status = StatusMessage(version=1, strap=strap, online=True, boot=boot, battery=status_at[number])
            watch.receive(Topic("t", "a", "status"), encode(status), now)
        packet = SamplePacket(
            version=1,
            strap=strap,
            boot=boot,
            sequence=number,
            first_sample=number * PACKET,
            rate_hz=RATE_HZ,
            microvolts_per_count=1.0,
            lead="I",
            lead_off=False,
            sent_at=now,
            samples=random.integers(-200, 200, PACKET).astype("<i2").tobytes(),
        )
        watch.receive(Topic("t", "a", "samples"), encode(packet), now)
        alarms += watch.tick(now).alarms
    return [alarm for alarm in alarms if alarm.kind in ("packet_loss", "battery_low")]


def test_a_charge_told_before_the_first_sample_counts() -> None:
    """A retained status arrives before any packet: a battery that is low already is told as soon as samples come."""
    alarms = play(Watch(classifier=None), packets=range(100), status_at={0: 0.1})
    assert [(alarm.kind, alarm.transition) for alarm in alarms] == [("battery_low", "raised")]


def test_packets_that_never_come_are_told_with_the_strap() -> None:
    """Every fourth packet missing is one alarm of the strap, of low priority."""
    alarms = play(Watch(classifier=None), packets=[k for k in range(400) if k % 4], status_at={})
    assert [(alarm.kind, alarm.transition, alarm.priority) for alarm in alarms] == [
        ("packet_loss", "raised", "low")
    ]


@pytest.mark.parametrize("moved_at", [150, 250])
def test_an_alarm_of_the_link_moves_with_its_athlete(moved_at: int) -> None:
    """An athlete who goes on in another monitor brings the alarm: it is not raised again there, and it ends there."""
    sent = [k for k in range(250) if k % 4] + list(range(250, 600))
    charge = {1: 0.1, 400: 0.9}
    stays = play(Watch(classifier=None), packets=sent, status_at=charge)
    first, second = Watch(classifier=None), Watch(classifier=None)
    alarms = play(first, packets=[k for k in sent if k < moved_at], status_at=charge)
    second.import_athlete("t", "a", first.export_athlete("t", "a"), now=moved_at * PACKET / RATE_HZ)
    alarms += play(second, packets=[k for k in sent if k >= moved_at], status_at=charge)
    assert [(a.kind, a.transition) for a in alarms] == [(a.kind, a.transition) for a in stays]
    assert len({a.identity for a in alarms}) == 2


def test_what_another_strap_says_counts_once_its_samples_do() -> None:
    """A second strap under a name that is heard changes neither charge nor source, until it has taken the name over."""
    watch, topic = Watch(classifier=None), Topic("t", "a", "status")
    first, second = (
        StatusMessage(version=1, strap=strap, online=True, boot=1, battery=battery, source=source)
        for strap, battery, source in (("s", 0.9, "mitdb/100"), ("s2", 0.1, "mitdb/200"))
    )
    watch.receive(topic, encode(first), 0.0)
    play(watch, packets=range(50), status_at={})
    watch.receive(topic, encode(second), 9.9)
    assert play(watch, packets=range(50, 100), status_at={}) == []
    (state,) = watch.tick(30.0).states
    assert (state.strap, state.source) == ("s", "mitdb/100")
    alarms = play(watch, packets=range(200, 260), status_at={}, strap="s2")
    assert [(alarm.kind, alarm.strap) for alarm in alarms] == [("battery_low", "s2")]
    (state,) = watch.tick(60.0).states
    assert (state.strap, state.source) == ("s2", "mitdb/200")
