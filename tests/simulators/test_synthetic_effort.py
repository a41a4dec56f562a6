"""Synthetic athletes at effort: their hearts follow the programme, and truth stays exact all the way."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import UsageError
from simulators.athlete_hearts import HEARTS, find_heart
from simulators.ectopy import PrematureBeat, VentricularRun
from simulators.effort import PROGRAMMES, Phase, Programme, find_programme
from simulators.synthetic import SyntheticAthlete, SyntheticSession, synthesize, synthesize_session
from simulators.synthetic_team import BURDENS, Burden, training_athlete, training_session

_SECONDS = 1800.0


@cache
def _to_maximum() -> SyntheticSession:
    athlete = SyntheticAthlete(
        heart=HEARTS["endurance"], programme=PROGRAMMES["maximum"], noise_mv=0.0, wander_mv=0.0
    )
    return synthesize_session(athlete, rate_hz=250.0, seconds=_SECONDS, seed=4)


def _rr(session: SyntheticSession) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    truth = session.record.truth
    assert truth is not None
    r_s = truth.r_samples / truth.rate_hz
    return r_s[1:], np.diff(r_s)


def test_rate_follows_the_programme() -> None:
    """38 a minute at rest, the heart's maximum at maximum effort, and at least 30 less a minute later."""
    r_s, rr_s = _rr(_to_maximum())

    def rate_bpm(begin: float, end: float) -> float:
        return 60.0 / float(rr_s[(r_s > begin) & (r_s < end)].mean())

    assert rate_bpm(100, 300) == pytest.approx(38.0, rel=0.03)
    assert rate_bpm(1275, 1290) == pytest.approx(188.0, rel=0.02)
    assert rate_bpm(1345, 1355) < 158.0
    assert 38.0 < rate_bpm(1700, 1800) < 60.0
    assert rr_s.max() < 2.4


def test_variability_fades_with_effort() -> None:
    """Successive differences are above 40 ms at rest and below 5 ms at maximum effort."""
    r_s, rr_s = _rr(_to_maximum())
    difference = np.diff(rr_s)
    at = r_s[1:]
    assert np.sqrt(np.mean(difference[at < 300] ** 2)) > 0.04
    assert np.sqrt(np.mean(difference[(at > 1240) & (at < 1290)] ** 2)) < 0.005 + 0.001


def test_the_node_breathes() -> None:
    """At rest the RR series has most of its fast power near a breath every 4.5 s."""
    athlete = SyntheticAthlete(programme=PROGRAMMES["rest"])
    r_s, rr_s = _rr(synthesize_session(athlete, rate_hz=250.0, seconds=1200.0, seed=1))
    even = np.interp(np.arange(5.0, 1190.0, 0.25), r_s, rr_s)
    power = np.abs(np.fft.rfft(even - even.mean())) ** 2
    frequency = np.fft.rfftfreq(len(even), 0.25)
    fast = frequency > 0.15
    near = np.abs(frequency - 0.22) < 0.08
    assert power[near].sum() > 0.6 * power[fast].sum()
    assert power[(frequency > 0.06) & (frequency < 0.14)].sum() > 0.05 * power.sum()


def test_waves_follow_effort() -> None:
    """QT shortens with the rate; R shrinks, S deepens, and T towers in early recovery."""
    record = _to_maximum().record
    assert record.truth is not None

    def mean_beat(begin_s: float, end_s: float) -> NDArray[np.float64]:
        beats = record.truth.between(int(begin_s * 250), int(end_s * 250)).r_samples  # type: ignore[union-attr]  # asserted above
        mean: NDArray[np.float64] = record.millivolts[beats[:, np.newaxis] + np.arange(-10, 110)].mean(axis=0)
        return mean

    rest, maximum, recovery = mean_beat(200, 290), mean_beat(1270, 1289), mean_beat(1300, 1306)
    apex = [25 + int(np.argmax(beat[25:100])) for beat in (rest, recovery)]
    assert apex[1] < 0.75 * apex[0]
    assert maximum[10] < 0.95 * rest[10]
    assert maximum[10:25].min() < rest[10:25].min() - 0.05
    assert recovery[25:100].max() > 1.15 * rest[25:100].max()


@pytest.mark.parametrize("heart", sorted(HEARTS))
@pytest.mark.parametrize("rate_hz", [130.0, 1000.0])
def test_truth_is_the_peak_in_every_heart(heart: str, rate_hz: float) -> None:
    """From rest to maximum, with V and runs, the R peak is the farthest of the QRS, to a sample or 2 ms."""
    athlete = SyntheticAthlete(
        heart=HEARTS[heart],
        programme=PROGRAMMES["sprints"].scaled(300.0),
        noise_mv=0.0,
        wander_mv=0.0,
        breathing_gain=0.06,
        events=tuple(
            event
            for at_s in np.arange(30.0, 280.0, 25.0).tolist()
            for event in (PrematureBeat(at_s=at_s), VentricularRun(at_s=at_s + 12.0, beats=6, rate_bpm=220.0))
        ),
    )
    record = synthesize(athlete, rate_hz=rate_hz, seconds=300.0, seed=2)
    assert record.truth is not None
    reach = int(0.05 * rate_hz)
    beats = record.truth.r_samples
    beats = beats[(beats > reach) & (beats < len(record) - reach)]
    around = np.abs(record.millivolts[beats[:, np.newaxis] + np.arange(-reach, reach + 1)])
    assert np.abs(np.argmax(around, axis=1) - reach).max() <= max(1, 0.002 * rate_hz)


def test_effort_and_steps_are_told() -> None:
    """Effort lies in 0 to 1, steps begin with it and quicken, and both can be asked for at any sample."""
    session = _to_maximum()
    length = len(session.record)
    samples = np.array([0, 100 * 250, 1280 * 250, length - 1])
    effort, steps = session.effort_at(samples), session.steps_hz_at(samples)
    assert effort.tolist() == pytest.approx([0.0, 0.0, 1.0, 0.02], abs=0.01)
    assert steps.tolist() == pytest.approx([0.0, 0.0, 3.0, 0.0], abs=0.01)
    assert session.effort.min() >= 0.0
    assert session.effort.max() <= 1.0
    assert set(np.unique(np.floor(session.steps_hz)).tolist()) <= {0.0, 1.0, 2.0, 3.0}
    assert len(session.effort) == len(session.steps_hz) == len(session.heart_rate_bpm)


def test_phases_are_in_the_truth() -> None:
    """The phases of effort cover the record in order."""
    truth = _to_maximum().record.truth
    assert truth is not None
    assert [span.kind for span in truth.phases] == ["rest", "warm-up", "effort", "maximum", "recovery"]
    assert truth.phases[0].onset_sample == 0
    assert truth.phases[-1].end_sample == len(_to_maximum().record)
    assert all(a.end_sample == b.onset_sample for a, b in zip(truth.phases, truth.phases[1:], strict=False))


def test_wenckebach_at_rest_only() -> None:
    """A Wenckebach heart drops beats at rest, each after PR intervals that grew, and none at effort."""
    athlete = SyntheticAthlete(heart=HEARTS["wenckebach"], programme=PROGRAMMES["maximum"])
    truth = synthesize(athlete, rate_hz=250.0, seconds=_SECONDS, seed=7).truth
    assert truth is not None
    dropped = truth.lone_p_samples / 250.0
    assert len(dropped) > 3
    assert (dropped < 350.0).sum() + (dropped > 1400.0).sum() == len(dropped)
    assert [span.kind for span in truth.rhythms].count("BII") == len(dropped)
    for span in truth.rhythms:
        if span.kind == "BII":
            inside = (truth.r_samples >= span.onset_sample) & (truth.r_samples < span.end_sample)
            assert 3 <= inside.sum() <= 5


def test_same_athlete_at_every_rate_and_in_every_team() -> None:
    """A training athlete has the same beats at 130 and 500 Hz, whoever else is there; others differ."""
    slow, fast = (
        training_session(3, seconds=300.0, seed=5, rate_hz=rate_hz, burden="frequent").record.truth
        for rate_hz in (130.0, 500.0)
    )
    assert slow is not None
    assert fast is not None
    assert slow.symbols == fast.symbols
    np.testing.assert_allclose(slow.r_samples / 130.0, fast.r_samples / 500.0, atol=0.5 / 130 + 0.5 / 500)
    assert [span.kind for span in slow.rhythms] == [span.kind for span in fast.rhythms]
    again = training_session(3, seconds=300.0, seed=5, rate_hz=130.0, burden="frequent").record.truth
    assert again is not None
    np.testing.assert_array_equal(again.r_samples, slow.r_samples)
    assert training_athlete(3, seconds=300.0, seed=5) != training_athlete(4, seconds=300.0, seed=5)


@pytest.mark.parametrize("burden", BURDENS)
def test_any_training_athlete_can_be_made(burden: Burden) -> None:
    """Random events never overlap each other, placed events or the end, whoever the athlete is."""
    placed = (PrematureBeat(at_s=150.0), VentricularRun(at_s=160.0, beats=4))
    for number in range(12):
        truth = training_session(
            number,
            seconds=300.0,
            seed=8,
            rate_hz=130.0,
            burden=burden,
            events=placed,
        ).record.truth
        assert truth is not None
        assert (np.diff(truth.r_samples) > 0).all()
        assert truth.between(159 * 130, 165 * 130).class_names.count("V") >= 4
        if burden == "none":
            assert truth.class_names.count("V") == 5


def test_wrong_names_and_phases_are_refused() -> None:
    """The text names what there is."""
    for call, text in (
        (lambda: find_heart("lion"), "heart 'lion': there are usual"),
        (lambda: find_programme("war"), "programme 'war': there are rest"),
        (lambda: Programme(()), "one or more"),
        (lambda: Programme((Phase(name="effort", seconds=60.0, effort=1.5),)), "effort 1.5"),
        (lambda: Programme((Phase(name="effort", seconds=0.0, effort=0.5),)), "1 to 86400 s"),
    ):
        with pytest.raises(UsageError, match=text):
            call()
