from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import pytest
from prometheus_client.samples import Sample

from proxy.errors import HeadwayError
from proxy.telemetry.exposition import OPENMETRICS, TEXT, Family
from proxy.telemetry.scrape_server import LINES_A_TURN, MOST_SCRAPES, ScrapeServer

ONE = Family("one", "gauge", "One.", [Sample("one", {}, 1)])


def one() -> Iterable[Family | None]:
    yield None
    yield ONE


@asynccontextmanager
async def serving(server: ScrapeServer) -> AsyncIterator[ScrapeServer]:
    await server.start("127.0.0.1", 0)
    try:
        yield server
    finally:
        await server.stop()


async def ask(server: ScrapeServer, request: str) -> tuple[list[str], str]:
    """The head's lines and the body, of what comes until the server closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(request.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
    writer.close()
    return head.split("\r\n"), body


async def test_a_scrape() -> None:
    async with serving(ScrapeServer(one, one)) as server:
        page = "# HELP one One.\n# TYPE one gauge\none 1\n" * 2
        assert await ask(server, "GET /metrics HTTP/1.1\nHost: x") == (
            ["HTTP/1.1 200 OK", f"Content-Type: {TEXT}", f"Content-Length: {len(page)}", "Connection: close"],
            page,
        )
        assert repr(server) == f"<ScrapeServer port={server.port} scrapes=0>"
    assert server.port == 0


async def test_openmetrics_for_who_asks() -> None:
    async with serving(ScrapeServer(one)) as server:
        head, body = await ask(server, "GET /metrics?x=1 HTTP/1.1\nACCEPT: application/openmetrics-text; version=1.0.0")
        assert f"Content-Type: {OPENMETRICS}" in head
        assert body.endswith("one 1\n# EOF\n")


@pytest.mark.parametrize(
    ("request_line", "status", "body"),
    [
        ("GET / HTTP/1.1", "HTTP/1.1 404 Not Found", "metrics are at /metrics\n"),
        ("POST /metrics HTTP/1.1", "HTTP/1.1 405 Method Not Allowed", "GET or HEAD\n"),
        ("HEAD /metrics HTTP/1.1", "HTTP/1.1 200 OK", ""),
        ("\x00\xff", "HTTP/1.1 404 Not Found", "metrics are at /metrics\n"),
    ],
)
async def test_other_requests(request_line: str, status: str, body: str) -> None:
    async with serving(ScrapeServer(one)) as server:
        head, answer = await ask(server, request_line)
        assert (head[0], answer) == (status, body)


async def test_what_cannot_be_read_is_an_error_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def broken() -> Iterable[Family | None]:
        raise ZeroDivisionError

    async with serving(ScrapeServer(broken)) as server:
        head, _ = await ask(server, "GET /metrics HTTP/1.1")
        assert head[0] == "HTTP/1.1 500 Internal Server Error"
    assert [(record.levelno, record.message) for record in caplog.records] == [
        (logging.ERROR, "The metrics can't be read")
    ]


async def test_a_long_page_leaves_the_event_loop_turns() -> None:
    many = Family("many", "gauge", "Many.", [Sample("many", {"x": str(number)}, number) for number in range(1000)])
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with asyncio.TaskGroup() as group:
        counting = group.create_task(count(), name="turns")
        await ScrapeServer(lambda: [many]).page()
        counting.cancel()
    assert turns >= 1000 // LINES_A_TURN


async def test_who_says_nothing_is_let_go() -> None:
    async with serving(ScrapeServer(one, patience_s=0.01)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await reader.read() == b""
        writer.close()


async def test_who_says_too_much_is_let_go() -> None:
    async with serving(ScrapeServer(one)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"x" * 100_000)
        with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
            await reader.readexactly(1)
        writer.close()


async def test_only_so_many_at_once() -> None:
    async with serving(ScrapeServer(one)) as server:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(MOST_SCRAPES)]
        head, _ = await ask(server, "GET /metrics HTTP/1.1")
        assert head[0] == "HTTP/1.1 503 Service Unavailable"
        for _, writer in idle:
            writer.close()


async def test_stopping_ends_scrapes_under_way() -> None:
    server = ScrapeServer(one)
    await server.start("127.0.0.1", 0)
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await ask(server, "GET / HTTP/1.1")  # the connection before has been accepted, then
    await server.stop()
    with pytest.raises((ConnectionError, asyncio.IncompleteReadError)):
        await reader.readexactly(1)
    writer.close()


async def test_a_port_that_is_taken() -> None:
    async with serving(ScrapeServer(one)) as server:
        with pytest.raises(HeadwayError, match=rf"^can't listen on 127\.0\.0\.1:{server.port}: "):
            await ScrapeServer(one).start("127.0.0.1", server.port)


async def test_stopping_before_the_start_is_nothing() -> None:
    await ScrapeServer(one).stop()
