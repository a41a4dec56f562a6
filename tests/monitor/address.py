"""An address in front of a server, which another server may take over."""

import asyncio
from contextlib import suppress
from typing import Self


class Address:
    """An address that a new master can take over, as a virtual address or a balancer does: connections stay."""

    def __init__(self, port: int, *, breaks_after: int = 2**62) -> None:
        self.leads_to = port
        # After so many bytes from the server.
        self._breaks_after = breaks_after
        self._open: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_exception: object) -> None:
        self._server.close()
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)

    def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._lead(reader, writer))
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self.leads_to)
        try:
            await asyncio.gather(_pass_on(reader, back), _pass_on(there, writer, self._breaks_after))
        finally:
            for each in (back, writer):
                each.close()
                with suppress(OSError):
                    await each.wait_closed()


async def _pass_on(source: asyncio.StreamReader, sink: asyncio.StreamWriter, at_most: int = 2**62) -> None:
    with suppress(OSError):
        while at_most > 0 and (content := await source.read(65_536)):
            at_most -= len(content)
            sink.write(content)
            await sink.drain()
    sink.close()
