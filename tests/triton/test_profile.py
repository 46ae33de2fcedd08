"""`headway profile` on the real Triton."""

from __future__ import annotations

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console

from policies.profile_file import ProfileEntry, read_entries
from proxy.config import Config, load_config
from proxy.demo.triton_server import TritonServer
from proxy.profiling.model import ProfilingError
from proxy.profiling.payload import Wishes
from proxy.profiling.route import Plan, profile_route
from proxy.profiling.sweep import Limits


async def profiled(home: Path, triton: TritonServer, wishes: Wishes, *models: str) -> list[ProfileEntry]:
    now, limits = datetime(2026, 5, 1, tzinfo=UTC), Limits(0.05, warm_up=0)
    plan = Plan("r", str(home / "out"), wishes, limits, 2, "headway profile", now)
    done = await profile_route(config_of(home, triton, *models), plan, console=Console(file=io.StringIO()))
    assert [read_entries(path)[0].model for path, _ in done] == list(models)
    return [read_entries(path)[0] for path, _ in done]


def config_of(home: Path, triton: TritonServer, *models: str) -> Config:
    candidates = ", ".join(f"{{triton: a, model: {model}, quality: 1}}" for model in models)
    path = home / "headway.yaml"
    path.write_text(
        "daemon:\n  cert: daemon.pem\n  key: daemon.key\n"
        f"  tritons: {{a: {{url: '{triton.grpc_url}'}}}}\n"
        f"  routes: {{r: {{policy: round_robin, candidates: [{candidates}]}}}}\n"
    )
    return load_config(path, roles=("daemon",), check_files=False)


@pytest.mark.slow
async def test_a_language_model_that_answers_at_once_and_one_that_streams(
    tmp_path: Path, llm_triton: TritonServer
) -> None:
    wishes = Wishes(values={"MAX_TOKENS": "12"}, sizes=(8, 64))
    whole, streaming = await profiled(tmp_path, llm_triton, wishes, "llm-small", "llm-stream-small")
    assert [at for at, _ in whole.profile.latency_s] == [1, 2, 4, 8]
    assert (whole.profile.max_batch, whole.profile.instances, whole.profile.batch_delay_s) == (8, 1, 0.001)
    assert {(point.kind, point.at) for point in whole.points if point.kind == "size"} == {("size", 8), ("size", 64)}
    assert whole.origin is not None
    assert whole.origin.server.startswith("triton 2.")
    assert streaming.profile.tokens is not None
    assert streaming.profile.tokens.step(1) < streaming.profile.at(1)
    assert [point.at for point in streaming.points if point.kind == "next_token"] in ([1], [1, 2])


async def test_a_model_that_sleeps_takes_as_long_as_it_is_told(tmp_path: Path, triton: TritonServer) -> None:
    [sleepy] = await profiled(tmp_path, triton, Wishes(values={"SLEEP_S": "0.02"}), "sleepy")
    assert 0.02 <= sleepy.profile.at(1) < 0.2
    assert sleepy.profile.max_batch == 1


async def test_a_model_that_streams_as_fast_as_it_is_told(tmp_path: Path, triton: TritonServer) -> None:
    [repeat] = await profiled(tmp_path, triton, Wishes(values={"COUNT": "6", "DELAY_S": "0.005"}), "repeat")
    tokens = repeat.profile.tokens
    assert tokens is not None
    assert 0.004 < tokens.step(1) < 0.1
    assert repeat.profile.at(1) > 4 * 0.005


async def test_what_triton_says_of_an_input_reaches_the_user(tmp_path: Path, triton: TritonServer) -> None:
    with pytest.raises(ProfilingError, match=r"repeat streams, and answered with 1 messages; .*--value"):
        await profiled(tmp_path, triton, Wishes(), "repeat")
