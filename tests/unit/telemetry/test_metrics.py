from __future__ import annotations

from functools import partial

import pytest

from proxy.telemetry.metric_names import MetricName
from proxy.telemetry.metrics import Counter, Histogram, Labelled, Summary, family_of
from tests.unit.telemetry.pages import parsed, parsed_text, values

CALLS = MetricName("calls_total", "counter", ("class", "outcome"), "Calls.")
DURATION = MetricName("duration_seconds", "histogram", ("class",), "Duration.")
SLACK = MetricName("slack_seconds", "histogram", (), "Slack.")
ACCURACY = MetricName("accuracy", "summary", ("class",), "Accuracy.")


def test_a_counter_is_shown_from_the_time_it_is_asked_for() -> None:
    calls = Labelled(CALLS, Counter)
    late = calls.at("bulk", "late")
    assert values([calls.family()], "calls_total") == {("bulk", "late"): 0}
    late.add()
    calls.at("bulk", "late").add(2)
    assert values([calls.family()], "calls_total") == {("bulk", "late"): 3}


def test_a_wrong_number_of_labels_is_told() -> None:
    with pytest.raises(ValueError, match="calls_total has labels"):
        Labelled(CALLS, Counter).at("bulk")


def test_buckets_hold_what_is_at_or_below_their_bound() -> None:
    duration = Labelled(DURATION, partial(Histogram, (0.1, 0.5, 1.0)))
    bulk = duration.at("bulk")
    for seconds in (0.1, 0.2, 0.5, 0.7, 8.0):
        bulk.observe(seconds)
    assert values([duration.family()], "duration_seconds_bucket") == {
        ("bulk", "0.1"): 1,
        ("bulk", "0.5"): 3,
        ("bulk", "1.0"): 4,
        ("bulk", "+Inf"): 5,
    }
    assert values([duration.family()], "duration_seconds_sum") == {("bulk",): 9.5}
    assert values([duration.family()], "duration_seconds_count") == {("bulk",): 5}
    assert (bulk.count, repr(bulk)) == (5, "<Histogram 5 values, sum 9.5>")


def test_a_bucket_remembers_the_last_trace() -> None:
    duration = Labelled(DURATION, partial(Histogram, (0.1, 1.0)))
    for seconds, trace_id in ((0.3, "a"), (0.4, "b"), (0.5, ""), (7.0, "c")):
        duration.at("bulk").observe(seconds, trace_id)
    buckets = parsed([duration.family()])["duration_seconds"].samples
    exemplars = {one.labels["le"]: one.exemplar for one in buckets if one.exemplar is not None}
    assert {le: (one.labels, one.value) for le, one in exemplars.items()} == {
        "1.0": ({"trace_id": "b"}, 0.4),
        "+Inf": ({"trace_id": "c"}, 7.0),
    }


def test_what_may_be_negative_has_no_sum() -> None:
    slack = Labelled(SLACK, partial(Histogram, (-1.0, 0.0, 1.0)))
    for seconds in (-5.0, 0.0, 0.5):
        slack.at().observe(seconds)
    for page in (parsed, parsed_text):
        samples = page([slack.family()])["slack_seconds"].samples
        assert {(one.name, one.labels["le"]): one.value for one in samples} == {
            ("slack_seconds_bucket", "-1.0"): 1,
            ("slack_seconds_bucket", "0.0"): 2,
            ("slack_seconds_bucket", "1.0"): 3,
            ("slack_seconds_bucket", "+Inf"): 3,
        }


def test_a_summary_has_a_count_and_a_sum() -> None:
    accuracy = Labelled(ACCURACY, Summary)
    accuracy.at("bulk").observe(0.5)
    accuracy.at("bulk").observe(0.0)
    assert values([accuracy.family()], "accuracy_sum") == {("bulk",): 0.5}
    assert values([accuracy.family()], "accuracy_count") == {("bulk",): 2}


def test_what_is_read_at_the_scrape() -> None:
    family = family_of(CALLS, [(("bulk", "late"), 7), (("bulk", "on_time"), 0)])
    assert values([family], "calls_total") == {("bulk", "late"): 7, ("bulk", "on_time"): 0}
    assert parsed([family])["calls"].type == "counter"
