from pathlib import Path

import pytest

from proxy.clock import MonotonicClock
from proxy.compose.traces import open_traces
from proxy.config import Config, load_config
from proxy.telemetry.tracing import NO_TRACING
from proxy.tunnel.exchange import CallHead, CallStatus


def configuration(**variables: str) -> Config:
    environment = {"HEADWAY_PROXY__DAEMONS": "127.0.0.1:4433", **variables}
    return load_config(None, roles=["proxy"], environment=environment)


def test_without_a_collector_spans_go_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    config = configuration(HEADWAY_TELEMETRY__TRACES_FILE=str(file))
    tracing = open_traces("headway-proxy", config, MonotonicClock())
    tracing.server_span(CallHead("/pkg.Service/Method")).finish(CallStatus(0))
    tracing.close()

    assert '"stringValue":"headway-proxy"' in file.read_text().replace(" ", "")
    assert tracing.statistics().exported == 1


def test_with_a_collector_the_file_stays_away(tmp_path: Path) -> None:
    file = tmp_path / "traces.jsonl"
    config = configuration(
        HEADWAY_TELEMETRY__TRACES_FILE=str(file), HEADWAY_TELEMETRY__OTLP_ENDPOINT="http://127.0.0.1:1"
    )
    tracing = open_traces("headway-proxy", config, MonotonicClock())
    tracing.server_span(CallHead("/pkg.Service/Method")).finish(CallStatus(0))
    tracing.close(timeout_s=0.1)

    assert not file.exists()


def test_switched_off_by_the_standard_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")

    assert open_traces("headway-proxy", configuration(), MonotonicClock()) is NO_TRACING
