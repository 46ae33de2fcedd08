"""Where deadlines are lost: proxy, tunnel and daemon in virtual time, with a slow link or a slow model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind
from tritonclient.grpc import service_pb2 as pb
from typer.testing import CliRunner

from policies.profile import Profile
from policies.traffic import NO_DEADLINE, Deadline, TrafficClass
from proxy.cli import app
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.daemon.triton import SERVICE
from proxy.edge.classify import Classifier, ClassifySettings
from proxy.edge.forward import Forwarder
from proxy.errors import Code
from proxy.testing.calls import Answer, MemoryCarrier, exchange
from proxy.testing.memory_link import LinkSettings
from proxy.testing.memory_tunnel import MemoryTunnel
from proxy.testing.virtual_loop import VirtualTimeLoop
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall
from tests.unit.telemetry.recorded import Recorded

INFER = f"{SERVICE}ModelInfer"
OTHER = "/pkg.Service/Method"
AHEAD_S = 98_765.0
"""Of the daemon's clock."""
COMPUTE_S = 0.4
FAST = LinkSettings(delay_s=0.03)
SLOW = LinkSettings(delay_s=0.03, rate_bytes_s=100_000, queue_bytes=8000)
LARGE = 150_000
"""Bytes that take 1.5 s on the slow link."""
CLASSES = {
    "standard": TrafficClass("standard", 1.0, token_deadline_s=0.3),
    "bulk": TrafficClass("bulk", 60.0),
    "strict": TrafficClass("strict", 1.0, on_miss="fail"),
}


def now() -> float:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    return loop.clock.now()


class SlowModel:
    """A Triton whose model takes one request at a time, in the order in which they come, and answers at length."""

    def __init__(self) -> None:
        self.compute_s = COMPUTE_S
        self._turn = asyncio.Lock()

    async def __call__(self, call: IncomingCall) -> None:
        if call.head.path != INFER:
            await self._stream(call)
            return
        message = await call.receive()
        assert message is not None
        request = pb.ModelInferRequest.FromString(message)
        async with self._turn:
            await asyncio.sleep(self.compute_s)
        answer = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
        answer.raw_output_contents.append(bytes(request.parameters["answer_bytes"].int64_param))
        await call.send(answer.SerializeToString())
        await call.finish(CallStatus(Code.OK))

    async def _stream(self, call: IncomingCall) -> None:
        """Each message of the request says how long the next one of the answer takes."""
        while (message := await call.receive()) is not None:
            await asyncio.sleep(float(message))
            await call.send(b"token")
        await call.finish(CallStatus(Code.OK))


def infer(*, request_bytes: int = 0, answer_bytes: int = 0) -> bytes:
    request = pb.ModelInferRequest(model_name="llm", raw_input_contents=[bytes(request_bytes)])
    request.parameters["answer_bytes"].int64_param = answer_bytes
    data: bytes = request.SerializeToString()
    return data


@dataclass
class Way:
    """Client to model. `spans` closes the tracing."""

    client: MemoryCarrier
    model: SlowModel
    proxy: Recorded
    daemon: Recorded
    took_s: list[float] = field(default_factory=list)

    async def call(
        self,
        message: bytes,
        *,
        traffic_class: str = "standard",
        path: str = INFER,
        limit_s: float = NO_DEADLINE,
        after_s: float = 0.0,
        more: Sequence[bytes] = (),
    ) -> Answer:
        await asyncio.sleep(after_s)
        began_at = now()
        limit_at = began_at + limit_s
        head = CallHead(
            path,
            (("x-traffic-class", traffic_class),),
            deadline=Deadline(limit_at, limit_at),
            accepted_at=began_at,
            unary=path == INFER,
        )
        answer = await exchange(self.client, head, message, *more)
        self.took_s.append(now() - began_at)
        return answer

    def spans(self, end: Recorded) -> list[ReadableSpan]:
        """The SERVER spans of the proxy or the daemon, in the order in which they began."""
        served = [span for span in end.spans() if span.kind is SpanKind.SERVER]
        return sorted(served, key=lambda span: span.start_time or 0)


@asynccontextmanager
async def way(
    certs: Path,
    *,
    uplink: LinkSettings = FAST,
    downlink: LinkSettings = FAST,
    scheduler: str = "fcfs",
    profile: bool = True,
    ahead_s: float = AHEAD_S,
    file: Path | None = None,
) -> AsyncIterator[Way]:
    model = SlowModel()
    async with MemoryTunnel(
        certs,
        handler=model,
        uplink=uplink,
        downlink=downlink,
        scheduler=scheduler,
        classes=CLASSES,
        server_clock_offset_s=ahead_s,
    ) as tunnel:
        ends = (
            Recorded(tunnel.network.client_clock, service_name="headway-proxy", file=file),
            Recorded(tunnel.network.server_clock, service_name="headway-daemon", file=file),
        )
        candidate = CandidateSettings("a", "large", 0.7, Profile(((1, COMPUTE_S),)) if profile else None)
        tunnel.handler = Dispatcher(
            DispatchSettings(
                backends=(BackendSettings("a", "a:8001"),),
                default="a",
                listen="0.0.0.0:4433",
                routes=(RouteSettings("llm", "static:large", (candidate,)),),
            ),
            {"a": MemoryCarrier(model)},
            clock=tunnel.network.server_clock,
            tracing=ends[1].tracing,
        )
        forwarder = Forwarder(
            classifier=Classifier(ClassifySettings(CLASSES, "standard")),
            carrier=tunnel.proxy,
            tracing=ends[0].tracing,
            clock=tunnel.network.client_clock,
            address="0.0.0.0:8001",
        )
        await asyncio.sleep(1.0)  # the clocks are compared
        yield Way(MemoryCarrier(forwarder), model, *ends)


def stages(span: ReadableSpan) -> dict[str, float]:
    """Seconds in each stage."""
    found: dict[str, float] = {}
    for name, value in (span.attributes or {}).items():
        if name.startswith("headway.stage."):
            assert isinstance(value, float)
            found[name.removeprefix("headway.stage.").removesuffix("_ms")] = value / 1000
    return found


def missed_at(span: ReadableSpan) -> object:
    return (span.attributes or {}).get("headway.deadline.missed_at")


async def test_a_call_on_time_has_all_its_stages_and_they_add_up(certs: Path) -> None:
    async with way(certs) as path:
        await path.call(infer())
    [proxy], [daemon] = path.spans(path.proxy), path.spans(path.daemon)
    found = stages(proxy)
    assert list(found) == [
        "receive",
        "uplink_wait",
        "uplink_transfer",
        "daemon_queue",
        "policy",
        "model_queue",
        "model_compute",
        "downlink_wait",
        "downlink_transfer",
        "delivery",
    ]
    assert sum(found.values()) == pytest.approx(path.took_s[0], abs=1e-5)
    assert path.took_s[0] == pytest.approx(0.46, abs=0.001)
    assert found["uplink_transfer"] == pytest.approx(0.03, abs=0.001)
    assert found["model_compute"] == pytest.approx(COMPUTE_S, abs=0.001)
    assert found["downlink_transfer"] == pytest.approx(0.03, abs=0.001)
    assert missed_at(proxy) is None
    assert missed_at(daemon) is None
    assert [event.name for event in proxy.events] == ["receive", "uplink_wait", "downlink_transfer", "delivery"]
    ends = [event for event in daemon.events if "headway.deadline.slack_ms" in (event.attributes or {})]
    assert [event.name for event in ends if event.name in found] == [
        "uplink_transfer",
        "daemon_queue",
        "policy",
        "model_queue",
        "model_compute",
        "downlink_wait",
    ]
    slack = [event.attributes["headway.deadline.slack_ms"] for event in ends if event.attributes]
    assert slack == pytest.approx([970, 970, 970, 970, 570, 570], abs=1)


@dataclass(frozen=True)
class Miss:
    """The call that is looked at comes 50 ms after what is in its way."""

    stage: str
    uplink: LinkSettings = FAST
    downlink: LinkSettings = FAST
    before: tuple[bytes, ...] = ()
    request: bytes = infer()
    compute_s: float = COMPUTE_S


MISSES = [
    Miss("uplink_wait", uplink=SLOW, before=(infer(request_bytes=LARGE),)),
    Miss("uplink_transfer", uplink=SLOW, request=infer(request_bytes=LARGE)),
    Miss("model_queue", before=(infer(),) * 3),
    Miss("model_compute", compute_s=2.0),
    Miss("downlink_wait", downlink=SLOW, before=(infer(answer_bytes=LARGE),)),
    Miss("downlink_transfer", downlink=SLOW, request=infer(answer_bytes=LARGE)),
]


async def missing(path: Way, miss: Miss) -> Answer:
    """The answer to the call that is looked at."""
    path.model.compute_s = miss.compute_s
    async with asyncio.TaskGroup() as group:
        for message in miss.before:
            group.create_task(path.call(message, traffic_class="bulk"))
        looked_at = group.create_task(path.call(miss.request, after_s=0.05))
    assert looked_at.result().status.ok
    return looked_at.result()


async def test_headway_trace_sums_up_where_deadlines_are_missed(certs: Path, tmp_path: Path) -> None:
    """In what a file has of the proxies and daemons of all these cases."""
    file = tmp_path / "traces.jsonl"
    for miss in MISSES:
        async with way(certs, uplink=miss.uplink, downlink=miss.downlink, file=file) as path:
            await missing(path, miss)
        path.spans(path.daemon)
        path.spans(path.proxy)
    told = CliRunner().invoke(app, ["trace", str(file), "--missed", "--json"])
    assert told.exit_code == 0, told.output
    document = json.loads(told.stdout)
    misses = {name: stage["misses"] for name, stage in document["summary"]["stages"].items() if stage["misses"]}
    assert misses == {miss.stage: {"standard": 1} for miss in MISSES}
    assert {call["missed_at"] for call in document["drawn"]} <= set(misses)


@pytest.mark.parametrize("miss", MISSES, ids=lambda miss: miss.stage)
async def test_a_missed_deadline_is_blamed_on_its_stage(certs: Path, miss: Miss) -> None:
    async with way(certs, uplink=miss.uplink, downlink=miss.downlink) as path:
        answer = await missing(path, miss)
    proxy, daemon = path.spans(path.proxy)[-1], path.spans(path.daemon)[-1]
    found = stages(proxy)
    assert missed_at(proxy) == miss.stage
    assert max(found, key=found.__getitem__) == miss.stage
    assert min(found.values()) >= 0
    took_s = ((proxy.end_time or 0) - (proxy.start_time or 0)) / 1e9
    assert sum(found.values()) == pytest.approx(took_s, abs=1e-4)
    slack = answer.trailer("x-headway-slack-ms")
    assert isinstance(slack, str)
    assert float(slack) == pytest.approx(1000 - took_s * 1000, abs=0.1)
    # The daemon can't tell a wait at the proxy from the way up.
    assert missed_at(daemon) == miss.stage.replace("uplink_wait", "uplink_transfer")


async def test_without_a_profile_queue_and_model_are_one_stage(certs: Path) -> None:
    async with way(certs, profile=False) as path:
        path.model.compute_s = 2.0
        await path.call(infer())
    [proxy] = path.spans(path.proxy)
    assert missed_at(proxy) == "backend"
    assert "policy" in stages(proxy)


async def test_a_call_that_is_not_routed_has_a_backend(certs: Path) -> None:
    async with way(certs) as path:
        await path.call(b"1.5", path=OTHER)
    [proxy], [daemon] = path.spans(path.proxy), path.spans(path.daemon)
    assert missed_at(proxy) == missed_at(daemon) == "backend"
    assert stages(proxy)["backend"] == pytest.approx(1.5, abs=0.001)
    assert "policy" not in stages(proxy)


@pytest.mark.parametrize(
    ("request_bytes", "at_proxy", "at_daemon"),
    [(LARGE, "uplink_transfer", "uplink_transfer"), (0, "remote", "model_compute")],
)
async def test_a_call_that_fails_at_its_deadline_is_where_the_proxy_left_it(
    certs: Path, request_bytes: int, at_proxy: str, at_daemon: str
) -> None:
    """What happens beyond it is then for the daemon's own span to tell."""
    async with way(certs, uplink=SLOW) as path:
        path.model.compute_s = 5.0
        answer = await path.call(infer(request_bytes=request_bytes), traffic_class="strict")
        await asyncio.sleep(0.5)
    assert answer.status.code == Code.DEADLINE_EXCEEDED
    [proxy], [daemon] = path.spans(path.proxy), path.spans(path.daemon)
    assert (missed_at(proxy), missed_at(daemon)) == (at_proxy, at_daemon)
    assert sum(stages(proxy).values()) == pytest.approx(1.0, abs=1e-4)


async def test_a_call_that_waits_for_its_model_when_its_grpc_deadline_passes(certs: Path) -> None:
    # The daemon's timeouts are on its event loop's clock, which here is the proxy's.
    async with way(certs, ahead_s=0.0) as path, asyncio.TaskGroup() as group:
        for _ in range(3):
            group.create_task(path.call(infer(), traffic_class="bulk"))
        looked_at = group.create_task(path.call(infer(), after_s=0.05, limit_s=0.5))
    [proxy], [daemon] = path.spans(path.proxy)[-1:], path.spans(path.daemon)[-1:]
    # The daemon ends it, too, and its word is here in this test because nothing ends it at the proxy.
    assert looked_at.result().status.code == Code.DEADLINE_EXCEEDED
    assert missed_at(proxy) == missed_at(daemon) == "model_queue"


async def test_a_call_whose_client_goes_at_its_grpc_deadline_has_missed_it(certs: Path) -> None:
    async with way(certs) as path:
        path.model.compute_s = 5.0
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await path.call(infer(), limit_s=0.5)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await path.call(infer())
        await asyncio.sleep(0.5)
    late, early = path.spans(path.proxy)
    assert (missed_at(late), missed_at(early)) == ("remote", None)
    late, early = path.spans(path.daemon)
    assert (missed_at(late), missed_at(early)) == ("model_compute", None)


async def test_tokens_have_deadlines_of_their_own(certs: Path) -> None:
    async with way(certs) as path:
        await path.call(b"0.5", path=OTHER, more=(b"0.2", b"0.4", b"0.2", b"0.5"))
    [proxy] = path.spans(path.proxy)
    attributes = proxy.attributes or {}
    assert attributes["gen_ai.server.time_to_first_token"] == pytest.approx(0.56, abs=0.001)
    assert attributes["headway.messages"] == 5
    assert attributes["headway.messages.late"] == 2
    assert attributes["headway.messages.late_indexes"] == "2, 4"
    assert missed_at(proxy) == "token"
    assert sum(stages(proxy).values()) == pytest.approx(0.56, abs=0.001)


async def test_missed_deadlines_are_kept_whatever_the_sampler_says(
    certs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    async with way(certs) as path:
        await path.call(infer())
        path.model.compute_s = 2.0
        await path.call(infer())
    [proxy], [daemon] = path.spans(path.proxy), path.spans(path.daemon)
    assert missed_at(proxy) == missed_at(daemon) == "model_compute"
    assert proxy.context.trace_id == daemon.context.trace_id
    made = [span for span in path.proxy.spans() if span.kind is SpanKind.CLIENT]
    assert [span.context.span_id for span in made] == [daemon.parent.span_id if daemon.parent else 0]
    [decision] = [event for event in daemon.events if event.name == "decision"]
    assert (decision.attributes or {})["headway.decision.choice"] == "large"
