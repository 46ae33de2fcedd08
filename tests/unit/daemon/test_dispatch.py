"""Calls that no route claims, and what happens around every call. Routed ones: `test_infer`, `test_infer_stream`."""

from __future__ import annotations

import asyncio

import pytest

from policies.traffic import TrafficClass
from proxy.clock import MonotonicClock
from proxy.daemon.dispatch import LoadReport
from proxy.daemon.triton import HEALTH_CHECK, SERVICE, SHARED_MEMORY
from proxy.errors import Code
from proxy.telemetry import names
from proxy.testing.calls import MemoryCarrier, answering, exchange, failing, hanging
from proxy.tunnel.exchange import CallHandler, CallStatus, IncomingCall
from tests.unit.daemon.spans import RecordedTracing
from tests.unit.daemon.stub_triton import StubModel, StubTriton, daemon, head, infer_request, settings

CLASSES = {"strict": TrafficClass("strict", 0.05, on_miss="fail")}
OTHER = "/pkg.Service/Method"


def backend(handler: CallHandler) -> StubTriton:
    stub = StubTriton({})
    stub.carrier.handler = handler
    return stub


async def echo(call: IncomingCall) -> None:
    await call.send_initial_metadata((("h", "1"), ("h-bin", b"\x00")))
    while (message := await call.receive()) is not None:
        await call.send(message)
    await call.finish(CallStatus(Code.OK, "done", (("t", "2"),)))


@pytest.mark.parametrize("route", [{}, {"large": "a"}])
async def test_any_method_of_any_service_passes_to_the_default_backend(route: dict[str, str]) -> None:
    a = backend(echo)
    carrier = MemoryCarrier(daemon(settings(route, tritons="a"), a=a))
    answer = await exchange(carrier, head(OTHER, metadata=(("k", "v"), ("k", "w"))), b"one", b"", b"three")
    assert answer.messages == (b"one", b"", b"three")
    assert answer.initial == (("h", "1"), ("h-bin", b"\x00"))
    assert answer.status == CallStatus(Code.OK, "done", (("t", "2"),))
    assert a.carrier.calls[0].head.path == OTHER
    assert a.carrier.calls[0].head.metadata == (("k", "v"), ("k", "w"))


async def test_a_trailers_only_answer_stays_one() -> None:
    refusal = failing(Code.PERMISSION_DENIED, "no", metadata=(("grpc-status-details-bin", b"\x01"),))
    answer = await exchange(MemoryCarrier(daemon(settings({}, tritons="a"), a=backend(refusal))), head(OTHER), b"x")
    assert answer.initial is None
    assert answer.status == CallStatus(Code.PERMISSION_DENIED, "no", (("grpc-status-details-bin", b"\x01"),))


async def test_without_routes_inference_is_a_call_like_any_other() -> None:
    a = StubTriton({"m": StubModel(tokens=2)})
    carrier = MemoryCarrier(daemon(settings({}, tritons="a"), a=a))
    unary = await exchange(carrier, head(), infer_request("m"))
    assert unary.status == CallStatus(Code.OK)
    stream = await exchange(carrier, head(f"{SERVICE}ModelStreamInfer"), infer_request("m"))
    assert (len(stream.messages), stream.status) == (2, CallStatus(Code.OK))


async def test_a_unary_call_without_a_message_is_no_inference() -> None:
    a = StubTriton({"large": StubModel()})
    answer = await exchange(MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head())
    assert answer.status == CallStatus(Code.INTERNAL, "a unary request ended without a message")


async def test_a_backend_that_is_away_is_named_and_back_in_use_without_a_restart() -> None:
    away = CallStatus(Code.UNAVAILABLE, "triton 'a' at localhost:8101 is unreachable: refused", retryable=True)
    a = backend(failing(Code.UNAVAILABLE, away.message, retryable=True))
    carrier = MemoryCarrier(daemon(settings({}, tritons="a"), a=a))
    assert (await exchange(carrier, head(OTHER), b"x")).status == away
    a.carrier.handler = echo
    assert (await exchange(carrier, head(OTHER), b"x")).messages == (b"x",)


async def test_a_cancelled_call_is_cancelled_at_the_backend() -> None:
    a = backend(hanging())
    dispatcher = daemon(settings({}, tritons="a"), a=a)
    call = MemoryCarrier(dispatcher).open(head(OTHER))
    await asyncio.wait_for(a.carrier.opened.wait(), 1)
    assert dispatcher.report() == LoadReport(calls=1, draining=False, serving=("a",))
    call.cancel()
    await asyncio.wait_for(a.carrier.calls[0].served.wait(), 1)
    assert a.carrier.calls[0].cancelled
    assert dispatcher.report().calls == 0


async def test_a_call_that_comes_too_late_never_reaches_the_backend() -> None:
    a = backend(echo)
    answer = await exchange(MemoryCarrier(daemon(settings({}, tritons="a"), a=a)), head(OTHER, limit_s=-0.001), b"x")
    assert answer.status == CallStatus(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
    assert a.carrier.calls == []


async def test_at_its_grpc_deadline_a_call_ends_and_the_backend_s_is_cancelled() -> None:
    a = backend(hanging())
    clock = MonotonicClock()
    started = clock.now()
    answer = await exchange(MemoryCarrier(daemon(settings({}, tritons="a"), a=a)), head(OTHER, limit_s=0.05), b"x")
    assert 0.045 < clock.now() - started < 0.2
    assert answer.status == CallStatus(Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
    assert a.carrier.calls[0].cancelled


@pytest.mark.parametrize("path", [OTHER, f"{SERVICE}ServerMetadata"])
async def test_a_class_that_fails_late_answers_does_so_for_every_method(path: str) -> None:
    a = backend(hanging())
    carrier = MemoryCarrier(daemon(settings({}, tritons="a", classes=CLASSES), a=a))
    answer = await exchange(carrier, head(path, target_s=0.05, traffic_class="strict"), b"x")
    assert answer.status.code == Code.DEADLINE_EXCEEDED
    assert answer.trailer("x-headway-dropped-reason") == "rejected-deadline-expired"
    assert a.carrier.calls[0].cancelled


async def test_a_stream_that_has_begun_to_answer_is_not_cut_off() -> None:
    gate = asyncio.Event()

    async def handler(call: IncomingCall) -> None:
        await call.send(b"first")
        await gate.wait()
        await call.send(b"late")
        await call.finish(CallStatus(Code.OK))

    carrier = MemoryCarrier(daemon(settings({}, tritons="a", classes=CLASSES), a=backend(handler)))
    asyncio.get_running_loop().call_later(0.1, gate.set)
    answer = await exchange(carrier, head(OTHER, target_s=0.05, traffic_class="strict"), b"x")
    assert answer.messages == (b"first", b"late")
    assert answer.status.code == Code.OK


async def test_health_is_the_backend_s_and_not_serving_while_it_is_away() -> None:
    a = StubTriton({})
    carrier = MemoryCarrier(daemon(settings({}, tritons="a"), a=a))
    assert (await exchange(carrier, head(HEALTH_CHECK), b"")).messages == (b"\x08\x01",)
    a.down = True
    away = await exchange(carrier, head(HEALTH_CHECK), b"")
    assert (away.messages, away.status) == ((b"\x08\x02",), CallStatus(Code.OK))


async def test_draining_refuses_new_calls_and_lets_the_others_finish() -> None:
    gate = asyncio.Event()
    a = StubTriton({"large": StubModel(gate=gate)})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    carrier = MemoryCarrier(dispatcher)
    call = carrier.open(head())
    await call.send(infer_request("llm"), last=True)
    await asyncio.wait_for(a.carrier.opened.wait(), 1)
    dispatcher.drain()
    assert repr(dispatcher).startswith("<Dispatcher draining, 1 calls, 1 routes")
    refused = await exchange(carrier, head(), infer_request("llm"))
    assert refused.status == CallStatus(
        Code.UNAVAILABLE,
        "daemon at 127.0.0.1:4433 is draining",
        (("x-headway-dropped-reason", "rejected-shutting-down"),),
    )
    assert (await exchange(carrier, head(HEALTH_CHECK), b"")).messages == (b"\x08\x02",)
    assert dispatcher.report() == LoadReport(calls=1, draining=True, serving=("a",))
    assert not await dispatcher.wait_idle(0.01)
    gate.set()
    assert await dispatcher.wait_idle(1)
    assert isinstance(await call.receive(), bytes)
    status = await call.receive()
    assert isinstance(status, CallStatus)
    assert status.ok


async def test_an_idle_daemon_is_idle_at_once() -> None:
    assert await daemon(settings({}, tritons="a"), a=StubTriton({})).wait_idle(0)


@pytest.mark.parametrize("path", SHARED_MEMORY)
async def test_shared_memory_passes_on_one_host_only(path: str) -> None:
    a = backend(answering(b"ok"))
    carrier = MemoryCarrier(daemon(settings({}, tritons="a"), a=a))
    remote = await exchange(carrier, head(path, peer="10.0.0.1:5000"), b"x")
    assert remote.status.code == Code.UNIMPLEMENTED
    assert a.carrier.calls == []
    local = await exchange(carrier, head(path, peer="127.0.0.1:5000"), b"x")
    assert local.messages == (b"ok",)


def test_switching_the_policy_of_an_unknown_route_is_refused() -> None:
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=StubTriton({}))
    with pytest.raises(ValueError, match="unknown route 'nope'; known are llm"):
        dispatcher.use_policy("nope", "round_robin")
    with pytest.raises(ValueError, match="unknown policy 'best'"):
        dispatcher.use_policy("llm", "best")
    with pytest.raises(ValueError, match="'small' is none of the route's candidates; known are static:large"):
        dispatcher.use_policy("llm", "static:small")
    assert dispatcher.policies() == {"llm": "round_robin"}


async def test_spans_tell_who_was_chosen_and_how_it_ended() -> None:
    tracing = RecordedTracing()
    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), tracing=tracing, a=a)
    await exchange(MemoryCarrier(dispatcher), head(), infer_request("llm"))
    (server,) = tracing.spans
    assert server.attributes[names.MODEL] == "large"
    assert server.attributes[names.INSTANCE] == "a"
    assert server.attributes[names.POLICY] == "round_robin"
    assert server.attributes[names.REQUEST_MODEL] == "llm"
    assert server.attributes[names.DECISION_REASON] == "its turn"
    assert server.events == [names.DECISION, names.DISPATCH]
    assert server.status is not None
    assert server.status.code == Code.OK
    (onward,) = server.children
    assert (onward.server, onward.status) == ("localhost:8101", CallStatus(Code.OK))
    assert a.carrier.calls[0].head.metadata == (("traceparent", "child of server"),)


@pytest.mark.parametrize("path", [OTHER, f"{SERVICE}ModelReady", HEALTH_CHECK, f"{SERVICE}ModelStreamInfer"])
async def test_every_span_ends_even_of_a_cancelled_call(path: str) -> None:
    tracing = RecordedTracing()
    a = backend(hanging())
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), tracing=tracing, a=a)
    call = MemoryCarrier(dispatcher).open(head(path))
    await call.send(infer_request("llm"), last=True)
    await asyncio.wait_for(a.carrier.opened.wait(), 1)
    call.cancel()
    await asyncio.wait_for(call.served.wait(), 1)
    (server,) = tracing.spans
    assert server.status == CallStatus(Code.CANCELLED)
    assert all(child.status == CallStatus(Code.CANCELLED) for child in server.children)


async def test_a_refusal_is_told_of_in_the_span() -> None:
    tracing = RecordedTracing()
    dispatcher = daemon(settings({}, tritons="a"), tracing=tracing, a=StubTriton({}))
    dispatcher.drain()
    await exchange(MemoryCarrier(dispatcher), head(OTHER), b"x")
    (server,) = tracing.spans
    assert server.attributes == {names.DROPPED_REASON: "rejected-shutting-down"}
    assert server.events == [names.DROP]
    assert server.status is not None
    assert server.status.code == Code.UNAVAILABLE
