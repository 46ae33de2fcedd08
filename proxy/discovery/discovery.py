"""Keeps a pool's tunnels in step with the addresses of one DNS name.

A resolution that fails changes nothing: the daemons known last stay. So does an answer without any address, which
resolvers report as a failure: a headless Service whose pods are all unready is not told from a DNS server that lost
its zone, and a tunnel to a pod that is really gone ends by itself.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable

from proxy.clock import Clock
from proxy.config import Address, DnsName
from proxy.discovery.members import Member, changes, wait_s
from proxy.discovery.resolver import Resolver
from proxy.pool import DaemonPool
from proxy.tasks import spawn
from proxy.tunnel.tunnel import Tunnel, TunnelState

logger = logging.getLogger(__name__)

LOOK_S = 0.2
"""How often the tunnels' states are looked at. So much later than at once is a name resolved whose daemon is lost, and
a tunnel closed whose last call has ended."""


class Discovery:
    """A `proxy.pool.Source`: follows `name` from its making until `close`. Needs a running event loop."""

    def __init__(
        self,
        name: DnsName,
        *,
        pool: DaemonPool,
        open_tunnel: Callable[[Address], Tunnel],
        resolver: Resolver,
        interval_s: float,
        clock: Clock,
        rng: random.Random,
    ) -> None:
        self._name = name
        self._pool = pool
        self._open_tunnel = open_tunnel
        self._resolver = resolver
        self._interval_s = interval_s
        self._clock = clock
        self._rng = rng
        self._tunnels: dict[Address, Tunnel] = {}
        self._named: tuple[Address, ...] = ()
        self._failure = ""
        self._first_answer = asyncio.Event()
        self._lost: set[Address] = set()
        self._lost_since_asked = False
        self._asked_at = 0.0
        self._luck = 0.0
        self._asking: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        pool.follow(self)
        self._task = spawn(self._run(), name=f"addresses of {name}")

    def __repr__(self) -> str:
        failure = f" failing: {self._failure}" if self._failure else ""
        return f"<Discovery {self._name} [{', '.join(map(str, self._tunnels))}]{failure}>"

    @property
    def name(self) -> str:
        """As in the configuration."""
        return str(self._name)

    @property
    def settled(self) -> bool:
        """See the port."""
        return self._first_answer.is_set()

    @property
    def reason(self) -> str:
        """See the port."""
        if self._tunnels:
            return ""
        why = f"can't be resolved: {self._failure}" if self._failure else "is not resolved yet"
        return f"{self._name} {why}"

    async def wait_settled(self) -> None:
        """See the port."""
        await self._first_answer.wait()

    async def close(self) -> None:
        """Stop following, and close all tunnels."""
        tasks = [task for task in (self._task, self._asking) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for address in tuple(self._tunnels):
            self._close(address)
        await asyncio.gather(*self._closing, return_exceptions=True)

    async def _run(self) -> None:
        self._ask()
        while True:
            await asyncio.sleep(LOOK_S)
            self._look()
            if self._asking is None and self._clock.now() >= self._due_at():
                self._ask()

    def _due_at(self) -> float:
        urgent = self._lost_since_asked or not self._any_ready()
        return self._asked_at + wait_s(self._interval_s, urgent=urgent, luck=self._luck)

    def _any_ready(self) -> bool:
        return any(self._tunnels[a].state is TunnelState.READY for a in self._named if a in self._tunnels)

    # One question at a time: one that hangs holds a thread, and the tunnels' own connecting needs threads as well.
    def _ask(self) -> None:
        self._asked_at = self._clock.now()
        self._luck = self._rng.random()
        self._lost_since_asked = False
        self._asking = spawn(self._resolve(), name=f"resolving {self._name}")

    async def _resolve(self) -> None:
        try:
            named = await self._resolver.resolve(self._name.host, self._name.port)
        except OSError as error:
            self._failed(error.strerror or str(error))
        else:
            if self._failure:
                logger.warning("%s is resolved again", self._name)
            self._failure = ""
            self._named = named
            self._look()
        finally:
            self._asking = None
            self._first_answer.set()

    def _failed(self, why: str) -> None:
        if not self._failure:
            kept = f"; the {len(self._named)} known addresses stay" if self._named else ""
            logger.warning("%s can't be resolved: %s%s", self._name, why, kept)
        self._failure = why

    def _look(self) -> None:
        """Note who is lost, and do what is to be done."""
        for address, tunnel in self._tunnels.items():
            if tunnel.state is not TunnelState.LOST:
                self._lost.discard(address)
            elif address in self._named and address not in self._lost:
                self._lost.add(address)
                self._lost_since_asked = True
        todo = changes(self._members(), self._named)
        for address in todo.join:
            self._join(address)
        for address in todo.restore:
            logger.info("%s: %s is back", self._name, address)
            self._pool.add(self._tunnels[address])
        for address in todo.retire:
            tunnel = self._tunnels[address]
            logger.info("%s: %s is gone, %d calls under way", self._name, address, self._pool.calls(tunnel))
            self._pool.retire(tunnel)
        for address in todo.close:
            self._close(address)

    def _join(self, address: Address) -> None:
        try:
            tunnel = self._open_tunnel(address)
        except (OSError, ValueError) as error:  # a file of the configuration's that has become unreadable
            logger.error("%s: no tunnel to %s: %s", self._name, address, error)  # noqa: TRY400 -- no fault of the code
            self._named = tuple(one for one in self._named if one != address)  # until the name is resolved again
            return
        logger.info("%s: %s is new", self._name, address)
        self._tunnels[address] = tunnel
        self._pool.add(tunnel)

    def _members(self) -> dict[Address, Member]:
        retired = self._pool.retired
        return {
            address: Member(tunnel.state is TunnelState.READY, tunnel in retired, self._pool.calls(tunnel))
            for address, tunnel in self._tunnels.items()
        }

    def _close(self, address: Address) -> None:
        tunnel = self._tunnels.pop(address)
        self._lost.discard(address)
        self._pool.drop(tunnel)
        closing = spawn(tunnel.close(), name=f"closing the tunnel to {tunnel.name}")
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)
