"""The end of `load` that the experiment holds: one command out, one answer back."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from ops.bench.figures import Measurement
from ops.bench.processes import Child, python, started


class LoadGenerator:
    """A client process. Its commands run one at a time."""

    def __init__(self, child: Child) -> None:
        self._child = child

    async def probe(self, address: str, *, timeout_s: float) -> None:
        """Wait until a call comes back with the right answer. Raises `CommandError` when none does in time."""
        await self._child.ask({"probe": address, "timeout": timeout_s})

    async def measure(
        self,
        address: str,
        *,
        body_bytes: int,
        callers: int,
        seconds: float,
        warm_up_s: float,
        seed: int,
        pids: Sequence[int],
    ) -> Measurement:
        """Latency and rate of `callers` callers, and the CPU time of `pids` meanwhile."""
        answer = await self._child.ask(
            {
                "measure": address,
                "body": body_bytes,
                "callers": callers,
                "seconds": seconds,
                "warm_up": warm_up_s,
                "seed": seed,
                "pids": list(pids),
            }
        )
        return Measurement(**answer)

    async def hold(self, address: str, *, streams: int) -> None:
        """Open streams that stay idle until `release`. Raises `CommandError` when not all of them open."""
        await self._child.ask({"hold": address, "streams": streams})

    async def release(self) -> None:
        """Cancel the streams that are held."""
        await self._child.ask({"release": True})


@contextlib.asynccontextmanager
async def load_generator(name: str, log: Path) -> AsyncIterator[LoadGenerator]:
    """A client process, for as long as the block runs."""
    async with started(name, python("ops.bench.load"), log=log, talks=True) as child:
        yield LoadGenerator(child)
