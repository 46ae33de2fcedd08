"""The daemon's handler: takes each call that comes through a tunnel to where it is answered.

What happens to a call, in this order: it is refused if the daemon drains or its deadline has passed; it is held to its
deadline; and by its path it is routed, answered here, or passed through to the default backend by bytes, which is the
way of everything that no route claims.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from policies.selection.base import Candidate, Policy
from policies.selection.registry import require_candidate
from proxy.clock import Clock
from proxy.daemon import health, trailers
from proxy.daemon import triton as messages
from proxy.daemon.catalogue import ABOUT_ONE_MODEL, Catalogue
from proxy.daemon.deadlines import LATE, AnswerWatch, Limit
from proxy.daemon.guard import GuardedPolicy, GuardStatistics, guarded_policy
from proxy.daemon.infer import UnaryInfer
from proxy.daemon.infer_stream import InferStream
from proxy.daemon.load import LoadStatistics
from proxy.daemon.noted_call import noted
from proxy.daemon.probe import Probe
from proxy.daemon.routes import Backend, DispatchSettings, Routes
from proxy.daemon.selection import RoutedRequest, Selection
from proxy.daemon.sequences import Sequences
from proxy.daemon.shared_memory import require_same_host
from proxy.daemon.triton_metrics import MetricsPoll
from proxy.daemon.waiting_room import WaitingStatistics
from proxy.daemon.way_back import ReadPaths, WaysBack, no_paths
from proxy.errors import CallError, Code
from proxy.relay import relay
from proxy.telemetry import names
from proxy.telemetry.daemon_account import conclude_at_daemon
from proxy.telemetry.route_metrics import RouteMetrics
from proxy.telemetry.tracing import NO_TRACING, CallSpan, Tracing
from proxy.tunnel.exchange import CallHead, CallStatus, Carrier, IncomingCall, Metadata

Story = Callable[[IncomingCall, Limit, CallSpan], Awaitable[CallStatus]]
"""Serves one kind of call to its end and finishes it. Raises CallError for one that is to be refused."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What a daemon tells proxies about itself."""

    calls: int
    """Accepted and not finished."""
    draining: bool
    serving: tuple[str, ...]
    """The backends that answer."""


class Dispatcher:
    """A `CallHandler`.

    Its `probe` is to run beside it; without, only requests notice who is away and who is back. So is `metrics`, for the
    Tritons that have them.
    """

    def __init__(
        self,
        settings: DispatchSettings,
        carriers: Mapping[str, Carrier],
        *,
        clock: Clock,
        tracing: Tracing = NO_TRACING,
        paths: ReadPaths = no_paths,
        requests: RouteMetrics | None = None,
    ) -> None:
        self._settings = settings
        self._clock = clock
        self._tracing = tracing
        self._backends = {
            backend.name: Backend(backend.name, backend.address, carriers[backend.name])
            for backend in settings.backends
        }
        self._default = self._backends[settings.default]
        self._routes = Routes(settings.routes, self._backends, requests, clock=clock)
        self._selection = Selection(
            settings.classes,
            Sequences(idle_s=settings.sequence_idle_s, capacity=settings.sequences),
            WaysBack(paths),
        )
        self._unary_infer = UnaryInfer(self._selection, clock=clock)
        self._catalogue = Catalogue(self._routes, self._backends, settings.default, clock=clock)
        self._stories = self._stories_by_path()
        self._calls = 0
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.probe = Probe(self._routes, self._backends, clock=clock)
        self.metrics = MetricsPoll(
            self._routes, {backend.name: backend.metrics for backend in settings.backends if backend.metrics}
        )

    def __repr__(self) -> str:
        state = "draining" if self._draining else "serving"
        return f"<Dispatcher {state}, {self._calls} calls, {len(self._routes)} routes, default {self._default}>"

    async def __call__(self, incoming: IncomingCall) -> None:
        """Serve one call to its end."""
        head = incoming.head
        span = self._tracing.server_span(head, address=self._settings.listen)
        status = CallStatus(Code.CANCELLED)
        self._calls += 1
        self._idle.clear()
        try:
            status = await self._serve(incoming, head, span)
        except CallError as error:
            status = trailers.refusal(error)
            if error.reason:
                span.set(names.DROPPED_REASON, error.reason)
            span.event(names.DROP)
            await incoming.finish(status)
        finally:
            self._calls -= 1
            if not self._calls:
                self._idle.set()
            if head.times is None:
                span.finish(status)
            else:
                head.times.when_left(partial(conclude_at_daemon, span, head, head.times, status, self._clock.now))

    @property
    def backends(self) -> tuple[str, ...]:
        """The names of all."""
        return tuple(self._backends)

    def report(self) -> LoadReport:
        """What the proxies are told."""
        return LoadReport(self._calls, self._draining, self.probe.serving)

    def statistics(self) -> dict[tuple[str, str], LoadStatistics]:
        """The account of each candidate, by Triton and model."""
        return {(backend, model): load.statistics() for backend, model, load in self._routes.models()}

    def candidates(self) -> dict[str, tuple[Candidate, ...]]:
        """The candidates of each route, as its policy sees them now."""
        now = self._clock.now()
        return {
            route.name: tuple(
                candidate.load.account.candidate(quality=candidate.quality, now=now) for candidate in route.candidates
            )
            for route in self._routes
        }

    def policies(self) -> dict[str, str]:
        """The policy of each route, by name."""
        return {route.name: route.policy.name for route in self._routes}

    def guards(self) -> dict[str, GuardStatistics]:
        """How often greedy decided in place of the policy, and why, where the policy is learned or decides late."""
        guards = {
            route.name: route.policy.statistics() for route in self._routes if isinstance(route.policy, GuardedPolicy)
        }
        return guards | {route.name: route.waiting.guard() for route in self._routes if route.waiting is not None}

    def waiting(self) -> dict[str, WaitingStatistics]:
        """What waits in the daemon, of each route."""
        return {
            route.name: WaitingStatistics() if route.waiting is None else route.waiting.statistics()
            for route in self._routes
        }

    def use_policy(self, route: str, policy: str | Policy) -> None:
        """Have another policy decide from now on.

        Raises ValueError naming what is unknown, and what is known, or why a checkpoint can't be used: the policy of
        before then stays.
        """
        found = self._routes.find(route.encode())
        if found is None:
            raise ValueError(f"unknown route {route!r}; known are {', '.join(sorted(self.policies())) or 'none'}")
        if isinstance(policy, str):
            require_candidate(policy, {candidate.model for candidate in found.candidates})
        self._routes.use_policy(found, guarded_policy(policy) if isinstance(policy, str) else policy)

    def drain(self) -> None:
        """Refuse new calls from now on; those in progress go on."""
        self._draining = True

    async def wait_idle(self, timeout_s: float) -> bool:
        """Wait until no call is in progress. False when that takes longer."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def _stories_by_path(self) -> dict[str, Story]:
        stories: dict[str, Story] = dict.fromkeys(messages.SHARED_MEMORY, self._shared_memory)
        stories[messages.HEALTH_CHECK] = self._health
        if len(self._routes):
            stories |= dict.fromkeys(ABOUT_ONE_MODEL, self._about_model)
            stories[messages.MODEL_INFER] = self._infer
            stories[messages.MODEL_STREAM_INFER] = self._infer_stream
            stories[messages.REPOSITORY_INDEX] = self._index
        return stories

    async def _serve(self, incoming: IncomingCall, head: CallHead, span: CallSpan) -> CallStatus:
        if self._draining and head.path != messages.HEALTH_CHECK:
            raise CallError(
                Code.UNAVAILABLE,
                f"daemon at {self._settings.listen} is draining",
                reason=trailers.SHUTTING_DOWN,
            )
        story = self._stories.get(head.path, self._pass_through)
        limit = Limit(head, self._settings.classes.get(head.traffic_class))
        if not limit.needed:
            return await story(incoming, limit, span)
        if head.deadline.limit_at <= self._clock.now():
            raise CallError(Code.DEADLINE_EXCEEDED, LATE)
        if head.unary:
            limit.answer_by(limit.target_at)
        return await limit.hold(story(incoming, limit, span))

    async def _pass_through(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        if limit.fails:
            incoming = AnswerWatch(incoming, limit, clock=self._clock)
        onward = span.child(address=self._default.address)
        status = CallStatus(Code.CANCELLED)
        try:
            outgoing = self._default.carrier.open(_injected(incoming.head, onward))
            status = await relay(incoming, noted(outgoing, incoming.head.times, clock=self._clock))
        finally:
            onward.finish(status)
        await incoming.finish(status)
        return status

    async def _infer(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        message = await incoming.receive()
        route = None if message is None else self._routes.find(messages.model_name(message))
        if message is None or route is None:
            return await self._pass_through(Unread(incoming, message), limit, span)
        try:
            facts = messages.infer_facts(message)
        except messages.MalformedMessageError:
            return await self._pass_through(Unread(incoming, message), limit, span)
        head = incoming.head
        deadline_at = head.deadline.target_at
        if facts.timeout_s is not None:
            deadline_at = min(deadline_at, head.accepted_at + facts.timeout_s)
            limit.answer_by(deadline_at)
        request = RoutedRequest(route, message, facts, head.traffic_class, deadline_at, tunnel=head.tunnel)
        return await self._unary_infer.serve(incoming, request, limit, span)

    async def _infer_stream(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        stream = InferStream(
            incoming,
            routes=self._routes,
            default=self._default,
            selection=self._selection,
            limit=limit,
            span=span,
            clock=self._clock,
        )
        return await stream.run()

    async def _about_model(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        message = await incoming.receive()
        route = None if message is None else self._routes.find(messages.model_name(message))
        if message is None or route is None:
            return await self._pass_through(Unread(incoming, message), limit, span)
        return await self._catalogue.about(incoming, _injected(incoming.head, span), message, route)

    async def _index(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        message = await incoming.receive()
        if message is None:
            return await self._pass_through(Unread(incoming, message), limit, span)
        try:
            return await self._catalogue.index(incoming, _injected(incoming.head, span), message)
        except messages.MalformedMessageError:
            return await self._pass_through(Unread(incoming, message), limit, span)

    async def _health(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        head = _injected(incoming.head, span)
        return await health.check(incoming, head, self._default, draining=self._draining)

    async def _shared_memory(self, incoming: IncomingCall, limit: Limit, span: CallSpan) -> CallStatus:
        head = incoming.head
        require_same_host(head.path, head.peer, self._default.address)
        return await self._pass_through(incoming, limit, span)


class Unread:
    """An incoming call whose first message has been looked at, and comes again."""

    def __init__(self, incoming: IncomingCall, first: bytes | None) -> None:
        self._incoming = incoming
        self._first = first
        self._again = True

    @property
    def head(self) -> CallHead:
        """The call's own."""
        return self._incoming.head

    async def receive(self) -> bytes | None:
        """The first message again, then the others."""
        if self._again:
            self._again = False
            return self._first
        return await self._incoming.receive()

    async def send_initial_metadata(self, metadata: Metadata) -> None:
        """As the call does."""
        await self._incoming.send_initial_metadata(metadata)

    async def send(self, message: bytes) -> None:
        """As the call does."""
        await self._incoming.send(message)

    async def finish(self, status: CallStatus) -> None:
        """As the call does."""
        await self._incoming.finish(status)


def _injected(head: CallHead, span: CallSpan) -> CallHead:
    metadata = span.inject(head.metadata)
    return head if metadata is head.metadata else head.with_metadata(metadata)
