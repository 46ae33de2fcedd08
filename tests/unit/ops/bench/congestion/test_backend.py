import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio
import pytest

from ops.bench.congestion.backend import SINK, SOURCE, Sink, arrivals_file, handlers
from ops.bench.network.backend import METHOD
from ops.bench.serving import method_handlers
from proxy.testing.ports import free_port

WAITS_S = 10.0


@contextlib.asynccontextmanager
async def serving(directory: Path) -> AsyncIterator[grpc.aio.Channel]:
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((method_handlers(handlers("127.0.0.1", free_port(), directory)),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(grace=0)


async def test_a_call_s_messages_are_noted_by_flow(tmp_path: Path) -> None:
    before = time.monotonic()
    async with serving(tmp_path) as channel:
        call = channel.stream_unary(SINK, None, None)(None)
        for size in (10, 20):
            await call.write(bytes([7]) * size)
        await call.done_writing()
        assert await call == b""
        assert await channel.unary_unary(METHOD, None, None)(b"echo") == b"echo"
    arrivals = json.loads((tmp_path / arrivals_file(7)).read_text())
    assert [size for _, size in arrivals] == [10, 20]
    assert before < arrivals[0][0] <= arrivals[1][0] < time.monotonic()


async def test_a_call_that_is_cut_off_is_noted_too(tmp_path: Path) -> None:
    async with serving(tmp_path) as channel:
        call = channel.stream_unary(SINK, None, None)(None)
        await call.write(bytes([1]) * 10)
        # An answer to a later call on the same connection: the message has arrived by then.
        await channel.unary_unary(METHOD, None, None)(b"echo")
        call.cancel()
    assert [size for _, size in json.loads((tmp_path / arrivals_file(1)).read_text())] == [10]


async def test_the_source_sends_until_it_is_cancelled(tmp_path: Path) -> None:
    async with serving(tmp_path) as channel:
        call = channel.unary_stream(SOURCE, None, None)(b"1000")
        assert [await call.read() for _ in range(3)] == [bytes(1000)] * 3
        call.cancel()


@pytest.mark.parametrize("orderly", [True, False])
async def test_a_connection_s_bytes_are_noted_by_flow(tmp_path: Path, *, orderly: bool) -> None:
    ended = asyncio.Event()
    sink = Sink(tmp_path)

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await sink.connection(reader, writer)
        ended.set()

    async with await asyncio.start_server(connection, "127.0.0.1") as server:
        _, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(b"\x02" + bytes(999))
        await writer.drain()
        if orderly:
            writer.close()
        else:
            writer.transport.abort()
        await asyncio.wait_for(ended.wait(), WAITS_S)
    assert sum(size for _, size in json.loads((tmp_path / arrivals_file(2)).read_text())) == 1000
