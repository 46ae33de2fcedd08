"""Stages of real calls over real sockets: a stock client, proxy, tunnel, daemon, and a backend that takes its time."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from proxy.clock import MonotonicClock
from proxy.testing.stack import HeadwayStack
from tests.unit.http2.serving import Backend, channel_to, serving

INFER = "/inference.GRPCInferenceService/ModelInfer"
BACKEND_S = 0.03
CALLS = 7


def server_spans(file: Path) -> dict[str, list[dict[str, Any]]]:
    """Attributes of each process's SERVER spans, and how long they took, in the order in which they began."""
    found: dict[str, list[dict[str, Any]]] = {}
    for line in file.read_text().splitlines():
        for resource in json.loads(line)["resourceSpans"]:
            attributes = resource["resource"]["attributes"]
            [service] = [one["value"]["stringValue"] for one in attributes if one["key"] == "service.name"]
            for scope in resource["scopeSpans"]:
                for span in scope["spans"]:
                    if span["kind"] == 2:
                        attributes = {one["key"]: next(iter(one["value"].values())) for one in span["attributes"]}
                        attributes["began_ns"] = int(span["startTimeUnixNano"])
                        attributes["took_s"] = (int(span["endTimeUnixNano"]) - attributes["began_ns"]) / 1e9
                        attributes["events"] = [event["name"] for event in span.get("events", ())]
                        found.setdefault(service, []).append(attributes)
    return {service: sorted(spans, key=lambda one: one["began_ns"]) for service, spans in found.items()}


def stages(span: dict[str, Any]) -> dict[str, float]:
    """Seconds in each stage."""
    prefix = "headway.stage."
    return {
        name.removeprefix(prefix).removesuffix("_ms"): value / 1000
        for name, value in span.items()
        if name.startswith(prefix)
    }


EVERYWHERE = ("receive", "uplink_wait", "uplink_transfer", "daemon_queue", "backend", "downlink_transfer", "delivery")


async def answer_late(_: Any, context: Any) -> None:
    request = await context.read()
    await asyncio.sleep(BACKEND_S)
    await context.write(request)


@pytest.mark.parametrize(("transport", "more"), [("quic", {"downlink_wait"}), ("tcp", set[str]())])
async def test_the_stages_of_a_call_add_up_to_what_its_client_waits(
    tmp_path: Path, transport: str, more: set[str]
) -> None:
    clock = MonotonicClock()
    traces = tmp_path / "traces.jsonl"
    top = {"telemetry": {"traces_file": str(traces)}}
    took_s: list[float] = []
    own_s: list[float] = []
    async with (
        serving(Backend(answer_late)) as backend,
        HeadwayStack(backend, transport=transport, top=top) as stack,
        channel_to(stack.address) as channel,
        channel_to(backend) as past,
    ):
        call = channel.unary_unary(INFER)
        for number in range(CALLS):
            began_at = clock.now()
            await past.unary_unary(INFER)(b"request")
            own_s.append(clock.now() - began_at - BACKEND_S)
            began_at = clock.now()
            deadline_ms = "20" if number == CALLS - 1 else "5000"
            answered = call(b"request", metadata=(("x-deadline-ms", deadline_ms),))
            assert await answered == b"request"
            took_s.append(clock.now() - began_at)
            assert not [key for key, _ in await answered.trailing_metadata() if key.startswith("headway-")]
    spans = server_spans(traces)
    proxy, daemon = spans["headway-proxy"], spans["headway-daemon"]
    assert len(proxy) == len(daemon) == CALLS
    for span in proxy:
        assert set(stages(span)) == {*EVERYWHERE, *more}
        assert sum(stages(span).values()) == pytest.approx(span["took_s"], abs=1e-4)
        assert stages(span)["backend"] >= BACKEND_S - 0.002
    off_s = [abs(took - sum(stages(span).values())) for took, span in zip(took_s, proxy, strict=True)]
    # A client's own time is in no stage: it is what a call past headway takes besides, more on a machine with others.
    assert median(off_s) < 0.002 + 0.02 * median(took_s) + median(own_s)
    assert "headway.deadline.missed_at" not in proxy[0]
    assert proxy[-1]["headway.deadline.missed_at"] == "backend"
    assert daemon[-1]["headway.deadline.missed_at"] == "backend"
    assert "backend" in daemon[0]["events"]
