from __future__ import annotations

import math
from typing import Literal

import pytest

from policies.traffic import Deadline, TrafficClass
from proxy.edge.classify import Classified, Classifier, ClassifySettings
from proxy.errors import CallError, Code
from proxy.tunnel.exchange import CallHead, MetadataValue

CLASSES = {
    "realtime": TrafficClass("realtime", deadline_s=1.0),
    "standard": TrafficClass("standard", deadline_s=2.0),
    "bulk": TrafficClass("bulk", deadline_s=math.inf),
}


def classify(
    *metadata: tuple[str, MetadataValue],
    limit_s: float = math.inf,
    unknown_class: Literal["default", "reject"] = "default",
) -> Classified:
    """Classify a call that arrived at 100 s."""
    classifier = Classifier(ClassifySettings(CLASSES, "standard", unknown_class))
    limit_at = 100.0 + limit_s
    return classifier.classify(
        CallHead("/s/m", metadata, deadline=Deadline(limit_at, limit_at), peer="c:1", accepted_at=100.0, unary=True)
    )


def refused(*metadata: tuple[str, MetadataValue], limit_s: float = math.inf) -> CallError:
    with pytest.raises(CallError) as caught:
        classify(*metadata, limit_s=limit_s)
    return caught.value


def target_s(*metadata: tuple[str, MetadataValue], limit_s: float = math.inf) -> float:
    """The target, seconds from arrival."""
    return classify(*metadata, limit_s=limit_s).head.deadline.target_at - 100.0


class TestClass:
    def test_everything_else_of_the_head_stays(self) -> None:
        metadata = (("x-traffic-class", "realtime"), ("authorization", "Bearer x"), ("k-bin", b"\x00"))
        assert classify(*metadata).head == CallHead(
            "/s/m",
            metadata,
            traffic_class="realtime",
            deadline=Deadline(101.0, math.inf),
            peer="c:1",
            accepted_at=100.0,
            unary=True,
        )

    @pytest.mark.parametrize(
        ("metadata", "name"),
        [
            ((), "standard"),
            ((("k", "v"),), "standard"),
            ((("x-traffic-class", "realtime"),), "realtime"),
            ((("x-llm-d-inference-objective", "bulk"),), "bulk"),
            ((("x-llm-d-inference-objective", "bulk"), ("x-traffic-class", "realtime")), "realtime"),
            ((("x-traffic-class", "realtime"), ("x-traffic-class", "bulk")), "realtime"),
        ],
        ids=["none named", "other metadata", "ours", "llm-d's", "ours before llm-d's", "the first of two"],
    )
    def test_names(self, metadata: tuple[tuple[str, str], ...], name: str) -> None:
        classified = classify(*metadata)
        assert classified.traffic_class is CLASSES[name]
        assert classified.head.traffic_class == name
        assert classified.unknown_class == ""

    @pytest.mark.parametrize("key", ["x-traffic-class", "x-llm-d-inference-objective"])
    @pytest.mark.parametrize("name", ["RealTime", "realtime ", "gold"])
    def test_an_unknown_one_is_served_as_the_default_and_noted(self, key: str, name: str) -> None:
        classified = classify((key, name))
        assert classified.traffic_class is CLASSES["standard"]
        assert classified.unknown_class == name

    def test_of_an_unknown_name_64_characters_are_kept(self) -> None:
        assert classify(("x-traffic-class", "x" * 1000)).unknown_class == "x" * 64

    def test_an_unknown_one_may_be_refused_with_the_known_ones(self) -> None:
        with pytest.raises(CallError) as caught:
            classify(("x-traffic-class", "gold"), unknown_class="reject")
        assert caught.value.code is Code.INVALID_ARGUMENT
        assert caught.value.message == ("x-traffic-class: 'gold' is no traffic class; known: realtime, standard, bulk")
        assert caught.value.reason == ""

    def test_where_unknown_ones_are_refused_known_ones_and_none_pass(self) -> None:
        assert classify(("x-traffic-class", "bulk"), unknown_class="reject").head.traffic_class == "bulk"
        assert classify(unknown_class="reject").head.traffic_class == "standard"


class TestDeadline:
    @pytest.mark.parametrize("key", ["x-deadline-ms", "x-llm-d-slo-ttft-ms", "x-slo-ttft-ms", "x-llm-d-inference-ttl"])
    @pytest.mark.parametrize(("value", "seconds"), [("250", 0.25), ("5000", 5.0), ("0.5", 0.0005), ("1e3", 1.0)])
    def test_milliseconds_replace_the_class_s(self, key: str, value: str, seconds: float) -> None:
        assert target_s((key, value)) == pytest.approx(seconds)

    def test_of_several_the_shortest_counts(self) -> None:
        asked = (("x-deadline-ms", "900"), ("x-slo-ttft-ms", "300"), ("x-llm-d-inference-ttl", "500"))
        assert target_s(*asked) == pytest.approx(0.3)
        assert target_s(*reversed(asked)) == pytest.approx(0.3)

    @pytest.mark.parametrize(
        ("metadata", "limit_s", "expected_s"),
        [
            ((), 0.5, 0.5),
            ((), 30.0, 2.0),
            ((("x-deadline-ms", "5000"),), 3.0, 3.0),
            ((("x-deadline-ms", "250"),), 3.0, 0.25),
            ((("x-traffic-class", "bulk"),), 3.0, 3.0),
            ((("x-traffic-class", "bulk"),), math.inf, math.inf),
        ],
        ids=["caps the class's", "is later", "caps what was asked for", "is later than that", "alone", "none at all"],
    )
    def test_the_grpc_deadline_caps_both(
        self, metadata: tuple[tuple[str, str], ...], limit_s: float, expected_s: float
    ) -> None:
        assert target_s(*metadata, limit_s=limit_s) == pytest.approx(expected_s)
        assert classify(*metadata, limit_s=limit_s).head.deadline.limit_at == 100.0 + limit_s

    @pytest.mark.parametrize("value", ["", "soon", "1s", "nan", "inf", "-inf", "1e999", "1,000", "0x10", b"\xff\xfe"])
    def test_a_malformed_one_is_an_invalid_argument(self, value: MetadataValue) -> None:
        error = refused(("x-deadline-ms", value))
        assert error.code is Code.INVALID_ARGUMENT
        assert error.message == f"x-deadline-ms: {str(value)!r} is not a positive number of milliseconds"

    def test_a_malformed_one_is_not_outdone_by_a_good_one(self) -> None:
        assert refused(("x-deadline-ms", "100"), ("x-slo-ttft-ms", "soon")).code is Code.INVALID_ARGUMENT

    def test_of_a_malformed_one_64_characters_are_repeated(self) -> None:
        assert len(refused(("x-deadline-ms", "x" * 10_000)).message) < 150

    @pytest.mark.parametrize("value", ["0", "-1", "-0.001", "0.0"])
    def test_one_that_has_passed_is_exceeded(self, value: str) -> None:
        error = refused(("x-deadline-ms", value))
        assert error.code is Code.DEADLINE_EXCEEDED
        assert error.message == f"x-deadline-ms: '{value}' has passed already"
        assert error.reason == "rejected-deadline-expired"

    @pytest.mark.parametrize("limit_s", [0.0, -5.0])
    def test_a_grpc_deadline_that_has_passed_is_exceeded(self, limit_s: float) -> None:
        error = refused(("x-deadline-ms", "500"), limit_s=limit_s)
        assert error.code is Code.DEADLINE_EXCEEDED
        assert error.message == "the deadline had passed when the call arrived"
        assert error.reason == "rejected-deadline-expired"


def test_repr_names_the_classes() -> None:
    classifier = Classifier(ClassifySettings(CLASSES, "standard"))
    assert repr(classifier) == "<Classifier realtime,standard,bulk default=standard>"
