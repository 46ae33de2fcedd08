import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import service_pb2

from ops.bench.end_to_end.client import Open, run, warm_up
from ops.bench.end_to_end.requests import CUT, TokenRequest
from ops.bench.serving import STREAM_INFER, method_handlers


def request(number: int, arrival_s: float = 0.0, *, tokens: int = 2, deadline_s: float = 5.0) -> TokenRequest:
    return TokenRequest(number, "fast", arrival_s, 100, 3, tokens, deadline_s, token_deadline_s=5.0)


def token(model: str = "large", *, error: str = "") -> bytes:
    answer = service_pb2.ModelStreamInferResponse(error_message=error)
    answer.infer_response.parameters["headway_model"].string_param = model
    return bytes(answer.SerializeToString())


@contextlib.asynccontextmanager
async def serving(answer: Any) -> AsyncIterator[Open]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers({STREAM_INFER: grpc.stream_stream_rpc_method_handler(answer)}),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel.stream_stream(STREAM_INFER, None, None)
    await server.stop(grace=0)


async def asked(requests: AsyncIterator[bytes]) -> service_pb2.ModelInferRequest:
    return service_pb2.ModelInferRequest.FromString(await anext(requests))


async def measured(call: Open, *requests: TokenRequest) -> list[Any]:
    return await run(call, requests, route="llm", answer_bytes=4, began_at=time.monotonic())


async def test_tokens_are_counted_and_timed_from_the_arrival() -> None:
    seen = {}

    async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        message = await asked(requests)
        seen[message.id] = (message.model_name, dict(context.invocation_metadata())["x-traffic-class"])
        for _ in range(2):
            yield token()

    async with serving(answer) as call:
        later, now = await measured(call, request(0, 0.02), request(1))
    assert seen == {"0": ("llm", "fast"), "1": ("llm", "fast")}
    for one in (later, now):
        assert (one.status, one.tokens, one.model, one.on_time) == ("OK", 2, "large", True)
        assert one.arrival_s <= one.sent_s <= one.first_s <= one.done_s
        assert one.longest_gap_s < 1.0


async def test_refusals_errors_and_short_answers_are_told() -> None:
    async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        number = (await asked(requests)).id
        if number == "0":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "shed")
        yield token(error="broken" if number == "1" else "")

    async with serving(answer) as call:
        shed, failed, short = await measured(call, *(request(number) for number in range(3)))
    assert [one.status for one in (shed, failed, short)] == ["RESOURCE_EXHAUSTED", "ERROR: broken", "OK"]
    assert [one.on_time for one in (shed, failed, short)] == [False, False, False]
    assert (shed.first_s, short.tokens) == (None, 1)


async def test_the_cell_ends_when_nothing_open_can_be_on_time() -> None:
    async def answer(requests: AsyncIterator[bytes], _: Any) -> AsyncIterator[bytes]:
        if (await asked(requests)).id == "1":
            yield token()
        await asyncio.Event().wait()

    async with serving(answer) as call:
        silent, begun = await measured(call, request(0, deadline_s=0.05), request(1, deadline_s=0.0))
    assert (silent.status, silent.first_s, silent.done_s) == (CUT, None, None)
    assert (begun.status, begun.tokens, begun.on_time) == (CUT, 1, False)


async def test_every_model_is_warmed_up_and_what_is_unavailable_is_asked_again() -> None:
    names: list[str] = []

    async def answer(requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        names.append((await asked(requests)).model_name)
        if len(names) == 1:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        yield token()

    async with serving(answer) as call:
        assert await warm_up(call, ["large", "small"], 10.0) == ""
    assert names == ["large", "large", "small"]


async def test_warming_up_ends_in_time_with_what_the_last_whole_try_was_told() -> None:
    async def answer(_requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        await context.abort(grpc.StatusCode.UNAVAILABLE, "not yet")
        yield b""

    async with serving(answer) as call:
        assert await warm_up(call, ["large"], 1.0) == "large: UNAVAILABLE: not yet"
