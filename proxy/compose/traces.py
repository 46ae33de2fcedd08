"""Where a process's traces go, by its configuration."""

from __future__ import annotations

from proxy.clock import Clock
from proxy.config import Config
from proxy.telemetry import names
from proxy.telemetry.exporters import open_tracing
from proxy.telemetry.tracing import Tracing, TracingSettings

TRITON = "inference.GRPCInferenceService/"
"""Triton traces every request that comes with a trace context, whether or not that is sampled and whatever its own
rate is (seen with 2.51: `rate=0` and a `traceparent` that ends in `-00` give three spans)."""


def open_traces(service: str, config: Config, clock: Clock) -> Tracing:
    """Tracing for the process `service`: to the collector if one is configured, else to the file."""
    telemetry = config.telemetry
    file = None if telemetry.otlp_endpoint else str(telemetry.traces_file)
    settings = TracingSettings(
        service,
        otlp_endpoint=telemetry.otlp_endpoint,
        traces_file=file,
        withholds_from=TRITON if service == names.DAEMON_SERVICE else "",
    )
    return open_tracing(settings, clock=clock)
