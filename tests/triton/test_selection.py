"""Selection in front of a real Triton: three models of different speeds, profiles, metrics, the whole stack around it.

The models sleep for as long as their profiles say for the batch, so that their capacity does not depend on the machine.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import grpc.aio
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb
from tritonclient.grpc.aio import InferenceServerClient as Client

from policies.profile import Profile
from policies.profile_file import ProfileEntry, write_entries
from policies.selection.base import Candidate
from proxy.clock import MonotonicClock
from proxy.daemon.guard import SLOW
from proxy.daemon.waiting_room import WaitingStatistics
from proxy.demo.triton_server import TritonServer
from proxy.tasks import spawn
from proxy.testing.stack import HeadwayStack

MODELS: Mapping[str, tuple[float, Mapping[int, float]]] = {
    "large": (0.71, {1: 0.4, 4: 0.48}),
    "medium": (0.62, {1: 0.12, 4: 0.16}),
    "small": (0.48, {1: 0.03, 8: 0.05}),
}
"""Quality, and seconds by batch: about 8, 25 and 160 requests a second at most."""
CLOCK = MonotonicClock()
BURST = 40
"""At once: within the deadline large answers 8 of them and medium 24."""

MODEL = """import json, time
import numpy as np
import triton_python_backend_utils as pb_utils

class TritonPythonModel:
    def initialize(self, args):
        text = json.loads(args["model_config"])["parameters"]["latency"]["string_value"]
        self.points = sorted((int(size), seconds) for size, seconds in json.loads(text).items())

    def execute(self, requests):
        sizes, seconds = zip(*self.points)
        time.sleep(float(np.interp(len(requests), sizes, seconds)))
        out = [pb_utils.get_input_tensor_by_name(request, "INPUT").as_numpy() for request in requests]
        return [pb_utils.InferenceResponse([pb_utils.Tensor("OUTPUT", value)]) for value in out]
"""
CONFIG = """name: "{name}"
backend: "python"
max_batch_size: {largest}
input [ {{ name: "INPUT" data_type: TYPE_FP32 dims: [ 1 ] }} ]
output [ {{ name: "OUTPUT" data_type: TYPE_FP32 dims: [ 1 ] }} ]
dynamic_batching {{ }}
instance_group [ {{ kind: KIND_CPU count: 1 }} ]
parameters {{ key: "latency" value: {{ string_value: {latency} }} }}
"""


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("timed")
    for name, (_, latency) in MODELS.items():
        (home / name / "1").mkdir(parents=True)
        (home / name / "1" / "model.py").write_text(MODEL)
        text = json.dumps(json.dumps(latency))
        (home / name / "config.pbtxt").write_text(CONFIG.format(name=name, largest=max(latency), latency=text))
        profile = Profile(tuple(latency.items()), deviation=0.05, p95_over_p50=1.08)
        write_entries(home / f"{name}.yaml", [ProfileEntry(name, profile)])
    return home


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def timed(repository: Path) -> AsyncIterator[TritonServer]:
    async with TritonServer(repository) as server:
        yield server


@pytest_asyncio.fixture
async def stack(timed: TritonServer, repository: Path) -> AsyncIterator[HeadwayStack]:
    candidates = [
        {"triton": "a", "model": name, "quality": quality, "profile": str(repository / f"{name}.yaml")}
        for name, (quality, _) in MODELS.items()
    ]
    daemon = {
        "tritons": {"a": {"url": timed.grpc_url, "metrics": timed.metrics_url}},
        "routes": {"llm": {"policy": "round_robin", "candidates": candidates}},
    }
    classes = {"quick": {"deadline": "1s"}}
    async with HeadwayStack(timed.grpc_url, daemon=daemon, top={"classes": classes}) as running:
        yield running


class Asker:
    """Sends requests for the route, and counts who answers."""

    def __init__(self, channel: grpc.aio.Channel, *, model: str = "llm") -> None:
        self._call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer",
            request_serializer=pb.ModelInferRequest.SerializeToString,
            response_deserializer=pb.ModelInferResponse.FromString,
        )
        self._request = pb.ModelInferRequest(model_name=model, raw_input_contents=[bytes(4)])
        self._request.inputs.add(name="INPUT", datatype="FP32", shape=[1, 1])

    async def ask(self) -> str:
        """Who answered (`answered` where nobody says), or the name of the status that came instead."""
        call = self._call(self._request)
        try:
            await call
        except grpc.aio.AioRpcError as error:
            return str(error.code().name)
        trailers = dict(await call.trailing_metadata() or ())
        return str(trailers.get("x-headway-model", "answered"))

    async def burst(self) -> Counter[str]:
        return Counter(await asyncio.gather(*(self.ask() for _ in range(BURST))))


@pytest_asyncio.fixture
async def asker(stack: HeadwayStack) -> AsyncIterator[Asker]:
    async with grpc.aio.insecure_channel(stack.address) as channel:
        made = Asker(channel)
        stack.daemon.use_policy("llm", "static:large")
        assert await made.ask() == "large"  # everything is connected
        yield made


def candidates(stack: HeadwayStack) -> dict[str, Candidate]:
    return {candidate.name: candidate for candidate in stack.daemon.dispatcher.candidates()["llm"]}


@pytest.mark.parametrize(
    "policy",
    [
        "greedy",
        "late",
        "dqn",
    ],
)
async def test_the_large_model_answers_while_it_can_and_smaller_ones_in_a_burst(
    stack: HeadwayStack, asker: Asker, policy: str
) -> None:
    (path,) = stack.daemon.paths().values()
    assert 0 < path.rtt_s < 1
    stack.daemon.use_policy("llm", policy)
    assert [await asker.ask() for _ in range(5)].count("large") >= 3  # a busy machine may make it look slow for a time
    answered = await asker.burst()
    smaller = answered["medium"] + answered["small"]
    assert answered["large"] <= 16, answered
    assert smaller >= 16, answered
    assert answered["large"] + smaller >= BURST * 3 // 4, answered
    guards = list(stack.daemon.dispatcher.guards().values())
    assert len(guards) == (policy != "greedy")
    for guard in guards:
        assert guard.decisions > BURST
        # Now and then a decision has the garbage collector's work for the whole test process added to its own.
        assert set(guard.fallbacks) <= {SLOW}, guard
        assert guard.fallbacks.get(SLOW, 0) <= 2, guard


async def test_late_has_a_burst_wait_in_the_daemon_and_greedy_in_triton(stack: HeadwayStack, asker: Asker) -> None:
    dispatcher = stack.daemon.dispatcher
    for policy, waits in (("late", True), ("greedy", False)):
        stack.daemon.use_policy("llm", policy)
        burst = spawn(asker.burst(), name="burst")
        most = 0
        while not burst.done():
            most = max(most, dispatcher.waiting()["llm"].requests)
            await asyncio.wait([burst], timeout=0.01)
        assert (most > 0) is waits
        assert dispatcher.waiting()["llm"] == WaitingStatistics()


@pytest.mark.parametrize("policy", ["greedy", "late"])
async def test_after_a_burst_the_accounts_are_even(stack: HeadwayStack, asker: Asker, policy: str) -> None:
    stack.daemon.use_policy("llm", policy)
    await asker.burst()
    seen = candidates(stack).values()
    assert all((candidate.running, candidate.waiting) == (0, 0) for candidate in seen)
    assert sum(candidate.latency_s is not None for candidate in seen) >= 2


@pytest.mark.parametrize("policy", ["greedy", "late"])
async def test_a_model_that_is_unloaded_is_avoided_and_used_again(
    timed: TritonServer, stack: HeadwayStack, asker: Asker, policy: str
) -> None:
    stack.daemon.use_policy("llm", policy)
    async with Client(timed.grpc_url) as client:
        await client.unload_model("large")
        try:
            assert await asker.ask() == "medium"  # it was asked, and the request tried anew
            await stack.daemon.dispatcher.probe.probe()
            assert not candidates(stack)["large"].ready
            assert await asker.ask() == "medium"
        finally:
            await client.load_model("large")
        await stack.daemon.dispatcher.probe.probe()
        assert await asker.ask() == "large"


async def test_what_waits_in_triton_s_queue_for_others_is_seen(timed: TritonServer, stack: HeadwayStack) -> None:
    """Requests that another client sends straight to Triton. Eight of them are two batches of the large model."""
    poll = stack.daemon.dispatcher.metrics.poll
    async with grpc.aio.insecure_channel(timed.grpc_url) as channel, asyncio.TaskGroup() as group:
        other = Asker(channel, model="large")
        for _ in range(24):
            group.create_task(other.ask(), name="another client")
        while (seen := candidates(stack)["large"]).waiting < 8:
            await poll()
        assert seen.predicted_finish_at is not None
        assert seen.predicted_finish_at - CLOCK.now() > 2 * 0.48
    await poll()
    assert candidates(stack)["large"].waiting == 0
