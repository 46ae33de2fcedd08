"""The client against a server of its own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
from tritonclient.grpc import service_pb2 as pb

from ops.bench.real_serving.client import CANCELLED, Sender, ask, run
from ops.bench.real_serving.requests import PlannedRequest
from ops.bench.serving import INFER, STREAM_INFER, method_handlers

Context = grpc.aio.ServicerContext[bytes, bytes]


class Server:
    """Answers whole answers at once, unless its class is `never` or `refused`, and streams of MAX_TOKENS messages."""

    def __init__(self) -> None:
        self.seen: list[dict[str, Any]] = []
        self.left = asyncio.Event()
        """Whoever was never answered is gone; streams with `hold` go on after their first message then."""
        self.hold = False

    async def infer(self, message: bytes, context: Context) -> bytes:
        seen = {key: value for key, value in context.invocation_metadata() or () if key.startswith("x-")}
        self.seen.append(seen)
        if seen.get("x-traffic-class") == "never":
            try:
                await asyncio.Event().wait()
            finally:
                self.left.set()
        if seen.get("x-traffic-class") == "refused":
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "full")
        context.set_trailing_metadata((("x-headway-model", "llm-small"),))
        return message

    async def stream(self, messages: AsyncIterator[bytes], context: Context) -> AsyncIterator[bytes]:
        async for message in messages:
            request = pb.ModelInferRequest.FromString(message)
            for number in range(int.from_bytes(request.raw_input_contents[1], "little")):
                if number and self.hold:
                    await self.left.wait()
                yield pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse()).SerializeToString()
        context.set_trailing_metadata((("x-headway-model", "llm-large"),))


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, Sender]]:
    ours, server = Server(), grpc.aio.server()
    handlers = {
        INFER: grpc.unary_unary_rpc_method_handler(ours.infer),
        STREAM_INFER: grpc.stream_stream_rpc_method_handler(ours.stream),
    }
    server.add_generic_rpc_handlers((method_handlers(handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    sender = Sender(f"127.0.0.1:{port}")
    yield ours, sender
    await sender.close()
    await server.stop(grace=0)


def request(at: float, traffic_class: str = "quick", *, tokens: int | None = None) -> PlannedRequest:
    return PlannedRequest(at, traffic_class, 900.0, 100, 0, 3, tokens)


async def test_requests_are_sent_when_they_are_due_and_given_up_at_the_end(served: tuple[Server, Sender]) -> None:
    server, sender = served
    requests = [request(0.0, "never"), request(0.01), request(0.02, "refused")]
    answers = await run(sender, requests, route="llm", give_up_s=0.5, began_at=time.monotonic())
    assert [answer.status for answer in answers] == [CANCELLED, "OK", "RESOURCE_EXHAUSTED"]
    assert [answer.model for answer in answers] == ["", "llm-small", ""]
    given_up, answered, _ = answers
    assert given_up.first_at is None
    assert answered.sent_at >= 0.01
    assert answered.first_at == answered.done_at
    assert answered.done_at is not None
    assert answered.done_at >= answered.sent_at
    assert server.seen[1] == {"x-traffic-class": "quick", "x-deadline-ms": "900.000"}


async def test_streams_tell_their_first_and_last_message_and_the_longest_gap(served: tuple[Server, Sender]) -> None:
    _, sender = served
    (answer,) = await run(sender, [request(0.0, tokens=4)], route="llm", give_up_s=5.0, began_at=time.monotonic())
    assert (answer.status, answer.model) == ("OK", "llm-large")
    assert answer.first_at is not None
    assert answer.done_at is not None
    assert 0 < answer.longest_gap_s <= answer.done_at - answer.first_at


async def test_a_stream_that_has_begun_may_come_to_its_end(served: tuple[Server, Sender]) -> None:
    server, sender = served
    server.hold = True
    requests = [request(0.0, "never"), request(0.0, tokens=4)]
    answers = await run(sender, requests, route="llm", give_up_s=0.5, began_at=time.monotonic())
    assert [answer.status for answer in answers] == [CANCELLED, "OK"]
    assert answers[1].done_at is not None
    assert answers[1].done_at >= 0.5


async def test_asking_waits_for_an_answer(served: tuple[Server, Sender]) -> None:
    _, sender = served
    assert await ask(sender, "m", streaming=False, timeout_s=1.0) == ""
    assert await ask(sender, "m", streaming=True, timeout_s=1.0) == ""
    nobody = Sender("127.0.0.1:1")
    assert await ask(nobody, "m", streaming=False, timeout_s=0.0) == "UNAVAILABLE"
    await nobody.close()
