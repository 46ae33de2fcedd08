"""The client, as a program: bulk transfers, and requests on an idle link and under a flood.

Commands come as JSON lines on standard input, each answered by one JSON line on standard output; it ends when its input
ends. Times are on the monotonic clock, which all processes of a machine share.

    {"warm_up": [ADDRESS, …], "timeout": S}                                                            → {}
    {"transfer": [{"number": N, "kind": "tunnel"|"kernel", "to": ADDRESS, "control": NAME, "direction": "up"|"down",
                   "starts_at": T, "ends_at": T}, …], "directory": DIR}                                → {}
    {"probe": ADDRESS, "requests": FILE, "seed": N, "flood": {"calls": N, "bytes": [A, B], "lead": S}|null,
     "outcomes": FILE}                                                                → {"bulk_bytes": N, "errors": N}

A download's arrivals go to `DIR/arrivals-<number>.json`; an upload's are for the backend to write. A command that fails
is answered by `{"error": TEXT}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from ops.bench.commands import serve_commands
from ops.bench.congestion.backend import SINK, SOURCE, arrivals_file
from ops.bench.network.backend import METHOD
from ops.bench.network.client import run, warm_up
from ops.bench.network.requests import Request
from ops.bench.serving import UNLIMITED
from proxy import tasks

MESSAGE_BYTES = 16384
"""26 ms of a 5 Mbit/s link: small enough for a series in steps of 100 ms, large enough that a message's frame of 5
bytes does not matter."""

WARM_UP_CALLS = 3
GIVE_UP_S = 60.0
"""A bulk echo of 1 MiB among seven others at 5 Mbit/s takes 14 s."""
KERNEL_CHUNK_BYTES = 1 << 16
PAUSE_S = 0.05
"""Before a flooding call that follows a failed one."""


@dataclass(slots=True)
class Flood:
    """Bulk echo calls in closed loops."""

    calls: int
    sizes: tuple[int, int]
    bulk_bytes: int = 0
    """Echoed."""
    errors: int = 0

    async def run(self, call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], *, seed: int) -> None:
        """Until cancelled."""
        body = random.Random(f"flood {seed}").randbytes(self.sizes[1])
        async with asyncio.TaskGroup() as group:
            for number in range(self.calls):
                group.create_task(self._loop(call, body, random.Random(f"flood {seed} {number}")), name="flood")

    async def _loop(
        self, call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes], body: bytes, luck: random.Random
    ) -> None:
        while True:
            request = body[: luck.randint(*self.sizes)]
            try:
                answer = await call(request, metadata=(("x-traffic-class", "bulk"),), timeout=GIVE_UP_S)
            except grpc.aio.AioRpcError:
                self.errors += 1
                await asyncio.sleep(PAUSE_S)
            else:
                self.bulk_bytes += len(answer)


async def upload(channel: grpc.aio.Channel, flow: Mapping[str, Any]) -> None:
    """Send messages from one moment to another, as fast as they are taken."""
    await _until(flow["starts_at"])
    message = bytes([flow["number"]]) + bytes(MESSAGE_BYTES - 1)
    call = channel.stream_unary(SINK, None, None)(None, metadata=(("x-traffic-class", "transfer"),))
    try:
        async with asyncio.timeout(flow["ends_at"] - time.monotonic()):
            while True:
                await call.write(message)
    except TimeoutError:
        call.cancel()


async def download(channel: grpc.aio.Channel, flow: Mapping[str, Any], directory: Path) -> None:
    """Take messages from one moment to another."""
    await _until(flow["starts_at"])
    call = channel.unary_stream(SOURCE, None, None)(
        str(MESSAGE_BYTES).encode(), metadata=(("x-traffic-class", "transfer"),)
    )
    arrivals: list[tuple[float, int]] = []
    try:
        async with asyncio.timeout(flow["ends_at"] - time.monotonic()):
            async for message in call:
                arrivals.append((time.monotonic(), len(message)))  # noqa: PERF401 -- what came before the limit counts
    except TimeoutError:
        call.cancel()
    (directory / arrivals_file(flow["number"])).write_text(json.dumps(arrivals))


async def send_over_tcp(flow: Mapping[str, Any]) -> None:
    """Send bytes over a TCP connection of the kernel's, with a congestion control of its own."""
    await _until(flow["starts_at"])
    host, _, port = flow["to"].rpartition(":")
    loop = asyncio.get_running_loop()
    with socket.socket() as plain:
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, flow["control"].encode())
        plain.setblocking(False)  # noqa: FBT003 -- the standard library's signature
        chunk = bytes([flow["number"]]) * KERNEL_CHUNK_BYTES
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(flow["ends_at"] - time.monotonic()):
                await loop.sock_connect(plain, (host, int(port)))
                while True:
                    await loop.sock_sendall(plain, chunk)
        # What is still in the socket's buffer does not matter any more: a reset instead of an orderly end.
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")


def _read_requests(file: str) -> list[Request]:
    return [Request(**item) for item in json.loads(Path(file).read_text())]


def _write_json(file: str, content: object) -> None:
    Path(file).write_text(json.dumps(content))


async def _until(at: float) -> None:
    await asyncio.sleep(at - time.monotonic())


class Client:
    """Answers commands."""

    def __init__(self) -> None:
        self._channels: dict[str, grpc.aio.Channel] = {}

    async def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        """One command's answer."""
        if "warm_up" in command:
            for address in command["warm_up"]:
                call = self._channel(address).unary_unary(METHOD, None, None)
                if problem := await warm_up(call, WARM_UP_CALLS, command["timeout"]):
                    return {"error": f"no call came through: {problem}"}
            return {}
        if "transfer" in command:
            problems: list[str] = []
            try:
                async with asyncio.TaskGroup() as group:
                    for flow in command["transfer"]:
                        group.create_task(self._transfer(flow, Path(command["directory"])), name=str(flow["number"]))
            except* (grpc.aio.AioRpcError, OSError, asyncio.InvalidStateError) as failed:
                problems.extend(map(repr, failed.exceptions))
            return {"error": "; ".join(problems)} if problems else {}
        return await self._probe(command)

    async def close(self) -> None:
        """Close what is open."""
        for channel in self._channels.values():
            await channel.close(None)

    async def _transfer(self, flow: Mapping[str, Any], directory: Path) -> None:
        if flow["kind"] == "kernel":
            await send_over_tcp(flow)
        elif flow["direction"] == "up":
            await upload(self._channel(flow["to"]), flow)
        else:
            await download(self._channel(flow["to"]), flow, directory)

    async def _probe(self, command: Mapping[str, Any]) -> dict[str, Any]:
        requests = _read_requests(command["requests"])
        call = self._channel(command["probe"]).unary_unary(METHOD, None, None)
        flood, asked = None, command["flood"]
        running: asyncio.Task[None] | None = None
        if asked is not None:
            flood = Flood(asked["calls"], tuple(asked["bytes"]))
            # A channel of its own: other clients' bulk calls, not this client's HTTP/2 connection.
            other = self._channel(command["probe"], kind="flood").unary_unary(METHOD, None, None)
            running = tasks.spawn(flood.run(other, seed=command["seed"]), name="flood")
            await asyncio.sleep(asked["lead"])
            flood.bulk_bytes = flood.errors = 0
        outcomes = await run(call, requests, seed=command["seed"], give_up_s=GIVE_UP_S)
        _write_json(command["outcomes"], [asdict(outcome) for outcome in outcomes])
        if flood is None or running is None:
            return {"bulk_bytes": 0, "errors": 0}
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        return {"bulk_bytes": flood.bulk_bytes, "errors": flood.errors}

    def _channel(self, address: str, *, kind: str = "") -> grpc.aio.Channel:
        key = f"{kind} {address}"
        if key not in self._channels:
            # Channels to one address share a connection unless their arguments differ.
            self._channels[key] = grpc.aio.insecure_channel(address, options=[*UNLIMITED, ("headway.bench", key)])
        return self._channels[key]


if __name__ == "__main__":
    uvloop.run(serve_commands(Client))
