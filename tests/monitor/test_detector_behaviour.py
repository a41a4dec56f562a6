"""The R-peak detector on what hearts, pacemakers and electrodes do: extreme rates, tall T waves, spikes, new places."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from benchmarks.after_motion import try_motion
from benchmarks.front_end import find_peaks
from monitor.contract import Block, IntArray, Peaks
from monitor.filters import FilterBank, detector_sections
from monitor.rpeaks import RPeakBank
from simulators.arrhythmia import Asystole
from simulators.athlete_hearts import HEARTS
from simulators.ectopy import Bigeminy, PrematureBeat, VentricularRun
from simulators.rhythm_track import HeartEvent
from simulators.synthetic import SyntheticAthlete, synthesize, synthesize_session
from simulators.synthetic_team import seed_of, training_athlete

RATE_HZ = 360.0
NEAR_S = 0.15
CHANGE_S, AGAIN_S = 20.0, 3.0
Signal = NDArray[np.float64]


def _heart(
    rate_bpm: float = 70.0,
    seconds: float = 40.0,
    t_mv: float | None = None,
    events: tuple[HeartEvent, ...] = (),
) -> tuple[Signal, IntArray]:
    """Return a heart in millivolt, and its beats; `t_mv` is the height of its T wave, its R wave has 1.1 mV."""
    heart = HEARTS["usual"]
    if t_mv is not None:
        waves = tuple(replace(wave, millivolts=t_mv) if wave.role == "T" else wave for wave in heart.sinus)
        heart = replace(heart, sinus=waves)
    athlete = SyntheticAthlete(rate_bpm=rate_bpm, heart=heart, events=events)
    record = synthesize(athlete, rate_hz=RATE_HZ, seconds=seconds, seed=5)
    assert record.truth is not None
    return record.millivolts.astype(np.float64), record.truth.r_samples


def _assert_found(found: IntArray, beats: IntArray, begin_s: float, end_s: float) -> None:
    """Every beat of a stretch is found once, and nothing else."""
    inside = beats[(beats > begin_s * RATE_HZ) & (beats < end_s * RATE_HZ)]
    distance = np.abs(inside[:, np.newaxis] - found)
    assert (distance.min(axis=1) <= NEAR_S * RATE_HZ).all()
    there = found[(found > begin_s * RATE_HZ) & (found < end_s * RATE_HZ)]
    assert (np.abs(there[:, np.newaxis] - beats).min(axis=1) <= NEAR_S * RATE_HZ).all()
    assert len(np.unique(distance.argmin(axis=1))) == len(inside)


@pytest.mark.parametrize("rate_bpm", [30.0, 40.0, 200.0, 240.0])
def test_slow_and_fast_hearts_are_followed(rate_bpm: float) -> None:
    """From 30 to 240 beats a minute every beat is found, and no T wave."""
    signal, beats = _heart(rate_bpm)
    _assert_found(find_peaks(signal, RATE_HZ), beats, 3.0, 39.0)


@pytest.mark.parametrize("t_mv", [0.8, 1.1, -1.1])
@pytest.mark.parametrize("rate_bpm", [55.0, 110.0])
def test_t_waves_as_tall_as_r_waves_are_no_beats(rate_bpm: float, t_mv: float) -> None:
    """T waves of the R wave's height, upright or inverted, are not taken for beats."""
    signal, beats = _heart(rate_bpm, t_mv=t_mv)
    _assert_found(find_peaks(signal, RATE_HZ), beats, 3.0, 39.0)


@pytest.mark.parametrize("coupling", [0.38, 0.45])
def test_beats_on_a_t_wave_are_found_from_the_second_on(coupling: float) -> None:
    """Ventricular beats that fall on the T wave before them are found, all but the first, and all beats around them."""
    events = tuple(PrematureBeat(at_s=at_s, coupling=coupling) for at_s in (8.0, 15.0, 22.0, 29.0))
    signal, beats = _heart(60.0, events=events)
    on_t = beats[1:][np.diff(beats) < 0.5 * RATE_HZ]
    assert len(on_t) == len(events)
    # The first one is the first beat of its kind, where a T wave was due: it is missed.
    _assert_found(find_peaks(signal, RATE_HZ), beats[beats != on_t[0]], 3.0, 39.0)


def test_wide_beats_in_turn_and_in_runs_are_found() -> None:
    """Bigeminy and a run of wide ventricular beats are found beat by beat."""
    signal, beats = _heart(75.0, events=(Bigeminy(at_s=8.0, cycles=6), VentricularRun(at_s=24.0, beats=8)))
    _assert_found(find_peaks(signal, RATE_HZ), beats, 3.0, 39.0)


def test_pacemaker_spikes_before_the_beats_change_nothing() -> None:
    """Spikes of 5 mV, one sample long, 40 ms before each beat give no beat of their own and move none away."""
    signal, beats = _heart()
    spiked = signal.copy()
    spiked[beats - round(0.04 * RATE_HZ)] += 5.0
    _assert_found(find_peaks(spiked, RATE_HZ), beats, 3.0, 39.0)


def test_spikes_that_capture_nothing_silence_nothing() -> None:
    """Three seconds after ten seconds of spikes that nothing follows the rhythm is found again."""
    signal, beats = _heart()
    begin, end = round(CHANGE_S * RATE_HZ), round((CHANGE_S + 10.0) * RATE_HZ)
    signal[begin:end] = signal[begin]
    signal[begin : end : round(0.85 * RATE_HZ)] += 5.0
    _assert_found(find_peaks(signal, RATE_HZ), beats, CHANGE_S + 10.0 + AGAIN_S, 39.0)


@pytest.mark.parametrize("gain", [-0.5, 0.3, 3.0])
def test_an_electrode_that_is_moved_is_followed(gain: float) -> None:
    """A jump of volts, half a second of rubbing, then another shape, size and sign: found again within 3 s."""
    one, beats = _heart()
    # The slope of a lead is what another lead looks like: other polarity of its parts, other place of its peaks.
    other = gain * (0.6 * one + 3.0 * np.gradient(one))
    change, after = round(CHANGE_S * RATE_HZ), round((CHANGE_S + 0.5) * RATE_HZ)
    rubbing = np.random.default_rng(3).normal(0.0, 2.0, after - change).cumsum() / 10.0
    signal = np.concatenate([one[:change], one[change] + rubbing, other[after:] + 2.0])
    _assert_found(find_peaks(signal, RATE_HZ), beats, 3.0, CHANGE_S - 0.2)
    _assert_found(find_peaks(signal, RATE_HZ), beats, CHANGE_S + 0.5 + AGAIN_S, 39.0)


def test_a_belief_about_beats_does_not_absorb() -> None:
    """A run of tall ventricular beats, each T wave taken for one more, makes no one blind to the beats that follow.

    Before rejected candidates were looked at once more, nothing was found of this heart for twelve minutes.
    """
    athlete = training_athlete(14, seconds=1800.0, seed=20261122, burden="frequent")
    record = synthesize_session(athlete, rate_hz=RATE_HZ, seconds=1800.0, seed=seed_of(14, 20261122)).record
    assert record.truth is not None
    found = find_peaks(record.millivolts.astype(np.float64), RATE_HZ)
    beats = record.truth.r_samples
    missed = beats[np.abs(beats[:, np.newaxis] - found).min(axis=1) > NEAR_S * RATE_HZ]
    assert len(missed) < 0.02 * len(beats)


@pytest.mark.parametrize("size", [30.0, 100.0])
@pytest.mark.parametrize("kind", ["motion", "jumps"])
@pytest.mark.parametrize("rate_bpm", [70.0, 170.0])
def test_violent_motion_leaves_no_one_blind(rate_bpm: float, kind: str, size: float) -> None:
    """Within 3 s after ten seconds of motion of many times the heart's size beats are found in a row again.

    Without the levels of clear beats being recalled a heart of 170 bpm is found again after 6 s.
    """
    clear, beats = _heart(rate_bpm, 70.0)
    for seed in range(3):
        assert try_motion("", clear, beats, kind, size, seed).again_s <= AGAIN_S


def test_a_minute_without_contact_is_not_stayed_in() -> None:
    """After a minute of which nothing arrived the beats are found within 3 s, and none is told of from within it."""
    signal, beats = _heart(seconds=110.0)
    off, on = round(20.0 * RATE_HZ), round(80.0 * RATE_HZ)
    filters, detector = FilterBank(detector_sections(RATE_HZ), capacity=1), RPeakBank(RATE_HZ, capacity=1)
    row, parts = np.array([0]), []
    for begin, end in ((0, off), (on, len(signal))):
        if begin:
            filters.restart(row)
            detector.restart(row)
        samples = signal[np.newaxis, begin:end].astype(np.float32)
        block = Block(row, np.array([begin]), samples, np.ones(samples.shape, np.bool_))
        parts.append(detector.process(row, block.first_sample, filters.process(block)))
    found = Peaks.join(parts).r_sample
    assert not ((found > off) & (found < on)).any()
    _assert_found(found, beats, 3.0, 19.5)
    _assert_found(found, beats, 80.0 + AGAIN_S, 109.0)


@pytest.mark.parametrize("length_s", [15.0, 40.0])
def test_p_waves_of_an_asystole_are_no_beats(length_s: float) -> None:
    """However long P waves are all there is, they are not learnt as beats; the beats after them are found."""
    signal, beats = _heart(
        60.0, 30.0 + length_s, events=(Asystole(at_s=20.0, length_s=length_s, p_waves=True),)
    )
    found = find_peaks(signal, RATE_HZ)
    between = (found > 20.5 * RATE_HZ) & (found < (19.5 + length_s) * RATE_HZ)
    assert not between.any()
    _assert_found(found, beats, 22.0 + length_s, 29.0 + length_s)
