"""Every fault there is: what is done, what must happen, and how it is tried."""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

from benchmarks.faults import monitor_faults, network_faults, relay_faults, strap_faults
from benchmarks.faults.trial_stage import Conditions, Outcome


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes
    ----------
    number : int
        Its place among the fifteen kinds.
    name : str
        What it is called in reports and on the command line.
    done : str
        What is done.
    must : str
        What must happen.
    run : callable
        Tries it.
    repeats : int
        How often ``make chaos`` tries it, each time with another seed.
    """

    number: int
    name: str
    done: str
    must: str
    run: Callable[[Conditions], Coroutine[Any, Any, Outcome]]
    repeats: int = 1


_NOTHING: Final = "nothing is lost; every beat and alarm as undisturbed"
FAULTS: Final = (
    Fault(
        1, "loss", "three radios lose 1, 10 and 30 % of their packets",
        "each loss is counted; beats and alarms are those the same losses leave in virtual time", strap_faults.lossy,
    ),
    Fault(
        2, "duplicates", "packets come twice: a tenth of them, and all", f"{_NOTHING}; repeats are counted",
        strap_faults.repeating,
    ),
    Fault(
        3, "late", "packets are overtaken and jitter by up to 0.4 s; others come a minute late, in a flood",
        f"what is waited for is used, what is too late is counted; {_NOTHING} for the flood", strap_faults.late,
    ),
    Fault(
        4, "restarts", "a strap starts again twice; a second strap takes the name of a first",
        "a new boot begins anew, no pause between; the second strap's packets are counted, none of its beats told",
        strap_faults.restarting,
    ),
    Fault(
        5, "broker-killed", "SIGKILL of the broker, back after 30 s",
        "straps send again what was not acknowledged, the session is kept: nothing is lost; silence is told",
        network_faults.broker_killed, 2,
    ),
    Fault(
        6, "broker-slow", "every message takes 0.4 s, 60 kB a second pass", f"{_NOTHING}, later",
        network_faults.broker_slow,
    ),
    Fault(7, "straps-cut", "no network between straps and broker for 30 s", f"{_NOTHING}; silence is told",
          network_faults.straps_cut),
    Fault(7, "monitor-cut", "no network between broker and monitor for 30 s; then one that swallows all for 30 s",
          f"{_NOTHING}: the broker keeps what it cannot deliver", network_faults.monitor_cut),
    Fault(
        8, "server-killed", "SIGKILL of the server, back after a third of the session",
        "beats of that time wait, or are counted as unwritten; every alarm stands in the Stream once",
        network_faults.server_killed,
    ),
    Fault(
        8, "server-refuses", "the server is full, then a replica that is read-only, then without its own replicas",
        "as above: alarms wait in the outbox and go out in order", network_faults.server_full,
    ),
    Fault(
        8, "server-slow", "every answer takes 0.3 s, then the server stands still for 2.5 s",
        "as above", network_faults.server_slow,
    ),
    Fault(
        9, "monitor-killed", "SIGKILL of the monitor at ten random points under load, five times",
        "it goes on from its snapshot and the journal: no beat and no alarm is missing, no alarm is there twice",
        monitor_faults.killed, 5,
    ),
    Fault(
        10, "disk-full", "no space for outbox, packets, snapshots and recordings, while the server is cut off",
        "alarms wait in memory and arrive once; what was not saved is counted; recording goes on with room again",
        monitor_faults.disk_full,
    ),
    Fault(
        11, "clocks", "a strap's clock is set by hours twice; crystals off by 200 ppm either way", _NOTHING,
        strap_faults.clocks,
    ),
    Fault(
        12, "leads", "a lead off, a flat line, a line at its rail",
        "each is told as what it is; asystole is not hidden; the others see nothing of it", strap_faults.loose,
    ),
    Fault(
        13, "hostile", "malformed, truncated, oversized, misrouted and absurd messages all the time",
        f"they are counted by reason; {_NOTHING}", strap_faults.hostile,
    ),
    Fault(
        14, "dashboards", "eight dashboards subscribe to every waveform and read nothing", _NOTHING,
        monitor_faults.slow_dashboards,
    ),
    Fault(
        14, "receiver-killed", "SIGKILL of a relay that holds an alarm which its receiver has not taken yet",
        "another relay delivers it, under the same key; every alarm arrives", relay_faults.killed,
    ),
    Fault(
        15, "model-damaged", "weights cut short, changed, empty, missing",
        "one line that says what is wrong, exit code 1",
        monitor_faults.model_damaged,
    ),
    Fault(
        15, "backend-fails", "every third call of the classifier fails, then all of them for a fifth of the session",
        "beats that nobody named are unsure, counted and told; no R peak, pause or asystole is missing",
        monitor_faults.backend_fails,
    ),
    Fault(
        15, "monitor-hung", "SIGSTOP of the monitor for 20 s",
        "a receiver's watchdog says so within 15 s, and that it is over; nothing is lost", monitor_faults.hung,
    ),
)  # fmt: skip


SHORT: Final[dict[int, tuple[str, ...]]] = {
    1: ("faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",),
    2: (
        "faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",
        "monitor/test_watch.py::test_live_with_duplicates_and_reordering_equals_offline",
    ),
    3: (
        "faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",
        "monitor/test_source_mqtt.py::test_a_flood_after_an_outage_waits_at_the_broker",
    ),
    4: ("faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",),
    5: ("faults/test_faults.py::test_a_broker_that_is_killed_loses_nothing",),
    6: ("faults/test_faults.py::test_networks_that_are_slow_or_cut_lose_nothing",),
    7: ("faults/test_faults.py::test_networks_that_are_slow_or_cut_lose_nothing",),
    8: ("faults/test_faults.py::test_a_server_killed_full_read_only_and_slow_loses_no_alarm",),
    9: ("monitor/test_recovery.py::test_sigkill_at_any_instant_loses_no_alarm",),
    10: ("faults/test_faults.py::test_a_full_disk_loses_no_alarm",),
    11: ("faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",),
    12: ("faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",),
    13: (
        "faults/test_faults.py::test_straps_radio_clocks_leads_and_hostile_messages",
        "monitor/test_wire.py::test_any_bytes_are_a_message_or_a_refusal",
        "monitor/test_watch_hostile.py::test_no_sequence_of_packets_raises_or_touches_a_neighbour",
    ),
    14: (
        "faults/test_faults.py::test_dashboards_that_read_nothing_and_a_backend_that_fails",
        "monitor/test_receivers.py::test_a_relay_that_dies_between_delivery_and_word_of_it_delivers_again_recognisably",
        "monitor/test_receivers.py::test_what_a_dead_instance_held_is_taken_over",
    ),
    15: (
        "faults/test_faults.py::test_dashboards_that_read_nothing_and_a_backend_that_fails",
        "faults/test_faults.py::test_a_monitor_that_hangs_is_noticed",
        "models/test_runtime.py::test_what_is_not_as_its_card_says_is_refused",
    ),
}
"""The short tests of each kind in ``make test``, below ``tests/``; what must happen stands in their docstrings."""


def fault(name: str) -> Fault:
    """Return a fault by its name."""
    return next(each for each in FAULTS if each.name == name)
