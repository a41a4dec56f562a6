"""The review queue, from the watch through the server to whoever reviews after training."""

from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.contract import EFFORT_PHASES
from monitor.embedded import GuardedServer
from monitor.inbox.review_lines import review_lines
from monitor.live_state import TEAMS_KEY
from monitor.review_queue import REVIEW_EVERY_S, ReviewQueue, StoredCard
from monitor.sinks import Outbox, RedisSink, SinkBatch, open_redis
from monitor.sinks import review as review_sink
from monitor.sinks.review import review_key, store_reviews, stored_reviews
from monitor.watch import Watch
from monitor.wire import SamplePacket, Topic, encode
from simulators.ectopy import PrematureBeat
from simulators.synthetic import SyntheticAthlete, synthesize
from tests.monitor.processes import environment, run
from tests.monitor.test_line import WidthClassifier

RATE_HZ = 250.0
PACKET = 250


SECONDS = 80.0
PREMATURE_S = (20.0, 27.0, 34.0, 41.0, 48.0, 69.0)


def watched(seconds: float = SECONDS, *, boot_at_s: float | None = None) -> list[SinkBatch]:
    """Return what a watch tells, tick by tick, of an athlete with a few premature ventricular beats."""
    events = tuple(PrematureBeat(at_s=at) for at in PREMATURE_S if at < seconds - 6.0)
    record = synthesize(SyntheticAthlete(events=events), rate_hz=RATE_HZ, seconds=seconds, seed=3)
    counts = np.rint(record.millivolts * 200.0).astype("<i2")
    watch = Watch(classifier=WidthClassifier())
    told, boot, begin = [], 1, 0
    for first in range(0, len(counts) - PACKET + 1, PACKET):
        if boot_at_s is not None and boot == 1 and first >= boot_at_s * RATE_HZ:
            boot, begin = 2, first
        now = 1e9 + first / RATE_HZ
        packet = SamplePacket(
            version=1, strap="s", boot=boot, sequence=(first - begin) // PACKET, first_sample=first - begin,
            rate_hz=RATE_HZ, microvolts_per_count=5.0, lead="", lead_off=False, sent_at=now,
            samples=counts[first : first + PACKET].tobytes(),
        )  # fmt: skip
        watch.receive(Topic("red", "anna", "samples"), encode(packet), now)
        told.append(watch.tick(now))
    return told


def queue(boot: int = 1, at: float = 1e9, athlete: str = "anna") -> ReviewQueue:
    """Return a review queue of one card."""
    shape = (1000.0 * np.sin(np.arange(80) / 10.0)).astype("<i2").tobytes()
    card = StoredCard(
        beats=7, labels={"V": 5, "unsure": 2}, phases={"rest": 3, "effort": 4, "recovery": 0},
        first_at=1e9, last_at=1e9 + 60.0, examples=[100, 900], microvolts=shape,
    )  # fmt: skip
    return ReviewQueue(
        team="red", athlete=athlete, strap="s", boot=boot, at=at, rate_hz=250.0, beats={"N": 90, "V": 5},
        cards=[card], left_out=2,
    )  # fmt: skip


def test_every_ectopic_beat_is_told_by_shape_and_phase() -> None:
    """Each minute the whole queue is told; counts by label and phase add up, and times are those of the beats."""
    told = [review for batch in watched() for review in batch.reviews]
    assert told
    assert all(later.at - before.at >= REVIEW_EVERY_S for before, later in pairwise(told))
    last = told[-1]
    called = {label: sum(card.labels[label] for card in last.cards) for label in ("N", "V")}
    assert called["V"] == sum(20.0 <= at < last.at - 1e9 - 1.0 for at in PREMATURE_S) > 3
    for card in last.cards:
        assert sum(card.labels.values()) == sum(card.phases.values()) == card.beats
        assert set(card.phases) == set(EFFORT_PHASES)
        assert len(card.microvolts) == 160
    ventricular = last.cards[0]
    assert ventricular.first_at - 1e9 == pytest.approx(PREMATURE_S[0], abs=1.5)


def test_a_strap_that_starts_anew_takes_no_cards_along() -> None:
    """What a boot brought is told before its row begins anew."""
    told = [review for batch in watched(60.0, boot_at_s=50.0) for review in batch.reviews]
    (last_of_first,) = [review for review in told if review.boot == 1][-1:]
    assert sum(card.labels["V"] for card in last_of_first.cards) == 5
    assert last_of_first.at - 1e9 == pytest.approx(50.0, abs=1.0)


async def test_the_server_keeps_the_last_boots_and_the_command_shows_them(
    redis_server: GuardedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A queue replaces what was told of its boot, old boots leave, what is damaged hides nothing; all is printed."""
    monkeypatch.setattr(review_sink, "BOOTS_KEPT", 2)
    client: Any = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    with closing(Outbox(tmp_path / "outbox.sqlite3")) as outbox:
        async with RedisSink(redis_server.url, outbox=outbox) as sink:
            for boot in (9, 10, 11):
                await sink.write(SinkBatch(reviews=[queue(boot, at=1e9 + boot)]))
            assert sink.dropped.get("reviews", 0) == 0
    await store_reviews(client, [queue(11, at=2e9), queue(1, athlete="bea")])
    assert [(q.athlete, q.boot, q.at) for q in await stored_reviews(client)] == [
        ("anna", 11, 2e9),
        ("anna", 10, 1e9 + 10),
        ("bea", 1, 1e9),
    ]
    assert await client.ttl(review_key("red", "anna")) > 24 * 3600
    await client.hset(review_key("red", "anna"), "10", b"no queue")
    assert [q.boot for q in await stored_reviews(client, ["red"], ["anna"])] == [11]
    assert await stored_reviews(client, ["blue"]) == []
    await client.aclose()
    env = environment(tmp_path, STRAPWATCH_REDIS=redis_server.url)
    done = run("review", "--redis", redis_server.url, env=env)
    assert done.returncode == 0
    for words in (
        "anna (red)",
        "bea (red)",
        "5 V, 2 without a name",
        "rest 3, effort 4",
        "2 more of rare shapes",
    ):
        assert words in done.stdout, words
    done = run("review", "anna", "--json", "--redis", redis_server.url, env=env)
    (line,) = done.stdout.splitlines()
    assert msgspec.json.decode(line)["cards"][0]["labels"]["V"] == 5
    done = run("review", "nobody", "--redis", redis_server.url, env=env)
    assert done.returncode == 1
    assert "nothing to review of nobody" in done.stderr.splitlines()[-1]


@pytest.mark.parametrize("width", [20, 80, 200])
def test_lines_fit_any_width(width: int) -> None:
    """No drawn line is wider than the terminal; a card without a known time says so."""
    lines = review_lines(msgspec.structs.replace(queue(), at=0.0), width)
    assert "at no known time" in lines[0]
    drawn = [line for line in lines if any("\u2800" <= c <= "\u28ff" for c in line)]
    assert drawn
    assert all(len(line) <= max(width, 24) for line in drawn)
