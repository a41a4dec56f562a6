"""What the network sees does not depend on gain, offset, or on what is not known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.encoding import CONTEXT_WIDTH, encode_context, encode_windows
from monitor.contract import CONTEXT_FIELDS, WINDOW_POINTS

_RANDOM = np.random.default_rng(1)
_WINDOWS = _RANDOM.standard_normal((3, WINDOW_POINTS)).astype(np.float32)
_TEMPLATES = _RANDOM.standard_normal((3, WINDOW_POINTS)).astype(np.float32)
_TEMPLATES[1] = 0.0
_WIDTH = len(CONTEXT_FIELDS)


@given(gain=st.floats(0.01, 100.0), offset=st.floats(-10.0, 10.0))
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    """Window and template in another unit, or riding on another baseline, are the same to the network."""
    # float32 cannot hold more of a small signal on a large offset.
    tolerance = 1e-4 * (1 + abs(offset) / gain)
    np.testing.assert_allclose(
        encode_windows(
            _WINDOWS * np.float32(gain) + np.float32(offset),
            _TEMPLATES * np.float32(gain) + np.float32(offset),
        ),
        encode_windows(_WINDOWS, _TEMPLATES),
        atol=tolerance,
    )


def test_a_beat_larger_than_usual_looks_so() -> None:
    """With a template the window keeps its size beside it; without one it is measured by itself."""
    once, twice = encode_windows(_WINDOWS, _TEMPLATES), encode_windows(2 * _WINDOWS, _TEMPLATES)
    np.testing.assert_allclose(twice[[0, 2], 0], 2 * once[[0, 2], 0], rtol=1e-5)
    np.testing.assert_allclose(twice[1], once[1], rtol=1e-5)


def test_windows_are_encoded_one_by_one() -> None:
    """A window's encoding does not depend on its neighbours in the batch."""
    np.testing.assert_array_equal(
        encode_windows(_WINDOWS, _TEMPLATES)[1:2], encode_windows(_WINDOWS[1:2], _TEMPLATES[1:2])
    )


def test_flat_and_empty_windows_stay_finite() -> None:
    """A flat window is zeros, no window is no window, a spike is clipped."""
    flat = np.full((1, WINDOW_POINTS), 3.0, np.float32)
    assert not encode_windows(flat, flat).any()
    assert encode_windows(flat[:0], flat[:0]).shape == (0, 2, WINDOW_POINTS)
    spike = np.zeros((1, WINDOW_POINTS), np.float32)
    spike[0, 7] = 1e6
    assert np.abs(encode_windows(spike, _TEMPLATES[:1])).max() <= 20


def test_unknown_context_is_flagged() -> None:
    """NaN, infinity, and times and ratios not above zero become 0 with flag 0; a usual value keeps flag 1."""
    context = np.full((1, _WIDTH), np.nan, np.float32)
    context[0, :6] = [0.8, np.nan, 0.0, 1.0, np.inf, -1.0]
    correlation = CONTEXT_FIELDS.index("qrs_correlation")
    context[0, correlation] = -0.5
    encoded = encode_context(context)
    assert encoded.shape == (1, CONTEXT_WIDTH) == (1, 2 * _WIDTH)
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    assert np.flatnonzero(encoded[0, _WIDTH:]).tolist() == [0, 3, correlation]
    assert np.flatnonzero(encoded[0, :_WIDTH]).tolist() == [correlation]
    assert encoded[0, correlation] == np.float32(-0.5)


def test_an_early_beat_lies_below_zero() -> None:
    """A shorter RR interval than usual is negative, a longer one positive, both within -1 and 1."""
    context = np.full((1, _WIDTH), np.nan, np.float32)
    context[0, :6] = [0.4, 1.5, 0.8, 0.5, 1.9, 0.5]
    value = encode_context(context)[0, :6]
    assert (np.sign(value) == [-1, 1, 0, -1, 1, -1]).all()
    assert (np.abs(value) < 1).all()
