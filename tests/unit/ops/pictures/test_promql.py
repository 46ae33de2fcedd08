from __future__ import annotations

import json
import math
import re

import pytest

from ops.deploy.metrics_used import DASHBOARD, panels
from ops.pictures.promql import PromqlError, Query
from ops.pictures.scrapes import Scrapes


def counted() -> Scrapes:
    """Ten seconds of two targets: `a` grows by 10 a second, `b` begins anew in the middle."""
    scrapes = Scrapes()
    for second in range(11):
        for job, value in (("a", 10.0 * second), ("b", float(second if second < 6 else second - 6))):
            page = f'calls_total{{class="x"}} {value}\ncalls_total{{class="y"}} {2 * value}\nup_now 1\n'
            page += f'took_bucket{{le="0.1"}} {value}\ntook_bucket{{le="1.0"}} {3 * value}\n'
            page += f'took_bucket{{le="+Inf"}} {4 * value}\n'
            scrapes.add(page, at=100.0 + second, target={"job": job})
    return scrapes


def ask(text: str) -> dict[str, float]:
    """The answer, by the values of the labels."""
    answer = Query(text, counted(), 110.0).value()
    return {" ".join(value for _, value in sorted(labels)): number for labels, number in answer.items()}


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ('calls_total{job="a",class="x"}', {"calls_total x a": 100.0}),
        ('calls_total{job=~"a|b",class!="x"}', {"calls_total y a": 200.0, "calls_total y b": 8.0}),
        ('rate(calls_total{job="a"}[5s])', {"x a": 10.0, "y a": 20.0}),
        ('increase(calls_total{job="a",class="x"}[5s])', {"x a": 50.0}),
        ('rate(calls_total{job="b",class="x"}[20s])', {"x b": 0.9}),
        ('sum by (class) (rate(calls_total{job="a"}[5s]))', {"x": 10.0, "y": 20.0}),
        ("sum(up_now)", {"": 2.0}),
        ("min by (job) (calls_total)", {"a": 100.0, "b": 4.0}),
        ("count(up_now == 1)", {"": 2.0}),
        ("count(up_now == 0) or vector(0)", {"": 0.0}),
        (
            "sum by (job, class) (calls_total) / ignoring (class) group_left () sum by (job) (calls_total)",
            {"x a": 1 / 3, "y a": 2 / 3, "x b": 1 / 3, "y b": 2 / 3},
        ),
        ('(min(calls_total{job="a"}) - time()) / 2', {"": -5.0}),
        ('2 * up_now{job="a"} + 1', {"a": 3.0}),
        ('histogram_quantile(0.5, sum by (le) (rate(took_bucket{job="a"}[5s])))', {"": 0.55}),
        ('histogram_quantile(0.9, sum by (le) (rate(took_bucket{job="a"}[5s])))', {"": 1.0}),
        ("nothing_of_the_kind", {}),
    ],
)
def test_answers(text: str, answer: dict[str, float]) -> None:
    assert ask(text) == pytest.approx(answer)


def test_a_share_of_nothing_is_not_a_number() -> None:
    assert math.isnan(ask('sum(rate(calls_total{class="x"}[20s])) * 0 / (sum(up_now) - 2)')[""])


@pytest.mark.parametrize("text", ["rate(", "up_now)", "up_now @ 5", "sum by job (up_now)"])
def test_what_is_not_understood_is_said(text: str) -> None:
    with pytest.raises(PromqlError):
        ask(text)


def test_every_expression_of_the_dashboard_is_understood() -> None:
    variables = {"$__rate_interval": "10s", "$__range": "60s", "$class": ".*"}
    for panel in panels(json.loads(DASHBOARD.read_text(encoding="utf-8"))):
        for target in panel.get("targets", []):
            text = re.sub(r"\$\w+", lambda found: variables[found[0]], target["expr"])
            Query(text, Scrapes(), 100.0).value()
