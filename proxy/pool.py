"""Several daemons behind one carrier.

Pick by reported load, wait for a tunnel that is coming up, fail over what has not begun. The daemons may change: a
tunnel that is added takes calls from then on, one that is retired keeps those that it has.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from typing import Protocol

from proxy.errors import Code
from proxy.tasks import spawn
from proxy.tunnel.exchange import CallHead, CallStatus, InitialMetadata, OutgoingCall
from proxy.tunnel.tunnel import FailedCall, Tunnel, TunnelState

CONNECT_PATIENCE_S = 1.0
"""How long a call waits for tunnels that are connecting for the first time. Past it, the daemons count as away."""
KEPT_BYTES = 8 * 1024 * 1024
"""Messages of one call that are kept until its answer begins, so that another daemon can be tried. A call that has
sent more stays."""


def pick(tunnels: Sequence[Tunnel], *, avoid: frozenset[str] = frozenset(), turn: int = 0) -> Tunnel | None:
    """The ready tunnel whose daemon has the least to do; None if there is none.

    A daemon's own report counts all proxies' calls but is up to a second old, so our calls under way there count as
    well. Daemons that drain, whose backends are away, or that are silent come last. Of equals it is the first, counted
    from the `turn`-th: whoever raises `turn` with each call spreads calls over daemons that have nothing to do.
    """
    ready = [t for t in tunnels if t.state is TunnelState.READY and t.name not in avoid]
    if len(ready) < 2:  # noqa: PLR2004 -- no choice
        return ready[0] if ready else None
    first = turn % len(ready)
    return min(
        ready[first:] + ready[:first],
        key=lambda t: (t.load.draining, not t.load.serving, t.silent, max(t.load.calls, t.calls)),
    )


class Source(Protocol):
    """What adds tunnels to a pool and retires them, such as a DNS name."""

    @property
    def settled(self) -> bool:
        """Whether it is known by now which daemons there are."""

    @property
    def reason(self) -> str:
        """Why it has no daemon; empty while it has one."""

    async def wait_settled(self) -> None:
        """Return once it is known which daemons there are, or that this can't be found out."""


class DaemonPool:
    """A `Carrier` over tunnels to several daemons."""

    def __init__(self, tunnels: Sequence[Tunnel] = ()) -> None:
        self._tunnels = tuple(tunnels)
        self._retired: tuple[Tunnel, ...] = ()
        self._sources: tuple[Source, ...] = ()
        self._calls: Counter[Tunnel] = Counter()
        self._turn = 0

    def __repr__(self) -> str:
        states = [f"{t.name} {t.state.name}" for t in self._tunnels]
        return f"<DaemonPool {', '.join(states + [f'{t.name} retired' for t in self._retired])}>"

    @property
    def tunnels(self) -> tuple[Tunnel, ...]:
        """One for each daemon that takes calls."""
        return self._tunnels

    @property
    def retired(self) -> tuple[Tunnel, ...]:
        """Those that take no new calls."""
        return self._retired

    @property
    def sources(self) -> tuple[Source, ...]:
        """What the tunnels come from that come and go."""
        return self._sources

    @property
    def serving(self) -> bool:
        """Whether a call has a daemon to go to that takes it, and that has a backend."""
        return any(t.state is TunnelState.READY and t.load.serving and not t.load.draining for t in self._tunnels)

    def calls(self, tunnel: Tunnel) -> int:
        """The pool's calls under way there."""
        return self._calls[tunnel]

    def follow(self, source: Source) -> None:
        """Have calls wait for what `source` may bring, and say why it brings nothing."""
        self._sources += (source,)

    def add(self, tunnel: Tunnel) -> None:
        """Give `tunnel` calls from now on. It may have been retired."""
        self.drop(tunnel)
        self._tunnels += (tunnel,)

    def retire(self, tunnel: Tunnel) -> None:
        """Give `tunnel` no new calls. Those under way there go on."""
        self.drop(tunnel)
        self._retired += (tunnel,)

    def drop(self, tunnel: Tunnel) -> None:
        """Forget `tunnel`. Closing it is up to whoever opened it."""
        self._tunnels = tuple(t for t in self._tunnels if t is not tunnel)
        self._retired = tuple(t for t in self._retired if t is not tunnel)

    def open(self, head: CallHead) -> OutgoingCall:
        """See the port."""
        return _PooledCall(self, head)

    def choose(self, *, avoid: frozenset[str] = frozenset()) -> Tunnel | None:
        """The tunnel for the next call, or for another attempt at one; None if none is ready."""
        self._turn += 1
        return pick(self._tunnels, avoid=avoid, turn=self._turn)

    async def settled(self) -> None:
        """Return once a tunnel is ready, all have failed, or patience is over."""
        try:
            async with asyncio.timeout(CONNECT_PATIENCE_S):
                while pick(self._tunnels) is None and (unsettled := self._unsettled()):
                    # A name that is resolved brings tunnels, so what is waited for is asked again each time.
                    waits = [spawn(one.wait_settled(), name=f"waiting for {one!r}") for one in unsettled]
                    try:
                        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        for wait in waits:
                            wait.cancel()
        except TimeoutError:
            return

    def unavailable(self) -> CallStatus:
        """Why no daemon can take a call."""
        reasons = [t.reason for t in self._tunnels] + [s.reason for s in self._sources if s.reason]
        return CallStatus(Code.UNAVAILABLE, "; ".join(reasons) or "no daemon is configured")

    def began(self, tunnel: Tunnel) -> None:
        """A call is under way there."""
        self._calls[tunnel] += 1

    def ended(self, tunnel: Tunnel) -> None:
        """It no longer is."""
        self._calls[tunnel] -= 1
        if not self._calls[tunnel]:
            del self._calls[tunnel]

    def _unsettled(self) -> list[Tunnel | Source]:
        return [
            *(t for t in self._tunnels if t.state is TunnelState.CONNECTING),
            *(s for s in self._sources if not s.settled),
        ]


class _PooledCall:
    """A call that moves on to another daemon while nobody can have begun on it."""

    def __init__(self, pool: DaemonPool, head: CallHead) -> None:
        self._pool = pool
        self._head = head
        self._call: OutgoingCall | None = None
        self._tunnel: Tunnel | None = None
        self._tried: set[str] = set()
        self._kept: list[bytes] | None = []
        self._kept_bytes = 0
        self._closed = False
        self._cancelled = False
        self._replay: asyncio.Task[None] | None = None
        tunnel = pool.choose()
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
            if isinstance(event, CallStatus):
                self._leave()
            if self._kept is None or not isinstance(event, CallStatus) or not event.retryable:
                self._kept = None
                return event
            following = self._pool.choose(avoid=frozenset(self._tried))
            if following is None or self._cancelled:
                self._kept = None
                return event
            call = self._repeat_on(following)

    def cancel(self) -> None:
        """See the port."""
        self._cancelled = True
        self._leave()
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
        if self._cancelled:
            self._call = FailedCall(CallStatus(Code.CANCELLED, "cancelled by the caller"))
            return self._call
        tunnel = self._pool.choose()
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
        self._tunnel = tunnel
        self._pool.began(tunnel)
        call = self._call = tunnel.open(self._head)
        return call

    def _leave(self) -> None:
        """The call is no longer under way where it was."""
        tunnel, self._tunnel = self._tunnel, None
        if tunnel is not None:
            self._pool.ended(tunnel)


async def _write_all(call: OutgoingCall, messages: Sequence[bytes], *, closed: bool) -> None:
    for index, message in enumerate(messages, 1):
        await call.send(message, last=closed and index == len(messages))
    if closed and not messages:
        await call.close_sending()
