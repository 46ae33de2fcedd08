"""A collector that takes OTLP over gRPC, or does not: `python -m ops.bench.collector STATE`.

STATE is `well`, `slow` (each request is answered after a second) or `hung` (connections are accepted, and not a word is
said). Prints `{"port": N}` when it listens; ends at SIGTERM.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys

import grpc
import grpc.aio

from ops.bench.serving import Handlers, serve

EXPORT = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
SLOW_S = 1.0


def _handlers(delay_s: float) -> Handlers:
    async def export(_request: bytes, _context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
        await asyncio.sleep(delay_s)
        return b""  # an ExportTraceServiceResponse that has nothing to tell

    return {EXPORT: grpc.unary_unary_rpc_method_handler(export)}


async def _hang() -> None:
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    kept: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(lambda _, writer: kept.append(writer), "127.0.0.1", 0)
    print(json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await stopping.wait()
    server.close()


def main(state: str) -> None:
    """Run one."""
    if state == "hung":
        asyncio.run(_hang())
    else:
        serve(lambda: _handlers(SLOW_S if state == "slow" else 0.0))


if __name__ == "__main__":
    main(sys.argv[1])
