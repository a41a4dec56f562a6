"""Hearts of other people: waves a little higher, wider, earlier or later, ectopic beats from other places."""

from dataclasses import replace
from typing import Final

import numpy as np

from simulators.athlete_hearts import ECTOPIC_P, Heart, P, Wave, Waves

_NOTCHES: Final = (0.15, 0.5)
_VENTRICULAR_WIDTHS: Final = (0.62, 1.05)
_UPRIGHT_SHARE: Final = 0.7
_ECTOPIC_P_HEIGHTS, _ECTOPIC_P_PHASES, _ECTOPIC_P_WIDTHS = (0.4, 1.1), (-0.17, -0.11), (0.016, 0.027)


def vary(heart: Heart, random: np.random.Generator) -> Heart:
    """Return another person's heart of the same kind: waves a little higher, wider, earlier or later.

    Ventricular beats differ more: recordings have some not much wider than their neighbours.
    """
    gain = float(random.lognormal(0.0, 0.2))

    def other(waves: Waves, width: float = 1.0) -> Waves:
        return tuple(
            replace(
                wave,
                millivolts=wave.millivolts * gain * float(random.lognormal(0.0, 0.12)),
                phase=wave.phase * float(random.uniform(0.93, 1.07)) * (width if wave.role == "V" else 1.0),
                width=wave.width * float(random.uniform(0.9, 1.12)) * (width if wave.role == "V" else 1.0),
            )
            for wave in waves
        )

    return replace(
        heart,
        rest_bpm=heart.rest_bpm * float(random.uniform(0.93, 1.07)),
        maximum_bpm=heart.maximum_bpm * float(random.uniform(0.95, 1.05)),
        variability=heart.variability * float(random.uniform(0.7, 1.3)),
        sinus=other(heart.sinus),
        ventricular=other(heart.ventricular, float(random.uniform(*_VENTRICULAR_WIDTHS))),
        other_ventricular=other(heart.other_ventricular, float(random.uniform(*_VENTRICULAR_WIDTHS))),
    )


def vary_ventricular(heart: Heart, random: np.random.Generator) -> Heart:
    """Return a heart whose V differ from its own beats as those of people do.

    In recordings V are half to twice as high as their neighbours, and mostly as steep: their complexes are notched
    where the excitation changes its way. Without a notch they would be blunt, and easier to tell than they are.
    """

    def other(waves: Waves) -> Waves:
        gain = float(random.lognormal(0.0, 0.3))
        peak = max((wave for wave in waves if wave.with_rate == 0.0), key=lambda wave: abs(wave.millivolts))
        notch = Wave(
            peak.millivolts * float(random.uniform(*_NOTCHES)),
            float(random.choice((-1.0, 1.0))) * peak.width * float(random.uniform(0.6, 1.0)),
            float(random.uniform(0.009, 0.014)),
        )
        return tuple(replace(wave, millivolts=gain * wave.millivolts) for wave in (*waves, notch))

    return replace(
        heart, ventricular=other(heart.ventricular), other_ventricular=other(heart.other_ventricular)
    )


def vary_atrial(heart: Heart, random: np.random.Generator) -> Heart:
    """Return a heart whose premature atrial beats begin anywhere in the atria.

    From most places the P wave is upright, not much unlike the sinus node's, and lies at any distance from the QRS
    complex; were it always upside down and close to it, these beats would be easier to tell than people's.
    """
    upright = bool(random.random() < _UPRIGHT_SHARE)
    own = next((wave.millivolts for wave in heart.sinus if wave.role == "P"), P.millivolts)
    height = abs(own) * float(random.uniform(*_ECTOPIC_P_HEIGHTS))
    return replace(
        heart,
        ectopic_p=replace(
            ECTOPIC_P,
            millivolts=height if upright else -height,
            phase=float(random.uniform(*_ECTOPIC_P_PHASES)),
            width=float(random.uniform(*_ECTOPIC_P_WIDTHS)),
        ),
    )
