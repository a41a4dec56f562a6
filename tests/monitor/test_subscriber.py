"""The MQTT subscriber: frames in any pieces, what it acknowledges and when, and brokers that behave badly."""

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from monitor.sources import MqttAddress
from monitor.sources.subscriber import MAX_FRAME_BYTES, Message, Subscriber, SubscriberError

_CONNACK = b"\x20\x02\x00\x00"
_SUBACK = b"\x90\x03\x00\x01\x01"
_HANDSHAKE = _CONNACK + _SUBACK


def _publish(topic: bytes, payload: bytes, packet_id: int | None) -> bytes:
    body = struct.pack(">H", len(topic)) + topic
    body += b"" if packet_id is None else struct.pack(">H", packet_id)
    length, left = bytearray(), len(body) + len(payload)
    while True:
        left, low = divmod(left, 128)
        length.append(low | (128 if left else 0))
        if not left:
            break
    return bytes([0x30 if packet_id is None else 0x32]) + bytes(length) + body + payload


@contextlib.asynccontextmanager
async def _broker(say: Callable[[], list[bytes]]) -> AsyncIterator[tuple[MqttAddress, bytearray]]:
    """Serve what is to be said, whoever asks, and keep what is heard."""
    heard = bytearray()
    serving: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.add(task)
        heard.extend(await reader.read(1024))
        with contextlib.suppress(OSError):
            for piece in say():
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0)
            while data := await reader.read(65536):
                heard.extend(data)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield MqttAddress("127.0.0.1", port), heard
    finally:
        server.close()
        if serving:
            await asyncio.wait(serving, timeout=2.0)


async def _connected(address: MqttAddress, take: Callable[[list[Message]], None]) -> Subscriber:
    async with asyncio.timeout(5.0):
        return await Subscriber.connect(address, client_id="s", topic_filters=["#"], on_messages=take)


async def _until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5.0):
        while not condition():  # noqa: ASYNC110 - what a socket brought is watched, which sets no event
            await asyncio.sleep(0.002)


_LENGTHS = st.one_of(st.integers(0, 400), st.just(20_000))
_MESSAGES = st.lists(st.tuples(st.binary(max_size=20), _LENGTHS, st.booleans()), max_size=12)


@given(_MESSAGES, st.integers(1, 40))
@settings(max_examples=15, deadline=None)
async def test_frames_arrive_whole_however_they_were_cut(
    sent: list[tuple[bytes, int, bool]], cuts: int
) -> None:
    """Whatever pieces the socket brings: every message once, in order; QoS 1 acknowledged, each by its number."""
    numbers = [number if acknowledged else None for number, (_, _, acknowledged) in enumerate(sent, 1)]
    frames = [
        _publish(topic, bytes(size), number) for (topic, size, _), number in zip(sent, numbers, strict=True)
    ]
    stream = _HANDSHAKE + b"".join(frames)
    length = max(len(stream) // cuts, 1)
    pieces = [stream[begin : begin + length] for begin in range(0, len(stream), length)]
    got: list[Message] = []
    async with _broker(lambda: pieces) as (address, heard):
        subscriber = await _connected(address, got.extend)
        wanted = [struct.pack(">BBH", 0x40, 2, number) for number in numbers if number is not None]
        await _until(lambda: len(got) == len(sent) and all(heard.count(one) == 1 for one in wanted))
        subscriber.abort()
    assert got == [Message(topic, bytes(size)) for topic, size, _ in sent]


async def test_a_message_beyond_all_bounds_is_read_past() -> None:
    """Its topic is told, nothing of it is kept, it is acknowledged, and what follows arrives."""
    huge = _publish(b"big", bytes(3 * MAX_FRAME_BYTES), 7)
    got: list[Message] = []
    async with _broker(lambda: [_HANDSHAKE, huge, _publish(b"next", b"x", 8)]) as (address, heard):
        subscriber = await _connected(address, got.extend)
        await _until(lambda: len(got) == 2 and heard.endswith(b"\x40\x02\x00\x08"))
        subscriber.abort()
    assert got == [Message(b"big", None), Message(b"next", b"x")]
    assert b"\x40\x02\x00\x07" in heard


async def test_what_could_not_be_taken_is_not_acknowledged() -> None:
    """A failure of whoever takes the messages ends the connection, so that the broker sends them again."""

    def fail(_messages: list[Message]) -> None:
        raise OSError("no room")

    async with _broker(lambda: [_HANDSHAKE, _publish(b"t", b"x", 9)]) as (address, heard):
        subscriber = await _connected(address, fail)
        with pytest.raises(OSError, match="no room"):
            await asyncio.wait_for(subscriber.ended(), 5.0)
    assert b"\x40\x02\x00\x09" not in heard


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"\x20\x02\x00\x05", "does not let us in"),
        (b"\x20\x02\x00\x09", "code 9"),
        (_CONNACK + b"\x90\x03\x00\x01\x80", "does not let us subscribe"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "no MQTT"),
        (b"\x30\xff\xff\xff\xff\x01", "no MQTT"),
    ],
)
async def test_a_broker_that_refuses_is_an_error_with_the_reason(said: bytes, reason: str) -> None:
    """What a broker answers instead of yes is told in words."""
    async with _broker(lambda: [said]) as (address, _):
        with pytest.raises(SubscriberError, match=reason):
            await _connected(address, lambda _: None)


@pytest.mark.parametrize(
    "frame", [b"\x32\x03\x00\x09x", b"\x34\x05\x00\x01x\x00\x01", b"\x30\x01\x00", b"\xf0\x00"]
)
async def test_what_is_no_mqtt_ends_the_connection(frame: bytes) -> None:
    """A frame that contradicts itself, or that no broker may send, ends the connection with the reason."""
    async with _broker(lambda: [_HANDSHAKE, frame]) as (address, _):
        subscriber = await _connected(address, lambda _: None)
        with pytest.raises(SubscriberError, match="no MQTT"):
            await asyncio.wait_for(subscriber.ended(), 5.0)


async def test_who_has_no_room_is_no_dead_connection() -> None:
    """While nothing is read because there is no room, for longer than a silence may last, the connection stays."""
    room = False
    got: list[Message] = []
    async with _broker(lambda: [_HANDSHAKE, _publish(b"a", b"1", 1), b"", _publish(b"b", b"2", 2)]) as (
        address,
        _,
    ):
        async with asyncio.timeout(5.0):
            subscriber = await Subscriber.connect(
                address,
                client_id="s",
                topic_filters=["#"],
                on_messages=got.extend,
                keep_alive_s=1,
                has_room=lambda: room,
            )
        staying = asyncio.create_task(subscriber.ended())
        await asyncio.sleep(2.5)
        assert not staying.done()
        room = True
        await _until(lambda: len(got) == 2)
        subscriber.abort()
        await asyncio.gather(staying, return_exceptions=True)
