"""The MQTT source: what it hears, what it survives, what it drops and counts."""

import asyncio
import gc
import socket
import struct
import time
from collections.abc import Callable
from urllib.parse import quote

import aiomqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from benchmarks.faults.link_proxy import LinkProxy
from monitor.embedded import EmbeddedBroker, GuardedServer
from monitor.errors import SettingsError
from monitor.sources import Arrival, Inbox, MqttAddress, MqttSource, parse_mqtt_url
from monitor.wire import MAX_PACKET_BYTES, Topic


async def _until(condition: Callable[[], bool], *, within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - a counter of the source is watched, which sets no event
            await asyncio.sleep(0.01)


async def _publish(server: GuardedServer, *messages: tuple[str, bytes], retain: bool = False) -> None:
    async with aiomqtt.Client("127.0.0.1", server.port) as client:
        for topic, payload in messages:
            await client.publish(topic, payload, qos=1, retain=retain)


def _arrival(athlete: str, payload: bytes = b"") -> Arrival:
    return Arrival(Topic("red", athlete, "samples"), payload, 0.0, lambda: None)


async def _hears_straps_only(server: GuardedServer) -> None:
    before = time.time()
    await _publish(server, ("ecg/red/anna/status", b"online"), retain=True)
    async with MqttSource(server.url) as source:
        await _until(lambda: source.connected)
        await _publish(server, ("ecg/red/anna/truth", b"never"), ("ecg/red/anna/samples", b"\x00\xff"))
        await _until(lambda: source.received >= 2)
        arrivals = sorted(source.take())
        assert [(a.topic, a.payload) for a in arrivals] == [
            (Topic("red", "anna", "samples"), b"\x00\xff"),
            (Topic("red", "anna", "status"), b"online"),
        ]
        assert all(before <= a.arrived_at <= time.time() for a in arrivals)
        assert source.take() == []
    assert not source.connected


async def test_hears_samples_and_retained_status_but_never_truth(mosquitto: GuardedServer) -> None:
    """Samples and status arrive byte for byte with their topic taken apart; truth does not arrive."""
    await _hears_straps_only(mosquitto)


async def test_hears_the_same_through_the_embedded_broker(embedded_broker: EmbeddedBroker) -> None:
    """The broker of the demo is no special case."""
    await _hears_straps_only(embedded_broker)


async def test_can_be_iterated_and_ends_when_left(mosquitto: GuardedServer) -> None:
    """Iteration yields arrivals in order and ends once the source is left."""
    async with MqttSource(mosquitto.url) as source:
        await _until(lambda: source.connected)
        await _publish(mosquitto, *(("ecg/red/anna/samples", bytes([n])) for n in range(5)))
        seen = []
        async for arrival in source:
            arrival.ack()
            seen.append(arrival.payload)
            if len(seen) == 5:
                break
    assert seen == [bytes([n]) for n in range(5)]
    with pytest.raises(StopAsyncIteration):
        await anext(source)


async def test_comes_back_after_the_broker_was_killed(mosquitto: GuardedServer) -> None:
    """A killed broker is a log line, then a new connection with the subscriptions made again."""
    states: list[bool] = []
    with capture_logs() as logs:
        async with MqttSource(mosquitto.url, on_connection=states.append) as source:
            await _until(lambda: source.connected)
            mosquitto.kill()
            await _until(lambda: not source.connected)
            await asyncio.sleep(0.5)
            mosquitto.start()
            await _until(lambda: source.connected)
            await _publish(mosquitto, ("ecg/red/anna/samples", b"again"))
            await _until(lambda: source.received == 1)
    assert states == [True, False, True, False]
    lost = next(line for line in logs if "lost" in line["event"])
    assert lost["broker"] == mosquitto.url
    assert lost["wait_s"] > 0
    assert any("no broker" in line["event"] for line in logs)


async def test_waits_for_a_broker_that_comes_late(mosquitto: GuardedServer) -> None:
    """A broker that is not there yet is no error."""
    mosquitto.stop()
    async with MqttSource(mosquitto.url) as source:
        await asyncio.sleep(0.3)
        assert not source.connected
        mosquitto.start()
        await _until(lambda: source.connected)


async def test_persistent_session_gets_what_came_while_away(mosquitto: GuardedServer) -> None:
    """With a persistent session nothing published while the monitor was down is missing, and the order holds."""
    async with MqttSource(mosquitto.url, client_id="monitor-1", persistent_session=True) as source:
        await _until(lambda: source.connected)
    await _publish(mosquitto, *(("ecg/red/anna/samples", bytes([n])) for n in range(50)))
    async with MqttSource(mosquitto.url, client_id="monitor-1", persistent_session=True) as source:
        await _until(lambda: source.received == 50)
        assert [a.payload for a in source.take()] == [bytes([n]) for n in range(50)]


async def test_what_was_kept_may_take_longer_than_an_answer(
    mosquitto: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broker that first pours out all it kept, slowly, is not given up on: everything arrives on one connection."""
    monkeypatch.setattr("monitor.sources.mqtt._TIMEOUT_S", 0.3)
    async with LinkProxy(mosquitto.port) as link:
        url = f"mqtt://127.0.0.1:{link.port}"
        async with MqttSource(url, client_id="m", persistent_session=True) as source:
            await _until(lambda: source.connected)
        await _publish(mosquitto, *(("ecg/red/anna/samples", bytes(2_000)) for _ in range(150)))
        link.bytes_per_s, before = 200_000.0, link.connections
        async with MqttSource(url, client_id="m", persistent_session=True) as source:
            await _until(lambda: source.received == 150)
            await _until(lambda: source.connected)
        # One to see whether anybody answers, one to stay.
        assert link.connections - before <= 2


def test_persistent_session_needs_a_name() -> None:
    """A persistent session under a made-up name could never be found again, so it is refused."""
    with pytest.raises(SettingsError, match="client_id"):
        MqttSource("mqtt://localhost", persistent_session=True)


async def test_oversized_and_misrouted_are_counted_and_touch_nobody(mosquitto: GuardedServer) -> None:
    """What is not ours or too large is counted by reason; the packets around it arrive."""
    with capture_logs() as logs:
        async with MqttSource(mosquitto.url) as source:
            await _until(lambda: source.connected)
            await _publish(
                mosquitto,
                ("ecg/red/anna/samples", b"before"),
                ("ecg/red/anna/samples", b"secret" * (MAX_PACKET_BYTES // 6 + 1)),
                ("ecg/red/an na/samples", b"x"),
                (f"ecg/{'r' * 65}/anna/status", b"x"),
                ("ecg/red/anna/samples", b"x" * MAX_PACKET_BYTES),
                ("ecg/red/anna/samples", b"after"),
            )
            await _until(lambda: source.received == 6)
            assert [len(a.payload) for a in source.take()] == [6, MAX_PACKET_BYTES, 5]
            assert dict(source.refused) == {"oversized": 1, "misrouted": 2}
            assert source.dropped == 0
    assert "secret" not in str(logs)


async def test_a_flood_crowds_out_only_itself(mosquitto: GuardedServer) -> None:
    """When nobody takes, the strap that floods loses its oldest, counted; the others lose nothing."""
    async with MqttSource(mosquitto.url, capacity=10) as source:
        await _until(lambda: source.connected)
        await _publish(mosquitto, ("ecg/red/anna/samples", b"one"))
        await _publish(mosquitto, *(("ecg/red/flood/samples", bytes([n])) for n in range(100)))
        await _until(lambda: source.received == 101)
        assert source.waiting == 10
        assert source.dropped == 91
        assert [a.payload for a in source.take()] == [b"one", *(bytes([n]) for n in range(91, 100))]


async def test_a_flood_after_an_outage_waits_at_the_broker(mosquitto: GuardedServer) -> None:
    """What a broker kept for us and pours out at once is read as there is room for it: nothing is dropped, in order."""
    # As long as packets are: one read of a socket brings less of them than there is room for beyond nearly full.
    kept = [struct.pack(">I", n).ljust(500, b".") for n in range(6_000)]
    async with MqttSource(mosquitto.url, client_id="m", persistent_session=True) as source:
        await _until(lambda: source.connected)
    await _publish(mosquitto, *(("ecg/red/anna/samples", one) for one in kept))
    got: list[bytes] = []
    async with MqttSource(mosquitto.url, client_id="m", persistent_session=True, capacity=4_000) as source:
        # Longer than all of it would take to come.
        await _until(lambda: source.waiting > 3_000)
        await asyncio.sleep(0.5)
        assert source.waiting < 4_000
        async with asyncio.timeout(20.0):
            while len(got) < len(kept):
                got += [arrival.payload for arrival in source.take()]
                await asyncio.sleep(0.05)
    assert got == kept
    assert source.dropped == 0


async def test_too_much_for_long_is_not_left_to_the_broker(
    mosquitto: GuardedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who takes nothing for longer than patience lasts gets the newest, and each dropped packet is counted as ours."""
    monkeypatch.setattr("monitor.sources.patience.LONGEST_S", 0.2)
    async with MqttSource(mosquitto.url, client_id="m", persistent_session=True, capacity=40) as source:
        await _until(lambda: source.connected)
        await _publish(mosquitto, *(("ecg/red/anna/samples", bytes([n])) for n in range(200)))
        await _until(lambda: source.received == 200)
        assert source.dropped == 160
        assert [a.payload for a in source.take()] == [bytes([n]) for n in range(160, 200)]


async def test_stops_at_once_while_a_host_does_not_answer() -> None:
    """A port that accepts and then says nothing does not hold up the end."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen(16)
        async with MqttSource(f"mqtt://127.0.0.1:{mute.getsockname()[1]}") as source:
            await asyncio.sleep(0.3)
            assert not source.connected
            began = time.monotonic()
        assert time.monotonic() - began < 1.5


async def test_can_be_left_at_any_step_of_connecting(mosquitto: GuardedServer) -> None:
    """Whenever it is left while it connects and subscribes, it ends at once."""
    for delay_ms in range(0, 60, 3):
        async with asyncio.timeout(3.0):
            async with MqttSource(mosquitto.url):
                await asyncio.sleep(delay_ms / 1000)


async def test_leaving_leaves_nothing_unasked(mosquitto: GuardedServer) -> None:
    """Once a source is left no future is dropped with an error that nobody has seen."""
    told: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    connected = asyncio.Event()
    async with MqttSource(mosquitto.url, on_connection=lambda _: connected.set()):
        await connected.wait()
    await asyncio.sleep(0.2)
    gc.collect()
    assert told == []


async def test_refused_login_is_said_plainly_and_tried_again(mosquitto: GuardedServer) -> None:
    """A TLS client at a port without TLS keeps trying and says why."""
    with capture_logs() as logs:
        async with MqttSource(f"mqtts://127.0.0.1:{mosquitto.port}") as source:
            await _until(lambda: len(logs) >= 2)
            assert not source.connected
    assert all(line["event"].startswith("no broker") and line["reason"] for line in logs[:2])
    assert [line["failures"] for line in logs[:2]] == [1, 2]


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(1, 12))
async def test_inbox_keeps_order_and_counts_all(athletes: list[int], capacity: int) -> None:
    """Taken plus dropped is put; each strap's order holds, and what it lost is its oldest."""
    inbox = Inbox(capacity=capacity)
    for number, athlete in enumerate(athletes):
        inbox.put(_arrival(str(athlete), bytes([number])))
    one_by_one = [await inbox.get() for _ in range(len(inbox) // 2)]
    taken = one_by_one + inbox.take()
    assert len(taken) + inbox.dropped == len(athletes)
    assert len(taken) == min(len(athletes), capacity)
    for athlete in set(athletes):
        put = [bytes([n]) for n, a in enumerate(athletes) if a == athlete]
        kept = [a.payload for a in taken if a.topic.athlete == str(athlete)]
        assert kept == put[len(put) - len(kept) :]


async def test_inbox_lets_straps_take_turns() -> None:
    """A strap with much to say does not keep the others waiting."""
    inbox = Inbox(capacity=10)
    for athlete in "aaab":
        inbox.put(_arrival(athlete))
    assert [(await inbox.get()).topic.athlete for _ in range(4)] == ["a", "b", "a", "a"]


@given(
    st.sampled_from(["mqtt", "mqtts"]),
    st.one_of(
        st.none(), st.tuples(st.text(min_size=1, max_size=8), st.one_of(st.none(), st.text(max_size=8)))
    ),
    st.sampled_from(["localhost", "broker.example.org", "10.0.0.7", "::1"]),
    st.one_of(st.none(), st.integers(1, 65535)),
)
def test_address_round_trips(
    scheme: str, login: tuple[str, str | None] | None, host: str, port: int | None
) -> None:
    """User and password survive percent-encoding; the printed address holds neither."""
    user, password = login or (None, None)
    userinfo = (
        ""
        if user is None
        else quote(user, safe="") + ("" if password is None else ":" + quote(password, safe=""))
    )
    shown_host = f"[{host}]" if ":" in host else host
    url = f"{scheme}://{userinfo + '@' if login else ''}{shown_host}{'' if port is None else f':{port}'}"
    address = parse_mqtt_url(url)
    default = 8883 if scheme == "mqtts" else 1883
    assert address == MqttAddress(host, port or default, scheme == "mqtts", user, password)
    assert str(address) == f"{scheme}://{shown_host}:{port or default}"
    assert repr(address).count("=") == 3


@pytest.mark.parametrize(
    "url",
    [
        "",
        "localhost",
        "localhost:1883",
        "http://localhost",
        "mqtt://",
        "mqtt://:1883",
        "mqtt://host:0",
        "mqtt://host:99999",
        "mqtt://host:port",
        "mqtt://host/topic",
        "mqtt://host?x=1",
        "mqtt://:hunter2@host",
        "ftp://me:hunter2@host",
        "mqtt://me:hunter2@host:99999",
        "mqtt://me:hunter2@[::1",
    ],
)
def test_bad_address_is_refused_without_repeating_the_password(url: str) -> None:
    """One line that shows the form wanted, and no secret."""
    with pytest.raises(SettingsError, match="mqtt://") as caught:
        parse_mqtt_url(url)
    assert "hunter2" not in str(caught.value)
    assert "\n" not in str(caught.value)
