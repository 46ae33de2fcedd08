"""The backend, as a program: an echo, a sink and a source of bytes over gRPC, and a sink over plain TCP.

`python -m ops.bench.congestion.backend PORT TCP_ADDRESS TCP_PORT DIRECTORY`. What a sink receives begins with a byte
that says which flow it is, each message of a call and the first byte of a connection; when it ends, the sink writes
`DIRECTORY/arrivals-<flow>.json`: a list of [time on the monotonic clock, bytes].
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import grpc.aio

from ops.bench.network.backend import handlers as echo_handlers
from ops.bench.serving import Handlers, serve
from proxy import tasks

SINK = "/headway.bench.Bulk/Sink"
"""Takes messages until the caller ends."""
SOURCE = "/headway.bench.Bulk/Source"
"""Sends messages of the asked length until the caller ends."""

READ_BYTES = 1 << 16


class Sink:
    """Notes when bytes came."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _keep(self, flow: int, arrivals: list[tuple[float, int]]) -> None:
        (self._directory / arrivals_file(flow)).write_text(json.dumps(arrivals))

    async def call(self, messages: AsyncIterator[bytes], _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        """One call."""
        arrivals: list[tuple[float, int]] = []
        flow = 0
        try:
            async for message in messages:
                flow = message[0]
                arrivals.append((time.monotonic(), len(message)))
        finally:
            if arrivals:
                self._keep(flow, arrivals)
        return b""

    async def connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection."""
        arrivals: list[tuple[float, int]] = []
        flow = 0
        try:
            while data := await reader.read(READ_BYTES):
                flow = data[0] if not arrivals else flow
                arrivals.append((time.monotonic(), len(data)))
        except ConnectionError:
            pass  # the sender does not wait for the end either
        finally:
            if arrivals:
                self._keep(flow, arrivals)
            writer.close()

    async def listen(self, address: str, port: int) -> None:
        """Take TCP connections for ever."""
        server = await asyncio.start_server(self.connection, address, port, limit=READ_BYTES)
        async with server:
            await server.serve_forever()


def arrivals_file(flow: int) -> str:
    """The name of a flow's file."""
    return f"arrivals-{flow}.json"


async def _source(request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> AsyncIterator[bytes]:
    message = bytes(int(request))
    while True:
        yield message


def handlers(address: str, port: int, directory: Path) -> Handlers:
    """The methods; starts the TCP sink."""
    sink = Sink(directory)
    tasks.spawn(sink.listen(address, port), name="TCP sink")
    return {
        **echo_handlers(),
        SINK: grpc.stream_unary_rpc_method_handler(sink.call),
        SOURCE: grpc.unary_stream_rpc_method_handler(_source),
    }


if __name__ == "__main__":
    own_port, tcp_address, tcp_port, kept_in = sys.argv[1:]
    serve(functools.partial(handlers, tcp_address, int(tcp_port), Path(kept_in)), port=int(own_port))
