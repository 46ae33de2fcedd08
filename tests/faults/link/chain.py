"""The whole way of a call in virtual time: forwarder, QUIC over a link in memory, dispatcher, backend."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from policies.traffic import Deadline
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, DispatchSettings
from proxy.edge.classify import Classifier, ClassifySettings
from proxy.edge.forward import Forwarder
from proxy.telemetry.tracing import NO_TRACING, Tracing
from proxy.testing.calls import MemoryCarrier, MemoryOutgoing
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import CLASSES, MemoryTunnel
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

DELAY_S = 0.05
ROUND_TRIP_S = 2 * DELAY_S
LINK = LinkSettings(delay_s=DELAY_S)
SLOW = LinkSettings(delay_s=DELAY_S, rate_bytes_s=100_000.0)
UNARY = "/inference.GRPCInferenceService/ModelInfer"
STREAM = "/pkg.Service/Stream"


class Sleeper:
    """A backend that reads the first message, answers with `answer` if it has one, and sleeps for ever."""

    def __init__(self, answer: bytes = b"") -> None:
        self.started = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.cancelled_at = math.inf
        self._answer = answer

    async def __call__(self, call: IncomingCall) -> None:
        try:
            await call.receive()
            self.started.set()
            if self._answer:
                await call.send(self._answer)
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled_at = asyncio.get_running_loop().time()
            self.cancelled.set()
            raise


class Chain:
    """`client` is where a stock client would be; grpc's part, ending a call at its deadline, is the test's."""

    def __init__(
        self,
        certs: Path,
        backend: Sleeper,
        *,
        daemon_tracing: Tracing = NO_TRACING,
        **link: Any,
    ) -> None:
        ends: Mapping[str, Any] = {"uplink": LINK, "downlink": LINK, **link}
        self.tunnel = MemoryTunnel(certs, handler=self._serve, **ends)
        clock = self.tunnel.network.client_clock
        self.backend = MemoryCarrier(backend)
        self.dispatcher = Dispatcher(
            DispatchSettings((BackendSettings("a", "localhost:8001"),), "a", "localhost:4433", classes=CLASSES),
            {"a": self.backend},
            clock=clock,
            tracing=daemon_tracing,
        )
        self._clock = clock
        self.client: MemoryCarrier

    async def __aenter__(self) -> Self:
        await self.tunnel.__aenter__()
        forwarder = Forwarder(
            classifier=Classifier(ClassifySettings(CLASSES, "standard")),
            carrier=self.tunnel.proxy,
            tracing=NO_TRACING,
            clock=self._clock,
            address="localhost:8001",
        )
        self.client = MemoryCarrier(forwarder)
        await asyncio.sleep(1)  # the clocks have been compared
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.tunnel.__aexit__(kind, error, trace)

    @property
    def now(self) -> float:
        return self._clock.now()

    def head(self, *, limit_s: float = math.inf, path: str = UNARY) -> CallHead:
        limit_at = self.now + limit_s
        return CallHead(
            path, deadline=Deadline(limit_at, limit_at), peer="c:1", accepted_at=self.now, unary=path == UNARY
        )

    async def start(self, message: bytes, **head: Any) -> MemoryOutgoing:
        """Begin a call with one message."""
        call = self.client.open(self.head(**head))
        await call.send(message, last=True)
        return call

    async def nothing_is_left(self) -> None:
        """No call anywhere, a while after the last has ended."""
        await asyncio.sleep(2 * ROUND_TRIP_S)
        assert self.dispatcher.report().calls == 0
        assert "calls=1 " in repr(self.tunnel.daemon)  # the control call

    async def _serve(self, call: IncomingCall) -> None:
        await self.dispatcher(call)


async def end_of(call: MemoryOutgoing, *, within_s: float = 5.0) -> CallStatus:
    """The call's status."""
    async with asyncio.timeout(within_s):
        while not isinstance(event := await call.receive(), CallStatus):
            pass
    return event
