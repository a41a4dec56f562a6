"""Where faults happen: Mosquitto and Redis on free ports, each reached by the monitor through a network of its own."""

import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import redis.asyncio

from benchmarks.faults.link_proxy import LinkProxy
from monitor.embedded import GuardedServer, InstalledMosquitto, InstalledRedis
from monitor.sources import MqttAddress, parse_mqtt_url

MONITOR_ID: Final = "faults"
PATIENCE_S: Final = 60.0
START_S: Final = 180.0
"""So long a server may take to load what it has, on a machine that does other work too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A broker, a server, and three networks.

    Attributes
    ----------
    broker, server : GuardedServer
        Mosquitto and Redis; both keep what they have over a restart.
    straps_link, broker_link, server_link : LinkProxy
        Between straps and broker, monitor and broker, monitor and server.
    folder : Path
        For files of this run.
    """

    broker: GuardedServer
    server: GuardedServer
    straps_link: LinkProxy
    broker_link: LinkProxy
    server_link: LinkProxy
    folder: Path

    @property
    def straps_address(self) -> MqttAddress:
        """Where straps find the broker."""
        return parse_mqtt_url(f"mqtt://127.0.0.1:{self.straps_link.port}")

    @property
    def broker_url(self) -> str:
        """Where the monitor finds the broker."""
        return f"mqtt://127.0.0.1:{self.broker_link.port}"

    @property
    def redis_url(self) -> str:
        """Where the monitor finds the server."""
        return f"redis://127.0.0.1:{self.server_link.port}"

    def settings(self, **sections: dict[str, object]) -> Path:
        """Write the monitor's settings and return the file.

        Parameters
        ----------
        **sections : dict
            What else is to stand there.
        """
        content: dict[str, dict[str, object]] = {
            "broker": {"url": self.broker_url, "client_id": MONITOR_ID, "persistent_session": True},
            "redis": {"url": self.redis_url},
            "monitor": {
                "id": MONITOR_ID,
                "outbox": str(self.folder / "outbox.sqlite3"),
                "recovery": str(self.folder / "recovery"),
            },
        }
        for section, values in sections.items():
            content.setdefault(section, {}).update(values)
        file = self.folder / "strapwatch.toml"
        file.write_text(
            "\n".join(
                f"[{section}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in values.items())
                for section, values in content.items()
            ),
            encoding="utf-8",
        )
        return file


@contextlib.asynccontextmanager
async def place(folder: Path) -> AsyncIterator[Place]:
    """Start everything but the monitor, and end it afterwards.

    Parameters
    ----------
    folder : Path
        Empty.

    Raises
    ------
    ServerError
        If Mosquitto or Redis is not installed or does not start.
    """
    for name in ("mosquitto", "redis"):
        (folder / name).mkdir()
    broker = InstalledMosquitto(directory=folder / "mosquitto", start_s=START_S)
    server = InstalledRedis(directory=folder / "redis", start_s=START_S)
    async with contextlib.AsyncExitStack() as stack:
        for started in (broker, server):
            stack.enter_context(started)
        links = [
            await stack.enter_async_context(LinkProxy(port))
            for port in (broker.port, broker.port, server.port)
        ]
        yield Place(
            broker=broker,
            server=server,
            straps_link=links[0],
            broker_link=links[1],
            server_link=links[2],
            folder=folder,
        )


def patient_client(server: GuardedServer) -> Any:
    """Return a client for a reader in no hurry, past the networks that are cut: a busy machine answers late."""
    return redis.asyncio.Redis(port=server.port, socket_timeout=PATIENCE_S, protocol=2)


def start_monitor(
    settings: Path, *, log: Path, observed: tuple[Path, float] | None = None
) -> "subprocess.Popen[bytes]":
    """Start the monitor as a process of its own, in our process group, so that it stands still where we do.

    Parameters
    ----------
    settings : Path
        Its settings.
    log : Path
        Where its words are added.
    observed : (Path, float), optional
        Where it is written down how much it holds, and how often, in seconds.
    """
    arguments: Sequence[str] = ["-m", "monitor.cli"]
    if observed is not None:
        script = Path(__file__).with_name("observed_monitor.py")
        arguments = [str(script), str(observed[0]), str(observed[1])]
    with log.open("ab") as words:
        # Its standard input is its lifeline: it ends when we are gone.
        return subprocess.Popen(
            [sys.executable, "-P", *arguments, "monitor", "--settings", str(settings), "--die-with-parent"],
            stdin=subprocess.PIPE,
            stdout=words,
            stderr=words,
        )


def end_monitor(process: "subprocess.Popen[bytes]", *, within_s: float = 5.0) -> int:
    """End a monitor in order, else the hard way; return its exit code."""
    if process.poll() is None:
        process.terminate()
    deadline = time.monotonic() + within_s
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    if process.poll() is None:
        process.kill()
    if process.stdin is not None:
        process.stdin.close()
    return process.wait()


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else str(value)
