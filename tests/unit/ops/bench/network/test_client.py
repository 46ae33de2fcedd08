import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from ops.bench.network.backend import METHOD, SERVED_AT, handlers
from ops.bench.network.client import run, warm_up
from ops.bench.network.requests import Request
from ops.bench.serving import Handlers, method_handlers


@contextlib.asynccontextmanager
async def _serving(made: Handlers) -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers(made),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.unary_unary(METHOD, None, None)
    await server.stop(grace=0)


@pytest.fixture
async def echo() -> AsyncIterator[grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]]:
    async with _serving(handlers()) as call:
        yield call


async def test_requests_are_sent_when_they_are_due_whatever_becomes_of_others(
    echo: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes],
) -> None:
    requests = [Request(0, "a", 0.02, 5), Request(1, "b", 0.0, 3), Request(2, "a", 0.02, 0)]
    outcomes = await run(echo, requests, seed=1, give_up_s=10.0)
    assert [(item.number, item.traffic_class, item.status) for item in outcomes] == [
        (0, "a", "OK"),
        (1, "b", "OK"),
        (2, "a", "OK"),
    ]
    for item in outcomes:
        assert item.served_s is not None
        assert item.done_s is not None
        assert item.arrival_s <= item.sent_s <= item.served_s <= item.done_s


async def test_classes_go_as_metadata_and_wrong_answers_and_errors_are_told() -> None:
    seen: list[str | bytes] = []

    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        seen.extend(value for key, value in context.invocation_metadata() or () if key == "x-traffic-class")
        if len(request) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "away")
        return b"something else"

    async with _serving({METHOD: grpc.unary_unary_rpc_method_handler(answer)}) as call:
        requests = [Request(0, "a", 0.0, 1), Request(1, "b", 0.0, 2)]
        refused, wrong = await run(call, requests, seed=1, give_up_s=10.0)
    assert sorted(seen) == ["a", "b"]
    assert (refused.status, refused.served_s, refused.latency_s) == ("UNAVAILABLE", None, None)
    assert (wrong.status, wrong.latency_s) == ("WRONG_ANSWER", None)


async def test_a_request_is_given_up_at_its_limit() -> None:
    async def hang(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        context.set_trailing_metadata(((SERVED_AT, "0"),))
        return await _never()

    async with _serving({METHOD: grpc.unary_unary_rpc_method_handler(hang)}) as call:
        (given_up,) = await run(call, [Request(0, "a", 0.0, 1)], seed=1, give_up_s=0.05)
    assert given_up.status == "DEADLINE_EXCEEDED"


async def _never() -> bytes:
    await asyncio.Event().wait()
    return b""


async def test_warming_up_repeats_what_is_unavailable_and_tells_other_errors() -> None:
    calls = 0

    async def answer(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        nonlocal calls
        calls += 1
        if calls == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        if calls == 4:
            await context.abort(grpc.StatusCode.INTERNAL, "broken")
        return request

    async with _serving({METHOD: grpc.unary_unary_rpc_method_handler(answer)}) as call:
        assert await warm_up(call, 2, 10.0) == ""
        assert calls == 3
        assert await warm_up(call, 2, 10.0) == "INTERNAL: broken"


async def test_warming_up_ends_in_time() -> None:
    async def answer(_request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")

    async with _serving({METHOD: grpc.unary_unary_rpc_method_handler(answer)}) as call:
        before = time.monotonic()
        # The last try has what is left of the time, and may have the deadline for its answer.
        assert (await warm_up(call, 1, 0.1)).startswith(("UNAVAILABLE: not yet", "DEADLINE_EXCEEDED: "))
        assert time.monotonic() - before < 5.0
