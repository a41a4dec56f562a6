"""The outside reader: what was before a run is no part of it."""

import msgspec

from monitor.embedded import EmbeddedServer
from monitor.live_state import AthleteState, BeatEntry, athlete_key, beats_key
from monitor.sinks import open_redis
from simulators.ledger import Ledger, LedgerEntry
from simulators.scenario import parse_scenario
from simulators.scenario_reader import ScenarioReader
from simulators.scenario_straps import lives_of_scenario
from simulators.verdict_packets import packet_account


def _state(received: int, late: int, duplicate: int = 0) -> bytes:
    return msgspec.msgpack.encode(
        AthleteState(
            team="t", athlete="ada", strap="s", online=True, updated_at=1.0, last_packet_at=1.0, boot=1,
            last_sample=9, rate_hz=250.0, lead="I", source="", trained_on=False, rate_bpm=None, quality=1.0,
            quality_category="good", coverage=1.0, recent_labels=[], counts={}, packets_received=received,
            packets_lost=0, packets_duplicate=duplicate, packets_refused=0, packets_late=late, alarms=[],
        )
    )  # fmt: skip


def _beat(r_sample: int) -> bytes:
    return msgspec.msgpack.encode(
        BeatEntry(
            boot=1, r_sample=r_sample, known_sample=r_sample + 9, label="N", probabilities=(), quality=1.0,
            rr_s=None, due_at=1.0,
        )
    )  # fmt: skip


async def test_only_what_is_new_counts(embedded_server: EmbeddedServer) -> None:
    """Beats and counters of an earlier run are left out; counters of a monitor that began anew stand as they are."""
    client = open_redis(embedded_server.url)
    await client.hset(athlete_key("t", "ada"), mapping={"state": _state(100, 3)})
    await client.xadd(beats_key("t", "ada"), {"beat": _beat(1)})
    reader = ScenarioReader(client, team="t", athletes=["ada"], monitor_id=None)
    await reader.begin()
    assert await reader.read() == 0
    await client.xadd(beats_key("t", "ada"), {"beat": _beat(2)})
    await client.hset(athlete_key("t", "ada"), mapping={"state": _state(160, 4)})
    assert await reader.read() == 1
    await reader.read_states()
    state = reader.seen.states["ada"]
    assert (state.packets_received, state.packets_late) == (60, 1)
    assert [beat.r_sample for _, beat in reader.seen.beats["ada"]] == [2]
    await client.hset(athlete_key("t", "ada"), mapping={"state": _state(20, 0)})
    await reader.read_states()
    assert reader.seen.states["ada"].packets_received == 20
    assert await reader.read_monitor() is None
    await client.aclose()


def test_a_restarted_broker_may_deliver_again() -> None:
    """A packet more than was sent is accounted for only if a broker restarted, and the monitor knew it as a repeat."""
    scenario = parse_scenario(
        {"title": "t", "seconds": 1, "strap": [{"athlete": "ada", "synthetic": {}}]}, "t.toml"
    )
    lives, ledger = lives_of_scenario(scenario, speed=1.0, boot=1), Ledger(keep=True)
    for sequence in range(4):
        ledger.note(
            LedgerEntry(
                team="scenario", athlete="ada", strap="ada", boot=1, sequence=sequence, first_sample=62 * sequence,
                samples=62, cause="sent", due_s=0.0, at_s=0.0, at=0.0,
            )
        )  # fmt: skip

    def adrift(received: int, duplicate: int, *, broker_restarts: bool) -> int:
        state = msgspec.msgpack.decode(_state(received, 0, duplicate), type=AthleteState)
        return packet_account("ada", lives, state, ledger, broker_restarts=broker_restarts).difference

    assert adrift(4, 0, broker_restarts=False) == 0
    assert adrift(5, 1, broker_restarts=True) == 0
    assert adrift(5, 1, broker_restarts=False) == 1
    assert adrift(5, 0, broker_restarts=True) == 2
    assert adrift(3, 0, broker_restarts=True) == 2
