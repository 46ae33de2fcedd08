"""The real Triton's own spans in the trace of a call: of every call that is sampled, and of no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tritonclient.grpc.aio as grpcclient

from proxy.demo.trace_inbox import TraceInbox
from proxy.demo.triton_server import TritonServer, TritonSettings
from proxy.testing.stack import HeadwayStack
from proxy.tracefile.spans import CLIENT, SERVER, TRITON_SERVICE, Span, parse_line

pytestmark = pytest.mark.asyncio(loop_scope="session")

SAMPLED, NOT_SAMPLED = "4bf92f3577b34da6a3ce929d0e0e4701", "4bf92f3577b34da6a3ce929d0e0e4702"
CALLERS_SPAN = "00f067aa0ba902b7"
LIMIT_S = 10.0


def spans_in(file: Path) -> list[Span]:
    lines = file.read_bytes().splitlines() if file.exists() else []
    return [span for line in lines for span in parse_line(line)]


async def spans_once(file: Path, enough: Callable[[list[Span]], bool]) -> list[Span]:
    """What is in the file, once that is enough: processes write in their own time."""
    async with asyncio.timeout(LIMIT_S):
        while not enough(spans := spans_in(file)):  # noqa: ASYNC110 -- nothing tells when a file has grown
            await asyncio.sleep(0.05)
    return spans


async def test_triton_continues_the_trace_of_a_sampled_call_and_of_no_other(tmp_path: Path, test_models: Path) -> None:
    file = tmp_path / "traces.jsonl"
    tensor = grpcclient.InferInput("INPUT", [1, 1], "BYTES")
    tensor.set_data_from_numpy(np.array([[b"x"]], dtype=object))
    with TraceInbox(file) as inbox:
        settings = TritonSettings(models=("echo",), trace_otlp_url=inbox.url)
        async with TritonServer(test_models, settings) as triton:
            stack = HeadwayStack(triton.grpc_url, top={"telemetry": {"traces_file": str(file)}})
            async with stack, grpcclient.InferenceServerClient(stack.address) as client:
                for trace_id, flags in ((NOT_SAMPLED, "00"), (SAMPLED, "01")):
                    headers = {"traceparent": f"00-{trace_id}-{CALLERS_SPAN}-{flags}"}
                    await client.infer("echo", [tensor], headers=headers)
            spans = await spans_once(
                file, lambda found: any(span.service == TRITON_SERVICE and span.trace_id == SAMPLED for span in found)
            )
    of_call = {(span.service, span.kind): span for span in spans if span.trace_id == SAMPLED}
    made_far = of_call["headway-daemon", CLIENT]
    way = [
        of_call["headway-proxy", SERVER],
        of_call["headway-proxy", CLIENT],
        of_call["headway-daemon", SERVER],
        made_far,
    ]
    assert [span.parent_id for span in way] == [CALLERS_SPAN, *(span.span_id for span in way[:3])]
    assert [span.name for span in spans if span.parent_id == made_far.span_id] == ["InferRequest"]
    assert {span.name for span in spans if span.service == TRITON_SERVICE} >= {"InferRequest", "compute"}
    # Triton would have recorded the other one as well, had it been sent that call's trace context.
    assert not [span for span in spans if span.trace_id == NOT_SAMPLED]
