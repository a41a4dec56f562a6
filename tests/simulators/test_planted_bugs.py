"""A tester finds a bug in each stage with the scenario tool alone."""

import pytest

from models.runtime import load_classifier
from monitor.classifier import BeatClassifier
from simulators.planted_bugs import BUGS, PlantedBug, verdict_of

_WORDS = {
    "assembly": "packets unaccounted for",
    "filters": "beats found where there are none",
    "R peaks": "beats missed",
    "quality": "flat missed",
    "beats": "beats missed",
    "classifier": "ventricular_run missed",
    "rhythm": "asystole missed",
    "alarms": "lead_off missed",
}


@pytest.fixture(scope="module")
def classifier() -> BeatClassifier:
    """Return the shipped network: the bug in its stage is about classes."""
    return load_classifier(threads=1)


def test_without_a_bug_nothing_is_missed(classifier: BeatClassifier) -> None:
    """The scenario passes as the monitor is: what a bug brings is the bug's."""
    assert verdict_of(classifier).failures == []


@pytest.mark.parametrize("bug", BUGS, ids=[bug.stage for bug in BUGS])
def test_each_bug_is_a_miss(bug: PlantedBug, classifier: BeatClassifier) -> None:
    """With the bug the verdict is a miss that points at the stage; without it again, none."""
    with bug.planted():
        verdict = verdict_of(classifier)
    assert not verdict.passed
    assert any(_WORDS[bug.stage] in failure for failure in verdict.failures)
