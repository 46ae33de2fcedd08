"""What a user sees of `headway trace`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner, Result

from proxy.cli import app
from proxy.commands.trace import trace
from proxy.tracefile.reader import TraceFileError
from tests.unit.tracefile.otlp import TRITON, call_lines, line, span

LATE, LATER, GOOD, NEWEST, ALIEN = ("a1" + "0" * 30, "a2" + "0" * 30, "b" * 32, "c" * 32, "d" * 32)
Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command beside `traces.jsonl`, on 100 columns."""
    monkeypatch.chdir(tmp_path)
    lines = (
        *call_lines(trace=LATE, missed_at="model_queue"),
        *call_lines(trace=LATER, missed_at="uplink_wait", deadline_ms=20.0, traffic_class="standard"),
        *call_lines(trace=GOOD, deadline_ms=900.0, begin_ms=10),
        *call_lines(trace=NEWEST, deadline_ms=900.0, begin_ms=20),
        line(TRITON, span("x", "", 0, 5, trace=ALIEN, name="InferRequest")),
    )
    (tmp_path / "traces.jsonl").write_text("".join(lines) + "broken\n" + lines[0][:40], encoding="utf-8")
    alone = typer.Typer()
    alone.command()(trace)

    def invoke(*arguments: str) -> Result:
        return CliRunner(env={"COLUMNS": "100"}).invoke(alone, arguments)

    return invoke


def drawn(result: Result) -> list[str]:
    assert result.exit_code == 0, result.output
    return [text.split()[1] for text in result.output.splitlines() if text.startswith("trace ") and " UTC" in text]


def test_the_summary_and_the_worst_call(run: Run) -> None:
    result = run("traces.jsonl")
    assert drawn(result) == [LATER]
    first, unreadable, unfinished = result.output.splitlines()[:3]
    assert first == "traces.jsonl: 5 traces, 29 spans, calls from 2026-11-22 19:48:38 to 19:48:38 UTC"
    assert unreadable.startswith("1 unreadable line left out: traces.jsonl:14: not JSON")
    assert unfinished == "traces.jsonl: the last line is incomplete and left out"
    assert "it ran out in uplink wait" in result.output


@pytest.mark.parametrize(
    ("flags", "traces"),
    [
        (["--missed"], [LATER, LATE]),
        (["--missed", "--limit", "1"], [LATER]),
        (["--limit", "0"], []),
        (["--limit", "9"], [LATER, LATE, NEWEST, GOOD]),
        (["--class", "realtime"], [LATE]),
        (["--class", "realtime", "--missed"], [LATE]),
        (["--id", "A2"], [LATER]),
        (["--id", "dd"], [ALIEN]),
        (["--id", "b", "--missed"], []),
    ],
)
def test_which_are_drawn(run: Run, flags: list[str], traces: list[str]) -> None:
    assert drawn(run("traces.jsonl", *flags)) == traces


def test_one_trace_has_no_summary(run: Run) -> None:
    assert "By class" not in run("traces.jsonl", "--id", LATE).output
    assert run("traces.jsonl", "--id", "b", "--missed").output.endswith("No call to show.\n")


def test_json(run: Run) -> None:
    document = json.loads(run("traces.jsonl", "--missed", "--json").output)
    assert (document["files"], document["traces"], document["spans"]) == (["traces.jsonl"], 5, 29)
    assert (document["summary"]["calls"], len(document["notes"])) == (4, 2)
    assert [call["missed_at"] for call in document["drawn"]] == ["uplink_wait", "model_queue"]
    assert "summary" not in json.loads(run("traces.jsonl", "--id", LATE, "--json").output)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["gone.jsonl"], "gone.jsonl cannot be read: No such file or directory"),
        (["empty.jsonl"], "empty.jsonl: no spans"),
        (["traces.jsonl", "--id", "e"], "traces.jsonl: no trace begins with e"),
        (["traces.jsonl", "--id", "a"], f"traces.jsonl: 2 traces begin with a: {LATE}, {LATER}"),
        (["traces.jsonl", "--class", "bulk"], "traces.jsonl: no call of class bulk; there are: realtime, standard"),
    ],
)
def test_what_is_not_there(run: Run, arguments: list[str], message: str) -> None:
    Path("empty.jsonl").write_text("")
    error = run(*arguments).exception
    assert isinstance(error, TraceFileError)
    assert str(error) == message


def test_a_file_of_another_kind_is_named_with_its_line(run: Run) -> None:
    Path("other.json").write_text('{"data": []}\n')
    error = run("other.json").exception
    assert isinstance(error, TraceFileError)
    assert str(error).splitlines() == [
        "other.json: no spans",
        '1 unreadable line left out: other.json:1: no OTLP JSON: an object with "resourceSpans" is expected',
    ]


def test_help_teaches_by_example() -> None:
    result = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["trace", "--help"])
    assert "headway trace headway-traces.jsonl --id 67a66f95" in result.output
    assert result.exit_code == 0
