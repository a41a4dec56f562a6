"""How much speaks for a beat being ventricular, when more is asked than its own window: motion looks wide, too.

The classifier says how likely V or F is for one beat. What a run, a couplet or a count of V rests on is more than that:
an athlete who runs shakes the electrodes at the pace of the steps, and each step may be taken for a beat that is wide
and tall. So to the classifier's log odds are added weights for what tells a heart from a step: how noisy the signal has
been lately between the beats that look as ever, whether the complex is far taller than the athlete's own, whether it
has no edges that stand close together, how much earlier than usual it comes, and whether in-time beats of this athlete
often look like it. A beat that is called V and has
little for it is not named; in a row of such beats the mean of the log odds decides.

The weights are those of a logistic regression over beats of DS1 (classes by a network that had not seen them) and of
synthetic training with motion, rounded; the offset makes up for a network that is shy of V. From what mean on a run is
told was chosen on DS1 and svdb, which are no test of it any more.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from monitor.compiled import compiled
from monitor.contract import AAMI_CLASSES, CONTEXT_FIELDS, WINDOW_POINTS, Beats, IntArray
from monitor.rows import Rows, RowStage

NAMED_FROM: Final = 0.0
"""Log odds below which a beat that the classifier called V or F has no name."""
USUAL_NOISE: Final = 0.05
"""Noise between beats, as a share of the height of the athlete's own QRS, at which nothing is taken off."""
TALL_FROM: Final = 2.0
"""Height over that of the athlete's own QRS from which on a complex is too tall to be one."""
SPREAD_FROM_S: Final = 0.05
NOISE_WEIGHT: Final = 0.45
TALL_WEIGHT: Final = 3.5
SPREAD_WEIGHT: Final = 45.0
"""A second."""
EARLY_WEIGHT: Final = 2.4
USUAL_WEIGHT: Final = 2.0
OFTEN_FROM: Final = 0.15
"""Share of the athlete's beats from which on a shape is one that is often seen."""
IN_TIME_FROM: Final = 0.85
"""RR interval over the usual one from which on a beat comes in time."""
OFFSET: Final = 0.4

_CERTAIN = 0.98
_EARLIEST, _LATEST = 0.3, 1.2
_LOOKS_USUAL_BELOW = 0.5
_LEAST_NOISE, _MOST_NOISE = 0.01, 2.0
_RISES, _FALLS = 1.0 / 16.0, 1.0 / 4.0
_R = WINDOW_POINTS // 2
_QRS = (_R - 36, _R + 54)
_BETWEEN = ((_R - 90, _R - 36), (_R + 54, _R + 140))
_V, _F = AAMI_CLASSES.index("V"), AAMI_CLASSES.index("F")
_HEIGHT = CONTEXT_FIELDS.index("qrs_height_ratio")
_SPREAD = CONTEXT_FIELDS.index("qrs_spread_s")
_RR = CONTEXT_FIELDS.index("rr_before_usual_ratio")
_SHARE = CONTEXT_FIELDS.index("shape_share")
_TIMELY = CONTEXT_FIELDS.index("shape_timely_share")
_RR_RECENT = CONTEXT_FIELDS.index("rr_before_ratio")


@compiled
def _noise(window: NDArray[np.float32], usual: NDArray[np.float32]) -> float:
    """Return the RMS of what the usual beat leaves of a window on both sides of the QRS, over the usual QRS's height.

    NaN as long as there is no usual beat.
    """
    low, high = usual[_QRS[0]], usual[_QRS[0]]
    for j in range(_QRS[0], _QRS[1]):
        low = min(low, usual[j])
        high = max(high, usual[j])
    if not high > low:
        return np.nan
    n, total, square = 0, 0.0, 0.0
    for first, end in _BETWEEN:
        for j in range(first, end):
            left = window[j] - usual[j]
            n += 1
            total += left
            square += left * left
    return float(np.sqrt(max(square / n - (total / n) ** 2, 0.0)) / (high - low))


@compiled
def _weigh(
    rows: NDArray[np.int64],
    probabilities: NDArray[np.float32],
    window: NDArray[np.float32],
    template: NDArray[np.float32],
    context: NDArray[np.float32],
    noises: NDArray[np.float64],
    odds: NDArray[np.float64],
) -> None:
    for beat in range(len(rows)):
        row = rows[beat]
        p = float(probabilities[beat, _V] + probabilities[beat, _F])
        sure = min(max(p, 1.0 - _CERTAIN), _CERTAIN)
        weight = OFFSET + np.log(sure / (1.0 - sure)) - NOISE_WEIGHT * (noises[row] - np.log(USUAL_NOISE))
        height, spread = context[beat, _HEIGHT], context[beat, _SPREAD]
        # Early is what comes before its time at rest, and at the pace that the heart has reached by now.
        rr = max(context[beat, _RR], context[beat, _RR_RECENT])
        # What is not known (NaN) takes nothing off and adds nothing.
        if height > TALL_FROM:
            weight -= TALL_WEIGHT * np.log(height / TALL_FROM)
        if spread > SPREAD_FROM_S:
            weight -= SPREAD_WEIGHT * (spread - SPREAD_FROM_S)
        if rr > 0.0:
            weight -= EARLY_WEIGHT * np.log(min(max(rr, _EARLIEST), _LATEST))
        often = (context[beat, _SHARE] - OFTEN_FROM) * context[beat, _TIMELY]
        if rr >= IN_TIME_FROM and often > 0.0:
            weight -= USUAL_WEIGHT * often
        odds[beat] = weight
        if p < _LOOKS_USUAL_BELOW:
            here = _noise(window[beat], template[beat])
            if not np.isnan(here):
                here = np.log(min(max(here, _LEAST_NOISE), _MOST_NOISE))
                # Rises slowly, so that a few beats of a tachycardia that look usual are no noise.
                noises[row] += (here - noises[row]) * (_RISES if here > noises[row] else _FALLS)


class VentricularOddsBank(RowStage):
    """Weighs what speaks for each beat being ventricular, in the rows of a bank.

    Parameters
    ----------
    capacity : int
        Rows to begin with.
    """

    def __init__(self, *, capacity: int) -> None:
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("noise", np.float64, fill=float(np.log(USUAL_NOISE)))

    def begin(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap."""
        self._state.reset(rows)

    def process(self, beats: Beats) -> NDArray[np.float64]:
        """Return the log odds of each beat, float64 of shape ``[beats]``; its noise counts for those after it.

        Parameters
        ----------
        beats : Beats
            New beats, classified, of any rows, each row's in order.
        """
        odds = np.empty(len(beats))
        if len(beats):
            _weigh(
                beats.rows,
                beats.probabilities,
                beats.window,
                beats.template,
                beats.context,
                self._state["noise"],
                odds,
            )
        return odds
