"""A bug planted in each stage, and what ``strapwatch scenario`` says of it: ``python -m simulators.planted_bugs``.

Each bug is one that could be written by mistake: a count that is forgotten, a delay that is not corrected, two names
that are swapped, a limit that is never reached, an alarm that is swallowed.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from unittest import mock

import numpy as np
from rich.console import Console

from monitor import line
from monitor.alarms import AlarmMachine
from monitor.assembly import StrapAssembly
from monitor.beats import BeatBank
from monitor.classifier import BeatClassifier
from monitor.contract import AAMI_CLASSES
from monitor.naming import BeatNaming
from monitor.quality import QualityBank
from monitor.rhythm import RhythmBank
from monitor.rpeaks import RPeakBank
from monitor.watch import Watch
from simulators.ledger import Ledger
from simulators.scenario import parse_scenario
from simulators.scenario_offline import run_offline
from simulators.scenario_report import print_verdict, strips_of, write_strips
from simulators.scenario_straps import lives_of_scenario
from simulators.verdict import Verdict, judge

SCENARIO: Final[dict[str, Any]] = {
    "title": "A little of everything",
    "seconds": 60,
    "seed": 7,
    "allow": {"missed_beats": 0.02, "extra_beats": 0.02, "false_alarms": {"isolated_ventricular": 2}},
    "strap": [
        {
            "athlete": "ada",
            "synthetic": {
                "rate_bpm": 80,
                "rate_hz": 250,
                "events": [
                    {"event": "ventricular_run", "at_s": 25, "beats": 6, "rate_bpm": 150},
                    {"event": "asystole", "at_s": 40, "length_s": 8},
                ],
            },
        },
        {
            "athlete": "bo",
            "synthetic": {"rate_bpm": 95, "rate_hz": 360},
            "radio": {"loss": 0.03, "duplicates": 0.05, "reorder": 0.03, "lead_off": [[20, 6]]},
            "contact_lost": [{"at_s": 45, "length_s": 6}],
        },
    ],
}

_N, _V = AAMI_CLASSES.index("N"), AAMI_CLASSES.index("V")
_LATE_SAMPLES: Final = 60
_RATE_FACTOR: Final = 12.0
_CLOSE_S: Final = 0.45
_TICK_S: Final = 0.25
_Patch = Callable[[Callable[..., Any]], Callable[..., Any]]


@dataclass(frozen=True, slots=True)
class PlantedBug:
    """One bug.

    Attributes
    ----------
    stage : str
        Where it is planted.
    what : str
        What is wrong.
    owner, name : Any and str
        The function that is replaced.
    patch : callable
        Given the right function, returns the wrong one.
    """

    stage: str
    what: str
    owner: Any
    name: str
    patch: _Patch

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Run with the bug in place."""
        with mock.patch.object(self.owner, self.name, self.patch(getattr(self.owner, self.name))):
            yield


def _forget_losses(right: Callable[..., Any]) -> Callable[..., Any]:
    def give_up(self: StrapAssembly, now: float) -> Any:
        lost = self.counters.lost
        pieces = right(self, now)
        self.counters.lost = lost
        return pieces

    return give_up


def _design_for_another_rate(right: Callable[..., Any]) -> Callable[..., Any]:
    return lambda rate_hz: right(_RATE_FACTOR * rate_hz)


def _leave_the_delay_in(right: Callable[..., Any]) -> Callable[..., Any]:
    def process(self: RPeakBank, *arguments: Any, **options: Any) -> Any:
        peaks = right(self, *arguments, **options)
        late = np.minimum(peaks.r_sample + _LATE_SAMPLES, peaks.known_sample)
        return replace(peaks, r_sample=late)

    return process


def _believe_a_flat_line(right: Callable[..., Any]) -> Callable[..., Any]:
    def process(self: QualityBank, *arguments: Any, **options: Any) -> Any:
        return [event for event in right(self, *arguments, **options) if event.kind != "flat"]

    return process


def _drop_what_waits(right: Callable[..., Any]) -> Callable[..., Any]:
    def process(self: BeatBank, *arguments: Any, **options: Any) -> Any:
        beats = right(self, *arguments, **options)
        return beats.take(~(beats.rr_s < _CLOSE_S))

    return process


def _swap_two_names(right: Callable[..., Any]) -> Callable[..., Any]:
    def name(self: BeatNaming, *arguments: Any, **options: Any) -> Any:
        beats = right(self, *arguments, **options)
        label, probabilities = beats.label.copy(), beats.probabilities.copy()
        label[beats.label == _V] = _N
        probabilities[:, [_N, _V]] = np.where(
            (beats.label == _V)[:, np.newaxis], probabilities[:, [_V, _N]], probabilities[:, [_N, _V]]
        )
        return beats.classified(probabilities, label)

    return name


def _never_reach_the_limit(right: Callable[..., Any]) -> Callable[..., Any]:
    def process(self: RhythmBank, *arguments: Any, **options: Any) -> Any:
        events = right(self, *arguments, **options)
        return [event for event in events if event.kind not in {"asystole", "long_pause"}]

    return process


def _swallow_an_alarm(right: Callable[..., Any]) -> Callable[..., Any]:
    def event(self: AlarmMachine, whose: Any, event: Any, *arguments: Any, **options: Any) -> Any:
        return [] if event.kind == "lead_off" else right(self, whose, event, *arguments, **options)

    return event


BUGS: Final = (
    PlantedBug(
        "assembly", "packets that are given up are not counted", StrapAssembly, "_give_up", _forget_losses
    ),
    PlantedBug(
        "filters",
        "the band is that of another sampling rate",
        line,
        "detector_sections",
        _design_for_another_rate,
    ),
    PlantedBug(
        "R peaks", "a delay of 60 samples is not corrected", RPeakBank, "process", _leave_the_delay_in
    ),
    PlantedBug("quality", "a signal that stands still is none", QualityBank, "process", _believe_a_flat_line),
    PlantedBug("beats", "a beat that follows closely is dropped", BeatBank, "process", _drop_what_waits),
    PlantedBug("classifier", "V is told as N", BeatNaming, "name", _swap_two_names),
    PlantedBug(
        "rhythm",
        "the time without a beat never reaches its limit",
        RhythmBank,
        "process",
        _never_reach_the_limit,
    ),
    PlantedBug("alarms", "a lead that is off raises nothing", AlarmMachine, "event", _swallow_an_alarm),
)


def verdict_of(classifier: BeatClassifier | None, *, strips_to: Path | None = None) -> Verdict:
    """Run the scenario in virtual time, as ``strapwatch scenario FILE --offline`` does, and return the verdict.

    Parameters
    ----------
    classifier : BeatClassifier or None
        Names the beats.
    strips_to : Path, optional
        Where strips of what was missed are drawn.
    """
    chosen = parse_scenario(SCENARIO, "planted bugs")
    ledger = Ledger(keep=True)
    lives = lives_of_scenario(chosen, speed=1.0)
    watch = Watch(classifier=classifier)
    seen = run_offline(lives, watch, ledger, seed=chosen.seed, tick_s=_TICK_S)
    verdict = judge(chosen, lives, seen, ledger)
    if strips_to is not None:
        write_strips(strips_of(verdict, lives, seen), strips_to)
    return verdict


def main() -> int:
    """Print what the tool says without a bug, and with each; return 0 if it finds all of them and only them."""
    parser = argparse.ArgumentParser(
        description="Plant a bug in each stage and let the scenario tool find it."
    )
    parser.add_argument(
        "--strips", type=Path, help="where strips of what is missed are drawn, a folder a stage"
    )
    folder: Path | None = parser.parse_args().strips
    from models.runtime import load_classifier

    classifier = load_classifier(threads=1)
    console = Console(width=120, highlight=False)
    print("## no bug\n")
    sound = verdict_of(classifier)
    print_verdict(sound, [], console)
    found = []
    for bug in BUGS:
        print(f"\n## {bug.stage}: {bug.what}\n")
        with bug.planted():
            verdict = verdict_of(
                classifier, strips_to=None if folder is None else folder / bug.stage.replace(" ", "-")
            )
        print_verdict(verdict, [], console)
        found.append(not verdict.passed)
    print(f"\n{sum(found)} of {len(BUGS)} bugs found")
    return 0 if sound.passed and all(found) else 1


if __name__ == "__main__":
    sys.exit(main())
