"""The client, as a program: closed-loop callers against an address, and streams that are held open.

Commands come as JSON lines on standard input, each answered by one JSON line on standard output; it ends when its input
ends. `client` is the other end.

    {"probe": ADDRESS, "timeout": S}                           → {}
    {"measure": ADDRESS, "body": BYTES, "callers": N, "seconds": S, "warm_up": S, "pids": […]} → Measurement
    {"hold": ADDRESS, "streams": N}                            → {}        streams stay open until `release`
    {"release": true}                                          → {}

A command that fails is answered by `{"error": TEXT}`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from dataclasses import asdict, dataclass, field
from typing import Any

import grpc
import grpc.aio
import psutil
import uvloop
from tritonclient.grpc import service_pb2

from ops.bench.channels import Channels
from ops.bench.commands import serve_commands
from ops.bench.figures import Measurement, percentile
from ops.bench.serving import INFER, STREAM_INFER

HANG_S = 10.0
"""How long after its time a measurement waits for calls that do not come back."""


def infer_request(body_bytes: int, *, seed: int) -> bytes:
    """A ModelInferRequest whose one raw input has `body_bytes` random bytes."""
    request = service_pb2.ModelInferRequest(model_name="echo", id="1")
    tensor = request.inputs.add(name="INPUT", datatype="UINT8")
    tensor.shape.append(body_bytes)
    request.raw_input_contents.append(random.Random(seed).randbytes(body_bytes))
    return bytes(request.SerializeToString())


def cpu_s(processes: list[psutil.Process]) -> float:
    """User and system time that the processes and their children have used so far, in seconds."""
    total = 0.0
    for process in processes:
        for member in (process, *process.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system
    return total


@dataclass(slots=True)
class _Callers:
    """N callers that each send the next request when the last was answered."""

    call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
    request: bytes
    latencies_s: list[float] = field(default_factory=list)
    errors: int = 0
    first_error: str = ""

    async def run(self, callers: int, seconds: float) -> None:
        until = time.perf_counter() + seconds
        try:
            async with asyncio.timeout(seconds + HANG_S):
                await asyncio.gather(*(self._caller(until) for _ in range(callers)))
        except TimeoutError:
            self._failed(f"a call did not come back within {HANG_S:g} s")

    async def _caller(self, until: float) -> None:
        clock = time.perf_counter
        while (began := clock()) < until:
            try:
                answer = await self.call(self.request)
            except grpc.aio.AioRpcError as error:
                self._failed(f"{error.code().name}: {error.details()}")
                continue
            if answer == self.request:
                self.latencies_s.append(clock() - began)
            else:
                self._failed(f"wrong answer of {len(answer)} bytes")

    def _failed(self, text: str) -> None:
        self.errors += 1
        self.first_error = self.first_error or text


class _Load:
    """The commands."""

    def __init__(self) -> None:
        # A local pool, so that channels of one process to one address share no connection.
        self._channels = Channels(("grpc.use_local_subchannel_pool", 1))
        self._held: list[Any] = []

    async def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        if "probe" in command:
            return await self._probe(command["probe"], command["timeout"])
        if "measure" in command:
            return asdict(await self._measure(command))
        if "hold" in command:
            return await self._hold(command["hold"], command["streams"])
        return self._release()

    async def _probe(self, address: str, timeout_s: float) -> dict[str, Any]:
        call = self._channels.to(address).unary_unary(INFER, None, None)
        request = infer_request(16, seed=0)
        # A path answers UNAVAILABLE while its inner legs connect, which wait_for_ready on the outer one does not cover.
        until = time.perf_counter() + timeout_s
        while True:
            try:
                answer = await call(request, wait_for_ready=True, timeout=max(0.0, until - time.perf_counter()))
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE or time.perf_counter() >= until:
                    return {"error": f"{error.code().name}: {error.details()}"}
                await asyncio.sleep(0.05)
            else:
                return {} if answer == request else {"error": f"wrong answer of {len(answer)} bytes"}

    async def _measure(self, command: dict[str, Any]) -> Measurement:
        call = self._channels.to(command["measure"]).unary_unary(INFER, None, None)
        request = infer_request(command["body"], seed=command["seed"])
        await _Callers(call, request).run(command["callers"], command["warm_up"])
        processes = [psutil.Process(pid) for pid in command["pids"]]
        callers = _Callers(call, request)
        cpu_before, began = cpu_s(processes), time.perf_counter()
        await callers.run(command["callers"], command["seconds"])
        elapsed_s, cpu_used_s = time.perf_counter() - began, cpu_s(processes) - cpu_before
        latencies = sorted(callers.latencies_s)
        calls = len(latencies)
        return Measurement(
            calls=calls,
            errors=callers.errors,
            first_error=callers.first_error,
            calls_per_s=calls / elapsed_s,
            mean_s=sum(latencies) / calls if calls else None,
            p50_s=percentile(latencies, 0.50),
            p99_s=percentile(latencies, 0.99),
            cpu_s_per_call=cpu_used_s / calls if calls else None,
        )

    async def _hold(self, address: str, streams: int) -> dict[str, Any]:
        """Open the streams one after the other; each has carried a message both ways when it counts as open."""
        start: Any = self._channels.to(address).stream_stream(STREAM_INFER, None, None)
        request = infer_request(16, seed=0)
        try:
            async with asyncio.timeout(HANG_S + streams * 0.05):
                for _ in range(streams):
                    call = start()
                    self._held.append(call)
                    await call.write(request)
                    if await call.read() != request:
                        return {"error": "a held stream got a wrong answer"}
        except grpc.aio.AioRpcError as error:
            return {"error": f"stream {len(self._held)}: {error.code().name}: {error.details()}"}
        except TimeoutError:
            return {"error": f"stream {len(self._held)} of {streams} did not open in time"}
        return {}

    def _release(self) -> dict[str, Any]:
        for call in self._held:
            call.cancel()
        self._held.clear()
        return {}

    async def close(self) -> None:
        self._release()
        await self._channels.close()


if __name__ == "__main__":
    uvloop.run(serve_commands(_Load))
