"""The story of one `ModelInfer` for a route: choose, send, perhaps try another candidate, answer as the route."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from proxy.clock import Clock
from proxy.daemon import trailers
from proxy.daemon.deadlines import Limit
from proxy.daemon.routes import RouteCandidate
from proxy.daemon.selection import RoutedRequest, Selected, Selection
from proxy.daemon.triton import is_unknown_model
from proxy.daemon.unary import UnaryAnswer, ask, deliver
from proxy.errors import CallError, Code
from proxy.telemetry import names
from proxy.telemetry.tracing import CallSpan
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall

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
        head = incoming.head
        selected = self._selection.choose(request, now=self._clock.now())
        answer = await self._attempt(head, request, selected, span)
        tried = [selected.candidate]
        while answer.message is None and worth_another(request, answer.status, tried, now=self._clock.now()):
            try:
                selected = self._selection.choose(request, tried=tried, now=self._clock.now())
            except CallError:
                break  # the policy gives the request up: why it failed says more than that
            span.event(names.RETRY)
            answer = await self._attempt(head, request, selected, span)
            tried.append(selected.candidate)
        if is_unknown_model(answer.status):
            answer = replace(answer, status=_none_loaded(request, answer.status))
        limit.answered()
        return await deliver(
            incoming,
            answer,
            suffix=selected.candidate.answer_suffix,
            trailers=trailers.chosen(request.route, selected.candidate),
        )

    async def _attempt(self, head: CallHead, request: RoutedRequest, selected: Selected, span: CallSpan) -> UnaryAnswer:
        candidate = selected.candidate
        note_choice(span, request, selected)
        onward = span.child(address=candidate.backend.address)
        metadata = onward.inject(head.metadata)
        sent_at = self._clock.now()
        candidate.load.sent()
        answer: UnaryAnswer | None = None
        try:
            answer = await ask(
                candidate.backend.carrier,
                head if metadata is head.metadata else head.with_metadata(metadata),
                request.message + candidate.request_suffix,
            )
        finally:
            if answer is None:
                candidate.load.abandoned()
                onward.finish(CallStatus(Code.CANCELLED))
            else:
                settle(candidate, answer.status, sent_at=sent_at, now=self._clock.now())
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


def settle(candidate: RouteCandidate, status: CallStatus, *, sent_at: float, now: float) -> None:
    """Enter in a candidate's account how a request ended."""
    candidate.load.finished(status.code, sent_at=sent_at, now=now)
    if status.retryable or is_unknown_model(status):
        candidate.load.away(now=now)


def note_choice(span: CallSpan, request: RoutedRequest, selected: Selected) -> None:
    """Enter in a span which candidate was chosen, and why."""
    span.set(names.POLICY, request.route.policy.name)
    span.set(names.REQUEST_MODEL, request.route.name)
    span.set(names.RESPONSE_MODEL, selected.candidate.model)
    span.set(names.MODEL, selected.candidate.model)
    span.set(names.INSTANCE, selected.candidate.backend.name)
    span.set(names.DECISION_REASON, selected.reason)
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
