"""What a scrape of a daemon shows."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from ops.deploy.metrics_used import contract
from policies.selection.base import Candidate, Choice, Request
from proxy.commands.certs import make_certs
from proxy.compose.backend import Daemon
from proxy.compose.daemon_metrics import DispatcherMetrics, ServedTunnelMetrics
from proxy.config import Config, load_config
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.guard import GuardedPolicy
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.errors import Code
from proxy.quic.limits import PathStatistics, ServedTunnel
from proxy.quic.statistics import ConnectionStatistics
from proxy.testing.calls import MemoryCarrier, failing
from proxy.testing.clock import ManualClock
from proxy.testing.ports import free_port
from tests.unit.telemetry.pages import read_page, values, values_of


def configuration(tmp_path: Path) -> Config:
    make_certs(tmp_path, now=datetime.now(UTC), force=True)
    candidates = "[{triton: a, model: large, quality: 0.7}, {triton: b, model: small, quality: 0.4}]"
    variables = {
        "HEADWAY_DAEMON__LISTEN": "127.0.0.1:0",
        "HEADWAY_DAEMON__CERT": str(tmp_path / "daemon.pem"),
        "HEADWAY_DAEMON__KEY": str(tmp_path / "daemon.key"),
        "HEADWAY_DAEMON__TOKEN_FILE": str(tmp_path / "token"),
        "HEADWAY_DAEMON__TRITONS": f'{{a: {{url: "127.0.0.1:{free_port()}"}}, b: {{url: "127.0.0.1:{free_port()}"}}}}',
        "HEADWAY_DAEMON__DEFAULT": "b",
        "HEADWAY_DAEMON__ROUTES": f"{{llm: {{policy: round_robin, candidates: {candidates}}}}}",
        "HEADWAY_TELEMETRY__TRACES_FILE": str(tmp_path / "traces.jsonl"),
    }
    return load_config(None, roles=["daemon"], environment=variables)


async def test_a_daemon_exports_what_is_promised(tmp_path: Path) -> None:
    daemon = Daemon(configuration(tmp_path))
    await daemon.start()
    try:
        page = read_page(await daemon.metrics.page())
    finally:
        await daemon.close()
    promised = {m.name.removesuffix("_total"): m for m in contract().values() if m.exporter in {"daemon", "both"}}
    exported = {name: metric for name, metric in page.items() if name.startswith("headway_")}
    assert exported.keys() == promised.keys()
    for name, metric in exported.items():
        labels = {frozenset(sample.labels) - {"le"} for sample in metric.samples}
        assert (metric.type, labels | {promised[name].labels}) == (promised[name].type, {promised[name].labels})
    assert len(values_of(page, "headway_model_selected_total")) == 2 * 3
    assert len(values_of(page, "headway_effective_accuracy_count")) == 3
    assert values_of(page, "headway_policy_fallback_total") == {("llm", "round_robin"): 0}
    assert values_of(page, "headway_triton_up").keys() == {("a",), ("b",)}
    assert values_of(page, "headway_scheduler_mode") == {("downlink", "edf", "edf"): 1}
    assert values_of(page, "headway_certificate_expiry_timestamp_seconds").keys() == {("daemon.cert",)}


class Broken:
    name = "dqn"

    def choose(self, request: Request, candidates: Sequence[Candidate], *, now: float) -> Choice:
        raise ZeroDivisionError

    def log_data(self) -> dict[str, object]:
        return {}


async def test_candidates_as_the_dispatcher_knows_them() -> None:
    candidates = (CandidateSettings("a", "large", 0.7), CandidateSettings("b", "small", 0.4))
    settings = DispatchSettings(
        (BackendSettings("a", "a:1"), BackendSettings("b", "b:1")),
        "a",
        "127.0.0.1:1",
        routes=(RouteSettings("llm", "greedy", candidates),),
    )
    carriers = {name: MemoryCarrier(failing(Code.UNAVAILABLE)) for name in ("a", "b")}
    dispatcher = Dispatcher(settings, carriers, clock=ManualClock(now=100.0))
    metrics = DispatcherMetrics(dispatcher)
    assert values(metrics.families(), "headway_candidate_ready") == {("llm", "large", "a"): 1, ("llm", "small", "b"): 1}
    assert values(metrics.families(), "headway_candidate_requests") == {
        ("llm", "large", "a"): 0,
        ("llm", "small", "b"): 0,
    }
    assert values(metrics.families(), "headway_route_queue_size") == {("llm",): 0}
    assert values(metrics.families(), "headway_route_queue_bytes") == {("llm",): 0}
    await dispatcher.probe.probe()
    assert values(metrics.families(), "headway_triton_up") == {("a",): 0, ("b",): 0}
    assert values(metrics.families(), "headway_candidate_ready") == {("llm", "large", "a"): 0, ("llm", "small", "b"): 0}

    guarded = GuardedPolicy("dqn", Broken(), timer=ManualClock())
    dispatcher.use_policy("llm", guarded)
    for _ in range(2):
        guarded.choose(Request("llm"), [], now=100.0)
    assert values(metrics.families(), "headway_policy_fallback_total") == {("llm", "dqn"): 2}


class StubDaemon:
    calls = 0
    draining = False
    scheduler = "adaptive"

    def __init__(self, *tunnels: ServedTunnel) -> None:
        self.tunnels = tunnels
        self.sending = [
            ConnectionStatistics(3, 2, 100, "adaptive", {"mode": "fair"}, tunnel.path) for tunnel in tunnels
        ]

    @property
    def dispatcher(self) -> Dispatcher:
        raise NotImplementedError


def test_tunnels_from_one_host_are_one_series() -> None:
    path = PathStatistics(0.1, 0.05, 1000, 10, 1200, sent_packets=7)
    tunnels = [ServedTunnel(peer, 1, path) for peer in ("10.0.0.1:4000", "10.0.0.1:4001", "[::1]:4000")]
    families = list(ServedTunnelMetrics(StubDaemon(*tunnels)).families())
    assert values(families, "headway_quic_sent_packets_total") == {("downlink", "10.0.0.1"): 14, ("downlink", "::1"): 7}
    assert values(families, "headway_queue_bytes") == {("downlink",): 300}
    assert values(families, "headway_scheduler_mode") == {("downlink", "adaptive", "fair"): 1}
