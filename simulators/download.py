"""Download recordings from PhysioNet, in parallel, and resume where it broke off.

A file is believed only when its SHA-256 is that of the database's own list. It grows under a name of its own
(``100.dat.part``) and gets its real one only once it is verified; a record's header comes last, so that a record which
is there is there as a whole.
"""

import asyncio
import fcntl
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import urlsplit

import httpx

from monitor.errors import RecordError, UsageError
from simulators.databases import PHYSIONET, SUMS_FILE, Database

PARALLEL: Final = 4
ATTEMPTS: Final = 5
FIRST_WAIT_S: Final = 0.5
MAX_FILE_BYTES: Final = 512 * 2**20
"""More than any file of these databases: a server that goes on and on does not fill the disk."""

_MAX_SUMS_BYTES: Final = 4 * 2**20
_TIMEOUT_S: Final = 20.0
_SUFFIXES: Final = (".dat", ".atr", ".hea")  # the header last: with it the record is there
_PART: Final = ".part"
_LINE: Final = re.compile(r"([0-9a-fA-F]{64})[ \t]+\*?(?:\./)?([A-Za-z0-9][A-Za-z0-9._-]{0,100})")
_RANGE: Final = re.compile(r"bytes (\d+)-\d+/(?:\d+|\*)")
_LOOPBACK: Final = ("127.0.0.1", "::1", "localhost")


class Watcher(Protocol):
    """Who wants to know how a download goes."""

    def begun(self, name: str, done: int, total: int | None) -> None:
        """Hear that a file is coming, of which `done` bytes are here; told again after a failure."""
        ...

    def came(self, name: str, count: int) -> None:
        """Hear that `count` more bytes of it have come."""
        ...

    def verified(self, name: str) -> None:
        """Hear that all of it is here, and right."""
        ...

    def troubled(self, name: str, reason: str) -> None:
        """Hear what went wrong with it; it is tried again."""
        ...


@dataclass(slots=True)
class Fetched:
    """What a download brought.

    Attributes
    ----------
    folder : Path
        Where the records are.
    records : list of str
        Those that are here now, whole and verified.
    there_already : list of str
        Those of them that were here before.
    refused : dict of str to str
        Those that could not be had, and why.
    downloaded_bytes : int
        How much came over the network.
    """

    folder: Path
    records: list[str] = field(default_factory=list)
    there_already: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    downloaded_bytes: int = 0


class _BrokenOffError(Exception):
    """A transfer broke off; trying again may help."""


def fetch(
    database: Database,
    records: Sequence[str] = (),
    *,
    into: Path,
    source: str = PHYSIONET,
    watcher: Watcher | None = None,
    first_wait_s: float = FIRST_WAIT_S,
) -> Fetched:
    """Download records of a database.

    Parameters
    ----------
    database : Database
        Which.
    records : sequence of str
        Their names; without any, all.
    into : Path
        Folder of databases: the records go into the folder of the database's name in it.
    source : str
        Address before ``<database>/<version>/``; https, or http on this machine.
    watcher : Watcher, optional
        Told how it goes.
    first_wait_s : float
        Seconds before the second attempt; each later wait is twice as long.

    Raises
    ------
    RecordError
        If the list of files cannot be had or read, a record is not in it, or the folder cannot be written to. Nothing
        has been changed then.
    UsageError
        If `source` is no address to download from.
    """
    return asyncio.run(_Fetch(database, into, source, watcher, first_wait_s).run(records))


def parse_sums(text: str) -> dict[str, str]:
    """Return the SHA-256 of each file of a ``SHA256SUMS.txt`` that lies in the database's own folder.

    Files in folders below it are left out: no record is among them, and no name may lead out of the folder.
    """
    found = (_LINE.fullmatch(line.strip()) for line in text.splitlines())
    return {match[2]: match[1].lower() for match in found if match is not None}


def sha256_of(file: Path) -> str:
    """Return a file's SHA-256 in hexadecimal digits."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()


def _files_of(sums: dict[str, str]) -> dict[str, list[str]]:
    """Return each record's files, the header last."""
    records = [name.removesuffix(".hea") for name in sums if name.endswith(".hea")]
    return {
        record: [record + suffix for suffix in _SUFFIXES if record + suffix in sums]
        for record in sorted(records)
    }


class _Fetch:
    def __init__(
        self, database: Database, into: Path, source: str, watcher: Watcher | None, first_wait_s: float
    ) -> None:
        parts = urlsplit(source)
        if not parts.hostname or not (
            parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK)
        ):
            raise UsageError(f"{source!r} is no address to download from; use one such as {PHYSIONET}")
        self._scheme = parts.scheme
        self._host = parts.hostname
        self._database = database
        self._root = f"{source.rstrip('/')}/{database.name}/{database.version}/"
        self._watcher = watcher
        self._first_wait_s = first_wait_s
        self._at_once = asyncio.Semaphore(PARALLEL)
        self._fetched = Fetched(into.expanduser() / database.name)

    async def run(self, wanted: Sequence[str]) -> Fetched:
        folder = self._fetched.folder
        async with httpx.AsyncClient(
            timeout=_TIMEOUT_S, follow_redirects=True, headers={"Accept-Encoding": "identity"}
        ) as client:
            text = await self._sums(client)
            files = _files_of(sums := parse_sums(text))
            if not files:
                raise RecordError(f"{self._root}{SUMS_FILE}: names no record; is that a database?")
            for record in wanted:
                if record not in files:
                    close = get_close_matches(record, files, n=1, cutoff=0.3)
                    advice = f"; did you mean {close[0]!r}?" if close else ""
                    raise RecordError(f"{self._database.name} has no record {record!r}{advice}")
            with _writing(folder) as write_whole:
                chosen = list(dict.fromkeys(wanted)) or list(files)
                await asyncio.gather(
                    *(self._record(client, record, files[record], sums) for record in chosen)
                )
                if self._fetched.records:
                    write_whole(folder / SUMS_FILE, text)
        self._fetched.records.sort()
        self._fetched.there_already.sort()
        return self._fetched

    async def _sums(self, client: httpx.AsyncClient) -> str:
        url = self._root + SUMS_FILE
        reason = ""
        for attempt in range(ATTEMPTS):
            try:
                content = bytearray()
                async with client.stream("GET", url) as response:
                    self._check(response, url)
                    async for chunk in response.aiter_raw():
                        content += chunk
                        if len(content) > _MAX_SUMS_BYTES:
                            raise RecordError(
                                f"{url}: larger than {_MAX_SUMS_BYTES >> 20} MiB; that is no list"
                            )
                return content.decode(errors="replace")
            except (httpx.ConnectError, httpx.ConnectTimeout) as error:
                raise RecordError(
                    f"{self._host} cannot be reached ({_plain(error)}); is there a network? Nothing was changed"
                ) from error
            except (_BrokenOffError, httpx.RequestError) as error:
                reason = _plain(error)
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(self._first_wait_s * 2**attempt)
        raise RecordError(f"{url}: {reason}, tried {ATTEMPTS} times; nothing was changed")

    async def _record(
        self, client: httpx.AsyncClient, record: str, names: list[str], sums: dict[str, str]
    ) -> None:
        folder = self._fetched.folder
        missing = []
        for name in names:
            file = folder / name
            if not file.is_file() or await asyncio.to_thread(sha256_of, file) != sums[name]:
                missing.append(name)
        try:
            downloads = [self._file(client, name, sums[name]) for name in missing]
            results = await asyncio.gather(*downloads, return_exceptions=True)
            for result in results:
                if isinstance(result, BaseException):
                    raise result
            for name in missing:
                (folder / f"{name}{_PART}").replace(folder / name)
        except RecordError as error:
            self._fetched.refused[record] = str(error)
        except OSError as error:
            self._fetched.refused[record] = f"{error.filename or folder}: {error.strerror}"
        else:
            self._fetched.records.append(record)
            if not missing:
                self._fetched.there_already.append(record)

    async def _file(self, client: httpx.AsyncClient, name: str, digest: str) -> None:
        """Bring a file as far as its part, verified."""
        url = self._root + name
        part = self._fetched.folder / f"{name}{_PART}"
        reason, wrong = "", 0
        for attempt in range(ATTEMPTS):
            async with self._at_once:
                try:
                    fresh = await self._pull(client, name, part)
                    if await asyncio.to_thread(sha256_of, part) == digest:
                        self._tell_verified(name)
                        return
                    _discard(part)
                    reason = "its SHA-256 is not the one listed"
                    wrong += fresh
                except (_BrokenOffError, httpx.RequestError) as error:
                    reason = _plain(error)
            if wrong > 1:
                raise RecordError(f"{url}: {reason}, twice; it was thrown away")
            if self._watcher is not None:
                self._watcher.troubled(name, reason)
            if attempt + 1 < ATTEMPTS:
                await asyncio.sleep(self._first_wait_s * 2**attempt)
        raise RecordError(
            f"{url}: {reason}, tried {ATTEMPTS} times; the same command goes on where it stopped"
        )

    async def _pull(self, client: httpx.AsyncClient, name: str, part: Path) -> bool:
        """Let the part grow to its end; return whether it came from the beginning, in one piece."""
        url = self._root + name
        here = _size(part)
        headers = {"Range": f"bytes={here}-"} if here else {}
        async with client.stream("GET", url, headers=headers) as response:
            if here and response.status_code == httpx.codes.REQUESTED_RANGE_NOT_SATISFIABLE:
                return False  # nothing is missing, or too much is here: its digest will tell
            self._check(response, url)
            if response.status_code == httpx.codes.PARTIAL_CONTENT:
                goes_on = _RANGE.fullmatch(response.headers.get("Content-Range", ""))
                if goes_on is None or int(goes_on[1]) != here:
                    _discard(part)
                    raise _BrokenOffError("the server sent another part than was asked for")
            else:
                here = 0
            length = response.headers.get("Content-Length", "")
            total = here + int(length) if length.isdecimal() else None
            self._tell_begun(name, here, total)
            with part.open("ab" if here else "wb") as file:
                done = here
                async for chunk in response.aiter_raw():
                    done += len(chunk)
                    if done > MAX_FILE_BYTES:
                        file.truncate(0)
                        raise RecordError(
                            f"{url}: larger than {MAX_FILE_BYTES >> 20} MiB; it was thrown away"
                        )
                    file.write(chunk)
                    self._fetched.downloaded_bytes += len(chunk)
                    if self._watcher is not None:
                        self._watcher.came(name, len(chunk))
                file.flush()
                os.fsync(file.fileno())
        return here == 0

    def _check(self, response: httpx.Response, url: str) -> None:
        if response.url.scheme != self._scheme:
            raise RecordError(f"{url}: leads to {response.url.scheme}://, which is not followed")
        if response.is_success:
            return
        said = f"{response.status_code} {response.reason_phrase}".strip()
        temporary = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)
        if response.is_server_error or response.status_code in temporary:
            raise _BrokenOffError(f"the server answers {said}")
        raise RecordError(f"{url}: the server answers {said}")

    def _tell_begun(self, name: str, done: int, total: int | None) -> None:
        if self._watcher is not None:
            self._watcher.begun(name, done, total)

    def _tell_verified(self, name: str) -> None:
        if self._watcher is not None:
            self._watcher.verified(name)


class _WriteWhole(Protocol):
    def __call__(self, file: Path, text: str) -> None: ...


@contextmanager
def _writing(folder: Path) -> Iterator[_WriteWhole]:
    """Have `folder` for oneself; two downloads at once would write into the same parts."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder, os.O_RDONLY)
    except OSError as error:
        raise RecordError(
            f"{folder} cannot be written to: {error.strerror}; choose another with --into"
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield _write_whole
    except BlockingIOError as error:
        raise RecordError(f"{folder}: another download is at work there; wait for it to end") from error
    finally:
        os.close(lock)


def _write_whole(file: Path, text: str) -> None:
    part = file.with_name(f"{file.name}{_PART}")
    part.write_text(text, encoding="utf-8")
    part.replace(file)


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)


def _plain(error: Exception) -> str:
    if isinstance(error, httpx.TimeoutException):
        return "no answer in time"
    return " ".join(str(error).split()) or type(error).__name__
