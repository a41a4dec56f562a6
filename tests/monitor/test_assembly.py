"""Assembly: order, duplicates, gaps, reboots, and strangers under one name."""

from collections.abc import Sequence

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitor.assembly import Piece, ReorderLimits, StrapAssembly
from monitor.wire import WIRE_VERSION, SamplePacket

RATE_HZ = 360.0
PACKET = 90


def packet(
    sequence: int, *, boot: int = 1, strap: str = "s1", lead_off: bool = False, rate_hz: float = RATE_HZ
) -> SamplePacket:
    """Return packet number `sequence` of a strap whose sample k has the value k."""
    first = sequence * PACKET
    return SamplePacket(
        version=WIRE_VERSION,
        strap=strap,
        boot=boot,
        sequence=sequence,
        first_sample=first,
        rate_hz=rate_hz,
        microvolts_per_count=1000.0,
        lead="MLII",
        lead_off=lead_off,
        sent_at=1000.0 + (first + PACKET) / rate_hz,
        samples=np.arange(first, first + PACKET).astype("<i2").tobytes(),
    )


def joined(pieces: Sequence[Piece]) -> list[float]:
    """Return all samples of some pieces."""
    return [value for piece in pieces for value in piece.millivolts.tolist()]


def push_all(assembly: StrapAssembly, packets: Sequence[SamplePacket]) -> list[Piece]:
    """Push packets that arrive 0.25 s apart."""
    return [piece for i, p in enumerate(packets) for piece in assembly.push(p, 0.25 * i)]


def test_packets_in_order_pass_unchanged_and_at_once() -> None:
    """Each packet in order gives its samples at once, the first of them marked as a beginning."""
    assembly = StrapAssembly()
    pieces = push_all(assembly, [packet(k) for k in range(5)])
    assert joined(pieces) == list(range(5 * PACKET))
    assert [piece.begins for piece in pieces] == [True, False, False, False, False]
    assert assembly.counters.lost == 0
    assert not assembly.waiting


@given(
    st.lists(st.integers(0, 6), min_size=30, max_size=30),
    st.lists(st.integers(0, 29), max_size=20),
)
def test_bounded_reordering_and_duplication_change_nothing(
    displacements: list[int], repeated: list[int]
) -> None:
    """Packets displaced by less than the bound, and sent again any time later, give the same samples."""
    keyed = sorted(range(1, 30), key=lambda k: (k + displacements[k], k))
    arrivals = [0, *keyed, *repeated]
    assembly = StrapAssembly(ReorderLimits(packets=8, wait_s=100.0))
    pieces = push_all(assembly, [packet(k) for k in arrivals])
    assert joined(pieces) == list(range(30 * PACKET))
    assert assembly.counters.duplicate == len(repeated)
    assert assembly.counters.lost == 0


def test_a_lost_packet_becomes_a_counted_gap_after_the_wait() -> None:
    """What follows a lost packet is held for `wait_s`, then comes with a gap; the packet is counted once."""
    assembly = StrapAssembly(ReorderLimits(wait_s=1.0))
    pieces = assembly.push(packet(0), 0.0) + assembly.push(packet(2), 0.5)
    assert len(pieces) == 1
    assert assembly.tick(1.4) == []
    late = assembly.tick(1.5)
    assert [piece.first_sample for piece in late] == [2 * PACKET]
    assert assembly.counters.lost == 1
    assert assembly.counters.lost_samples == PACKET


def test_a_packet_after_its_gap_is_late_not_duplicate() -> None:
    """A packet that comes after it was given up is counted as late and changes nothing."""
    assembly = StrapAssembly(ReorderLimits(wait_s=1.0))
    assembly.push(packet(0), 0.0)
    assembly.push(packet(2), 0.5)
    assembly.tick(2.0)
    assert assembly.push(packet(1), 2.1) == []
    assert assembly.push(packet(2), 2.2) == []
    assert (assembly.counters.late, assembly.counters.duplicate) == (1, 1)


def test_too_many_waiting_packets_end_the_wait() -> None:
    """No more packets wait than the bound: memory is bounded however slowly time passes."""
    assembly = StrapAssembly(ReorderLimits(packets=4, wait_s=1e9))
    pieces = push_all(assembly, [packet(k) for k in (0, 2, 3, 4, 5, 6)])
    assert [piece.first_sample // PACKET for piece in pieces] == [0, 2, 3, 4, 5, 6]
    assert assembly.counters.lost == 1


def test_a_new_boot_begins_anew_and_an_old_one_is_stale() -> None:
    """After a reboot counters restart; packets of the boot before are dropped and counted."""
    assembly = StrapAssembly()
    assembly.push(packet(70, boot=1), 0.0)
    pieces = assembly.push(packet(0, boot=2), 1.0)
    assert [(piece.boot, piece.first_sample, piece.begins) for piece in pieces] == [(2, 0, True)]
    assert assembly.push(packet(71, boot=1), 1.1) == []
    assert assembly.counters.stale_boot == 1


def test_two_straps_under_one_name_never_mix() -> None:
    """A second strap is refused while the first one talks, and takes over once that one has fallen silent."""
    assembly = StrapAssembly(ReorderLimits(other_strap_s=5.0))
    assembly.push(packet(0, strap="s1"), 0.0)
    assert assembly.push(packet(50, strap="s2"), 1.0) == []
    assert assembly.counters.other_strap == 1
    assert joined(assembly.push(packet(1, strap="s1"), 1.1)) == list(range(PACKET, 2 * PACKET))
    taken = assembly.push(packet(60, strap="s2"), 7.0)
    assert taken[0].begins
    assert assembly.strap == "s2"


def test_one_absurd_packet_does_not_silence_a_strap() -> None:
    """A packet from the far future is dropped as implausible while the samples go on without it."""
    assembly = StrapAssembly(ReorderLimits(wait_s=1.0))
    assembly.push(packet(0), 0.0)
    assembly.push(packet(10_000_000), 0.1)
    pieces = [
        piece for k in range(1, 10) for piece in assembly.push(packet(k), 0.25 * k) + assembly.tick(0.25 * k)
    ]
    assert joined(pieces) == list(range(PACKET, 10 * PACKET))
    assert assembly.counters.implausible == 1


def test_the_very_first_packets_may_be_out_of_order() -> None:
    """A strap's second packet waits for its first; one that was on air before us is taken as it comes."""
    assembly = StrapAssembly()
    assert assembly.push(packet(1), 0.0) == []
    pieces = assembly.push(packet(0), 0.1)
    assert joined(pieces) == list(range(2 * PACKET))
    assert [piece.begins for piece in pieces] == [True, False]
    joined_late = StrapAssembly()
    assert len(joined_late.push(packet(500), 0.0)) == 1
    never_came = StrapAssembly(ReorderLimits(wait_s=1.0))
    never_came.push(packet(1), 0.0)
    assert [piece.begins for piece in never_came.tick(1.0)] == [True]
    assert never_came.counters.lost == 0


def test_another_rate_within_a_boot_is_refused() -> None:
    """A strap cannot change its sampling rate without starting again."""
    assembly = StrapAssembly()
    assembly.push(packet(0), 0.0)
    assert assembly.push(packet(1, rate_hz=250.0), 0.1) == []
    assert assembly.counters.inconsistent == 1


def test_lead_off_moves_the_clock_without_samples() -> None:
    """A packet with the lead off has no samples, but its time passes."""
    assembly = StrapAssembly()
    pieces = push_all(assembly, [packet(0), packet(1, lead_off=True), packet(2)])
    assert [piece.lead_off for piece in pieces] == [False, True, False]
    assert pieces[1].millivolts.size == 0
    assert [piece.end_sample for piece in pieces] == [PACKET, 2 * PACKET, 3 * PACKET]


def test_an_exported_assembly_goes_on_as_if_it_had_never_moved() -> None:
    """Held packets, gaps and counters travel with the state."""
    here, there = StrapAssembly(), StrapAssembly()
    for assembly in (here, there):
        push_all(assembly, [packet(0), packet(2), packet(3)])
    moved = StrapAssembly()
    moved.import_row(here.export_row())
    for assembly in (there, moved):
        assert joined(assembly.push(packet(1), 0.9)) == list(range(PACKET, 4 * PACKET))
    assert moved.counters == there.counters


def test_a_strap_whose_boot_counter_fell_back_is_watched_again() -> None:
    """A lower boot is stale while the higher one sends, and taken once that one has been silent."""
    assembly = StrapAssembly(ReorderLimits(other_strap_s=5.0))
    assembly.push(packet(0, boot=2**53 - 1), 0.0)
    assert assembly.push(packet(0, boot=1), 4.9) == []
    pieces = assembly.push(packet(1, boot=1), 5.0) + assembly.tick(6.0)
    assert [(piece.boot, piece.begins) for piece in pieces] == [(1, True)]


def test_a_strap_that_changed_its_rate_is_watched_again() -> None:
    """Another rate within a boot is refused while the first one goes on, and taken once it has not."""
    assembly = StrapAssembly(ReorderLimits(other_strap_s=5.0))
    assembly.push(packet(20), 0.0)
    assert assembly.push(packet(21, rate_hz=250.0), 4.9) == []
    assert [piece.rate_hz for piece in assembly.push(packet(22, rate_hz=250.0), 5.0)] == [250.0]


def test_an_absurd_packet_before_an_outage_costs_seconds_not_the_session() -> None:
    """Even if a packet from the far future was believed, the strap is heard again after `other_strap_s`."""
    assembly = StrapAssembly(ReorderLimits(wait_s=1.0, other_strap_s=5.0))
    push_all(assembly, [packet(k) for k in range(10)])
    assembly.push(packet(10**9), 2.5)
    believed = assembly.tick(3.5)
    assert [piece.begins for piece in believed] == [True]
    later = [piece for k in range(14, 60) for piece in assembly.push(packet(k), 0.25 * k)]
    assert later[0].begins
    assert later[-1].end_sample == 60 * PACKET
    assert 8.5 <= 0.25 * later[0].first_sample / PACKET <= 8.75


def test_absurd_sequences_cannot_swell_the_counters() -> None:
    """No more packets are counted as lost than samples are missing, and a leap of hours counts as one."""
    assembly = StrapAssembly(ReorderLimits(wait_s=1.0))
    absurd = msgspec.structs.replace(packet(2), sequence=2**53 - 1)
    assembly.push(packet(0), 0.0)
    assembly.push(absurd, 0.1)
    assert len(assembly.tick(1.1)) == 1
    assert assembly.counters.lost == PACKET
    assembly.push(packet(10**9), 1.2)
    assembly.tick(2.2)
    assert assembly.counters.lost == PACKET + 1
    assert assembly.counters.lost_samples == PACKET


def test_a_damaged_state_changes_nothing() -> None:
    """An import that fails leaves the assembly as it was."""
    assembly = StrapAssembly()
    push_all(assembly, [packet(k) for k in range(3)])
    state = dict(assembly.export_row())
    state["assembly"] = msgspec_bytes({"counters": {"received": 7}, "place": {"strap": "x"}, "held": []})
    with pytest.raises(ValueError, match="damaged"):
        assembly.import_row(state)
    assert assembly.counters.received == 3
    assert joined(assembly.push(packet(3), 1.0)) == list(range(3 * PACKET, 4 * PACKET))


def msgspec_bytes(described: object) -> np.ndarray[tuple[int], np.dtype[np.uint8]]:
    """Return a described state as the array that holds it."""
    return np.frombuffer(msgspec.msgpack.encode(described), np.uint8)
