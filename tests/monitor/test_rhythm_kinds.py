"""Rhythms made of classes, rates, silence and the signal itself, fed with hand-made beats of known samples."""

from dataclasses import fields, replace

import numpy as np
import pytest

from monitor.contract import (
    AAMI_CLASSES,
    CONTEXT_FIELDS,
    UNSURE_LABEL,
    WINDOW_POINTS,
    Beats,
    FloatArray,
    IntArray,
    Peaks,
    RhythmEvent,
)
from monitor.rhythm import AthleteLimits, RhythmBank, Verdicts
from monitor.rpeaks import MAX_DELAY_S

RATE_HZ = 100.0
PEAK_DELAY, BEAT_DELAY = 30, 84
MARGIN = round(MAX_DELAY_S * RATE_HZ)
ROW = np.array([0])


def _peaks(r_samples: IntArray) -> Peaks:
    n = len(r_samples)
    return Peaks(
        rows=np.zeros(n, np.int64),
        r_sample=r_samples,
        known_sample=r_samples + PEAK_DELAY,
        quality=np.ones(n, np.float32),
    )


def _beats(
    r_samples: IntArray, labels: str, *, ventricular: float = 0.0, shapes: FloatArray | None = None
) -> Beats:
    """Beats with one letter a label, each sure of it; ``?`` is unnamed, and V with probability `ventricular`."""
    n = len(r_samples)
    blank = Beats.empty()
    arrays = {
        f.name: np.zeros((n, *getattr(blank, f.name).shape[1:]), getattr(blank, f.name).dtype)
        for f in fields(blank)
    }
    label = np.array([UNSURE_LABEL if c == "?" else AAMI_CLASSES.index(c) for c in labels], np.int8)
    probabilities = arrays["probabilities"]
    for beat, code in enumerate(label.tolist()):
        probabilities[beat, 2 if code == UNSURE_LABEL else code] = (
            ventricular if code == UNSURE_LABEL else 0.9
        )
    arrays |= {
        "r_sample": r_samples,
        "known_sample": r_samples + BEAT_DELAY,
        "quality": np.ones(n, np.float32),
        "complete": np.ones(n, np.bool_),
        "label": label,
    }
    if shapes is not None:
        arrays["window"] = shapes
    return Beats(**arrays)


def _verdict(*turns: tuple[int, bool]) -> Verdicts:
    at = np.array([sample for sample, _ in turns], np.int64)
    begins = np.array([begins for _, begins in turns], np.bool_)
    return Verdicts(np.zeros(len(at), np.int64), at, at, begins, np.full(len(at), 240.0))


def _bank(limits: AthleteLimits | None = None) -> RhythmBank:
    bank = RhythmBank(RATE_HZ, capacity=1)
    bank.begin(ROW, np.array([0]), limits or AthleteLimits())
    return bank


def _told(
    labels: str, *, rr: int = 60, ventricular: float = 0.0, shapes: FloatArray | None = None
) -> list[RhythmEvent]:
    r_samples = 100 + rr * np.arange(len(labels))
    beats = _beats(r_samples, labels, ventricular=ventricular, shapes=shapes)
    bank = _bank()
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    return bank.process(ROW, end, _peaks(r_samples), beats)


def _kinds(events: list[RhythmEvent]) -> set[str]:
    return {event.kind for event in events}


def test_trigeminy_is_a_v_at_every_third_beat() -> None:
    """Three V with two other beats between are trigeminy, until the turn fails; bigeminy is none."""
    events = [e for e in _told("NVNNVNNVNNVNNN") if e.kind == "trigeminy"]
    assert [(e.transition, e.onset_sample, e.known_sample) for e in events] == [
        ("onset", 160, 520 + BEAT_DELAY),
        ("end", 160, 880 + BEAT_DELAY),
    ]
    assert "trigeminy" not in _kinds(_told("NVNVNVNVN"))


def test_single_ventricular_beats_are_one_episode() -> None:
    """Every lone V is told with the beats around it, as one episode; those of couplets and runs are not."""
    events = [e for e in _told("NNVNNVNNVVNNVVVN") if e.kind == "isolated_ventricular"]
    at = [e.onset_sample + round(e.duration_s * RATE_HZ) for e in events]
    assert [(e.transition, r) for e, r in zip(events, at, strict=True)] == [("onset", 220), ("update", 400)]
    assert {e.episode for e in events} == {220}


@pytest.mark.parametrize(("rr", "kind"), [(50, "ventricular_run"), (80, "idioventricular_rhythm")])
def test_a_slow_run_is_an_idioventricular_rhythm(rr: int, kind: str) -> None:
    """From 100 a minute on a run is a tachycardia, below it an idioventricular rhythm."""
    both = {"ventricular_run", "idioventricular_rhythm"}
    assert _kinds(_told("NNVVVVN", rr=rr)) & both == {kind}


def test_an_unnamed_beat_does_not_split_a_run() -> None:
    """A beat without a name that may be ventricular belongs to the run around it; one that is not ends it."""
    (onset, end) = (
        e
        for e in _told("NVV?VVN", rr=50, ventricular=0.3)
        if e.kind == "ventricular_run" and e.transition != "update"
    )
    assert (onset.onset_sample, end.onset_sample) == (150, 150)
    assert end.duration_s == pytest.approx(2.0)
    assert "ventricular_run" not in _kinds(_told("NVV?VVN", rr=50, ventricular=0.05))


def test_what_may_be_a_run_is_for_review_only() -> None:
    """Three beats that may be ventricular but are not likely to be make no alarm, and are not lost either."""
    kinds = _kinds(_told("NN???NN", rr=50, ventricular=0.3))
    assert "possible_ventricular_run" in kinds
    assert "ventricular_run" not in kinds
    assert "possible_ventricular_run" not in _kinds(_told("NNVVVNN", rr=50))


def test_a_run_of_half_a_minute_is_sustained() -> None:
    """A run at 100 a minute or more becomes sustained after 30 s, at the beat that shows it."""
    events = [e for e in _told("N" + "V" * 70 + "N", rr=50) if e.kind == "sustained_ventricular_tachycardia"]
    assert [(e.transition, e.onset_sample) for e in events] == [("onset", 150), ("end", 150)]
    assert events[0].known_sample == 150 + 3000 + BEAT_DELAY
    assert "sustained_ventricular_tachycardia" not in _kinds(_told("N" + "V" * 70 + "N", rr=70))


def test_a_run_of_changing_shape_is_polymorphic() -> None:
    """A run whose beats differ in shape is polymorphic; one of equal beats of any size is not."""
    time = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0
    upright = np.exp(-((time / 0.05) ** 2))
    biphasic = np.exp(-(((time - 0.06) / 0.04) ** 2)) - np.exp(-(((time + 0.06) / 0.04) ** 2))
    turning = np.stack([upright, upright, biphasic, -upright, biphasic, upright, upright])
    equal = np.outer([1.0, 1.0, 0.7, 1.3, 0.9, 1.1, 1.0], upright)
    assert "polymorphic_run" in _kinds(_told("NVVVVVN", rr=40, shapes=turning.astype(np.float32)))
    assert "polymorphic_run" not in _kinds(_told("NVVVVVN", rr=40, shapes=equal.astype(np.float32)))


def test_poor_beats_of_a_run_are_known_by_their_likeness() -> None:
    """A fast run whose signal never rests is told by beats that look like its first; noise looks like none."""
    time = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0
    wide = np.exp(-((time / 0.06) ** 2)) - 0.7 * np.exp(-(((time - 0.12) / 0.06) ** 2))
    noise = np.random.default_rng(3).normal(0.0, 0.5, (5, WINDOW_POINTS))
    for shapes, is_told in ((np.outer(np.ones(5), wide), True), (np.vstack([wide, noise[1:]]), False)):
        r_samples = 100 + 30 * np.arange(5)
        beats = _beats(r_samples, "V????", ventricular=0.95, shapes=shapes.astype(np.float32))
        beats = replace(beats, quality=np.array([1.0, 0.3, 0.2, 0.2, 0.1], np.float32))
        events = _bank().process(ROW, np.array([500]), _peaks(r_samples), beats)
        assert ("ventricular_run" in _kinds(events)) == is_told


def test_a_v_on_the_t_wave() -> None:
    """A V that comes within the QT interval of the beat before is told; a later one is not."""
    for coupling, on_t in ((28, True), (50, False)):
        r_samples = np.array([100, 180, 260, 340, 420, 500, 500 + coupling, 640])
        bank = _bank()
        beats = _beats(r_samples, "NNNNNNVN")
        events = bank.process(ROW, np.array([800]), _peaks(r_samples), beats)
        assert ("r_on_t" in _kinds(events)) == on_t


def test_supraventricular_beats_in_a_row() -> None:
    """Three S in a row are a run, two are none."""
    assert "supraventricular_run" in _kinds(_told("NNSSSNN"))
    assert "supraventricular_run" not in _kinds(_told("NNSSNSN"))


def _irregular(n: int, spread: float, seed: int = 1) -> IntArray:
    rr = 70.0 * (1.0 + spread * np.random.default_rng(seed).uniform(-1.0, 1.0, n))
    return 100 + np.cumsum(np.rint(rr).astype(np.int64))


def test_irregular_intervals_are_atrial_fibrillation() -> None:
    """Intervals irregular without a pattern begin an episode, regular ones end it; the burden is the time between."""
    r_samples = np.concatenate([100 + 70 * np.arange(80), np.empty(0, np.int64)])
    wild = _irregular(150, 0.35) + int(r_samples[-1])
    calm = int(wild[-1]) + 70 * np.arange(1, 120)
    r_samples = np.concatenate([r_samples, wild, calm])
    bank = _bank()
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    events = bank.process(ROW, end, _peaks(r_samples), _beats(r_samples, "N" * len(r_samples)))
    episode = [e for e in events if e.kind == "atrial_fibrillation"]
    assert [e.transition for e in episode] == ["onset", "end"]
    assert abs(episode[0].onset_sample - wild[0]) < 15 * 70
    assert abs(episode[1].onset_sample + episode[1].duration_s * RATE_HZ - wild[-1]) < 20 * 70
    assert 0.2 < bank.atrial_fibrillation_burden(0) < 0.6


@pytest.mark.parametrize(("calmer", "episodes"), [(36, 1), (100, 2)])
def test_some_calmer_intervals_do_not_part_an_episode(calmer: int, episodes: int) -> None:
    """Fibrillation that is calmer for less than a window goes on as one episode; for much longer, there are two."""
    parts = [_irregular(151, 0.35), _irregular(calmer + 1, 0.08, seed=3), _irregular(151, 0.35, seed=2)]
    r_samples = 100 + np.cumsum(np.concatenate([np.diff(part) for part in parts]))
    beats = _beats(r_samples, "N" * len(r_samples))
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    events = _bank().process(ROW, end, _peaks(r_samples), beats)
    assert [e.kind for e in events if e.transition == "onset"].count("atrial_fibrillation") == episodes


@pytest.mark.parametrize("pattern", [(45, 95), (60, 60, 45, 75), (70, 72, 68, 71)])
def test_ectopy_with_a_pattern_is_no_fibrillation(pattern: tuple[int, ...]) -> None:
    """Bigeminy and quadrigeminy that the classifier missed are irregular, but have a pattern."""
    r_samples = 100 + np.cumsum(np.array(pattern * 60))
    bank = _bank()
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    events = bank.process(ROW, end, _peaks(r_samples), _beats(r_samples, "N" * len(r_samples)))
    assert "atrial_fibrillation" not in _kinds(events)


def test_ventricular_fibrillation_silences_beats_but_not_asystole() -> None:
    """While the signal fibrillates no run and no pause is told of its beats, but that nothing moves any more is."""
    r_samples = np.array([100, 180, 260, 340, 400, 440, 480, 520, 560, 600])
    bank = _bank()
    events = bank.process(
        ROW,
        np.array([2000]),
        _peaks(r_samples),
        _beats(r_samples, "NNNNVVVVVV"),
        _verdict((410, True), (1900, False)),
    )
    assert [(e.kind, e.transition) for e in events] == [
        ("ventricular_fibrillation", "onset"),
        ("asystole", "onset"),
        ("ventricular_fibrillation", "end"),
    ]


def test_a_blocked_amplifier_makes_no_pause_and_hides_no_asystole() -> None:
    """Over an electrode's pop an interval is no pause; an asystole counts from its end, and waits at most for 10 s."""
    r_samples = np.array([300, 380, 460])
    none = Beats.empty()
    short = _bank().process(
        ROW,
        np.array([1500]),
        _peaks(np.array([300, 380, 460, 1000, 1080])),
        none,
        None,
        _verdict((500, True), (700, False)),
    )
    assert not [e for e in short if e.onset_sample < 1000]
    after = _bank().process(
        ROW, np.array([3000]), _peaks(r_samples), none, None, _verdict((500, True), (700, False))
    )
    assert [(e.kind, e.known_sample) for e in after] == [("asystole", 700 + 400 + MARGIN)]
    never = _bank().process(ROW, np.array([3000]), _peaks(r_samples), none, None, _verdict((500, True)))
    assert [(e.kind, e.known_sample) for e in never] == [("asystole", 460 + 1000 + MARGIN)]


def test_limits_follow_the_phase_of_effort() -> None:
    """170 a minute is a tachycardia if it comes at once at rest, and none at the height of an exercise."""
    at_rest = 100 + 80 * np.arange(40)
    sudden = np.concatenate([at_rest, int(at_rest[-1]) + 35 * np.arange(1, 60)])
    events = _bank().process(ROW, np.array([int(sudden[-1]) + 50]), _peaks(sudden), Beats.empty())
    assert "tachycardia" in _kinds(events)
    slowly = 100 + np.cumsum(np.rint(np.linspace(80, 35, 250)).astype(np.int64))
    bank = _bank()
    events = bank.process(ROW, np.array([int(slowly[-1]) + 50]), _peaks(slowly), Beats.empty())
    assert not _kinds(events)
    assert bank.phase(0) == "effort"
    assert bank.zone(0) >= 2


def test_a_rate_episode_lasts_over_a_short_gap() -> None:
    """A tachycardia goes on over a gap if the rate is still high after it, and ends in time if nothing is read."""
    limits = AthleteLimits(tachycardia_bpm=120.0)
    first = 100 + 40 * np.arange(60)
    end = int(first[-1]) + 50
    for resumed in (True, False):
        bank = _bank(limits)
        events = bank.process(ROW, np.array([end]), _peaks(first), Beats.empty())
        events += bank.restart(ROW, np.array([end]), np.array([end + 500]))
        more = end + 500 + 40 * np.arange(1, 40) if resumed else np.empty(0, np.int64)
        events += bank.process(ROW, np.array([end + 2300]), _peaks(more), Beats.empty())
        told = [(e.transition, e.known_sample) for e in events if e.kind == "tachycardia"]
        assert [transition for transition, _ in told] == (["onset"] if resumed else ["onset", "end"])


def test_ventricular_beats_that_rise_with_effort() -> None:
    """V that become more frequent with effort are told; V that come at an even pace are not."""
    r_samples = 100 + np.cumsum(
        np.rint(np.concatenate([np.full(200, 80), np.linspace(80, 36, 100), np.full(700, 36)])).astype(
            np.int64
        )
    )
    n = len(r_samples)
    rising = "".join("V" if k > 350 and k % 15 == 0 else "N" for k in range(n))
    minutes = r_samples // 1500
    even = "".join("V" if k > 0 and minutes[k] != minutes[k - 1] else "N" for k in range(n))
    for labels, rises in ((rising, True), (even, False)):
        bank = _bank()
        end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
        events = bank.process(ROW, end, _peaks(r_samples), _beats(r_samples, labels))
        assert ("ventricular_burden_rising" in _kinds(events)) == rises
        counted = bank.ventricular_burden(0)
        assert sum(part.ventricular for part in counted) == labels.count("V")
        assert {part.phase for part in counted} >= {"rest", "effort"}


def test_review_cards_part_shapes_and_lose_no_beat() -> None:
    """Ectopic beats of two shapes are two cards, which count every one of them."""
    time = (np.arange(WINDOW_POINTS) - WINDOW_POINTS // 2) / 360.0
    upright = np.exp(-((time / 0.05) ** 2))
    biphasic = np.exp(-(((time - 0.06) / 0.04) ** 2)) - np.exp(-(((time + 0.06) / 0.04) ** 2))
    labels = "NVNNVN?NVNNV"
    shapes = np.stack([biphasic if k in (4, 8) else upright for k in range(len(labels))]).astype(np.float32)
    r_samples = 100 + 70 * np.arange(len(labels))
    bank = _bank()
    beats = _beats(r_samples, labels, ventricular=0.3, shapes=shapes)
    bank.process(ROW, np.array([2000]), _peaks(r_samples), beats)
    cards = bank.review_cards(0)
    assert sorted(card.beats for card in cards) == [2, 3]
    assert sum(card.labels["V"] for card in cards) == labels.count("V")
    assert sorted(r for card in cards for r in card.examples) == [170, 380, 520, 660, 870]
    assert all(sum(card.phases.values()) == card.beats for card in cards)


def _in_doubt(p_middle: float) -> list[RhythmEvent]:
    """N, a V, one beat that was called N with V at `p_middle`, two more V, N N."""
    labels = "NNVNVVNN"
    r_samples = 100 + 50 * np.arange(len(labels))
    beats = _beats(r_samples, labels)
    beats.probabilities[3] = [1.0 - p_middle, 0.0, p_middle, 0.0, 0.0]
    return _bank().process(ROW, np.array([int(r_samples[-1]) + BEAT_DELAY + 1]), _peaks(r_samples), beats)


def test_what_stands_beside_a_single_beat_does_not_hide_it() -> None:
    """A V beside a beat that may be one, too little for a couplet, is a single V at its own R peak."""
    for place in (3, 4):
        beats = _beats(100 + 60 * np.arange(9), "NNNNNNNNN")
        beats.label[place] = AAMI_CLASSES.index("V")
        beats.probabilities[place] = [0.38, 0.0, 0.62, 0.0, 0.0]
        beats.probabilities[7 - place] = [0.78, 0.0, 0.22, 0.0, 0.0]
        end = np.array([int(beats.r_sample[-1]) + BEAT_DELAY + 1])
        events = _bank().process(ROW, end, Peaks.empty(), beats)
        (alone,) = [e for e in events if e.kind == "isolated_ventricular"]
        assert alone.onset_sample == beats.r_sample[place]
        assert not _kinds(events) & {"ventricular_couplet", "ventricular_run"}


def test_one_beat_in_doubt_is_bridged_where_that_makes_a_run() -> None:
    """V, a beat that may be one, V, V is a run of four; with an N that is sure it is a single V and a couplet."""
    bridged = [e for e in _in_doubt(0.4) if e.kind == "ventricular_run"]
    assert [(e.transition, e.onset_sample) for e in bridged] == [
        ("onset", 200),
        ("update", 200),
        ("end", 200),
    ]
    assert round(bridged[-1].duration_s * RATE_HZ) == 150
    parted = _in_doubt(0.05)
    assert _kinds(parted) & {"ventricular_run", "ventricular_couplet"} == {"ventricular_couplet"}
    assert [e.onset_sample for e in parted if e.kind == "isolated_ventricular"] == [200]


def test_a_beat_in_doubt_that_makes_no_run_hides_no_single_beat() -> None:
    """Where bridging is not enough for a run, V in doubt V are two single V, each told at its own R peak."""
    labels = "NNVNVNNN"
    r_samples = 100 + 60 * np.arange(len(labels))
    beats = _beats(r_samples, labels)
    beats.probabilities[3] = [0.84, 0.0, 0.16, 0.0, 0.0]
    beats.probabilities[[2, 4]] = [0.4, 0.0, 0.6, 0.0, 0.0]
    events = _bank().process(ROW, np.array([int(r_samples[-1]) + BEAT_DELAY + 1]), _peaks(r_samples), beats)
    alone = [e for e in events if e.kind == "isolated_ventricular"]
    assert [e.onset_sample + round(e.duration_s * RATE_HZ) for e in alone] == [220, 340]
    assert "ventricular_run" not in _kinds(events)


@pytest.mark.parametrize(
    ("field", "value"), [("qrs_height_ratio", 6.0), ("qrs_spread_s", 0.13), ("rr_before_usual_ratio", 3.0)]
)
def test_steps_that_look_wide_are_for_review_only(field: str, value: float) -> None:
    """Beats called V that are far too tall, have no edges or come late are neither run nor V, but possible ones."""
    labels = "NNVVVVNN"
    r_samples = 100 + 50 * np.arange(len(labels))
    beats = _beats(r_samples, labels)
    beats.probabilities[2:6] = [0.5, 0.0, 0.5, 0.0, 0.0]
    beats.context[2:6, CONTEXT_FIELDS.index("rr_before_usual_ratio")] = 0.7
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    assert "ventricular_run" in _kinds(_bank().process(ROW, end, _peaks(r_samples), beats))
    beats.context[2:6, CONTEXT_FIELDS.index(field)] = value
    kinds = _kinds(_bank().process(ROW, end, _peaks(r_samples), beats))
    assert "possible_ventricular_run" in kinds
    assert not kinds & {"ventricular_run", "ventricular_couplet", "isolated_ventricular"}


def test_noise_between_beats_asks_for_more() -> None:
    """After half a minute of noise between beats that look as ever, V of 0.65 are no run; V of 0.95 are one."""
    n = 60
    labels = "N" * n + "VVVNN"
    r_samples = 100 + 50 * np.arange(len(labels))
    random = np.random.default_rng(3)
    usual = np.zeros(WINDOW_POINTS, np.float32)
    usual[295:306] = 1.0
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    for noise, p, is_run in ((0.0, 0.65, True), (0.6, 0.65, False), (0.6, 0.95, True)):
        shapes = usual + noise * random.standard_normal((len(labels), WINDOW_POINTS)).astype(np.float32)
        beats = _beats(r_samples, labels, shapes=shapes)
        beats.template[:] = usual
        beats.probabilities[n : n + 3] = [1.0 - p, 0.0, p, 0.0, 0.0]
        told = _kinds(_bank().process(ROW, end, _peaks(r_samples), beats))
        assert ("ventricular_run" in told) == is_run, (noise, p)


def test_irregular_intervals_with_p_waves_are_no_fibrillation() -> None:
    """The same irregular intervals are fibrillation without P waves, and none where the usual P wave comes."""
    r_samples = _irregular(150, 0.2)
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    told = {}
    for like in (0.1, 0.98):
        beats = _beats(r_samples, "N" * len(r_samples))
        beats.context[:, CONTEXT_FIELDS.index("p_correlation")] = like
        told[like] = "atrial_fibrillation" in _kinds(_bank().process(ROW, end, _peaks(r_samples), beats))
    assert told == {0.1: True, 0.98: False}


def test_p_waves_do_not_end_an_asystole() -> None:
    """Peaks whose window shows no QRS count for nothing: the last QRS counts, and only the next one ends it."""
    r_samples = np.array([100, 180, 260, 340, 420, 500, 580, 660, 740, 820, 1000, 1080])
    beats = _beats(r_samples, "N" * len(r_samples))
    beats.context[:, CONTEXT_FIELDS.index("qrs_size_ratio")] = 1.0
    beats.context[:, CONTEXT_FIELDS.index("qrs_correlation")] = 0.99
    beats.context[4:10, CONTEXT_FIELDS.index("qrs_size_ratio")] = 0.1
    beats.context[4:10, CONTEXT_FIELDS.index("qrs_correlation")] = 0.5
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    told = [e for e in _bank().process(ROW, end, _peaks(r_samples), beats) if e.kind == "asystole"]
    assert [(e.transition, e.onset_sample, e.known_sample) for e in told] == [
        ("onset", 340, 340 + 400 + 85),
        ("end", 340, 1000 + BEAT_DELAY),
    ]


@pytest.mark.parametrize(
    ("size", "like", "is_qrs"),
    [(0.21, 0.91, True), (0.21, 0.89, False), (0.12, 0.985, True), (0.12, 0.97, False), (0.3, 0.1, True)],
)
def test_a_small_complex_counts_where_it_is_the_usual_one_on_an_electrode_that_slipped(
    size: float,
    like: float,
    is_qrs: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """The smaller a complex, the more it must look like the usual one: a P wave does, where the QRS is plain."""
    r_samples = 100 + 80 * np.arange(12)
    beats = _beats(r_samples, "N" * len(r_samples))
    beats.context[:, CONTEXT_FIELDS.index("qrs_size_ratio")] = np.where(np.arange(12) < 4, 1.0, size)
    beats.context[:, CONTEXT_FIELDS.index("qrs_correlation")] = np.where(np.arange(12) < 4, 0.99, like)
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    assert ("asystole" in _kinds(_bank().process(ROW, end, _peaks(r_samples), beats))) != is_qrs


def test_p_waves_that_cease_make_no_second_asystole() -> None:
    """One P wave behind the last QRS was taken for an R peak: one asystole, told once, and over with the next QRS."""
    r_samples = np.array([100, 180, 260, 340, 440, 1000, 1080])
    beats = _beats(r_samples, "N" * len(r_samples))
    beats.context[:, CONTEXT_FIELDS.index("qrs_size_ratio")] = 1.0
    beats.context[4, CONTEXT_FIELDS.index("qrs_size_ratio")] = 0.1
    end = np.array([int(r_samples[-1]) + BEAT_DELAY + 1])
    told = [e for e in _bank().process(ROW, end, _peaks(r_samples), beats) if e.kind == "asystole"]
    assert [(e.transition, e.onset_sample, e.known_sample) for e in told] == [
        ("onset", 340, 340 + 400 + 85),
        ("end", 340, 1000 + BEAT_DELAY),
    ]


def test_no_fibrillation_while_the_usual_beat_goes_on() -> None:
    """A verdict of fibrillation waits while usual beats come, counts once they stay away, may pass untold."""
    r_samples = 100 + 40 * np.arange(40)
    beats = _beats(r_samples, "N" * len(r_samples))
    beats.context[:, CONTEXT_FIELDS.index("qrs_correlation")] = 0.99
    last = int(r_samples[-1])
    for verdict, expected in (
        (_verdict((700, True), (1300, False)), []),
        (_verdict((700, True)), [last + 250]),
        (_verdict((last + 400, True)), [last + 400]),
    ):
        events = _bank().process(ROW, np.array([last + 600]), _peaks(r_samples), beats, verdict)
        assert [e.known_sample for e in events if e.kind == "ventricular_fibrillation"] == expected


def test_a_tachycardia_that_is_parted_is_sustained_all_the_same() -> None:
    """One beat that was called N and sure of it parts a run; after half a minute it is a sustained tachycardia."""
    labels = "NNNN" + ("V" * 30 + "N") * 4 + "NN"
    events = _told(labels, rr=35)
    sustained = [e for e in events if e.kind == "sustained_ventricular_tachycardia"]
    assert sustained
    assert sustained[0].transition == "onset"
    assert sustained[0].onset_sample == 100 + 4 * 35
    assert not [e for e in _told("NNNN" + ("VVVV" + "N" * 8) * 12, rr=35) if e.kind == sustained[0].kind]
