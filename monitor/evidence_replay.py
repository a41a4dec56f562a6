"""Raising an alarm again: the stages run anew from a stored state over the packets that followed it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import msgspec

from monitor.classifier import BeatClassifier
from monitor.contract import Alarm
from monitor.errors import StrapwatchError
from monitor.evidence_log import StoredEvidence, Taken, state_of
from monitor.line import LineConfig
from monitor.sinks.batch import SinkBatch
from monitor.watch import Watch
from monitor.wire import Topic

SAME_PROBABILITY: Final = 0.01
"""Probabilities may differ by so much: a network adds up in another order when beats of others come with these."""
_COMPARED: Final = (
    "identity",
    "kind",
    "message",
    "priority",
    "action",
    "episode",
    "known_sample",
    "rate_bpm",
    "quality",
    "onset_at",
    "model",
    "settings_hash",
)
_MOST_TICKS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay brought.

    Attributes
    ----------
    alarm : Alarm or None
        The alarm, raised again; None where it was not.
    differences : tuple of str
        What differs from the stored one, each in one line; none if it is the same.
    packets : int
        How many were looked at.
    """

    alarm: Alarm | None
    differences: tuple[str, ...]
    packets: int


def replay(stored: StoredEvidence, classifier: BeatClassifier | None) -> Replayed:
    """Run the stages again on what was stored with an alarm, and compare what they raise.

    Parameters
    ----------
    stored : StoredEvidence
        State and packets.
    classifier : BeatClassifier or None
        The one that named the beats then.

    Raises
    ------
    StrapwatchError
        If the classifier or the state are of another version than the alarm.
    """
    name, path = (classifier.name, classifier.input_path) if classifier is not None else ("", "")
    if (name, path) != (stored.alarm.model, stored.input_path):
        raise StrapwatchError(
            f"alarm {stored.alarm.identity} was raised with model {stored.alarm.model!r}, input {stored.input_path}; "
            f"this is {name!r}, input {path}: use the weights and the version of then"
        )
    raised = [
        told
        for batch in replayed_batches(stored, classifier)
        for told in batch.alarms
        if told.transition == "raised" and not told.technical
    ]
    found = next((alarm for alarm in raised if alarm.identity == stored.alarm.identity), None)
    packets = sum(packet is not None for _, packet in stored.taken)
    if found is None:
        others = ", ".join(f"{alarm.kind} at {alarm.episode}" for alarm in raised) or "none"
        return Replayed(None, (f"it was not raised; raised were: {others}",), packets)
    return Replayed(found, tuple(_differences(stored.alarm, found)), packets)


def replayed_batches(stored: StoredEvidence, classifier: BeatClassifier | None) -> Iterator[SinkBatch]:
    """Run the stages again on what was stored with an alarm, and yield all that they tell.

    Parameters
    ----------
    stored : StoredEvidence
        State and packets.
    classifier : BeatClassifier or None
        Names the beats.

    Raises
    ------
    StrapwatchError
        If the state is of another version.
    """
    alarm = stored.alarm
    watch = Watch(
        classifier=classifier,
        config=LineConfig(mains_hz=stored.mains_hz, limits=stored.limits),
        limits_of=lambda _team, _athlete: stored.limits,
        settings_hash=alarm.settings_hash,
        rules=stored.rules,
    )
    begin = stored.taken[0][0] if stored.taken else 0.0
    try:
        state = state_of(stored)
        if state is not None:
            watch.import_athlete(alarm.team, alarm.athlete, state, begin)
    except (ValueError, TypeError, msgspec.DecodeError) as error:
        raise StrapwatchError(
            f"alarm {alarm.identity}: the stored state is none of this version: {error}"
        ) from error
    if state is not None:
        yield from _ticks(watch, begin)
    for at, packets in _together(stored.taken):
        for packet in packets:
            watch.receive(Topic(alarm.team, alarm.athlete, "samples"), packet, at)
        yield from _ticks(watch, at)


def _together(taken: list[Taken]) -> list[tuple[float, list[bytes]]]:
    """Return the packets that one tick took, each time in order."""
    groups: list[tuple[float, list[bytes]]] = []
    for at, packet in taken:
        if not groups or groups[-1][0] != at:
            groups.append((at, []))
        if packet is not None:
            groups[-1][1].append(packet)
    return groups


def _ticks(watch: Watch, now: float) -> Iterator[SinkBatch]:
    for _ in range(_MOST_TICKS):
        yield watch.tick(now)
        if not watch.behind:
            break


def _differences(then: Alarm, now: Alarm) -> list[str]:
    found = [
        f"{name} was {getattr(then, name)!r}, is {getattr(now, name)!r}"
        for name in _COMPARED
        if getattr(then, name) != getattr(now, name)
    ]
    before = [(r, label) for r, label, _ in then.strip.beats] if then.strip else []
    after = [(r, label) for r, label, _ in now.strip.beats] if now.strip else []
    # After a restart the strip begins later; what came before it may not be marked.
    begin = max((beats[0][0] for beats in (before, after) if beats), default=0)
    before, after = ([beat for beat in beats if beat[0] >= begin] for beats in (before, after))
    if before != after:
        found.append(f"beats were {before}, are {after}")
    elif then.strip and now.strip:
        known = {r: p for r, _, p in then.strip.beats}
        apart = max((abs(p - known[r]) for r, _, p in now.strip.beats if r in known), default=0.0)
        if apart > SAME_PROBABILITY:
            found.append(f"probabilities differ by up to {apart:.3f}")
    if then.evidence != now.evidence:
        found.append(_evidence_difference(then, now))
    return found


def _evidence_difference(then: Alarm, now: Alarm) -> str:
    if then.evidence is None or now.evidence is None:
        return "what was known of the athlete is missing on one side"
    names = [
        name for name in then.evidence.__struct_fields__
        if getattr(then.evidence, name) != getattr(now.evidence, name)
    ]  # fmt: skip
    return f"what was known of the athlete differs in {', '.join(names)}"
