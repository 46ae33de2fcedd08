"""Answers about models for the names of routes, as if each were one model of Triton's.

`ModelReady`: whether any candidate is. `ModelMetadata` and `ModelConfig`: those of the first candidate that answers,
ready ones first; candidates of a route have the same inputs and outputs. `ModelStatistics`: the candidates' added up,
since requests for the name are spread over them. `RepositoryIndex`: the models of all Tritons, and the routes.
Statistics asked for without a name are the default Triton's own and pass through.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from proxy.clock import Clock
from proxy.daemon import triton as messages
from proxy.daemon.routes import Backend, Route, RouteCandidate, Routes
from proxy.daemon.unary import UnaryAnswer, ask, deliver, reply
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

ABOUT_ONE_MODEL = frozenset(
    {messages.MODEL_READY, messages.MODEL_METADATA, messages.MODEL_CONFIG, messages.MODEL_STATISTICS}
)


class Catalogue:
    """Serves the calls about models that concern routes."""

    def __init__(self, routes: Routes, backends: Mapping[str, Backend], default: str, *, clock: Clock) -> None:
        self._routes = routes
        self._backends = backends
        self._default = default
        self._clock = clock

    async def about(self, incoming: IncomingCall, head: CallHead, message: bytes, route: Route) -> CallStatus:
        """Answer a call about one model, which is a route."""
        match head.path:
            case messages.MODEL_READY:
                return await self._ready(incoming, head, message, route)
            case messages.MODEL_STATISTICS:
                return await self._statistics(incoming, head, message, route)
            case messages.MODEL_CONFIG:
                return await self._first(incoming, head, message, route, messages.config_suffix(route.name))
            case _:
                return await self._first(incoming, head, message, route, messages.name_suffix(route.name))

    async def index(self, incoming: IncomingCall, head: CallHead, message: bytes) -> CallStatus:
        """Answer `RepositoryIndex`. A Triton that does not answer is left out, unless it is the default one.

        Raises MalformedMessageError.
        """
        ready_only = messages.wants_ready_only(message)
        answers = dict(
            zip(
                self._backends,
                await asyncio.gather(*(ask(backend.carrier, head, message) for backend in self._backends.values())),
                strict=True,
            )
        )
        own = answers[self._default]
        if not own.ok:
            return await deliver(incoming, own)
        return await reply(
            incoming,
            messages.merged_index(
                {name: answer.message for name, answer in answers.items() if answer.message is not None},
                [
                    messages.IndexedRoute(
                        route.name, tuple((candidate.backend.name, candidate.model) for candidate in route.candidates)
                    )
                    for route in self._routes
                ],
                ready_only=ready_only,
            ),
        )

    async def _ready(self, incoming: IncomingCall, head: CallHead, message: bytes, route: Route) -> CallStatus:
        answers = await self._ask_all(head, message, route)
        said = [messages.is_ready(answer.message) for answer in answers if answer.ok and answer.message is not None]
        if not said:
            return await deliver(incoming, answers[0])
        return await reply(incoming, messages.ready_answer(ready=any(said)))

    async def _statistics(self, incoming: IncomingCall, head: CallHead, message: bytes, route: Route) -> CallStatus:
        answers = await self._ask_all(head, message, route)
        known = [answer.message for answer in answers if answer.ok and answer.message is not None]
        if not known:
            return await deliver(incoming, answers[0])
        return await reply(incoming, messages.combined_statistics(known, route.name))

    async def _first(
        self, incoming: IncomingCall, head: CallHead, message: bytes, route: Route, suffix: bytes
    ) -> CallStatus:
        now = self._clock.now()
        answer: UnaryAnswer | None = None
        for candidate in sorted(route.candidates, key=lambda candidate: not candidate.load.account.ready(now=now)):
            answer = await self._ask(head, message, candidate)
            if answer.ok:
                return await deliver(incoming, answer, suffix=suffix)
        if answer is None:
            raise AssertionError(f"route {route.name!r} has no candidates")
        return await deliver(incoming, answer)

    async def _ask_all(self, head: CallHead, message: bytes, route: Route) -> list[UnaryAnswer]:
        return await asyncio.gather(*(self._ask(head, message, candidate) for candidate in route.candidates))

    async def _ask(self, head: CallHead, message: bytes, candidate: RouteCandidate) -> UnaryAnswer:
        return await ask(candidate.backend.carrier, head, message + messages.name_suffix(candidate.model))
