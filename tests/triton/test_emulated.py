"""Emulated models on a real Triton: as long as the profile says, in batches, streams with a place for each."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb

from ops.bench.certificates import make_certificates
from ops.bench.real_serving.cell import Cell, run_cell
from ops.bench.real_serving.scenario import read_scenario
from ops.emulated.fidelity import Prober
from ops.emulated.repository import EmulatedModel, emulated_models, write_repository
from ops.emulated.requests import infer_request
from policies.profile import Profile, TokenProfile
from proxy.demo.triton_server import TritonServer

SERVICE = "/inference.GRPCInferenceService/"
WHOLE = EmulatedModel("whole", Profile(((1, 0.05), (8, 0.12)), batch_delay_s=0.001))
STREAM = EmulatedModel("stream", Profile(((1, 1.0),), tokens=TokenProfile(0.0001, 0.01, ((1, 0.02), (2, 0.03)), 2)))
PATIENT = EmulatedModel("patient", Profile(((1, 0.01), (4, 0.012)), batch_delay_s=0.25, preferred=(4,)))


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def emulated(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[TritonServer]:
    repository = write_repository(tmp_path_factory.mktemp("emulated"), [WHOLE, STREAM, PATIENT])
    async with TritonServer(repository) as server:
        yield server


@pytest_asyncio.fixture
async def channel(emulated: TritonServer) -> AsyncIterator[grpc.aio.Channel]:
    async with grpc.aio.insecure_channel(emulated.grpc_url) as opened:
        yield opened


async def test_a_whole_answer_takes_as_long_as_the_profile_says(channel: grpc.aio.Channel) -> None:
    found = await Prober(channel).measure(WHOLE, load=0.0, seconds=0.5, seed=1)
    assert found.requests > 2
    assert 0.049 < found.measured["answer"].p50_s < 0.15
    assert found.simulated["answer"].p50_s == pytest.approx(0.051)


async def test_requests_of_any_size_share_a_batch(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary(f"{SERVICE}ModelInfer", None, None)
    messages = [infer_request("whole", size_bytes=100 * n, answer_bytes=10 * n) for n in range(9)]
    began_at = time.monotonic()
    answers = await asyncio.gather(*map(call, messages))
    assert time.monotonic() - began_at < 0.05 + 0.12 + 0.2  # one by one they take 0.45 s and more
    assert [len(pb.ModelInferResponse.FromString(answer).raw_output_contents[0]) for answer in answers] == [
        10 * n for n in range(9)
    ]


async def test_preferred_sizes_and_the_delay_are_triton_s(channel: grpc.aio.Channel) -> None:
    call = channel.unary_unary(f"{SERVICE}ModelInfer", None, None)
    message = infer_request("patient", size_bytes=10)
    began_at = time.monotonic()
    await asyncio.gather(*(call(message) for _ in range(4)))
    assert time.monotonic() - began_at < 0.25
    began_at = time.monotonic()
    await call(message)
    assert time.monotonic() - began_at >= 0.25


async def test_a_stream_has_its_tokens_one_by_one(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream(f"{SERVICE}ModelStreamInfer", None, None)
    message = infer_request("stream", size_bytes=8192, prompt_tokens=100, answer_tokens=5, answer_bytes=7)
    began_at = time.monotonic()
    answers = [
        (time.monotonic() - began_at, pb.ModelStreamInferResponse.FromString(content))
        async for content in call(only(message))
    ]
    assert [len(answer.infer_response.raw_output_contents[0]) for _, answer in answers] == [7] * 5
    finals = [answer.infer_response.parameters["triton_final_response"].bool_param for _, answer in answers]
    assert finals == [False] * 4 + [True]
    assert answers[0][0] >= 0.02
    assert answers[-1][0] >= 0.02 + 4 * 0.02 - 0.002


async def test_a_cancelled_stream_gives_up_its_place(channel: grpc.aio.Channel) -> None:
    call = channel.stream_stream(f"{SERVICE}ModelStreamInfer", None, None)
    long = infer_request("stream", size_bytes=10, prompt_tokens=1, answer_tokens=100_000)
    first, second = call(only(long)), call(only(long))
    assert await first.read() is not None
    assert await second.read() is not None
    third = call(only(infer_request("stream", size_bytes=10, prompt_tokens=1, answer_tokens=1)))
    first.cancel()
    async with asyncio.timeout(5):
        assert len([content async for content in third]) == 1
    second.cancel()


async def only(message: bytes) -> AsyncIterator[bytes]:
    yield message


WORKLOAD = """name: small
seconds: 2
arrivals: {kind: stable, rates: [10], hold: 2}
classes: {quick: {deadline: 1.0, size: 1000}}
network: {delay: 0.05}
candidates:
  - {model: good, quality: 0.8, latency: {1: 0.02, 8: 0.04}}
  - {model: poor, quality: 0.4, latency: {1: 0.01, 8: 0.02}}
"""


@pytest.mark.slow
async def test_a_cell_of_real_serving(tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(WORKLOAD)
    (tmp_path / "scenario.yaml").write_text("{workloads: [small.yaml], policies: ['static:good'], settle: 0.1}")
    scenario = read_scenario(tmp_path / "scenario.yaml")
    models = emulated_models(scenario.workloads["small"])
    async with TritonServer(write_repository(tmp_path / "models", models)) as triton:
        cell = Cell("small", "static:good", 1)
        brought = await run_cell(cell, scenario, triton, models, certificates=make_certificates(tmp_path))
    assert brought.simulated["score"] == pytest.approx(1.0)
    assert brought.metrics["score"] > 0.8
    assert brought.metrics["models"]["poor"] == 0.0
    assert set(brought.cpu_s) == {"client", "proxy", "daemon", "triton"}
