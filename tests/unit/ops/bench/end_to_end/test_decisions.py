import json
from collections.abc import Mapping
from pathlib import Path

from ops.bench.end_to_end.decisions import decisions
from proxy.telemetry import names


def line(at_ns: int, told: Mapping[str, float | str]) -> str:
    attributes = [
        {"key": key, "value": {"stringValue": value} if isinstance(value, str) else {"doubleValue": value}}
        for key, value in told.items()
    ]
    span = {
        "traceId": "0" * 31 + "1",
        "spanId": "0" * 15 + "1",
        "name": "call",
        "startTimeUnixNano": "1",
        "endTimeUnixNano": "2",
        "events": [
            {"name": names.DECISION, "timeUnixNano": str(at_ns), "attributes": attributes},
            {"name": "something else", "timeUnixNano": str(at_ns)},
        ],
    }
    return json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})


def test_decisions_are_read_by_time_and_broken_lines_left_out(tmp_path: Path) -> None:
    told: dict[str, float | str] = {
        names.DECISION_SLACK: 1500.0,
        names.DECISION_WAY_BACK: 50.0,
        names.DECISION_CHOICE: "large",
    }
    file = tmp_path / "traces.jsonl"
    file.write_text("\n".join([line(12_000_000_000, {names.DECISION_CHOICE: "shed"}), "{", line(11_000_000_000, told)]))
    assert decisions(file, began_unix_s=10.0) == [
        {"at": 1.0, "slack_s": 1.5, "way_back_s": 0.05, "choice": "large"},
        {"at": 2.0, "slack_s": None, "way_back_s": None, "choice": "shed"},
    ]
