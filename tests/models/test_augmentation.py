"""Variation keeps what tells the classes apart."""

import numpy as np
from numpy.typing import NDArray

from models.augmentation import MAX_JITTER, augment_context, augment_windows, quicken
from monitor.contract import CONTEXT_FIELDS, RR_FIELDS

_TIME_S = (np.arange(600) - 300) / 360.0
_WINDOW = np.tile(np.exp(-0.5 * (_TIME_S / 0.02) ** 2), (64, 1)).astype(np.float32)
_CONTEXT = np.full((64, len(CONTEXT_FIELDS)), 1.0, np.float32)
_CONTEXT[:, :6] = [0.9, np.nan, 0.9, 1.0, np.nan, 1.0]
_PLACE = {name: place for place, name in enumerate(CONTEXT_FIELDS)}


def _width(window: NDArray[np.float32]) -> int:
    middle = np.abs(window[260:340])
    return int((middle > middle.max() / 2).sum())


def test_seeds_repeat() -> None:
    """The same seed varies the same beats alike, and the input is left as it was."""
    before = _WINDOW.copy(), _CONTEXT.copy()
    runs = [
        (*augment_windows(_WINDOW, _WINDOW, random), *augment_context(_CONTEXT, _WINDOW, random))
        for random in (np.random.default_rng(3), np.random.default_rng(3))
    ]
    for one, other in zip(*runs, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(_WINDOW, before[0])
    np.testing.assert_array_equal(_CONTEXT, before[1])


def test_beats_move_little_and_keep_their_width() -> None:
    """R peaks stay within the jitter of the middle; no complex grows broad."""
    varied, template = augment_windows(_WINDOW, _WINDOW, np.random.default_rng(0))
    assert template.shape == _WINDOW.shape
    assert varied.shape == _WINDOW.shape
    assert varied.dtype == np.float32
    centred = varied - np.median(varied, axis=1, keepdims=True)
    peaks = np.abs(centred[:, 200:400]).argmax(axis=1) + 200
    assert np.abs(peaks - 300).max() <= MAX_JITTER + 2
    assert max(_width(window) for window in centred) <= _width(_WINDOW[0]) + 6


def test_unknown_context_stays_unknown() -> None:
    """What was NaN is never made up; a beat that loses its template knows nothing that rests on it."""
    varied, template = augment_context(_CONTEXT, _WINDOW, np.random.default_rng(0))
    bare = ~template.any(axis=1)
    assert 0 < bare.sum() < 12
    assert np.isnan(varied[bare, RR_FIELDS:]).all()
    assert np.isnan(varied[:, [1, 4]]).all()
    ratios = varied[:, 3][~np.isnan(varied[:, 3])]
    assert len(ratios) > 50
    assert (np.abs(np.log(ratios)) < 0.2).all()


def test_quickened_beats_are_even_and_others_untouched() -> None:
    """A chosen beat gets neighbours where its RR context says, the same width, and ratios near 1."""
    chosen = np.arange(64) % 2 == 0
    window, template, context = quicken(_WINDOW, _WINDOW, _CONTEXT, chosen, np.random.default_rng(1))
    np.testing.assert_array_equal(window[~chosen], _WINDOW[~chosen])
    np.testing.assert_array_equal(context[~chosen], _CONTEXT[~chosen])
    for beat in np.flatnonzero(chosen):
        before = 300 - int(np.rint(context[beat, 0] * 360))
        assert abs(int(window[beat, before - 20 : before + 20].argmax()) - 20) <= 1
        assert _width(window[beat]) == _width(_WINDOW[0])
    np.testing.assert_array_equal(template[~chosen], _WINDOW[~chosen])
    ratios = context[chosen][:, [3, 5, _PLACE["rr_before_usual_ratio"]]]
    assert (np.abs(np.log(ratios)) < 0.25).all()
    assert (context[chosen, 0] < 0.85).all()


def test_quicken_without_a_choice_changes_nothing() -> None:
    """No chosen beat, or no beat at all, comes back as it went in."""
    none = np.zeros(64, np.bool_)
    window, template, context = quicken(_WINDOW, _WINDOW, _CONTEXT, none, np.random.default_rng(1))
    np.testing.assert_array_equal(window, _WINDOW)
    np.testing.assert_array_equal(template, _WINDOW)
    np.testing.assert_array_equal(context, _CONTEXT)
