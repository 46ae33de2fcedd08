"""Calls of a stock client, and the traces that a collector gets of them: over gRPC, over HTTP, and as a file."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from proxy.clock import MonotonicClock
from proxy.testing.stack import HeadwayStack
from proxy.tracefile.spans import CLIENT, SERVER, Span, parse_line
from proxy.tracefile.stages import stages_of
from tests.unit.http2.serving import Backend, channel_to, serving
from tests.unit.telemetry.collectors import COLLECTORS, Collector, spans_of

INFER = "/inference.GRPCInferenceService/ModelInfer"
CALLERS_SPAN = "00f067aa0ba902b7"
CALLS = 5
BACKEND_S = 0.03


async def answer_late(_: Any, context: Any) -> None:
    """The backend's part; its answer is the trace context that it was sent."""
    await context.read()
    await asyncio.sleep(BACKEND_S)
    await context.write(dict(context.invocation_metadata()).get("traceparent", "none").encode())


def trace_id(call: int) -> str:
    return f"4bf92f3577b34da6a3ce929d0e0e47{call:02x}"


def exported(collector: Collector | None, file: Path) -> Iterator[Span]:
    """All spans, once the processes that write them have ended."""
    if collector is None:
        for line in file.read_bytes().splitlines():
            yield from parse_line(line)
    while collector is not None and not collector.received.empty():
        yield from spans_of(collector.received.get())


def way(spans: Iterable[Span]) -> list[Span]:
    """Those of one call, from the client on."""
    order = (
        ("headway-proxy", SERVER),
        ("headway-proxy", CLIENT),
        ("headway-daemon", SERVER),
        ("headway-daemon", CLIENT),
    )
    found = {(span.service, span.kind): span for span in spans}
    assert set(found) == set(order)
    return [found[place] for place in order]


@pytest.mark.parametrize("protocol", [*COLLECTORS, "file"])
async def test_one_trace_from_the_client_to_the_backend(
    protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, clock = tmp_path / "traces.jsonl", MonotonicClock()
    took_s: list[float] = []
    own_s: list[float] = []
    heard: list[str] = []
    with ExitStack() as stack:
        collector = stack.enter_context(COLLECTORS[protocol]()) if protocol in COLLECTORS else None
        if collector is not None:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.port}")
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        async with (
            serving(Backend(answer_late)) as backend,
            HeadwayStack(backend, top={"telemetry": {"traces_file": str(file)}}) as headway,
            channel_to(headway.address) as channel,
            channel_to(backend) as past,
        ):
            for call in range(CALLS):
                began_at = clock.now()
                await past.unary_unary(INFER)(b"request")
                own_s.append(clock.now() - began_at - BACKEND_S)
                parent = f"00-{trace_id(call)}-{CALLERS_SPAN}-01"
                began_at = clock.now()
                answer = await channel.unary_unary(INFER)(b"request", metadata=(("traceparent", parent),))
                took_s.append(clock.now() - began_at)
                heard.append(answer.decode())
        spans = list(exported(collector, file))
    assert file.exists() is (collector is None)
    off_s = []
    for call in range(CALLS):
        served, made, served_far, made_far = way(span for span in spans if span.trace_id == trace_id(call))
        assert served.parent_id == CALLERS_SPAN
        assert [span.parent_id for span in (made, served_far, made_far)] == [
            span.span_id for span in (served, made, served_far)
        ]
        assert heard[call] == f"00-{trace_id(call)}-{made_far.span_id}-01"
        assert served.start_ns <= made.start_ns <= made.end_ns <= served.end_ns
        assert served_far.start_ns <= made_far.start_ns <= made_far.end_ns <= served_far.end_ns
        stages = stages_of(served.attributes)
        assert stages["backend"] >= BACKEND_S * 1000 - 2
        off_s.append(abs(took_s[call] - sum(stages.values()) / 1000))
    # A client's own time is in no stage: it is what a call past headway takes besides, more on a machine with others.
    assert median(off_s) < 0.002 + 0.02 * median(took_s) + median(own_s)


async def test_a_backend_that_would_trace_what_is_not_sampled_hears_of_no_trace(tmp_path: Path) -> None:
    """Triton's service does; see `proxy.compose.traces`. Others are told."""
    file = tmp_path / "traces.jsonl"
    parent = f"00-{trace_id(1)}-{CALLERS_SPAN}-00"
    async with (
        serving(Backend(answer_late)) as backend,
        HeadwayStack(backend, top={"telemetry": {"traces_file": str(file)}}) as headway,
        channel_to(headway.address) as channel,
    ):
        heard = [
            (await channel.unary_unary(path)(b"request", metadata=(("traceparent", parent),))).decode()
            for path in (INFER, "/pkg.Service/Method")
        ]
    assert heard[0] == "none"
    assert (heard[1][:36], heard[1][-3:]) == (parent[:36], "-00")
    assert not file.exists()
