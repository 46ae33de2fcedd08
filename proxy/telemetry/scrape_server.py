"""Where Prometheus scrapes: a page of metrics over HTTP, made between the event loop's other work.

It is put together on the event loop, because what it reads changes there, some lines in a turn. A thread would hold
calls up for longer: of two threads the one that only computes keeps the other from the interpreter for 5 ms at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from itertools import chain

from proxy.errors import HeadwayError
from proxy.telemetry.exposition import END, OPENMETRICS, Family, content_type, lines

logger = logging.getLogger(__name__)

PATH = "/metrics"
MOST_SCRAPES = 8
"""At once; Prometheus makes one at a time for each server that has the target."""
PATIENCE_S = 10.0
"""For a request to come in, and for a page to be taken: Prometheus' own scrape_timeout."""
MOST_HEAD_BYTES = 16 * 1024
LINES_A_TURN = 100
"""Of the page, between two turns of the event loop: 0.3 ms. With 100 tunnels no turn took longer at a proxy, and 0.6 ms
at a daemon, which reads its connections in one (medians of 30 scrapes)."""

Families = Callable[[], Iterable[Family | None]]
"""Reads metrics; None is a pause, in which the event loop may do other work."""


class ScrapeServer:
    """Answers `GET /metrics` with what `sources` say at that moment: `start`, then `stop`."""

    def __init__(self, *sources: Families, patience_s: float = PATIENCE_S) -> None:
        self._sources = sources
        self._patience_s = patience_s
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    def __repr__(self) -> str:
        return f"<ScrapeServer port={self.port or 'off'} scrapes={len(self._writers)}>"

    @property
    def port(self) -> int:
        """The TCP port listened on; 0 for none."""
        return int(self._server.sockets[0].getsockname()[1]) if self._server is not None and self._server.sockets else 0

    async def start(self, host: str, port: int) -> None:
        """Listen; port 0 lets the system choose. Raises `HeadwayError` if that is not possible."""
        try:
            self._server = await asyncio.start_server(self._serve, host, port, limit=MOST_HEAD_BYTES)
        except OSError as error:
            raise HeadwayError(f"can't listen on {host}:{port}: {error.strerror or error}") from None

    async def stop(self) -> None:
        """Stop listening, and break off the scrapes under way."""
        if self._server is None:
            return
        self._server.close()
        for writer in self._writers:
            writer.transport.abort()
        await self._server.wait_closed()

    async def page(self, accept: str = "") -> tuple[bytes, str]:
        """The page in the format that an `Accept` header prefers, and its content type."""
        kind = content_type(accept)
        page: list[str] = []
        for family in chain.from_iterable(source() for source in self._sources):
            await asyncio.sleep(0)
            for line in () if family is None else lines(family, openmetrics=kind == OPENMETRICS):
                page.append(line)
                if len(page) % LINES_A_TURN == 0:
                    await asyncio.sleep(0)
        if kind == OPENMETRICS:
            page.append(END)
        return "".join(page).encode(), kind

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            async with asyncio.timeout(self._patience_s):
                answer = await self._answer(await reader.readuntil(b"\r\n\r\n"))
                writer.write(answer)
                await writer.drain()
        except (OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return  # whoever that was has gone, or is none that scrapes
        finally:
            self._writers.discard(writer)
            writer.close()

    async def _answer(self, request: bytes) -> bytes:
        line, *fields = request.decode("latin-1").split("\r\n")
        method, _, target = line.partition(" ")
        path = target.partition(" ")[0].partition("?")[0]
        if path != PATH:
            return _response(HTTPStatus.NOT_FOUND, f"metrics are at {PATH}\n".encode())
        if method not in {"GET", "HEAD"}:
            return _response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET or HEAD\n", "Allow: GET, HEAD")
        if len(self._writers) > MOST_SCRAPES:
            return _response(HTTPStatus.SERVICE_UNAVAILABLE, f"{MOST_SCRAPES} scrapes are under way\n".encode())
        accept = ",".join(value for name, value in map(_field, fields) if name == "accept")
        try:
            body, kind = await self.page(accept)
        except Exception:
            # What is wrong with one number must show, and must not end the process that counts it.
            logger.exception("The metrics can't be read")
            return _response(HTTPStatus.INTERNAL_SERVER_ERROR, b"the metrics can't be read, see the log\n")
        return _response(HTTPStatus.OK, body, content_type=kind, head_only=method == "HEAD")


def _field(line: str) -> tuple[str, str]:
    name, _, value = line.partition(":")
    return name.strip().lower(), value.strip()


def _response(
    status: HTTPStatus, body: bytes, *fields: str, content_type: str = "text/plain", head_only: bool = False
) -> bytes:
    head = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *fields,
    ]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + (b"" if head_only else body)
