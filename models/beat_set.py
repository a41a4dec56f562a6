"""Beats as the monitor announced them, with the classes that the reference gives them, as arrays."""

import hashlib
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, LABELS, BoolArray, FloatArray, IntArray
from monitor.scoring import ClassCounts

NO_BEAT: Final = -1
"""Label of a detection that no reference beat belongs to."""
_CLASSES: Final = len(AAMI_CLASSES)


@dataclass(frozen=True, slots=True)
class BeatSet:
    """All beats that the monitor announced in some records, and how many it did not.

    Attributes
    ----------
    names : tuple of str
        Records, such as ``"mitdb/101"``.
    record : ndarray of int64, shape ``[beats]``
        Index in `names`.
    r_sample : ndarray of int64, shape ``[beats]``
        Where the monitor found the R peak.
    window : ndarray of float32, shape ``[beats, 600]``
        Millivolt, classifier path.
    template : ndarray of float32, shape ``[beats, 600]``
        Millivolt, the athlete's own usual beat.
    context : ndarray of float32, shape ``[beats, len(CONTEXT_FIELDS)]``
        See `monitor.contract.CONTEXT_FIELDS`.
    quality : ndarray of float32, shape ``[beats]``
        0 to 1: how far the beat can be trusted.
    complete : ndarray of bool, shape ``[beats]``
        False where the window was cut short: such a beat is never classified.
    label : ndarray of int8, shape ``[beats]``
        Reference class, index in `monitor.contract.AAMI_CLASSES`, or `NO_BEAT`.
    missed : ndarray of int64, shape ``[names, 5]``
        Reference beats that were not announced, by record and class.
    rate_hz : ndarray of float64, shape ``[names]``
        Sampling rate of each record.
    """

    names: tuple[str, ...]
    record: IntArray
    r_sample: IntArray
    window: FloatArray
    template: FloatArray
    context: FloatArray
    quality: FloatArray
    complete: BoolArray
    label: NDArray[np.int8]
    missed: IntArray
    rate_hz: NDArray[np.float64]

    def __len__(self) -> int:
        """Return how many beats were announced."""
        return len(self.label)

    def digest(self) -> str:
        """Return a hash of the beats: what was fitted to them is not taken for fitted to others."""
        digest = hashlib.sha256(" ".join(self.names).encode())
        for values in (self.record, self.r_sample, self.label, self.context, self.window, self.template):
            digest.update(np.ascontiguousarray(values).data)
        return digest.hexdigest()[:16]

    def where(self, chosen: BoolArray) -> Self:
        """Return the beats for which `chosen`, shape ``[beats]``, is true; records keep what is said of them."""
        return type(self)(
            names=self.names,
            record=self.record[chosen],
            r_sample=self.r_sample[chosen],
            window=self.window[chosen],
            template=self.template[chosen],
            context=self.context[chosen],
            quality=self.quality[chosen],
            complete=self.complete[chosen],
            label=self.label[chosen],
            missed=self.missed,
            rate_hz=self.rate_hz,
        )

    def learnable(self) -> Self:
        """Return the beats with a whole window and a reference class: the others teach nothing."""
        return self.where(self.complete & (self.label != NO_BEAT))

    def of(self, *names: str) -> Self:
        """Return the beats of some records, in the order of `names`."""
        return self.join([self._of_one(name) for name in names])

    def _of_one(self, name: str) -> Self:
        place = self.names.index(name)
        part = self.where(self.record == place)
        return type(self)(
            names=(name,),
            record=np.zeros(len(part), np.int64),
            r_sample=part.r_sample,
            window=part.window,
            template=part.template,
            context=part.context,
            quality=part.quality,
            complete=part.complete,
            label=part.label,
            missed=self.missed[place : place + 1],
            rate_hz=self.rate_hz[place : place + 1],
        )

    @classmethod
    def join(cls, parts: list[Self]) -> Self:
        """Return the beats of all `parts`, whose records must differ.

        Raises
        ------
        ValueError
            If there is no part, or a record is in two of them.
        """
        if not parts:
            raise ValueError("no beats to join: name at least one record")
        names = tuple(name for part in parts for name in part.names)
        if len(set(names)) != len(names):
            raise ValueError(f"a record is in two parts: {', '.join(sorted(names))}")
        offsets = np.cumsum([0, *(len(part.names) for part in parts[:-1])])
        return cls(
            names=names,
            record=np.concatenate(
                [part.record + offset for part, offset in zip(parts, offsets, strict=True)]
            ),
            r_sample=np.concatenate([part.r_sample for part in parts]),
            window=np.concatenate([part.window for part in parts]),
            template=np.concatenate([part.template for part in parts]),
            context=np.concatenate([part.context for part in parts]),
            quality=np.concatenate([part.quality for part in parts]),
            complete=np.concatenate([part.complete for part in parts]),
            label=np.concatenate([part.label for part in parts]),
            missed=np.concatenate([part.missed for part in parts]),
            rate_hz=np.concatenate([part.rate_hz for part in parts]),
        )

    def count(self, announced: NDArray[np.integer[Any]]) -> ClassCounts:
        """Count announced labels against the reference.

        Parameters
        ----------
        announced : ndarray of int, shape ``[beats]``
            Indices in `monitor.contract.LABELS`.

        Returns
        -------
        ClassCounts
            Missed beats have a column of their own, detections that are no beat a row.
        """
        counts = ClassCounts()
        row = np.where(self.label == NO_BEAT, _CLASSES, self.label).astype(np.int64)
        np.add.at(counts.table, (row, announced.astype(np.int64)), 1)
        counts.table[:_CLASSES, len(LABELS)] += self.missed.sum(axis=0)
        return counts
