"""What a scrape sees, read back by prometheus_client's parsers."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

from proxy.telemetry.exposition import END, Family, lines

Values = dict[tuple[str, ...], float]


def read_page(page: str) -> dict[str, Metric]:
    """A page of either format. Raises ValueError for what its parser does not take."""
    read = read_openmetrics if page.endswith(END) else read_text
    return {metric.name: metric for metric in read(page)}


def parsed(families: Iterable[Family | None]) -> dict[str, Metric]:
    """By the name in OpenMetrics."""
    page = "".join(line for family in families if family is not None for line in lines(family, openmetrics=True))
    return read_page(page + END)


def parsed_text(families: Iterable[Family | None]) -> dict[str, Metric]:
    """The same of the older format."""
    return read_page("".join(line for one in families if one is not None for line in lines(one, openmetrics=False)))


def values(families: Iterable[Family | None], series: str) -> Values:
    """The numbers of one series by its labels' values, in the order in which they stand on the page."""
    return values_of(parsed(families), series)


def values_of(page: dict[str, Metric], series: str) -> Values:
    """The same of a page that was read."""
    return {
        tuple(sample.labels.values()): sample.value
        for metric in page.values()
        for sample in metric.samples
        if sample.name == series
    }


def nonzero(families: Iterable[Family | None], series: str) -> Values:
    """Those of them that are not 0."""
    return {labels: value for labels, value in values(families, series).items() if value}
