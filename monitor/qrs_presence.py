"""Whether there is a QRS complex where a beat was found: without one no class can be told.

`benchmarks.classifier_strange` says what is called of complexes taken out, and how many real beats are unsure.
"""

from typing import Final

import numpy as np

from monitor.contract import WINDOW_POINTS, BoolArray, FloatArray

_R: Final = WINDOW_POINTS // 2
_AROUND: Final = slice(_R - 25, _R + 25)
_QRS: Final = slice(_R - 36, _R + 54)
_LEAST_HEIGHT: Final = 0.15
"""Of the usual complex."""


def lacks_qrs(window: FloatArray, template: FloatArray) -> BoolArray:
    """Return which windows are flat, against the athlete's usual beat, where their QRS complex should be.

    Parameters
    ----------
    window, template : ndarray of float32, shape ``[beats, 600]``
        Millivolt; a template of zeros is one not known yet, against which nothing is flat.
    """
    answer: BoolArray = np.ptp(window[:, _AROUND], axis=1) < _LEAST_HEIGHT * np.ptp(template[:, _QRS], axis=1)
    return answer
