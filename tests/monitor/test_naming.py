"""Naming beats with a backend that fails: its failures cost the beats that it was asked for, and nothing else."""

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.contract import AAMI_CLASSES, UNSURE_LABEL, WINDOW_POINTS, Beats, FloatArray
from monitor.naming import IN_VAIN, REST_S, BeatNaming
from monitor.receivers.watchdog import UNNAMED_FOR_S, Watchdog
from monitor.sequence_network import SequenceNetwork

POISON = 99.0


class Backend:
    """Names every beat N, unless it is told to fail or meets a window that it cannot bear."""

    name = "backend"
    input_path = ""
    training_records: frozenset[str] = frozenset()
    sequence: SequenceNetwork | None = None

    def __init__(self) -> None:
        self.broken = False
        self.not_a_number = False
        self.fails_next = False
        self.calls = 0

    def probabilities(self, window: FloatArray, template: FloatArray, context: FloatArray) -> FloatArray:  # noqa: ARG002
        """Return N for all."""
        self.calls += 1
        failing, self.fails_next = self.fails_next, False
        if failing or self.broken or (window == POISON).any():
            raise RuntimeError("device lost")
        answer = np.zeros((len(window), len(AAMI_CLASSES)), np.float32)
        answer[:, 0] = np.nan if self.not_a_number else 1.0
        return answer

    def labels(self, probabilities: FloatArray) -> NDArray[np.int8]:
        """Return the class of each."""
        named: NDArray[np.int8] = np.nan_to_num(probabilities).argmax(axis=1).astype(np.int8)
        return named


def beats(count: int, poisoned: tuple[int, ...] = ()) -> Beats:
    """Return beats, some of which no backend can bear."""
    window = np.zeros((count, WINDOW_POINTS), np.float32)
    window[list(poisoned)] = POISON
    empty = Beats.empty()
    return replace(
        empty,
        rows=np.arange(count),
        r_sample=np.arange(count),
        known_sample=np.arange(count),
        rr_s=np.ones(count, np.float32),
        quality=np.ones(count, np.float32),
        complete=np.arange(count) != 3,
        window=window,
        template=np.zeros_like(window),
        context=np.zeros((count, empty.context.shape[1]), np.float32),
        probabilities=np.zeros((count, len(AAMI_CLASSES)), np.float32),
        label=np.full(count, UNSURE_LABEL, np.int8),
    )


@pytest.mark.parametrize("poisoned", [(5,), (0, 39), (17, 18), tuple(range(10, 14))])
def test_a_beat_that_no_backend_bears_costs_itself(poisoned: tuple[int, ...]) -> None:
    """In a batch that fails all other beats are named; it and the incomplete one stay unsure, and it is counted."""
    naming = BeatNaming(Backend())
    named = naming.name(beats(40, poisoned), 0.0)
    unsure = {*poisoned, 3}
    assert set(np.flatnonzero(named.label == UNSURE_LABEL).tolist()) == unsure
    assert set(np.flatnonzero(named.probabilities[:, 0] == 1.0).tolist()) == set(range(40)) - unsure
    assert naming.unnamed == len(poisoned)
    assert naming.failures > 0
    assert naming.reason == "RuntimeError: device lost"


@pytest.mark.parametrize("fault", ["broken", "not_a_number"])
def test_a_backend_that_names_nothing_is_left_alone_for_a_while(fault: str) -> None:
    """Errors and numbers that are none name no beat; the backend rests, is asked again, and recovers by itself."""
    backend = Backend()
    naming = BeatNaming(backend)
    setattr(backend, fault, True)
    for _ in range(IN_VAIN):
        named = naming.name(beats(40), 0.0)
        assert (named.label == UNSURE_LABEL).all()
        assert not named.probabilities.any()
    asked = backend.calls
    assert asked <= 26 * IN_VAIN
    naming.name(beats(40), REST_S - 0.1)
    assert backend.calls == asked
    assert naming.unnamed == (IN_VAIN + 1) * 39
    setattr(backend, fault, False)
    assert (naming.name(beats(40), REST_S).label != UNSURE_LABEL).sum() == 39
    assert naming.unnamed == (IN_VAIN + 1) * 39


def test_a_call_that_fails_once_costs_nothing() -> None:
    """A beat that comes alone is asked for again; a lone beat that no backend bears does not silence the others."""
    backend = Backend()
    naming = BeatNaming(backend)
    backend.fails_next = True
    assert (naming.name(beats(1), 0.0).label != UNSURE_LABEL).all()
    naming.name(beats(1, (0,)), 0.0)
    assert (naming.name(beats(1), 0.0).label != UNSURE_LABEL).all()
    assert naming.unnamed == 1


def test_the_watchdog_says_that_beats_are_not_named() -> None:
    """A monitor that lives, hears and tells, but whose classifier fails, is said to be half blind until it is not."""
    watchdog = Watchdog(began_at=0.0)
    told = []
    for second in range(100):
        now = float(second)
        watchdog.server_answered(now)
        unnamed = min(max(second - 10, 0), 10)
        watchdog.heartbeat("m", now, connected=True, ended=False, now=now, unnamed=unnamed)
        watchdog.canary("m", now)
        told += [(second, a.transition, a.priority) for a in watchdog.tick(now)]
    assert told == [(11, "raised", "medium"), (21 + int(UNNAMED_FOR_S), "cleared", "medium")]
