"""Beats: windows cut as they close, RR intervals as far as they are known, nobody lost."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.beats import LATEST_S, MAX_RR_S, WAITING, BeatBank, input_path_version
from monitor.contract import CONTEXT_FIELDS, UNSURE_LABEL, WINDOW_POINTS, WINDOW_S, Beats, Peaks
from monitor.denoise import SEGMENT_POINTS, denoise
from monitor.history import History

RATE_HZ = 360.0
ROW = np.array([0])
LAST = 299
"""Samples after the R peak that a window needs at 360 Hz."""
Signal = NDArray[np.float64]


def _peaks(r_samples: list[int], known: list[int], quality: float = 0.9) -> Peaks:
    n = len(r_samples)
    return Peaks(np.zeros(n, np.int64), np.array(r_samples), np.array(known), np.full(n, quality, np.float32))


def _signal(n: int, seed: int = 0) -> Signal:
    return np.cumsum(np.random.default_rng(seed).normal(0.0, 0.05, n)).astype(np.float32).astype(np.float64)


class _Bench:
    """A beat stage with its history, given signal and peaks as a line would."""

    def __init__(self, rate_hz: float = RATE_HZ) -> None:
        self.bank = BeatBank(rate_hz, capacity=1)
        self.history = History(rate_hz, capacity=1)

    def run(self, signal: Signal, peaks: Peaks, lengths: list[int], *, begin: int = 0) -> Beats:
        """Give all of `signal` from `begin` on in blocks of `lengths`, the last one over and over."""
        parts = []
        sizes, size, at = iter(lengths), 1, begin
        while at < len(signal):
            size = next(sizes, size)
            end = min(at + size, len(signal))
            self.history.append(ROW, np.array([at]), signal[np.newaxis, at:end])
            due = (peaks.known_sample >= at) & (peaks.known_sample < end)
            new = Peaks(peaks.rows[due], peaks.r_sample[due], peaks.known_sample[due], peaks.quality[due])
            parts.append(self.bank.process(ROW, new, self.history))
            at = end
        return Beats.join(parts)

    def cut(self) -> Beats:
        """End the signal here."""
        return self.bank.cut_short(ROW, self.history)


def _same(one: Beats, other: Beats) -> bool:
    return all(
        getattr(one, name).tobytes() == getattr(other, name).tobytes() for name in Beats.__dataclass_fields__
    )


def test_the_window_is_the_denoised_signal_around_the_peak() -> None:
    """At 360 Hz the window is the denoised stretch of signal itself, the R peak at index 300."""
    signal = _signal(4000)
    beats = _Bench().run(signal, _peaks([2500], [2590]), [360])
    segment = signal[2500 + 300 - SEGMENT_POINTS : 2800].astype(np.float32)
    assert beats.window.shape == (1, WINDOW_POINTS)
    assert np.array_equal(beats.window[0], denoise(segment[np.newaxis])[0, -WINDOW_POINTS:])
    assert beats.known_sample.tolist() == [2500 + LAST]
    assert beats.complete.all()
    assert (beats.label == UNSURE_LABEL).all()
    assert not beats.probabilities.any()


@pytest.mark.parametrize("rate_hz", [100.0, 128.0, 130.0, 250.0, 360.0, 500.0, 1000.0])
def test_a_window_needs_what_it_states_at_every_rate(rate_hz: float) -> None:
    """At every rate a slow wave lies in the window as on the common grid, known 0.833 s after the R peak."""
    n, r = int(8 * rate_hz), int(4 * rate_hz)
    time_s = (np.arange(n) - r) / rate_hz
    signal = np.sin(2 * np.pi * 3.0 * time_s).astype(np.float32).astype(np.float64)
    beats = _Bench(rate_hz).run(signal, _peaks([r], [r + 5]), [50])
    grid_s = (np.arange(WINDOW_POINTS) - 300) / 360.0
    np.testing.assert_allclose(beats.window[0, :-8], np.sin(2 * np.pi * 3.0 * grid_s)[:-8], atol=0.03)
    # The window's last point lies one step of the grid before its length.
    wait_s = (beats.known_sample[0] - r) / rate_hz
    assert 299 / 360.0 <= wait_s + 1e-9 < 299 / 360.0 + 1.0 / rate_hz
    assert wait_s < WINDOW_S + 1.0 / rate_hz


@pytest.mark.parametrize("rate_hz", [128.0, 250.0, 360.0, 1000.0])
def test_no_sample_after_the_window_is_used(rate_hz: float) -> None:
    """Whatever follows the sample at which a beat is known, its window is the same to the last bit."""
    n, r = int(8 * rate_hz), int(4 * rate_hz)
    signal = _signal(n)
    beats = _Bench(rate_hz).run(signal, _peaks([r], [r + 5]), [int(rate_hz)])
    corrupt = signal.copy()
    corrupt[int(beats.known_sample[0]) + 1 :] = 50.0
    assert _same(_Bench(rate_hz).run(corrupt, _peaks([r], [r + 5]), [int(rate_hz)]), beats)


def test_nothing_before_a_restart_is_used() -> None:
    """A window that reaches back over a restart repeats the first sample since, not what was before."""
    signal = _signal(6000)
    windows = []
    for before in (signal, signal * 0.0 + 9.0):
        bench = _Bench()
        bench.run(before[:3000], Peaks.empty(), [360])
        bench.history.restart(ROW, np.array([3000]))
        windows.append(bench.run(signal, _peaks([3100], [3150]), [360], begin=3000).window)
    assert np.array_equal(windows[0], windows[1])
    assert np.isfinite(windows[0]).all()


def test_rr_intervals_as_far_as_they_are_known() -> None:
    """The context holds the RR intervals before and after, their median, and their ratios."""
    r_samples = [1000, 1360, 1720, 1900, 2440]
    known = [r + 90 for r in r_samples]
    beats = _Bench().run(_signal(4000), _peaks(r_samples, known), [100])
    context = {name: beats.context[:, index] for index, name in enumerate(CONTEXT_FIELDS)}
    nan = np.nan
    expected = {
        "rr_before_s": [nan, 1.0, 1.0, 0.5, 1.5],
        # Known only where the next peak is known by the time the window closes, 299 samples after the R peak.
        "rr_after_s": [nan, nan, 0.5, nan, nan],
        "rr_median_s": [nan, nan, 1.0, 1.0, 1.0],
        "rr_before_ratio": [nan, nan, 1.0, 0.5, 1.5],
        "rr_after_ratio": [nan, nan, 0.5, nan, nan],
        "rr_before_previous_ratio": [nan, nan, 1.0, 0.5, 3.0],
    }
    for name, values in expected.items():
        np.testing.assert_allclose(context[name], values, err_msg=name)
    np.testing.assert_array_equal(beats.rr_s, context["rr_before_s"])


def test_an_interval_too_long_to_be_one_is_void() -> None:
    """An RR interval of more than the stated length is no interval."""
    far = 1000 + int(MAX_RR_S * RATE_HZ)
    r_samples = [1000, far, far + int(MAX_RR_S * RATE_HZ) + 1]
    beats = _Bench().run(_signal(9500), _peaks(r_samples, [r + 90 for r in r_samples]), [360])
    np.testing.assert_array_equal(beats.rr_s, np.array([np.nan, MAX_RR_S, np.nan], np.float32))


def test_the_end_of_the_signal_loses_nobody() -> None:
    """Beats that wait come out incomplete, without a window, and the next RR interval is void."""
    bench = _Bench()
    signal = _signal(5000)
    done = bench.run(signal[:2000], _peaks([1500, 1720, 1850], [1590, 1810, 1940]), [360])
    assert done.r_sample.tolist() == [1500]
    left = bench.cut()
    assert left.r_sample.tolist() == [1720, 1850]
    assert left.known_sample.tolist() == [1999, 1999]
    assert not left.complete.any()
    assert not left.window.any()
    assert left.context[0, 1] == pytest.approx(130 / RATE_HZ)
    assert len(bench.cut()) == 0
    later = bench.run(signal, _peaks([2100, 2460], [2190, 2550]), [360], begin=2000)
    np.testing.assert_array_equal(later.rr_s, np.array([np.nan, 1.0], np.float32))


@pytest.mark.parametrize("length", [1, 50, 360])
def test_a_beat_recovered_late_has_a_window_only_while_the_history_has_it(length: int) -> None:
    """Up to the stated delay a late beat has its window, later it is incomplete, whatever the blocks' length."""
    latest = int(LATEST_S * RATE_HZ)
    signal = _signal(9000)
    # What the history holds no more must not be read: later samples are far from earlier ones.
    signal[5000:] += 40.0
    for delay, complete in ((latest, True), (latest + 1, False)):
        bench = _Bench()
        head = bench.run(signal[: 3000 + latest - 10], Peaks.empty(), [360])
        assert len(head) == 0
        beats = bench.run(signal, _peaks([3000], [3000 + delay]), [length], begin=3000 + latest - 10)
        assert beats.complete.tolist() == [complete]
        assert beats.known_sample.tolist() == [3000 + delay]
        assert np.abs(beats.window).max() < 20.0
        assert beats.window.any() == complete


def test_as_many_as_can_come_at_once_can_wait() -> None:
    """Peaks as close as the detector lets them be, known all at once, all come out."""
    # Three seconds of peaks 0.2 s apart, recovered at once, and those of another second's block.
    r_samples = [720 + 72 * index for index in range(20)]
    assert len(r_samples) < WAITING
    known = [r_samples[-1] + 80] * len(r_samples)
    beats = _Bench().run(_signal(6000), _peaks(r_samples, known), [360])
    assert beats.r_sample.tolist() == r_samples


def _story(seed: int) -> tuple[Signal, Peaks]:
    random = np.random.default_rng(seed)
    r_samples = 100 + np.cumsum(random.integers(75, 600, 20))
    known = np.maximum.accumulate(r_samples + random.choice([60, 90, 140, 500], 20))
    return _signal(int(r_samples[-1]) + 900, seed), _peaks(r_samples.tolist(), known.tolist())


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 20), lengths=st.lists(st.integers(1, 360), min_size=1, max_size=40))
def test_blocks_of_any_length_give_the_same_bits(seed: int, lengths: list[int]) -> None:
    """However the samples are cut, beats are the same to the last bit, in order of what is known."""
    signal, peaks = _story(seed)
    whole = _Bench().run(signal, peaks, [360])
    assert _same(_Bench().run(signal, peaks, [*lengths, 97]), whole)
    assert whole.r_sample.tolist() == peaks.r_sample.tolist()
    assert (np.diff(whole.known_sample) >= 0).all()


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 20), cut=st.integers(1, 4000))
def test_a_row_goes_on_elsewhere(seed: int, cut: int) -> None:
    """After export and import beats come as if the row had never moved."""
    signal, peaks = _story(seed)
    cut = min(cut, len(signal) - 1)
    bench, other = _Bench(), _Bench()
    early = bench.run(signal[:cut], peaks, [211])
    other.bank.import_row(0, bench.bank.export_row(0))
    other.history.import_row(0, bench.history.export_row(0))
    late = other.run(signal, peaks, [97], begin=cut)
    assert _same(Beats.join([early, late]), _Bench().run(signal, peaks, [360]))


def test_the_input_path_has_a_stable_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """The version is the same each time, and another as soon as anything that shapes a window changes."""
    version = input_path_version()
    assert version == input_path_version()
    assert len(version) == 12
    monkeypatch.setattr("monitor.filters.CLASSIFIER_BAND_HZ", (0.5, 35.0))
    assert input_path_version() != version
