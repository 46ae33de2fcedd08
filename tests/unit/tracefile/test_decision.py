import io

from rich.console import Console

from proxy.tracefile.decision import decision_table
from proxy.tracefile.spans import parse_line
from tests.unit.tracefile.otlp import DAEMON, event, line, span

SEEN = {
    "headway.policy": "dqn",
    "headway.decision.reason": "best value",
    "headway.decision.candidates": "llm-large@a, llm-small@b",
    "headway.decision.scores": "0.31, 0.62, 0.05",
    "headway.decision.running": "4, 0",
    "headway.decision.finish_ms": "912.0, -",
    "headway.decision.choice": "llm-small",
    "headway.decision.slack_ms": 410.25,
    "headway.decision.arrivals.fast": 80.0,
}


def draw(*events: dict[str, object]) -> list[str]:
    table = decision_table(list(parse_line(line(DAEMON, span("a", "", 0, 1, events=events)).encode())))
    console = Console(file=io.StringIO(), width=100, highlight=False)
    console.print("nothing" if table is None else table)
    assert isinstance(console.file, io.StringIO)
    return [text.rstrip() for text in console.file.getvalue().splitlines()]


def test_candidates_and_what_was_chosen() -> None:
    assert draw(event("decision", 2, of=SEEN), event("decision", 1), event("retry", 3)) == [
        "dqn chose llm-small: best value; slack 410.2 ms, arrivals 80.0/s in the last second",
        "candidate    score  running  finish ms",
        "llm-large@a   0.31        4      912.0",
        "llm-small@b   0.62        0          -  ◀",
        "shed          0.05",
    ]


def test_greedy_in_the_policys_place() -> None:
    told = {"headway.policy": "dqn", "headway.decision.choice": "shed", "headway.decision.fallback": "took 6 ms"}
    assert draw(event("decision", 1, of=told)) == ["dqn chose shed (in the policy's place: took 6 ms)"]


def test_no_decision() -> None:
    assert draw(event("dispatch", 1)) == ["nothing"]
