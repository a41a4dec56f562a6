"""Synthetic arrhythmias: exact from their first sample to their last, and without beats where the heart has none."""

from functools import cache

import numpy as np
import pytest

from monitor.errors import UsageError
from simulators.annotations import Truth
from simulators.arrhythmia import (
    Asystole,
    AtrialFibrillation,
    AtrialFlutter,
    VentricularFibrillation,
    VentricularTachycardia,
)
from simulators.athlete_hearts import HEARTS, Beat
from simulators.ectopy import Bigeminy, PrematureBeat, SupraventricularRun, VentricularRun, Wenckebach
from simulators.effort import PROGRAMMES
from simulators.event_names import EVENT_NAMES, make_event, parse_event
from simulators.heart_variation import vary_atrial, vary_ventricular
from simulators.records import Record
from simulators.rhythm_track import HeartEvent
from simulators.synthetic import SyntheticAthlete, synthesize

_HZ = 250.0


def _record(*events: HeartEvent, seconds: float = 60.0, seed: int = 1, noise_mv: float = 0.0) -> Record:
    athlete = SyntheticAthlete(rate_bpm=70.0, noise_mv=noise_mv, wander_mv=0.0, events=events)
    return synthesize(athlete, rate_hz=_HZ, seconds=seconds, seed=seed)


def _truth(record: Record) -> Truth:
    assert record.truth is not None
    return record.truth


@cache
def _collapse() -> Record:
    return _record(
        VentricularTachycardia(at_s=10.0, length_s=8.0),
        VentricularFibrillation(at_s=18.0, length_s=10.0),
        Asystole(at_s=28.0, length_s=12.0, p_waves=True),
    )


def test_a_collapse_is_three_rhythms_without_a_gap() -> None:
    """Tachycardia, fibrillation and asystole follow each other to the sample, and then the sinus node returns."""
    truth = _truth(_collapse())
    spans = {span.kind: span for span in truth.rhythms if span.kind != "N"}
    assert [span.kind for span in truth.rhythms] == ["N", "VT", "VF", "ASYS", "N"]
    assert spans["VT"].end_sample == spans["VF"].onset_sample == 18 * 250
    assert spans["VF"].end_sample == spans["ASYS"].onset_sample == 28 * 250
    assert spans["ASYS"].end_sample == 40 * 250
    np.testing.assert_array_equal(truth.unscored, [[18 * 250, 28 * 250]])
    kinds = [span.kind for span in truth.episodes()]
    assert kinds == ["ventricular_run", "ventricular_fibrillation", "asystole", "pause"]


def test_an_aberrant_beat_is_an_s_that_is_wide() -> None:
    """It comes from the atria by symbol and class, and its QRS complex lasts longer than its neighbours'."""
    record = _record(PrematureBeat(at_s=30.0, kind="S", coupling=0.6, aberrant=True))
    truth = _truth(record)
    (place,) = (k for k, symbol in enumerate(truth.symbols) if symbol == "a")
    assert truth.class_names[place] == "S"
    early, usual = (
        np.abs(record.millivolts[r + 10 : r + 20]).max() for r in truth.r_samples[[place, place - 2]].tolist()
    )
    assert early > 2 * usual
    with pytest.raises(UsageError, match="only an S"):
        _record(PrematureBeat(at_s=30.0, kind="V", aberrant=True))


def test_ventricular_beats_of_people_differ_and_truth_stays_exact() -> None:
    """Notched, higher or lower: the R peak is still the farthest point of each complex, to 2 ms."""
    for seed in range(8):
        heart = vary_ventricular(HEARTS["usual"], np.random.default_rng(seed))
        assert heart.sinus == HEARTS["usual"].sinus
        assert heart.waves(Beat.VENTRICULAR) != HEARTS["usual"].ventricular
        events = tuple(PrematureBeat(at_s=at_s, focus=1 if at_s % 20 else 0) for at_s in range(10, 50, 10))
        athlete = SyntheticAthlete(rate_bpm=70.0, noise_mv=0.0, wander_mv=0.0, heart=heart, events=events)
        record = synthesize(athlete, rate_hz=1000.0, seconds=60.0, seed=1)
        truth = _truth(record)
        ventricular = truth.r_samples[np.array(truth.class_names) == "V"]
        assert len(ventricular) == 4
        for r in ventricular.tolist():
            around = np.abs(record.millivolts[r - 50 : r + 51])
            assert abs(int(around.argmax()) - 50) <= 2


def test_atrial_beats_of_people_begin_anywhere() -> None:
    """Their P waves stand up or down where the heart says, with no other wave changed, and truth stays exact."""
    signs = []
    for seed in range(12):
        heart = vary_atrial(HEARTS["usual"], np.random.default_rng(seed))
        assert heart.waves(Beat.ATRIAL)[1:] == HEARTS["usual"].waves(Beat.ATRIAL)[1:]
        athlete = SyntheticAthlete(
            rate_bpm=60.0,
            noise_mv=0.0,
            wander_mv=0.0,
            heart=heart,
            events=(PrematureBeat(at_s=10.0, kind="S", coupling=0.8),),
        )
        record = synthesize(athlete, rate_hz=1000.0, seconds=20.0, seed=1)
        truth = _truth(record)
        (r,) = truth.r_samples[np.array(truth.class_names) == "S"].tolist()
        assert abs(int(np.abs(record.millivolts[r - 50 : r + 51]).argmax()) - 50) <= 1
        before = record.millivolts[r - 220 : r - 60].astype(np.float64)
        p_wave = before - np.linspace(before[0], before[-1], len(before))
        peak = int(np.abs(p_wave).argmax())
        assert np.sign(p_wave[peak]) == np.sign(heart.ectopic_p.millivolts)
        assert abs(peak - 220 - 1e3 * heart.ectopic_p.phase) < 25
        signs.append(np.sign(p_wave[peak]))
    assert set(signs) == {-1.0, 1.0}


@pytest.mark.parametrize("cycles", [1.0, 1.2, 1.5])
def test_the_node_returns_after_an_s_when_asked_to(cycles: float) -> None:
    """The beat after an S follows so many cycles later, and the ones after it at the node's own rate."""
    event = PrematureBeat(at_s=20.0, kind="S", coupling=0.7, return_cycles=cycles)
    athlete = SyntheticAthlete(rate_bpm=60.0, variability=0.0, events=(event,))
    truth = _truth(synthesize(athlete, rate_hz=1000.0, seconds=40.0, seed=1))
    early = truth.class_names.index("S")
    rr_s = np.diff(truth.r_samples) / 1000.0
    np.testing.assert_allclose(rr_s[early - 1 : early + 3], [0.7, cycles, 1.0, 1.0], atol=0.004)
    with pytest.raises(UsageError, match=r"return_cycles of 0\.8 to 2"):
        _record(PrematureBeat(at_s=5.0, kind="S", return_cycles=3.0))


def test_fibrillation_may_cut_a_run_short() -> None:
    """Fibrillation that begins before the next V would have come is the rhythm from its first sample on."""
    run = VentricularRun(at_s=10.0, beats=5, rate_bpm=150.0)
    truth = _truth(_record(run))
    last_s = float(truth.r_samples[np.array(truth.symbols) == "V"][-1]) / _HZ
    cut = _truth(_record(run, VentricularFibrillation(at_s=last_s + 0.2, length_s=10.0)))
    assert [span.kind for span in cut.rhythms] == ["N", "VT", "VF", "N"]
    assert cut.rhythms[1].end_sample == cut.rhythms[2].onset_sample == round((last_s + 0.2) * _HZ)
    assert cut.unscored[0, 0] == cut.rhythms[2].onset_sample


def test_fibrillation_and_asystole_have_no_beats() -> None:
    """From the first sample of fibrillation to the end of asystole there is no beat, but there are P waves."""
    record = _collapse()
    truth = _truth(record)
    assert len(truth.between(18 * 250, 40 * 250)) == 0
    lone = truth.lone_p_samples
    assert len(lone) >= 8
    assert (lone >= 28 * 250).all()
    assert (lone < 40 * 250).all()
    asystole = record.millivolts[28 * 250 + 75 : 39 * 250]
    assert np.abs(asystole).max() < 0.2
    away = np.ones(len(asystole), bool)
    for sample in lone - 28 * 250 - 75:
        away[max(0, sample - 40) : max(0, sample + 40)] = False
    assert np.abs(asystole[away]).max() < 0.006
    assert record.millivolts[20 * 250 : 27 * 250].std() > 0.2


def test_fibrillation_is_disorder_and_flutter_is_not() -> None:
    """Both have their power near their frequency; flutter has it in one line."""
    for flutter, hz, most in ((True, 4.2, 1.0), (False, 5.0, 0.5)):
        event = VentricularFibrillation(at_s=5.0, length_s=50.0, hz=hz, flutter=flutter)
        signal = _record(event).millivolts[6 * 250 : 54 * 250]
        power = np.abs(np.fft.rfft(signal)) ** 2
        frequency = np.fft.rfftfreq(len(signal), 1.0 / _HZ)
        middle = float((power * frequency).sum() / power.sum())
        assert middle == pytest.approx(hz, abs=0.8)
        line = power[np.abs(frequency - hz) < 0.15].sum() / power.sum()
        assert (line > 0.6) if flutter else (line < most)


def test_a_noise_floor_is_all_that_asystole_leaves() -> None:
    """Without P waves asystole is white noise of the size that was asked for."""
    record = _record(Asystole(at_s=20.0, length_s=20.0), noise_mv=0.02)
    floor = record.millivolts[21 * 250 : 39 * 250]
    assert floor.std() == pytest.approx(0.02, rel=0.05)
    assert abs(float(np.corrcoef(floor[:-1], floor[1:])[0, 1])) < 0.05
    assert [span.kind for span in _truth(record).episodes()] == ["asystole", "pause"]


def test_atrial_fibrillation_is_irregular_and_has_no_p_waves() -> None:
    """RR intervals vary by a quarter without memory, P waves are gone, and the rate still follows effort."""
    athlete = SyntheticAthlete(
        programme=PROGRAMMES["maximum"],
        noise_mv=0.0,
        wander_mv=0.0,
        events=(AtrialFibrillation(at_s=100.0, length_s=1500.0, f_wave_mv=0.0),),
    )
    record = synthesize(athlete, rate_hz=_HZ, seconds=1700.0, seed=3)
    truth = _truth(record)
    resting = np.diff(truth.between(110 * 250, 295 * 250).r_samples) / _HZ
    exercising = np.diff(truth.between(1200 * 250, 1280 * 250).r_samples) / _HZ
    for rr_s in (resting, exercising):
        assert rr_s.std() / rr_s.mean() == pytest.approx(0.25, abs=0.06)
        assert abs(float(np.corrcoef(rr_s[:-1], rr_s[1:])[0, 1])) < 0.25
        assert rr_s.min() > 0.195
    assert exercising.mean() < 0.45 * resting.mean()
    beats = truth.between(110 * 250, 290 * 250).r_samples
    before = record.millivolts[beats[:, np.newaxis] + np.arange(-50, -20)]
    assert np.median(np.ptp(before, axis=1)) < 0.02
    (episode,) = [span for span in truth.episodes() if span.kind == "atrial_fibrillation"]
    assert (episode.onset_sample, episode.end_sample) == (100 * 250, 1600 * 250)


def test_ventricular_beats_in_atrial_fibrillation() -> None:
    """So many beats as asked for are V; the others, and when all of them come, have no part in it."""
    plain, mixed = (
        _truth(_record(AtrialFibrillation(at_s=5.0, length_s=900.0, ventricular_share=share), seconds=910.0))
        for share in (0.0, 0.1)
    )
    np.testing.assert_array_equal(plain.r_samples, mixed.r_samples)
    assert mixed.symbols.count("V") / len(mixed) == pytest.approx(0.1, abs=0.03)
    assert "V" not in plain.symbols


def test_flutter_conducts_every_second_wave() -> None:
    """At 300 waves a minute and 2 to 1 the ventricles beat 150 times, exactly."""
    truth = _truth(_record(AtrialFlutter(at_s=10.0, length_s=30.0)))
    rr = np.diff(truth.between(12 * 250, 40 * 250).r_samples)
    np.testing.assert_array_equal(rr, np.full(len(rr), 100))
    assert [span.kind for span in truth.rhythms] == ["N", "AFL", "N"]


@pytest.mark.parametrize(
    ("event", "rhythm", "symbols"),
    [
        (VentricularRun(at_s=10.0, beats=5, rate_bpm=180.0), "VT", "VVVVV"),
        (VentricularRun(at_s=10.0, beats=5, rate_bpm=70.0, coupling=0.9), "IVR", "VVVVV"),
        (VentricularRun(at_s=10.0, beats=8, rate_bpm=220.0, polymorphic=True), "VT", "VVVVVVVV"),
        (VentricularRun(at_s=10.0, beats=2), None, "VV"),
        (SupraventricularRun(at_s=10.0, beats=5), "SVTA", "AAAAA"),
        (Bigeminy(at_s=10.0, cycles=4), "B", "VNVNVNV"),
        (Bigeminy(at_s=10.0, cycles=3, every=3), "T", "VNNVNNV"),
        (Wenckebach(at_s=10.0, conducted=3), "BII", "NNN"),
        (PrematureBeat(at_s=10.0, kind="F", coupling=0.95), None, "F"),
    ],
)
def test_symbols_and_rhythm_of_an_event(event: HeartEvent, rhythm: str | None, symbols: str) -> None:
    """An event has its MIT-BIH symbols, and the rhythm's span holds exactly these beats."""
    truth = _truth(_record(event, seconds=40.0))
    assert symbols in "".join(truth.symbols)
    named = [span for span in truth.rhythms if span.kind != "N"]
    if rhythm is None:
        assert named == []
        return
    (span,) = named
    assert span.kind == rhythm
    inside = (truth.r_samples >= span.onset_sample) & (truth.r_samples < span.end_sample)
    assert "".join(np.array(truth.symbols)[inside].tolist()) == symbols


def test_an_interpolated_beat_replaces_none() -> None:
    """The sinus node goes on as if nothing had been, and its beats are all there."""
    plain = _truth(_record(seconds=30.0))
    truth = _truth(_record(PrematureBeat(at_s=10.0, coupling=0.5, interpolated=True), seconds=30.0))
    assert len(truth) == len(plain) + 1
    assert np.isin(plain.r_samples, truth.r_samples).all()


def test_a_twisting_run_turns_its_axis() -> None:
    """In torsades R peaks point up and down, each the farthest point of its beat all the same."""
    record = _record(VentricularTachycardia(at_s=10.0, length_s=15.0, rate_bpm=220.0, polymorphic=True))
    beats = _truth(record).between(10 * 250, 25 * 250).r_samples
    height = record.millivolts[beats]
    assert (height > 0.3).sum() > 10
    assert (height < -0.3).sum() > 10


def test_paced_beats_are_q_and_blocks_have_their_symbols() -> None:
    """Beats of a paced heart are ``/`` in a rhythm ``P``; those of a bundle branch block are ``L`` and ``R``."""
    for heart, symbol, name, rhythm in (
        ("paced", "/", "Q", "P"),
        ("left_bundle_branch_block", "L", "N", "N"),
        ("right_bundle_branch_block", "R", "N", "N"),
    ):
        athlete = SyntheticAthlete(heart=HEARTS[heart], programme=PROGRAMMES["rest"])
        truth = _truth(synthesize(athlete, rate_hz=_HZ, seconds=30.0, seed=1))
        assert set(truth.symbols) == {symbol}
        assert set(truth.class_names) == {name}
        assert [span.kind for span in truth.rhythms] == [rhythm]


@pytest.mark.parametrize("name", sorted(EVENT_NAMES))
def test_every_event_can_be_given_by_name(name: str) -> None:
    """Every name makes an event that changes the rhythm at its time, at effort too."""
    event = parse_event(f"{name}@120")
    athlete = SyntheticAthlete(programme=PROGRAMMES["sprints"].scaled(200.0), events=(event,))
    truth = _truth(synthesize(athlete, rate_hz=_HZ, seconds=200.0, seed=1))
    plain = _truth(
        synthesize(SyntheticAthlete(programme=athlete.programme), rate_hz=_HZ, seconds=200.0, seed=1)
    )
    assert not np.array_equal(truth.r_samples, plain.r_samples)
    assert np.array_equal(truth.between(0, 118 * 250).r_samples, plain.between(0, 118 * 250).r_samples)
    assert (np.diff(truth.r_samples) > 0).all()


def test_wrong_events_are_refused() -> None:
    """One line names the value and what is allowed."""
    for text, said in (
        ("vf", "use NAME@SECONDS"),
        ("vf@x", "use NAME@SECONDS"),
        ("flu@10", "event 'flu': there are v, s"),
        ("v@10:4", "has no length"),
        ("run@10:2.5", "use a whole number"),
        ("vf@10:0.1", "a length of 1 to"),
        ("run@10:1", "2 beats or more"),
    ):
        with pytest.raises(UsageError, match=said):
            parse_event(text)
    with pytest.raises(UsageError, match="allowed are beats, rate_bpm"):
        make_event("run", 10.0, settings={"speed": 3})
    for event in (
        AtrialFibrillation(at_s=5.0, irregularity=0.9),
        AtrialFibrillation(at_s=5.0, f_wave_hz=50.0),
        AtrialFibrillation(at_s=5.0, ventricular_share=0.9),
        AtrialFlutter(at_s=5.0, conduction=9),
        VentricularTachycardia(at_s=5.0, rate_bpm=400.0),
        VentricularFibrillation(at_s=5.0, hz=1.0),
        Bigeminy(at_s=5.0, every=4),
        Wenckebach(at_s=5.0, conducted=1),
        SupraventricularRun(at_s=5.0, rate_bpm=500.0),
        PrematureBeat(at_s=5.0, kind="S", interpolated=True),
    ):
        with pytest.raises(UsageError, match=r"use|only"):
            _record(event)
    with pytest.raises(UsageError, match=r"ventricular tachycardia at 4000 s: the rhythm ends at \d+ s"):
        _record(VentricularTachycardia(at_s=4000.0))
    with pytest.raises(UsageError, match="ventricular fibrillation at 10 s: begins before"):
        _record(Asystole(at_s=5.0, length_s=10.0), VentricularFibrillation(at_s=10.0))
