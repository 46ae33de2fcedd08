"""What a scrape of a proxy shows, and where it is scraped."""

from __future__ import annotations

import asyncio
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ops.deploy.metrics_used import contract
from proxy.commands.certs import make_certs
from proxy.compose.frontend import Proxy
from proxy.compose.metrics import ProcessMetrics, metrics_listen
from proxy.config import Config, load_config
from proxy.errors import ConfigError
from proxy.telemetry.certificate_metrics import CertificateFile
from proxy.telemetry.tracing import NoTracing, SpanStatistics
from proxy.testing.ports import free_port
from tests.unit.telemetry.pages import parsed, read_page, values

DAEMON = "127.0.0.1:4433"


def config(tmp_path: Path, **settings: str) -> Config:
    environment = {
        "HEADWAY_PROXY__DAEMONS": f"127.0.0.1:{free_port()}",
        "HEADWAY_PROXY__LISTEN": "127.0.0.1:0",
        "HEADWAY_TELEMETRY__TRACES_FILE": str(tmp_path / "traces.jsonl"),
        **settings,
    }
    return load_config(None, roles=["proxy"], environment=environment)


@pytest.mark.parametrize(
    ("settings", "key", "address"),
    [
        ({}, "telemetry.metrics_listen", "None"),
        ({"HEADWAY_TELEMETRY__METRICS_LISTEN": "127.0.0.1:9464"}, "telemetry.metrics_listen", "127.0.0.1:9464"),
        (
            {
                "HEADWAY_TELEMETRY__METRICS_LISTEN": "127.0.0.1:9464",
                "HEADWAY_PROXY__METRICS_LISTEN": "127.0.0.1:9465",
                "HEADWAY_DAEMON__METRICS_LISTEN": "127.0.0.1:9466",
            },
            "proxy.metrics_listen",
            "127.0.0.1:9465",
        ),
    ],
)
def test_where_a_proxy_is_scraped(tmp_path: Path, settings: dict[str, str], key: str, address: str) -> None:
    settings = {name: value for name, value in settings.items() if "DAEMON__" not in name}
    found, listen = metrics_listen(config(tmp_path, **settings), "proxy")
    assert (found, str(listen)) == (key, address)


async def test_a_proxy_without_an_address_for_it_is_scraped_nowhere(tmp_path: Path) -> None:
    proxy = Proxy(config(tmp_path))
    try:
        await proxy.start()
        assert (proxy.metrics.address, repr(proxy.metrics)) == ("", "<MetricsPort off>")
    finally:
        await proxy.close()


async def test_a_port_that_is_taken_is_named_with_its_key(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        proxy = Proxy(config(tmp_path, HEADWAY_TELEMETRY__METRICS_LISTEN=address))
        try:
            with pytest.raises(ConfigError) as error:
                await proxy.start()
        finally:
            await proxy.close()
    key = "HEADWAY_TELEMETRY__METRICS_LISTEN: telemetry.metrics_listen"
    hint = "a proxy and a daemon on one host need an address each, by proxy.metrics_listen or daemon.metrics_listen"
    assert error.value.problems == [f"{key}: can't listen on {address} (TCP): Address already in use; {hint}"]


@pytest.mark.parametrize("transport", ["quic", "tcp"])
async def test_a_proxy_exports_what_is_promised(tmp_path: Path, transport: str) -> None:
    make_certs(tmp_path / "certs", now=datetime.now(UTC))
    ca = str(tmp_path / "certs/ca.pem")
    proxy = Proxy(config(tmp_path, HEADWAY_PROXY__TRANSPORT=transport, HEADWAY_PROXY__CA=ca))
    try:
        async with asyncio.timeout(10):
            await asyncio.gather(*(tunnel.wait_settled() for tunnel in proxy.tunnels))
        page = read_page(await proxy.metrics.page())
        promised = {m.name.removesuffix("_total"): m for m in contract().values() if m.exporter in {"proxy", "both"}}
        over_tcp = {"headway_queue_size", "headway_queue_bytes", "headway_scheduler_mode"}
        absent = (
            {name for name in promised if name.startswith("headway_quic_")} | over_tcp if transport == "tcp" else set()
        )
        exported = {name: metric for name, metric in page.items() if name.startswith("headway_")}
        assert exported.keys() == promised.keys() - absent
        for name, metric in exported.items():
            labels = {frozenset(sample.labels) - {"le"} for sample in metric.samples}
            assert (metric.type, labels | {promised[name].labels}) == (promised[name].type, {promised[name].labels})
        assert {"process_cpu_seconds", "process_resident_memory_bytes"} <= page.keys()
        [tunnel] = proxy.tunnels
        assert [(one.labels, one.value) for one in page["headway_tunnel_up"].samples] == [({"peer": tunnel.name}, 0)]
        assert [one.value for one in page["headway_tunnel_connects"].samples] == [0]
        assert [one.labels for one in page["headway_certificate_expiry_timestamp_seconds"].samples] == [
            {"certificate": "proxy.ca"}
        ]
    finally:
        await proxy.close()


class StubProcess:
    calls = 3
    draining = True
    scheduler = "edf"


class StubTracing(NoTracing):
    def statistics(self) -> SpanStatistics:
        return SpanStatistics(exported=10, failed=2, dropped=1, waiting=5)


def test_any_process(tmp_path: Path) -> None:
    missing = CertificateFile("daemon.cert", tmp_path / "missing.pem")
    process = ProcessMetrics("daemon", StubProcess(), tracing=StubTracing(), certificates=[missing])
    families = list(process.families())
    assert values(families, "headway_calls") == {("daemon",): 3}
    assert values(families, "headway_draining") == {("daemon",): 1}
    assert values(families, "headway_spans_total") == {("exported",): 10, ("failed",): 2, ("dropped",): 1}
    assert [labels[1] for labels in values(families, "headway_build_info")] == ["daemon"]
    assert parsed(families)["headway_certificate_expiry_timestamp_seconds"].samples == []
    assert repr(process) == "<ProcessMetrics daemon>"
