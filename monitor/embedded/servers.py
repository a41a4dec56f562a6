"""Brokers and Redis-compatible servers on 127.0.0.1 that live as long as a ``with`` block, and never longer than us."""

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import IO, Any, Final, Self

from monitor.embedded.guardian import HOST, KILL_COMMAND
from monitor.errors import ServerError

_START_S: Final = 10.0
_ANSWER_S: Final = 10.0
"""A guardian's own start, beside the server's."""
_LEAVE_S: Final = 5.0
_ATTEMPTS: Final = 3

_MOSQUITTO_CONFIG: Final = """\
listener {port} 127.0.0.1
allow_anonymous true
persistence true
persistence_location {directory}/
autosave_interval 1
max_queued_messages 0
max_inflight_messages 1000
message_size_limit 1048576
sys_interval 0
log_dest stderr
log_type error
log_type warning
"""

# Segments are what is kept for a subscriber that lags: 16 MiB a topic filter. The largest payload is above what the
# wire format allows, so that an oversized packet reaches the monitor and is counted there.
_RUMQTTD_CONFIG: Final = """\
id = 0

[router]
id = 0
max_connections = 10010
max_outgoing_packet_count = 200
max_segment_size = 4194304
max_segment_count = 4

[v4.strapwatch]
name = "strapwatch"
listen = "127.0.0.1:{port}"
next_connection_delay_ms = 1

[v4.strapwatch.connections]
connection_timeout_ms = 60000
max_payload_size = 262144
max_inflight_count = 200
dynamic_filters = true
"""


class GuardedServer:
    """A server process behind a guardian that stops it when we are gone; a context manager.

    Parameters
    ----------
    request : dict
        What the guardian is to start.
    name : str
        What a user calls it, for error texts.
    scheme : str
        Scheme of `url`.
    port : int
        TCP port on 127.0.0.1; 0 picks a free one. A server that was started keeps its port when started again.
    directory : Path or None
        Where its files stay between starts; None for a temporary folder that goes with it.
    start_s : float
        Seconds that it may take until it answers.
    """

    def __init__(
        self,
        *,
        request: dict[str, Any],
        name: str,
        scheme: str,
        port: int = 0,
        directory: Path | None = None,
        start_s: float = _START_S,
    ) -> None:
        self._request = request | {"start_s": start_s}
        self._start_s = start_s
        self._name = name
        self._scheme = scheme
        self._port = port
        self._directory = directory
        self._guardian: subprocess.Popen[bytes] | None = None

    @property
    def port(self) -> int:
        """TCP port; 0 before the first start."""
        return self._port

    @property
    def url(self) -> str:
        """Where clients find it, such as ``mqtt://127.0.0.1:1883``."""
        return f"{self._scheme}://{HOST}:{self._port}"

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._guardian is not None and self._guardian.poll() is None

    def start(self) -> Self:
        """Start it and wait until it answers.

        Raises
        ------
        ServerError
            If it cannot be started.
        """
        if self.running:
            return self
        attempts = 1 if self._port else _ATTEMPTS
        for attempt in range(1, attempts + 1):
            try:
                self._start_once()
                break
            except ServerError:
                # A free port may be taken by somebody else between choosing and binding it.
                if attempt == attempts:
                    raise
        return self

    def stop(self) -> None:
        """Stop it in order and wait until it has ended; does nothing if it does not run."""
        self._leave(b"")

    def kill(self) -> None:
        """Stop it with SIGKILL, as a crash would."""
        self._leave(KILL_COMMAND)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_exception: object) -> None:
        self.stop()

    def _start_once(self) -> None:
        request = self._request | {
            "port": self._port,
            "directory": str(self._directory) if self._directory else "",
        }
        with tempfile.TemporaryFile() as errors:
            guardian = subprocess.Popen(
                # -P: a folder called `monitor` where the user stands must not be imported instead of ours.
                [sys.executable, "-P", "-m", "monitor.embedded.guardian", json.dumps(request)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
            self._guardian = guardian
            answer = _first_line(guardian, within_s=self._start_s + _ANSWER_S)
            if "port" in answer:
                self._port = int(answer["port"])
                return
            self.stop()
            reason = answer.get("error") or _last_line(errors) or f"exit code {guardian.returncode}"
        where = f" on port {self._port}" if self._port else ""
        raise ServerError(f"{self._name} cannot be started{where}: {' '.join(str(reason).split())}")

    def _leave(self, command: bytes) -> None:
        guardian, self._guardian = self._guardian, None
        if guardian is None:
            return
        if guardian.stdin is not None:
            try:
                guardian.stdin.write(command)
                guardian.stdin.close()
            except BrokenPipeError:
                # It has ended by itself, which is what we want.
                pass
        try:
            guardian.wait(_LEAVE_S)
        except subprocess.TimeoutExpired:
            guardian.kill()
            guardian.wait()
        if guardian.stdout is not None:
            guardian.stdout.close()


class EmbeddedBroker(GuardedServer):
    """An MQTT broker from our own dependencies, for demo and tests.

    It drops silently for subscribers that are too slow and keeps no session over a restart.
    """

    def __init__(self, *, port: int = 0) -> None:
        request = {"server": "iotcore", "files": {"rumqttd.toml": _RUMQTTD_CONFIG}}
        super().__init__(request=request, name="the embedded MQTT broker", scheme="mqtt", port=port)


class EmbeddedServer(GuardedServer):
    """A Valkey server from our own dependencies, for demo and tests; it keeps nothing on disk."""

    def __init__(self, *, port: int = 0) -> None:
        request = {"server": "valkey"}
        super().__init__(request=request, name="the embedded Valkey server", scheme="redis", port=port)


class InstalledMosquitto(GuardedServer):
    """The Mosquitto that is installed on this machine; with `directory` its sessions outlive a restart."""

    def __init__(self, *, port: int = 0, directory: Path | None = None, start_s: float = _START_S) -> None:
        # Started by root, it would otherwise become a user who may not write into the folder.
        config = _MOSQUITTO_CONFIG + ("user root\n" if os.geteuid() == 0 else "")
        command = [installed("mosquitto"), "-c", "{directory}/mosquitto.conf"]
        request = {"server": "mosquitto", "command": command, "files": {"mosquitto.conf": config}}
        super().__init__(
            request=request, name="Mosquitto", scheme="mqtt", port=port, directory=directory, start_s=start_s
        )


class InstalledRedis(GuardedServer):
    """The Redis that is installed on this machine; with `directory` its data outlives a restart."""

    def __init__(self, *, port: int = 0, directory: Path | None = None, start_s: float = _START_S) -> None:
        options = (
            "--bind 127.0.0.1 --port {port} --dir {directory} --appendonly yes --loglevel warning --save"
        )
        command = [installed("redis-server"), *options.split(), ""]
        request: dict[str, Any] = {"server": "redis", "command": command, "files": {}}
        super().__init__(
            request=request, name="Redis", scheme="redis", port=port, directory=directory, start_s=start_s
        )


def installed(program: str) -> str:
    """Return the path of an installed server program.

    Raises
    ------
    ServerError
        If there is none.
    """
    # Debian puts Mosquitto where only root looks by default.
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/usr/local/sbin:/opt/homebrew/sbin")
    if path is None:
        raise ServerError(
            f"{program} is not installed; install the package of that name or use the embedded one"
        )
    return path


def _first_line(guardian: "subprocess.Popen[bytes]", *, within_s: float) -> dict[str, Any]:
    if guardian.stdout is None:
        return {}
    ready, _, _ = select.select([guardian.stdout], [], [], within_s)
    line = guardian.stdout.readline() if ready else b""
    try:
        answer = json.loads(line)
    except ValueError:
        return {}
    return answer if isinstance(answer, dict) else {}


def _last_line(log: IO[bytes]) -> str:
    log.seek(0)
    lines = log.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
