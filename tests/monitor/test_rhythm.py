"""The rhythm stage, fed with hand-made peaks and beats, so that every sample is exact."""

from dataclasses import fields, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, Beats, Peaks, RhythmEvent
from monitor.rhythm import FIRST_BEAT_S, SUSTAINED_S, AthleteLimits, RhythmBank
from monitor.rpeaks import MAX_DELAY_S

RATE_HZ = 100.0
PEAK_DELAY = 30
BEAT_DELAY = 84
MARGIN = round(MAX_DELAY_S * RATE_HZ)
ROW = np.array([0])


def _peaks(
    r_samples: list[int], *, known: list[int] | None = None, quality: float = 1.0, row: int = 0
) -> Peaks:
    n = len(r_samples)
    r = np.array(r_samples, np.int64)
    return Peaks(
        rows=np.full(n, row, np.int64),
        r_sample=r,
        known_sample=r + PEAK_DELAY if known is None else np.array(known, np.int64),
        quality=np.full(n, quality, np.float32),
    )


def _beats(r_samples: list[int], labels: str, *, quality: list[float] | None = None, row: int = 0) -> Beats:
    """Beats with one letter a label; ``?`` is unsure."""
    n = len(r_samples)
    label = [UNSURE_LABEL if letter == "?" else AAMI_CLASSES.index(letter) for letter in labels]
    probabilities = np.zeros((n, len(AAMI_CLASSES)), np.float32)
    for index, code in enumerate(label):
        if code != UNSURE_LABEL:
            probabilities[index, code] = 0.75
    one = Beats.empty()
    arrays = {
        f.name: np.zeros((n, *getattr(one, f.name).shape[1:]), getattr(one, f.name).dtype)
        for f in fields(one)
    }
    r = np.array(r_samples, np.int64)
    return replace(
        Beats(**arrays),
        rows=np.full(n, row, np.int64),
        r_sample=r,
        known_sample=r + BEAT_DELAY,
        quality=np.ones(n, np.float32) if quality is None else np.array(quality, np.float32),
        complete=np.ones(n, np.bool_),
        probabilities=probabilities,
        label=np.array(label, np.int8),
    )


def _bank(limits: AthleteLimits | None = None, *, capacity: int = 1) -> RhythmBank:
    bank = RhythmBank(RATE_HZ, capacity=capacity)
    rows = np.arange(capacity)
    bank.begin(rows, np.zeros(capacity, np.int64), limits or AthleteLimits())
    return bank


def _select(items: Peaks | Beats, begin: int, end: int) -> dict[str, Any]:
    chosen = (items.known_sample >= begin) & (items.known_sample < end)
    return {f.name: getattr(items, f.name)[chosen] for f in fields(items)}


def _run(
    bank: RhythmBank, peaks: Peaks, beats: Beats, *, begin: int = 0, end: int, cuts: tuple[int, ...] = ()
) -> list[RhythmEvent]:
    """Give `bank` what becomes known between `begin` and `end`, in blocks that end at `cuts`."""
    events: list[RhythmEvent] = []
    borders = sorted({begin, *(cut for cut in cuts if begin < cut < end), end})
    for first, last in pairwise(borders):
        new = bank.process(
            ROW,
            np.array([last]),
            Peaks(**_select(peaks, first, last)),
            Beats(**_select(beats, first, last)),
        )
        # Nothing is told before it can be known, nor later than in the block that makes it known.
        assert all(first <= event.known_sample < last for event in new)
        events += new
    return events


def _of(events: list[RhythmEvent], *kinds: str) -> list[tuple[str, str, int, int]]:
    return [(e.kind, e.transition, e.onset_sample, e.known_sample) for e in events if e.kind in kinds]


_IN_A_ROW = ("ventricular_couplet", "ventricular_run", "bigeminy")


def _classes(
    labels: str, quality: list[float] | None = None, *, kinds: tuple[str, ...] = _IN_A_ROW
) -> list[RhythmEvent]:
    r_samples = [100 + 50 * index for index in range(len(labels))]
    events = _run(
        _bank(), Peaks.empty(), _beats(r_samples, labels, quality=quality), end=r_samples[-1] + BEAT_DELAY + 1
    )
    return [event for event in events if event.kind in kinds]


def test_couplet_is_known_with_the_beat_after_it() -> None:
    """Two V between others are one couplet, begun and ended when the beat that bounds it is known."""
    events = _classes("NNVVN")
    at = 300 + BEAT_DELAY
    assert _of(events, "ventricular_couplet", "ventricular_run") == [
        ("ventricular_couplet", "onset", 200, at),
        ("ventricular_couplet", "end", 200, at),
    ]
    assert events[0].beats == ((200, 2, 0.75), (250, 2, 0.75), (300, 0, 0.75))
    assert events[0].rate_bpm == pytest.approx(120.0)


def test_run_begins_at_its_third_beat() -> None:
    """A run's onset is known with its third V, every further V is an update, the beat after it is its end."""
    events = _classes("NVVVN")
    assert _of(events, "ventricular_run", "ventricular_couplet") == [
        ("ventricular_run", "onset", 150, 250 + BEAT_DELAY),
        ("ventricular_run", "end", 150, 300 + BEAT_DELAY),
    ]
    events = _classes("NVVVVVVN")
    assert _of(events, "ventricular_run", "ventricular_couplet") == [
        ("ventricular_run", "onset", 150, 250 + BEAT_DELAY),
        *(("ventricular_run", "update", 150, 300 + 50 * k + BEAT_DELAY) for k in range(3)),
        ("ventricular_run", "end", 150, 450 + BEAT_DELAY),
    ]
    assert {event.rate_bpm for event in events} == {120.0}
    assert {event.episode for event in events} == {150}


def test_a_long_run_keeps_counting() -> None:
    """A run longer than the evidence kept goes on as one episode at its true rate."""
    events = _classes("N" + "V" * 40 + "N")
    assert [event.transition for event in events] == ["onset", *["update"] * 37, "end"]
    assert {event.rate_bpm for event in events} == {120.0}


@pytest.mark.parametrize("breaker", ["?", "N", "S", "Q"])
def test_any_other_beat_ends_a_run(breaker: str) -> None:
    """An unsure beat is no V: it ends a run as any other beat does and makes none."""
    assert _of(_classes(f"NVV{breaker}VN"), "ventricular_couplet", "ventricular_run") == [
        ("ventricular_couplet", "onset", 150, 250 + BEAT_DELAY),
        ("ventricular_couplet", "end", 150, 250 + BEAT_DELAY),
    ]
    assert not _classes(f"NV{breaker}V{breaker}{breaker}")


def test_beats_of_low_quality_are_no_evidence() -> None:
    """V beats whose quality is below the trusted one make no couplet, no run and no bigeminy."""
    assert not _classes("NVVVVN", [1.0, 0.4, 0.4, 0.4, 0.4, 1.0])
    assert not _classes("NVNVNVNVN", [1.0, 0.4] * 4 + [1.0])
    assert _classes("NVVVVN", [1.0, 0.5, 0.5, 0.5, 0.5, 1.0])


def test_bigeminy_begins_with_its_third_v_and_ends_when_the_turn_fails() -> None:
    """Three V, each after another beat, are bigeminy; two beats alike end it."""
    events = _classes("NNVNVNVNVNN")
    assert _of(events, "bigeminy", "ventricular_couplet") == [
        ("bigeminy", "onset", 200, 400 + BEAT_DELAY),
        ("bigeminy", "end", 200, 600 + BEAT_DELAY),
    ]
    assert [beat[1] for beat in events[0].beats] == [0, 2, 0, 2, 0, 2]
    assert not _classes("NNVNVNNVNVNN")
    assert not _classes("NNVNV?NVNVNN")
    assert not _classes("NNVNV?VNN")


def _regular(begin: int, rr: int, count: int) -> list[int]:
    return [begin + rr * index for index in range(count)]


def test_tachycardia_needs_time_and_ends_with_hysteresis() -> None:
    """A rate above the limit for 5 s is tachycardia; it ends only 5 bpm below the limit, at the peak that shows it."""
    limits = AthleteLimits(tachycardia_bpm=150.0)
    slow = _regular(100, 60, 12)  # 100 bpm
    fast = _regular(slow[-1] + 30, 30, 30)  # 200 bpm
    near = _regular(fast[-1] + 41, 41, 20)  # 146.3 bpm: below the limit, within the hysteresis
    again = _regular(near[-1] + 60, 60, 12)
    r_samples = slow + fast + near + again
    events = _run(_bank(limits), _peaks(r_samples), Beats.empty(), end=r_samples[-1] + PEAK_DELAY + 1)

    def rate(index: int) -> float:
        return 60.0 * 8 * RATE_HZ / (r_samples[index] - r_samples[index - 8])

    first = next(index for index in range(8, len(r_samples)) if rate(index) > 150.0)
    onset = next(
        index
        for index in range(first, len(r_samples))
        if r_samples[index] - r_samples[first] >= SUSTAINED_S * RATE_HZ
    )
    back = next(index for index in range(onset, len(r_samples)) if rate(index) < 145.0)
    assert back >= len(slow + fast + near)
    assert _of(events, "tachycardia", "bradycardia") == [
        ("tachycardia", "onset", r_samples[first], r_samples[onset] + PEAK_DELAY),
        ("tachycardia", "end", r_samples[first], r_samples[back] + PEAK_DELAY),
    ]
    assert events[0].rate_bpm == pytest.approx(rate(onset))


def test_bradycardia_needs_time_and_ends_with_hysteresis() -> None:
    """A rate below the limit for 5 s is bradycardia; it ends only 5 bpm above the limit."""
    limits = AthleteLimits(bradycardia_bpm=50.0)
    slow = _regular(100, 150, 14)  # 40 bpm
    near = _regular(slow[-1] + 115, 115, 14)  # 52 bpm
    normal = _regular(near[-1] + 60, 60, 12)
    r_samples = slow + near + normal
    events = _run(_bank(limits), _peaks(r_samples), Beats.empty(), end=r_samples[-1] + PEAK_DELAY + 1)
    found = _of(events, "bradycardia", "tachycardia", "pause", "asystole")
    # The eighth interval gives the first rate, 5 s later (at the next peak after) it is an episode.
    assert found[0] == ("bradycardia", "onset", slow[8], slow[12] + PEAK_DELAY)
    assert found[1][:3] == ("bradycardia", "end", slow[8])
    assert found[1][3] > normal[0]
    assert len(found) == 2


def test_a_short_burst_is_no_tachycardia() -> None:
    """Less than 5 s beyond the limit is no episode, however often it comes."""
    limits = AthleteLimits(tachycardia_bpm=150.0)
    r_samples = [100]
    for _ in range(5):
        r_samples += _regular(r_samples[-1] + 30, 30, 14) + _regular(r_samples[-1] + 14 * 30 + 80, 80, 10)
    events = _run(_bank(limits), _peaks(r_samples), Beats.empty(), end=r_samples[-1] + PEAK_DELAY + 1)
    assert not _of(events, "tachycardia", "bradycardia")


def test_peaks_of_low_quality_decide_no_rate() -> None:
    """Peaks that cannot be trusted begin no rate episode."""
    peaks = _peaks(_regular(100, 20, 100), quality=0.4)
    assert not _run(_bank(), peaks, Beats.empty(), end=2000)


@pytest.mark.parametrize("rr", [200, 201, 214, 230, 245, 260, 300, 390])
@pytest.mark.parametrize("delay", [10, PEAK_DELAY, 45])
def test_every_interval_of_the_limit_or_more_is_a_pause(rr: int, delay: int) -> None:
    """An RR interval of 2 s or more is one pause, whether its second peak is known before the deadline or after."""
    r_samples = [*_regular(100, 80, 10), *_regular(100 + 9 * 80 + rr, 80, 3)]
    last = 100 + 9 * 80
    peaks = _peaks(r_samples, known=[r + delay for r in r_samples])
    events = _run(_bank(), peaks, Beats.empty(), end=r_samples[-1] + delay + 1)
    known = last + rr + delay
    assert _of(events, "pause", "asystole") == [
        ("pause", "onset", last, min(known, last + 200 + MARGIN)),
        ("pause", "end", last, known),
    ]
    assert next(e.duration_s for e in events if e.transition == "end") == pytest.approx(rr / RATE_HZ)


def test_an_interval_below_the_limit_is_no_pause() -> None:
    """1.99 s between two peaks are no pause."""
    peaks = _peaks([*_regular(100, 80, 10), 100 + 9 * 80 + 199])
    assert not _run(_bank(), peaks, Beats.empty(), end=100 + 9 * 80 + 199 + PEAK_DELAY + 1)


def test_no_beats_are_a_pause_then_asystole_until_the_next_peak() -> None:
    """Without peaks a pause and then asystole become due on the clock alone, and both end with the next peak."""
    bank = _bank()
    events = _run(bank, _peaks([500, 1500]), Beats.empty(), end=1600)
    assert _of(events, "pause", "asystole") == [
        ("pause", "onset", 500, 700 + MARGIN),
        ("asystole", "onset", 500, 900 + MARGIN),
        ("pause", "end", 500, 1500 + PEAK_DELAY),
        ("asystole", "end", 500, 1500 + PEAK_DELAY),
    ]
    assert np.isfinite(bank.rate_bpm(0))


def test_asystole_from_the_very_start() -> None:
    """A strap that never shows a beat has asystole after the grace, the limit and the margin."""
    events = _run(_bank(), Peaks.empty(), Beats.empty(), end=2000)
    due = round((FIRST_BEAT_S + 4.0) * RATE_HZ) + MARGIN
    assert _of(events, "pause", "asystole") == [("asystole", "onset", 0, due)]


def test_a_peak_recovered_late_makes_nothing_known_before_itself() -> None:
    """A pause that begins with a late-recovered peak is known no earlier than that peak."""
    known = 100 + 400
    events = _run(_bank(), _peaks([100], known=[known]), Beats.empty(), end=700)
    assert _of(events, "pause") == [("pause", "onset", 100, known)]
    assert [event.known_sample for event in events] == sorted(event.known_sample for event in events)


def test_a_gap_ends_episodes_and_is_none() -> None:
    """A gap ends what needs unbroken beats where the signal did, and no time within it is a pause."""
    bank = _bank(AthleteLimits(tachycardia_bpm=100.0))
    r_samples = _regular(100, 40, 40)
    labels = "N" * 36 + "VVVV"
    end = r_samples[-1] + BEAT_DELAY + 1
    events = _run(bank, _peaks(r_samples), _beats(r_samples, labels), end=end)
    assert {event.kind for event in events} == {"tachycardia", "ventricular_run"}
    events = bank.restart(ROW, np.array([end]), np.array([end + 5000]))
    assert _of(events, "tachycardia", "ventricular_run") == [
        ("ventricular_run", "end", r_samples[36], end - 1),
        ("tachycardia", "end", r_samples[8], end - 1),
    ]
    assert np.isnan(bank.rate_bpm(0))
    begin = end + 5000
    later = _run(
        bank, _peaks([begin + 500, begin + 580]), Beats.empty(), begin=begin, end=begin + 580 + PEAK_DELAY + 1
    )
    assert not later
    assert bank.rate_bpm(0) == pytest.approx(75.0)


def test_a_gap_ends_a_pause_and_waits_anew() -> None:
    """Asystole ends where a gap begins, and comes again when no beat follows the gap."""
    bank = _bank()
    events = _run(bank, _peaks([500]), Beats.empty(), end=1200)
    assert [event.kind for event in events] == ["pause", "long_pause", "asystole"]
    ended = bank.restart(ROW, np.array([1200]), np.array([2000]))
    assert _of(ended, "pause", "asystole") == [("pause", "end", 500, 1199), ("asystole", "end", 500, 1199)]
    again = _run(bank, Peaks.empty(), Beats.empty(), begin=2000, end=4000)
    assert _of(again, "pause", "asystole") == [("asystole", "onset", 2000, 2800 + MARGIN)]


def test_a_duration_is_what_is_certain_when_it_is_told() -> None:
    """At its onset a pause is as long as no beat can have been missed, or as the interval was, not as the wait."""
    bank = _bank()
    events = _run(bank, _peaks([500]), Beats.empty(), end=960)
    assert [(e.kind, e.duration_s) for e in events] == [
        ("pause", 2.0),
        ("long_pause", 3.0),
        ("asystole", 4.0),
    ]
    recovered = _run(_bank(), _peaks([500, 720], known=[530, 735]), Beats.empty(), end=740)
    assert [(e.kind, e.transition, e.duration_s) for e in recovered] == [
        ("pause", "onset", 2.2),
        ("pause", "end", 2.2),
    ]


def test_a_link_that_loses_packets_cannot_hide_asystole() -> None:
    """With a packet lost every five seconds the time without beats adds up; a beat or a long gap makes it void."""

    def told(beat_at: int | None, gap: int) -> list[str]:
        bank = _bank()
        events = _run(bank, _peaks([500]), Beats.empty(), end=600)
        first = 600
        for k in range(8):
            events += bank.restart(ROW, np.array([first]), np.array([first + gap]))
            peaks = _peaks([first + gap + 300]) if k == beat_at else Peaks.empty()
            events += _run(bank, peaks, Beats.empty(), begin=first + gap, end=first + gap + 475)
            first += gap + 475
            if any(event.kind == "asystole" for event in events):
                return [f"after {k + 1} gaps"]
        return [event.kind for event in events]

    assert told(None, 25) == ["after 2 gaps"]
    assert told(0, 25) == ["after 3 gaps"]
    assert told(None, 500) == []


def test_limits_hold_from_the_next_beat_on() -> None:
    """Changed limits move the next deadline and no past one."""
    bank = _bank()
    _run(bank, _peaks([500]), Beats.empty(), end=600)
    bank.set_limits(ROW, AthleteLimits(pause_s=3.0))
    events = _run(bank, _peaks([800]), Beats.empty(), begin=600, end=1200)
    assert _of(events, "pause", "asystole") == [
        ("pause", "onset", 500, 700 + MARGIN),
        ("pause", "end", 500, 800 + PEAK_DELAY),
        ("pause", "onset", 800, 1100 + MARGIN),
    ]


def _story(seed: int) -> tuple[Peaks, Beats, int]:
    """Peaks and beats with everything in them: all classes, pauses, bursts, low quality, late peaks."""
    random = np.random.default_rng(seed)
    rr = np.where(random.random(150) < 0.06, random.integers(190, 900, 150), random.integers(20, 130, 150))
    r = 100 + np.cumsum(rr)
    known = np.maximum.accumulate(r + np.where(random.random(150) < 0.1, 300, random.integers(20, 45, 150)))
    labels = "".join(random.choice(list("NNVVS?"), 150))
    peaks = replace(
        _peaks(r.tolist(), known=known.tolist()), quality=random.choice([0.3, 1.0], 150).astype(np.float32)
    )
    beats = replace(
        _beats(r.tolist(), labels, quality=random.choice([0.3, 1.0, 1.0, 1.0], 150).tolist()),
        known_sample=np.maximum(known, r + BEAT_DELAY),
    )
    return peaks, beats, int(r[-1] + 1500)


_LIMITS = AthleteLimits(bradycardia_bpm=70.0, tachycardia_bpm=90.0)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 50), cuts=st.lists(st.integers(1, 20_000), max_size=60))
def test_blocks_of_any_length_give_the_same_events(seed: int, cuts: list[int]) -> None:
    """Where blocks end changes no event, and known samples never go back."""
    peaks, beats, end = _story(seed)
    whole = _run(_bank(_LIMITS), peaks, beats, end=end)
    parts = _run(_bank(_LIMITS), peaks, beats, end=end, cuts=tuple(cuts))
    assert repr(parts) == repr(whole)
    known = [event.known_sample for event in whole]
    assert known == sorted(known)
    # Each onset is known no earlier than what it rests on, each episode ends at most once.
    episodes = [(event.kind, event.episode, event.transition) for event in whole]
    begun_or_ended = [episode for episode in episodes if episode[2] != "update"]
    assert len(begun_or_ended) == len(set(begun_or_ended))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 50), cut=st.integers(1, 15_000))
def test_a_row_goes_on_in_another_bank(seed: int, cut: int) -> None:
    """After export and import the events go on as if the row had never moved."""
    peaks, beats, end = _story(seed)
    cut = min(cut, end - 1)
    bank = _bank(_LIMITS)
    events = _run(bank, peaks, beats, end=cut)
    moved = _bank(capacity=3)
    moved.import_row(0, bank.export_row(0))
    events += _run(moved, peaks, beats, begin=cut, end=end)
    assert repr(events) == repr(_run(_bank(_LIMITS), peaks, beats, end=end))


def test_rows_are_independent() -> None:
    """Events of one row do not depend on what other rows of the same call bring."""
    alone = [_run(_bank(_LIMITS), *_story(seed)[:2], end=25_000) for seed in range(3)]
    bank = _bank(_LIMITS, capacity=3)
    together: list[RhythmEvent] = []
    stories = [_story(seed) for seed in range(3)]
    for begin in range(0, 25_000, 500):
        order = np.random.default_rng(begin).permutation(3)
        peaks = Peaks.join(
            [
                replace(p := Peaks(**_select(stories[s][0], begin, begin + 500)), rows=np.full(len(p), s))
                for s in order
            ]
        )
        beats = Beats.join(
            [
                replace(b := Beats(**_select(stories[s][1], begin, begin + 500)), rows=np.full(len(b), s))
                for s in order
            ]
        )
        together += bank.process(order, np.full(3, begin + 500), peaks, beats)
    for row, events in enumerate(alone):
        of_row = [replace(event, row=0) for event in together if event.row == row]
        assert repr(of_row) == repr(events)
