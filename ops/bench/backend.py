"""The backend: Triton's ModelInfer and ModelStreamInfer as an echo of bytes. Prints `{"port": N}` when it listens."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio

from ops.bench.serving import INFER, STREAM_INFER, Handlers, serve


async def _echo(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    return request


async def _echo_each(
    requests: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    async for message in requests:
        yield message


def _handlers() -> Handlers:
    return {
        INFER: grpc.unary_unary_rpc_method_handler(_echo),
        STREAM_INFER: grpc.stream_stream_rpc_method_handler(_echo_each),
    }


if __name__ == "__main__":
    serve(_handlers)
