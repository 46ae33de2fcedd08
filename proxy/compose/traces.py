"""Where a process's traces go, by its configuration."""

from __future__ import annotations

from proxy.clock import Clock
from proxy.config import Config
from proxy.telemetry.exporters import open_tracing
from proxy.telemetry.tracing import Tracing, TracingSettings


def open_traces(service: str, config: Config, clock: Clock) -> Tracing:
    """Tracing for the process `service`: to the collector if one is configured, else to the file."""
    telemetry = config.telemetry
    file = None if telemetry.otlp_endpoint else str(telemetry.traces_file)
    settings = TracingSettings(service, otlp_endpoint=telemetry.otlp_endpoint, traces_file=file)
    return open_tracing(settings, clock=clock)
