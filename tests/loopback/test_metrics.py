"""What Prometheus sees of a proxy and a daemon, as processes, after calls of which the test knows everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from prometheus_client import Metric

from ops.deploy.metrics_used import alert_queries, contract, dashboard_queries
from proxy.clock import MonotonicClock
from proxy.edge.server import EdgeServer, EdgeSettings
from proxy.testing.ports import free_port
from proxy.testing.stack import ProcessStack
from tests.unit.daemon.stub_triton import INFER, STREAM, StubModel, StubTriton, infer_request
from tests.unit.telemetry.pages import Values, read_page, values_of

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

ROUTES = {
    "llm": {
        "policy": "static:large",
        "candidates": [
            {"triton": "a", "model": "large", "quality": 0.7},
            {"triton": "a", "model": "small", "quality": 0.4},
        ],
    }
}


@dataclass
class Site:
    triton: StubTriton
    stack: ProcessStack
    scraped_at: dict[str, str]
    channel: Any

    async def page(self, role: str) -> dict[str, Metric]:
        """What a scrape of one process sees."""
        host, _, port = self.scraped_at[role].rpartition(":")
        async with asyncio.timeout(10):
            reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET /metrics HTTP/1.1\r\nAccept: application/openmetrics-text; version=1.0.0\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
            writer.close()
        assert head.startswith(b"HTTP/1.1 200 ")
        return read_page(body.decode())

    async def ask(self, model: str = "llm", **metadata: str) -> grpc.StatusCode:
        """One inference; how it ended."""
        call = self.channel.unary_unary(INFER)(infer_request(model), metadata=_metadata(metadata), timeout=20)
        return grpc.StatusCode(await call.code())


def _metadata(given: dict[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple((key.replace("_", "-"), value) for key, value in given.items())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site() -> AsyncIterator[Site]:
    triton = StubTriton({"large": StubModel(), "small": StubModel(), "slow": StubModel(gate=asyncio.Event())})
    server = EdgeServer(EdgeSettings("127.0.0.1:0"), handler=triton, clock=MonotonicClock())
    await server.start()
    scraped_at = {role: f"127.0.0.1:{free_port()}" for role in ("proxy", "daemon")}
    own = {role: {"metrics_listen": address} for role, address in scraped_at.items()}
    daemon = {**own["daemon"], "routes": ROUTES}
    try:
        async with (
            ProcessStack(f"127.0.0.1:{server.port}", proxy=own["proxy"], daemon=daemon) as stack,
            grpc.aio.insecure_channel(stack.address) as channel,
        ):
            site = Site(triton, stack, scraped_at, channel)
            await _make_calls(site)
            yield site
    finally:
        await server.stop()


async def _make_calls(site: Site) -> None:
    ok = grpc.StatusCode.OK
    for _ in range(3):
        assert await site.ask(x_traffic_class="realtime") == ok
    assert await site.ask(x_traffic_class="no such class") == ok
    assert await site.ask(x_traffic_class="bulk", x_deadline_ms="0.01") == ok
    assert await site.ask("nowhere", x_traffic_class="bulk") == grpc.StatusCode.NOT_FOUND
    assert await site.ask(x_deadline_ms="-1") == grpc.StatusCode.DEADLINE_EXCEEDED
    given_up = site.channel.unary_unary(INFER)(infer_request("slow"), metadata=(("x-traffic-class", "bulk"),))
    async with asyncio.timeout(10):
        while not any(request.model_name == "slow" for request in site.triton.seen):  # noqa: ASYNC110 -- no event
            await asyncio.sleep(0.01)
    given_up.cancel()
    async with asyncio.timeout(10):
        while not site.triton.cancelled:  # noqa: ASYNC110 -- likewise
            await asyncio.sleep(0.01)
    stream = site.channel.stream_stream(STREAM)(metadata=(("x-traffic-class", "realtime"),), timeout=20)
    await stream.write(infer_request("llm"))
    await stream.done_writing()
    assert len([answer async for answer in stream]) == 1


def nonzero(page: dict[str, Metric], series: str) -> Values:
    return {labels: value for labels, value in values_of(page, series).items() if value}


async def test_how_calls_ended(site: Site) -> None:
    page = await site.page("proxy")
    assert nonzero(page, "headway_requests_total") == {
        ("realtime", "on_time"): 4,
        ("standard", "on_time"): 1,
        ("standard", "refused"): 1,
        ("bulk", "late"): 1,
        ("bulk", "failed"): 1,
        ("bulk", "cancelled"): 1,
    }
    assert nonzero(page, "headway_requests_refused_total") == {("standard", "rejected-deadline-expired"): 1}
    missed = nonzero(page, "headway_deadline_missed_total")
    assert sorted((labels[0], value) for labels, value in missed.items()) == [("bulk", 1), ("standard", 1)]
    assert nonzero(page, "headway_unknown_class_total") == {(): 1}


async def test_how_long_they_took(site: Site) -> None:
    page = await site.page("proxy")
    assert nonzero(page, "headway_request_duration_seconds_count") == {("realtime",): 4, ("standard",): 2, ("bulk",): 2}
    assert nonzero(page, "headway_first_message_seconds_count") == {("realtime",): 1}
    slack = nonzero(page, "headway_slack_seconds_bucket")
    assert slack["realtime", "client", "+Inf"] == slack["realtime", "client", "1.0"] == 4
    assert slack["bulk", "client", "0.0"] == 1
    exemplars = [one.exemplar for one in page["headway_request_duration_seconds"].samples if one.exemplar is not None]
    assert exemplars
    assert all(len(exemplar.labels["trace_id"]) == 32 for exemplar in exemplars)


async def test_what_the_daemon_made_of_them(site: Site) -> None:
    page = await site.page("daemon")
    selected = {
        ("realtime", "llm", "large", "a"): 4,
        ("standard", "llm", "large", "a"): 1,
        ("bulk", "llm", "large", "a"): 1,
    }
    assert nonzero(page, "headway_model_selected_total") == selected
    assert values_of(page, "headway_effective_accuracy_count") == {
        ("realtime", "llm"): 4,
        ("standard", "llm"): 1,
        ("bulk", "llm"): 1,
    }
    worth = values_of(page, "headway_effective_accuracy_sum")
    # Whether the late one left in time is told to a few milliseconds only: by the comparison of the two clocks.
    assert [worth[name, "llm"] for name in ("realtime", "standard")] == pytest.approx([2.8, 0.7])
    assert values_of(page, "headway_policy_decision_seconds_count") == {("llm", "static:large"): 6}
    assert values_of(page, "headway_candidate_ready").keys() == {("llm", "large", "a"), ("llm", "small", "a")}
    assert values_of(page, "headway_triton_up") == {("a",): 1}


async def test_the_tunnel(site: Site) -> None:
    proxy, daemon = await site.page("proxy"), await site.page("daemon")
    assert values_of(proxy, "headway_tunnel_up") == {(site.stack.daemon_address,): 1}
    assert values_of(proxy, "headway_tunnel_connects_total") == {(site.stack.daemon_address,): 1}
    for page, ends in ((proxy, ("uplink", site.stack.daemon_address)), (daemon, ("downlink", "127.0.0.1"))):
        [rtt_s] = values_of(page, "headway_quic_rtt_seconds").values()
        assert 0 < rtt_s < 5
        assert values_of(page, "headway_quic_rtt_seconds").keys() == {ends}
        assert values_of(page, "headway_quic_sent_packets_total")[ends] > 8
        assert values_of(page, "headway_quic_cwnd_bytes")[ends] > 0
        assert values_of(page, "headway_queue_size") == {(ends[0],): 0}
        assert values_of(page, "headway_scheduler_mode") == {(ends[0], "edf", "edf"): 1}


async def test_both_export_what_is_promised(site: Site) -> None:
    promised = [metric for metric in contract().values() if metric.name.startswith("headway_")]
    for role in ("proxy", "daemon"):
        page = await site.page(role)
        names = {metric.name.removesuffix("_total") for metric in promised if metric.exporter in {role, "both"}}
        assert {name for name in page if name.startswith("headway_")} == names
        for metric in promised:
            found = page.get(metric.name.removesuffix("_total"))
            if found is not None:
                assert found.type == metric.type
                assert {frozenset(one.labels) - {"le"} for one in found.samples} <= {metric.labels}


async def test_the_dashboard_and_the_rules_ask_for_what_is_there(site: Site) -> None:
    there = _series((await site.page("proxy")).values()) | _series((await site.page("daemon")).values())
    asked = {series for query in (*dashboard_queries(), *alert_queries()) for series in query.series()}
    ours = {series for series in asked if series.startswith(("headway_", "process_"))}
    # On loopback nothing has shown what the path carries.
    assert ours - there <= {"headway_quic_delivery_rate_bytes_per_second"}
    assert len(ours) > 25


def _series(metrics: Iterable[Metric]) -> set[str]:
    return {sample.name for metric in metrics for sample in metric.samples}
