"""Both ends of gRPC on loopback: a stock `grpc.aio` server, a stock channel, and plain methods to serve."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

METHOD = "/pkg.Service/Method"
UNARY = "/inference.GRPCInferenceService/ModelInfer"
"""A method that is known to be unary."""

Behaviour = Callable[[Any, Any], Awaitable[None]]
"""Of a backend: reads and writes on the second argument, a `grpc.aio.ServicerContext`."""
OPTIONS = [("grpc.enable_retries", 0), ("grpc.so_reuseport", 0)]


class Backend(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """A stock server's handler that treats every method as a stream each way."""

    def __init__(self, behave: Behaviour) -> None:
        self._behave = behave

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any]:
        return grpc.stream_stream_rpc_method_handler(self._behave)


@contextlib.asynccontextmanager
async def serving(handler: Any, *options: tuple[str, int]) -> AsyncIterator[str]:
    """The address of a server; its port is the system's choice."""
    server = grpc.aio.server(options=[*OPTIONS, *options])
    server.add_generic_rpc_handlers((handler,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(grace=None)


@contextlib.asynccontextmanager
async def channel_to(address: str, *options: tuple[str, int]) -> AsyncIterator[Any]:
    """A stock channel; the stubs ask for serializers, which grpc does not, hence Any."""
    async with grpc.aio.insecure_channel(address, options=[*OPTIONS, *options]) as channel:
        yield channel
