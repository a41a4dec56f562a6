"""Answers to alarms teach a classifier what the beats of those alarms were: real command, real server."""

import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from models.adaptation import read_adaptation
from models.answered_beats import answered_beats, class_said
from models.runtime import Classifier, load_classifier
from monitor.contract import Alarm, FloatArray
from monitor.embedded import GuardedServer
from monitor.live_state import TEAMS_KEY
from monitor.responses import Feedback
from monitor.sinks import (
    Outbox,
    RedisSink,
    SinkBatch,
    audit_trail,
    evidence_key,
    feedback_of,
    give_feedback,
    open_redis,
)
from monitor.sinks.evidence import answered_evidence, answered_key
from monitor.watch import Watch
from monitor.wire import Topic, encode
from simulators.ectopy import VentricularRun
from simulators.strap import Strap
from simulators.synthetic import SyntheticAthlete, synthesize
from tests.monitor.processes import environment, run

ME = Topic("red", "anna", "samples")
RUNS_AT_S = (30.0, 55.0, 80.0, 105.0)
SECONDS = 130.0


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Return the shipped network."""
    return load_classifier()


def watched(classifier: Classifier, correction: FloatArray | None = None) -> SinkBatch:
    """Return what a watch tells of an athlete with four runs of beats that look ventricular."""
    athlete = SyntheticAthlete(events=tuple(VentricularRun(at_s=at, beats=5) for at in RUNS_AT_S))
    record = synthesize(athlete, seconds=SECONDS, rate_hz=250.0, seed=1)
    corrections = None if correction is None else {("red", "anna"): correction}
    watch = Watch(classifier=classifier, corrections=corrections)
    told = SinkBatch()
    strap = Strap(record=record, team="red", athlete="anna", strap="s", boot=1)
    for number, scheduled in enumerate(strap.packets(start_at=1e9)):
        now = 1e9 + number / 4.0
        watch.receive(ME, encode(scheduled.packet), now)
        batch = watch.tick(now)
        told.alarms += batch.alarms
        told.evidence += batch.evidence
        told.beats += batch.beats
    return told


@pytest.fixture(scope="module")
def told(classifier: Classifier) -> SinkBatch:
    """Return what a watch tells without any correction."""
    return watched(classifier)


def raised_runs(told: SinkBatch) -> list[Alarm]:
    """Return the alarms of ventricular runs."""
    return [a for a in told.alarms if (a.kind, a.transition) == ("ventricular_run", "raised")]


@pytest.fixture
async def answered(told: SinkBatch, redis_server: GuardedServer, tmp_path: Path) -> AsyncIterator[Any]:
    """Return a client of a server that holds the alarms; a physician has called all runs aberrant."""
    with closing(Outbox(tmp_path / "outbox.sqlite3")) as outbox:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            await sink.write(SinkBatch(alarms=told.alarms, evidence=told.evidence))
            assert await sink.drained(10.0)
    client: Any = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    for alarm in raised_runs(told):
        await give_feedback(client, alarm.identity, by="Dr. No", verdict="false")
        await give_feedback(
            client, alarm.identity, by="Dr. Who", verdict="true", finding="aberrant, supraventricular"
        )
    yield client
    await client.aclose()


def labels(told: SinkBatch, alarms: list[Alarm]) -> list[str]:
    """Return what the beats are called that lie in some alarms, from onset to when each was known."""
    return [
        beat.label
        for _, _, beat in told.beats
        if any(a.episode <= beat.r_sample <= a.known_sample for a in alarms)
    ]


def own_beats(alarm: Alarm) -> list[int]:
    """Return the R peaks of the beats that made an alarm."""
    strip = alarm.strip
    return [r for r, label, _ in strip.beats if label == "V" and r >= alarm.episode] if strip else []


async def test_answers_become_a_correction_that_the_watch_takes(
    answered: Any, told: SinkBatch, classifier: Classifier, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """Four runs that are called supraventricular: with the file the watch calls their beats S, without it V again."""
    runs = raised_runs(told)
    assert len(runs) == len(RUNS_AT_S)
    assert set(labels(told, runs)) == {"V"}
    # Evidence of all alarms may have left the server by then; that of answered ones stays.
    for alarm in runs:
        await answered.delete(evidence_key("red", alarm.identity))
    path = tmp_path / "corrections" / "red" / "anna.json"
    # The folder of a team is made; that of all corrections is the one the settings name, so it has to be there.
    path.parent.parent.mkdir()
    done = run(
        "adapt", "--from-feedback", "--team", "red", "--athlete", "anna", "--by", "Dr. Who",
        "--output", str(path), "--redis", redis_server.url, env=environment(tmp_path),
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "4 of 4 answers of red/anna" in done.stdout
    adaptation = read_adaptation(path, sha256=classifier.card.sha256)
    assert adaptation.after < adaptation.before
    assert len(adaptation.answers) == len(runs)
    assert all("by Dr. Who" in line and "aberrant" in line for line in adaptation.answers)
    assert adaptation.beats["S"] >= 3 * len(runs)
    assert adaptation.beats["V"] == 0
    corrected = watched(classifier, adaptation.matrix())
    assert labels(corrected, runs).count("S") > len(labels(told, runs)) // 2
    assert not raised_runs(corrected)
    usual = [(b.r_sample, b.label) for _, _, b in told.beats if b.label == "N"]
    assert set(usual) <= {(b.r_sample, b.label) for _, _, b in corrected.beats}
    (entry,) = [found for found in await audit_trail(answered, "red") if found.action == "adaptation"]
    assert (entry.by, entry.athlete, str(path) in entry.detail) == ("Dr. Who", "anna", True)


async def test_two_answers_teach_nothing(
    answered: Any, told: SinkBatch, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """With no alarm left to be held out there is no correction; which answers were left out, and why, is said."""
    gone, other, *_ = raised_runs(told)
    await answered.delete(answered_key("red", gone.identity))
    await give_feedback(answered, other.identity, by="Dr. Who", verdict="false")
    await give_feedback(answered, other.identity, by="Dr. Who", verdict="comment", comment="electrode")
    path = tmp_path / "anna.json"
    done = run(
        "adapt", "--from-feedback", "--team", "red", "--athlete", "anna", "--output", str(path),
        "--redis", redis_server.url, env=environment(tmp_path),
    )  # fmt: skip
    assert done.returncode == 0
    assert f"left out: {gone.identity}: nothing is kept" in done.stdout
    assert f"left out: {other.identity}: no heartbeats" in done.stdout
    assert "nothing is kept" in done.stdout.splitlines()[-1]
    assert not path.exists()


async def test_beats_are_seen_again_as_they_were_live(
    answered: Any, told: SinkBatch, classifier: Classifier
) -> None:
    """The logits of the beats that an answer names give the probabilities that they were told with."""
    last = {said.identity: said for said in await feedback_of(answered, "red")}
    kept = [(said, await answered_evidence(answered, "red", said.identity)) for said in last.values()]
    taught = answered_beats(kept, classifier)
    live = {beat.r_sample: beat.probabilities for _, _, beat in told.beats}
    beats = [beat for alarm in raised_runs(told) if alarm.strip for beat in own_beats(alarm)]
    assert len(beats) == 3 * len(RUNS_AT_S)
    expected = [live[r] for r in beats]
    named = taught.logits[taught.named]
    found = np.exp(named - named.max(axis=1, keepdims=True))
    found /= found.sum(axis=1, keepdims=True)
    assert len(found) == len(expected)
    np.testing.assert_allclose(found, np.array(expected), atol=0.01)


@pytest.mark.parametrize(
    ("verdict", "finding", "comment", "said"),
    [
        ("true", "", "", "V"),
        ("true", "ventricular_run", "", "V"),
        ("true", "SVT, aberrant", "", "S"),
        ("true", "fusion beats", "", "F"),
        ("true", "sinus pause", "looks odd", "N"),
        ("true", "something else", "", None),
        ("true", "not ventricular", "", None),
        ("true", "sinus, then VT", "", None),
        ("false", "", "", "N"),
        ("false", "", "motion artefact", ""),
        ("false", "", "atrial, aberrant", "S"),
        ("false", "", "PVC or noise?", None),
    ],
)
def test_words_name_one_class_or_none(verdict: Any, finding: str, comment: str, said: str | None) -> None:
    """What is plain is understood; several classes, a negation or unknown words of a finding teach nothing."""
    answer = Feedback(identity="i", at=0.0, by="b", verdict=verdict, finding=finding, comment=comment)
    assert class_said(answer) == said


async def test_figures_count_the_last_answers(
    answered: Any, told: SinkBatch, redis_server: GuardedServer, tmp_path: Path
) -> None:
    """Of four alarms three are true, one is not answered any more than by words: shares with exact bounds, by kind."""
    runs = raised_runs(told)
    await give_feedback(answered, runs[0].identity, by="Dr. Who", verdict="false")
    await give_feedback(answered, runs[1].identity, by="Dr. Who", verdict="comment", comment="see me")
    env = environment(tmp_path, STRAPWATCH_REDIS=redis_server.url)
    done = run("inbox", "figures", "--json", "--redis", redis_server.url, env=env)
    assert done.returncode == 0, done.stderr
    figures = {one["kind"]: one for one in map(json.loads, done.stdout.splitlines())}
    found = figures["ventricular_run"]
    assert (found["alarms"], found["right"], found["wrong"], found["otherwise"]) == (4, 3, 1, 3)
    assert found["ppv"] == 0.75
    # Clopper and Pearson's bounds of three of four.
    assert (round(found["lower"], 4), round(found["upper"], 4)) == (0.1941, 0.9937)
    text = run("inbox", "figures", "--redis", redis_server.url, env=env).stdout
    assert "0.750" in text
    assert "0.194 to 0.994" in text
    nothing = run("inbox", "figures", "--since", "2100-01-01", "--redis", redis_server.url, env=env)
    assert nothing.stdout == ""


async def test_evidence_of_answered_alarms_is_bounded(
    answered: Any, told: SinkBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beyond the bound the evidence that was answered first leaves; each has a time to live."""
    monkeypatch.setattr("monitor.sinks.evidence.ANSWERED_KEPT", 2)
    first, *_, last = raised_runs(told)
    await give_feedback(answered, last.identity, by="Dr. Who", verdict="true")
    keys = await answered.keys("strapwatch:answered:*:*")
    assert len(keys) == 2
    assert await answered.exists(answered_key("red", last.identity))
    assert not await answered.exists(answered_key("red", first.identity))
    assert await answered.ttl(keys[0]) > 0
    assert await answered.zcard(answered_key("red")) == 2


def test_alarms_that_are_not_about_classes_are_left_out(told: SinkBatch, classifier: Classifier) -> None:
    """A pause that was called false corrects no beat."""
    run_ = raised_runs(told)[0]
    pause = msgspec.structs.replace(run_, kind="pause")
    taught = answered_beats(
        [(Feedback(identity="i", at=0.0, by="b", verdict="false", alarm=pause), None)], classifier
    )
    assert len(taught.label) == 0
    assert "says nothing of the classes" in taught.left_out[0]
