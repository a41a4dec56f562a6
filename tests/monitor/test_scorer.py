"""The scorer beside a monitor: truth and ledger from a real broker, beats from a real Redis, scores and misses back."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np
import pytest

from monitor.cancellation import end
from monitor.contract import LABELS
from monitor.embedded import EmbeddedBroker, GuardedServer
from monitor.live_state import AthleteState, BeatEntry, athlete_key, beats_key
from monitor.scored_athlete import ScoredAthlete
from monitor.scorer import Scorer, topic_filters
from monitor.scores import HOLE, AthleteScore, Miss, ScorerState, misses_key, score_key, scorer_key
from monitor.sent_signal import KEPT_S, SentSignal
from monitor.sinks import open_redis
from monitor.sources import MqttAddress, MqttSource
from monitor.wire import WIRE_VERSION, LedgerMessage, SamplePacket
from simulators.fleet import run_fleet
from simulators.radio import RadioSettings, Stretch
from simulators.strap import Strap
from simulators.synthetic_team import synthetic_team
from tests.monitor.dashboard_team import Team

TEAM = "falcons"
SPEED = 8.0


class _Monitor:
    """Writes what a monitor would of one strap, from its record's truth but for what it is told to get wrong."""

    def __init__(self, client: Any, strap: Strap) -> None:
        self._client = client
        self._strap = strap
        self._told = 0

    async def tell(self, until: int, *, missed: set[int], false: set[int], received: int) -> None:
        truth, rate_hz = self._strap.record.truth, self._strap.record.rate_hz
        assert truth is not None
        beats = [(r, c) for r, c in zip(truth.r_samples.tolist(), truth.class_names, strict=True)]
        beats = sorted([*(beat for beat in beats if beat[0] not in missed), *((r, "V") for r in false)])
        for r_sample, label in beats:
            if self._told <= r_sample < until:
                entry = BeatEntry(
                    boot=self._strap.boot,
                    r_sample=r_sample,
                    known_sample=r_sample,
                    label=label if label in LABELS else "N",
                    probabilities=(),
                    quality=1.0,
                    rr_s=None,
                    due_at=time.time() - 0.05,
                )
                await self._client.xadd(
                    beats_key(TEAM, self._strap.athlete), {"beat": msgspec.msgpack.encode(entry)}
                )
        self._told = until
        state = _state(self._strap, until - 1, rate_hz, received)
        await self._client.hset(
            athlete_key(TEAM, self._strap.athlete), "state", msgspec.msgpack.encode(state)
        )


def _state(strap: Strap, last_sample: int, rate_hz: float, received: int) -> AthleteState:
    return AthleteState(
        team=TEAM,
        athlete=strap.athlete,
        strap=strap.strap,
        online=True,
        updated_at=time.time(),
        last_packet_at=time.time(),
        boot=strap.boot,
        last_sample=last_sample,
        rate_hz=rate_hz,
        lead="",
        source="",
        trained_on=False,
        rate_bpm=None,
        quality=1.0,
        quality_category="good",
        coverage=1.0,
        recent_labels=[],
        counts={},
        packets_received=received,
        packets_lost=0,
        packets_duplicate=0,
        packets_refused=0,
        alarms=[],
    )


async def _until(condition: Callable[[], Any], within_s: float = 15.0) -> None:
    deadline = time.monotonic() + within_s
    while not await condition():
        assert time.monotonic() < deadline, "did not happen in time"
        await asyncio.sleep(0.1)


async def test_misses_are_scored_explained_and_drawn(  # noqa: PLR0915 - one run, looked at from all sides
    embedded_broker: EmbeddedBroker, redis_server: GuardedServer
) -> None:
    """What a monitor misses is counted once, by the cause the ledger knows, with the signal; the rest is its own."""
    record = synthetic_team(1, seconds=30.0, seed=3)[0]
    strap = Strap(record=record, team=TEAM, athlete="a1", strap="s1", boot=7, speed=SPEED)
    rate_hz = record.rate_hz
    # Silent between 10 and 13 s of signal.
    radio = RadioSettings(dropouts_lost=(Stretch(10.0 / SPEED, 3.0 / SPEED),))
    assert record.truth is not None
    r_samples = record.truth.r_samples
    lost = {int(r) for r in r_samples if 10.0 * rate_hz <= r < 12.6 * rate_hz}
    own = int(r_samples[(r_samples > 20.0 * rate_hz)][0])
    extra = int(own - 0.4 * rate_hz)
    client = open_redis(redis_server.url)
    async with MqttSource(
        MqttAddress("127.0.0.1", embedded_broker.port), topic_filters=topic_filters(TEAM)
    ) as source:
        scoring = asyncio.create_task(Scorer(client, source, scorer_id="x").run())
        heartbeat = asyncio.create_task(Team(client, 0).run(0.5))

        async def connected() -> bool:
            raw: Any = await client.get(scorer_key("x"))
            return raw is not None and msgspec.msgpack.decode(raw, type=ScorerState).broker_connected

        await _until(connected)
        await asyncio.sleep(4.5)
        running = asyncio.create_task(
            run_fleet([strap], broker=MqttAddress("127.0.0.1", embedded_broker.port), radio=radio)
        )
        monitor, begun = _Monitor(client, strap), time.monotonic()
        while not running.done():
            seen = int((time.monotonic() - begun - 0.5) * SPEED * rate_hz)
            await monitor.tell(max(0, min(seen, len(record))), missed=lost | {own}, false={extra}, received=0)
            await asyncio.sleep(0.2)
        report = running.result()
        await monitor.tell(len(record), missed=set(), false=set(), received=report.sent)
        found: list[AthleteScore] = []

        async def scored() -> bool:
            raw: Any = await client.get(score_key(TEAM, "a1"))
            found[:] = [msgspec.msgpack.decode(raw, type=AthleteScore)] if raw is not None else []
            return bool(found) and found[0].scored_s > 24.0

        await _until(scored)
        entries: Any = await client.xrange(misses_key(TEAM))
        misses = [msgspec.msgpack.decode(fields[b"miss"], type=Miss) for _, fields in entries]
        await end(scoring)
        await end(heartbeat)
    await client.aclose()
    score = found[0]
    assert score.fp == 1
    assert score.missed_by_cause["lost_in_dropout"] + score.missed_by_cause.get("beside_loss", 0) == len(lost)
    assert score.missed_by_cause["unexplained"] == 1
    assert score.false_by_cause == {"unexplained": 1}
    assert score.ledger["sent"] == report.sent
    assert score.ledger["lost_in_dropout"] == report.lost_in_dropout > 0
    assert score.latency.p50 is not None
    assert score.latency.n > 10
    by_place = {miss.r_sample: miss for miss in misses}
    assert set(by_place) == lost | {own, extra}
    strip = by_place[own]
    samples = np.frombuffer(strip.microvolts, "<i2")
    assert own in [r for r, _ in strip.truth]
    assert extra in [r for r, _ in strip.beats]
    assert own not in [r for r, _ in strip.beats]
    sent = record.counts[strip.first_sample : strip.first_sample + len(samples)] * record.microvolts_per_count
    np.testing.assert_allclose(samples, sent, atol=1.0)
    assert by_place[extra].kind == "false"


def test_packets_that_nobody_accounts_for_are_told() -> None:
    """Packets under way are not missing; those that never show up are, and those from before the monitor are apart."""
    record = synthetic_team(1, seconds=5.0, seed=3)[0]
    strap = Strap(record=record, team=TEAM, athlete="a1", strap="s1", boot=7)
    athlete = ScoredAthlete(TEAM, "a1")
    now = [100.0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("monitor.scored_athlete.time.monotonic", lambda: now[0])
        for second in range(60):
            now[0] += 1.0
            sent = 40 + 4 * second
            lost = min(5, max(0, second - 30))
            counts = {"sent": sent}
            athlete.ledger(
                LedgerMessage(version=WIRE_VERSION, strap="s1", boot=7, counts=counts, troubles=[])
            )
            # What went out in the last half second is on its way; 36 went out before anybody listened.
            athlete.seen(_state(strap, 250 * second, 250.0, max(0, sent - 36 - 2 * (second % 2) - lost)))
            if second == 25:
                assert (athlete.score(None, 0.0).unaccounted, athlete.score(None, 0.0).before) == (0, 36)
    score = athlete.score(None, 0.0)
    assert (score.unaccounted, score.before) == (5, 36)


def test_what_a_strap_sent_is_kept_for_a_while() -> None:
    """Packets in any order and with holes come back as they were sent; a hole is a hole, the oldest are forgotten."""
    signal = SentSignal()
    rate_hz, n = 100.0, 50
    order = [0, 2, 1, *range(3, 300), *range(301, 400)]
    for number in order:
        signal.add(_packet(number, n, rate_hz))
    end_sample = 400 * n
    assert signal.stretch(300 * n, 301 * n).tolist() == [HOLE] * n
    recent = signal.stretch(end_sample - 3 * n, end_sample + 2)
    expected = [5 * (s % 1000) for s in range(end_sample - 3 * n, end_sample)]
    assert recent.tolist() == [*expected, HOLE, HOLE]
    forgotten = end_sample - int(KEPT_S * rate_hz)
    assert signal.stretch(forgotten - 10, forgotten).tolist() == [HOLE] * 10
    assert signal.at(end_sample) == pytest.approx(1000.0 + end_sample / rate_hz)
    signal.add(_packet(0, n, rate_hz, boot=2))
    assert not signal.holds(1)
    assert signal.stretch(0, n).tolist() == [5 * s for s in range(n)]


def _packet(number: int, n: int, rate_hz: float, *, boot: int = 1) -> SamplePacket:
    first = number * n
    return SamplePacket(
        version=WIRE_VERSION,
        strap="s",
        boot=boot,
        sequence=number,
        first_sample=first,
        rate_hz=rate_hz,
        microvolts_per_count=5.0,
        lead="I",
        lead_off=False,
        sent_at=1000.0 + (first + n) / rate_hz,
        samples=(np.arange(first, first + n) % 1000).astype("<i2").tobytes(),
    )
