"""The synthetic athlete: its truth lies where its signal says, and its placed events are what was placed."""

import time
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import UsageError
from simulators.ectopy import Bigeminy, Ectopy, Pause, PrematureBeat, VentricularRun
from simulators.records import Record
from simulators.synthetic import SyntheticAthlete, synthesize
from simulators.synthetic_team import synthetic_team
from simulators.truth_files import write_record

_EVENTS: tuple[Ectopy, ...] = (
    PrematureBeat(at_s=5.0, kind="V"),
    PrematureBeat(at_s=10.0, kind="S"),
    VentricularRun(at_s=15.0, beats=2),
    VentricularRun(at_s=20.0, beats=6, rate_bpm=180.0),
    Pause(at_s=30.0, length_s=3.5),
    Bigeminy(at_s=36.0, cycles=4),
)


def _clean(rate_hz: float = 360.0, *, seconds: float = 60.0, events: tuple[Ectopy, ...] = ()) -> Record:
    athlete = SyntheticAthlete(rate_bpm=70.0, noise_mv=0.0, wander_mv=0.0, events=events)
    return synthesize(athlete, rate_hz=rate_hz, seconds=seconds, seed=3)


def _beats(record: Record) -> tuple[np.ndarray[tuple[int], np.dtype[np.float64]], list[str]]:
    assert record.truth is not None
    return record.truth.r_samples / record.rate_hz, record.truth.class_names


@pytest.mark.parametrize("rate_hz", [100.0, 130.0, 250.0, 360.0, 1000.0])
def test_truth_is_the_peak(rate_hz: float) -> None:
    """Every annotated beat is the highest sample within 60 ms, to one sample or 4 ms, at any rate."""
    record = _clean(rate_hz, events=_EVENTS)
    assert record.truth is not None
    reach = int(0.06 * rate_hz)
    inner = record.truth.r_samples[(record.truth.r_samples > reach)]
    inner = inner[inner < len(record) - reach]
    assert len(inner) > 60
    around = record.millivolts[inner[:, None] + np.arange(-reach, reach + 1)]
    assert np.abs(np.argmax(around, axis=1) - reach).max() <= max(1, 0.004 * rate_hz)


def test_no_beat_without_truth() -> None:
    """Whatever rises above 0.7 mV lies within 100 ms of an annotated beat."""
    record = _clean(events=_EVENTS)
    assert record.truth is not None
    high = np.flatnonzero(record.millivolts > 0.7)
    nearest = np.abs(high[:, None] - record.truth.r_samples).min(axis=1)
    assert nearest.max() < 0.1 * record.rate_hz


def test_events_are_where_they_were_placed() -> None:
    """Couplings, pauses, runs and their rates come out as asked for."""
    r_s, classes = _beats(_clean(events=_EVENTS))
    rr_s = np.diff(r_s)
    text = "".join(classes)
    assert text.count("V") == 1 + 2 + 6 + 4
    assert text.count("S") == 1
    assert "NVVVVVVN" in text
    assert "NVNVNVNVN" in text
    first_v = text.index("V")
    # Fully compensatory: the beats around a V are two cycles apart.
    assert rr_s[first_v - 1] + rr_s[first_v] == pytest.approx(2 * 60 / 70, rel=0.15)
    assert rr_s[first_v - 1] == pytest.approx(0.6 * 60 / 70, rel=0.15)
    run = text.index("VVVVVV")
    np.testing.assert_allclose(rr_s[run : run + 5], 60 / 180, atol=1.5 / 360)
    assert rr_s.max() == pytest.approx(3.5, abs=1.5 / 360)
    after = {event: r_s[np.searchsorted(r_s, event.at_s)] for event in _EVENTS if isinstance(event, Pause)}
    assert all(r > event.at_s for event, r in after.items())


def test_ventricular_beats_are_wide_and_have_no_p_wave() -> None:
    """A V's QRS is at least twice as wide as an N's, and the signal 160 ms before it is flat."""
    athlete = SyntheticAthlete(
        rate_bpm=60.0,
        noise_mv=0.0,
        wander_mv=0.0,
        events=tuple(PrematureBeat(at_s=at_s, coupling=0.9) for at_s in (10.0, 20.0, 30.0)),
    )
    record = synthesize(athlete, rate_hz=360.0, seconds=40.0, seed=0)
    assert record.truth is not None
    width, p_wave = {}, {}
    for name in ("N", "V"):
        beats = record.truth.r_samples[np.array(record.truth.class_names) == name][2:]
        beats = beats[beats < len(record) - 100]
        around = record.millivolts[beats[:, None] + np.arange(-36, 37)]
        width[name] = (around > around[:, 36:37] / 2).sum(axis=1).mean()
        before = record.millivolts[beats[:, None] + np.arange(-70, -48)]
        p_wave[name] = np.ptp(before, axis=1).mean()
    assert width["V"] > 2 * width["N"]
    assert p_wave["V"] < 0.5 * p_wave["N"]


def test_same_heart_at_every_rate() -> None:
    """One seed gives the same beats at 130 Hz as at 1,000 Hz; another seed gives others."""
    athlete = SyntheticAthlete(events=_EVENTS)
    slow, fast = (
        _beats(synthesize(athlete, rate_hz=rate_hz, seconds=60.0, seed=5)) for rate_hz in (130.0, 1000.0)
    )
    assert slow[1] == fast[1]
    np.testing.assert_allclose(slow[0], fast[0], atol=0.5 / 130 + 0.5 / 1000)
    again = synthesize(athlete, rate_hz=130.0, seconds=60.0, seed=5)
    np.testing.assert_array_equal(
        again.counts, synthesize(athlete, rate_hz=130.0, seconds=60.0, seed=5).counts
    )
    other = _beats(synthesize(athlete, rate_hz=130.0, seconds=60.0, seed=6))
    assert not np.array_equal(other[0], slow[0])


def test_rr_series_breathes() -> None:
    """RR intervals vary as asked for, and their spectrum peaks at the respiratory and the low frequency."""
    athlete = SyntheticAthlete(rate_bpm=75.0, variability=0.04)
    r_s, _ = _beats(synthesize(athlete, rate_hz=250.0, seconds=1200.0, seed=1))
    rr_s = np.diff(r_s)
    assert rr_s.mean() == pytest.approx(0.8, rel=0.01)
    assert rr_s.std() / rr_s.mean() == pytest.approx(0.04, rel=0.2)
    even = np.interp(np.arange(0.0, 1190.0, 0.25), r_s[1:], rr_s)
    power = np.abs(np.fft.rfft(even - even.mean())) ** 2
    frequency = np.fft.rfftfreq(len(even), 0.25)
    bands = {
        centre: power[np.abs(frequency - centre) < 0.03].sum() / power.sum()
        for centre in (0.1, 0.25, 0.175, 0.4)
    }
    assert bands[0.25] > bands[0.1] > 10 * bands[0.175]
    assert bands[0.1] + bands[0.25] > 0.9
    assert bands[0.4] < 0.05


def test_beats_vary() -> None:
    """Heights vary from beat to beat as asked for, at the same places and by the same at every rate."""
    slow, fast = (
        synthesize(
            SyntheticAthlete(variation=0.05, noise_mv=0.0, wander_mv=0.0),
            rate_hz=rate_hz,
            seconds=300.0,
            seed=2,
        )
        for rate_hz in (500.0, 1000.0)
    )
    assert slow.truth is not None
    assert fast.truth is not None
    heights = [
        record.millivolts[truth.r_samples] for record, truth in ((slow, slow.truth), (fast, fast.truth))
    ]
    assert heights[1].std() / heights[1].mean() == pytest.approx(0.05, rel=0.25)
    np.testing.assert_allclose(heights[0], heights[1], atol=0.02)


def test_exercise() -> None:
    """The rate follows its points in time."""
    r_s, _ = _beats(
        synthesize(
            SyntheticAthlete(rate_bpm=((10.0, 60.0), (60.0, 180.0)), variability=0.0),
            rate_hz=250.0,
            seconds=80.0,
            seed=0,
        )
    )
    bpm = 60.0 / np.diff(r_s)
    assert bpm[r_s[1:] < 9.0] == pytest.approx(60.0, rel=0.02)
    assert bpm[r_s[1:] > 62.0] == pytest.approx(180.0, rel=0.02)


def test_fast(tmp_path: Path) -> None:
    """An hour, made and written with its annotations, costs the processor less than a five-hundredth of it."""
    began = time.process_time()
    record = synthesize(SyntheticAthlete(), rate_hz=360.0, seconds=3600.0, seed=0)
    write_record(record, tmp_path, "hour")
    assert 3600.0 / (time.process_time() - began) > 500.0


def test_team() -> None:
    """Athletes differ in rate and heart, have ectopic beats, and are the same in a larger team."""
    team = synthetic_team(4, seconds=300.0, seed=2)
    assert [record.rate_hz for record in team] == [360.0, 250.0, 130.0, 360.0]
    assert not np.array_equal(team[0].counts, team[3].counts)
    assert all(record.truth is not None and "V" in record.truth.class_names for record in team)
    (fourth,) = synthetic_team(1, seconds=300.0, seed=2, first=3)
    np.testing.assert_array_equal(fourth.counts, team[3].counts)


@pytest.mark.parametrize("seconds", [1.0, 16.0, 50.0, 51.7, 1800.0])
def test_team_of_any_length(seconds: float) -> None:
    """Events never overlap or fall off the end, whatever the record's length."""
    for record in synthetic_team(20, seconds=seconds, seed=9):
        assert record.truth is not None
        assert len(record) == round(seconds * record.rate_hz)
        assert (np.diff(record.truth.r_samples) > 0).all()


def test_wrong_values_are_refused() -> None:
    """What is out of range or overlaps is named."""
    for athlete, text in (
        (SyntheticAthlete(rate_bpm=5.0), "rate_bpm 5.0"),
        (SyntheticAthlete(variability=0.9), "variability 0.9"),
        (SyntheticAthlete(variation=0.9), "variation 0.9"),
        (SyntheticAthlete(events=(PrematureBeat(at_s=5.0, coupling=1.5),)), "coupling 1.5"),
        (SyntheticAthlete(events=(VentricularRun(at_s=5.0, beats=1),)), "2 beats or more"),
        (SyntheticAthlete(events=(Pause(at_s=5.0, length_s=100.0),)), "0.3 to 60 s"),
        (SyntheticAthlete(events=(Pause(at_s=0.0),)), "begins before"),
        (SyntheticAthlete(events=(Bigeminy(at_s=5.0), Pause(at_s=6.0))), "begins before"),
        (SyntheticAthlete(events=(Pause(at_s=500.0),)), "the rhythm ends at"),
    ):
        with pytest.raises(UsageError, match=text):
            synthesize(athlete, rate_hz=250.0, seconds=20.0, seed=0)
    for rate_hz, seconds in ((99.0, 20.0), (1001.0, 20.0), (250.0, 0.0), (250.0, float("nan"))):
        with pytest.raises(UsageError):
            synthesize(SyntheticAthlete(), rate_hz=rate_hz, seconds=seconds, seed=0)
