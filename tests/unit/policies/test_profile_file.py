from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from policies.profile import Profile, TokenProfile
from policies.profile_file import (
    Origin,
    Point,
    ProfileEntry,
    profile_path,
    read_entries,
    read_profile,
    shipped_profiles,
    to_yaml,
    write_entries,
)
from policies.simulation.keys import WorkloadError

LARGE = ProfileEntry(
    "large",
    Profile(
        ((1, 0.4), (8, 0.8)),
        deviation=0.1,
        p95_over_p50=1.2,
        instances=2,
        max_batch=4,
        batch_delay_s=0.001,
        preferred=(2, 4),
    ),
    Origin(
        "measured",
        "2026-05-01T12:00:00+00:00",
        "headway profile --route llm",
        server="triton 2.51.0",
        cpu="A CPU",
        cores=2,
        gpus=("A GPU",),
        notes=("A note: with a colon.",),
        sources=("https://example.org",),
    ),
    (Point("batch", 1, 0.4, 0.41, 0.02, 0.48, 40), Point("size", 64, 0.4, 0.41, 0.02, 0.48, 12)),
)
TOKENS = TokenProfile(0.00001, 0.008, ((1, 0.01), (32, 0.02)), 16)
SMALL = ProfileEntry("small", Profile(((1, 0.1),), tokens=TOKENS))
PLAIN: dict[str, Any] = {"format": 1, "model": "m", "latency": {1: 0.1, 4: 0.2}}


def written(path: Path, content: object) -> Path:
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("entries", [(LARGE,), (SMALL,), (LARGE, SMALL)])
def test_what_is_written_is_read(tmp_path: Path, entries: tuple[ProfileEntry, ...]) -> None:
    write_entries(tmp_path / "p.yaml", entries)
    assert read_entries(tmp_path / "p.yaml") == entries


def test_numbers_have_five_digits_and_no_exponent() -> None:
    profile = Profile(((1, 0.1234567),), tokens=TokenProfile(0.0000123456, 0.0, ((1, 12.3456789),), 1))
    text = to_yaml([ProfileEntry("m", profile)])
    assert "{1: 0.12346}" in text
    assert "prefill_per_token: 0.000012346\n" in text
    assert "step: {1: 12.346}" in text


def test_a_file_with_one_model_serves_any_and_one_with_several_by_name(tmp_path: Path) -> None:
    write_entries(tmp_path / "one.yaml", [LARGE])
    write_entries(tmp_path / "two.yaml", [LARGE, SMALL])
    assert read_profile(tmp_path / "one.yaml", "whatever") == LARGE.profile
    assert read_profile(tmp_path / "two.yaml", "small") == SMALL.profile
    with pytest.raises(WorkloadError, match=r"two\.yaml: models: none is called medium, only large, small"):
        read_profile(tmp_path / "two.yaml", "medium")


def test_without_a_95th_percentile_it_follows_from_the_deviation(tmp_path: Path) -> None:
    path = written(tmp_path / "p.yaml", {**PLAIN, "deviation": 0.1})
    assert read_profile(path, "m").p95_over_p50 == pytest.approx(1.178, abs=0.001)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**PLAIN, "format": 2}, "format: 2 is not 1, the one that this version reads"),
        ({"model": "m", "latency": {1: 1}}, "format: None is not 1"),
        ({**PLAIN, "latncy": {1: 1}}, "latncy: unknown key; did you mean latency"),
        ({"format": 1, "latency": {1: 1}}, "model: missing"),
        ({"format": 1, "model": "m"}, "latency: missing"),
        ({**PLAIN, "p95_over_p50": 0.9}, "p95_over_p50: 0.9 is not a number of at least 1"),
        ({**PLAIN, "origin": {"kind": "guessed"}}, r"origin\.kind: 'guessed' is not a name of computed, measured"),
        ({**PLAIN, "origin": {"kind": "measured", "at": "x", "host": "y"}}, r"origin\.host: unknown key"),
        ({**PLAIN, "points": [{"kind": "batch", "att": 1}]}, r"points\[0\]\.att: unknown key; did you mean at"),
        ({**PLAIN, "tokens": {"step": {2: 1}}}, "step_s must list ascending sizes from 1"),
        ({**PLAIN, "max_batch": 5}, "latency_s lists sizes to 4, and 5 is asked for"),
        ({"format": 1, "models": []}, "models: a list of at least one"),
        ({"format": 1, "models": [{"model": "m", "latency": {1: 1}}] * 2}, "each with another model"),
        ({"format": 1, "models": [], "latency": {1: 1}}, "latency: unknown key"),
        ([], r"\[\] is not a mapping"),
    ],
)
def test_what_does_not_fit_is_refused_by_file_and_key(tmp_path: Path, content: object, message: str) -> None:
    path = written(tmp_path / "p.yaml", content)
    with pytest.raises(WorkloadError, match=rf"p\.yaml: .*{message}"):
        read_entries(path)


def test_a_file_that_is_not_there_is_refused_with_those_that_are(tmp_path: Path) -> None:
    with pytest.raises(WorkloadError, match=r"none\.yaml: there is no such file; .*llama-7b-a100"):
        read_entries(tmp_path / "none.yaml")


def test_a_bare_name_is_a_shipped_profile_and_any_other_name_a_path(tmp_path: Path) -> None:
    assert profile_path("llama-7b-a100", tmp_path) in shipped_profiles()
    assert profile_path("llama-7b-a100.yaml", tmp_path) == tmp_path / "llama-7b-a100.yaml"
    assert profile_path("profiles/llama-7b-a100", tmp_path) == tmp_path / "profiles/llama-7b-a100"


@pytest.mark.parametrize("path", shipped_profiles(), ids=lambda path: path.stem)
def test_shipped_profiles_can_be_read_and_say_where_they_come_from(path: Path) -> None:
    [entry] = read_entries(path)
    assert entry.origin is not None
    assert entry.origin.kind == "measured" or entry.origin.sources
    assert entry.origin.command
    assert (entry.origin.kind == "measured") == bool(entry.points)
    latencies = [seconds for _, seconds in entry.profile.latency_s]
    assert 0 < latencies[0] <= latencies[-1] < 10
