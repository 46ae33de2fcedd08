"""The story of one `ModelInfer` for a route: choose, send, perhaps try another candidate, answer as the route."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Hashable
from dataclasses import replace

from proxy.clock import Clock
from proxy.daemon import trailers
from proxy.daemon.deadlines import Limit
from proxy.daemon.load import ModelLoad
from proxy.daemon.routes import RouteCandidate
from proxy.daemon.selection import RoutedRequest, Selected, Selection
from proxy.daemon.triton import is_unknown_model
from proxy.daemon.unary import UnaryAnswer, ask, deliver
from proxy.errors import CallError, Code
from proxy.telemetry import names
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, IncomingCall

PUSHBACK_KEY = "grpc-retry-pushback-ms"
"""gRFC A6: a server's wish when a call is to be tried again; negative, or not a number: never."""


class UnaryInfer:
    """Serves routed `ModelInfer` calls.

    A request goes to another candidate when one fails with UNAVAILABLE, or does not have the model loaded, as long as
    time is left and there are candidates that have not been tried. It may have run where it failed: an inference can be
    repeated. One that belongs to a sequence cannot, and is not tried again.
    """

    def __init__(self, selection: Selection, *, clock: Clock) -> None:
        self._selection = selection
        self._clock = clock

    async def serve(self, incoming: IncomingCall, request: RoutedRequest, limit: Limit, span: CallSpan) -> CallStatus:
        """Answer the request. Raises CallError when it is to be refused; the caller has then been told nothing."""
        worth: float | None = 0.0
        try:
            status, candidate = await self._serve(incoming, request, limit, span)
            if status.ok and self._clock.now() <= request.deadline_at:
                worth = candidate.quality
        except asyncio.CancelledError:
            if self._clock.now() < request.deadline_at:
                worth = None  # the caller went away: that tells nothing
            raise
        finally:
            if worth is not None:
                request.route.numbers.ended(request.traffic_class, worth=worth)
        return status

    async def _serve(
        self, incoming: IncomingCall, request: RoutedRequest, limit: Limit, span: CallSpan
    ) -> tuple[CallStatus, RouteCandidate]:
        head = incoming.head
        times = head.times or CallTimes()
        selected = await self._select(request, [], times, span)
        answer = await self._attempt(head, request, selected, span)
        tried = [selected.candidate]
        while answer.message is None and worth_another(request, answer.status, tried, now=self._clock.now()):
            try:
                selected = await self._select(request, tried, times, span)
            except CallError:
                break  # the policy gives the request up: why it failed says more than that
            span.event(names.RETRY)
            answer = await self._attempt(head, request, selected, span)
            tried.append(selected.candidate)
        if is_unknown_model(answer.status):
            answer = replace(answer, status=_none_loaded(request, answer.status))
        limit.answered()
        if answer.message is not None:
            request.route.answers.answered(request.traffic_class, len(answer.message))
        status = await deliver(
            incoming,
            answer,
            suffix=selected.candidate.answer_suffix,
            trailers=trailers.chosen(request.route, selected.candidate),
        )
        return status, selected.candidate

    async def _select(
        self, request: RoutedRequest, tried: list[RouteCandidate], times: CallTimes, span: CallSpan
    ) -> Selected:
        """The candidate. Where the policy decides late, the request may wait for that; once is enough for `times`."""
        released = await self._selection.wait(request, tried=tried, now=self._clock.now())
        asked_at = self._clock.now()
        if not tried:
            times.asked_at = asked_at
        if released is None or released.undecided:
            selected = self._selection.choose(request, tried=tried, waited=released, span=span, now=asked_at)
        else:
            selected = self._selection.released(request, released, attempt=len(tried), span=span, now=asked_at)
        if not tried:
            times.decided_at = self._clock.now()
        return selected

    async def _attempt(self, head: CallHead, request: RoutedRequest, selected: Selected, span: CallSpan) -> UnaryAnswer:
        candidate = selected.candidate
        note_choice(span, request, selected)
        onward = span.child(address=candidate.backend.address)
        metadata = onward.inject(head.metadata)
        load, key = candidate.load, selected.key
        times = head.times or CallTimes()
        times.sent_at = self._clock.now()
        load.sent(key, prompt_tokens=request.facts.prompt or 0, now=times.sent_at)
        answer: UnaryAnswer | None = None
        try:
            answer = await ask(
                candidate.backend.carrier,
                head if metadata is head.metadata else head.with_metadata(metadata),
                request.message + candidate.request_suffix,
            )
        finally:
            now = self._clock.now()
            times.begun_at = load.begun_at(key, streaming=False, now=now)
            if answer is None:
                load.abandoned(key, now=now)
                onward.finish(CallStatus(Code.CANCELLED))
            else:
                note_answered(times, now=now)
                settle(load, key, answer.status, now=now)
                onward.finish(answer.status)
        if answer.status.code == Code.UNAVAILABLE:
            self._selection.lost(request)
        return answer


def worth_another(request: RoutedRequest, status: CallStatus, tried: Collection[RouteCandidate], *, now: float) -> bool:
    """Whether a request that ended like this, without an answer, is to be tried on another candidate."""
    return (
        (status.code == Code.UNAVAILABLE or status.retryable or is_unknown_model(status))
        and request.facts.sequence is None
        and request.deadline_at > now
        and len(tried) < len(request.route.candidates)
        and not _forbidden(status)
    )


def settle(load: ModelLoad, key: Hashable, status: CallStatus, *, messages: int = 1, now: float) -> None:
    """Enter in a model's account how the request of this key ended."""
    load.finished(key, status.code, messages=messages, now=now)
    if status.retryable or is_unknown_model(status):
        load.away(now=now)


def note_answered(times: CallTimes, *, now: float) -> None:
    """The answer, or the first message of it, is here. A model that was thought to wait began nobody knows when."""
    times.answered_at = now
    if times.begun_at == math.inf:
        times.begun_at = 0.0


def note_choice(span: CallSpan, request: RoutedRequest, selected: Selected) -> None:
    """Enter in a span which candidate was chosen, and why."""
    span.set(names.POLICY, request.route.policy.name)
    span.set(names.REQUEST_MODEL, request.route.name)
    span.set(names.RESPONSE_MODEL, selected.candidate.model)
    span.set(names.MODEL, selected.candidate.model)
    span.set(names.INSTANCE, selected.candidate.backend.name)
    span.set(names.DECISION_REASON, selected.reason)
    if selected.fallback:
        span.set(names.DECISION_FALLBACK, selected.fallback)
    span.event(names.DISPATCH)


def _forbidden(status: CallStatus) -> bool:
    for key, value in status.metadata:
        if key == PUSHBACK_KEY:
            return not (isinstance(value, str) and value.isdecimal())
    return False


def _none_loaded(request: RoutedRequest, status: CallStatus) -> CallStatus:
    return CallStatus(
        Code.UNAVAILABLE,
        f"no candidate of {request.route.name!r} is loaded: {status.message}",
        (*status.metadata, (trailers.DROPPED_REASON, trailers.NO_BACKEND)),
    )
