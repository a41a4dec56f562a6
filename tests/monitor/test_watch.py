"""The watch: live and offline agree, and nothing one strap sends can touch another athlete."""

from collections.abc import Iterable
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.assembly import ReorderLimits
from monitor.contract import AAMI_CLASSES, Beats, Block, FloatArray
from monitor.line import Line
from monitor.live_state import BeatEntry
from monitor.sinks.batch import SinkBatch
from monitor.watch import FORGET_AFTER_S, MAX_RATES, SILENT_AFTER_S, Watch
from monitor.wire import SamplePacket, StatusMessage, Topic, encode
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings
from simulators.records import Record
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team

SECONDS = 60.0


@dataclass
class SlopeClassifier:
    """A stand-in with fixed rules, so that these tests need no weights: tall windows are V, others N."""

    name: str = "slope"
    input_path: str = ""
    training_records: frozenset[str] = frozenset({"synthetic"})

    def probabilities(self, window: FloatArray, context: FloatArray) -> FloatArray:  # noqa: ARG002 - the interface's
        """Return a V where the window swings by more than 2.5 mV."""
        answer = np.zeros((len(window), len(AAMI_CLASSES)), np.float32)
        wide = np.ptp(window, axis=1) > 2.5
        answer[np.arange(len(window)), np.where(wide, 2, 0)] = 1.0
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the likeliest class."""
        likeliest: NDArray[np.int8] = probabilities.argmax(axis=1).astype(np.int8)
        return likeliest


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Return one synthetic athlete each at 360, 250 and 130 Hz."""
    return synthetic_team(3, seconds=SECONDS, seed=7)


def straps(records: Iterable[Record], packet_s: float = 0.25) -> list[Strap]:
    """Return a strap for each record."""
    return [
        Strap(record=record, team="t", athlete=f"a{k}", strap=f"s{k}", boot=1, packet_s=packet_s)
        for k, record in enumerate(records)
    ]


def arrivals(strap: Strap, radio: RadioSettings | None = None) -> list[tuple[float, Topic, bytes]]:
    """Return what a strap publishes, with arrival times, after its radio."""
    link = Radio(radio or RadioSettings(), seed=3, team=strap.team, athlete=strap.athlete, ledger=Ledger())
    topic = Topic(strap.team, strap.athlete, "samples")
    sent = link.transmit(strap.packets(start_at=0.0))
    return [(transmission.at_s, topic, encode(transmission.scheduled.packet)) for transmission in sent]


def play(watch: Watch, events: Iterable[tuple[float, Topic, bytes]], tick_s: float = 0.05) -> SinkBatch:
    """Play arrivals to a watch in order of time, ticking it, and return all it brought."""
    whole = SinkBatch()
    now = 0.0
    pending = sorted(events, key=lambda event: event[0])
    position = 0
    end = pending[-1][0] + 11.0
    while now < end:
        now += tick_s
        while position < len(pending) and pending[position][0] <= now:
            at, topic, payload = pending[position]
            watch.receive(topic, payload, at)
            position += 1
        batch = watch.tick(now, {("t", "a0")})
        # Everything must be fit for the wire: plain numbers, no array scalars.
        for message in (*batch.alarms, *batch.states, *(entry for *_, entry in (*batch.beats, *batch.waves))):
            msgspec.msgpack.encode(message)
        whole.beats += batch.beats
        whole.alarms += batch.alarms
        whole.waves += batch.waves
        whole.states += batch.states
    return whole


def of(batch: SinkBatch, athlete: str) -> list[BeatEntry]:
    """Return the beats of one athlete without the time at which they were due."""
    return [beat for _, name, beat in batch.beats if name == athlete]


def offline(record: Record) -> Beats:
    """Return the beats of a record, run through a line in long blocks."""
    line = Line(rate_hz=record.rate_hz, classifier=SlopeClassifier())
    row = np.array([line.claim()])
    counts = record.counts.astype(np.float32) * np.float32(record.microvolts_per_count / 1000.0)
    return line.process(
        Block(row, np.array([0]), counts[np.newaxis], np.ones((1, len(counts)), np.bool_))
    ).beats


@pytest.mark.parametrize("packet_s", [0.1, 0.25, 1.7])
def test_live_with_duplicates_and_reordering_equals_offline(records: list[Record], packet_s: float) -> None:
    """Packets sent twice and out of order give the beats and classes of the same samples in long blocks."""
    # The radio lets up to four packets overtake one.
    watch = Watch(classifier=SlopeClassifier(), reorder=ReorderLimits(wait_s=1.0 + 5.0 * packet_s))
    trouble = RadioSettings(duplicates=0.2, reorder=0.2, jitter_s=0.05)
    live = play(watch, [e for strap in straps(records, packet_s) for e in arrivals(strap, trouble)])
    for k, record in enumerate(records):
        expected = offline(record)
        beats = of(live, f"a{k}")
        assert [beat.r_sample for beat in beats] == expected.r_sample.tolist()
        assert [beat.known_sample for beat in beats] == expected.known_sample.tolist()
        assert [beat.label for beat in beats] == [AAMI_CLASSES[label] for label in expected.label]
        assert [beat.quality for beat in beats] == expected.quality.tolist()
    assert watch.lost_packets() == 0


def test_hostile_neighbours_change_nothing(records: list[Record]) -> None:
    """Garbage, foreign topics, second straps and absurd packets leave other athletes' beats as they were."""
    quiet = play(Watch(classifier=SlopeClassifier()), [e for s in straps(records) for e in arrivals(s)])
    random = np.random.default_rng(0)
    genuine = arrivals(straps(records)[2])
    noise: list[tuple[float, Topic, bytes]] = []
    for k in range(400):
        at = float(random.uniform(0, SECONDS))
        payload = bytearray(genuine[k % len(genuine)][2])
        for _ in range(3):
            payload[int(random.integers(len(payload)))] = int(random.integers(256))
        noise.append((at, Topic("t", "a2", "samples"), bytes(payload)))
        noise.append((at, Topic("t", f"x{k % 9}", "samples"), random.bytes(200)))
        noise.append((at, Topic("t", "a2", "status"), random.bytes(20)))
    noise.append((1.0, Topic("t", "a2", "samples"), bytes(70_000)))
    watch = Watch(classifier=SlopeClassifier())
    loud = play(watch, [*noise, *(e for s in straps(records) for e in arrivals(s))])
    assert of(loud, "a0") == of(quiet, "a0")
    assert of(loud, "a1") == of(quiet, "a1")
    assert watch.counters.refused["malformed"] >= 400
    assert watch.counters.refused["oversized"] == 1


def test_a_lost_packet_is_a_gap_and_neither_pause_nor_lost_beat_elsewhere(records: list[Record]) -> None:
    """Radio loss is counted, raises no pause, and beats away from the gaps are those of the whole record."""
    watch = Watch(classifier=SlopeClassifier())
    strap = straps(records)[0]
    live = play(watch, arrivals(strap, RadioSettings(loss=0.05)))
    assert watch.lost_packets() > 0
    assert not [a for a in live.alarms if a.kind in ("pause", "asystole") and a.transition == "raised"]


def test_an_athlete_moved_between_watches_goes_on_bit_for_bit(records: list[Record]) -> None:
    """Exported half-way and imported elsewhere, an athlete gives the same remaining beats and alarms."""
    events = arrivals(straps(records)[0])
    half = len(events) // 2
    stays, leaves, takes = (Watch(classifier=SlopeClassifier()) for _ in range(3))
    for watch in (stays, leaves):
        for at, topic, payload in events[:half]:
            watch.receive(topic, payload, at)
            watch.tick(at)
    # Another athlete first, so that the row has another number.
    takes.receive(*arrivals(straps(records)[1])[0][1:], now=0.0)
    takes.tick(0.0)
    takes.import_athlete("t", "a0", leaves.export_athlete("t", "a0"), events[half][0])
    rest = []
    for watch in (stays, takes):
        brought = SinkBatch()
        for at, topic, payload in events[half:]:
            watch.receive(topic, payload, at)
            batch = watch.tick(at)
            brought.beats += batch.beats
            brought.alarms += batch.alarms
        rest.append(brought)
    stripped = [[(b.r_sample, b.known_sample, b.label, b.probabilities) for b in of(r, "a0")] for r in rest]
    assert stripped[0] == stripped[1]
    assert len(stripped[0]) > 10
    identities = [[(a.identity, a.transition) for a in r.alarms if a.athlete == "a0"] for r in rest]
    assert identities[0] == identities[1]


def test_a_reboot_begins_anew_and_ends_what_was_open(records: list[Record]) -> None:
    """After a reboot the sample counter restarts, waiting beats come out, and beats go on."""
    record = records[0]
    first = Strap(record=record, team="t", athlete="a0", strap="s0", boot=1)
    again = Strap(record=record, team="t", athlete="a0", strap="s0", boot=2)
    events = arrivals(first)[:80] + [
        (at + 21.0, topic, payload) for at, topic, payload in arrivals(again)[:80]
    ]
    beats = of(play(Watch(classifier=SlopeClassifier()), events), "a0")
    per_boot = [[b.r_sample for b in beats if b.boot == boot] for boot in (1, 2)]
    # The boot that has ended gave out the beat that was waiting for its window; the other still holds it.
    assert per_boot[0][:-1] == per_boot[1]
    assert len(per_boot[1]) > 10


def test_silence_is_an_alarm_that_clears_when_packets_come_again(records: list[Record]) -> None:
    """A strap that falls silent is told after `SILENT_AFTER_S`, or at once by its last will."""
    watch = Watch(classifier=SlopeClassifier())
    events = arrivals(straps(records)[0])
    watch.receive(*events[0][1:], now=0.0)
    watch.tick(0.0)
    assert watch.tick(SILENT_AFTER_S - 0.1).alarms == []
    raised = watch.tick(SILENT_AFTER_S).alarms
    assert [(a.kind, a.transition) for a in raised] == [("strap_silent", "raised")]
    watch.receive(*events[1][1:], now=6.0)
    assert [(a.kind, a.transition) for a in watch.tick(6.0).alarms] == [("strap_silent", "cleared")]
    gone = StatusMessage(version=1, strap="s0", online=False, boot=1)
    watch.receive(Topic("t", "a0", "status"), encode(gone), 6.1)
    assert [(a.kind, a.transition) for a in watch.tick(6.1).alarms] == [("strap_silent", "raised")]


def test_a_strap_switched_off_in_order_is_no_alarm(records: list[Record]) -> None:
    """After a farewell silence means nothing; a strap that speaks again is watched again."""
    watch = Watch(classifier=SlopeClassifier())
    events = arrivals(straps(records)[0])
    watch.receive(*events[0][1:], now=0.0)
    watch.tick(0.0)
    farewell = StatusMessage(version=1, strap="s0", online=False, ended=True, boot=1)
    watch.receive(Topic("t", "a0", "status"), encode(farewell), 0.1)
    assert watch.tick(0.1).alarms == []
    assert watch.tick(SILENT_AFTER_S + 1.0).alarms == []
    watch.receive(
        Topic("t", "a0", "status"), encode(StatusMessage(version=1, strap="s0", online=True, boot=1)), 7.0
    )
    watch.receive(*events[1][1:], now=7.0)
    assert watch.tick(7.0).alarms == []
    assert [a.kind for a in watch.tick(7.0 + SILENT_AFTER_S).alarms] == ["strap_silent"]


def test_a_strap_gone_for_long_is_forgotten_and_can_come_back(records: list[Record]) -> None:
    """Rows are given back, so that a season of straps does not fill the bank."""
    watch = Watch(classifier=SlopeClassifier())
    events = arrivals(straps(records)[0])
    for begin in (0.0, FORGET_AFTER_S + 10.0):
        for k in range(3):
            watch.receive(*events[k][1:], now=begin + k)
        watch.tick(begin + 3)
        assert watch.athletes == 1
        watch.tick(begin + 5 + FORGET_AFTER_S)
        assert watch.athletes == 0


def test_sampling_rates_are_bounded() -> None:
    """Somebody who makes up sampling rates gets no bank for each of them."""
    watch = Watch(classifier=None)
    for k in range(2 * MAX_RATES):
        packet = SamplePacket(
            version=1, strap="s", boot=1, sequence=0, first_sample=0, rate_hz=200.0 + k, microvolts_per_count=1.0,
            lead="", lead_off=False, sent_at=1.0, samples=bytes(100),
        )  # fmt: skip
        watch.receive(Topic("t", f"a{k}", "samples"), encode(packet), 0.0)
        watch.tick(0.0)
    assert watch.athletes == MAX_RATES
    assert watch.counters.refused["range"] == MAX_RATES


def test_waves_are_made_only_for_those_watched(records: list[Record]) -> None:
    """Waveforms of watched athletes tile the signal without hole or overlap; nobody else has any."""
    live = play(Watch(classifier=SlopeClassifier()), [e for s in straps(records) for e in arrivals(s)])
    assert {athlete for _, athlete, _ in live.waves} == {"a0"}
    end = 0
    for _, _, wave in live.waves:
        assert wave.first_sample == end
        end += len(wave.microvolts) // 2
    assert end == len(records[0])


def test_the_state_tells_recordings_the_model_was_trained_on(records: list[Record]) -> None:
    """The status names what a simulator replays; the state says so when the model was trained on it."""
    watch = Watch(classifier=SlopeClassifier())
    status = StatusMessage(version=1, strap="s0", online=True, boot=1, source="synthetic")
    watch.receive(Topic("t", "a0", "status"), encode(status), 0.0)
    watch.receive(*arrivals(straps(records)[0])[0][1:], now=0.0)
    state = watch.tick(0.0).states[0]
    assert (state.source, state.trained_on) == ("synthetic", True)
