"""Episodes in what was told of a record, and in its reference: from when to when, and how many beats."""

from collections.abc import Sequence
from itertools import chain
from typing import Final, NamedTuple

import numpy as np

from monitor.catalogue import TACHYCARDIC_RUN_BPM, escalates, run_of
from monitor.contract import AAMI_CLASSES, Beats, IntArray, Peaks, RhythmEvent
from monitor.rhythm import AthleteLimits, RhythmBank
from simulators.annotations import Truth

LONGEST_RUN: Final = 6
"""As in ``rxr``: longer runs, and ventricular flutter, count as runs of six."""
LONG_PAUSE_S: Final = 3.0
SUSTAINED_S: Final = 30.0
_V, _F = AAMI_CLASSES.index("V"), AAMI_CLASSES.index("F")


class Episode(NamedTuple):
    """Something that lasted.

    Attributes
    ----------
    first, end : int
        First sample, and first after it.
    beats : int
        Of runs: how many beats, 6 at most.
    known : int
        Of told ones: the sample with which the monitor knew it.
    """

    first: int
    end: int
    beats: int = 0
    known: int = 0


class EpisodesByKind(dict[str, list[Episode]]):
    """Episodes by kind; a kind of which there are none has an empty list."""

    def __missing__(self, kind: str) -> list[Episode]:
        """Begin the list of a kind."""
        self[kind] = []
        return self[kind]

    def of(self, *kinds: str) -> list[Episode]:
        """Return the episodes of several kinds, in order."""
        return sorted(chain.from_iterable(self[kind] for kind in kinds))


def told_episodes(events: Sequence[RhythmEvent], samples: int, rate_hz: float) -> EpisodesByKind:
    """Return the episodes that events tell of, by kind; what never ended lasts to the end."""
    told = EpisodesByKind()
    begun: dict[tuple[str, int], int] = {}
    for event in events:
        key = (event.kind, event.episode)
        if event.kind == "isolated_ventricular":
            if event.transition != "end":
                at = event.onset_sample + round(event.duration_s * rate_hz)
                told[event.kind].append(Episode(at, at + 1, 1, event.known_sample))
        elif event.transition == "onset":
            begun[key] = len(told[event.kind])
            told[event.kind].append(
                Episode(event.onset_sample, samples, _run_beats(event, rate_hz), event.known_sample)
            )
        elif key in begun:
            place = begun[key]
            episode = told[event.kind][place]
            beats = max(episode.beats, _run_beats(event, rate_hz))
            episode = episode._replace(beats=beats)
            if event.transition == "end":
                episode = episode._replace(end=event.onset_sample + round(event.duration_s * rate_hz) + 1)
                del begun[key]
            told[event.kind][place] = episode
    return told


def _run_beats(event: RhythmEvent, rate_hz: float) -> int:
    # Couplets and possible runs are known with a beat that is not of them.
    last = event.onset_sample + round(event.duration_s * rate_hz)
    return min(sum(event.onset_sample <= r <= last for r, _, _ in event.beats), LONGEST_RUN)


def high_runs(events: Sequence[RhythmEvent]) -> list[Episode]:
    """Return the told runs that became long and fast enough for high priority."""
    found: dict[int, Episode] = {}
    for event in events:
        if escalates(event):
            known = found[event.episode].known if event.episode in found else event.known_sample
            found[event.episode] = Episode(event.onset_sample, run_of(event)[-1] + 1, LONGEST_RUN, known)
    return list(found.values())


def reference_episodes(truth: Truth, samples: int) -> EpisodesByKind:
    """Return the reference's episodes by kind.

    Rates beyond the limits are those of the reference's own R peaks, by the monitor's rule with everybody's limits;
    everything else is as `simulators.episodes` defines it. Runs are in `ventricular_runs`.
    """
    found = EpisodesByKind()
    for span in truth.episodes():
        found[span.kind].append(Episode(span.onset_sample, span.end_sample, span.beats))
        if span.kind == "pause" and span.end_sample - span.onset_sample >= LONG_PAUSE_S * truth.rate_hz:
            found["long_pause"].append(Episode(span.onset_sample, span.end_sample))
    flutter = truth.unscored.tolist()
    bank = RhythmBank(truth.rate_hz, capacity=1)
    row, end = np.array([0]), np.array([samples])
    bank.begin(row, np.array([0]), AthleteLimits())
    n = len(truth.r_samples)
    peaks = Peaks(
        rows=np.zeros(n, np.int64),
        r_sample=truth.r_samples,
        known_sample=truth.r_samples,
        quality=np.ones(n, np.float32),
    )
    events = bank.process(row, end, peaks, Beats.empty())
    events += bank.restart(row, end, end, for_good=True)
    rates = told_episodes(events, samples, truth.rate_hz)
    for kind in ("bradycardia", "tachycardia", "rate_above_maximum"):
        # No beats are scored in flutter, so no rate is.
        found[kind] = [e for e in rates[kind] if not any(e.first < b and a < e.end for a, b in flutter)]
    return found


def ventricular_runs(truth: Truth) -> list[Episode]:
    """Return every stretch of consecutive V and F beats, single ones too, and flutter as runs of six.

    As in ``rxr``, a fusion beat continues a run of ventricular ones.
    """
    runs = [Episode(first, end, LONGEST_RUN) for first, end in truth.unscored.tolist()]
    runs += [
        Episode(int(beats[0]), int(beats[-1]) + 1, min(len(beats), LONGEST_RUN))
        for beats in _consecutive_ventricular(truth)
    ]
    return sorted(runs)


def ventricular_tachycardias(truth: Truth, *, shortest_s: float = 0.0) -> list[Episode]:
    """Return the runs of six ventricular beats or more, at 100 a minute or more, that last `shortest_s` or longer."""
    found = []
    for beats in _consecutive_ventricular(truth):
        if len(beats) < LONGEST_RUN:
            continue
        lasted_s = float(beats[-1] - beats[0]) / truth.rate_hz
        if lasted_s >= shortest_s and 60.0 * (len(beats) - 1) / lasted_s >= TACHYCARDIC_RUN_BPM:
            found.append(Episode(int(beats[0]), int(beats[-1]) + 1, LONGEST_RUN))
    return found


def _consecutive_ventricular(truth: Truth) -> list[IntArray]:
    """Return the R peaks of each stretch of V and F beats."""
    padded = np.concatenate([[False], np.isin(truth.classes, (_V, _F)), [False]])
    borders = np.flatnonzero(padded[1:] != padded[:-1]).reshape(-1, 2)
    return [truth.r_samples[first:end] for first, end in borders.tolist()]
