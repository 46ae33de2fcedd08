"""One call's story at the proxy.

Classified, opened on the tunnel, relayed, finished with what is left of its deadline.
"""

from __future__ import annotations

import asyncio
import logging

from policies.traffic import NO_DEADLINE, TrafficClass
from proxy.clock import Clock
from proxy.edge.classify import Classified, Classifier
from proxy.errors import CallError, Code
from proxy.relay import relay
from proxy.telemetry import names
from proxy.telemetry.accounting import account_for, tell
from proxy.telemetry.call_metrics import CallMetrics
from proxy.telemetry.streamed_answer import StreamedAnswer
from proxy.telemetry.tracing import CallSpan, Tracing
from proxy.tunnel.exchange import CallHead, CallStatus, CallTimes, Carrier, IncomingCall, Metadata

logger = logging.getLogger(__name__)

HEALTH_CHECK = "/grpc.health.v1.Health/Check"
_GONE = CallStatus(Code.CANCELLED, "the client went away")
_NOT_SERVING = b"\x08\x02"
"""`HealthCheckResponse{status: NOT_SERVING}`."""


class Forwarder:
    """A `CallHandler` that sends every call through `carrier`."""

    def __init__(
        self,
        *,
        classifier: Classifier,
        carrier: Carrier,
        tracing: Tracing,
        clock: Clock,
        address: str,
        metrics: CallMetrics | None = None,
    ) -> None:
        self._classifier = classifier
        self._carrier = carrier
        self._tracing = tracing
        self._clock = clock
        self._address = address
        self._metrics = metrics or CallMetrics()
        self._unknown_classes: dict[str, int] = {}
        self._draining = False

    def __repr__(self) -> str:
        return f"<Forwarder {self._address} {self._carrier!r} draining={self._draining}>"

    @property
    def unknown_classes(self) -> dict[str, int]:
        """How often each class name that does not exist was asked for."""
        return dict(self._unknown_classes)

    @property
    def draining(self) -> bool:
        """Whether new calls are refused."""
        return self._draining

    def drain(self) -> None:
        """Refuse new calls from now on."""
        self._draining = True

    async def __call__(self, call: IncomingCall) -> None:
        """Serve one call."""
        try:
            classified = self._classifier.classify(call.head)
        except CallError as error:
            span = self._tracing.server_span(call.head, address=self._address)
            await self._finish(call, span, call.head, _refusal(error))
            return
        times = CallTimes()
        head = classified.head._replace(times=times)
        if head.unary:
            times.received_at = head.accepted_at  # grpc calls us when the message is complete
        span = self._tracing.server_span(head, address=self._address)
        status: CallStatus | None = None
        answer = None if head.unary else self._streamed(call, head, classified.traffic_class)
        try:
            if classified.unknown_class:
                self._note_unknown(classified, span)
            if self._draining:
                status = await self._refuse_draining(call, head)
            else:
                status = await self._forward(answer or call, head, classified.traffic_class, span)
            await self._finish(call, span, head, status, answer)
        except asyncio.CancelledError:
            if status is None:  # else it has been counted
                self._give_up(span, head, answer)
            raise
        finally:
            span.finish(_GONE)

    async def _forward(
        self, call: IncomingCall, head: CallHead, traffic_class: TrafficClass, span: CallSpan
    ) -> CallStatus:
        onward = span.child()
        try:
            outgoing = self._carrier.open(head.with_metadata(onward.inject(head.metadata)))
            # Of a stream of messages each has a deadline of its own, which the daemon sees to.
            if traffic_class.on_miss == "fail" and head.unary and head.deadline.target_at < NO_DEADLINE:
                try:
                    async with asyncio.timeout_at(head.deadline.target_at):
                        status = await relay(call, outgoing)
                except TimeoutError:
                    status = CallStatus(
                        Code.DEADLINE_EXCEEDED,
                        f"the deadline of class {traffic_class.name} passed before the answer was complete",
                        (("x-headway-dropped-reason", "rejected-deadline-expired"),),
                    )
            else:
                status = await relay(call, outgoing)
            if outgoing.peer:
                onward.address(outgoing.peer)
            onward.finish(status)
        finally:
            onward.finish(_GONE)
        if status.code == Code.UNAVAILABLE and head.path == HEALTH_CHECK:
            await call.send(_NOT_SERVING)
            return CallStatus(Code.OK, metadata=status.metadata)
        return status

    async def _refuse_draining(self, call: IncomingCall, head: CallHead) -> CallStatus:
        if head.path == HEALTH_CHECK:
            await call.send(_NOT_SERVING)
            return CallStatus(Code.OK)
        reason: Metadata = (("x-headway-dropped-reason", "rejected-shutting-down"),)
        return CallStatus(Code.UNAVAILABLE, "the proxy is shutting down", reason)

    def _streamed(self, call: IncomingCall, head: CallHead, traffic_class: TrafficClass) -> StreamedAnswer:
        return StreamedAnswer(call, head, token_deadline_s=traffic_class.token_deadline_s, clock=self._clock)

    def _give_up(self, span: CallSpan, head: CallHead, answer: StreamedAnswer | None) -> None:
        now = self._clock.now()
        account = account_for(head, Code.CANCELLED, at=now, answer=answer)
        self._metrics.broke_off(head, at=now, missed_at=account.missed_at)
        if span.recording or account.missed_at:
            tell(span, head, account, answer)
        span.finish(_GONE, at=now)

    async def _finish(
        self,
        call: IncomingCall,
        span: CallSpan,
        head: CallHead,
        status: CallStatus,
        answer: StreamedAnswer | None = None,
    ) -> None:
        now = self._clock.now()
        account = account_for(head, status.code, at=now, answer=answer)
        self._metrics.ended(
            head,
            status,
            at=now,
            stages=account.stages,
            missed_at=account.missed_at,
            on_time=None if answer is None else answer.on_time,
            first_message_at=None if answer is None else answer.first_message_at,
            trace_id=span.trace_id if span.recording else "",
        )
        added: list[tuple[str, str]] = [("x-headway-class", head.traffic_class)] if head.traffic_class else []
        if head.deadline.target_at < NO_DEADLINE and head.traffic_class:
            added.append(("x-headway-slack-ms", f"{account.slack_s * 1e3:.1f}"))
        finished = CallStatus(status.code, status.message, status.metadata + tuple(added))
        if span.recording or account.missed_at:
            tell(span, head, account, answer)
        span.finish(finished, at=now)
        await call.finish(finished)

    def _note_unknown(self, classified: Classified, span: CallSpan) -> None:
        name = classified.unknown_class
        span.set(names.UNKNOWN_CLASS, name)
        self._metrics.named_unknown_class()
        seen = self._unknown_classes.get(name)
        if seen is None:
            if len(self._unknown_classes) >= _MAX_UNKNOWN_NAMES:
                return
            logger.warning("Unknown traffic class %r is served as %r", name, classified.traffic_class.name)
        self._unknown_classes[name] = (seen or 0) + 1


_MAX_UNKNOWN_NAMES = 100
"""Names come from clients: past so many, no further ones are counted and logged."""


def _refusal(error: CallError) -> CallStatus:
    metadata: Metadata = (("x-headway-dropped-reason", error.reason),) if error.reason else ()
    return CallStatus(error.code, error.message, metadata)
