"""A publisher and nothing else: as much of MQTT 3.1.1 as a load of thousands of straps needs.

A client library costs 50 to 90 µs a message, more than the monitor at the other end, so that a load test would measure
the load. This one writes frames that were made elsewhere, counts acknowledgements, and keeps the connection alive; it
neither subscribes nor sends anything again. Straps with all of that are `simulators.strap_link`.

References
----------
MQTT Version 3.1.1, OASIS Standard, 2014.
"""

import asyncio
import struct
import time
from typing import Final, cast

from monitor.errors import ServerError
from monitor.sources.address import MqttAddress

KEEP_ALIVE_S: Final = 60
_CONNACK, _PUBACK = 0x20, 0x40
_PUBLISH_QOS_1: Final = 0x32
_PINGREQ: Final = b"\xc0\x00"
_DISCONNECT: Final = b"\xe0\x00"
_CLEAN, _WILL, _WILL_QOS_1, _WILL_RETAIN = 0x02, 0x04, 0x08, 0x20
_PASSWORD, _USERNAME = 0x40, 0x80
_CONNECT_S: Final = 10.0


class Publisher(asyncio.Protocol):
    """One connection.

    Attributes
    ----------
    acknowledged : int
        Messages that the broker has acknowledged.
    lost : bool
        The connection has ended without our word.
    accepted : future
        Done once the broker has let us in; an OSError if it does not.
    """

    def __init__(self) -> None:
        self.acknowledged = 0
        self.lost = False
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self.accepted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closing = False
        self._spoke_at = 0.0

    @classmethod
    async def connect(
        cls, address: MqttAddress, *, client_id: str, will: tuple[str, bytes] | None
    ) -> "Publisher":
        """Return a connection that the broker has accepted.

        Parameters
        ----------
        address : MqttAddress
            Where to; without TLS.
        client_id : str
            Its name.
        will : tuple of str and bytes, optional
            Topic and payload of the retained last will.

        Raises
        ------
        ServerError
            If the broker cannot be reached or refuses.
        """
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(_CONNECT_S):
                _, publisher = await loop.create_connection(cls, address.host, address.port)
                publisher.write(_connect_frame(address, client_id, will))
                await publisher.accepted
        except (OSError, TimeoutError) as error:
            raise ServerError(f"broker {address}: {' '.join(str(error).split()) or 'no answer'}") from error
        return publisher

    def write(self, frames: bytes) -> None:
        """Send frames as they are."""
        if self._transport is not None and not self._transport.is_closing():
            self._spoke_at = time.monotonic()
            self._transport.write(frames)

    def keep_alive(self) -> None:
        """Ping the broker if nothing has been sent for half the time it would wait."""
        if time.monotonic() - self._spoke_at > KEEP_ALIVE_S / 2:
            self.write(_PINGREQ)

    def close(self) -> None:
        """End in order: the last will is void."""
        self._closing = True
        self.write(_DISCONNECT)
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Count what the broker answers; every answer here is of a fixed, short length."""
        self._buffer += data
        position = 0
        while len(self._buffer) - position >= 2:
            kind, length = self._buffer[position] & 0xF0, self._buffer[position + 1]
            end = position + 2 + length
            if len(self._buffer) < end:
                break
            if kind == _PUBACK:
                self.acknowledged += 1
            elif kind == _CONNACK and not self.accepted.done():
                code = self._buffer[position + 3]
                if code:
                    self.accepted.set_exception(OSError(f"refused the connection with code {code}"))
                else:
                    self.accepted.set_result(None)
            position = end
        del self._buffer[:position]

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember that it is over."""
        self.lost = not self._closing
        if not self.accepted.done():
            self.accepted.set_exception(exc or OSError("hung up"))


def publish_frame(topic: str, payload: bytes, packet_id: int, *, retain: bool = False) -> bytes:
    """Return a PUBLISH of QoS 1.

    Parameters
    ----------
    topic : str
        Where to.
    payload : bytes
        What.
    packet_id : int
        1 to 65,535.
    retain : bool
        Whether the broker keeps it.
    """
    name = _text(topic)
    body = len(name) + 2 + len(payload)
    return bytes([_PUBLISH_QOS_1 | retain]) + _length(body) + name + struct.pack(">H", packet_id) + payload


def _connect_frame(address: MqttAddress, client_id: str, will: tuple[str, bytes] | None) -> bytes:
    flags = _CLEAN
    payload = _text(client_id)
    if will is not None:
        flags |= _WILL | _WILL_QOS_1 | _WILL_RETAIN
        payload += _text(will[0]) + struct.pack(">H", len(will[1])) + will[1]
    if address.username is not None:
        flags |= _USERNAME
        payload += _text(address.username)
        if address.password is not None:
            flags |= _PASSWORD
            payload += _text(address.password)
    header = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", KEEP_ALIVE_S)
    return b"\x10" + _length(len(header) + len(payload)) + header + payload


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(value: int) -> bytes:
    """Return MQTT's length: seven bits a byte, the lowest first."""
    encoded = bytearray()
    while True:
        value, low = divmod(value, 128)
        encoded.append(low | (128 if value else 0))
        if not value:
            return bytes(encoded)
