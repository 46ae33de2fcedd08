"""Asks one process through its control service."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import grpc
import grpc.aio

from proxy.control import methods
from proxy.control.methods import Method
from proxy.errors import HeadwayError
from proxy.pb.headway.v1 import control_pb2 as pb

ANSWER_TIMEOUT_S = 5.0
"""How long a process may take to answer. It answers within a turn of its event loop; the rest is connecting to it."""

_OPTIONS = [
    ("grpc.enable_http_proxy", 0),  # a machine's web proxy is not the way to its own loopback
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.enable_retries", 0),
    # A watcher learns that the process's machine has vanished.
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
]
_LAST_ERROR = re.compile(r"last error: (?:UNKNOWN: )?(?:ipv[46]:\S+: )?(.*)", re.DOTALL)
"""In what grpc says of a failed connection, the part that says what the user can mend."""


class ControlError(HeadwayError):
    """A process did not do what it was asked to; the text names its address and says why."""


@dataclass(frozen=True, slots=True)
class ClientTls:
    """How we show who we are, and know who answers; files in PEM."""

    ca: Path
    """Authorities that may have signed the process's certificate."""
    cert: Path
    """Our certificate chain."""
    key: Path


class ControlClient:
    """`async with ControlClient("127.0.0.1:8009") as client`. Every method raises `ControlError` where it fails."""

    def __init__(self, address: str, *, tls: ClientTls | None = None, timeout_s: float = ANSWER_TIMEOUT_S) -> None:
        self._address = address
        self._timeout_s = timeout_s
        if tls is None:
            self._channel = grpc.aio.insecure_channel(address, options=_OPTIONS)
        else:
            self._channel = grpc.aio.secure_channel(address, _credentials(tls), options=_OPTIONS)

    def __repr__(self) -> str:
        return f"<ControlClient {self._address}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._channel.close(grace=None)

    async def status(self) -> pb.Status:
        """The process as it is now."""
        answer: pb.Status = await self._ask(methods.GET_STATUS, pb.GetStatusRequest())
        return answer

    async def watch(self, *, interval_s: float) -> AsyncGenerator[pb.Status, None]:
        """The process as it is now and after each interval, until the process ends."""
        method = methods.WATCH_STATUS
        call: Any = self._channel.unary_stream(method.path, method.request.SerializeToString, method.answer.FromString)
        answers = call(pb.WatchStatusRequest(interval_s=interval_s))
        try:
            async for status in answers:
                yield status
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None
        finally:
            answers.cancel()

    async def set_scheduler(self, name: str) -> pb.SetSchedulerResponse:
        """Switch the stream scheduler."""
        answer: pb.SetSchedulerResponse = await self._ask(methods.SET_SCHEDULER, pb.SetSchedulerRequest(name=name))
        return answer

    async def set_policy(self, route: str, policy: str) -> pb.SetPolicyResponse:
        """Switch a route's policy."""
        request = pb.SetPolicyRequest(route=route, policy=policy)
        answer: pb.SetPolicyResponse = await self._ask(methods.SET_POLICY, request)
        return answer

    async def drain(self) -> pb.DrainResponse:
        """Have the process take no new calls."""
        answer: pb.DrainResponse = await self._ask(methods.DRAIN, pb.DrainRequest())
        return answer

    async def _ask(self, method: Method, request: Any) -> Any:
        call: Any = self._channel.unary_unary(method.path, method.request.SerializeToString, method.answer.FromString)
        try:
            return await call(request, timeout=self._timeout_s)
        except grpc.aio.AioRpcError as error:
            raise self._error(error) from None

    def _error(self, error: grpc.aio.AioRpcError) -> ControlError:
        details = error.details() or error.code().name
        if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
            return ControlError(f"{self._address}: no answer within {self._timeout_s:g} s")
        if error.code() is grpc.StatusCode.UNIMPLEMENTED:
            return ControlError(f"{self._address}: what answers there is not a headway control service")
        found = _LAST_ERROR.search(details)
        reason = " ".join((found[1] if found is not None else details).split())
        return ControlError(f"{self._address}: {reason}")


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    try:
        ca, key, cert = (path.read_bytes() for path in (tls.ca, tls.key, tls.cert))
    except OSError as error:
        raise ControlError(f"{error.filename}: {error.strerror}") from None
    return grpc.ssl_channel_credentials(root_certificates=ca, private_key=key, certificate_chain=cert)
