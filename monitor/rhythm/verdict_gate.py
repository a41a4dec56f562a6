"""Whether to believe the signal's verdict that the ventricles fibrillate: not while the usual beat goes on.

A fast sinus rhythm with wide beats, shaken by steps, is a fast wide wave without steep slopes too.
"""

from typing import Final

import numpy as np

from monitor.contract import Beats, IntArray
from monitor.rhythm.items import Verdicts
from monitor.rhythm.usual_beats import looks_usual
from monitor.rows import Rows, RowStage

GOES_ON_S: Final = 2.5
"""So long after a usual beat it is believed to go on: its window must close, and the next must come."""

_LONG_AGO = -(1 << 40)
_BEAT, _VERDICT, _END = range(3)
_Told = list[tuple[int, int, int, bool, float]]


class VerdictGate(RowStage):
    """Holds a verdict that the ventricles fibrillate back for as long as the athlete's usual beat goes on.

    Delay: none. In fibrillation there has been no usual beat for seconds by the time the signal's own verdict is known.

    Parameters
    ----------
    rate_hz : float
        Sampling rate.
    capacity : int
        Rows to begin with.
    """

    def __init__(self, rate_hz: float, *, capacity: int) -> None:
        self._goes_on = round(GOES_ON_S * rate_hz)
        self._state = Rows(version=1, capacity=capacity)
        self._state.add("usual_r", np.int64, fill=_LONG_AGO)
        self._state.add("held", np.int64, fill=-1)
        self._state.add("held_bpm", np.float64, fill=np.nan)

    def restart(self, rows: IntArray) -> None:
        """Let `rows` begin with another strap, or go on after a gap."""
        self._state.reset(rows)

    def process(self, rows: IntArray, ends: IntArray, beats: Beats, verdicts: Verdicts) -> Verdicts:
        """Return the verdicts that count.

        Parameters
        ----------
        rows, ends : ndarray of int64, shape ``[rows]``
            Rows that moved on, and the first sample of each that is not known yet.
        beats : Beats
            New beats.
        verdicts : Verdicts
            New verdicts.
        """
        usual_r, held = self._state["usual_r"], self._state["held"]
        usual = looks_usual(beats)
        if not len(verdicts) and not (held[rows] >= 0).any():
            np.maximum.at(usual_r, beats.rows[usual], beats.r_sample[usual])
            return verdicts
        told: _Told = []
        for row, end in zip(rows.tolist(), ends.tolist(), strict=True):
            mine = usual & (beats.rows == row)
            news: list[tuple[int, int, int]] = [
                (known, _BEAT, r)
                for known, r in zip(
                    beats.known_sample[mine].tolist(), beats.r_sample[mine].tolist(), strict=True
                )
            ]
            news += [
                (int(verdicts.known_sample[k]), _VERDICT, k)
                for k in np.flatnonzero(verdicts.rows == row).tolist()
            ]
            for known, what, which in [*sorted(news), (end, _END, 0)]:
                released = int(usual_r[row]) + self._goes_on
                # What is known with the same sample that would release it comes first.
                if held[row] >= 0 and released < known:
                    told.append((row, released, int(held[row]), True, float(self._state["held_bpm"][row])))
                    held[row] = -1
                if what == _BEAT:
                    usual_r[row] = max(int(usual_r[row]), which)
                elif what == _VERDICT:
                    self._take(row, known, verdicts, which, told)
        columns = list(zip(*told, strict=True)) if told else [(), (), (), (), ()]
        return Verdicts(
            rows=np.array(columns[0], np.int64),
            known_sample=np.array(columns[1], np.int64),
            onset_sample=np.array(columns[2], np.int64),
            begins=np.array(columns[3], np.bool_),
            rate_bpm=np.array(columns[4], np.float64),
        )

    def _take(
        self,
        row: int,
        known: int,
        verdicts: Verdicts,
        which: int,
        told: _Told,
    ) -> None:
        held = self._state["held"]
        begins, onset = bool(verdicts.begins[which]), int(verdicts.onset_sample[which])
        if begins and known <= int(self._state["usual_r"][row]) + self._goes_on:
            held[row] = onset
            self._state["held_bpm"][row] = verdicts.rate_bpm[which]
        elif not begins and held[row] >= 0:
            held[row] = -1
        else:
            told.append((row, known, onset, begins, float(verdicts.rate_bpm[which])))
