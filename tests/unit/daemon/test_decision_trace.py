from __future__ import annotations

from policies.selection.base import Arrivals, Candidate, Choice, Request
from proxy.daemon.decision_trace import note_decision
from proxy.telemetry import names
from tests.unit.daemon.spans import RecordedSpan

CANDIDATES = [
    Candidate("large", "a", 0.7, ready=False, running=3, waiting=2, predicted_finish_at=101.25, slow_down=1.5),
    Candidate("small", "b", 0.4),
]


def test_everything_that_a_policy_saw() -> None:
    span = RecordedSpan()
    request = Request(
        "llm",
        deadline_at=102.0,
        way_back_s=0.25,
        arrivals=Arrivals(12.0, 8.5, (("realtime", 0.25), ("", 0.75))),
    )
    choice = Choice(1, "highest Q-value", (0.5, 0.25, -1.0), "too slow")
    note_decision(span, request, CANDIDATES, choice, policy="dqn", now=100.0)
    assert span.events == ["decision"]
    assert span.event_attributes == [
        {
            names.POLICY: "dqn",
            names.DECISION_REASON: "highest Q-value",
            names.DECISION_CHOICE: "small",
            names.DECISION_FALLBACK: "too slow",
            names.DECISION_CANDIDATES: "large@a, small@b",
            names.DECISION_SCORES: "0.5, 0.25, -1",
            names.DECISION_READY: "no, yes",
            names.DECISION_RUNNING: "3, 0",
            names.DECISION_WAITING: "2, 0",
            names.DECISION_FINISH: "1250.0, -",
            names.DECISION_SLOW_DOWN: "1.5, 1",
            names.DECISION_SLACK: 1750.0,
            names.DECISION_WAY_BACK: 250.0,
            names.DECISION_FAST_RATE: 12.0,
            names.DECISION_SLOW_RATE: 8.5,
            names.DECISION_MIX: "realtime=0.250, -=0.750",
        }
    ]


def test_what_there_is_none_of_is_left_out() -> None:
    span = RecordedSpan()
    note_decision(span, Request("llm"), [], Choice(None, "no candidate"), policy="greedy", now=0.0)
    (attributes,) = span.event_attributes
    assert attributes[names.DECISION_CHOICE] == "shed"
    assert not {names.DECISION_SLACK, names.DECISION_SCORES, names.DECISION_FALLBACK, names.DECISION_MIX} & set(
        attributes
    )
