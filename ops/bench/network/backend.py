"""The backend: an echo of bytes that says when it had the whole request. `python -m ops.bench.network.backend PORT`.

The time goes into the answer's trailing metadata, on the monotonic clock that all processes of a machine share,
network namespaces or not.
"""

from __future__ import annotations

import sys
import time

import grpc
import grpc.aio

from ops.bench.serving import Handlers, serve

METHOD = "/headway.bench.Echo/Echo"
SERVED_AT = "x-bench-served-at"


async def _echo(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    context.set_trailing_metadata(((SERVED_AT, repr(time.monotonic())),))
    return request


def handlers() -> Handlers:
    """The one method."""
    return {METHOD: grpc.unary_unary_rpc_method_handler(_echo)}


if __name__ == "__main__":
    serve(handlers, port=int(sys.argv[1]))
