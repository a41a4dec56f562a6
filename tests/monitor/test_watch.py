"""The watch: live and offline agree, and nothing one strap sends can touch another athlete."""

import sys
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.assembly import ReorderLimits
from monitor.banks import IDLE_BANK_S, MAX_RATES
from monitor.contract import AAMI_CLASSES, Alarm, Beats, Block, FloatArray
from monitor.line import Line
from monitor.live_state import BeatEntry
from monitor.sequence_network import SequenceNetwork
from monitor.sinks.batch import SinkBatch
from monitor.watch import (
    FORGET_AFTER_S,
    MAX_ROUNDS,
    SILENT_AFTER_S,
    SILENT_STATE_EVERY_S,
    Watch,
)
from monitor.wire import SamplePacket, StatusMessage, Topic, encode
from simulators.ledger import Ledger
from simulators.radio import Radio, RadioSettings, Stretch
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
    sequence: SequenceNetwork | None = None

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:  # noqa: ARG002 - the interface's
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


def _believing() -> SequenceNetwork:
    """Return a network in sequence that leaves each beat the class that it has alone."""

    def encode(probabilities: FloatArray, described: FloatArray) -> tuple[FloatArray, FloatArray]:
        return np.zeros((len(described), 1), np.float32), np.log(np.maximum(probabilities, 1e-4))

    nothing = np.zeros((1, 1, 1), np.float32)
    return SequenceNetwork(
        encode=encode,
        enter=nothing,
        enter_bias=nothing[0],
        joint=nothing,
        joint_bias=nothing[0],
        last=np.zeros((1, 1, len(AAMI_CLASSES)), np.float32),
        last_bias=np.zeros((1, len(AAMI_CLASSES)), np.float32),
        skip=np.ones(1, np.float32),
        class_bias=np.zeros(len(AAMI_CLASSES), np.float32),
        temperature=1.0,
        unsure_below=0.3,
    )


def test_a_correction_reaches_its_athlete_alone_and_can_be_taken_back(records: list[Record]) -> None:
    """One athlete's beats are called S as corrected; another's stay; a watch without the file calls them N again."""
    classifier = SlopeClassifier(sequence=_believing())
    always_s = np.zeros((len(AAMI_CLASSES), 3), np.float32)
    always_s[1, -1] = 50.0
    watch = Watch(classifier=classifier, corrections={("t", "a0"): always_s})
    events = [event for strap in straps(records[:1] * 2) for event in arrivals(strap)]
    told = play(watch, events)
    # The last ones may have been cut short where the signal ends.
    assert {beat.label for beat in of(told, "a0")[:-3]} == {"S"}
    assert "S" not in {beat.label for beat in of(told, "a1")}
    later = Watch(classifier=classifier, corrections={})
    later.import_athlete("t", "a0", watch.export_athlete("t", "a0"), 0.0)
    assert "correction" in watch.export_athlete("t", "a0")["sequence"]
    assert "correction" not in later.export_athlete("t", "a0")["sequence"]


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
    """A strap that falls silent is told after `SILENT_AFTER_S`, or at once by its last will; samples end it."""
    watch = Watch(classifier=SlopeClassifier())
    events = arrivals(straps(records)[0])
    watch.receive(*events[0][1:], now=0.0)
    watch.tick(0.0)
    assert watch.tick(SILENT_AFTER_S - 0.1).alarms == []
    raised = watch.tick(SILENT_AFTER_S).alarms
    assert [(a.kind, a.transition) for a in raised] == [("strap_silent", "raised")]
    watch.receive(*events[1][1:], now=6.0)
    assert watch.tick(6.0).alarms == []
    told = []
    for k in range(2, 12):
        watch.receive(*events[k][1:], now=6.0 + 0.1 * k)
        told += watch.tick(6.0 + 0.1 * k).alarms
    assert [(a.kind, a.transition) for a in told] == [("strap_silent", "cleared")]
    gone = StatusMessage(version=1, strap="s0", online=False, boot=1)
    watch.receive(Topic("t", "a0", "status"), encode(gone), 7.6)
    assert [(a.kind, a.transition) for a in watch.tick(7.6).alarms] == [("strap_silent", "raised")]


def test_a_silent_strap_costs_little_and_is_back_at_once(records: list[Record]) -> None:
    """While a strap is silent its state is told and exported seldom; what it was stays; its first packet ends that."""
    watch = Watch(classifier=SlopeClassifier())
    sent = arrivals(straps(records[:1])[0])
    spoken, waits = sent[:120], sent[120:]
    play(watch, spoken)
    begun = spoken[-1][0] + 11.0
    told = exported = kept = 0
    for step in range(1, 1_201):
        batch = watch.tick(begun + 0.05 * step)
        told += len(batch.states)
        kept += len(batch.kept)
        exported += len(watch.export_due(begun + 0.05 * step, 10.0))
    # A minute of it: within what an alarm that goes on has to be told in.
    assert 60.0 / 10.0 < told <= 60.0 / SILENT_STATE_EVERY_S + 1
    assert exported <= 2
    assert kept <= 4
    begun += 61.0
    alarms: list[Alarm] = []
    states = 0
    for number, (_, topic, payload) in enumerate(waits[:12]):
        watch.receive(topic, payload, begun + 0.1 * number)
        batch = watch.tick(begun + 0.1 * number)
        alarms += batch.alarms
        states += len(batch.states)
    assert ("strap_silent", "cleared") in [(alarm.kind, alarm.transition) for alarm in alarms]
    assert states >= 2
    assert list(watch.export_due(begun + 12.0, 10.0)) == [("t", "a0")]


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


def sent(sequence: int, **fields: Any) -> bytes:
    """Return packet number `sequence` of a strap with a spike every 300 samples; `fields` change it."""
    length = fields.pop("length", 90)
    first = fields.pop("first_sample", sequence * length)
    samples = np.zeros(length, "<i2")
    samples[-first % 300 :: 300] = fields.pop("height", 1000)
    packet = SamplePacket(
        version=1, strap="s", boot=1, sequence=sequence, first_sample=first, rate_hz=360.0,
        microvolts_per_count=1.0, lead="", lead_off=False, sent_at=1e9 + (first + length) / 360.0,
        samples=samples.tobytes(),
    )  # fmt: skip
    return encode(msgspec.structs.replace(packet, **fields))


ME = Topic("t", "a", "samples")


def feed(watch: Watch, payloads: Iterable[bytes], begin: float, every_s: float = 0.25) -> SinkBatch:
    """Send payloads at regular times, ticking after each, and return what that brought."""
    whole = SinkBatch()
    for k, payload in enumerate(payloads):
        now = begin + every_s * k
        watch.receive(ME, payload, now)
        batch = watch.tick(now)
        whole.alarms += batch.alarms
        whole.beats += batch.beats
        whole.states = batch.states or whole.states
    return whole


def kinds(alarms: Iterable[Alarm]) -> list[tuple[str, str]]:
    """Return kind and transition of some alarms."""
    return [(alarm.kind, alarm.transition) for alarm in alarms]


def test_packets_that_cannot_be_used_are_no_sign_of_life() -> None:
    """A strap that sends one packet for ever, or only statuses, is silent all the same."""
    watch = Watch(classifier=None)
    feed(watch, [sent(k) for k in range(5)], 0.0)
    told = feed(watch, [sent(4)] * 40, 1.25)
    assert kinds(told.alarms) == [("strap_silent", "raised")]
    watch = Watch(classifier=None)
    feed(watch, [sent(0)], 0.0)
    online = encode(StatusMessage(version=1, strap="s", online=True, boot=1))
    alarms = []
    for k in range(20):
        watch.receive(Topic("t", "a", "status"), online, 0.5 * k)
        alarms += watch.tick(0.5 * k).alarms
    assert kinds(alarms) == [("strap_silent", "raised")]


def test_a_last_will_that_comes_late_silences_nobody() -> None:
    """The will of an earlier boot or another strap means nothing; after one's own, a packet shows that it is there."""
    watch = Watch(classifier=None)
    feed(watch, [sent(k, boot=2) for k in range(3)], 0.0)
    for strap, boot in (("s", 1), ("x", 9)):
        will = encode(StatusMessage(version=1, strap=strap, online=False, boot=boot))
        watch.receive(Topic("t", "a", "status"), will, 0.7)
        assert watch.tick(0.7).alarms == []
    will = encode(StatusMessage(version=1, strap="s", online=False, boot=2))
    watch.receive(Topic("t", "a", "status"), will, 0.7)
    assert kinds(watch.tick(0.7).alarms) == [("strap_silent", "raised")]
    told = feed(watch, [sent(k, boot=2) for k in range(3, 15)], 0.75)
    assert kinds(told.alarms) == [("strap_silent", "cleared")]
    assert told.states[-1].online


def test_one_backlog_cannot_stop_the_rest() -> None:
    """Hours of signal in one moment are worked off in parts, nothing of them lost up to a bound."""
    watch = Watch(classifier=None)
    for k in range(20):
        watch.receive(ME, sent(k, length=32_000, rate_hz=100.0), 0.0)
    watch.tick(0.0)
    assert watch.counters.samples == MAX_ROUNDS * 100
    assert watch.counters.refused["backlog"] > 0
    for _ in range(2 * 32_000 // (MAX_ROUNDS * 100)):
        before = watch.counters.samples
        watch.tick(0.0)
        assert watch.counters.samples - before <= MAX_ROUNDS * 100
    assert watch.counters.samples == 2 * 32_000


def test_a_strip_shows_its_event_though_the_signal_broke_off() -> None:
    """A pause followed by a gap keeps its evidence: the strip ends where the signal did, each beat in it once."""
    watch = Watch(classifier=None)
    packets = [sent(k, height=1000 if k < 40 else 0) for k in range(50)] + [sent(k) for k in range(60, 80)]
    told = feed(watch, packets, 0.0)
    completed = [alarm for alarm in told.alarms if (alarm.kind, alarm.transition) == ("pause", "completed")]
    assert len(completed) == 1
    strip = completed[0].strip
    assert strip is not None
    assert strip.first_sample < completed[0].episode < strip.first_sample + len(strip.microvolts) // 2
    assert strip.first_sample + len(strip.microvolts) // 2 == 50 * 90
    beats = [r for r, _, _ in strip.beats]
    assert sorted(set(beats)) == beats
    assert completed[0].episode in beats


def test_beats_that_a_gap_cut_short_stand_once_in_a_strip() -> None:
    """The rhythm reads the beats that a gap cuts short once, as it does offline."""
    watch = Watch(classifier=SlopeClassifier())
    payloads = [sent(k) for k in range(40)] + [sent(k) for k in range(44, 60)]
    payloads += [sent(k, height=0) for k in range(60, 72)]
    told = feed(watch, payloads, 0.0)
    strip = next(a.strip for a in told.alarms if (a.kind, a.transition) == ("pause", "raised"))
    assert strip is not None
    beats = [r for r, _, _ in strip.beats]
    assert sorted(set(beats)) == beats


def test_a_lead_that_is_off_from_the_start_is_told() -> None:
    """No beat is needed to say that the electrodes have no contact, in every boot anew."""
    watch = Watch(classifier=None)
    assert kinds(feed(watch, [sent(0, lead_off=True)], 0.0).alarms) == [("lead_off", "raised")]
    told = feed(watch, [sent(0, lead_off=True, boot=2)], 0.25)
    assert kinds(told.alarms) == [("lead_off", "cleared"), ("lead_off", "raised")]


def test_a_strap_with_the_same_boot_number_takes_over_whole() -> None:
    """After a swap the new strap's beats are those it has alone, and its alarms are its own."""
    watch = Watch(classifier=None)
    feed(watch, [sent(k, lead_off=k >= 20) for k in range(30)], 0.0)
    swapped = feed(watch, [sent(k, strap="s2") for k in range(60)], 20.0)
    alone = feed(Watch(classifier=None), [sent(k, strap="s2") for k in range(60)], 20.0)
    assert [beat for _, _, beat in swapped.beats] == [beat for _, _, beat in alone.beats]
    assert len(alone.beats) > 10
    assert kinds(swapped.alarms)[0] == ("lead_off", "cleared")


def test_an_athlete_whose_rate_was_refused_recovers() -> None:
    """A boot at a rate for which there is no bank is refused whole; the next one at a known rate is watched."""
    watch = Watch(classifier=None)
    for k in range(MAX_RATES):
        watch.receive(Topic("t", f"b{k}", "samples"), sent(0, rate_hz=100.0 + k), 0.0)
    feed(watch, [sent(0, rate_hz=100.0)], 0.0)
    feed(watch, [sent(k, boot=2, rate_hz=999.0) for k in range(8)], 0.25)
    assert watch.counters.refused["range"] > 0
    back = feed(watch, [sent(k, boot=3, rate_hz=100.0) for k in range(40)], 3.0)
    assert len(back.beats) > 3


def test_an_onset_is_timed_by_the_straps_schedule_in_packets_of_any_length() -> None:
    """Packets of 0.25 s and of a minute give an alarm the same time of onset."""
    onsets = []
    for length in (90, 9000):
        signal = np.zeros(18_000, "<i2")
        signal[:9000:300] = 1000
        watch = Watch(classifier=None)
        told = []
        for k in range(18_000 // length):
            samples = signal[k * length : (k + 1) * length].tobytes()
            watch.receive(ME, sent(k, length=length, samples=samples), 0.0)
            for _ in range(4):
                told += watch.tick(0.0).alarms
        onsets.append([a.onset_at for a in told if (a.kind, a.transition) == ("pause", "raised")])
    assert len(onsets[0]) == 1
    assert onsets[1] == pytest.approx(onsets[0], abs=1e-3)


def test_what_an_athlete_holds_does_not_grow_with_the_session(records: list[Record]) -> None:
    """After a minute of small packets the row weighs what it did after a quarter, and every beat has its due time."""
    strap = straps(records, packet_s=0.02)[0]
    events = arrivals(strap, RadioSettings(dropouts_lost=(Stretch(18.0, 8.0),)))
    watch = Watch(classifier=None)
    quarter = len(events) // 4
    beats = of(play(watch, events[:quarter]), strap.athlete)
    weighed = watch.export_athlete(strap.team, strap.athlete)["watch"]["athlete"].nbytes
    beats += of(play(watch, events[quarter:]), strap.athlete)
    assert watch.export_athlete(strap.team, strap.athlete)["watch"]["athlete"].nbytes < 1.5 * weighed
    assert len(beats) > 30
    # The last sample a beat needs lies in the packet that was due then.
    late_s = [beat.due_at - (beat.known_sample + 1) / strap.record.rate_hz for beat in beats]
    assert min(late_s) > -1e-6
    assert max(late_s) < 0.021


def test_everything_about_an_athlete_moves() -> None:
    """Silence, backlog, counts and last labels go on elsewhere as they would have here."""
    here, there = Watch(classifier=None), Watch(classifier=None)
    feed(here, [sent(k) for k in range(30)], 0.0)
    assert kinds(here.tick(13.0).alarms) == [("strap_silent", "raised")]
    here.receive(ME, sent(30, length=32_000, first_sample=2700), 13.5)
    here.tick(13.5)
    assert here.behind
    there.import_athlete("t", "a", here.export_athlete("t", "a"), 13.5)
    brought = []
    for watch in (here, there):
        whole = SinkBatch()
        for _ in range(20):
            batch = watch.tick(14.5)
            whole.beats += batch.beats
            whole.alarms += batch.alarms
            whole.states = batch.states or whole.states
        brought.append(whole)
    assert brought[0].beats == brought[1].beats
    assert len(brought[0].beats) > 50
    assert brought[0].alarms == brought[1].alarms
    assert kinds(brought[0].alarms)[0] == ("strap_silent", "cleared")
    assert brought[0].states == brought[1].states


def test_an_import_that_fails_leaves_nothing() -> None:
    """A damaged, partial or unwanted state raises one error and changes no athlete and no row."""
    here, there = Watch(classifier=None), Watch(classifier=None)
    feed(here, [sent(k) for k in range(30)], 0.0)
    state = here.export_athlete("t", "a")
    with pytest.raises(ValueError, match="already"):
        here.import_athlete("t", "a", state, 8.0)
    no_number = np.array([1, 2], np.uint8)
    for stage in state:
        for name in {"version", "rate_hz"} & set(state[stage]):
            with pytest.raises(ValueError, match=r"state|stage"):
                there.import_athlete("t", "a", {**state, stage: {**state[stage], name: no_number}}, 8.0)
            assert (there.athletes, there._banks.rows) == (0, 0)
        partial = {name: value for name, value in state.items() if name != stage}
        damaged = {**state, stage: {**state[stage], "version": np.array(999), "rate_hz": np.array(360.5)}}
        for wrong in (partial, damaged):
            with pytest.raises(ValueError, match=r"state|stage"):
                there.import_athlete("t", "a", wrong, 8.0)
            assert there.athletes == 0
            assert there.tick(8.0).states == []
    there.import_athlete("t", "a", state, 8.0)
    assert there.tick(8.0).states[0].counts == here.tick(8.0).states[0].counts


def test_lost_packets_stay_counted_when_their_athlete_is_forgotten() -> None:
    """A counter since the start never goes back."""
    watch = Watch(classifier=None)
    feed(watch, [sent(0), sent(5), sent(6), sent(7), sent(8), sent(9), sent(10)], 0.0)
    lost = watch.lost_packets()
    assert lost == 4
    watch.tick(FORGET_AFTER_S + 10.0)
    assert (watch.athletes, watch.lost_packets()) == (0, lost)


def test_a_latched_alarm_waits_for_its_athlete() -> None:
    """Nobody has seen the asystole of an athlete who was forgotten: it is on screen when they come back."""
    watch = Watch(classifier=None)
    feed(watch, [sent(k, height=1000 if k < 40 else 0) for k in range(70)], 0.0)
    watch.tick(FORGET_AFTER_S + 30.0)
    assert watch.athletes == 0
    back = feed(watch, [sent(0, boot=2)], FORGET_AFTER_S + 40.0)
    assert [(a.kind, a.cleared) for a in back.states[-1].alarms][:1] == [("asystole", True)]


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


def test_banks_that_nobody_needs_make_room() -> None:
    """One strap that boots at ever another rate costs others no bank for long, and no bank in use is given up."""
    watch = Watch(classifier=None)
    feed(watch, [sent(0, boot=k, rate_hz=200.0 + k) for k in range(MAX_RATES)], 0.0)
    other = Topic("t", "other", "samples")
    watch.receive(other, sent(0, rate_hz=360.0), 5.0)
    assert watch.athletes == 1
    for now in (5.0, 5.0 + IDLE_BANK_S):
        feed(watch, [sent(int(now), boot=MAX_RATES, rate_hz=199.0 + MAX_RATES)], now)
    watch.receive(other, sent(0, rate_hz=360.0), 6.0 + IDLE_BANK_S)
    states = watch.tick(6.0 + IDLE_BANK_S).states
    assert sorted((state.athlete, state.rate_hz) for state in states) == [
        ("a", 199.0 + MAX_RATES),
        ("other", 360.0),
    ]


def test_totals_can_be_read_while_packets_come() -> None:
    """The heartbeat's thread asks for totals while the compute thread takes in new athletes and bad packets."""
    watch = Watch(classifier=None)
    payload, over = sent(0), threading.Event()

    def arrive() -> None:
        for k in range(3000):
            watch.receive(Topic("t", f"a{k}", "samples"), payload, 0.0)
            watch.receive(Topic("t", f"a{k}", "samples"), b"", 0.0)
        over.set()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(1) as compute:
            arriving = compute.submit(arrive)
            while not over.is_set() and not arriving.done():
                assert watch.lost_packets() == 0
                assert sum(count for _, count in watch.counters.refused.items()) >= 0
            arriving.result()
    finally:
        sys.setswitchinterval(interval)
    assert watch.counters.refused == {"malformed": 3000}


def test_waves_are_made_only_for_those_watched(records: list[Record]) -> None:
    """Waveforms of watched athletes tile the signal without hole or overlap; nobody else has any."""
    live = play(Watch(classifier=SlopeClassifier()), [e for s in straps(records) for e in arrivals(s)])
    assert {athlete for _, athlete, _ in live.waves} == {"a0"}
    end = 0
    for _, _, wave in live.waves:
        assert wave.first_sample == end
        end += len(wave.microvolts) // 2
    assert end == len(records[0])


@pytest.mark.parametrize(
    ("source", "trained_on"),
    [("mitdb/118", True), ("1.0.0/118", True), ("nstdb/118e06", True), ("mitdb/100", False), ("", False)],
)
def test_the_state_tells_recordings_the_model_was_trained_on(
    *, records: list[Record], source: str, trained_on: bool
) -> None:
    """The status names what a simulator replays; the state says so when the model knows it, whatever its folder."""
    watch = Watch(classifier=SlopeClassifier(training_records=frozenset({"mitdb/118"})))
    status = StatusMessage(version=1, strap="s0", online=True, boot=1, source=source)
    watch.receive(Topic("t", "a0", "status"), encode(status), 0.0)
    watch.receive(*arrivals(straps(records)[0])[0][1:], now=0.0)
    state = watch.tick(0.0).states[0]
    assert (state.source, state.trained_on) == (source, trained_on)


def test_a_beat_that_was_not_classified_has_no_probabilities() -> None:
    """Without a classifier beats are unsure, and nothing is said of their classes."""
    told = feed(Watch(classifier=None), [sent(k) for k in range(30)], 0.0)
    assert len(told.beats) > 3
    assert {(beat.label, beat.probabilities) for _, _, beat in told.beats} == {("unsure", ())}
