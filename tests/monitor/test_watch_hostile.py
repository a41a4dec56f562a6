"""The watch under packets that are valid one by one and absurd together."""

from dataclasses import dataclass, field

import msgspec
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from monitor.live_state import BeatEntry
from monitor.watch import Watch
from monitor.wire import SamplePacket, StatusMessage, Topic, encode
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team

MOST = 2**53 - 1
GOOD = Topic("t", "good", "samples")
PAYLOADS = [
    encode(scheduled.packet)
    for scheduled in Strap(
        record=synthetic_team(1, seconds=20.0, seed=7)[0], team="t", athlete="good", strap="g", boot=1
    ).packets(start_at=0.0)
]

counters = st.one_of(
    st.integers(0, 12),
    st.sampled_from([90, 360, 10_000, 2**31, 2**32, 2**52, MOST - 1, MOST]),
    st.integers(0, MOST),
)


@st.composite
def packets(draw: st.DrawFn) -> SamplePacket:
    """Return a packet that passes every check of the wire format."""
    length = draw(st.sampled_from([1, 2, 90, 91, 1000, 32_000]))
    kind = draw(st.sampled_from(["noise", "flat", "railed", "spikes"]))
    random = np.random.default_rng(draw(st.integers(0, 9)))
    samples = np.zeros(length, "<i2")
    if kind == "noise":
        samples = random.integers(-(2**15), 2**15, length).astype("<i2")
    elif kind == "railed":
        samples[:] = -(2**15)
    elif kind == "spikes":
        samples[::77] = 1000
    return SamplePacket(
        version=1,
        strap=draw(st.sampled_from(["s0", "s1"])),
        boot=draw(st.one_of(st.integers(0, 2), counters)),
        sequence=draw(counters),
        first_sample=draw(counters),
        rate_hz=draw(st.sampled_from([100.0, 130.0, 360.0, 1000.0, 100.1])),
        microvolts_per_count=draw(st.sampled_from([1e-3, 1.0, 5.0, 1e4])),
        lead="",
        lead_off=draw(st.booleans()),
        sent_at=draw(st.sampled_from([0.0, 1.0, 1e9, 9.9e10])),
        samples=samples.tobytes(),
    )


@dataclass
class Following:
    """A strap's own thread of packets: each follows the one before, or is drawn anew."""

    at: dict[str, SamplePacket] = field(default_factory=dict)

    def next(self, athlete: str, drawn: SamplePacket, step: int | None) -> SamplePacket:
        """Return `drawn`, or with a `step` the packet that lies so many samples after the last one."""
        last = self.at.get(athlete)
        if last is not None and step is not None:
            drawn = msgspec.structs.replace(
                drawn,
                strap=last.strap,
                boot=last.boot,
                rate_hz=last.rate_hz,
                sequence=min(last.sequence + 1, MOST),
                first_sample=min(max(last.end_sample + step, 0), MOST),
            )
        self.at[athlete] = drawn
        return drawn


statuses = st.builds(
    StatusMessage,
    version=st.just(1),
    strap=st.sampled_from(["s0", "s1"]),
    online=st.booleans(),
    boot=counters,
    ended=st.booleans(),
)
steps = st.one_of(st.none(), st.just(0), st.just(0), st.integers(-200, 2000))
moments = st.lists(
    st.tuples(
        st.lists(st.tuples(st.sampled_from("xyz"), packets(), steps), max_size=6),
        st.lists(st.tuples(st.sampled_from("xyz"), statuses), max_size=2),
        st.sampled_from([0.05, 0.25, 0.25, 1.5, 6.0]),
    ),
    min_size=5,
    max_size=30,
)


def played(
    drawn: list[tuple[list[tuple[str, SamplePacket, int | None]], list[tuple[str, StatusMessage]], float]],
) -> list[BeatEntry]:
    """Play one good athlete among what was drawn, and return the good one's beats."""
    watch = Watch(classifier=None)
    follow = Following()
    beats: list[BeatEntry] = []
    now = 0.0
    for k, payload in enumerate(PAYLOADS):
        sent, told, wait_s = drawn[k] if k < len(drawn) else ([], [], 0.25)
        now += wait_s
        for name, packet, step in sent:
            watch.receive(Topic("t", name, "samples"), encode(follow.next(name, packet, step)), now)
        for name, status in told:
            watch.receive(Topic("t", name, "status"), encode(status), now)
        watch.receive(GOOD, payload, now)
        batch = watch.tick(now, {("t", "x")})
        for message in (*batch.alarms, *batch.states, *(entry for *_, entry in (*batch.beats, *batch.waves))):
            msgspec.msgpack.encode(message)
        assert 0 <= watch.lost_packets() < 2**53
        beats += [beat for _, athlete, beat in batch.beats if athlete == GOOD.athlete]
    return beats


@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
@given(moments)
def test_no_sequence_of_packets_raises_or_touches_a_neighbour(
    drawn: list[tuple[list[tuple[str, SamplePacket, int | None]], list[tuple[str, StatusMessage]], float]],
) -> None:
    """Whatever three athletes send, nothing raises, and a fourth one's beats are bit for bit those it has alone."""
    alone = played([([], [], wait_s) for _, _, wait_s in drawn])
    assert played(drawn) == alone
    assert len(alone) > 10
