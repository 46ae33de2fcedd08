"""What the servers among the benchmark's programs share: the methods, the gRPC options and the way they run."""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import grpc
import grpc.aio
import uvloop

INFER = "/inference.GRPCInferenceService/ModelInfer"
STREAM_INFER = "/inference.GRPCInferenceService/ModelStreamInfer"

UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
"""The limits of Triton and its clients; grpcio's own would refuse to receive more than 4 MiB."""

Handlers: TypeAlias = "Mapping[str, grpc.RpcMethodHandler[Any, Any]]"


class _Methods(grpc.GenericRpcHandler):  # type: ignore[type-arg]
    """Handlers by method name, without serializers: bytes in, bytes out."""

    def __init__(self, handlers: Handlers) -> None:
        self._handlers = handlers

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler[Any, Any] | None:
        return self._handlers.get(handler_call_details.method)


def method_handlers(handlers: Handlers) -> grpc.GenericRpcHandler:  # type: ignore[type-arg]
    """What a server takes."""
    return _Methods(handlers)


def serve(make_handlers: Callable[[], Handlers], *, port: int = 0) -> None:
    """Listen on a loopback port, which the system picks for 0, print `{"port": N}`, serve until SIGTERM.

    `make_handlers` is called in the loop, where channels may be opened. The loop is uvloop, as headway's.
    """
    uvloop.run(_serve(make_handlers, port))


async def _serve(make_handlers: Callable[[], Handlers], port: int) -> None:
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers((method_handlers(make_handlers()),))
    bound_port = server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    print(json.dumps({"port": bound_port}), flush=True)
    await stopping.wait()
    await server.stop(grace=0)


def port_of(ready_line: str) -> int:
    """The port in what such a server prints when it listens."""
    return int(json.loads(ready_line)["port"])
