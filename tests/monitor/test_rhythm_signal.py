"""What the rhythm reads from the signal itself: ventricular fibrillation, and amplifiers that are blocked."""

import numpy as np
import pytest

from monitor.contract import Block, FloatArray
from monitor.filters import FilterBank, classifier_sections
from monitor.line import Line
from monitor.rhythm import BlockedBank, FibrillationBank, Verdicts
from simulators.arrhythmia import Asystole, VentricularFibrillation
from simulators.rhythm_track import HeartEvent
from simulators.synthetic import SyntheticAthlete, synthesize

ROW = np.array([0])
RATE_HZ = 250.0


def _signal(
    *events: HeartEvent, rate_hz: float = RATE_HZ, seconds: float = 40.0, seed: int = 3
) -> FloatArray:
    athlete = SyntheticAthlete(events=events)
    return synthesize(athlete, rate_hz=rate_hz, seconds=seconds, seed=seed).millivolts.astype(np.float32)


def _turns(signal: FloatArray, step: int, *, rate_hz: float = RATE_HZ) -> list[tuple[int, int, bool]]:
    """Return when fibrillation was said to begin and to end, given blocks of `step` samples."""
    filters = FilterBank(classifier_sections(rate_hz, None), capacity=1)
    filters.restart(ROW)
    bank = FibrillationBank(rate_hz, capacity=1)
    found = []
    for begin in range(0, len(signal), step):
        samples = signal[begin : begin + step][np.newaxis]
        first = np.array([begin])
        block = Block(ROW, first, samples, np.ones(samples.shape, np.bool_))
        bank.process(ROW, first, filters.process(block))
        found += _told(bank.take(ROW))
    return found


def _told(verdicts: Verdicts) -> list[tuple[int, int, bool]]:
    columns = (verdicts.known_sample.tolist(), verdicts.onset_sample.tolist(), verdicts.begins.tolist())
    return list(zip(*columns, strict=True))


@pytest.mark.parametrize("rate_hz", [130.0, 250.0, 360.0])
@pytest.mark.parametrize(
    ("hz", "millivolts", "flutter"), [(5.0, 0.5, False), (4.0, 0.15, False), (4.5, 0.8, True)]
)
def test_fibrillation_is_known_within_six_seconds(
    rate_hz: float,
    hz: float,
    millivolts: float,
    flutter: bool,  # noqa: FBT001 - a parameter of the test
) -> None:
    """Ventricular fibrillation and flutter are known within 6 s at any rate, amplitude and sampling rate, and end."""
    event = VentricularFibrillation(at_s=15.0, length_s=15.0, hz=hz, millivolts=millivolts, flutter=flutter)
    turns = _turns(_signal(event, rate_hz=rate_hz), 1000, rate_hz=rate_hz)
    assert [begins for _, _, begins in turns] == [True, False]
    assert 15.0 < turns[0][0] / rate_hz < 21.0
    assert abs(turns[0][1] / rate_hz - 15.0) < 4.0
    assert turns[1][0] / rate_hz < 37.0


def test_neither_a_sinus_rhythm_nor_asystole_nor_running_is_fibrillation() -> None:
    """Beats at any rate, a line without beats and the shaking of a run make no fibrillation."""
    time = np.arange(40 * 250) / RATE_HZ
    steps = np.cos(2 * np.pi * 2.7 * time) + 0.5 * np.cos(2 * np.pi * 5.4 * time + 1.0)
    signals = [
        _signal(),
        _signal(Asystole(at_s=15.0, length_s=20.0)),
        _signal(Asystole(at_s=15.0, length_s=20.0, p_waves=True)),
        _signal() + np.float32(0.4) * steps.astype(np.float32),
    ]
    assert [_turns(signal, 1000) for signal in signals] == [[], [], [], []]


@pytest.mark.parametrize("millivolts", [1e-300, 1e-160, 1e-90, 1e-12, 3e5])
def test_what_is_left_in_the_filters_divides_by_nothing(millivolts: float) -> None:
    """A signal however faint, or as large as a packet can say, raises nothing; a faint one is no fibrillation."""
    bank = FibrillationBank(RATE_HZ, capacity=1)
    samples = millivolts * np.random.default_rng(1).normal(0, 1, (1, round(10 * RATE_HZ)))
    bank.process(ROW, np.array([0]), samples)
    assert millivolts > 1.0 or not _told(bank.take(ROW))


def test_blocks_of_any_length_find_the_same() -> None:
    """Fibrillation and blocked amplifiers are found at the same samples, however the signal is cut."""
    signal = _signal(VentricularFibrillation(at_s=15.0, length_s=10.0), seconds=30.0)
    signal[6 * 250 :] += 3.0 * np.exp(-np.arange(len(signal) - 6 * 250) / 250.0).astype(np.float32)
    assert _turns(signal, 7) == _turns(signal, 73) == _turns(signal, 250)
    assert _blocked(signal, 7) == _blocked(signal, 73) == _blocked(signal, 250) != []


def _blocked(signal: FloatArray, step: int) -> list[tuple[int, int, bool]]:
    bank = BlockedBank(RATE_HZ, capacity=1)
    found = []
    for begin in range(0, len(signal), step):
        bank.process(ROW, np.array([begin]), signal[begin : begin + step][np.newaxis])
        found += _told(bank.take(ROW))
    return found


def test_an_electrodes_pop_blocks_and_ectopy_does_not() -> None:
    """A jump of the baseline blocks until it is back; wide tall beats and breathing block nothing."""
    signal = _signal(seconds=30.0)
    time = np.arange(len(signal)) / RATE_HZ
    assert _blocked(signal + np.float32(0.3) * np.sin(2 * np.pi * 0.3 * time).astype(np.float32), 250) == []
    wide = 2.0 * np.exp(-(((time % 0.8 - 0.4) / 0.06) ** 2))
    assert _blocked(wide.astype(np.float32), 250) == []
    popped = signal.copy()
    popped[2500:] += 4.0 * np.exp(-(time[2500:] - 10.0) / 1.5).astype(np.float32)
    ((on, _, begins), (off, _, ends)) = _blocked(popped, 250)
    assert (begins, ends) == (True, False)
    assert 2500 < on < 2500 + 250
    assert on < off < 2500 + 6 * 250


@pytest.mark.parametrize("p_waves", [False, True])
def test_asystole_is_known_within_six_seconds(p_waves: bool) -> None:  # noqa: FBT001 - a parameter of the test
    """A heart that stops, with P waves going on or without, is told within 6 s of its last beat."""
    record = synthesize(
        SyntheticAthlete(events=(Asystole(at_s=20.0, length_s=12.0, p_waves=p_waves),)),
        rate_hz=RATE_HZ,
        seconds=36.0,
        seed=5,
    )
    line = Line(rate_hz=RATE_HZ, capacity=1)
    row = np.array([line.claim(0)])
    samples = record.millivolts.astype(np.float32)[np.newaxis]
    events = line.process(Block(row, np.array([0]), samples, np.ones(samples.shape, np.bool_))).events
    told = [event for event in events if event.kind == "asystole" and event.transition == "onset"]
    assert len(told) == 1
    assert record.truth is not None
    last = int(record.truth.r_samples[record.truth.r_samples < 20.5 * RATE_HZ][-1])
    assert (told[0].known_sample - last) / RATE_HZ < 6.0
