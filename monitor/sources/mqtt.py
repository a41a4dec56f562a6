"""Packets from an MQTT broker, through aiomqtt.

aiomqtt acknowledges a message (QoS 1) once it has handed it to us. With a journal it is on disk by then, and a monitor
that is killed finds it there; with a persistent session the broker keeps what arrives while we are away. Without a
journal, what is between here and the monitor's state at a crash is lost.
"""

import asyncio
import logging
import math
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, Self

import aiomqtt
import structlog

from monitor.backoff import Backoff
from monitor.cancellation import end_if_cancelled
from monitor.errors import PacketError, SettingsError
from monitor.recovery.packets import PacketJournal
from monitor.sources.address import MqttAddress, parse_mqtt_url
from monitor.sources.inbox import Inbox
from monitor.sources.source import Arrival
from monitor.wire import MAX_PACKET_BYTES, Topic, parse_topic

TOPIC_FILTERS: Final = ("ecg/+/+/samples", "ecg/+/+/status")
"""What the monitor hears. Truth is not among them: its decisions never see it."""

_QOS: Final = 1
_KEEPALIVE_S: Final = 10
_TIMEOUT_S: Final = 5.0
_FAREWELL_S: Final = 1.0
# A connection that held this long was a good one; a shorter one counts as a failure, so that two monitors with one
# client id, who throw each other out, do not do so as fast as they can.
_HELD_S: Final = 5.0
_FIRST_REFUSAL: Final = 128
_MAX_TOPICS_KNOWN: Final = 20_000

_log = structlog.stdlib.get_logger(__name__)
# The client's own words would repeat what is said here.
_client_log = logging.getLogger(f"{__name__}.client")
_client_log.setLevel(logging.CRITICAL)


class MqttSource:
    """A `monitor.sources.Source` that subscribes to all straps of a broker.

    Parameters
    ----------
    url : str or MqttAddress
        ``mqtt://[user:password@]host[:port]`` or ``mqtts://…``.
    client_id : str or None
        Name towards the broker, which lets in only one client of a name; None makes one up.
    persistent_session : bool
        Let the broker keep what arrives while we are away; needs a `client_id` that stays the same.
    capacity : int
        Messages that may wait for `take`; more are dropped and counted.
    topic_filters : sequence of str
        What is heard; the monitor's own by default.
    journal : PacketJournal or None
        Where each message is written down before the broker is told that it has come.
    on_connection : callable or None
        Called with True when connected and subscribed, with False when the connection has ended.

    Raises
    ------
    SettingsError
        If `url` is none, or a persistent session has no `client_id`.
    """

    def __init__(
        self,
        url: str | MqttAddress,
        *,
        client_id: str | None = None,
        persistent_session: bool = False,
        capacity: int = 20_000,
        topic_filters: Sequence[str] = TOPIC_FILTERS,
        journal: PacketJournal | None = None,
        on_connection: Callable[[bool], None] | None = None,
    ) -> None:
        if persistent_session and not client_id:
            raise SettingsError(
                "persistent_session needs a client_id that stays the same; set broker.client_id"
            )
        self._address = url if isinstance(url, MqttAddress) else parse_mqtt_url(url)
        self._client_id = client_id or f"strapwatch-{uuid.uuid4().hex[:16]}"
        self._persistent_session = persistent_session
        self._inbox = Inbox(capacity=capacity)
        self._journal = journal
        self._topic_filters = tuple(topic_filters)
        self._on_connection = on_connection
        self._topics: dict[str, Topic] = {}
        self._refused: Counter[str] = Counter()
        self._received = 0
        self._connected = False
        self._task: asyncio.Task[None] | None = None

    @property
    def connected(self) -> bool:
        """Whether messages can arrive at this moment."""
        return self._connected

    @property
    def received(self) -> int:
        """Messages read since the start, whatever became of them."""
        return self._received

    @property
    def dropped(self) -> int:
        """Messages dropped since the start because nobody took them in time."""
        return self._inbox.dropped

    @property
    def refused(self) -> Mapping[str, int]:
        """Messages that were not ours or too large, by reason."""
        return self._refused

    @property
    def waiting(self) -> int:
        """Messages that wait for `take`."""
        return len(self._inbox)

    def take(self) -> list[Arrival]:
        """Return all that is waiting, without waiting; each strap's messages in order of arrival."""
        self._raise_if_ended()
        return self._inbox.take()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Arrival:
        if self._task is None:
            raise StopAsyncIteration
        waiting = asyncio.ensure_future(self._inbox.get())
        try:
            await asyncio.wait((waiting, self._task), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        if waiting.done():
            return waiting.result()
        waiting.cancel()
        self._raise_if_ended()
        raise StopAsyncIteration

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RuntimeError("this source is already entered")
        self._task = asyncio.create_task(self._keep_connected(), name="mqtt-source")
        return self

    async def __aexit__(self, *_exception: object) -> None:
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        self._report(connected=False)

    def _raise_if_ended(self) -> None:
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def _keep_connected(self) -> None:
        backoff = Backoff()
        failures = 0
        while True:
            began = time.monotonic()
            try:
                await self._stay_connected()
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                reason = _plain(error)
            was_connected = self._connected
            self._report(connected=False)
            if was_connected and time.monotonic() - began > _HELD_S:
                backoff.succeeded()
            failures = 1 if was_connected else failures + 1
            wait_s = backoff.next_wait_s()
            _log.warning(
                "connection to the broker lost, trying again" if was_connected else "no broker, trying again",
                broker=str(self._address),
                reason=reason,
                failures=failures,
                wait_s=round(wait_s, 2),
            )
            await asyncio.sleep(wait_s)

    async def _stay_connected(self) -> None:
        """Connect, subscribe, and stay until the connection is lost, which raises."""
        tls = ssl.create_default_context() if self._address.tls else None
        # aiomqtt connects in a thread that cannot be cancelled. With a host that does not answer, that would hold up
        # our own end for seconds; so ask first, here, where waiting can be cancelled.
        async with asyncio.timeout(_TIMEOUT_S):
            _, probe = await asyncio.open_connection(self._address.host, self._address.port, ssl=tls)
            probe.close()
            with suppress(OSError):
                await probe.wait_closed()
        client = self._client(tls)
        await _enter(client)
        try:
            for topic_filter in self._topic_filters:
                codes = await self._subscribe(client, topic_filter)
                if any(_code(code) >= _FIRST_REFUSAL for code in codes):
                    raise aiomqtt.MqttError(f"the broker does not let us subscribe to {topic_filter}")
            end_if_cancelled()
            self._report(connected=True)
            _log.info(
                "connected to the broker",
                broker=str(self._address),
                client_id=self._client_id,
                topics=self._topic_filters,
            )
            # Nothing ever comes out of this queue: `_Tap.put_nowait` takes each message as it is read.
            await anext(client.messages)
        finally:
            await _leave(client)

    async def _subscribe(self, client: aiomqtt.Client, topic_filter: str) -> Sequence[Any]:
        """Subscribe, for as long as messages keep coming: a broker pours out what it kept for us before it answers.

        Whoever gave up on it meanwhile, and came back to a broker that had kept still more, would never be heard of
        again.
        """
        asked = asyncio.ensure_future(client.subscribe(topic_filter, qos=_QOS, timeout=math.inf))
        try:
            while True:
                received = self._received
                done, _ = await asyncio.wait({asked}, timeout=_TIMEOUT_S)
                if done:
                    return asked.result()
                if self._received == received:
                    raise TimeoutError
        finally:
            asked.cancel()

    def _client(self, tls: ssl.SSLContext | None) -> aiomqtt.Client:
        receive = self._receive

        class _Tap(asyncio.Queue[aiomqtt.Message]):
            """Where aiomqtt puts what it reads; handing it on at once saves a task a message and its wait."""

            def put_nowait(self, item: aiomqtt.Message) -> None:
                receive(item)

        return aiomqtt.Client(
            self._address.host,
            self._address.port,
            username=self._address.username,
            password=self._address.password,
            identifier=self._client_id,
            clean_session=not self._persistent_session,
            keepalive=_KEEPALIVE_S,
            timeout=_TIMEOUT_S,
            tls_context=tls,
            queue_type=_Tap,
            logger=_client_log,
        )

    def _receive(self, message: aiomqtt.Message) -> None:
        arrived_at = time.time()
        self._received += 1
        payload = message.payload
        if not isinstance(payload, bytes) or len(payload) > MAX_PACKET_BYTES:
            self._refuse("oversized" if isinstance(payload, bytes) else "malformed")
            return
        topic = self._topics.get(message.topic.value)
        if topic is None:
            try:
                topic = parse_topic(message.topic.value)
            except PacketError as error:
                self._refuse(error.reason)
                return
            if len(self._topics) >= _MAX_TOPICS_KNOWN:
                self._topics.clear()
            self._topics[message.topic.value] = topic
        if self._journal is not None:
            # The client acknowledges when this returns: from here on no crash of ours loses the message.
            self._journal.append(topic, payload, arrived_at)
        self._inbox.put(Arrival(topic, payload, arrived_at, _acknowledged_on_reading))

    def _refuse(self, reason: str) -> None:
        self._refused[reason] += 1
        # The first of a kind, then each time their number has doubled: a flood must not fill the log.
        count = self._refused[reason]
        if count & (count - 1) == 0:
            _log.warning("message refused", reason=reason, count=count)

    def _report(self, *, connected: bool) -> None:
        if connected == self._connected:
            return
        self._connected = connected
        if self._on_connection is not None:
            self._on_connection(connected)


def _acknowledged_on_reading() -> None:
    pass


async def _enter(client: aiomqtt.Client) -> None:
    """Connect `client`; cancelled, let the attempt end first so that it leaves no connection behind."""
    attempt = asyncio.ensure_future(client.__aenter__())
    try:
        await asyncio.shield(attempt)
    except asyncio.CancelledError:
        done, _ = await asyncio.wait((attempt,), timeout=_FAREWELL_S)
        if not done:
            attempt.cancel()
        elif not attempt.cancelled() and attempt.exception() is None:
            await _leave(client)
        raise


async def _leave(client: aiomqtt.Client) -> None:
    with suppress(aiomqtt.MqttError, TimeoutError):
        async with asyncio.timeout(_FAREWELL_S):
            await client.__aexit__(None, None, None)


def _code(code: object) -> int:
    """Return a SUBACK code as a number; paho gives numbers for MQTT 3.1.1 and objects for later versions."""
    return code if isinstance(code, int) else int(getattr(code, "value", 0))


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
