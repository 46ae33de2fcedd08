"""The story of one `ModelStreamInfer` call of a daemon with routes.

Each message of the request names a model, so each is routed on its own. A *leg* is a stream to one backend: one for all
messages that pass through, and one for each backend and route. A leg thus carries requests of one name only, and its
answers get that name back without guessing. Answers are passed on one by one as they come; their order is that of each
leg.

Triton marks the last answer to a request. Where the client has not asked for it, the daemon asks for the mark to come
even when there is nothing else in it, so that it knows when a request is finished, and keeps such an empty answer to
itself.

A leg that ends with UNAVAILABLE before a request had its first answer hands it to another candidate, as with
`ModelInfer`. If every request finds one, the client notices nothing; else the call ends with the leg's status.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace

from policies.traffic import NO_DEADLINE
from proxy.clock import Clock
from proxy.daemon import trailers
from proxy.daemon import triton as messages
from proxy.daemon.deadlines import Limit
from proxy.daemon.infer import note_answered, note_choice, settle, worth_another
from proxy.daemon.routes import Backend, Route, RouteCandidate, Routes
from proxy.daemon.selection import RoutedRequest, Selection
from proxy.errors import CallError, Code
from proxy.telemetry import names
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallStatus, CallTimes, IncomingCall, InitialMetadata, Metadata, OutgoingCall


class StreamEndedError(Exception):
    """The whole call ends with this status; ends the other legs on its way up."""

    def __init__(self, status: CallStatus) -> None:
        super().__init__(status.message)
        self.status = status


@dataclass(slots=True, eq=False)
class Pending:
    """A routed request whose last answer has not come."""

    request: RoutedRequest
    candidate: RouteCandidate
    tried: list[RouteCandidate]
    answers: int = 0
    """Messages of its answer that have come. The empty one that only marks the end is none."""


@dataclass(slots=True, eq=False)
class Leg:
    """A stream to one backend."""

    backend: Backend
    route: Route | None
    """None: its messages pass through."""
    call: OutgoingCall
    span: CallSpan
    pending: list[Pending] = field(default_factory=list)
    """In the order in which they were sent."""
    sending: asyncio.Lock = field(default_factory=asyncio.Lock)
    """A request that comes from another leg must not cut in on one that is being sent."""

    def settle(self, status: CallStatus, *, now: float) -> None:
        """Every request still pending ended with this status."""
        for pending in self.pending:
            settle(pending.candidate.load, pending, status, messages=pending.answers, now=now)

    def abandon(self, *, now: float) -> None:
        """Give the stream up, and what is pending on it; nothing for one that has ended."""
        for pending in self.pending:
            pending.candidate.load.abandoned(pending, now=now)
        self.pending.clear()
        self.call.cancel()
        self.span.finish(CallStatus(Code.CANCELLED))

    def pending_of(self, answer: messages.StreamAnswer) -> Pending | None:
        """The request that an answer belongs to.

        By its id; without one the oldest that the answering model has. That may be the wrong one of several to the same
        decoupled model, and then only their latencies are mixed up.
        """
        for pending in self.pending:
            if answer.id:
                if pending.request.facts.id == answer.id:
                    return pending
            elif not answer.model or pending.candidate.model == answer.model:
                return pending
        return None


class InferStream:
    """One call. `run` serves it to its end."""

    def __init__(
        self,
        incoming: IncomingCall,
        *,
        routes: Routes,
        default: Backend,
        selection: Selection,
        limit: Limit,
        span: CallSpan,
        clock: Clock,
    ) -> None:
        self._incoming = incoming
        self._routes = routes
        self._default = default
        self._selection = selection
        self._limit = limit
        self._span = span
        self._clock = clock
        self._times = incoming.head.times or CallTimes()
        self._group = asyncio.TaskGroup()
        self._open: dict[tuple[str, str | None], Leg] = {}
        """Legs that can take requests, by backend and route."""
        self._legs: set[Leg] = set()
        """Legs that have not ended."""
        self._half_closed = False
        self._answering = asyncio.Lock()
        self._headers_sent = False
        self._answered_by: dict[RouteCandidate, Route] = {}
        self._unanswered: dict[int, RoutedRequest] = {}
        self._trailing: Metadata = ()

    async def run(self) -> CallStatus:
        """Serve the call to its end and finish it."""
        status = CallStatus(Code.OK)
        left = True
        try:
            async with self._group:
                await self._take_requests()
            left = False
        except* StreamEndedError as ended:
            left = False
            first = ended.exceptions[0]
            status = first.status if isinstance(first, StreamEndedError) else status
        finally:
            now = self._clock.now()
            for leg in self._legs:
                leg.abandon(now=now)
            for request in self._unanswered.values():
                if not left or now >= request.deadline_at:  # a caller that left before that tells nothing
                    request.route.numbers.ended(request.traffic_class, worth=0.0)
        added = trailers.chosen_in_stream((route, candidate) for candidate, route in self._answered_by.items())
        status = CallStatus(status.code, status.message, (status.metadata or self._trailing) + added)
        await self._incoming.finish(status)
        return status

    async def _take_requests(self) -> None:
        while (message := await self._incoming.receive()) is not None:
            route = self._routes.find(messages.model_name(message))
            if route is None or not await self._take_routed(route, message):
                leg = self._leg(self._default, None)
                self._times.sent_at = self._times.sent_at or self._clock.now()
                async with leg.sending:
                    await leg.call.send(message)
        if not self._legs and not self._headers_sent:
            self._leg(self._default, None)  # an empty stream: let the backend answer
        self._half_closed = True
        self._open.clear()
        for leg in list(self._legs):
            async with leg.sending:
                await leg.call.close_sending()

    async def _take_routed(self, route: Route, message: bytes) -> bool:
        """Route one request. False when it can't be read: then the backend has the words for it."""
        try:
            facts = messages.infer_facts(message, prompt=True)
        except messages.MalformedMessageError:
            return False
        now = self._clock.now()
        head = self._incoming.head
        deadline_at = min(self._limit.target_of_message(received_at=now), head.deadline.limit_at)
        if facts.timeout_s is not None:
            deadline_at = min(deadline_at, now + facts.timeout_s)
        request = RoutedRequest(
            route, message, facts, head.traffic_class, deadline_at, streaming=True, tunnel=head.tunnel
        )
        self._unanswered[id(request)] = request
        try:
            await self._send(request, tried=[])
        except CallError as error:
            await self._refuse(request, error)
        return True

    async def _send(self, request: RoutedRequest, tried: list[RouteCandidate]) -> None:
        """Send a request to a candidate that has not failed it. Raises CallError when there is none for it."""
        now = self._clock.now()
        selected = self._selection.choose(request, tried=tried, span=self._span, now=now)
        if not self._times.sent_at:
            self._times.asked_at = now
            self._times.decided_at = self._times.sent_at = self._clock.now()
        candidate = selected.candidate
        note_choice(self._span, request, selected)
        leg = self._leg(candidate.backend, request.route)
        pending = Pending(request, candidate, [*tried, candidate])
        leg.pending.append(pending)
        candidate.load.sent(pending, prompt_tokens=request.facts.prompt or 0, now=self._clock.now())
        self._watch_oldest()
        # A client that asks for the mark gets it anyway; one that asks in the wrong type gets Triton's error.
        suffix = candidate.marked_request_suffix if request.facts.empty_final is False else candidate.request_suffix
        async with leg.sending:
            await leg.call.send(request.message + suffix)
            if self._half_closed:
                await leg.call.close_sending()

    async def _refuse(self, request: RoutedRequest, error: CallError) -> None:
        """Tell the client about one request, in the way in which it wants to be told."""
        self._note_worth(request, 0.0)
        if (messages.GRPC_ERROR_KEY, "true") in self._incoming.head.metadata:
            raise StreamEndedError(trailers.refusal(error))
        await self._pass_on(messages.stream_error(request.facts.id, error.message))

    def _leg(self, backend: Backend, route: Route | None) -> Leg:
        key = (backend.name, None if route is None else route.name)
        leg = self._open.get(key)
        if leg is None:
            span = self._span.child(address=backend.address)
            head = self._incoming.head
            leg = Leg(backend, route, backend.carrier.open(head.with_metadata(span.inject(head.metadata))), span)
            self._legs.add(leg)
            if not self._half_closed:
                self._open[key] = leg
            self._group.create_task(self._take_answers(leg), name=f"{messages.MODEL_STREAM_INFER} {backend.name}")
        return leg

    async def _take_answers(self, leg: Leg) -> None:
        while not isinstance(event := await leg.call.receive(), CallStatus):
            if isinstance(event, InitialMetadata):
                await self._send_headers(event.metadata)
            elif leg.route is None:
                self._times.answered_at = self._times.answered_at or self._clock.now()
                await self._pass_on(event)
            else:
                await self._take_routed_answer(leg, leg.route, event)
        await self._take_end(leg, event)

    async def _take_routed_answer(self, leg: Leg, route: Route, message: bytes) -> None:
        try:
            answer = messages.stream_answer(message)
        except messages.MalformedMessageError:
            await self._pass_on(message)
            return
        pending = leg.pending_of(answer)
        if pending is not None:
            self._note_answer(leg, pending, answer, len(message))
            if answer.empty and not pending.request.facts.empty_final:
                return
        candidate = route.of_model(answer.model, leg.backend) if answer.model else None
        if candidate is not None:
            self._answered_by.setdefault(candidate, route)
            message += candidate.stream_answer_suffix
        await self._pass_on(message)

    def _note_answer(self, leg: Leg, pending: Pending, answer: messages.StreamAnswer, length: int) -> None:
        load = pending.candidate.load
        if not pending.answers:
            pending.request.route.answers.answered(pending.request.traffic_class, length)
            now = self._clock.now()
            if not self._times.answered_at:
                self._times.begun_at = load.begun_at(pending, streaming=True, now=now)
                note_answered(self._times, now=now)
            load.began(pending, now=now)
            in_time = now <= pending.request.deadline_at and not answer.failed
            self._note_worth(pending.request, pending.candidate.quality if in_time else 0.0)
            pending.request = replace(pending.request, message=b"")  # it is not sent again, and may be large
            self._span.event(names.FIRST_MESSAGE)
            pending.answers = 1
            self._watch_oldest()
        elif not answer.empty:
            pending.answers += 1
        if answer.final:
            leg.pending.remove(pending)
            code = Code.INTERNAL if answer.failed and answer.model else Code.OK
            load.finished(pending, code, messages=pending.answers, now=self._clock.now())

    def _note_worth(self, request: RoutedRequest, worth: float) -> None:
        """What the answer comes to is clear when it begins."""
        del self._unanswered[id(request)]
        request.route.numbers.ended(request.traffic_class, worth=worth)

    async def _take_end(self, leg: Leg, status: CallStatus) -> None:
        self._legs.discard(leg)
        key = (leg.backend.name, None if leg.route is None else leg.route.name)
        if self._open.get(key) is leg:
            del self._open[key]
        leg.span.finish(status)
        leg.settle(status, now=self._clock.now())
        if status.ok:
            self._trailing = self._trailing or status.metadata
            return
        if leg.route is None or status.code != Code.UNAVAILABLE:
            raise StreamEndedError(status)
        for pending in leg.pending:
            self._selection.lost(pending.request)
        now = self._clock.now()
        for pending in leg.pending:
            if pending.answers or not worth_another(pending.request, status, pending.tried, now=now):
                raise StreamEndedError(status)
        for pending in leg.pending:
            self._span.event(names.RETRY)
            try:
                await self._send(pending.request, pending.tried)
            except CallError as error:
                raise StreamEndedError(status) from error

    async def _send_headers(self, metadata: Metadata) -> None:
        async with self._answering:
            if not self._headers_sent:
                self._headers_sent = True
                await self._incoming.send_initial_metadata(metadata)

    async def _pass_on(self, message: bytes) -> None:
        async with self._answering:
            self._headers_sent = True
            await self._incoming.send(message)

    def _watch_oldest(self) -> None:
        """Hold the call to the deadline of the request that is due first, where its class fails late answers."""
        if self._limit.fails:
            due = [pending.request.deadline_at for leg in self._legs for pending in leg.pending if not pending.answers]
            self._limit.answer_by(min(due, default=NO_DEADLINE))
