"""What a message costs by MQTT client: ``python -m benchmarks.mqtt_clients [--straps 1000] [--broker mosquitto]``.

Each client, in a process of its own, hears the same straps for as long, one after the other: QoS 1, acknowledged once
the message has been handed over. Printed is its processor time a message, as the operating system counts it.
"""

import argparse
import asyncio
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final

import msgspec

from monitor.embedded import EmbeddedBroker, GuardedServer, InstalledMosquitto
from monitor.sources import parse_mqtt_url
from monitor.sources.subscriber import Subscriber

_TOPIC: Final = "ecg/+/+/samples"
_FIRST_S: Final = 60.0
"""So long the straps may take until they send."""


async def _hear_ours(host: str, port: int, heard: list[int]) -> None:
    def take(messages: list[Any]) -> None:
        heard[0] += len(messages)

    address = parse_mqtt_url(f"mqtt://{host}:{port}")
    listening = await Subscriber.connect(address, client_id="bench", topic_filters=[_TOPIC], on_messages=take)
    await listening.ended()


async def _hear_gmqtt(host: str, port: int, heard: list[int]) -> None:
    import gmqtt
    from gmqtt.mqtt.constants import MQTTv50, PubRecReasonCode

    client = gmqtt.Client("bench", optimistic_acknowledgement=False)

    # It acknowledges what a coroutine returns, and nothing else.
    async def take(*_message: object) -> int:
        heard[0] += 1
        return int(PubRecReasonCode.SUCCESS.value)

    client.on_message = take
    await client.connect(host, port, version=MQTTv50)
    client.subscribe(gmqtt.Subscription(_TOPIC, qos=1))
    await asyncio.Event().wait()


async def _hear_gmqtt_311(host: str, port: int, heard: list[int]) -> None:
    import gmqtt
    from gmqtt.mqtt.constants import MQTTv311

    client = gmqtt.Client("bench")

    def take(*_message: object) -> None:
        heard[0] += 1

    client.on_message = take
    await client.connect(host, port, version=MQTTv311)
    client.subscribe(gmqtt.Subscription(_TOPIC, qos=1))
    await asyncio.Event().wait()


async def _hear_paho(host: str, port: int, heard: list[int]) -> None:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    client = Client(CallbackAPIVersion.VERSION2, "bench", manual_ack=True)

    def take(_client: object, _data: object, message: Any) -> None:
        heard[0] += 1
        client.ack(message.mid, message.qos)

    client.on_message = take
    client.connect(host, port)
    client.subscribe(_TOPIC, qos=1)
    threading.Thread(target=client.loop_forever, daemon=True).start()
    await asyncio.Event().wait()


async def _hear_aiomqtt(host: str, port: int, heard: list[int]) -> None:
    import aiomqtt

    async with aiomqtt.Client(host, port) as client:
        await client.subscribe(_TOPIC, qos=1)
        async for _ in client.messages:
            heard[0] += 1


CLIENTS: Final[dict[str, Callable[[str, int, list[int]], Coroutine[None, None, None]]]] = {
    "ours": _hear_ours,
    "gmqtt": _hear_gmqtt,
    "gmqtt-3.1.1": _hear_gmqtt_311,
    "paho": _hear_paho,
    "aiomqtt": _hear_aiomqtt,
}


def _child(name: str, port: int, seconds: float) -> None:
    """Hear for some seconds and print how much, and what it cost."""

    async def run() -> None:
        heard = [0]
        hearing = asyncio.create_task(CLIENTS[name]("127.0.0.1", port, heard))
        async with asyncio.timeout(_FIRST_S):
            while not heard[0] and not hearing.done():  # noqa: ASYNC110 - five kinds of clients, none tells
                await asyncio.sleep(0.01)
        await asyncio.sleep(1.0)
        before, spent_s = heard[0], time.process_time()
        await asyncio.sleep(seconds)
        spent_s = time.process_time() - spent_s
        if hearing.done():
            hearing.result()
        print(json.dumps({"messages": heard[0] - before, "cpu_s": spent_s}), flush=True)
        # No client is asked to say goodbye: what some of them print then is no part of this.
        os._exit(0)

    asyncio.run(run())


def measure(name: str, *, straps: int, seconds: float, broker_name: str) -> dict[str, float]:
    """Return what one client heard, and the microseconds that each message cost it."""
    broker: GuardedServer = InstalledMosquitto() if broker_name == "mosquitto" else EmbeddedBroker()
    with broker:
        command = [sys.executable, "-m", "benchmarks.mqtt_clients", "--child", name, str(broker.port)]
        child = subprocess.Popen([*command, "--seconds", str(seconds)], stdout=subprocess.PIPE)
        herd = subprocess.Popen(
            [sys.executable, "-m", "monitor.cli", "herd", str(straps), "--broker", broker.url,
             "--seconds", str(seconds + 60.0), "--connections", "shared", "--rate", "360"],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            printed, _ = child.communicate()
        finally:
            herd.terminate()
            herd.wait()
    said = msgspec.json.decode(printed)
    return {**said, "us_a_message": 1e6 * said["cpu_s"] / max(said["messages"], 1)}


def main() -> int:
    """Measure all clients."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--straps", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=12.0)
    parser.add_argument("--broker", choices=["embedded", "mosquitto"], default="mosquitto")
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        _child(arguments.child[0], int(arguments.child[1]), arguments.seconds)
        return 0
    print(f"{arguments.straps} straps, packets of 0.25 s, {arguments.broker}")
    for name in CLIENTS:
        row = measure(name, straps=arguments.straps, seconds=arguments.seconds, broker_name=arguments.broker)
        print(f"{name:11} {row['messages']:7.0f} messages  {row['us_a_message']:5.1f} µs each", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
