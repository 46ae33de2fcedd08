from __future__ import annotations

import math

import pytest
from prometheus_client.samples import Exemplar, Sample

from proxy.telemetry.exposition import OPENMETRICS, TEXT, Family, content_type, lines
from tests.unit.telemetry.pages import parsed, parsed_text

COUNTER = Family("calls", "counter", "Calls.", [Sample("calls_total", {"class": "a"}, 3)])


def test_a_counter_is_called_as_its_series_in_the_older_format() -> None:
    assert "".join(lines(COUNTER, openmetrics=False)) == (
        '# HELP calls_total Calls.\n# TYPE calls_total counter\ncalls_total{class="a"} 3\n'
    )
    assert "".join(lines(COUNTER, openmetrics=True)) == (
        '# HELP calls Calls.\n# TYPE calls counter\ncalls_total{class="a"} 3\n'
    )


def test_exemplars_are_openmetrics() -> None:
    exemplar = Exemplar({"trace_id": "0af7"}, 0.25)
    family = Family(
        "d",
        "histogram",
        "Duration.",
        [Sample("d_bucket", {"le": "+Inf"}, 1, exemplar=exemplar), Sample("d_count", {}, 1)],
    )
    assert 'd_bucket{le="+Inf"} 1 # {trace_id="0af7"} 0.25\n' in list(lines(family, openmetrics=True))
    assert 'd_bucket{le="+Inf"} 1\n' in list(lines(family, openmetrics=False))


@pytest.mark.parametrize("name", ['with "quotes"', "back\\slash", "two\nlines", "übergröße, {braces}"])
def test_any_text_may_be_a_label(name: str) -> None:
    family = Family("g", "gauge", name, [Sample("g", {"x": name, "y": ""}, 1)])
    for page in (parsed([family]), parsed_text([family])):
        [sample] = page["g"].samples
        assert sample.labels == {"x": name, "y": ""}
    assert parsed([family])["g"].documentation == name


@pytest.mark.parametrize(
    ("value", "text"),
    [(3, "3"), (0.1, "0.1"), (1e300, "1e+300"), (math.inf, "+Inf"), (-math.inf, "-Inf"), (math.nan, "NaN")],
)
def test_numbers(value: float, text: str) -> None:
    [_, line] = lines(Family("g", "gauge", "G.", [Sample("g", {}, value)]), openmetrics=True)
    assert line == f"g {text}\n"


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("", TEXT),
        ("*/*", TEXT),
        ("text/plain;version=0.0.4;q=0.5,*/*;q=0.1", TEXT),
        # Prometheus 3
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.4",
            OPENMETRICS,
        ),
    ],
)
def test_the_format_is_the_one_that_is_asked_for(accept: str, kind: str) -> None:
    assert content_type(accept) == kind
