"""A `traceparent` or `baggage` that breaks the rules (fault 9): a trace of headway's own; the call is unaffected."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import SERVICE, Backend
from tests.conformance.client import new_call_id
from tests.conformance.journal import CALL_ID_KEY
from tests.conformance.pb import conformance_pb2 as pb
from tests.conformance.wire import WireClient, framed

UNARY = f"/{SERVICE}/Unary"
GOOD = framed(pb.CallRequest(payload=b"good", echo=True).SerializeToString())
TRACE_ID, SPAN_ID = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OK = 0
RESOURCE_EXHAUSTED = 8


def traces_of(file: Path) -> dict[str, set[str]]:
    """The services that have spans of a call to `Unary`, by trace."""
    found: dict[str, set[str]] = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            [service] = [
                item["value"]["stringValue"]
                for item in resource["resource"]["attributes"]
                if item["key"] == "service.name"
            ]
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    if span["name"] == UNARY[1:]:
                        found.setdefault(span["traceId"], set()).add(service)
    return found


@pytest.mark.parametrize(
    "value",
    [
        "zz",
        "",
        f"00-{TRACE_ID}-{SPAN_ID}",
        f"00-{TRACE_ID}0-{SPAN_ID}-01",
        f"00-{'0' * 32}-{SPAN_ID}-01",
        f"00-{TRACE_ID}-{'0' * 16}-01",
        "0" * 10_000,
    ],
    ids=["short", "empty", "no_flags", "long_id", "zero_trace", "zero_span", "huge"],
)
async def test_a_bad_parent_starts_one_new_trace(value: str, tmp_path: Path) -> None:
    traces, call_id = tmp_path / "traces.jsonl", new_call_id()
    telemetry = {"telemetry": {"traces_file": str(traces)}}
    async with (
        Backend() as backend,
        HeadwayStack(backend.address, top=telemetry) as stack,
        WireClient(stack.address) as wire,
    ):
        answer = await wire.call(UNARY, (CALL_ID_KEY, call_id), ("traceparent", value), body=GOOD)
        assert answer.grpc_status == OK
        [passed_on] = backend.calls[call_id].values("traceparent")
    [(trace_id, services)] = traces_of(traces).items()
    assert trace_id != TRACE_ID
    assert str(passed_on).split("-")[1] == trace_id
    assert services == {"headway-proxy", "headway-daemon"}


@pytest.mark.parametrize("members", [1, 2, 7], ids=["7_kB", "14_kB", "49_kB"])
async def test_of_baggage_no_more_is_carried_than_w3c_asks_for_and_the_call_is_served(members: int) -> None:
    """At most 8192 bytes in all: a backend refuses header sections that are much larger."""
    call_id = new_call_id()
    async with Backend() as backend, HeadwayStack(backend.address) as stack, WireClient(stack.address) as wire:
        baggage = [("baggage", f"k{n:02}=" + "v" * 7_000) for n in range(members)]
        answer = await wire.call(UNARY, (CALL_ID_KEY, call_id), *baggage, body=GOOD)
        assert answer.grpc_status == OK
        assert backend.calls[call_id].values("baggage") == ["k00=" + "v" * 7_000]


async def test_of_too_much_baggage_one_call_is_refused_at_most_and_the_next_is_served() -> None:
    """700 kB: whether grpc's limit for a header section sees them all depends on how they arrive."""
    call_id = new_call_id()
    async with Backend() as backend, HeadwayStack(backend.address) as stack, WireClient(stack.address) as wire:
        baggage = [("baggage", f"k{n:02}=" + "v" * 7_000) for n in range(100)]
        answer = await wire.call(UNARY, (CALL_ID_KEY, new_call_id()), *baggage, body=GOOD)
        assert answer.grpc_status in {OK, RESOURCE_EXHAUSTED}
        answer = await wire.call(UNARY, (CALL_ID_KEY, call_id), *baggage[:1], body=GOOD)
        assert answer.grpc_status == OK
        assert backend.calls[call_id].values("baggage") == ["k00=" + "v" * 7_000]
