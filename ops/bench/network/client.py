"""The client, as a program: a stock grpc.aio client that sends requests when they are due, whatever becomes of others.

Commands come as JSON lines on standard input, each answered by one JSON line on standard output; it ends when its input
ends.

    {"warm_up": ADDRESS, "calls": N, "timeout": S}                  → {}         N answers to calls of one byte
    {"run": ADDRESS, "requests": FILE, "seed": N, "give_up": S, "outcomes": FILE} → {"began_at": S}

`began_at` is the beginning of the cell on the monotonic clock, which all processes of a machine share.

FILEs are JSON: a list of `Request`s, a list of `Outcome`s. A command that fails is answered by `{"error": TEXT}`.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop

from ops.bench.channels import Channels
from ops.bench.commands import serve_commands
from ops.bench.network.backend import METHOD, SERVED_AT
from ops.bench.network.requests import Outcome, Request, read_requests, write_outcomes

LEAD_S = 0.1
"""Between the command and the beginning of the cell: time to make the tasks of a few thousand requests."""

Call = grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]


async def warm_up(call: Call, calls: int, timeout_s: float) -> str:
    """Repeat calls of one byte until `calls` were answered; what the last one got if that takes too long."""
    until = time.monotonic() + timeout_s
    while calls:
        try:
            await call(b"?", wait_for_ready=True, timeout=max(0.0, until - time.monotonic()))
        except grpc.aio.AioRpcError as error:
            # The proxy answers UNAVAILABLE until its tunnel is up.
            if error.code() is not grpc.StatusCode.UNAVAILABLE or time.monotonic() >= until:
                return f"{error.code().name}: {error.details()}"
            await asyncio.sleep(0.02)
        else:
            calls -= 1
    return ""


async def run(
    call: Call, requests: list[Request], *, seed: int, give_up_s: float, began_at: float | None = None
) -> list[Outcome]:
    """Send each request when it is due after `began_at`, or from `LEAD_S` on; the outcomes, in the requests' order."""
    began_at = time.monotonic() + LEAD_S if began_at is None else began_at
    payload = random.Random(f"payload {seed}").randbytes(max(item.size_bytes for item in requests))
    return await asyncio.gather(
        *(_send(call, item, payload[: item.size_bytes], began_at, give_up_s) for item in requests)
    )


async def _send(call: Call, request: Request, body: bytes, began_at: float, give_up_s: float) -> Outcome:
    await asyncio.sleep(began_at + request.arrival_s - time.monotonic())
    sent_at = time.monotonic()
    served_at: float | None = None
    under_way = call(body, metadata=(("x-traffic-class", request.traffic_class),), timeout=give_up_s)
    try:
        answer = await under_way
        done_at = time.monotonic()
        status = "OK" if answer == body else "WRONG_ANSWER"
        for key, value in await under_way.trailing_metadata():
            if key == SERVED_AT:
                served_at = float(value)
    except grpc.aio.AioRpcError as error:
        done_at = time.monotonic()
        status = error.code().name
    return Outcome(
        request.number,
        request.traffic_class,
        request.arrival_s,
        sent_at - began_at,
        None if served_at is None else served_at - began_at,
        done_at - began_at,
        status,
    )


class _Client:
    def __init__(self) -> None:
        self._channels = Channels()

    async def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if "warm_up" in command:
            call = self._call(command["warm_up"])
            problem = await warm_up(call, command["calls"], command["timeout"])
            return {"error": f"no call came through: {problem}"} if problem else {}
        requests = read_requests(Path(command["requests"]))
        call = self._call(command["run"])
        began_at = time.monotonic() + LEAD_S
        outcomes = await run(call, requests, seed=command["seed"], give_up_s=command["give_up"], began_at=began_at)
        write_outcomes(Path(command["outcomes"]), outcomes)
        return {"began_at": began_at}

    def _call(self, address: str) -> Call:
        return self._channels.to(address).unary_unary(METHOD, None, None)

    async def close(self) -> None:
        await self._channels.close()


if __name__ == "__main__":
    uvloop.run(serve_commands(_Client))
