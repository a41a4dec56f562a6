"""A subscriber and nothing else: as much of MQTT 3.1.1 as thousands of messages a second need.

A client library costs 15 to 80 µs a message here (``python -m benchmarks.mqtt_clients``), more than all the rest of the
event loop. This one takes what a read of the socket brought in one pass, hands over all its messages at once, and
acknowledges them in one write after that has returned: by then they are safe, and a process that is killed before it
has acknowledged gets them again. While there is no room for more it stops reading. It publishes nothing but its last
word and connects once; whoever uses it connects again.

References
----------
MQTT Version 3.1.1, OASIS Standard, 2014.
"""

import asyncio
import ssl
import struct
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, cast

from monitor.sources.address import MqttAddress

MAX_FRAME_BYTES: Final = 512 * 1024
"""A longer message is read past without being kept; only its topic is handed over."""
GATHER_S: Final = 0.004
"""So long messages gather in the socket before they are read: the most that this adds to a latency."""
HELD_LOOK_S: Final = 0.01
"""How often it is asked whether there is room again."""

_CONNACK, _PUBLISH, _PUBACK, _SUBACK, _PINGRESP = 0x20, 0x30, 0x40, 0x90, 0xD0
_SPOKEN: Final = (_PUBLISH, _PINGRESP, _CONNACK, _SUBACK)
_KIND: Final = 0xF0
_QOS_SHIFT: Final = 1
_PINGREQ: Final = b"\xc0\x00"
_DISCONNECT: Final = b"\xe0\x00"
_PUBACK_HEAD: Final = b"\x40\x02"
_CLEAN, _PASSWORD, _USERNAME = 0x02, 0x40, 0x80
_REFUSED: Final = 0x80
_MOST_LENGTH_BYTES: Final = 4
_CODES: Final = {
    1: "the broker speaks another version of MQTT",
    2: "the broker refuses the client id",
    3: "the broker is not available",
    4: "the broker refuses user or password",
    5: "the broker does not let us in",
}


class Message(NamedTuple):
    """What was published.

    Attributes
    ----------
    topic : bytes
        Where, as the broker sent it.
    payload : bytes or None
        What; None for one of more than `MAX_FRAME_BYTES`.
    """

    topic: bytes
    payload: bytes | None


class SubscriberError(Exception):
    """The broker refused, hung up, or sent what is no MQTT; the text says which."""


class Subscriber(asyncio.Protocol):
    """One connection that listens.

    Parameters
    ----------
    on_messages : callable
        Takes the messages of one read, in order; once it returns they are acknowledged. If it raises, they are not,
        and the connection ends with that.
    keep_alive_s : int
        The broker is pinged this often; without a word from it for one and a half times as long it is gone.
    has_room : callable, optional
        Asked before more is read, and again until it returns True: what is not read stays with the broker.
    """

    def __init__(
        self,
        on_messages: Callable[[list[Message]], None],
        *,
        keep_alive_s: int = 10,
        has_room: Callable[[], bool] = lambda: True,
    ) -> None:
        self._on_messages = on_messages
        self._has_room = has_room
        self._keep_alive_s = keep_alive_s
        loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._skip = 0
        self._heard_at = time.monotonic()
        self._accepted: asyncio.Future[None] = loop.create_future()
        self._subscribed: asyncio.Future[None] = loop.create_future()
        self._ended: asyncio.Future[None] = loop.create_future()

    @classmethod
    async def connect(
        cls,
        address: MqttAddress,
        *,
        client_id: str,
        topic_filters: Sequence[str],
        on_messages: Callable[[list[Message]], None],
        clean_session: bool = True,
        keep_alive_s: int = 10,
        timeout_s: float = 5.0,
        tls: ssl.SSLContext | None = None,
        has_room: Callable[[], bool] = lambda: True,
    ) -> "Subscriber":
        """Return a connection that the broker has accepted and that is subscribed with QoS 1.

        Parameters
        ----------
        address : MqttAddress
            Where to.
        client_id : str
            Its name.
        topic_filters : sequence of str
            What is heard.
        on_messages, keep_alive_s, has_room
            See the class.
        clean_session : bool
            False lets the broker keep what arrives while nobody is there.
        timeout_s : float
            So long the broker may say nothing at all.
        tls : ssl.SSLContext, optional
            How to encrypt.

        Raises
        ------
        SubscriberError, OSError, TimeoutError
            If the broker cannot be reached, refuses, or says nothing.
        """
        loop = asyncio.get_running_loop()
        subscriber: Subscriber
        async with asyncio.timeout(timeout_s):
            _, subscriber = await loop.create_connection(
                lambda: cls(on_messages, keep_alive_s=keep_alive_s, has_room=has_room),
                address.host,
                address.port,
                ssl=tls,
            )
        try:
            await subscriber.introduce(
                _connect_frame(address, client_id, keep_alive_s, clean_session=clean_session),
                _subscribe_frame(topic_filters),
                timeout_s=timeout_s,
            )
        except BaseException:
            subscriber.abort()
            raise
        return subscriber

    async def introduce(self, connect: bytes, subscribe: bytes, *, timeout_s: float) -> None:
        """Say who we are and what we want to hear, each frame once the broker has agreed to the one before.

        A broker pours out what it kept for us before it answers the second: as long as anything comes it is waited for.
        Whoever gave up on it meanwhile, and came back to a broker that had kept still more, would never be heard of
        again.

        Raises
        ------
        SubscriberError, TimeoutError
            If the broker refuses, or says nothing for `timeout_s` seconds.
        """
        for frame, answer in ((connect, self._accepted), (subscribe, self._subscribed)):
            self._write(frame)
            self._heard_at = time.monotonic()
            while not answer.done():
                await asyncio.wait({answer}, timeout=timeout_s)
                if not answer.done() and time.monotonic() - self._heard_at >= timeout_s:
                    raise TimeoutError
            answer.result()

    async def ended(self) -> None:
        """Stay until the connection has ended.

        Raises
        ------
        SubscriberError
            Always, with why; what `on_messages` raised, if it did.
        """
        while not self._ended.done():
            await asyncio.wait((self._ended,), timeout=self._keep_alive_s / 2)
            if time.monotonic() - self._heard_at > 1.5 * self._keep_alive_s:
                self._fail(SubscriberError("no answer in time"))
            self._write(_PINGREQ)
        await self._ended

    def close(self) -> None:
        """Say goodbye and end the connection; what was read and is not acknowledged comes again another time."""
        self._write(_DISCONNECT)
        if self._transport is not None:
            self._transport.close()
        # Nobody is left to ask how it ended.
        self._ended.cancel()

    def abort(self) -> None:
        """End the connection without a word."""
        if self._transport is not None:
            self._transport.abort()
        for waited in (self._accepted, self._subscribed, self._ended):
            if waited.done():
                # Nobody may be left to ask.
                waited.cancelled() or waited.exception()
            else:
                waited.cancel()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever waits."""
        reason = " ".join(str(exc).split()) if exc is not None else ""
        self._fail(SubscriberError(reason or "the broker hung up"))

    def data_received(self, data: bytes) -> None:
        """Take what a read of the socket brought."""
        self._heard_at = time.monotonic()
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        messages: list[Message] = []
        acknowledgements: list[bytes] = []
        try:
            self._rest = self._read(self._rest + data, messages, acknowledgements)
            if messages:
                self._on_messages(messages)
        except Exception as error:  # noqa: BLE001 - it goes on to whoever waits for the end
            self._fail(error)
            return
        if acknowledgements:
            self._write(b"".join(acknowledgements))
        if messages and self._transport is not None and not self._transport.is_closing():
            # What comes within the next moment is read at once: a wake-up costs as much as ten messages.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_later(GATHER_S, self._go_on)

    def _go_on(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if self._has_room():
            self._transport.resume_reading()
        else:
            # It may speak all the time: it is we who do not listen.
            self._heard_at = time.monotonic()
            asyncio.get_running_loop().call_later(HELD_LOOK_S, self._go_on)

    def _read(self, frames: bytes, messages: list[Message], acknowledgements: list[bytes]) -> bytes:
        """Take frames apart; return what is not a whole one yet."""
        begin, size = 0, len(frames)
        while size - begin >= 2:
            kind, length, body = frames[begin], frames[begin + 1], begin + 2
            if kind & _KIND not in _SPOKEN:
                raise SubscriberError("the broker sent what is no MQTT")
            if length & 0x80:
                long = _long_length(frames, begin + 1)
                if long is None:
                    break
                length, body = long
            end = body + length
            too_long = length > MAX_FRAME_BYTES
            if end > size and not (too_long and size - body > 2 * 0xFFFF):
                break
            if kind & _KIND == _PUBLISH:
                topic_end = body + 2 + (frames[body] << 8 | frames[body + 1] if length >= 2 else length)
                payload = topic_end
                qos = kind >> _QOS_SHIFT & 3
                if qos == 1:
                    payload += 2
                    acknowledgements.append(_PUBACK_HEAD + frames[topic_end:payload])
                if payload > end or qos > 1:
                    raise SubscriberError("the broker sent what is no MQTT")
                kept = None if too_long else frames[payload:end]
                messages.append(Message(frames[body + 2 : topic_end], kept))
            else:
                self._answered(kind, frames[body:end])
            if end > size:
                self._skip = end - size
                return b""
            begin = end
        return frames[begin:]

    def _answered(self, kind: int, body: bytes) -> None:
        if kind == _CONNACK and len(body) == 2:
            if body[1]:
                reason = _CODES.get(body[1], f"the broker refused the connection with code {body[1]}")
                raise SubscriberError(reason)
            if not self._accepted.done():
                self._accepted.set_result(None)
        elif kind == _SUBACK and len(body) > 2:
            if any(code >= _REFUSED for code in body[2:]):
                raise SubscriberError("the broker does not let us subscribe")
            if not self._subscribed.done():
                self._subscribed.set_result(None)
        elif kind != _PINGRESP:
            raise SubscriberError("the broker sent an answer that is none")

    def _write(self, frames: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(frames)

    def _fail(self, error: Exception) -> None:
        if self._transport is not None:
            self._transport.abort()
        waits = next((w for w in (self._accepted, self._subscribed, self._ended) if not w.done()), None)
        if waits is not None:
            waits.set_exception(error)


def _long_length(frames: bytes, at: int) -> tuple[int, int] | None:
    """Return a length of several bytes, and where what it is about begins; None where it is not all there."""
    length = 0
    for place in range(_MOST_LENGTH_BYTES):
        if at + place >= len(frames):
            return None
        digit = frames[at + place]
        length |= (digit & 0x7F) << 7 * place
        if not digit & 0x80:
            return length, at + place + 1
    raise SubscriberError("the broker sent what is no MQTT")


def _connect_frame(address: MqttAddress, client_id: str, keep_alive_s: int, *, clean_session: bool) -> bytes:
    flags = _CLEAN if clean_session else 0
    payload = _text(client_id)
    if address.username is not None:
        flags |= _USERNAME
        payload += _text(address.username)
        if address.password is not None:
            flags |= _PASSWORD
            payload += _text(address.password)
    return _frame(0x10, _text("MQTT") + bytes([4, flags]) + struct.pack(">H", keep_alive_s) + payload)


def _subscribe_frame(topic_filters: Sequence[str]) -> bytes:
    return _frame(0x82, b"\x00\x01" + b"".join(_text(one) + b"\x01" for one in topic_filters))


def _frame(kind: int, body: bytes) -> bytes:
    length, encoded = len(body), bytearray()
    while True:
        length, low = divmod(length, 128)
        encoded.append(low | (128 if length else 0))
        if not length:
            return bytes([kind]) + bytes(encoded) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded
