"""Tunnels to daemons of this process, for tests of what chooses among them."""

from __future__ import annotations

import asyncio

from proxy.errors import Code
from proxy.testing.calls import MemoryCarrier, MemoryOutgoing, answering, failing
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, OutgoingCall
from proxy.tunnel.tunnel import DaemonLoad, FailedCall, TunnelState

READY, CONNECTING, LOST = TunnelState.READY, TunnelState.CONNECTING, TunnelState.LOST


class MemoryTunnel:
    """A `Tunnel` to a daemon of this process."""

    def __init__(
        self,
        name: str,
        handler: CallHandler | None = None,
        *,
        state: TunnelState = READY,
        load: DaemonLoad | None = None,
        calls: int = 0,
        silent: bool = False,
        capacity: int = 16,
    ) -> None:
        self.name = name
        self.state = state
        self.load = load or DaemonLoad()
        self.calls = calls
        self.silent = silent
        self.settled = asyncio.Event()
        self.awaited = asyncio.Event()
        self._carrier = MemoryCarrier(handler or answering(name.encode()), capacity=capacity)

    @property
    def reason(self) -> str:
        return f"daemon {self.name} is unreachable: no answer"

    @property
    def opened(self) -> list[MemoryOutgoing]:
        return self._carrier.calls

    @property
    def was_opened(self) -> asyncio.Event:
        return self._carrier.opened

    def settle(self, state: TunnelState) -> None:
        self.state = state
        self.settled.set()

    async def wait_settled(self) -> None:
        self.awaited.set()
        await self.settled.wait()

    def open(self, head: CallHead) -> OutgoingCall:
        if self.state is not READY:
            return FailedCall(CallStatus(Code.UNAVAILABLE, self.reason, retryable=True))
        return self._carrier.open(head)

    def use_scheduler(self, name: str) -> None:
        raise NotImplementedError

    async def close(self) -> None:
        raise NotImplementedError


def away(message: str = "draining") -> CallHandler:
    """A daemon that surely has not begun on the call."""
    return failing(Code.UNAVAILABLE, message, retryable=True)
