"""What goes into a status, from the records that the parts of a process tell of themselves."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from policies.selection.base import Candidate, Choice, Request
from policies.traffic import TrafficClass
from proxy.compose.status import (
    class_statuses,
    queue_status,
    route_statuses,
    served_status,
    triton_statuses,
    tunnel_status,
)
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.guard import GuardedPolicy
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.errors import Code
from proxy.pb.headway.v1 import control_pb2 as pb
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.telemetry.call_metrics import ClassStatistics
from proxy.telemetry.recent import RecentDurations
from proxy.telemetry.route_metrics import CandidateNumbers, RouteMetrics, RouteNumbers
from proxy.testing.calls import MemoryCarrier, failing
from proxy.testing.clock import ManualClock
from proxy.testing.stack import HeadwayStack
from tests.conformance.backend import Backend

NO_CALLS = ClassStatistics(0, 0, 0, 0, 0, {}, RecentDurations(0, math.nan, math.nan))


def test_classes_in_the_order_of_the_configuration_then_the_others() -> None:
    busy = ClassStatistics(90, 5, 3, 2, 1, {"model_queue": 7, "uplink_wait": 1}, RecentDurations(40, 0.05, 0.9))
    classes = {"realtime": TrafficClass("realtime", 1.0), "bulk": TrafficClass("bulk", math.inf)}
    statuses = list(class_statuses({"other": NO_CALLS, "bulk": NO_CALLS, "realtime": busy}, classes))
    assert [status.name for status in statuses] == ["realtime", "bulk", "other"]
    assert statuses[0] == pb.ClassStatus(
        name="realtime",
        deadline_s=1.0,
        on_time=90,
        late=5,
        failed=3,
        refused=2,
        cancelled=1,
        missed={"model_queue": 7, "uplink_wait": 1},
        latency=pb.RecentLatency(window_s=30.0, calls=40, p50_s=0.05, p99_s=0.9),
    )
    for status in statuses[1:]:
        assert not status.HasField("deadline_s")
        assert not status.latency.HasField("p50_s")


def test_a_path_has_nothing_infinite() -> None:
    known = PathStatistics(
        0.02,
        0.01,
        20_000,
        1_000,
        1452,
        1e6,
        congestion_state="ProbeBW",
        sent_packets=500,
        lost_packets=4,
        late_packets=2,
    )
    assert served_status(ServedTunnel("10.0.0.2:5", 2, known)).path == pb.PathStatus(
        rtt_s=0.02,
        min_rtt_s=0.01,
        congestion_window_bytes=20_000,
        bytes_in_flight=1_000,
        datagram_bytes=1452,
        delivery_rate_bytes_s=1e6,
        sent_packets=500,
        lost_packets=6,
        late_packets=2,
        congestion_state="ProbeBW",
    )
    fresh = PathStatistics(0.0, math.inf, 12_000, 0, 1280, math.inf)
    assert served_status(ServedTunnel("10.0.0.3:5", 0, fresh)).path == pb.PathStatus(
        congestion_window_bytes=12_000, datagram_bytes=1280
    )


def test_what_waits_on_several_connections() -> None:
    path = PathStatistics(0.02, 0.01, 20_000, 1_000, 1452, 1e6)
    connections = [
        ConnectionStatistics(5, 2, 1000, "adaptive", {"mode": "pruning"}, path),
        ConnectionStatistics(4, 1, 500, "adaptive", {"mode": "edf"}, path),
        ConnectionStatistics(1, 0, 0, "rr", {}, path),
    ]
    assert queue_status(connections) == pb.QueueStatus(
        streams=10, streams_ready=3, pending_bytes=1500, modes=["edf", "pruning", "rr"]
    )


async def test_a_tunnel_that_is_up_tells_of_its_queue_and_its_path() -> None:
    async with Backend() as backend, HeadwayStack(backend.address) as stack:
        [tunnel] = stack.proxy.tunnels
        await tunnel.wait_settled()
        status, statistics = tunnel_status(tunnel, retired=False)
    assert statistics is not None
    assert (status.state, status.reason) == (pb.TunnelState.READY, "")
    assert list(status.queue.modes) == ["edf"]
    assert status.path.sent_packets > 0


class Broken:
    name = "dqn"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        raise ZeroDivisionError

    def log_data(self) -> dict[str, object]:
        return {}


@pytest.fixture
def dispatcher() -> Dispatcher:
    candidates = (CandidateSettings("a", "large", 0.7), CandidateSettings("b", "small", 0.4))
    return Dispatcher(
        DispatchSettings(
            (BackendSettings("a", "a:1"), BackendSettings("b", "b:1")),
            "a",
            "127.0.0.1:1",
            routes=(RouteSettings("other", "round_robin", candidates[:1]), RouteSettings("llm", "greedy", candidates)),
        ),
        {name: MemoryCarrier(failing(Code.UNAVAILABLE)) for name in ("a", "b")},
        clock=ManualClock(now=100.0),
    )


def test_routes_by_name_with_their_candidates(dispatcher: Dispatcher) -> None:
    requests = RouteMetrics(["realtime", "bulk"])
    llm = RouteNumbers(requests, "llm", policy="greedy")
    large = CandidateNumbers(requests, "llm", model="large", triton="a")
    for _ in range(3):
        large.sent("realtime")
    large.sent("bulk")
    llm.ended("realtime", worth=0.7)
    llm.ended("realtime", worth=0.0)
    first, second = route_statuses(dispatcher, requests)
    assert (first.route, first.policy, second.route) == ("llm", "greedy", "other")
    assert not first.HasField("guard")
    assert [(one.model, one.triton, one.quality, one.requests) for one in first.candidates] == [
        ("large", "a", 0.7, 4),
        ("small", "b", 0.4, 0),
    ]
    assert [one.requests for one in second.candidates] == [0]
    assert not first.candidates[0].HasField("latency_s")
    assert list(first.classes) == [
        pb.RouteClassStatus(name="realtime", requests=2, worth=0.7),
        pb.RouteClassStatus(name="bulk"),
    ]


def test_a_policy_that_fails_shows_with_its_causes(dispatcher: Dispatcher) -> None:
    guarded = GuardedPolicy("dqn", Broken())
    dispatcher.use_policy("llm", guarded)
    candidates = dispatcher.candidates()["llm"]
    for _ in range(4):
        guarded.choose(Request("llm"), candidates, now=100.0)
    [llm, _] = route_statuses(dispatcher, RouteMetrics())
    assert llm.guard == pb.GuardStatus(decisions=4, fallbacks={"exception": 3, "resting": 1})
    dispatcher.use_policy("llm", GuardedPolicy("dqn", "no file dqn.safetensors"))
    [llm, _] = route_statuses(dispatcher, RouteMetrics())
    assert llm.guard == pb.GuardStatus(unusable="no file dqn.safetensors")


async def test_tritons(dispatcher: Dispatcher) -> None:
    await dispatcher.probe.probe()
    assert [(one.name, one.serving) for one in triton_statuses(dispatcher)] == [("a", False), ("b", False)]
