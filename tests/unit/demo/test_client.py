"""The demo's clients against a server of this process that speaks Triton's protocol."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from concurrent import futures
from typing import Any

import grpc
import pytest
from tritonclient.grpc import service_pb2, service_pb2_grpc

from proxy.demo.client import ask_with, complete, open_client, stream_completion, until_ready
from proxy.demo.load import Answer, Arrival, ClassLoad
from proxy.demo.processes import DemoError

BULK = ClassLoad("bulk", deadline_s=7.0, rate_hz=1.0, tokens=5)


class Models(service_pb2_grpc.GRPCInferenceServiceServicer):  # type: ignore[misc]  # tritonclient has no types
    """Answers with the prompt in capitals, cut to the wanted length."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, dict[str, str | bytes]]] = []
        self.ready = True
        self.refuse = False

    def ServerReady(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802 -- Triton's name for it
        return service_pb2.ServerReadyResponse(ready=self.ready)

    def ModelInfer(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: N802
        self.seen.append((request.model_name, dict(context.invocation_metadata())))
        if self.refuse:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too late anyway")
        return self._response(request, "COMPLETION", written(request))

    def ModelStreamInfer(self, requests: Iterator[Any], context: grpc.ServicerContext) -> Iterator[Any]:  # noqa: N802
        for request in requests:
            self.seen.append((request.model_name, dict(context.invocation_metadata())))
            for byte in written(request):
                if self.refuse:
                    yield service_pb2.ModelStreamInferResponse(error_message="the model broke")
                    return
                response = self._response(request, "TOKEN", bytes([byte]))
                yield service_pb2.ModelStreamInferResponse(infer_response=response)

    def _response(self, request: Any, name: str, value: bytes) -> Any:
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        response.parameters["headway_model"].string_param = "llm-small"
        response.outputs.add(name=name, datatype="BYTES", shape=[1, 1])
        response.raw_output_contents.append(len(value).to_bytes(4, "little") + value)
        return response


def written(request: Any) -> bytes:
    """The prompt, past its four bytes of length, in capitals; the second input says how much of it."""
    wanted = int.from_bytes(request.raw_input_contents[1], "little")
    return bytes(request.raw_input_contents[0][4:]).upper()[:wanted]


@contextlib.contextmanager
def serving(models: Models) -> Iterator[str]:
    server = grpc.server(futures.ThreadPoolExecutor(2))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(models, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait(5)


@pytest.fixture
def models() -> Models:
    return Models()


@pytest.fixture
def url(models: Models) -> Iterator[str]:
    with serving(models) as address:
        yield address


async def test_a_request_of_the_load(models: Models, url: str) -> None:
    async with open_client(url) as client:
        answer = await ask_with(client)(Arrival(0.0, BULK, "hello world"))
    assert answer == Answer(model="llm-small")
    [(model, metadata)] = models.seen
    assert model == "llm"
    assert metadata["x-traffic-class"] == "bulk"


async def test_a_request_that_fails_is_an_answer(models: Models, url: str) -> None:
    models.refuse = True
    async with open_client(url) as client:
        answer = await ask_with(client)(Arrival(0.0, BULK, "hello world"))
    assert answer == Answer(error="[StatusCode.RESOURCE_EXHAUSTED] too late anyway")


async def test_a_completion(models: Models, url: str) -> None:
    text = await asyncio.to_thread(complete, url, "realtime", "hello world", 7, traceparent="00-a-b-01")
    assert text == ("HELLO W", "llm-small")
    [(_, metadata)] = models.seen
    assert metadata["x-traffic-class"] == "realtime"
    assert metadata["traceparent"] == "00-a-b-01"


async def test_a_completion_byte_by_byte(models: Models, url: str) -> None:
    """A character of two bytes is shown when the second is there. `upper` leaves bytes beyond ASCII alone."""
    pieces = await asyncio.to_thread(lambda: list(stream_completion(url, "realtime", "café", 5)))
    assert pieces == [(text, "llm-small") for text in ("C", "A", "F", "", "é")]
    [(model, metadata)] = models.seen
    assert model == "llm-stream"
    assert metadata["x-traffic-class"] == "realtime"


@pytest.mark.parametrize(
    ("request_one", "message"),
    [
        (lambda url: complete(url, "bulk", "hello", 5), "no completion: .*too late anyway"),
        (lambda url: list(stream_completion(url, "bulk", "hello", 5)), "the completion stopped: the model broke"),
    ],
)
async def test_failures_are_the_demos(
    models: Models, url: str, request_one: Callable[[str], object], message: str
) -> None:
    models.refuse = True
    with pytest.raises(DemoError, match=message):
        await asyncio.to_thread(request_one, url)


async def test_ready_is_what_triton_says(models: Models, url: str) -> None:
    await asyncio.wait_for(until_ready(url, timeout_s=5), 6)
    models.ready = False
    with pytest.raises(DemoError, match=r"is not ready through 127\.0\.0\.1:\d+ after 0\.3 s"):
        await until_ready(url, timeout_s=0.3)


async def test_nobody_there() -> None:
    with pytest.raises(DemoError, match=r"last answer: .*UNAVAILABLE"):
        await until_ready("127.0.0.1:9", timeout_s=0.5)
