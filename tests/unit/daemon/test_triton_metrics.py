from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxy.daemon.routes import Backend, CandidateSettings, Routes, RouteSettings
from proxy.daemon.triton_metrics import MetricsError, MetricsPoll, TritonNumbers, fetch, parse_metrics
from proxy.testing.calls import MemoryCarrier, hanging
from proxy.testing.ports import free_port

PAGE = """# HELP nv_inference_request_success Number of successful inference requests, all batch sizes
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="large",version="1"} 12
# HELP nv_inference_pending_request_count Instantaneous number of pending requests awaiting execution per-model.
# TYPE nv_inference_pending_request_count gauge
nv_inference_pending_request_count{model="large",version="1"} 3
nv_inference_pending_request_count{model="large",version="2"} 2
nv_inference_pending_request_count{model="small",version="1"} 0
# HELP nv_gpu_utilization GPU utilization rate [0.0 - 1.0)
# TYPE nv_gpu_utilization gauge
nv_gpu_utilization{gpu_uuid="GPU-1"} 0.5
nv_gpu_utilization{gpu_uuid="GPU-2"} 1.0
# TYPE nv_cpu_utilization gauge
nv_cpu_utilization 0.25
"""


class Page:
    """A web server with one page."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.body = PAGE
        self.hangs = asyncio.Event()
        self.hangs.set()
        self.requests: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(await reader.readuntil(b"\r\n\r\n"))
        await self.hangs.wait()
        writer.write(f"HTTP/1.1 {self.status}\r\nContent-Type: text/plain\r\n\r\n{self.body}".encode())
        writer.close()


@asynccontextmanager
async def serving(page: Page) -> AsyncIterator[str]:
    server = await asyncio.start_server(page.serve, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/metrics?all=1"


def routes() -> Routes:
    backend = Backend("a", "a:8001", MemoryCarrier(hanging()))
    candidates = (CandidateSettings("a", "large", 0.7), CandidateSettings("a", "small", 0.4))
    return Routes([RouteSettings("llm", "round_robin", candidates)], {"a": backend})


def test_the_numbers_of_a_page() -> None:
    assert parse_metrics(PAGE) == TritonNumbers({"large": 5, "small": 0}, 0.75)
    assert parse_metrics("") == TritonNumbers()


@pytest.mark.parametrize("page", ["nv_gpu_utilization{", 'nv_inference_pending_request_count{model="m"} NaN'])
def test_a_page_that_is_none(page: str) -> None:
    with pytest.raises(MetricsError):
        parse_metrics(page)


async def test_what_is_asked_for() -> None:
    page = Page()
    async with serving(page) as url:
        assert await fetch(url) == PAGE
    assert page.requests[0].startswith(b"GET /metrics?all=1 HTTP/1.0\r\nHost: 127.0.0.1:")


async def test_the_account_of_each_model_gets_its_numbers() -> None:
    route = next(iter(made := routes()))
    large, small = (candidate.load for candidate in route.candidates)
    large.sent("x", now=0.0)
    page = Page()
    async with serving(page) as url:
        poll = MetricsPoll(made, {"a": url})
        await poll.poll()
        seen = large.account.candidate(now=0.0)
        # One of the five is ours; the others are somebody else's, and ahead of the next one.
        assert (seen.running, seen.waiting, seen.gpu_load) == (0, 5, 0.75)
        assert small.account.candidate(now=0.0).waiting == 0
        assert repr(poll) == "<MetricsPoll 1 pages, 0 that can't be read>"


async def test_a_page_that_fails_is_logged_once_and_clears_the_numbers(caplog: pytest.LogCaptureFixture) -> None:
    made = routes()
    (large, _) = (load for _, _, load in made.models())
    page = Page()
    async with serving(page) as url:
        poll = MetricsPoll(made, {"a": url})
        await poll.poll()
        assert large.account.gpu_load == 0.75
        page.status = "503 Service Unavailable"
        await poll.poll()
        await poll.poll()
        seen = large.account.candidate(now=0.0)
        assert (seen.gpu_load, seen.waiting) == (None, 0)
        page.status = "200 OK"
        await poll.poll()
    assert caplog.messages == [
        f"Metrics of triton 'a' at {url} can't be read: HTTP status 503",
        f"Metrics of triton 'a' at {url} can be read again",
    ]


async def test_nobody_listens(caplog: pytest.LogCaptureFixture) -> None:
    poll = MetricsPoll(routes(), {"a": f"http://127.0.0.1:{free_port()}/metrics"})
    await poll.poll()
    assert "can't be read: " in caplog.messages[0]
    assert repr(poll) == "<MetricsPoll 1 pages, 1 that can't be read>"


async def test_a_page_that_never_comes(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr("proxy.daemon.triton_metrics.TIMEOUT_S", 0.02)
    page = Page()
    page.hangs.clear()
    async with serving(page) as url:
        await MetricsPoll(routes(), {"a": url}).poll()
        page.hangs.set()
    assert caplog.messages == [f"Metrics of triton 'a' at {url} can't be read: no answer within 0.02 s"]


async def test_something_that_is_not_http(caplog: pytest.LogCaptureFixture) -> None:
    async def babble(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-x\r\n")
        writer.close()

    server = await asyncio.start_server(babble, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await MetricsPoll(routes(), {"a": f"http://127.0.0.1:{port}"}).poll()
    assert caplog.messages[0].endswith("can't be read: the answer is not HTTP")


async def test_without_pages_there_is_nothing_to_run() -> None:
    await MetricsPoll(routes(), {}).run()
