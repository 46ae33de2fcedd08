import time

import grpc.aio

from ops.bench.network.backend import METHOD, SERVED_AT, handlers
from ops.bench.serving import UNLIMITED, method_handlers


async def test_it_echoes_and_says_when_it_had_the_request() -> None:
    server = grpc.aio.server(options=UNLIMITED)
    server.add_generic_rpc_handlers((method_handlers(handlers()),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            before = time.monotonic()
            call = channel.unary_unary(METHOD, None, None)(b"bytes", wait_for_ready=True, timeout=10)
            assert await call == b"bytes"
            trailers = dict(await call.trailing_metadata())
            served_at = float(trailers[SERVED_AT])
            assert before <= served_at <= time.monotonic()
    finally:
        await server.stop(grace=0)
