import json
from pathlib import Path

from ops.bench.report import Report, machine, versions, write


def test_the_file_has_the_format_of_the_experiments(tmp_path: Path) -> None:
    report = Report("overhead", {"rounds": 1}, [{"peer": "direct"}], [{"peer": "hop"}], {"unavailable": {"x": "why"}})
    file = write(report, tmp_path / "deep" / "out", ["overhead", "--out", "a b"])
    content = json.loads(file.read_text())
    assert file == tmp_path / "deep" / "out" / "results.json"
    assert list(content) == [
        "experiment",
        "format",
        "command",
        "commit",
        "machine",
        "versions",
        "scenario",
        "unavailable",
        "cells",
        "summary",
    ]
    assert (content["experiment"], content["format"]) == ("overhead", 1)
    assert content["command"] == "python -m ops.bench overhead --out 'a b'"
    assert content["cells"] == [{"peer": "direct"}]


def test_the_machine_and_the_versions_are_told() -> None:
    assert machine()["cores"] >= 1
    assert machine()["memory_bytes"] > 0
    assert {"python", "grpcio", "aioquic"} <= set(versions())
