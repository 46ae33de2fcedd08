"""headway carries any gRPC service: here one with a unary and a bidirectional method, and no Triton.

Needs nothing running: it starts the service, makes certificates, and starts a daemon without routes and a proxy, each a
process of its own. Then it calls the service directly and through the tunnel, and shows both answers.

    python examples/04_any_grpc_service.py
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import socket
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import grpc
import grpc.aio

SERVICE = "example.Echo"

CONFIGURATION = """\
proxy:
  listen: 127.0.0.1:{proxy_port}
  daemons: [127.0.0.1:{daemon_port}]
  ca: {certs}/ca.pem
  token_file: {certs}/token
daemon:
  listen: 127.0.0.1:{daemon_port}
  cert: {certs}/daemon.pem
  key: {certs}/daemon.key
  token_file: {certs}/token
  tritons:
    service: {{url: 127.0.0.1:{service_port}}}      # any gRPC server; without routes, every call goes there
telemetry:
  traces_file: {folder}/traces.jsonl
"""


async def shout(request: bytes, context: grpc.aio.ServicerContext[bytes, bytes]) -> bytes:
    if not request:
        await context.abort(grpc.StatusCode.INVALID_ARGUMENT, "nothing to shout")
    return request.upper()


async def converse(
    requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext[bytes, bytes]
) -> AsyncIterator[bytes]:
    async for request in requests:
        yield b"you said " + request
    context.set_trailing_metadata((("farewell", "good bye"),))


async def start_service() -> tuple[grpc.aio.Server, int]:
    """Messages are plain bytes, so that the example needs no generated code."""
    server = grpc.aio.server()
    methods = {
        "Shout": grpc.unary_unary_rpc_method_handler(shout),
        "Converse": grpc.stream_stream_rpc_method_handler(converse),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, port


def free_port(kind: socket.SocketKind) -> int:
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def headway(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "proxy.cli", *arguments]


@contextlib.contextmanager
def tunnel(service_port: int) -> Iterator[str]:
    """A daemon and a proxy in front of the service; yields the proxy's address."""
    with tempfile.TemporaryDirectory(prefix="headway-example-") as folder, contextlib.ExitStack() as running:
        certs = Path(folder, "certs")
        subprocess.run(headway("certs", "--out", str(certs)), check=True, stdout=subprocess.DEVNULL)  # noqa: S603
        ports = {"proxy_port": free_port(socket.SOCK_STREAM), "daemon_port": free_port(socket.SOCK_DGRAM)}
        config = Path(folder, "headway.yaml")
        config.write_text(CONFIGURATION.format(**ports, service_port=service_port, certs=certs, folder=folder))
        for role in ("daemon", "proxy"):
            process = subprocess.Popen(headway(role, "-c", str(config), "--log-level", "error"))  # noqa: S603
            running.callback(process.wait)
            running.callback(process.terminate)
        yield f"127.0.0.1:{ports['proxy_port']}"


async def call(url: str) -> list[str]:
    """Everything that a client sees of both methods."""
    async with grpc.aio.insecure_channel(url) as channel:
        shout_at: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(f"/{SERVICE}/Shout", None, None)
        seen = [repr(await shout_at(b"hello", wait_for_ready=True, timeout=10))]
        try:
            await shout_at(b"", timeout=10)
        except grpc.aio.AioRpcError as error:
            seen.append(f"{error.code().name}: {error.details()}")
        converse_with: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = channel.stream_stream(
            f"/{SERVICE}/Converse", None, None
        )
        conversation = converse_with(iter((b"good morning", b"is anybody there")), timeout=10)
        seen += [repr(answer) async for answer in conversation]
        trailers = dict(await conversation.trailing_metadata() or ())
        seen.append(f"farewell: {trailers['farewell']}")
        return seen


async def until_ready(url: str) -> None:
    """The proxy answers UNAVAILABLE while it has no daemon yet."""
    async with asyncio.timeout(20), grpc.aio.insecure_channel(url) as channel:
        while True:
            with contextlib.suppress(grpc.aio.AioRpcError):
                await channel.unary_unary(f"/{SERVICE}/Shout", None, None)(b"?", wait_for_ready=True)
                return
            await asyncio.sleep(0.1)


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    server, port = await start_service()
    with tunnel(port) as url:
        await until_ready(url)
        directly, through = await call(f"127.0.0.1:{port}"), await call(url)
    await server.stop(None)
    for line in directly:
        print("directly:          ", line)
    for line in through:
        print("through the tunnel:", line)
    if directly != through:
        raise SystemExit("they differ")


asyncio.run(main())
