"""The wire format's page: its publisher runs as printed, and its limits are those of the code."""

import asyncio
import contextlib
import re
import shutil
import subprocess
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


def _c_program() -> str:
    return "".join(re.findall(r"```c\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL))


@pytest.fixture(scope="module")
def c_strap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the page's C program, compiled without a warning."""
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler (cc) is installed")
    folder = tmp_path_factory.mktemp("c")
    # As printed, but for its length: it keeps to its sampling rate.
    program = _c_program().replace("PACKETS = 20", "PACKETS = 5")
    assert program != _c_program()
    (folder / "strap.c").write_text(program, encoding="utf-8")
    options = ["-std=c99", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-pedantic", "-O1"]
    ran = subprocess.run(
        [compiler, *options, "strap.c", "-lm", "-o", "strap"],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return folder / "strap"


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


async def test_c_publisher_sends_the_very_bytes(embedded_broker: EmbeddedBroker, c_strap: Path) -> None:
    """The printed C strap sends what the Python one does, in the very bytes of our own encoder."""
    packets, online = [], []
    async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as client:
        await client.subscribe("ecg/#", qos=1)
        process = await asyncio.create_subprocess_exec(str(c_strap), "127.0.0.1", str(embedded_broker.port))
        async with asyncio.timeout(30):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                where = wire.parse_topic(str(message.topic))
                assert (where.team, where.athlete) == ("demo", "anna")
                if where.channel == "samples":
                    packets.append(wire.decode_samples(message.payload))
                    assert wire.encode(packets[-1]) == message.payload
                else:
                    status = wire.decode_status(message.payload)
                    online.append((status.online, status.ended))
                    assert msgspec.msgpack.decode(message.payload)["strap"] == "strap-17"
                if online == [(True, False), (False, True)]:
                    break
            assert await process.wait() == 0
    assert [packet.sequence for packet in packets] == list(range(5))
    assert [packet.first_sample for packet in packets] == [50 * k for k in range(5)]
    microvolts = np.concatenate([packet.counts() * packet.microvolts_per_count for packet in packets])
    np.testing.assert_allclose(microvolts, 1000 * np.sin(2 * np.pi * np.arange(250) / 250), atol=5.0)


async def test_c_publishers_last_will_is_one(embedded_broker: EmbeddedBroker, c_strap: Path) -> None:
    """Killed, the printed C strap is said to be gone by the broker, without a farewell."""
    async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as client:
        await client.subscribe("ecg/+/+/status", qos=1)
        process = await asyncio.create_subprocess_exec(str(c_strap), "127.0.0.1", str(embedded_broker.port))
        told = []
        async with asyncio.timeout(20):
            async for message in client.messages:
                assert isinstance(message.payload, bytes)
                status = wire.decode_status(message.payload)
                told.append((status.online, status.ended))
                if told == [(True, False)]:
                    process.kill()
                if len(told) == 2:
                    break
        await process.wait()
    assert told == [(True, False), (False, False)]


def test_c_encodes_every_size_as_we_do(c_strap: Path, tmp_path: Path) -> None:
    """Integers, strings and samples of every size class have our own encoder's bytes."""
    assert c_strap.exists()
    encoder = re.findall(r"```c\n(.*?)```", _PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
    values = [0, 1, 127, 128, 255, 256, 65535, 65536, 2**32 - 1, 2**32, 2**53 - 1]
    lengths = [1, 127, 128, 130]
    lead = "x" * 32
    main = f"""
static const uint64_t values[] = {{{", ".join(f"{value}ULL" for value in values)}}};
int main(void) {{
    static struct buffer b;
    struct strap s = {{"s", 0, 128.5, 0.001, "{lead}"}};
    int16_t counts[130];
    for (int k = 0; k < 130; k++) counts[k] = (int16_t)(k * 500 - 32768);
    for (size_t v = 0; v < sizeof values / sizeof *values; v++) {{
        const size_t lengths[] = {{{", ".join(map(str, lengths))}}};
        for (size_t n = 0; n < 4; n++) {{
            s.boot = values[v];
            encode_packet(&b, &s, values[v], values[v], n & 1, 1.5, counts, lengths[n]);
            uint32_t size = (uint32_t)b.length;
            fwrite(&size, 4, 1, stdout);
            fwrite(b.bytes, 1, b.length, stdout);
        }}
    }}
    encode_status(&b, &s, true, false);
    return 0;
}}
"""
    (tmp_path / "sizes.c").write_text(encoder + main, encoding="utf-8")
    subprocess.run(["cc", "-std=c99", "-O1", "sizes.c", "-o", "sizes"], cwd=tmp_path, check=True, timeout=60)
    out = subprocess.run([str(tmp_path / "sizes")], check=True, capture_output=True, timeout=10).stdout
    counts = (np.arange(130) * 500 - 32768).astype("<i2")
    for value in values:
        for index, length in enumerate(lengths):
            size = int.from_bytes(out[:4], sys.byteorder)
            sent, out = out[4 : 4 + size], out[4 + size :]
            assert sent == wire.encode(
                wire.SamplePacket(
                    version=1, strap="s", boot=value, sequence=value, first_sample=value, rate_hz=128.5,
                    microvolts_per_count=0.001, lead=lead, lead_off=bool(index & 1), sent_at=1.5,
                    samples=counts[:length].tobytes(),
                )
            )  # fmt: skip
    assert out == b""


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
