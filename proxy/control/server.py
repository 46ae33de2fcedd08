"""The address at which a process is controlled: a gRPC server of its own, beside the one that carries calls."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio

from proxy.config import ControlTlsSettings
from proxy.control import methods
from proxy.control.methods import Method
from proxy.control.service import ControlService
from proxy.errors import CallError, Code
from proxy.http2.incoming import readable_peer
from proxy.http2.listening import add_port
from proxy.http2.statuses import to_grpc
from proxy.pb.headway.v1 import control_pb2 as pb

logger = logging.getLogger(__name__)

Context = Any  # grpc.aio.ServicerContext: generic only for type checkers

MOST_CALLS = 64
"""At once, watchers counted. Past it grpc answers RESOURCE_EXHAUSTED: watchers that pile up take no time from calls."""

_OPTIONS = [
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", 64 * 1024),  # the longest request is two names
    # A watcher's machine that vanishes without a word gives its place back within 80 s.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]


@dataclass(frozen=True, slots=True)
class ControlServerSettings:
    """Where a process is controlled."""

    address: str
    """`host:port`; port 0 lets the system choose."""
    tls: ControlTlsSettings | None = None
    """None: none, which the configuration allows on loopback only."""


class ControlServer:
    """Serves `headway.v1.Control`."""

    def __init__(self, settings: ControlServerSettings, *, service: ControlService) -> None:
        self._settings = settings
        self._service = service
        self._port = 0
        self._server = grpc.aio.server(options=_OPTIONS, maximum_concurrent_rpcs=MOST_CALLS)
        self._server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    methods.SERVICE,
                    {
                        **_unary(methods.GET_STATUS, self._get_status),
                        **_stream(methods.WATCH_STATUS, self._watch_status),
                        **_unary(methods.SET_SCHEDULER, self._set_scheduler),
                        **_unary(methods.SET_POLICY, self._set_policy),
                        **_unary(methods.DRAIN, self._drain),
                    },
                ),
            )
        )

    def __repr__(self) -> str:
        return f"<ControlServer {self._settings.address} port={self._port} tls={self._settings.tls is not None}>"

    @property
    def port(self) -> int:
        """The TCP port listened on, once started."""
        return self._port

    async def start(self) -> None:
        """Listen. Raises `HeadwayError` naming the address if that is not possible."""
        self._port = add_port(self._server, self._settings.address, self._settings.tls)
        await self._server.start()

    async def stop(self) -> None:
        """Stop listening; watchers see their streams end."""
        await self._server.stop(grace=None)

    async def _get_status(self, _: pb.GetStatusRequest, __: Context) -> pb.Status:
        return self._service.get_status()

    async def _watch_status(self, request: pb.WatchStatusRequest, _: Context) -> AsyncIterator[pb.Status]:
        async for status in self._service.watch_status(request):
            yield status

    async def _set_scheduler(self, request: pb.SetSchedulerRequest, context: Context) -> pb.SetSchedulerResponse:
        return self._service.set_scheduler(request, caller=_caller(context))

    async def _set_policy(self, request: pb.SetPolicyRequest, context: Context) -> pb.SetPolicyResponse:
        return self._service.set_policy(request, caller=_caller(context))

    async def _drain(self, _: pb.DrainRequest, context: Context) -> pb.DrainResponse:
        return self._service.drain(caller=_caller(context))


def _unary(method: Method, answer: Callable[[Any, Context], Awaitable[Any]]) -> dict[str, Any]:
    async def serve(request: Any, context: Context) -> Any:
        try:
            return await answer(request, context)
        except Exception as error:  # noqa: BLE001 -- the border to grpc, which would call it UNKNOWN
            await _abort(method, context, error)

    return {
        method.name: grpc.unary_unary_rpc_method_handler(
            serve, method.request.FromString, method.answer.SerializeToString
        )
    }


def _stream(method: Method, answers: Callable[[Any, Context], AsyncIterator[Any]]) -> dict[str, Any]:
    async def serve(request: Any, context: Context) -> AsyncIterator[Any]:
        try:
            async for answer in answers(request, context):
                yield answer
        except Exception as error:  # noqa: BLE001 -- the border to grpc, which would call it UNKNOWN
            await _abort(method, context, error)

    return {
        method.name: grpc.unary_stream_rpc_method_handler(
            serve, method.request.FromString, method.answer.SerializeToString
        )
    }


async def _abort(method: Method, context: Context, error: Exception) -> None:
    if isinstance(error, CallError):
        await context.abort(to_grpc(error.code), error.message)
    logger.error("%s failed", method.path, exc_info=error)
    await context.abort(to_grpc(Code.INTERNAL), "internal error in headway")


def _caller(context: Context) -> str:
    """Who asks: the address, and over TLS the names in the certificate."""
    peer = readable_peer(context.peer())
    names = b", ".join(context.peer_identities() or ()).decode(errors="replace")
    return f"{peer} ({names})" if names else peer
