"""The bare hop, the unit that the detour is measured in: a grpc.aio server that passes bytes to one grpc.aio channel.

`python -m ops.bench.hop HOST:PORT` prints `{"port": N}` when it listens. No metadata, no deadline, no status is
carried over: it is the least that a pass-through in Python and grpc.aio can do. Unary calls stay unary on both
sides, which costs about two thirds of the CPU time of the stream-to-stream form, so the unit is the smaller one.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio

from ops.bench.serving import INFER, STREAM_INFER, UNLIMITED, Handlers, serve


def _handlers() -> Handlers:
    channel = grpc.aio.insecure_channel(sys.argv[1], options=UNLIMITED)
    unary = channel.unary_unary(INFER, None, None)
    streaming = channel.stream_stream(STREAM_INFER, None, None)

    async def pass_unary(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> Any:
        return await unary(request)

    async def pass_stream(
        requests: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]
    ) -> AsyncIterator[bytes]:
        async for answer in streaming(requests):
            yield answer

    return {
        INFER: grpc.unary_unary_rpc_method_handler(pass_unary),
        STREAM_INFER: grpc.stream_stream_rpc_method_handler(pass_stream),
    }


if __name__ == "__main__":
    serve(_handlers)
