"""Wavelet denoising: each segment by itself, scale with the signal, noise less, waves kept."""

import numpy as np
import pytest
import pywt
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from monitor.contract import WINDOW_POINTS
from monitor.denoise import EXTENSION, GRID_HZ, LEVELS, SEGMENT_POINTS, WAVELET, denoise
from simulators.synthetic import SyntheticAthlete, synthesize

Segments = NDArray[np.float32]


def _segments(noise_mv: float) -> Segments:
    record = synthesize(
        SyntheticAthlete(noise_mv=noise_mv, wander_mv=0.0), rate_hz=GRID_HZ, seconds=60.0, seed=4
    )
    starts = np.arange(0, len(record) - SEGMENT_POINTS, 500)
    return np.stack([record.millivolts[start : start + SEGMENT_POINTS] for start in starts])


def test_shape_and_type_are_kept() -> None:
    """Segments keep their shape and type, none at all included."""
    for rows in (0, 1, 5):
        cleaned = denoise(np.ones((rows, SEGMENT_POINTS), np.float32))
        assert cleaned.shape == (rows, SEGMENT_POINTS)
        assert cleaned.dtype == np.float32


@settings(max_examples=20, deadline=None)
@given(order=st.permutations(range(8)), split=st.integers(0, 8))
def test_segments_are_independent(order: list[int], split: int) -> None:
    """A segment's answer is the same to the last bit whatever stands beside it."""
    segments = _NOISY[:8]
    whole = denoise(segments)
    shuffled = segments[order]
    parts = np.concatenate([denoise(shuffled[:split]), denoise(shuffled[split:])])
    assert np.array_equal(parts, whole[order])


@pytest.mark.parametrize("factor", [-1.0, 0.25, 4.0, 1024.0])
def test_it_scales_with_the_signal(factor: float) -> None:
    """Scaling or turning the signal over scales or turns the answer, exactly for powers of two."""
    assert np.array_equal(denoise(_NOISY * np.float32(factor)), denoise(_NOISY) * np.float32(factor))


def test_noise_shrinks_and_waves_stay() -> None:
    """The noise left is less than what came, the R peaks keep their height within 5 %."""
    window = slice(SEGMENT_POINTS - WINDOW_POINTS, None)
    cleaned = denoise(_NOISY)
    before = np.sqrt(np.mean((_NOISY - _CLEAN)[:, window] ** 2))
    after = np.sqrt(np.mean((cleaned - _CLEAN)[:, window] ** 2))
    assert after < 0.75 * before
    np.testing.assert_allclose(denoise(_CLEAN).max(axis=1), _CLEAN.max(axis=1), rtol=0.05)


def test_it_is_the_garrote_at_the_universal_threshold() -> None:
    """The answer is that of the library's own garrote, level by level and segment by segment."""
    for segment in _NOISY[:4]:
        approximation, *details = pywt.wavedec(segment, WAVELET, mode=EXTENSION, level=LEVELS)
        shrunk = []
        for level in details:
            sigma = 1.4826 * np.median(np.abs(level))
            shrunk.append(pywt.threshold(level, sigma * np.sqrt(2 * np.log(SEGMENT_POINTS)), "garrote"))
        expected = pywt.waverec([approximation, *shrunk], WAVELET, mode=EXTENSION)
        np.testing.assert_allclose(denoise(segment[np.newaxis])[0], expected, atol=1e-5)


def test_flat_and_extreme_segments_are_survived() -> None:
    """Zeros stay zeros, a constant stays constant, a thousand millivolts give finite numbers."""
    flat = np.zeros((2, SEGMENT_POINTS), np.float32)
    assert np.array_equal(denoise(flat), flat)
    np.testing.assert_allclose(denoise(flat + 3.0), flat + 3.0, rtol=1e-5)
    steps = np.where(np.arange(SEGMENT_POINTS) % 200 < 100, -1000.0, 1000.0).astype(np.float32)
    assert np.isfinite(denoise(steps[np.newaxis])).all()


def test_the_input_is_not_changed() -> None:
    """Denoising writes into no array it was given."""
    segments = _NOISY.copy()
    denoise(segments)
    assert np.array_equal(segments, _NOISY)


_NOISY, _CLEAN = _segments(0.05), _segments(0.0)
