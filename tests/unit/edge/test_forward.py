from __future__ import annotations

import asyncio
import logging
import math

import pytest

from policies.traffic import Deadline, TrafficClass
from proxy.clock import Clock, MonotonicClock
from proxy.edge.classify import Classifier, ClassifySettings
from proxy.edge.forward import Forwarder
from proxy.errors import Code
from proxy.telemetry.call_metrics import CallMetrics
from proxy.telemetry.tracing import NO_TRACING, Tracing
from proxy.testing.calls import MemoryCarrier, answering, exchange, failing, hanging
from proxy.testing.clock import ManualClock
from proxy.tunnel.exchange import CallHandler, CallHead, CallStatus, IncomingCall, Metadata
from tests.unit.daemon.spans import RecordedTracing
from tests.unit.telemetry.pages import nonzero

CLASSES = {
    "realtime": TrafficClass("realtime", deadline_s=1.0),
    "standard": TrafficClass("standard", deadline_s=2.0),
    "endless": TrafficClass("endless", deadline_s=math.inf),
    "strict": TrafficClass("strict", deadline_s=0.05, on_miss="fail"),
}
HEALTH = "/grpc.health.v1.Health/Check"
NOT_SERVING = bytes.fromhex("0802")


class Edge:
    """A forwarder between a client and a backend of this process, when its clock reads 100 s."""

    def __init__(
        self, handler: CallHandler, *, clock: Clock | None = None, tracing: Tracing = NO_TRACING, capacity: int = 16
    ) -> None:
        self.clock = ManualClock(now=100.0)
        self.backend = MemoryCarrier(handler, capacity=capacity)
        self.metrics = CallMetrics(CLASSES, default_class="standard")
        self.forwarder = Forwarder(
            classifier=Classifier(ClassifySettings(CLASSES, "standard")),
            carrier=self.backend,
            tracing=tracing,
            clock=clock or self.clock,
            address="0.0.0.0:8001",
            metrics=self.metrics,
        )
        self.client = MemoryCarrier(self.forwarder, capacity=capacity)


def head(
    metadata: Metadata = (),
    *,
    path: str = "/pkg.Service/Method",
    limit_at: float = math.inf,
    accepted_at: float = 100.0,
    unary: bool = False,
) -> CallHead:
    deadline = Deadline(limit_at, limit_at)
    return CallHead(path, metadata, deadline=deadline, peer="c:1", accepted_at=accepted_at, unary=unary)


async def test_a_call_goes_on_classified_and_its_answer_comes_back() -> None:
    status = CallStatus(Code.OK, "fine", (("t", "1"), ("t-bin", b"\x00")))
    edge = Edge(answering(b"one", b"two", initial=(("h", "1"),), status=status))
    metadata = (("x-traffic-class", "realtime"), ("k-bin", b"\xff"), ("authorization", "Bearer x"))
    answer = await exchange(edge.client, head(metadata), b"request", b"more")

    assert answer.initial == (("h", "1"),)
    assert answer.messages == (b"one", b"two")
    assert (answer.status.code, answer.status.message) == (Code.OK, "fine")
    assert answer.status.metadata == (
        ("t", "1"),
        ("t-bin", b"\x00"),
        ("x-headway-class", "realtime"),
        ("x-headway-slack-ms", "1000.0"),
    )
    [call] = edge.backend.calls
    assert call.head._replace(times=None) == CallHead(
        "/pkg.Service/Method",
        metadata,
        traffic_class="realtime",
        deadline=Deadline(101.0, math.inf),
        peer="c:1",
        accepted_at=100.0,
    )
    assert call.requests == [b"request", b"more"]
    assert call.half_closed


@pytest.mark.parametrize("unary", [True, False])
async def test_trailers_only_stays_trailers_only(unary: bool) -> None:
    edge = Edge(failing(Code.NOT_FOUND, "no such model", metadata=(("grpc-status-details-bin", b"\x08\x05"),)))
    answer = await exchange(edge.client, head(unary=unary), b"request")
    assert answer.initial is None
    assert (answer.status.code, answer.status.message) == (Code.NOT_FOUND, "no such model")
    assert answer.trailer("grpc-status-details-bin") == b"\x08\x05"
    assert answer.trailer("x-headway-class") == "standard"


@pytest.mark.parametrize(("taken_s", "slack"), [(0.25, "1750.0"), (2.0, "0.0"), (2.6541, "-654.1")])
async def test_slack_is_what_is_left_at_the_end(taken_s: float, slack: str) -> None:
    async def handler(call: IncomingCall) -> None:
        edge.clock.advance(taken_s)
        await call.finish(CallStatus(Code.OK))

    edge = Edge(handler)
    assert (await exchange(edge.client, head())).trailer("x-headway-slack-ms") == slack


async def test_without_a_deadline_there_is_no_slack() -> None:
    answer = await exchange(Edge(answering()).client, head((("x-traffic-class", "endless"),)))
    assert answer.status.metadata == (("x-headway-class", "endless"),)


@pytest.mark.parametrize(
    ("metadata", "limit_at", "code", "reason"),
    [
        ((("x-deadline-ms", "soon"),), math.inf, Code.INVALID_ARGUMENT, None),
        ((("x-deadline-ms", "0"),), math.inf, Code.DEADLINE_EXCEEDED, "rejected-deadline-expired"),
        ((), 100.0, Code.DEADLINE_EXCEEDED, "rejected-deadline-expired"),
    ],
)
async def test_a_refused_call_does_not_touch_the_tunnel(
    metadata: Metadata, limit_at: float, code: Code, reason: str | None
) -> None:
    edge = Edge(answering())
    answer = await exchange(edge.client, head(metadata, limit_at=limit_at), b"request")
    assert answer.status.code == code
    assert answer.initial is None
    assert answer.trailer("x-headway-dropped-reason") == reason
    assert edge.backend.calls == []


class TestUnknownClass:
    async def test_it_is_counted_and_logged_once(self, caplog: pytest.LogCaptureFixture) -> None:
        edge = Edge(answering(b"fine"))
        for name in ("gold", "silver", "gold", "gold"):
            answer = await exchange(edge.client, head((("x-traffic-class", name),)))
            assert answer.messages == (b"fine",)
            assert answer.trailer("x-headway-class") == "standard"
        assert edge.forwarder.unknown_classes == {"gold": 3, "silver": 1}
        assert [record.getMessage() for record in caplog.records] == [
            "Unknown traffic class 'gold' is served as 'standard'",
            "Unknown traffic class 'silver' is served as 'standard'",
        ]
        assert {record.levelno for record in caplog.records} == {logging.WARNING}

    async def test_names_beyond_a_hundred_fill_neither_memory_nor_log(self, caplog: pytest.LogCaptureFixture) -> None:
        edge = Edge(answering())
        for index in [*range(150), 0, 149]:
            await exchange(edge.client, head((("x-traffic-class", f"c{index}"),)))
        assert len(edge.forwarder.unknown_classes) == 100
        assert edge.forwarder.unknown_classes["c0"] == 2
        assert len(caplog.records) == 100


class TestOnMiss:
    async def test_fail_ends_a_late_call_at_its_deadline(self) -> None:
        loop = asyncio.get_running_loop()
        edge = Edge(hanging(), clock=MonotonicClock())
        started_at = loop.time()
        answer = await exchange(
            edge.client, head((("x-traffic-class", "strict"),), accepted_at=started_at, unary=True), b""
        )
        assert 0.05 <= loop.time() - started_at < 0.25
        assert answer.status.code == Code.DEADLINE_EXCEEDED
        assert answer.status.message == "the deadline of class strict passed before the answer was complete"
        assert answer.trailer("x-headway-dropped-reason") == "rejected-deadline-expired"
        slack = answer.trailer("x-headway-slack-ms")
        assert isinstance(slack, str)
        assert float(slack) <= 0
        assert edge.backend.calls[0].cancelled

    async def test_fail_leaves_a_call_that_is_on_time(self) -> None:
        now = asyncio.get_running_loop().time()
        edge = Edge(answering(b"fine"), clock=MonotonicClock())
        answer = await exchange(edge.client, head((("x-traffic-class", "strict"),), accepted_at=now, unary=True), b"")
        assert answer.messages == (b"fine",)
        assert answer.status.ok

    async def test_the_messages_of_a_stream_are_the_daemon_s_affair(self) -> None:
        now = asyncio.get_running_loop().time()
        edge = Edge(answering(b"late"), clock=MonotonicClock())
        answer = await exchange(edge.client, head((("x-traffic-class", "strict"),), accepted_at=now - 5))
        assert answer.messages == (b"late",)
        assert answer.status.ok

    async def test_deliver_delivers_late(self) -> None:
        """The call came 5 s ago by the event loop's clock, too."""
        now = asyncio.get_running_loop().time()
        edge = Edge(answering(b"late"), clock=MonotonicClock())
        answer = await exchange(edge.client, head((("x-traffic-class", "realtime"),), accepted_at=now - 5))
        assert answer.messages == (b"late",)
        assert answer.status.ok
        slack = answer.trailer("x-headway-slack-ms")
        assert isinstance(slack, str)
        assert -4500 <= float(slack) <= -4000


class TestCancelling:
    async def test_a_client_s_cancel_cancels_the_call_onward(self) -> None:
        edge = Edge(hanging())
        call = edge.client.open(head())
        await asyncio.wait_for(edge.backend.opened.wait(), 1)
        call.cancel()
        await asyncio.wait_for(edge.backend.calls[0].served.wait(), 1)
        assert edge.backend.calls[0].cancelled

    async def test_a_call_that_ended_is_not_cancelled(self) -> None:
        edge = Edge(answering(b"fine"))
        await exchange(edge.client, head())
        assert not edge.backend.calls[0].cancelled


class TestHealth:
    @pytest.mark.parametrize("draining", [True, False])
    async def test_no_backend_is_not_serving(self, draining: bool) -> None:
        edge = Edge(failing(Code.UNAVAILABLE, "daemon gpu:4433 is unreachable"))
        if draining:
            edge.forwarder.drain()
        answer = await exchange(edge.client, head(path=HEALTH, unary=True), b"")
        assert answer.messages == (NOT_SERVING,)
        assert answer.status.code == Code.OK
        assert len(edge.backend.calls) == (0 if draining else 1)

    @pytest.mark.parametrize(
        ("path", "code"), [("/grpc.health.v1.Health/Watch", Code.UNAVAILABLE), (HEALTH, Code.NOT_FOUND)]
    )
    async def test_any_other_status_stays(self, path: str, code: Code) -> None:
        answer = await exchange(Edge(failing(code, "so it is")).client, head(path=path), b"")
        assert (answer.status.code, answer.messages) == (code, ())

    async def test_a_backend_s_own_answer_stays(self) -> None:
        serving = bytes.fromhex("0801")
        answer = await exchange(Edge(answering(serving)).client, head(path=HEALTH, unary=True), b"")
        assert answer.messages == (serving,)


class TestDraining:
    async def test_new_calls_are_refused_and_those_under_way_finish(self) -> None:
        go_on = asyncio.Event()

        async def handler(call: IncomingCall) -> None:
            await go_on.wait()
            await call.send(b"fine")
            await call.finish(CallStatus(Code.OK))

        edge = Edge(handler)
        async with asyncio.TaskGroup() as group:
            under_way = group.create_task(exchange(edge.client, head()))
            await asyncio.wait_for(edge.backend.opened.wait(), 1)
            edge.forwarder.drain()
            assert edge.forwarder.draining
            refused = await exchange(edge.client, head())
            go_on.set()
        assert (await under_way).messages == (b"fine",)
        assert refused.status.code == Code.UNAVAILABLE
        assert refused.status.message == "the proxy is shutting down"
        assert refused.trailer("x-headway-dropped-reason") == "rejected-shutting-down"
        assert len(edge.backend.calls) == 1
        assert repr(edge.forwarder).startswith("<Forwarder 0.0.0.0:8001 ")
        assert repr(edge.forwarder).endswith(" draining=True>")


class TestTrace:
    async def test_the_call_onward_is_a_child_that_the_daemon_goes_on_from(self) -> None:
        tracing = RecordedTracing()
        edge = Edge(answering(status=CallStatus(Code.ABORTED, "so it is")), tracing=tracing)
        await exchange(edge.client, head((("k", "v"),)))
        [span] = tracing.spans
        assert span.server == "0.0.0.0:8001"
        assert [child.status for child in span.children] == [CallStatus(Code.ABORTED, "so it is")]
        assert span.status is not None
        assert span.status.metadata == (("x-headway-class", "standard"), ("x-headway-slack-ms", "2000.0"))
        assert edge.backend.calls[0].head.metadata == (("k", "v"), ("traceparent", "child of server"))

    async def test_an_unknown_class_is_marked(self) -> None:
        tracing = RecordedTracing()
        edge = Edge(answering(), tracing=tracing)
        for index in range(102):
            await exchange(edge.client, head((("x-traffic-class", f"c{index}"),)))
        assert [span.attributes["headway.class.unknown"] for span in tracing.spans] == [f"c{n}" for n in range(102)]

    async def test_a_known_class_is_not(self) -> None:
        tracing = RecordedTracing()
        await exchange(Edge(answering(), tracing=tracing).client, head((("x-traffic-class", "realtime"),)))
        assert "headway.class.unknown" not in tracing.spans[0].attributes

    async def test_a_cancelled_call_is_told(self) -> None:
        tracing = RecordedTracing()
        edge = Edge(hanging(), tracing=tracing)
        call = edge.client.open(head())
        await asyncio.wait_for(edge.backend.opened.wait(), 1)
        call.cancel()
        await asyncio.wait_for(call.served.wait(), 1)
        [span] = tracing.spans
        statuses = [recorded.status for recorded in (span, *span.children)]
        assert statuses == [CallStatus(Code.CANCELLED, "the client went away")] * 2

    async def test_a_refusal_is_told(self) -> None:
        tracing = RecordedTracing()
        await exchange(Edge(answering(), tracing=tracing).client, head((("x-deadline-ms", "soon"),)))
        [span] = tracing.spans
        assert span.status is not None
        assert span.status.code == Code.INVALID_ARGUMENT
        assert span.children == []


class TestMetrics:
    @pytest.mark.parametrize("unary", [True, False])
    async def test_each_call_is_counted_once(self, unary: bool) -> None:
        edge = Edge(answering(b"one"))
        await exchange(edge.client, head((("x-traffic-class", "realtime"),), unary=unary), b"request")
        await exchange(edge.client, head((("x-traffic-class", "nowhere"),), unary=unary), b"request")
        await exchange(edge.client, head((("x-deadline-ms", "0"),), unary=unary), b"request")
        families = edge.metrics.families
        assert nonzero(families(), "headway_requests_total") == {
            ("realtime", "on_time"): 1,
            ("standard", "on_time"): 1,
            ("standard", "refused"): 1,
        }
        assert nonzero(families(), "headway_unknown_class_total") == {(): 1}
        streamed = {} if unary else {("realtime",): 1.0, ("standard",): 1.0}
        assert nonzero(families(), "headway_first_message_seconds_count") == streamed

    @pytest.mark.parametrize("unary", [True, False])
    async def test_a_call_whose_caller_goes_is_counted_once(self, unary: bool) -> None:
        edge = Edge(hanging())
        call = edge.client.open(head(unary=unary))
        await call.send(b"request", last=True)
        async with asyncio.timeout(1):
            while not edge.backend.calls:  # noqa: ASYNC110 -- what is waited for has no event
                await asyncio.sleep(0)
            call.cancel()
            while not nonzero(edge.metrics.families(), "headway_requests_total"):  # noqa: ASYNC110 -- likewise
                await asyncio.sleep(0)
        assert nonzero(edge.metrics.families(), "headway_requests_total") == {("standard", "cancelled"): 1}
