"""One target of `benchmarks.faults.fuzz`, in a process of its own: libFuzzer ends it as it likes.

``python -m benchmarks.faults.fuzz_target wire COUNTS.json -runs=100000 corpus/``
"""

import json
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any, Final

import atheris
import msgspec
import numpy as np

from monitor import alarms, assembly, athlete, watch, wire
from monitor.errors import PacketError

_FLAGS: Final = ("lead_off", "online", "ended", "scored")
_WORDS: Final = ("strap", "source", "lead")
_NUMBERS: Final = ("rate_hz", "microvolts_per_count", "sent_at", "battery")
_COUNT_EVERY: Final = 100
_BYTES_FOR_A_BYTE: Final = 64
"""An entry of a mapping may take two bytes of a packet and more than a hundred of memory."""
_ANYWAY_BYTES: Final = 256 * 1024
WATCH_BYTES: Final = 64 * 1024 * 1024
"""What a handful of packets, each of at most 64 KiB, may take in a watch: with the first of a rate comes its bank."""
MOST_BYTES: Final = 70_000
"""A little more than a packet may have."""
_READERS: Final[list[Callable[[bytes], Any]]] = [
    wire.decode_samples,
    wire.decode_status,
    wire.decode_truth,
    wire.decode_ledger,
    lambda payload: wire.parse_topic(payload.decode("utf-8", "replace")),
]
_FIELDS: Final = (
    "version", "strap", "boot", "sequence", "first_sample", "rate_hz", "microvolts_per_count", "lead", "lead_off",
    "sent_at", "samples", "online", "ended", "battery", "source", "end_sample", "r_samples", "classes", "scored",
    "counts", "troubles",
)  # fmt: skip


class Counts:
    """What has been done, written to a file now and then."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.values = {"inputs": 0, "accepted": 0, "most_bytes": 0}
        self.most_ratio = 0.0

    def count(self, *, accepted: bool, taken: int) -> None:
        """Count an input, and what it took at most."""
        values = self.values
        values["inputs"] += 1
        values["accepted"] += accepted
        values["most_bytes"] = max(values["most_bytes"], taken)
        if values["inputs"] % _COUNT_EVERY == 0:
            self.file.write_text(json.dumps(values))


def on_wire(data: bytes, counts: Counts) -> None:
    """Any bytes are a message that is encoded to itself again, or a refusal; memory stays within its bound."""
    given = atheris.FuzzedDataProvider(data)
    which = given.ConsumeIntInRange(0, 9)
    payload = given.ConsumeBytes(MOST_BYTES) if which < len(_READERS) else _message(given)
    read = _READERS[which % len(_READERS)]
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    accepted = True
    try:
        message = read(payload)
        if not isinstance(message, wire.Topic) and read(wire.encode(message)) != message:
            raise AssertionError("a message is not itself again")
    except PacketError:
        accepted = False
    _, peak = tracemalloc.get_traced_memory()
    _within(peak - before, _BYTES_FOR_A_BYTE * len(payload) + _ANYWAY_BYTES)
    counts.count(accepted=accepted, taken=peak - before)


def on_assembly(data: bytes, counts: Counts) -> None:
    """Whatever packets say of boots, sequences and samples: pieces come in order, once, and the books balance."""
    given = atheris.FuzzedDataProvider(data)
    strap = assembly.StrapAssembly(assembly.ReorderLimits())
    now, end, boot, pushed = 0.0, -1, (-1, ""), 0
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    packet: wire.SamplePacket | None = None
    while given.remaining_bytes() > 0 and pushed < 40:
        packet = _packet(given, packet)
        pushed += 1
        now += given.ConsumeIntInRange(0, 40) / 10.0
        pieces = strap.push(packet, now)
        if given.ConsumeBool():
            pieces = [*pieces, *strap.tick(now)]
        for piece in pieces:
            named = (piece.boot, packet.strap)
            if piece.begins:
                boot, end = named, -1
            if piece.first_sample < end:
                raise AssertionError(f"sample {piece.first_sample} comes after {end}")
            if boot[0] == -1:
                raise AssertionError("a piece before the first that begins")
            end = piece.end_sample
    counted = strap.counters
    unused = counted.duplicate + counted.late + counted.stale_boot + counted.other_strap
    if counted.received != pushed or not 0 <= unused + counted.inconsistent + counted.implausible <= pushed:
        raise AssertionError(f"{pushed} packets, {counted}")
    if not 0 <= counted.lost < 2**53 or not 0 <= counted.lost_samples < 2**60:
        raise AssertionError(f"{counted}")
    _, peak = tracemalloc.get_traced_memory()
    _within(peak - before, WATCH_BYTES)
    counts.count(accepted=pushed > 0, taken=peak - before)


def on_watch(data: bytes, counts: Counts) -> None:
    """Whatever arrives: nothing raises, all that is told can be encoded, and memory stays within its bound."""
    given = atheris.FuzzedDataProvider(data)
    tracemalloc.reset_peak()
    before, _ = tracemalloc.get_traced_memory()
    watching, now = watch.Watch(classifier=None), 0.0
    packets: dict[str, wire.SamplePacket] = {}
    for _ in range(12):
        if given.remaining_bytes() == 0:
            break
        name = "xyz"[given.ConsumeIntInRange(0, 2)]
        now += given.ConsumeIntInRange(0, 70) / 10.0
        what = given.ConsumeIntInRange(0, 9)
        if what == 0:
            watching.receive(wire.Topic("t", name, "samples"), given.ConsumeBytes(200), now)
        elif what == 1:
            watching.receive(wire.Topic("t", name, "status"), given.ConsumeBytes(200), now)
        elif what == 2:
            status = wire.StatusMessage(
                version=1, strap="s0", online=given.ConsumeBool(), boot=given.ConsumeIntInRange(0, 3),
                ended=given.ConsumeBool(),
            )  # fmt: skip
            watching.receive(wire.Topic("t", name, "status"), wire.encode(status), now)
        else:
            packets[name] = _packet(given, packets.get(name))
            watching.receive(wire.Topic("t", name, "samples"), wire.encode(packets[name]), now)
        batch = watching.tick(now, {("t", "x")})
        for told in (*batch.alarms, *batch.states, *(entry for *_, entry in (*batch.beats, *batch.waves))):
            msgspec.msgpack.encode(told)
    _, peak = tracemalloc.get_traced_memory()
    _within(peak - before, WATCH_BYTES)
    counts.count(accepted=watching.counters.packets > 0, taken=peak - before)


def _packet(given: Any, last: "wire.SamplePacket | None") -> "wire.SamplePacket":
    """Return a packet that follows `last`, nearly follows it, or has nothing to do with it."""
    length = (1, 2, 90, 250, 1000)[given.ConsumeIntInRange(0, 4)]
    kind = given.ConsumeIntInRange(0, 3)
    if kind == 0:
        samples = np.zeros(length, "<i2")
    elif kind == 1:
        samples = np.full(length, given.ConsumeIntInRange(-32768, 32767), "<i2")
    else:
        samples = np.resize(np.frombuffer(given.ConsumeBytes(2 * min(length, 90)) or b"\0", "u1"), 2 * length)
        samples = samples.astype("u1").view("<i2")
    follows = last is not None and given.ConsumeIntInRange(0, 3) > 0
    if follows and last is not None:
        step, jump = given.ConsumeIntInRange(-2, 4), given.ConsumeIntInRange(-300, 3000)
        sequence = min(max(last.sequence + (1 if step < 0 else step), 0), 2**53 - 1)
        first = min(max(last.end_sample + (0 if given.ConsumeBool() else jump), 0), 2**53 - 1)
        strap, boot, rate_hz = last.strap, last.boot, last.rate_hz
    else:
        sequence, first = _counter(given), _counter(given)
        strap, boot = f"s{given.ConsumeIntInRange(0, 1)}", _counter(given)
        rate_hz = (100.0, 130.0, 360.0, 1000.0)[given.ConsumeIntInRange(0, 3)]
    return wire.SamplePacket(
        version=1,
        strap=strap,
        boot=boot,
        sequence=sequence,
        first_sample=first,
        rate_hz=rate_hz,
        microvolts_per_count=(1e-3, 1.0, 5.0, 1e4)[given.ConsumeIntInRange(0, 3)],
        lead="",
        lead_off=given.ConsumeIntInRange(0, 5) == 0,
        sent_at=float(given.ConsumeIntInRange(0, 2**32)),
        samples=samples.tobytes(),
    )


def _message(given: Any) -> bytes:
    """Return MessagePack that nearly is a message, of whatever kind."""
    fields = {}
    for name in _FIELDS:
        kind = given.ConsumeIntInRange(0, 11)
        if kind < 10:
            fields[name] = _usual(name, given) if kind < 8 else _value(given, 3)
    payload = bytearray(msgspec.msgpack.encode(fields))
    for _ in range(given.ConsumeIntInRange(0, 2)):
        payload[given.ConsumeIntInRange(0, len(payload) - 1)] = given.ConsumeIntInRange(0, 255)
    return bytes(payload)


def _usual(name: str, given: Any) -> Any:
    """Return a value of the kind that a field has, often one at a limit."""
    several = range(given.ConsumeIntInRange(0, 3))
    if name in _FLAGS:
        return given.ConsumeBool()
    if name in _WORDS:
        return ("s0", "", "mitdb/208", "x" * 65, "\n")[given.ConsumeIntInRange(0, 4)]
    if name in _NUMBERS:
        return (250.0, 1.0, 0.5, float("nan"), float("inf"), -0.0, 1e300)[given.ConsumeIntInRange(0, 6)]
    made: dict[str, Callable[[], Any]] = {
        "version": lambda: 1,
        "samples": lambda: given.ConsumeBytes(given.ConsumeIntInRange(0, 60) * 2),
        "r_samples": lambda: [_counter(given) for _ in several],
        "classes": lambda: ["N" for _ in several],
        "counts": lambda: {"sent": _counter(given)},
        "troubles": lambda: [[_counter(given), _counter(given), "lost"] for _ in several],
    }
    return made.get(name, lambda: _counter(given))()


def _value(given: Any, deep: int) -> Any:
    kind = given.ConsumeIntInRange(0, 7 if deep else 5)
    if kind == 6:
        return [_value(given, deep - 1) for _ in range(given.ConsumeIntInRange(0, 4))]
    if kind == 7:
        return {given.ConsumeUnicodeNoSurrogates(8): _value(given, deep - 1) for _ in range(3)}
    return (
        lambda: None,
        given.ConsumeBool,
        lambda: given.ConsumeIntInRange(-(2**63), 2**64 - 1),
        given.ConsumeFloat,
        lambda: given.ConsumeUnicodeNoSurrogates(70),
        lambda: given.ConsumeBytes(100),
    )[kind]()


def _follow(module: ModuleType) -> None:
    """Let the fuzzer see which branches a module's functions take; what numba compiles is in other modules."""
    for found in list(vars(module).values()):
        if getattr(found, "__module__", None) != module.__name__:
            continue
        members = list(vars(found).values()) if isinstance(found, type) else [found]
        for member in members:
            function = getattr(member, "fget", member)
            if isinstance(function, FunctionType):
                atheris.instrument_func(function)


def _counter(given: Any) -> int:
    return int(
        (0, 1, 90, 2**31, 2**53 - 1, given.ConsumeIntInRange(0, 2**53 - 1))[given.ConsumeIntInRange(0, 5)]
    )


def _within(taken: int, allowed: int) -> None:
    if taken > allowed:
        raise MemoryError(f"{taken} bytes for an input that may take {allowed}")


TARGETS: Final = {"wire": on_wire, "assembly": on_assembly, "watch": on_watch}


def main() -> None:
    """Fuzz until libFuzzer has enough."""
    target, counts = TARGETS[sys.argv[1]], Counts(Path(sys.argv[2]))
    for module in (wire, assembly, athlete, watch, alarms):
        _follow(module)
    tracemalloc.start(1)
    # What is made once (banks' compiled code, tables) is no input's.
    target(b"\0" * 64, Counts(counts.file))
    atheris.Setup([sys.argv[0], *sys.argv[3:]], lambda data: target(data, counts))
    atheris.Fuzz()


if __name__ == "__main__":
    main()
