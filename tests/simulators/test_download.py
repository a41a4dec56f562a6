"""Downloads from a real local server that fails, truncates, ignores what it is asked and lies."""

import hashlib
import http.server
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import pytest

from monitor.cli.application import run
from monitor.errors import RecordError, UsageError
from simulators.databases import DATABASES, SUMS_FILE
from simulators.download import PARALLEL, Fetched, fetch, parse_sums

_ROOT: Final = "/mitdb/1.0.0/"
_FILES: Final = {
    f"{record}.{suffix}": os.urandom(40_000) if suffix == "dat" else os.urandom(300)
    for record in ("100", "101", "102", "103", "104", "105")
    for suffix in ("hea", "dat", "atr")
}


def _sums() -> str:
    lines = [f"{hashlib.sha256(content).hexdigest()} {name}" for name, content in _FILES.items()]
    return "\n".join([*lines, f"{'0' * 64} old/100.dat", f"{'0' * 64} ../evil.hea", "no sum at all"])


class _Server(http.server.ThreadingHTTPServer):
    """Serves the files; `trouble` may answer a request in its own way, told which one of a name it is."""

    daemon_threads = True

    def __init__(self, trouble: "Callable[[_Handler, str, int], bool] | None") -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.trouble = trouble
        self.requests: Counter[str] = Counter()
        self.ranges: list[str] = []
        self.most_at_once = 0
        self.at_once = 0
        self.lock = threading.Lock()
        self.content = {SUMS_FILE: _sums().encode(), **_FILES}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        name = self.path.removeprefix(_ROOT)
        server = self.server
        with server.lock:
            server.requests[name] += 1
            attempt = server.requests[name]
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            if server.trouble is None or not server.trouble(self, name, attempt):
                self.whole(name)
        finally:
            with server.lock:
                server.at_once -= 1

    def whole(self, name: str) -> None:
        """Answer as a server should."""
        content = self.server.content.get(name)
        if content is None:
            self.send_error(404)
            return
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        begin = int(asked[1]) if asked else 0
        if asked:
            self.server.ranges.append(name)
        if asked and begin >= len(content):
            self.send_error(416)
            return
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.answer(content[begin:])

    def answer(self, body: bytes, *, promise: int | None = None) -> None:
        """Send a body; with another length than `promise`, and the connection is cut."""
        self.send_header("Content-Length", str(len(body) if promise is None else promise))
        self.end_headers()
        self.wfile.write(body)
        if promise is not None:
            self.close_connection = True

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.fixture
def serve() -> Iterator[Callable[..., _Server]]:
    """Start servers that end with the test."""
    started: list[tuple[_Server, threading.Thread]] = []

    def start(trouble: Callable[[_Handler, str, int], bool] | None = None) -> _Server:
        server = _Server(trouble)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        started.append((server, thread))
        return server

    yield start
    for server, thread in started:
        server.shutdown()
        thread.join()
        server.server_close()


def _fetch(server: _Server, into: Path, *records: str) -> Fetched:
    return fetch(DATABASES["mitdb"], records, into=into, source=server.url, first_wait_s=0.01)


def _there(into: Path) -> dict[str, bytes]:
    """Return what a reader of records would find."""
    return {file.name: file.read_bytes() for file in (into / "mitdb").iterdir() if file.suffix != ".part"}


def _whole(*records: str) -> dict[str, bytes]:
    own = {name: content for name, content in _FILES.items() if name[:3] in records}
    return {**own, SUMS_FILE: _sums().encode()}


def test_everything_arrives_and_is_not_fetched_twice(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """All records arrive byte for byte, at most four at once; a second time nothing but the list is asked for."""

    def trouble(_handler: _Handler, _name: str, _attempt: int) -> bool:
        time.sleep(0.02)  # so that requests can overlap
        return False

    server = serve(trouble)
    fetched = _fetch(server, tmp_path)
    assert _there(tmp_path) == _whole("100", "101", "102", "103", "104", "105")
    assert fetched.refused == {}
    assert 1 < server.most_at_once <= PARALLEL
    assert not list((tmp_path / "mitdb").glob("*.part"))
    before = server.requests.total()
    assert (
        _fetch(server, tmp_path).there_already
        == fetched.records
        == ["100", "101", "102", "103", "104", "105"]
    )
    assert server.requests.total() == before + 1


def test_broken_transfers_go_on_where_they_stopped(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """A body that breaks off and a server that is overloaded cost another request, for the rest only."""

    def trouble(handler: _Handler, name: str, attempt: int) -> bool:
        if name == "100.dat" and attempt == 1:
            handler.send_response(200)
            handler.answer(_FILES[name][:15_000], promise=len(_FILES[name]))
            return True
        if attempt == 1:
            handler.send_error(503)
        return attempt == 1

    server = serve(trouble)
    fetched = _fetch(server, tmp_path, "100")
    assert _there(tmp_path) == _whole("100")
    assert server.ranges == ["100.dat"]
    assert fetched.downloaded_bytes == sum(
        len(content) for name, content in _FILES.items() if name[:3] == "100"
    )


def test_a_part_of_an_earlier_run_is_used(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """What an interrupted run left is completed; what it left wrong is thrown away and fetched anew."""
    folder = tmp_path / "mitdb"
    folder.mkdir()
    (folder / "100.dat.part").write_bytes(_FILES["100.dat"][:30_000])
    (folder / "101.dat.part").write_bytes(b"something else" * 100)
    (folder / "102.dat.part").write_bytes(_FILES["102.dat"])
    (folder / "103.dat").write_bytes(b"damaged")
    server = serve()
    fetched = _fetch(server, tmp_path, "100", "101", "102", "103")
    assert _there(tmp_path) == _whole("100", "101", "102", "103")
    assert fetched.refused == {}
    assert server.requests["100.dat"] == server.requests["102.dat"] == 1
    assert server.requests["101.dat"] == 2


@pytest.mark.parametrize("lie", ["ignores", "shifts", "unnamed"])
def test_wrong_answers_to_a_range_do_no_harm(serve: Callable[..., _Server], tmp_path: Path, lie: str) -> None:
    """A server that ignores the range, sends another one, or does not say which, still gives the whole file."""

    def trouble(handler: _Handler, name: str, _attempt: int) -> bool:
        if "Range" not in handler.headers:
            return False
        if lie == "ignores":
            del handler.headers["Range"]
            return False
        handler.send_response(206)
        if lie == "shifts":
            handler.send_header("Content-Range", f"bytes 7-{len(_FILES[name]) - 1}/{len(_FILES[name])}")
        handler.answer(_FILES[name][7:])
        return True

    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "100.dat.part").write_bytes(_FILES["100.dat"][:30_000])
    fetched = _fetch(serve(trouble), tmp_path, "100")
    assert fetched.refused == {}
    assert _there(tmp_path) == _whole("100")
    # Seen by its answer's head, not by the digest once everything had come.
    assert fetched.downloaded_bytes == sum(
        len(content) for name, content in _FILES.items() if name[:3] == "100"
    )


def test_a_lying_server_leaves_nothing_behind(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """Content that is not the listed one never gets its name; its record is refused as a whole, others arrive."""
    server = serve()
    server.content["100.atr"] = b"x" * 300
    fetched = _fetch(server, tmp_path, "100", "101")
    assert fetched.records == ["101"]
    assert "100.atr: its SHA-256 is not the one listed, twice" in fetched.refused["100"]
    assert _there(tmp_path) == _whole("101")
    assert not (tmp_path / "mitdb" / "100.atr.part").exists()


def test_a_missing_file_is_asked_for_once(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """404 is final, and said with the address; no half of a record is there."""
    server = serve()
    del server.content["100.dat"]
    fetched = _fetch(server, tmp_path, "100")
    assert fetched.refused["100"].endswith("/mitdb/1.0.0/100.dat: the server answers 404 Not Found")
    assert server.requests["100.dat"] == 1
    assert _there(tmp_path) == {}


def test_a_server_that_never_recovers_is_given_up(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """After five attempts the record is refused with the reason, and its part stays for the next run."""

    def trouble(handler: _Handler, name: str, attempt: int) -> bool:
        if name != "100.dat":
            return False
        if attempt == 1:
            handler.send_response(200)
            handler.answer(_FILES[name][:15_000], promise=len(_FILES[name]))
        else:
            handler.send_error(500)
        return True

    server = serve(trouble)
    said = _fetch(server, tmp_path, "100").refused["100"]
    assert "the server answers 500 Internal Server Error, tried 5 times" in said
    assert (tmp_path / "mitdb" / "100.dat.part").read_bytes() == _FILES["100.dat"][:15_000]
    assert _there(tmp_path) == {}


def test_an_endless_file_is_cut_off(
    serve: Callable[..., _Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that sends on and on does not fill the disk."""
    monkeypatch.setattr("simulators.download.MAX_FILE_BYTES", 100_000)
    server = serve()
    server.content["100.dat"] = bytes(1_000_000)
    assert "larger than" in _fetch(server, tmp_path, "100").refused["100"]
    left = tmp_path / "mitdb" / "100.dat.part"
    assert left.stat().st_size <= 100_000


def test_an_unknown_record_is_refused_before_anything_is_written(
    serve: Callable[..., _Server], tmp_path: Path
) -> None:
    """The closest name is told; no folder is made."""
    with pytest.raises(RecordError, match="mitdb has no record '10O'; did you mean '10"):
        _fetch(serve(), tmp_path, "100", "10O")
    assert list(tmp_path.iterdir()) == []


def test_names_that_lead_elsewhere_are_no_names() -> None:
    """The list cannot make us write outside the folder, nor into one below it."""
    names = parse_sums(_sums())
    assert set(names) == set(_FILES)
    digest = "a" * 64
    for name in ("/etc/x.hea", "a/b.hea", "..", ".hidden.hea", "a\\b.hea", "x\x00.hea", "a b.hea"):
        assert parse_sums(f"{digest}  {name}") == {}


@pytest.mark.parametrize("source", ["http://example.org", "ftp://127.0.0.1", "nonsense", "https://"])
def test_only_safe_addresses_are_asked(tmp_path: Path, source: str) -> None:
    """Plain http is for this machine only."""
    with pytest.raises(UsageError, match="no address to download from"):
        fetch(DATABASES["mitdb"], into=tmp_path, source=source)


def test_two_downloads_do_not_mix(serve: Callable[..., _Server], tmp_path: Path) -> None:
    """A second download into the same folder is told to wait; the first goes on."""
    server = serve()
    said: list[str] = []

    def trouble(_handler: _Handler, name: str, attempt: int) -> bool:
        if name == "100.dat" and attempt == 1:
            with pytest.raises(RecordError) as refused:
                _fetch(server, tmp_path, "101")
            said.append(str(refused.value))
        return False

    server.trouble = trouble
    assert _fetch(server, tmp_path, "100").records == ["100"]
    assert "another download is at work there" in said[0]


def _command(*arguments: str, home: Path) -> "subprocess.CompletedProcess[str]":
    own = {key: value for key, value in os.environ.items() if not key.startswith("STRAPWATCH_")}
    return subprocess.run(
        [sys.executable, "-P", "-m", "monitor.cli", "records", *arguments],
        env=own | {"HOME": str(home), "XDG_DATA_HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )


def test_without_a_network_there_is_one_clear_line(tmp_path: Path) -> None:
    """Nobody there: exit code 1, one line, and no file or folder."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{taken.getsockname()[1]}"
        ran = _command("fetch", "mitdb", "100", "--from", nobody, home=tmp_path)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith("strapwatch: 127.0.0.1 cannot be reached (")
    assert ran.stderr.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_the_command_tells_licence_and_citation(
    serve: Callable[..., _Server],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Fetch says what came, under which licence and whom to cite; a record that is refused makes it exit 1."""
    monkeypatch.setenv("STRAPWATCH_DATA", str(tmp_path))
    server = serve()
    assert run(["records", "fetch", "mitdb", "100", "101", "--from", server.url]) == 0
    said = capsys.readouterr().out
    for words in ("2 records", "Open Data Commons Attribution License", "Moody", "Goldberger"):
        assert words in said
    server.content["102.dat"] = b"lie"
    assert run(["records", "fetch", "mitdb", "102", "--from", server.url]) == 1
    assert "102.dat: its SHA-256 is not the one listed" in capsys.readouterr().err
    with pytest.raises(
        UsageError, match="no database 'mitbd' to download; there are mitdb, edb, svdb, nstdb"
    ):
        run(["records", "fetch", "mitbd"])
