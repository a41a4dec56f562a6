"""The wire format's page: its publisher runs as printed, and its limits are those of the code."""

import asyncio
import contextlib
import re
import sys
from pathlib import Path

import aiomqtt
import msgspec
import numpy as np
import pytest

from monitor import wire
from monitor.embedded import EmbeddedBroker
from monitor.errors import PacketError

_PAGE = Path(__file__).parents[2] / "docs" / "wire-format.md"


def _publisher() -> str:
    (code,) = re.findall(r"```python\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)
    return str(code)


def _fields_in(section: str) -> set[str]:
    body = _PAGE.read_text(encoding="utf-8").split(f"\n## {section}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]*) \|", body, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`(\w+)`", cell)}


async def test_publisher_runs_as_printed(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """The printed strap, in twenty lines, sends packets and status that the monitor takes."""
    script = tmp_path / "strap.py"
    script.write_text(_publisher(), encoding="utf-8")
    assert len([line for line in _publisher().splitlines() if line.strip()]) <= 20
    packets, online = [], []
    async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as client:
        await client.subscribe("ecg/#", qos=1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), "127.0.0.1", str(embedded_broker.port)
        )
        async with asyncio.timeout(30):
            async for message in client.messages:
                where = wire.parse_topic(str(message.topic))
                assert (where.team, where.athlete) == ("demo", "anna")
                assert isinstance(message.payload, bytes)
                if where.channel == "samples":
                    packets.append(wire.decode_samples(message.payload))
                else:
                    online.append(wire.decode_status(message.payload).online)
                if online == [True, False]:
                    break
            assert await process.wait() == 0
    assert [packet.sequence for packet in packets] == list(range(20))
    assert [packet.first_sample for packet in packets] == [50 * k for k in range(20)]
    microvolts = np.concatenate([packet.counts() * packet.microvolts_per_count for packet in packets])
    np.testing.assert_allclose(microvolts, 1000 * np.sin(2 * np.pi * np.arange(1000) / 250), atol=5.0)


async def test_its_last_will_is_one(embedded_broker: EmbeddedBroker, tmp_path: Path) -> None:
    """Killed, the printed strap is said to be gone by the broker."""
    script = tmp_path / "strap.py"
    script.write_text(_publisher(), encoding="utf-8")
    async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as client:
        await client.subscribe("ecg/+/+/status", qos=1)
        process = await asyncio.create_subprocess_exec(
            sys.executable, str(script), "127.0.0.1", str(embedded_broker.port)
        )
        online = []
        async with asyncio.timeout(20):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                online.append(wire.decode_status(message.payload).online)
                if online == [True]:
                    process.kill()
                if len(online) == 2:
                    break
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert online == [True, False]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("Samples", wire.SamplePacket),
        ("Status and last will", wire.StatusMessage),
        ("Truth", wire.TruthMessage),
    ],
)
def test_every_field_is_documented(section: str, message: type[msgspec.Struct]) -> None:
    """The page lists exactly the fields of each message."""
    assert _fields_in(section) == set(message.__struct_fields__)


def test_unlisted_fields_are_ignored() -> None:
    """A packet with a field of its own is taken; one that lacks a field is not."""
    packet = {
        "version": 1, "strap": "s", "boot": 1, "sequence": 0, "first_sample": 0, "rate_hz": 250,
        "microvolts_per_count": 5, "lead": "I", "lead_off": False, "sent_at": 1, "samples": b"\0\0",
    }  # fmt: skip
    assert wire.decode_samples(msgspec.msgpack.encode({**packet, "colour": "red"})).rate_hz == 250.0
    for name in packet:
        with pytest.raises(PacketError):
            wire.decode_samples(msgspec.msgpack.encode({k: v for k, v in packet.items() if k != name}))
