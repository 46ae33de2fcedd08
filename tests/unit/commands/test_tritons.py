from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
from tritonclient.grpc import service_pb2

from proxy.commands.tritons import Signature, Tensor, check_tritons, differences
from proxy.config import Config

Loader = Callable[[str], Config]

TEXT = Tensor("TEXT", "BYTES", (-1, 1))
LENGTH = Tensor("LENGTH", "INT32", (-1, 1))


class Models(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Answers `ServerReady` and `ModelMetadata` as Triton does."""

    def __init__(self, models: Mapping[str, Signature], *, ready: bool = True) -> None:
        self._models = models
        self._ready = ready

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        method = str(handler_call_details.method).rpartition("/")[2]
        if method == "ServerReady":
            return self._handler(self._server_ready, service_pb2.ServerReadyRequest)
        if method == "ModelMetadata":
            return self._handler(self._metadata, service_pb2.ModelMetadataRequest)
        return None

    def _handler(self, answer: Callable[..., Any], request: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(
            answer, request_deserializer=request.FromString, response_serializer=lambda reply: reply.SerializeToString()
        )

    async def _server_ready(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=self._ready)

    async def _metadata(self, request: Any, context: Any) -> Any:
        if request.name not in self._models:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{request.name}' is not found")
        signature = self._models[request.name]
        tensor = service_pb2.ModelMetadataResponse.TensorMetadata
        return service_pb2.ModelMetadataResponse(
            name=request.name,
            inputs=[tensor(name=item.name, datatype=item.datatype, shape=item.shape) for item in signature.inputs],
            outputs=[tensor(name=item.name, datatype=item.datatype, shape=item.shape) for item in signature.outputs],
        )


@asynccontextmanager
async def serving(*handlers: Models) -> AsyncIterator[int]:
    """The port of a server."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers(handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)


def text(port: int, *models: str) -> str:
    candidates = ", ".join(f"{{triton: a, model: {model}, quality: 1}}" for model in models)
    routes = f"  routes: {{llm: {{policy: round_robin, candidates: [{candidates}]}}}}\n" if models else ""
    return (
        "daemon:\n  cert: certs/daemon.pem\n  key: certs/daemon.key\n"
        f"  tritons: {{a: {{url: '127.0.0.1:{port}'}}}}\n{routes}"
    )


async def found(home: Path, config: Config) -> list[str]:
    lines = await check_tritons(config, config.require_daemon())
    return [line.replace(f"{home}/headway.yaml", "F") for line in lines]


LLM = Signature((TEXT, LENGTH), (TEXT,))


async def test_candidates_that_are_alike(home: Path, load: Loader) -> None:
    async with serving(Models({"large": LLM, "small": LLM})) as port:
        assert await found(home, load(text(port, "large", "small"))) == []


async def test_candidates_that_differ(home: Path, load: Loader) -> None:
    other = Signature((Tensor("TEXT", "FP32", (-1, 1)), LENGTH), (Tensor("ANSWER", "BYTES", (-1, 1)),))
    async with serving(Models({"large": LLM, "small": other})) as port:
        assert await found(home, load(text(port, "large", "small"))) == [
            (
                "F:5: daemon.routes.llm.candidates[1]: small on a has input TEXT FP32[-1,1] where the other has "
                "TEXT BYTES[-1,1]; allowed: the inputs and outputs of large on a"
            ),
            (
                "F:5: daemon.routes.llm.candidates[1]: small on a lacks output TEXT BYTES[-1,1]; "
                "allowed: the inputs and outputs of large on a"
            ),
            (
                "F:5: daemon.routes.llm.candidates[1]: small on a has another output, ANSWER BYTES[-1,1]; "
                "allowed: the inputs and outputs of large on a"
            ),
        ]


async def test_a_candidate_that_is_not_there(home: Path, load: Loader) -> None:
    async with serving(Models({"large": LLM})) as port:
        assert await found(home, load(text(port, "large", "small"))) == [
            "F:5: daemon.routes.llm.candidates[1]: small on a: Request for unknown model: 'small' is not found"
        ]


async def test_a_triton_that_is_not_ready(home: Path, load: Loader) -> None:
    async with serving(Models({}, ready=False)) as port:
        assert await found(home, load(text(port, "large"))) == [
            f"F:4: daemon.tritons.a: 127.0.0.1:{port} says that it is not ready"
        ]


async def test_a_server_that_is_no_triton(home: Path, load: Loader) -> None:
    async with serving() as port:
        assert await found(home, load(text(port))) == []


async def test_a_triton_that_is_away(home: Path, load: Loader) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        config = load(text(port, "large"))
        lines = await check_tritons(config, config.require_daemon(), timeout_s=0.05)
    assert [line.rpartition(": ")[2] for line in lines] == [f"127.0.0.1:{port} cannot be reached within 0.05 s"]


@pytest.mark.parametrize(
    ("one", "other", "fits"),
    [
        ((-1, 1), (-1, 1), True),
        ((-1, 1), (8, 1), True),
        ((8, 1), (-1, -1), True),
        ((8, 1), (4, 1), False),
        ((1,), (-1, 1), False),
    ],
)
def test_lengths(one: tuple[int, ...], other: tuple[int, ...], fits: bool) -> None:
    assert Tensor("X", "FP32", one).fits(Tensor("X", "FP32", other)) is fits
    signatures = [Signature((Tensor("X", "FP32", shape),), ()) for shape in (one, other)]
    assert (differences(*signatures) == []) is fits
