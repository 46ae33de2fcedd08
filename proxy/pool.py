"""Several daemons behind one carrier.

Pick by reported load, wait for a tunnel that is coming up, fail over what has not begun.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from proxy.errors import Code
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, OutgoingCall
from proxy.tunnel.tunnel import FailedCall, Tunnel, TunnelState

CONNECT_PATIENCE_S = 1.0
"""How long a call waits for tunnels that are connecting for the first time. Past it, the daemons count as away."""
KEPT_BYTES = 8 * 1024 * 1024
"""Messages of one call that are kept until its answer begins, so that another daemon can be tried. A call that has
sent more stays."""


def pick(tunnels: Sequence[Tunnel], *, avoid: frozenset[str] = frozenset()) -> Tunnel | None:
    """The ready tunnel whose daemon has the least to do; None if there is none.

    A daemon's own report counts all proxies' calls but is up to a second old, so our calls under way there count as
    well. Daemons that drain, or whose backends are away, come last.
    """
    ready = [t for t in tunnels if t.state is TunnelState.READY and t.name not in avoid]
    if len(ready) == 1:
        return ready[0]
    return min(ready, key=lambda t: (t.load.draining, not t.load.serving, max(t.load.calls, t.calls)), default=None)


class DaemonPool:
    """A `Carrier` over tunnels to several daemons."""

    def __init__(self, tunnels: Sequence[Tunnel]) -> None:
        self._tunnels = tuple(tunnels)

    def __repr__(self) -> str:
        states = ", ".join(f"{t.name} {t.state.name}" for t in self._tunnels)
        return f"<DaemonPool {states}>"

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """One for each daemon."""
        return self._tunnels

    def open(self, head: CallHead) -> OutgoingCall:
        """See the port."""
        return _PooledCall(self, head)

    async def settled(self) -> None:
        """Return once a tunnel is ready, all have failed, or patience is over."""
        if pick(self._tunnels) is not None:
            return
        connecting = [t for t in self._tunnels if t.state is TunnelState.CONNECTING]
        waits = [spawn(t.wait_settled(), name=f"waiting for {t.name}") for t in connecting]
        if not waits:
            return
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                for wait in asyncio.as_completed(waits):
                    await wait
                    if pick(self._tunnels) is not None:
                        return
        except TimeoutError:
            return
        finally:
            for wait in waits:
                wait.cancel()

    def unavailable(self) -> CallStatus:
        """Why no daemon can take a call."""
        reasons = "; ".join(t.reason for t in self._tunnels)
        return CallStatus(Code.UNAVAILABLE, reasons or "no daemon is configured")


class _PooledCall:
    """A call that moves on to another daemon while nobody can have begun on it."""

    def __init__(self, pool: DaemonPool, head: CallHead) -> None:
        self._pool = pool
        self._head = head
        self._call: OutgoingCall | None = None
        self._tried: set[str] = set()
        self._kept: list[bytes] | None = []
        self._kept_bytes = 0
        self._closed = False
        self._cancelled = False
        self._replay: asyncio.Task[None] | None = None
        tunnel = pick(pool.tunnels)
        if tunnel is not None:
            self._use(tunnel)

    def __repr__(self) -> str:
        return f"<PooledCall tried={sorted(self._tried)} {self._call!r}>"

    @property
    def peer(self) -> str:
        """See the port."""
        return "" if self._call is None else self._call.peer

    async def send(self, message: bytes, *, last: bool = False) -> None:
        """See the port."""
        call = await self._caught_up()
        if self._kept is not None:
            self._kept_bytes += len(message)
            if self._kept_bytes > KEPT_BYTES:
                self._kept = None
            else:
                self._kept.append(message)
                self._closed = self._closed or last
        await call.send(message, last=last)

    async def close_sending(self) -> None:
        """See the port."""
        call = await self._caught_up()
        self._closed = True
        await call.close_sending()

    async def receive(self) -> InitialMetadata | bytes | CallStatus:
        """See the port."""
        call = self._call or await self._first()
        while True:
            event = await call.receive()
            if self._kept is None or not isinstance(event, CallStatus) or not event.retryable:
                self._kept = None
                return event
            following = pick(self._pool.tunnels, avoid=frozenset(self._tried))
            if following is None or self._cancelled:
                self._kept = None
                return event
            call = self._repeat_on(following)

    def cancel(self) -> None:
        """See the port."""
        self._cancelled = True
        if self._call is not None:
            self._call.cancel()
        if self._replay is not None:
            self._replay.cancel()

    async def _caught_up(self) -> OutgoingCall:
        """The call to write to, once it has got everything that was written before: messages keep their order."""
        call = self._call or await self._first()
        while self._replay is not None and not self._replay.done():
            await asyncio.wait({self._replay})
            call = self._call or call
        return call

    async def _first(self) -> OutgoingCall:
        await self._pool.settled()
        if self._call is not None:
            return self._call
        tunnel = pick(self._pool.tunnels)
        if self._cancelled:
            self._call = FailedCall(CallStatus(Code.CANCELLED, "cancelled by the caller"))
            return self._call
        if tunnel is None:
            self._call = FailedCall(self._pool.unavailable())
            return self._call
        return self._use(tunnel)

    def _repeat_on(self, tunnel: Tunnel) -> OutgoingCall:
        """Begin again there. What was written is repeated beside the reading: the answer may begin before the end."""
        call = self._use(tunnel)
        messages = tuple(self._kept or ())
        if messages or self._closed:
            self._replay = spawn(_write_all(call, messages, closed=self._closed), name=f"repeating to {tunnel.name}")
        return call

    def _use(self, tunnel: Tunnel) -> OutgoingCall:
        self._tried.add(tunnel.name)
        call = self._call = tunnel.open(self._head)
        return call


async def _write_all(call: OutgoingCall, messages: Sequence[bytes], *, closed: bool) -> None:
    for index, message in enumerate(messages, 1):
        await call.send(message, last=closed and index == len(messages))
    if closed and not messages:
        await call.close_sending()
