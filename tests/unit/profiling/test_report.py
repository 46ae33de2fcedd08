from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from policies.profile import Profile
from policies.profile_file import Origin, Point, ProfileEntry
from proxy.profiling.report import as_json, notes, table, what

POINTS = (Point("batch", 1, 0.0405, 0.05, 0.005, 0.06, 20), Point("size", 64, 0.04, 0.04, 0.0, 0.05, 12))
ENTRY = ProfileEntry("large", Profile(((1, 0.0405),)), Origin("measured", "now", "headway", notes=("A note.",)), POINTS)
DONE = [(Path("p/large.yaml"), ENTRY)]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        ("batch", "batch of 8"),
        ("size", "payload of 8"),
        ("callers", "8 at once"),
        ("first_token", "first message, prompt of 8"),
        ("next_token", "next message, 8 streams"),
    ],
)
def test_points_in_words(kind: str, words: str) -> None:
    assert what(kind, 8) == words


def test_the_table_has_a_row_for_each_point() -> None:
    console = Console(width=100, file=None, record=True, quiet=False)
    with console.capture() as capture:
        console.print(table(DONE))
    header, first, second = (line.split() for line in capture.get().splitlines())
    assert header[0] == "model"
    assert first == ["large", "batch", "of", "1", "40.50", "ms", "60.00", "ms", "10%", "20"]
    assert second == ["payload", "of", "64", "40.00", "ms", "50.00", "ms", "0%", "12"]


def test_json_has_each_file_with_its_content() -> None:
    [found] = json.loads(as_json(DONE))
    assert (found["file"], found["model"], found["latency"]) == ("p/large.yaml", "large", {"1": 0.0405})
    assert found["points"][1]["kind"] == "size"


def test_notes_stand_with_their_file() -> None:
    assert notes([*DONE, (Path("p/large.yaml"), ENTRY)]) == [
        "wrote p/large.yaml",
        "  large: A note.",
        "  large: A note.",
    ]
