"""What the network sees does not depend on gain, offset, or on what is not known."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.encoding import CONTEXT_WIDTH, encode_context, encode_windows
from monitor.contract import CONTEXT_FIELDS, WINDOW_POINTS

_WINDOWS = np.random.default_rng(1).standard_normal((3, WINDOW_POINTS)).astype(np.float32)


@given(gain=st.floats(0.01, 100.0), offset=st.floats(-10.0, 10.0))
def test_gain_and_offset_change_nothing(gain: float, offset: float) -> None:
    """A window in another unit, or riding on another baseline, is the same to the network."""
    # float32 cannot hold more of a small signal on a large offset.
    tolerance = 1e-4 * (1 + abs(offset) / gain)
    np.testing.assert_allclose(
        encode_windows(_WINDOWS * np.float32(gain) + np.float32(offset)),
        encode_windows(_WINDOWS),
        atol=tolerance,
    )


def test_windows_are_encoded_one_by_one() -> None:
    """A window's encoding does not depend on its neighbours in the batch."""
    np.testing.assert_array_equal(encode_windows(_WINDOWS)[1:2], encode_windows(_WINDOWS[1:2]))


def test_flat_and_empty_windows_stay_finite() -> None:
    """A flat window is zeros, no window is no window, a spike is clipped."""
    assert not encode_windows(np.full((1, WINDOW_POINTS), 3.0, np.float32)).any()
    assert encode_windows(np.empty((0, WINDOW_POINTS), np.float32)).shape == (0, WINDOW_POINTS)
    spike = np.zeros((1, WINDOW_POINTS), np.float32)
    spike[0, 7] = 1e6
    assert np.abs(encode_windows(spike)).max() <= 20


def test_unknown_context_is_flagged() -> None:
    """NaN, zero and infinity become 0 with flag 0; a usual value keeps flag 1."""
    context = np.array([[0.8, np.nan, 0.0, 1.0, np.inf, -1.0]], np.float32)
    encoded = encode_context(context)
    assert encoded.shape == (1, CONTEXT_WIDTH) == (1, 2 * len(CONTEXT_FIELDS))
    assert encoded.dtype == np.float32
    assert np.isfinite(encoded).all()
    np.testing.assert_array_equal(encoded[0, 6:], [1, 0, 0, 1, 0, 0])
    np.testing.assert_array_equal(encoded[0, :6], 0)


def test_an_early_beat_lies_below_zero() -> None:
    """A shorter RR interval than usual is negative, a longer one positive, both within -1 and 1."""
    context = np.array([[0.4, 1.5, 0.8, 0.5, 1.9, 0.5]], np.float32)
    value = encode_context(context)[0, :6]
    assert (np.sign(value) == [-1, 1, 0, -1, 1, -1]).all()
    assert (np.abs(value) < 1).all()
