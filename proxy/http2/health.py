"""A process' own `grpc.health.v1`, on an address of its own, for Kubernetes and load balancers.

Checks at the address where clients connect pass through like all other calls: they ask for the backend, by whatever
service names it has, and get its own words. Here the proxy or the daemon is asked: `Check`, `Watch`, and `List` (gRPC
proposal A90).

    livenessProbe: {grpc: {port: 8003, service: liveness}}
    readinessProbe: {grpc: {port: 8003}}
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2 as pb

from proxy.http2.listening import add_port

SERVICE = "grpc.health.v1.Health"
WHOLE = ""
"""The whole server. A proxy is SERVING while it takes calls and reaches a daemon whose backends answer, a daemon while
it takes calls and reaches a backend."""
LIVENESS = "liveness"
"""SERVING as long as the process answers at all: restarting a process brings no other one back."""

MOST_WATCHERS = 64
"""At once. Past it `Watch` is RESOURCE_EXHAUSTED; `Check` never is, as an orchestrator kills for an error."""
LOOK_S = 0.25
"""How often a watcher's status is looked at."""

Context = Any  # grpc.aio.ServicerContext: generic only for type checkers
_Status = pb.HealthCheckResponse

_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 64 * 1024),  # a service name
    # A watcher's machine that vanishes without a word gives its place back within 80 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


class HealthServer:
    """Answers for a process that is `serving` or not: `start`, then `stop`."""

    def __init__(
        self, *, serving: Callable[[], bool], most_watchers: int = MOST_WATCHERS, look_s: float = LOOK_S
    ) -> None:
        self._most_watchers = most_watchers
        self._look_s = look_s
        self._statuses: dict[str, Callable[[], bool]] = {WHOLE: serving, LIVENESS: lambda: True}
        self._watchers = 0
        self._server: grpc.aio.Server | None = None
        self._port = 0

    def __repr__(self) -> str:
        serving = "SERVING" if self._statuses[WHOLE]() else "NOT_SERVING"
        return f"<HealthServer {serving} port={self._port or 'off'} watchers={self._watchers}>"

    @property
    def port(self) -> int:
        """The TCP port listened on; 0 for none."""
        return self._port

    async def start(self, address: str) -> None:
        """Listen at `host:port`; port 0 lets the system choose. Raises `HeadwayError` if that is not possible."""
        server = grpc.aio.server(options=_OPTIONS)
        request = pb.HealthCheckRequest.FromString
        answer = pb.HealthCheckResponse.SerializeToString
        handlers = {
            "Check": grpc.unary_unary_rpc_method_handler(self._check, request, answer),
            "Watch": grpc.unary_stream_rpc_method_handler(self._watch, request, answer),
            "List": grpc.unary_unary_rpc_method_handler(self._list),
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        self._port = add_port(server, address, None)
        self._server = server
        await server.start()

    async def stop(self) -> None:
        """Stop listening, if that was begun; watchers see their streams end."""
        if self._server is not None:
            await self._server.stop(grace=None)

    def _status(self, service: str) -> int:
        serving = self._statuses.get(service)
        if serving is None:
            return int(_Status.SERVICE_UNKNOWN)
        return int(_Status.SERVING if serving() else _Status.NOT_SERVING)

    async def _check(self, request: Any, context: Context) -> Any:
        status = self._status(request.service)
        if status == _Status.SERVICE_UNKNOWN:
            known = ", ".join(repr(name) for name in self._statuses)
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service[:64]!r} here; known: {known}")
        return pb.HealthCheckResponse(status=status)

    async def _watch(self, request: Any, context: Context) -> AsyncIterator[Any]:
        if self._watchers >= self._most_watchers:
            await context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, f"{self._most_watchers} watch already")
        self._watchers += 1
        try:
            told = None
            while True:
                status = self._status(request.service)
                if status != told:
                    told = status
                    yield pb.HealthCheckResponse(status=status)
                await asyncio.sleep(self._look_s)
        finally:
            self._watchers -= 1

    async def _list(self, _: bytes, __: Context) -> bytes:
        """`HealthListResponse{map<string, HealthCheckResponse> statuses = 1}`, which this health_pb2 lacks.

        An entry of a map is a message with the key as field 1, as the service is in a request, and the value as 2.
        """
        listed = b""
        for service in self._statuses:
            value: bytes = pb.HealthCheckResponse(status=self._status(service)).SerializeToString()
            key: bytes = pb.HealthCheckRequest(service=service).SerializeToString()
            entry = key + b"\x12" + bytes([len(value)]) + value
            listed += b"\x0a" + bytes([len(entry)]) + entry  # each well under the 128 bytes of a one-byte length
        return listed
