"""Alarms on their way out of the building: groups, webhooks, what nobody answers, and the watch over the monitor."""

import asyncio
import base64
import hashlib
import hmac
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

import msgspec
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from monitor.canary import canary
from monitor.catalogue import RuleChange, changed_rules
from monitor.contract import Alarm, AlarmTransition, Priority, RhythmKind
from monitor.embedded import EmbeddedServer, GuardedServer
from monitor.errors import SettingsError
from monitor.live_state import CANARY_TEAM, TEAMS_KEY, MonitorState, alarms_key, monitor_key
from monitor.receivers import DeliveryError, GroupReader, Notice, Relay, Watchdog, WebhookReceiver
from monitor.receivers.answers import GRACE_S, Answers
from monitor.receivers.notice import notice_of
from monitor.receivers.watchdog import CANARY_LOST_AFTER_S, HEARTBEAT_LOST_AFTER_S, STRAPS_UNHEARD_AFTER_S
from monitor.receivers.webhook import check_endpoint, message_body, secret_bytes, signed_headers
from monitor.responses import ReceiverState, receiver_key
from monitor.sinks import AlarmScript, acknowledge, audit_trail, open_redis
from monitor.sinks.alarm_script import known_key
from monitor.sinks.identity import Identity
from tests.monitor.address import Address

_ASKED: tuple[RhythmKind, ...] = ("asystole", "pause")
SECRET = "whsec_" + base64.b64encode(b"0123456789abcdef01234567").decode()


def alarm_(
    transition: AlarmTransition = "raised",
    *,
    kind: RhythmKind = "asystole",
    priority: Priority = "high",
    episode: int = 1000,
    at: float = 1.0,
) -> Alarm:
    """Return a transition of an alarm of the heart."""
    return Alarm(
        team="red", athlete="anna", strap="s1", boot=1, kind=kind, episode=episode, transition=transition,
        priority=priority, technical=False, known_sample=episode, rate_hz=250.0, at=at, onset_at=at, rate_bpm=None,
        quality=1.0, message="No heartbeat.", action="CALL",
    )  # fmt: skip


def monitor_state(monitor_id: str = "m") -> MonitorState:
    """Return the heartbeat of a monitor that is well."""
    return MonitorState(
        monitor_id=monitor_id, at=1.0, started_at=0.0, athletes=0, packets_received=0, packets_lost=0,
        packets_refused=0, packets_dropped=0, samples=0, beats=0, alarms=0, broker_connected=True, outbox_waiting=0,
        model="", settings_hash="", refused={},
    )  # fmt: skip


@pytest.fixture
async def client(redis_server: GuardedServer) -> AsyncIterator[Any]:
    """Return a client of a server that knows one team."""
    client: Any = open_redis(redis_server.url)
    await client.sadd(TEAMS_KEY, "red")
    yield client
    await client.aclose()


@dataclass
class Endpoint:
    """A real HTTP server that answers what it is told to: the first of `answers` each time, then 204."""

    url: str = ""
    answers: list[int] = field(default_factory=list)
    taken: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    refused: list[tuple[dict[str, str], bytes]] = field(default_factory=list)

    def bodies(self) -> list[Any]:
        """Return the JSON it has taken."""
        return [json.loads(body) for _, body in self.taken]


@asynccontextmanager
async def endpoint(*answers: int) -> AsyncIterator[Endpoint]:
    """Run an endpoint on a free port."""
    own = Endpoint(answers=list(answers))

    async def post(request: web.Request) -> web.Response:
        body = await request.read()
        status = own.answers.pop(0) if own.answers else 204
        if status == 0:
            # The connection breaks before there is an answer.
            assert request.transport is not None
            request.transport.close()
        (own.taken if status == 204 else own.refused).append((dict(request.headers), body))
        return web.Response(status=status or 500)

    app = web.Application()
    app.router.add_post("/hook/secret-path", post)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0]
    own.url = f"http://{host}:{port}/hook/secret-path"
    try:
        yield own
    finally:
        await runner.cleanup()


@asynccontextmanager
async def relaying(client: Any, *receivers: Any, **options: Any) -> AsyncIterator[Relay]:
    """Run a relay until the end of the block."""
    relay = Relay(client, receivers, **options)
    task = asyncio.create_task(relay.run())
    await asyncio.sleep(0.3)
    try:
        yield relay
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool], *, within_s: float = 20.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - a list of the endpoint is watched, which sets no event
            await asyncio.sleep(0.02)


@dataclass
class Listener:
    """A receiver that keeps what it takes, and takes nothing for as long as it fails."""

    name: str = "duty"
    fails: bool = False
    taken: list[Notice] = field(default_factory=list)

    def wants(self, alarm: Alarm) -> bool:
        """Whether it is no test alarm."""
        return alarm.team != CANARY_TEAM

    async def deliver(self, notice: Notice) -> None:
        """Keep it."""
        if self.fails:
            raise DeliveryError("fails")
        self.taken.append(notice)

    def told(self) -> list[tuple[str, str]]:
        """Return kinds and transitions."""
        return [(notice.alarm.kind, notice.alarm.transition) for notice in self.taken]


# --- webhook ---------------------------------------------------------------------------------------------------------


async def test_a_webhook_is_signed_and_tried_again_with_the_same_key(client: Any) -> None:
    """An endpoint that fails in every way gets the notice until it has it: same key and body, right signature, once."""
    async with (
        endpoint(500, 0, 302) as own,
        WebhookReceiver("duty", url=own.url, secret=SECRET, when="raised") as hook,
    ):
        async with relaying(client, hook) as relay:
            await AlarmScript(client).add(alarm_())
            await until(lambda: len(own.taken) == 1)
            await until(lambda: not relay._served[0].under_way)
            assert relay._served[0].failed == 3
            assert await relay._served[0].reader.waiting() == 0
        assert len(own.refused) + len(own.taken) == 4
        for headers, body in own.refused + own.taken:
            sent = {name.lower(): value for name, value in headers.items()}
            assert sent["webhook-id"] == sent["idempotency-key"] == own.taken[0][0]["webhook-id"]
            signed = f"{sent['webhook-id']}.{sent['webhook-timestamp']}.".encode() + body
            expected = base64.b64encode(
                hmac.new(b"0123456789abcdef01234567", signed, hashlib.sha256).digest()
            ).decode()
            assert sent["webhook-signature"] == f"v1,{expected}"
        (body,) = own.bodies()
        assert (body["type"], body["identity"]) == ("alarm.raised", alarm_().identity)
        assert (body["message"], body["athlete"]) == ("No heartbeat.", "anna")


def test_the_signature_is_that_of_the_specification() -> None:
    """An independent computation over id, timestamp and body gives the header; another key or body another one."""
    headers = signed_headers(b"k" * 16, "a/raised/high", b"{}", at=1_700_000_000)
    identifier = "msg_" + hashlib.sha256(b"a/raised/high").hexdigest()[:32]
    signature = hmac.digest(b"k" * 16, f"{identifier}.1700000000.{{}}".encode(), "sha256")
    assert headers["webhook-signature"] == "v1," + base64.b64encode(signature).decode()
    assert signed_headers(b"k" * 16, "a/raised/high", b"{} ", at=1_700_000_000) != headers
    assert signed_headers(b"j" * 16, "a/raised/high", b"{}", at=1_700_000_000) != headers


def test_a_body_holds_no_signal() -> None:
    """What leaves the building are pseudonyms and words."""
    assert "strip" not in json.loads(message_body(notice_of(alarm_())))


@pytest.mark.parametrize(
    "url", ["http://example.org/x", "ftp://x", "https://", "x", "http://[::1", "https://h:port/"]
)
def test_addresses_that_would_tell_everybody_are_refused(url: str) -> None:
    """Only https, or this machine; the text does not repeat the path."""
    with pytest.raises(SettingsError) as caught:
        check_endpoint(url)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("secret", ["short", "whsec_!!!!!!!!!!!!!!!!", "whsec_" + "QUJD" * 7])
def test_secrets_that_are_none_are_refused_and_not_repeated(secret: str) -> None:
    """Too short, no base64 where it says so, or too little behind that."""
    with pytest.raises(SettingsError) as caught:
        secret_bytes(secret)
    assert secret not in str(caught.value)


async def test_what_a_webhook_wants() -> None:
    """By default only what nobody answers, and that monitoring is lost; every unanswered high alarm in any case."""
    async with endpoint() as own:
        async with WebhookReceiver("w", url=own.url, secret=SECRET) as late:
            assert not late.wants(alarm_("raised"))
            assert late.wants(alarm_("unanswered"))
            assert not late.wants(alarm_("unanswered", priority="medium"))
            assert not late.wants(alarm_("acknowledged"))
            await late.deliver(notice_of(alarm_("unanswered")))
            assert late.wants(alarm_("acknowledged"))
            lost = Watchdog(began_at=0.0).tick(100.0)[0]
            assert late.wants(lost)
        early = WebhookReceiver("w", url=own.url, secret=SECRET, least="medium", when="raised")
        assert early.wants(alarm_("raised", priority="medium"))
        assert not early.wants(alarm_("raised", priority="low"))
        assert not early.wants(alarm_("completed"))
        assert not early.wants(canary("m", 1.0, since=0.0))
        assert WebhookReceiver("w", url=own.url, secret=SECRET, canary=True).wants(
            canary("m", 1.0, since=0.0)
        )


# --- groups ----------------------------------------------------------------------------------------------------------


async def test_each_group_gets_every_alarm_once_and_instances_share(client: Any) -> None:
    """Two groups each get all; two readers of one group get each alarm once between them."""
    readers = [
        GroupReader(client, group=group, consumer=consumer)
        for group, consumer in (("a", "1"), ("a", "2"), ("b", "1"))
    ]
    for reader in readers:
        assert await reader.read(wait_s=0.01) == []
    script = AlarmScript(client)
    for k in range(6):
        await script.add(alarm_(episode=10_000 * k))
    got = [await reader.read(wait_s=0.1) for reader in readers]
    assert len(got[0]) + len(got[1]) == len(got[2]) == 6
    for reader, entries in zip(readers, got, strict=True):
        for entry in entries:
            await reader.done(entry)
    assert [await reader.waiting() for reader in readers] == [0, 0, 0]


async def test_what_a_dead_instance_held_is_taken_over(client: Any) -> None:
    """Given but not acknowledged in time, an alarm goes to another instance of the group, once."""
    dead = GroupReader(client, group="g", consumer="dead")
    living = GroupReader(client, group="g", consumer="living", reclaim_after_s=0.05)
    for reader in (dead, living):
        await reader.read(wait_s=0.01)
    await AlarmScript(client).add(alarm_())
    assert len(await dead.read(wait_s=0.1)) == 1
    assert await living.read(wait_s=0.01) == []
    await asyncio.sleep(0.1)
    (entry,) = await living.reclaim()
    assert entry.alarm == alarm_()
    await living.done(entry)
    await asyncio.sleep(0.1)
    assert await living.reclaim() == []


async def test_a_team_that_comes_later_is_heard_from_its_first_alarm(client: Any) -> None:
    """What was there before a group began is past; a team that is new to it is told whole."""
    script = AlarmScript(client)
    await script.add(alarm_())
    reader = GroupReader(client, group="g", consumer="1")
    assert await reader.read(wait_s=0.01) == []
    await script.add(msgspec.structs.replace(alarm_(), team="blue"))
    await client.sadd(TEAMS_KEY, "blue")
    reader._asked_at = 0.0
    assert [e.alarm.team for e in await reader.read(wait_s=0.1) if e.alarm] == ["blue"]


async def test_a_team_that_came_while_nobody_of_the_group_was_there_is_heard_from_its_first_alarm(
    client: Any,
) -> None:
    """The group has begun before: a process that starts later leaves out nothing that came since."""
    script = AlarmScript(client)
    await script.add(alarm_())
    assert await GroupReader(client, group="g", consumer="1").read(wait_s=0.01) == []
    await client.sadd(TEAMS_KEY, "blue")
    for team in ("red", "blue"):
        await script.add(msgspec.structs.replace(alarm_(episode=20_000), team=team))
    entries = await GroupReader(client, group="g", consumer="2").read(wait_s=0.1)
    assert sorted((e.alarm.team, e.alarm.episode) for e in entries if e.alarm) == [
        ("blue", 20_000),
        ("red", 20_000),
    ]


async def test_a_server_that_lost_its_data_is_begun_anew(client: Any) -> None:
    """Groups that are gone are made again, and alarms flow."""
    reader = GroupReader(client, group="g", consumer="1")
    await reader.read(wait_s=0.01)
    await client.flushall()
    await client.sadd(TEAMS_KEY, "red")
    await reader.read(wait_s=0.01)
    await reader.read(wait_s=0.01)
    await AlarmScript(client).add(alarm_())
    assert len(await reader.read(wait_s=0.1)) == 1


# --- the relay -------------------------------------------------------------------------------------------------------


async def test_a_receiver_that_fails_gets_it_later_and_holds_up_nobody(client: Any) -> None:
    """One receiver's failures are its own: the other is told at once, the first when it is well again."""
    ill, well = Listener("ill", fails=True), Listener("well")
    async with relaying(client, ill, well, reclaim_after_s=0.5):
        await AlarmScript(client).add(alarm_(at=time.time()))
        await until(lambda: len(well.taken) == 1)
        await asyncio.sleep(0.2)
        assert ill.taken == []
        ill.fails = False
        await until(lambda: len(ill.taken) >= 1)
        raw = await client.get(receiver_key("well"))
        assert msgspec.msgpack.decode(raw, type=ReceiverState).name == "well"
    assert {notice.key for notice in ill.taken} == {well.taken[0].key}


async def test_an_entry_with_a_broken_character_holds_up_nothing(client: Any) -> None:
    """Text that is no UTF-8 is said and left out: the relay goes on with what is behind it, after a restart, too."""
    duty = Listener()
    async with relaying(client, duty, reclaim_after_s=0.2):
        whole = msgspec.msgpack.encode(alarm_(at=time.time()))
        with capture_logs() as logs:
            await client.xadd(alarms_key("red"), {"alarm": whole.replace(b"No heart", b"No \xff\xfeart")})
            await AlarmScript(client).add(alarm_(kind="pause", at=time.time()))
            await until(lambda: bool(duty.taken))
    assert [line["log_level"] for line in logs if "among the alarms" in line["event"]] == ["error"]
    async with relaying(client, duty, reclaim_after_s=0.2):
        await AlarmScript(client).add(alarm_(kind="pause", episode=90_000, at=time.time()))
        await until(lambda: len(duty.taken) == 2)
    assert [notice.alarm.episode for notice in duty.taken] == [1000, 90_000]


async def test_a_relay_that_dies_between_delivery_and_word_of_it_delivers_again_recognisably(
    client: Any,
) -> None:
    """Never zero times: the next relay delivers what was not acknowledged, with the same key."""

    class Dying(Listener):
        async def deliver(self, notice: Notice) -> None:
            await super().deliver(notice)
            await asyncio.Event().wait()

    first, second = Dying(), Listener()
    async with relaying(client, first):
        await AlarmScript(client).add(alarm_(at=time.time()))
        await until(lambda: len(first.taken) == 1)
    async with relaying(client, second, reclaim_after_s=0.3):
        await until(lambda: len(second.taken) == 1)
    assert first.taken[0].key == second.taken[0].key


STORY: list[AlarmTransition] = ["raised", "acknowledged", "cleared"]


async def tell(client: Any, *transitions: AlarmTransition) -> None:
    """Add transitions of one alarm."""
    for transition in transitions:
        await AlarmScript(client).add(alarm_(transition, at=time.time()))


def types(own: Endpoint) -> list[str]:
    """Return what an endpoint was told, each once."""
    return list(dict.fromkeys(body["type"].removeprefix("alarm.") for body in own.bodies()))


async def test_the_end_of_what_was_told_comes_behind_it(client: Any) -> None:
    """What waits together goes out one by one, in order, though the first is not taken at once; nothing is left out."""
    async with (
        endpoint(500) as own,
        WebhookReceiver("duty", url=own.url, secret=SECRET, when="raised") as hook,
    ):
        await GroupReader(client, group="receiver:duty", consumer="before").read(wait_s=0.01)
        await tell(client, *STORY)
        async with relaying(client, hook) as relay:
            await until(lambda: len(own.taken) == 3)
            await until(lambda: not relay._served[0].under_way)
            assert await relay._served[0].reader.waiting() == 0
        assert types(own) == STORY
        assert len(own.taken) == 3


async def test_the_end_of_what_was_told_before_a_restart_is_told(client: Any) -> None:
    """Another process of the relay knows what the receiver was called for, and tells how it ended."""
    await GroupReader(client, group="receiver:duty", consumer="before").read(wait_s=0.01)
    async with endpoint() as own:
        for transition in STORY:
            async with (
                WebhookReceiver("duty", url=own.url, secret=SECRET, when="raised") as hook,
                relaying(client, hook, reclaim_after_s=1.0),
            ):
                await tell(client, transition)
                await until(lambda expected=transition: expected in types(own))  # type: ignore[misc]
        assert types(own) == STORY


async def test_a_relay_finds_the_new_master_at_its_address(
    redis_server: GuardedServer, client: Any, embedded_server: EmbeddedServer
) -> None:
    """A master that lives on as a replica keeps the relay's connections: alarms of the new one are delivered."""
    old: Any = open_redis(embedded_server.url)
    await old.sadd(TEAMS_KEY, "red")
    async with Address(embedded_server.port) as address, endpoint() as own:
        through: Any = open_redis(address.url)
        async with (
            WebhookReceiver("duty", url=own.url, secret=SECRET, when="raised") as hook,
            relaying(through, hook),
        ):
            await tell(old, "raised")
            await until(lambda: len(own.taken) == 1)
            address.leads_to = redis_server.port
            await old.replicaof("127.0.0.1", redis_server.port)
            await AlarmScript(client).add(alarm_(episode=5000))
            await until(lambda: len(own.taken) == 2)
        await through.aclose()
    await old.aclose()
    assert [body["identity"].rpartition(".")[2] for body in own.bodies()] == ["1000", "5000"]


async def test_the_end_waits_for_what_another_instance_has_in_hand(client: Any) -> None:
    """Nothing is told as over, or passed over, while the call for it may still be on its way."""
    async with (
        endpoint() as own,
        WebhookReceiver("duty", url=own.url, secret=SECRET, when="raised") as hook,
    ):
        dead = GroupReader(client, group="receiver:duty", consumer="dead")
        await dead.read(wait_s=0.01)
        await tell(client, "raised")
        assert len(await dead.read(wait_s=0.1)) == 1
        async with relaying(client, hook, reclaim_after_s=1.0):
            await tell(client, "acknowledged", "cleared")
            await until(lambda: len(types(own)) == 3)
        assert types(own) == STORY


async def test_that_monitoring_is_back_is_told_behind_that_it_was_lost(client: Any) -> None:
    """The watchdog's own calls go out in order, too: while one is tried again, its end waits."""
    async with (
        endpoint(500, 500, 500) as own,
        WebhookReceiver("duty", url=own.url, secret=SECRET) as hook,
        relaying(client, hook) as relay,
    ):
        relay.watchdog.began_at -= 100.0
        await until(lambda: bool(own.refused))
        await client.set(monitor_key("m"), msgspec.msgpack.encode(monitor_state()))
        await until(lambda: len(own.taken) == 2)
        assert types(own) == ["raised", "cleared"]


async def test_each_instance_hears_every_test_alarm(client: Any) -> None:
    """Two relays of one name share deliveries, but each watchdog sees for itself that alarms arrive."""
    await client.set(monitor_key("m"), msgspec.msgpack.encode(monitor_state()))
    async with relaying(client, Listener()) as one, relaying(client, Listener()) as other:
        dogs = [one.watchdog, other.watchdog]
        await until(lambda: all(dog.canary_age_s(time.monotonic()) is not None for dog in dogs))

        def heard(since: float) -> list[bool]:
            return [(dog.canary_age_s(since) or 0.0) <= 0.0 for dog in dogs]

        number, began_at = 0, time.monotonic()
        async with asyncio.timeout(20.0):
            while not all(heard(began_at)):
                number += 1
                await AlarmScript(client).add(canary("m", 1000.0 + 15.0 * number, since=1000.0))
                await asyncio.sleep(0.1)
        await asyncio.sleep(0.5)
        for _ in range(4):
            number, added_at = number + 1, time.monotonic()
            await AlarmScript(client).add(canary("m", 1000.0 + 15.0 * number, since=1000.0))
            await until(lambda since=added_at: all(heard(since)))  # type: ignore[misc]


async def test_what_left_its_stream_undelivered_is_written_down(client: Any) -> None:
    """Given to an instance that died, and trimmed since: nobody can be told it, which stands in the audit trail."""
    dead = GroupReader(client, group="receiver:duty", consumer="dead")
    await dead.read(wait_s=0.01)
    await tell(client, "raised")
    (lost,) = await dead.read(wait_s=0.1)
    await client.xtrim(alarms_key("red"), maxlen=0, approximate=False)
    async with relaying(client, Listener(), reclaim_after_s=0.2), asyncio.timeout(20.0):
        while not (trail := await audit_trail(client, "red")):  # noqa: ASYNC110 - a server is watched
            await asyncio.sleep(0.05)
    (entry,) = trail
    assert (entry.by, entry.action) == ("receiver duty", "undelivered")
    assert lost.entry.decode() in entry.detail


async def test_what_nobody_answers_leaves_through_every_receiver_though_the_monitor_is_dead(
    client: Any,
) -> None:
    """A high alarm without an acknowledgement is told as unanswered, once, to all; an answered one never."""
    rules = changed_rules(
        {"asystole": RuleChange(answer_within_s=0.001), "pause": RuleChange(answer_within_s=0.001)}
    )
    one, other = Listener("one"), Listener("other")
    script = AlarmScript(client)
    await script.add(alarm_(at=time.time() - GRACE_S - 5.0))
    await script.add(alarm_(kind="pause", at=time.time() - GRACE_S - 5.0))
    await acknowledge(client, alarm_(kind="pause").identity, "Dr. Who")
    async with relaying(client, one, other, rules=rules):
        await until(lambda: bool(one.taken and other.taken))
        await asyncio.sleep(1.2)
    assert one.told() == other.told() == [("asystole", "unanswered")]
    assert await client.xlen(alarms_key("red")) == 4


async def test_an_alarm_that_cannot_be_told_as_unanswered_stops_none_behind_it(client: Any) -> None:
    """A key of the wrong type is said and tried again; the next alarm that waits is told all the same."""
    rules = changed_rules(
        {"asystole": RuleChange(answer_within_s=0.001), "pause": RuleChange(answer_within_s=0.001)}
    )
    duty, script = Listener(), AlarmScript(client)
    for kind in _ASKED:
        await script.add(alarm_(kind=kind, at=time.time() - GRACE_S - 5.0))
    known = known_key(Identity("red", "anna", "s1", 1, "asystole", 1000))
    assert await client.delete(known) == 1
    await client.set(known, "of another type")
    with capture_logs() as logs:
        async with relaying(client, duty, rules=rules):
            await until(lambda: ("pause", "unanswered") in duty.told())
            await client.delete(known)
            await until(lambda: ("asystole", "unanswered") in duty.told())
    assert duty.told() == [("pause", "unanswered"), ("asystole", "unanswered")]
    assert any("refuses an alarm" in line["event"] for line in logs)


def test_answers_wait_for_what_the_rules_say() -> None:
    """Time runs from the raise, anew from an escalation; an acknowledgement ends it, a clearing only if not latched."""
    answers = Answers()
    # A run that has become high wants an answer as soon as others of that priority.
    answers.take(alarm_(kind="ventricular_run", priority="high", transition="escalated"), 900.0)
    assert answers.due(900.0 + 60.0 + GRACE_S - 0.1) == []
    assert [alarm.kind for alarm in answers.due(900.0 + 60.0 + GRACE_S)] == ["ventricular_run"]
    answers = Answers()
    answers.take(alarm_("raised"), 100.0)
    answers.take(alarm_("cleared"), 110.0)
    assert answers.due(160.0 + GRACE_S - 0.1) == []
    (due,) = answers.due(160.0 + GRACE_S)
    assert (due.transition, due.identity) == ("unanswered", alarm_().identity)
    answers.take(due, 166.0)
    assert len(answers) == 0
    answers.take(alarm_("raised", kind="tachycardia", priority="medium"), 100.0)
    answers.take(alarm_("cleared", kind="tachycardia", priority="medium"), 110.0)
    answers.take(alarm_("raised", episode=2), 100.0)
    answers.take(alarm_("escalated", episode=2), 150.0)
    assert answers.due(170.0) == []
    answers.take(alarm_("acknowledged", episode=2), 171.0)
    assert answers.due(1e9) == []


async def test_the_relay_says_that_monitoring_is_lost_past_the_server(redis_server: GuardedServer) -> None:
    """With the server gone receivers are told directly; when it is back, that it is over."""
    client: Any = open_redis(redis_server.url)
    listener = Listener()
    async with relaying(client, listener) as relay:
        redis_server.stop()
        relay.watchdog._server_at -= 60.0
        await until(lambda: ("monitoring_lost", "raised") in listener.told())
        redis_server.start()
        await until(lambda: ("monitoring_lost", "cleared") in listener.told())
    await client.aclose()


async def test_heartbeats_and_test_alarms_reach_the_watchdog(client: Any) -> None:
    """What a monitor writes is what the relay's watchdog goes by, from the server to its judgement."""
    state = monitor_state("m1")
    async with relaying(client, Listener()) as relay:
        await client.set(monitor_key("m1"), msgspec.msgpack.encode(state))
        await until(lambda: relay.watchdog.canary_age_s(time.monotonic()) is not None)
        relay.watchdog._monitors["m1"].canary_at -= 30.0
        await AlarmScript(client).add(canary("m1", 20.0, since=0.0))
        await until(lambda: (relay.watchdog.canary_age_s(time.monotonic()) or 99.0) < 20.0)
        # It is acknowledged once it has been judged, so a moment later.
        async with asyncio.timeout(10):
            while await relay._served[0].reader.waiting():  # noqa: ASYNC110 - it is the server that knows
                await asyncio.sleep(0.01)


# --- the watchdog ----------------------------------------------------------------------------------------------------


def lively(
    watchdog: Watchdog, seconds: range, *, connected: bool = True, canaries: bool = True
) -> list[Alarm]:
    """Let a monitor live, second by second, and return what the watchdog says."""
    told = []
    for second in seconds:
        now = float(second)
        watchdog.server_answered(now)
        watchdog.heartbeat("m", now, connected=connected, ended=False, now=now)
        if canaries:
            watchdog.canary("m", now)
        told += watchdog.tick(now)
    return told


def test_a_living_monitor_is_no_alarm_and_a_silent_one_is() -> None:
    """A heartbeat that stands still is none; the alarm ends when it moves again."""
    watchdog = Watchdog(began_at=0.0, unix_offset_s=1000.0)
    assert lively(watchdog, range(100)) == []
    told = []
    for second in range(100, 130):
        watchdog.server_answered(float(second))
        watchdog.heartbeat("m", 99.0, connected=True, ended=False, now=float(second))
        told += watchdog.tick(float(second))
    (lost,) = told
    assert (lost.kind, lost.transition, lost.priority, lost.athlete) == (
        "monitoring_lost",
        "raised",
        "high",
        "m",
    )
    assert lost.at == 1000.0 + 99.0 + HEARTBEAT_LOST_AFTER_S + 1.0
    assert [a.transition for a in lively(watchdog, range(130, 150))] == ["cleared"]
    assert watchdog.active == []


def test_no_monitor_at_all_is_an_alarm() -> None:
    """Whoever starts a receiver while nobody watches is told so."""
    watchdog = Watchdog(began_at=0.0)
    watchdog.server_answered(9.0)
    assert watchdog.tick(HEARTBEAT_LOST_AFTER_S) == []
    watchdog.server_answered(HEARTBEAT_LOST_AFTER_S + 1)
    assert [a.message for a in watchdog.tick(HEARTBEAT_LOST_AFTER_S + 1)] == ["No monitor is running."]


def test_a_monitor_that_hears_nothing_or_tells_nothing_is_as_good_as_none() -> None:
    """A broker that is away, and test alarms that stay away, are told though the heartbeat goes on."""
    watchdog = Watchdog(began_at=0.0)
    lively(watchdog, range(10))
    until_deaf = range(10, 10 + int(STRAPS_UNHEARD_AFTER_S) + 2)
    assert ["hears no strap" in a.message for a in lively(watchdog, until_deaf, connected=False)] == [True]
    watchdog = Watchdog(began_at=0.0)
    lively(watchdog, range(10))
    until_mute = range(10, 10 + int(CANARY_LOST_AFTER_S) + 2)
    assert ["do not arrive" in a.message for a in lively(watchdog, until_mute, canaries=False)] == [True]


def test_a_monitor_that_was_ended_is_no_loss_and_one_of_two_is_a_lesser_one() -> None:
    """An orderly end is what somebody wanted; while another monitor watches, a loss is of medium priority."""
    watchdog = Watchdog(began_at=0.0)
    lively(watchdog, range(10))
    watchdog.heartbeat("m", 10.5, connected=False, ended=True, now=10.5)
    watchdog.server_answered(500.0)
    assert watchdog.tick(500.0) == []
    watchdog = Watchdog(began_at=0.0)
    watchdog.heartbeat("other", 0.0, connected=True, ended=False, now=0.0)
    told = lively(watchdog, range(30))
    assert [(a.athlete, a.priority) for a in told] == [("other", "medium")]


def test_what_becomes_worse_is_told_as_that() -> None:
    """A lesser loss that turns into nobody watching is escalated under its name, and calls whom the lesser did not."""
    watchdog = Watchdog(began_at=0.0)
    watchdog.heartbeat("other", 0.0, connected=True, ended=False, now=0.0)
    told = lively(watchdog, range(30))
    watchdog.heartbeat("m", 30.0, connected=True, ended=True, now=30.0)
    watchdog.server_answered(30.0)
    told += watchdog.tick(30.0)
    told += watchdog.tick(31.0)
    assert [(a.athlete, a.transition, a.priority) for a in told] == [
        ("other", "raised", "medium"),
        ("other", "escalated", "high"),
    ]
    assert told[0].identity == told[1].identity
    hook = WebhookReceiver("w", url="https://example.org", secret=SECRET)
    assert [hook.wants(a) for a in told] == [False, True]
    assert [a.priority for a in watchdog.active] == ["high"]
    watchdog = Watchdog(began_at=0.0)
    told = []
    for second in range(60):
        now = float(second)
        watchdog.server_answered(now)
        watchdog.heartbeat("m", min(now, 30.0), connected=True, ended=False, now=now, unnamed=min(second, 25))
        watchdog.canary("m", now)
        told += watchdog.tick(now)
    assert [(a.transition, a.priority) for a in told] == [("raised", "medium"), ("escalated", "high")]
    assert "silent" in told[1].message


def test_while_the_server_is_away_nothing_else_is_judged() -> None:
    """Its loss is told once; nobody is declared dead or alive for what could not be seen."""
    watchdog = Watchdog(began_at=0.0)
    lively(watchdog, range(10))
    told = [alarm for second in range(10, 100) for alarm in watchdog.tick(float(second))]
    assert [(a.athlete, a.transition) for a in told] == [("server", "raised")]
    assert [(a.athlete, a.transition) for a in lively(watchdog, range(100, 130))] == [("server", "cleared")]


def test_a_monitor_that_does_not_keep_up_or_cannot_send_says_so() -> None:
    """Packets dropped of late, and alarms that wait for long, are told though it lives; both end by themselves."""
    watchdog = Watchdog(began_at=0.0)
    told = []
    for second in range(200):
        now = float(second)
        watchdog.server_answered(now)
        dropped, waiting = (7 if second >= 20 else 0), (3 if 100 <= second < 130 else 0)
        watchdog.heartbeat("m", now, connected=True, ended=False, now=now, dropped=dropped, waiting=waiting)
        watchdog.canary("m", now)
        told += [(second, alarm.kind, alarm.transition) for alarm in watchdog.tick(now)]
    assert told == [
        (20, "monitor_overloaded", "raised"),
        (51, "monitor_overloaded", "cleared"),
        (120, "redis_unreachable", "raised"),
        (130, "redis_unreachable", "cleared"),
    ]


def test_a_monitor_that_is_late_says_so() -> None:
    """Alarms that come seconds late are told as overload, of medium priority, until the monitor has caught up."""
    watchdog = Watchdog(began_at=0.0)
    told = []
    for second in range(60):
        now = float(second)
        watchdog.server_answered(now)
        late_s = {10: 9.0}.get(second, 4.0 if 20 <= second < 30 else 0.4)
        watchdog.heartbeat("m", now, connected=True, ended=False, now=now, late_s=late_s)
        watchdog.canary("m", now)
        told += [(second, alarm) for alarm in watchdog.tick(now)]
    assert [(second, a.kind, a.transition, a.priority) for second, a in told] == [
        (26, "monitor_overloaded", "raised", "medium"),
        (30, "monitor_overloaded", "cleared", "medium"),
    ]
    assert "4 s late" in told[0][1].message
