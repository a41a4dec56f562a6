"""Packets from an MQTT broker.

A message (QoS 1) is acknowledged once it is in the journal, all those of one read of the socket at once: a monitor that
is killed finds it there, or gets it again; with a persistent session the broker keeps what arrives while we are away.
Without a journal, what is between here and the monitor's state at a crash is lost.
"""

import asyncio
import ssl
import time
import uuid
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from typing import Final, Self

import structlog

from monitor.backoff import Backoff
from monitor.cancellation import end_if_cancelled
from monitor.errors import PacketError, SettingsError
from monitor.recovery.packets import PacketJournal
from monitor.sources.address import MqttAddress, parse_mqtt_url
from monitor.sources.inbox import Inbox
from monitor.sources.patience import Patience
from monitor.sources.source import Arrival
from monitor.sources.subscriber import Message, Subscriber, SubscriberError
from monitor.wire import MAX_PACKET_BYTES, Topic, parse_topic

TOPIC_FILTERS: Final = ("ecg/+/+/samples", "ecg/+/+/status")
"""What the monitor hears. Truth is not among them: its decisions never see it."""

_KEEPALIVE_S: Final = 10
_TIMEOUT_S: Final = 5.0
# A connection that held this long was a good one; a shorter one counts as a failure, so that two monitors with one
# client id, who throw each other out, do not do so as fast as they can.
_HELD_S: Final = 5.0
_MAX_TOPICS_KNOWN: Final = 20_000

_log = structlog.stdlib.get_logger(__name__)


class MqttSource:
    """A `monitor.sources.Source` that subscribes to all straps of a broker.

    Parameters
    ----------
    url : str or MqttAddress
        ``mqtt://[user:password@]host[:port]`` or ``mqtts://…``.
    client_id : str or None
        Name towards the broker, which lets in only one client of a name; None makes one up.
    persistent_session : bool
        Let the broker keep what arrives while we are away, or have no room for it for a while (see
        `monitor.sources.patience`); needs a `client_id` that stays the same.
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
        self._patience = Patience()
        self._journal = journal
        self._topic_filters = tuple(topic_filters)
        self._on_connection = on_connection
        self._topics: dict[bytes, Topic] = {}
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

    def take_drops(self) -> Mapping[tuple[str, str], int]:
        """Return of which straps packets were dropped since the last call, and how many."""
        return self._inbox.take_drops()

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
            except (SubscriberError, OSError, TimeoutError) as error:
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
        self._patience = Patience()
        subscriber = await Subscriber.connect(
            self._address,
            client_id=self._client_id,
            topic_filters=self._topic_filters,
            on_messages=self._receive,
            clean_session=not self._persistent_session,
            keep_alive_s=_KEEPALIVE_S,
            timeout_s=_TIMEOUT_S,
            tls=ssl.create_default_context() if self._address.tls else None,
            has_room=self._has_room,
        )
        try:
            end_if_cancelled()
            self._report(connected=True)
            _log.info(
                "connected to the broker",
                broker=str(self._address),
                client_id=self._client_id,
                topics=self._topic_filters,
            )
            await subscriber.ended()
        finally:
            subscriber.close()

    def _receive(self, messages: list[Message]) -> None:
        """Take messages; the broker is told that they have come when this returns."""
        arrived_at = time.time()
        self._received += len(messages)
        arrivals = []
        for name, payload in messages:
            if payload is None or len(payload) > MAX_PACKET_BYTES:
                self._refuse("oversized")
                continue
            topic = self._topics.get(name) or self._topic_of(name)
            if topic is not None:
                arrivals.append(Arrival(topic, payload, arrived_at, _acknowledged_on_reading))
        if self._journal is not None:
            # From here on no crash of ours loses them.
            self._journal.append_all([arrival[:3] for arrival in arrivals])
        self._inbox.put_all(arrivals)

    def _has_room(self) -> bool:
        """Return whether to read on; what a broker without our session cannot send now it throws away."""
        return not self._persistent_session or not self._patience.waits(
            time.monotonic(), full=self._inbox.nearly_full
        )

    def _topic_of(self, name: bytes) -> Topic | None:
        try:
            topic = parse_topic(name.decode("ascii", errors="replace"))
        except PacketError as error:
            self._refuse(error.reason)
            return None
        if len(self._topics) >= _MAX_TOPICS_KNOWN:
            self._topics.clear()
        self._topics[name] = topic
        return topic

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


def _plain(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(error) or type(error).__name__
