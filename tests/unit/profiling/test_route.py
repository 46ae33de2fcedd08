from __future__ import annotations

import io
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from policies.profile_file import read_entries, read_profile
from proxy.config import CandidateSettings, Config, load_config
from proxy.errors import ConfigError
from proxy.profiling.model import ProfilingError
from proxy.profiling.payload import Wishes
from proxy.profiling.route import Plan, files_for, profile_route
from proxy.profiling.sweep import Limits
from tests.unit.profiling.small_triton import SmallTriton, serving, text_model

LARGE, SMALL = (CandidateSettings("a", f"llm-{size}", 0.5) for size in ("large", "small"))


def config_of(tmp_path: Path, port: int, *models: str) -> Config:
    candidates = ", ".join(f"{{triton: a, model: {model}, quality: 1}}" for model in models)
    path = tmp_path / "headway.yaml"
    path.write_text(
        "daemon:\n  cert: daemon.pem\n  key: daemon.key\n"
        f"  tritons: {{a: {{url: '127.0.0.1:{port}'}}}}\n"
        f"  routes: {{llm: {{policy: round_robin, candidates: [{candidates}]}}}}\n"
    )
    return load_config(path, roles=("daemon",), check_files=False)


def plan(out: Path, route: str = "llm") -> Plan:
    now = datetime(2026, 5, 1, 12, tzinfo=UTC)
    return Plan(route, str(out), Wishes(sizes=(8, 16)), Limits(0.01, warm_up=0), 2, "headway profile --route llm", now)


async def run(tmp_path: Path, models: Mapping[str, Any], out: Path) -> list[Path]:
    async with serving(SmallTriton(models)) as port:
        config = config_of(tmp_path, port, *models)
        done = await profile_route(config, plan(out), console=Console(file=io.StringIO()))
    return [path for path, _ in done]


async def test_each_candidate_has_its_file(tmp_path: Path) -> None:
    models = {
        "whole": text_model(max_batch_size=2, dynamic_batching={"max_queue_delay_microseconds": 100}),
        "streaming": text_model(model_transaction_policy={"decoupled": True}),
    }
    whole, streaming = await run(tmp_path, models, tmp_path / "made" / "profiles")
    assert (whole.name, streaming.name) == ("whole.yaml", "streaming.yaml")
    [entry] = read_entries(whole)
    assert entry.origin is not None
    assert (entry.origin.kind, entry.origin.at) == ("measured", "2026-05-01T12:00:00+00:00")
    assert (entry.origin.server, entry.origin.command) == ("triton 2.51.0", "headway profile --route llm")
    assert entry.origin.cores >= 1
    assert (entry.profile.max_batch, entry.profile.batch_delay_s) == (2, 0.0001)
    assert [(point.kind, point.at) for point in entry.points] == [
        ("batch", 1),
        ("batch", 2),
        ("size", 8),
        ("size", 16),
    ]
    tokens = read_profile(streaming, "streaming").tokens
    assert tokens is not None
    assert 1 <= tokens.max_sequences <= 2


async def test_all_candidates_in_one_file(tmp_path: Path) -> None:
    models = {"one": text_model(), "other": text_model()}
    assert await run(tmp_path, models, tmp_path / "all.yaml") == [tmp_path / "all.yaml"] * 2
    assert [entry.model for entry in read_entries(tmp_path / "all.yaml")] == ["one", "other"]


async def test_a_route_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"daemon\.routes: there is no route vision; allowed: llm"):
        await profile_route(config_of(tmp_path, 1, "m"), plan(tmp_path, "vision"), console=Console())


async def test_an_out_that_can_not_be_written_is_known_before_measuring(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "dir.yaml").mkdir()
    config = config_of(tmp_path, 1, "m")
    with pytest.raises(ProfilingError, match="file: File exists"):
        await profile_route(config, plan(tmp_path / "file"), console=Console())
    with pytest.raises(ProfilingError, match=r"dir\.yaml is a directory"):
        await profile_route(config, plan(tmp_path / "dir.yaml"), console=Console())


@pytest.mark.parametrize(
    ("out", "files"),
    [
        ("p", ["p/llm-large.yaml", "p/llm-small.yaml"]),
        ("p/all.yaml", ["p/all.yaml", "p/all.yaml"]),
        ("p/demo-{model}.yaml", ["p/demo-llm-large.yaml", "p/demo-llm-small.yaml"]),
        ("p/{triton}-{model}.yaml", ["p/a-llm-large.yaml", "p/a-llm-small.yaml"]),
    ],
)
def test_names_of_files(out: str, files: list[str]) -> None:
    assert [str(path) for path in files_for(out, [LARGE, SMALL])] == files


def test_the_same_model_on_two_tritons_needs_both_names() -> None:
    twins = [LARGE, CandidateSettings("b", "llm-large", 0.5)]
    with pytest.raises(ProfilingError, match=r"--out 'DIR/\{triton\}-\{model\}\.yaml'"):
        files_for("p", twins)
    names = [str(path) for path in files_for("p/{triton}-{model}.yaml", twins)]
    assert names == ["p/a-llm-large.yaml", "p/b-llm-large.yaml"]
