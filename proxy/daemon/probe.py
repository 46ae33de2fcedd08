"""Looks after the backends: once a second, whether each answers, and whether it has each candidate ready.

Requests find out too, and at once; the probe finds out without costing a request its time, and notices a return.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from policies.traffic import Deadline
from proxy.clock import Clock
from proxy.daemon import triton as messages
from proxy.daemon.load import ModelLoad
from proxy.daemon.routes import Backend, Routes
from proxy.daemon.unary import UnaryAnswer, ask
from proxy.errors import Code
from proxy.tunnel.exchange import CallHead, CallStatus

logger = logging.getLogger(__name__)

INTERVAL_S = 1.0
"""Half of the time in which a Triton that comes back must be in use again, less what its reconnection takes."""
TIMEOUT_S = 1.0
"""A backend that does not answer a probe within this counts as away."""

_AWAY = frozenset({Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED})


class Probe:
    """Knows which backends answer, and keeps the readiness of models up to date."""

    def __init__(self, routes: Routes, backends: Mapping[str, Backend], *, clock: Clock) -> None:
        self._routes = routes
        self._backends = backends
        self._clock = clock
        self._serving: dict[str, bool] = dict.fromkeys(backends, True)

    def __repr__(self) -> str:
        return f"<Probe serving={','.join(self.serving) or 'none'}>"

    @property
    def serving(self) -> tuple[str, ...]:
        """Names of the backends that answered the last probe, or have not been asked yet."""
        return tuple(name for name, serving in self._serving.items() if serving)

    async def run(self) -> None:
        """Probe until cancelled."""
        while True:
            await self.probe()
            await asyncio.sleep(INTERVAL_S)

    async def probe(self) -> None:
        """Ask every backend once."""
        await asyncio.gather(*(self._probe_backend(backend) for backend in self._backends.values()))

    async def _probe_backend(self, backend: Backend) -> None:
        # Any status but these two is an answer: a server need not have a health service, and Triton's says NOT_SERVING
        # as long as one of its models is not ready.
        answer = await self._ask(backend, messages.HEALTH_CHECK, b"")
        serving = answer.status.code not in _AWAY
        if serving != self._serving[backend.name]:
            self._serving[backend.name] = serving
            logger.warning("%s %s", backend, "answers again" if serving else f"is away: {answer.status.message}")
        models = [(model, load) for name, model, load in self._routes.models() if name == backend.name]
        await asyncio.gather(*(self._probe_model(backend, model, load, serving=serving) for model, load in models))

    async def _probe_model(self, backend: Backend, model: str, load: ModelLoad, *, serving: bool) -> None:
        ready = False
        if serving:
            answer = await self._ask(backend, messages.MODEL_READY, messages.name_suffix(model))
            ready = answer.message is not None and messages.is_ready(answer.message)
        now = self._clock.now()
        if ready != load.account.ready(now=now):
            logger.warning("Model %s of %s is %s", model, backend, "ready again" if ready else "not ready")
        load.probed(ready=ready, now=now)

    async def _ask(self, backend: Backend, path: str, message: bytes) -> UnaryAnswer:
        now = self._clock.now()
        limit_at = now + TIMEOUT_S
        head = CallHead(path, deadline=Deadline(limit_at, limit_at), accepted_at=now, unary=True)
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return await ask(backend.carrier, head, message)
        except TimeoutError:
            return UnaryAnswer(CallStatus(Code.DEADLINE_EXCEEDED, f"no answer within {TIMEOUT_S:g} s"))
