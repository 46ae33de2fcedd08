from proxy.tracefile.spans import Value
from proxy.tracefile.stages import in_order, label, stages_of


def test_stages_of_a_span_come_in_the_order_in_which_they_are_passed() -> None:
    attributes: dict[str, Value] = {
        "headway.stage.delivery_ms": 1.5,
        "headway.stage.later_ms": 4,
        "headway.stage.receive_ms": 0.5,
        "headway.stage.policy_ms": "soon",
        "headway.deadline_ms": 1000.0,
    }
    assert list(stages_of(attributes).items()) == [("receive", 0.5), ("delivery", 1.5), ("later", 4.0)]


def test_names_of_other_versions_are_last() -> None:
    assert in_order(["other", "delivery", "another", "uplink_wait"]) == ["uplink_wait", "delivery", "other", "another"]


def test_labels() -> None:
    assert (label("model_queue"), label("token")) == ("model queue", "later message")
