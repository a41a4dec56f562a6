"""A network that can be cut, slowed down or made to swallow everything: a TCP proxy on 127.0.0.1."""

import asyncio
import time
from contextlib import suppress
from typing import Final, Self

_CHUNK: Final = 65_536
_SLICE: Final = 4_096
_UNDER_WAY: Final = 256
"""Pieces that a slow link holds for each direction; then it takes no more, as a network does."""


class LinkProxy:
    """Forwards a port to another; an asynchronous context manager.

    Parameters
    ----------
    target_port : int
        Port on 127.0.0.1 at which the real server listens.

    Attributes
    ----------
    delay_s : float
        Seconds that each piece waits before it goes on, in both directions.
    bytes_per_s : float or None
        How much passes in a second, for each connection and direction; None for all there is.
    connections : int
        How many there have been.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._port = 0
        self._running: set[asyncio.Task[None]] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.delay_s = 0.0
        self.bytes_per_s: float | None = None
        self.connections = 0

    @property
    def port(self) -> int:
        """Port that clients connect to."""
        return self._port

    async def cut(self) -> None:
        """Break all connections off and let none in, as a pulled cable does for whoever looks for the server."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def swallow(self) -> None:
        """Let nothing through and tell nobody: connections stay, and are silent."""
        self._open.clear()

    async def mend(self) -> None:
        """Let everything through again."""
        self.delay_s, self.bytes_per_s = 0.0, None
        self._open.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self._port)
            self._port = self._server.sockets[0].getsockname()[1]

    async def __aenter__(self) -> Self:
        await self.mend()
        return self

    async def __aexit__(self, *_exception: object) -> None:
        await self.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - streams are served by tasks
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        there: asyncio.StreamWriter | None = None
        try:
            back, there = await asyncio.open_connection("127.0.0.1", self._target_port)
            directions = [
                asyncio.ensure_future(self._forward(reader, there)),
                asyncio.ensure_future(self._forward(back, writer)),
            ]
            try:
                # Either end hangs up, and both are gone: nobody here has use for half a connection.
                await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for direction in directions:
                    direction.cancel()
                await asyncio.gather(*directions, return_exceptions=True)
        except (OSError, asyncio.CancelledError):
            # A server that is away, or a cable that is pulled: the client sees its connection end.
            pass
        finally:
            for end in (writer, there):
                if end is not None:
                    end.transport.abort()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(_UNDER_WAY)
        arriving = asyncio.ensure_future(self._arrive(under_way, writer))
        try:
            with suppress(OSError):
                while piece := await reader.read(_CHUNK):
                    await under_way.put((time.monotonic() + self.delay_s, piece))
                    if arriving.done():
                        return
            await under_way.put((time.monotonic(), b""))
            await arriving
        finally:
            arriving.cancel()

    async def _arrive(
        self, under_way: "asyncio.Queue[tuple[float, bytes]]", writer: asyncio.StreamWriter
    ) -> None:
        with suppress(OSError):
            while True:
                at, piece = await under_way.get()
                if not piece:
                    return
                await asyncio.sleep(max(at - time.monotonic(), 0.0))
                for begin in range(0, len(piece), _SLICE):
                    part = piece[begin : begin + _SLICE]
                    if self.bytes_per_s:
                        await asyncio.sleep(len(part) / self.bytes_per_s)
                    await self._open.wait()
                    writer.write(part)
                    await writer.drain()
