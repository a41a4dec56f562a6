"""One strap's connection: what is due goes out in order, and what a broker did not acknowledge goes out again."""

import asyncio
import contextlib
import socket
import ssl
import time
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from enum import Enum
from itertools import takewhile
from typing import Any, Final

import aiomqtt
import msgspec

from monitor.backoff import Backoff
from monitor.cancellation import end
from monitor.sources.address import MqttAddress
from monitor.wire import WIRE_VERSION, LedgerMessage, TruthMessage, encode, topic
from simulators.lateness import Lateness
from simulators.radio import Radio, Transmission
from simulators.strap import BATTERY_TOLD_EVERY_S, Strap

QOS: Final = 1
MEMORY_PACKETS: Final = 10_000
"""What a strap keeps while it has no broker; then the oldest packets go, entered as unsent."""
_PROBE_S = 3.0
_GOODBYE_S = 0.5
_IN_FLIGHT = 16
_TRUTH_S = 1.0
_LEDGER_TOLD_EVERY_S = 2.0
_TROUBLES_AT_ONCE = 1_000
_LEAST_WAIT_S = 0.2
_OVERTIME_S = 1.0


class LinkState(Enum):
    """How a strap's connection is."""

    CONNECTING = "connecting"
    CONNECTED = "connected"
    DONE = "done"


@dataclass(slots=True, eq=False)
class _Message:
    transmission: Transmission
    tried: bool = False
    # Its due time passed while there was no connection: that is the broker's lateness, not the simulator's.
    overtaken_by_outage: bool = False


class StrapLink:
    """Publishes one strap's transmissions on a connection of its own, whatever happens to the broker.

    It connects when the strap is switched on, and where the strap dies it hangs up without a word, so that the broker
    publishes its last will.

    Parameters
    ----------
    strap : Strap
        Whose packets.
    radio : Radio
        Its radio.
    broker : MqttAddress
        Where to.
    lateness : Lateness
        Where it is entered how late each packet went out that was due while connected.
    say : callable
        Told in words when the connection fails.
    """

    def __init__(
        self,
        strap: Strap,
        radio: Radio,
        broker: MqttAddress,
        *,
        lateness: Lateness,
        say: Callable[[str], None],
    ) -> None:
        self.strap = strap
        self.state = LinkState.CONNECTING
        self.connected = asyncio.Event()
        self.reconnections = 0
        self.cut_off = 0
        """Packets that the radio would have let go only after the time was over; the ledger has them as unsent."""
        self._radio = radio
        self._broker = broker
        self._lateness = lateness
        self._say = say
        self._waiting: deque[_Message] = deque()
        self._unacknowledged: dict[int, _Message] = {}
        self._truths: deque[TruthMessage] = deque()
        self._unacknowledged_truth: TruthMessage | None = None
        self._numbers = 0
        self._news = radio.ledger.news(strap.team, strap.athlete, strap.strap, strap.boot)
        self._begin = 0.0
        self._wake = asyncio.Event()
        self._all_scheduled = False
        self._has_failed = False

    async def run(self, *, start_at: asyncio.Future[float], until_s: float | None, drain_s: float) -> None:
        """Connect, and publish until the record or the time is over and the broker has acknowledged everything.

        Parameters
        ----------
        start_at : future of float
            Unix time, in seconds, of sample 0, once it is known.
        until_s : float, optional
            Seconds of schedule after which nothing more is due; what the radio would hold back for more than a second
            beyond does not go out.
        drain_s : float
            How long, at the end, to wait for acknowledgements; what still waits then is entered as unsent. A broker
            that was never reached in a given time is not waited for.
        """
        connection = asyncio.create_task(self._stay_connected(start_at))
        schedule = asyncio.create_task(self._follow_schedule(start_at, until_s))
        try:
            await asyncio.wait({schedule, connection}, return_when=asyncio.FIRST_COMPLETED)
            if connection.done():
                # It ends by itself only with an error that no reconnection mends.
                connection.result()
            await schedule
            self._all_scheduled = True
            self._wake.set()
            is_hopeless = until_s is not None and self._has_failed and not self.connected.is_set()
            await asyncio.wait({connection}, timeout=0.0 if is_hopeless else drain_s)
        finally:
            for task in (schedule, connection):
                task.cancel()
            await asyncio.gather(schedule, connection, return_exceptions=True)
            self._enter_unsent()
            self.state = LinkState.DONE

    async def _follow_schedule(self, starting: asyncio.Future[float], until_s: float | None) -> None:
        start_at = await starting
        # The schedule runs on the monotonic clock, so that a correction of the wall clock moves no packet.
        self._begin = time.monotonic() + (start_at - time.time())
        packets = self.strap.packets(start_at=start_at)
        if until_s is not None:
            packets = takewhile(lambda scheduled: scheduled.due_s <= until_s, packets)
        for transmission in self._radio.transmit(packets, begins_at=start_at):
            if until_s is not None and transmission.at_s > until_s + _OVERTIME_S:
                # So is everything after it, for transmissions come in order of time.
                self._cut_off(transmission, until_s)
                continue
            delay_s = self._begin + transmission.at_s - time.monotonic()
            # Without a pause now and then a strap that is behind would starve the others.
            await asyncio.sleep(max(delay_s, 0.0))
            if len(self._waiting) >= MEMORY_PACKETS:
                self._forget(self._waiting.popleft())
            connected = self.state is LinkState.CONNECTED
            self._waiting.append(_Message(transmission, overtaken_by_outage=not connected))
            self._remember_lost_truth()
            self._wake.set()
        self._remember_lost_truth()

    def _cut_off(self, transmission: Transmission, at_s: float) -> None:
        if not transmission.duplicate:
            self.cut_off += 1
            self._radio.note("unsent", transmission.scheduled, at_s)

    async def _stay_connected(self, starting: asyncio.Future[float]) -> None:
        if self.strap.begins_s > 0.0:
            switched_on_at = await asyncio.shield(starting) + self.strap.schedule_s(0)
            await asyncio.sleep(max(switched_on_at - time.time(), 0.0))
        backoff = Backoff()
        while not (self._all_scheduled and self._is_drained()):
            try:
                await self._probe()
                async with self._client() as client:
                    self.state = LinkState.CONNECTED
                    self.connected.set()
                    backoff.succeeded()
                    await self._serve(client)
                    return
            except (aiomqtt.MqttError, OSError, TimeoutError) as error:
                self.state = LinkState.CONNECTING
                self._has_failed = True
                for message in self._waiting:
                    message.overtaken_by_outage = True
                retry_s = backoff.next_wait_s()
                self._say(f"broker {self._broker}: {_reason(error)}; trying again in {retry_s:.1f} s")
            await asyncio.sleep(retry_s)
            self.reconnections += 1

    async def _probe(self) -> None:
        # The MQTT client connects in a thread that cannot be cancelled, so a host that swallows packets would hold up
        # Ctrl-C; this can be cancelled, and finds out first.
        async with asyncio.timeout(_PROBE_S):
            _, writer = await asyncio.open_connection(self._broker.host, self._broker.port)
            writer.close()

    def _client(self) -> aiomqtt.Client:
        strap = self.strap
        client = aiomqtt.Client(
            self._broker.host,
            self._broker.port,
            username=self._broker.username,
            password=self._broker.password,
            identifier=f"{strap.team}.{strap.athlete}.{strap.strap}.{strap.boot}",
            will=aiomqtt.Will(
                topic(strap.team, strap.athlete, "status"),
                encode(strap.status(online=False)),
                qos=QOS,
                retain=True,
            ),
            tls_context=ssl.create_default_context() if self._broker.tls else None,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
            max_inflight_messages=2 * _IN_FLIGHT,
            keepalive=15,
            timeout=5,
        )
        # Publishing several at a time is meant, not a leak the client should warn of.
        client.pending_calls_threshold = 4 * _IN_FLIGHT
        return client

    async def _serve(self, client: aiomqtt.Client) -> None:
        """Publish on one connection until all is done; raises MqttError when the connection ends."""
        status = topic(self.strap.team, self.strap.athlete, "status")
        try:
            await self._tell_status(client, status)
            watch = asyncio.create_task(_until_disconnected(client))
            publish = asyncio.create_task(self._publish_all(client))
            battery = asyncio.create_task(self._tell_battery(client, status))
            ledger = asyncio.create_task(self._follow_ledger(client))
            try:
                done, _ = await asyncio.wait({watch, publish}, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
            finally:
                await asyncio.gather(end(watch), end(publish), end(battery), end(ledger))
        except asyncio.CancelledError:
            await self._say_goodbye(client, status)
            raise
        if self.strap.dies:
            await _hang_up(client)
        else:
            await self._say_goodbye(client, status)

    async def _tell_status(self, client: aiomqtt.Client, status: str) -> None:
        schedule_s = time.monotonic() - self._begin if self._begin else 0.0
        told = encode(self.strap.status(online=True, schedule_s=schedule_s))
        await client.publish(status, told, qos=QOS, retain=True)

    async def _tell_battery(self, client: aiomqtt.Client, status: str) -> None:
        """Tell the charge again and again; a strap that knows none says nothing."""
        while self.strap.battery is not None:
            await asyncio.sleep(max(BATTERY_TOLD_EVERY_S / self.strap.speed, _LEAST_WAIT_S))
            # A connection that fails is for the packets to notice.
            with contextlib.suppress(aiomqtt.MqttError):
                await self._tell_status(client, status)

    async def _follow_ledger(self, client: aiomqtt.Client) -> None:
        """Tell what became of the packets now and then; what was lost or troubled is told before its truth, too."""
        while True:
            await asyncio.sleep(_LEDGER_TOLD_EVERY_S)
            with contextlib.suppress(aiomqtt.MqttError):
                await self._tell_ledger(client)

    async def _tell_ledger(self, client: aiomqtt.Client) -> None:
        strap, troubles = self.strap, self._news.troubles[:_TROUBLES_AT_ONCE]
        message = LedgerMessage(
            version=WIRE_VERSION,
            strap=strap.strap,
            boot=strap.boot,
            counts=dict(self._news.counts),
            troubles=troubles,
        )
        await client.publish(topic(strap.team, strap.athlete, "ledger"), encode(message), qos=QOS)
        # Only what the broker has acknowledged is told; the oldest may have been given up meanwhile.
        told = set(troubles)
        self._news.troubles[:] = [trouble for trouble in self._news.troubles if trouble not in told]

    async def _say_goodbye(self, client: aiomqtt.Client, status: str) -> None:
        # Where even this fails, the will has said it.
        client.timeout = _GOODBYE_S
        with contextlib.suppress(aiomqtt.MqttError):
            await self._tell_ledger(client)
            farewell = encode(self.strap.status(online=False, ended=True))
            await client.publish(status, farewell, qos=QOS, retain=True)

    async def _publish_all(self, client: aiomqtt.Client) -> None:
        samples = topic(self.strap.team, self.strap.athlete, "samples")
        truth = topic(self.strap.team, self.strap.athlete, "truth")
        in_flight: set[asyncio.Task[None]] = set()
        # Before anything new, in their order, what an earlier connection left unacknowledged.
        self._waiting.extendleft(reversed(self._unacknowledged.values()))
        self._unacknowledged.clear()
        if self._unacknowledged_truth is not None:
            in_flight.add(self._start(self._publish_truth(client, truth)))
        try:
            while True:
                for task in [task for task in in_flight if task.done()]:
                    in_flight.remove(task)
                    task.result()
                while self._waiting and len(in_flight) < _IN_FLIGHT:
                    in_flight.add(self._start_message(client, samples, self._waiting.popleft()))
                if not self._waiting and self._unacknowledged_truth is None and self._is_truth_due():
                    self._unacknowledged_truth = self._truths.popleft()
                    in_flight.add(self._start(self._publish_truth(client, truth)))
                if self._all_scheduled and self._is_drained() and not in_flight:
                    return
                self._wake.clear()
                await self._wake.wait()
        finally:
            for task in in_flight:
                task.cancel()
            await asyncio.gather(*in_flight, return_exceptions=True)

    def _start(self, publishing: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(publishing)
        task.add_done_callback(lambda _: self._wake.set())
        return task

    def _start_message(self, client: aiomqtt.Client, to: str, message: _Message) -> asyncio.Task[None]:
        self._numbers += 1
        self._unacknowledged[self._numbers] = message
        return self._start(self._publish(client, to, message, self._numbers))

    async def _publish(self, client: aiomqtt.Client, to: str, message: _Message, number: int) -> None:
        transmission = message.transmission
        scheduled = transmission.scheduled
        at_s = time.monotonic() - self._begin
        if message.tried:
            self._radio.note("resent", scheduled, at_s)
        else:
            message.tried = True
            self._radio.note("duplicated" if transmission.duplicate else "sent", scheduled, at_s)
            if scheduled.truth is not None and not transmission.duplicate:
                self._remember_truth(scheduled.truth)
            if not message.overtaken_by_outage:
                self._lateness.add(at_s - transmission.at_s)
        await client.publish(to, encode(scheduled.packet), qos=QOS)
        del self._unacknowledged[number]

    def _remember_truth(self, truth: TruthMessage) -> None:
        """Join stretches that meet: truth is in no hurry, and one message a second costs less than four."""
        last = self._truths[-1] if self._truths else None
        if last is not None and last.end_sample == truth.first_sample and last.scored == truth.scored:
            truth = msgspec.structs.replace(
                truth,
                first_sample=last.first_sample,
                r_samples=last.r_samples + truth.r_samples,
                classes=last.classes + truth.classes,
            )
            self._truths.pop()
        self._truths.append(truth)

    def _remember_lost_truth(self) -> None:
        """Beats that the radio loses are missed ones: the scorer must hear of them all the same."""
        lost, self._radio.lost_truth = self._radio.lost_truth, []
        for truth in lost:
            self._remember_truth(truth)

    def _is_truth_due(self) -> bool:
        if not self._truths:
            return False
        first = self._truths[0]
        long_enough = first.end_sample - first.first_sample >= _TRUTH_S * self.strap.record.rate_hz
        return long_enough or len(self._truths) > 1 or self._all_scheduled

    async def _publish_truth(self, client: aiomqtt.Client, to: str) -> None:
        if self._news.troubles:
            # A beat is scored once its truth is there: why it could not be found must be known by then.
            await self._tell_ledger(client)
        if self._unacknowledged_truth is not None:
            await client.publish(to, encode(self._unacknowledged_truth), qos=QOS)
            self._unacknowledged_truth = None

    def _is_drained(self) -> bool:
        return not (self._waiting or self._unacknowledged or self._truths or self._unacknowledged_truth)

    def _forget(self, message: _Message) -> None:
        if not message.tried and not message.transmission.duplicate:
            self._radio.note("unsent", message.transmission.scheduled, time.monotonic() - self._begin)

    def _enter_unsent(self) -> None:
        for message in self._waiting:
            self._forget(message)
        for message in (*self._waiting, *self._unacknowledged.values()):
            if message.tried:
                scheduled = message.transmission.scheduled
                self._radio.note("unacknowledged", scheduled, time.monotonic() - self._begin)


async def _until_disconnected(client: aiomqtt.Client) -> None:
    async for _ in client.messages:
        pass


async def _hang_up(client: aiomqtt.Client) -> None:
    """Break the connection off as a strap does whose battery is empty: without the word that would void its will."""
    connected: Any = client._client.socket()  # noqa: SLF001 - the client offers only an orderly farewell
    if connected is not None:
        connected.shutdown(socket.SHUT_RDWR)
    with contextlib.suppress(aiomqtt.MqttError):
        await _until_disconnected(client)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer"
    return " ".join(str(error).split()) or type(error).__name__
