"""The daemon's dispatcher in front of real Tritons, called with the stock `tritonclient`; no tunnel between them.

Triton `a` has all test models; `b` has some of them too, so that a route can span both.
"""

from __future__ import annotations

import asyncio
import itertools
import queue
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc as syncclient
import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc.aio import InferenceServerClient as Client
from tritonclient.utils import InferenceServerException

from proxy.clock import MonotonicClock
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.daemon.triton import HEALTH_CHECK, MODEL_INFER
from proxy.demo.triton_server import TritonServer, TritonSettings
from proxy.edge.server import EdgeServer, EdgeSettings
from proxy.http2.outgoing import GrpcCarrier, channel_options
from proxy.tasks import spawn
from proxy.testing.stack import HeadwayStack
from tests.unit.daemon.stub_triton import infer_request

CLOCK = MonotonicClock()
ROUTES = {
    "words": ("round_robin", [("a", "echo", 0.9), ("b", "failing", 0.5)]),
    "numbers": ("round_robin", [("a", "repeat", 0.9), ("b", "repeat_twin", 0.5)]),
    "sums": ("round_robin", [("a", "stateful", 0.9), ("a", "stateful_twin", 0.5)]),
    "naps": ("static:sleepy", [("a", "sleepy", 0.9)]),
    "nothing": ("round_robin", [("a", "no_such_model", 0.9)]),
}


class Served:
    """A dispatcher that listens, and what it listens with."""

    def __init__(self, dispatcher: Dispatcher, server: EdgeServer) -> None:
        self.dispatcher = dispatcher
        self.url = f"127.0.0.1:{server.port}"


@asynccontextmanager
async def served(**tritons: TritonServer) -> AsyncIterator[Served]:
    channels = {
        name: grpc.aio.insecure_channel(triton.grpc_url, options=channel_options(64 << 20))
        for name, triton in tritons.items()
    }
    carriers = {
        name: GrpcCarrier(channel, name=f"triton {name!r} at {tritons[name].grpc_url}", clock=CLOCK)
        for name, channel in channels.items()
    }
    routes = tuple(
        RouteSettings(name, policy, tuple(CandidateSettings(*candidate) for candidate in candidates))
        for name, (policy, candidates) in ROUTES.items()
        if all(triton in tritons for triton, _, _ in candidates)
    )
    backends = tuple(BackendSettings(name, triton.grpc_url) for name, triton in tritons.items())
    dispatcher = Dispatcher(DispatchSettings(backends, "a", "127.0.0.1:0", routes), carriers, clock=CLOCK)
    server = EdgeServer(EdgeSettings("127.0.0.1:0"), handler=dispatcher, clock=CLOCK)
    await server.start()
    probe = spawn(dispatcher.probe.run(), name="probe")
    try:
        yield Served(dispatcher, server)
    finally:
        probe.cancel()
        await server.stop()
        for channel in channels.values():
            await channel.close(grace=None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def second(test_models: Path) -> AsyncIterator[TritonServer]:
    async with TritonServer(test_models, TritonSettings(models=("failing", "repeat_twin"))) as server:
        yield server


@pytest_asyncio.fixture
async def daemon(triton: TritonServer, second: TritonServer) -> AsyncIterator[Served]:
    async with served(a=triton, b=second) as running:
        yield running


@pytest_asyncio.fixture
async def client(daemon: Served) -> AsyncIterator[Client]:
    async with Client(daemon.url) as connected:
        yield connected


@pytest_asyncio.fixture
async def direct(triton: TritonServer) -> AsyncIterator[Client]:
    async with Client(triton.grpc_url) as connected:
        yield connected


def tensor(name: str, values: np.ndarray[Any, Any], data_type: str) -> grpcclient.InferInput:
    made = grpcclient.InferInput(name, list(values.shape), data_type)
    made.set_data_from_numpy(values)
    return made


def words(*values: bytes) -> list[grpcclient.InferInput]:
    return [tensor("INPUT", np.array([values], dtype=object), "BYTES")]


def count_to(count: int, delay_s: float = 0.0) -> list[grpcclient.InferInput]:
    return [
        tensor("COUNT", np.array([count], np.int32), "INT32"),
        tensor("DELAY_S", np.array([delay_s], np.float32), "FP32"),
    ]


def nap(seconds: float) -> list[grpcclient.InferInput]:
    return [tensor("SLEEP_S", np.array([[seconds]], np.float32), "FP32")]


async def outcome(call: Any) -> tuple[str | None, str]:
    """Status and text of a call that must fail."""
    with pytest.raises(InferenceServerException) as failed:
        await call
    return failed.value.status(), failed.value.message()


def stream(client: Client, model: str, inputs: list[grpcclient.InferInput], **more: Any) -> AsyncIterator[Any]:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": model, "inputs": inputs, **more}

    iterator: AsyncIterator[Any] = client.stream_infer(requests())
    return iterator


async def test_a_route_answers_with_the_candidates_values_under_its_own_name(client: Client) -> None:
    models = set()
    for n in range(4):
        result = await client.infer("words", words(b"hello", bytes([n])), request_id=f"r{n}")
        response = result.get_response()
        assert (response.model_name, response.id) == ("words", f"r{n}")
        assert result.as_numpy("OUTPUT").tolist() == [[b"hello", bytes([n])]]
        models.add(response.parameters["headway_model"].string_param)
    assert models == {"echo", "failing"}


async def test_trailers_say_who_answered(daemon: Served) -> None:
    async with grpc.aio.insecure_channel(daemon.url) as channel:
        call = channel.unary_unary(MODEL_INFER, None, None)(infer_request("naps"))
        trailers = dict(await call.trailing_metadata())
    assert trailers["x-headway-model"] == "sleepy"
    assert trailers["x-headway-instance"] == "a"
    assert trailers["x-headway-policy"] == "static:sleepy"


@pytest.mark.parametrize(
    ("asked", "meant", "inputs"),
    [
        ("nope", "nope", words(b"x")),
        ("words", "echo", nap(0.0)),
        ("words", "echo", [tensor("INPUT", np.array([[1.0]], np.float32), "FP32")]),
        ("numbers", "repeat", count_to(1)),
        ("naps", "sleepy", [tensor("SLEEP_S", np.zeros((2, 1), np.float32), "FP32")]),
    ],
)
async def test_errors_are_triton_s_own(
    client: Client, direct: Client, asked: str, meant: str, inputs: list[grpcclient.InferInput]
) -> None:
    through = await outcome(client.infer(asked, inputs))
    assert through == await outcome(direct.infer(meant, inputs))


@pytest.mark.parametrize("code", ["INTERNAL", "INVALID_ARG", "NOT_FOUND", "UNSUPPORTED"])
async def test_errors_of_a_model_pass_and_are_not_tried_elsewhere(
    daemon: Served, client: Client, direct: Client, code: str
) -> None:
    daemon.dispatcher.use_policy("words", "static:failing")
    inputs = words(f"error:{code}:no luck".encode())
    assert await outcome(client.infer("words", inputs)) == await outcome(direct.infer("failing", inputs))


async def test_unavailable_from_a_model_is_tried_on_the_other_candidate(daemon: Served, client: Client) -> None:
    daemon.dispatcher.use_policy("words", "static:failing")
    result = await client.infer("words", words(b"error:UNAVAILABLE:later"))
    assert result.as_numpy("OUTPUT").tolist() == [[b"error:UNAVAILABLE:later"]]
    assert result.get_response().parameters["headway_model"].string_param == "echo"


async def test_a_route_without_a_loaded_candidate_is_unavailable(client: Client) -> None:
    assert await outcome(client.infer("nothing", words(b"x"))) == (
        "StatusCode.UNAVAILABLE",
        "no candidate of 'nothing' is loaded: Request for unknown model: 'no_such_model' is not found",
    )


async def test_parameters_of_a_wrong_type_get_triton_s_error(client: Client, direct: Client) -> None:
    inputs, parameters = words(b"x"), {"timeout": "soon"}
    through = await outcome(client.infer("words", inputs, parameters=parameters))
    assert through == await outcome(direct.infer("echo", inputs, parameters=parameters))


async def test_tokens_arrive_one_by_one(client: Client) -> None:
    arrived: list[float] = []
    indices: list[int] = []
    async for result, error in stream(client, "numbers", count_to(4, 0.1), request_id="s"):
        assert error is None
        arrived.append(CLOCK.now())
        response = result.get_response()
        assert (response.model_name, response.id) == ("numbers", "s")
        indices += result.as_numpy("INDEX").tolist()
        if response.parameters["triton_final_response"].bool_param:
            break
    assert indices == [0, 1, 2, 3]
    assert all(later - earlier > 0.05 for earlier, later in itertools.pairwise(arrived))


def from_sync_client(url: str, model: str, count: int, answers: int, **more: Any) -> list[tuple[str, list[int], bool]]:
    """Id, values and final mark of each answer in a stream of the synchronous client."""
    arrived: queue.Queue[Any] = queue.Queue()
    got = []
    with syncclient.InferenceServerClient(url) as client:
        client.start_stream(lambda result, error: arrived.put((result, error)))
        client.async_stream_infer(model, count_to(count), request_id="x", **more)
        for _ in range(answers):
            result, error = arrived.get(timeout=5)
            assert error is None
            response, values = result.get_response(), result.as_numpy("INDEX")
            final = response.parameters["triton_final_response"].bool_param
            got.append((response.id, [] if values is None else values.tolist(), final))
        client.stop_stream()
    assert arrived.empty()
    return got


@pytest.mark.parametrize(
    ("count", "marked", "expected"),
    [
        (3, False, [("x", [0], False), ("x", [1], False), ("x", [2], True)]),
        (1, True, [("x", [0], True)]),
        (0, False, []),
        (0, True, [("x", [], True)]),
    ],
)
async def test_the_sync_client_streams_and_gets_the_mark_of_an_empty_end_if_it_asks(
    triton: TritonServer, daemon: Served, count: int, marked: bool, expected: list[tuple[str, list[int], bool]]
) -> None:
    for url, model in ((daemon.url, "numbers"), (triton.grpc_url, "repeat")):
        got = await asyncio.to_thread(
            from_sync_client, url, model, count, len(expected), enable_empty_final_response=marked
        )
        assert got == expected


async def test_a_stream_of_many_requests_spreads_over_tritons(daemon: Served, client: Client) -> None:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        for n in range(6):
            yield {"model_name": "numbers", "inputs": count_to(n + 1), "request_id": str(n)}

    seen: dict[str, list[int]] = {}
    models: dict[str, str] = {}
    async for result, error in client.stream_infer(requests()):
        assert error is None
        response = result.get_response()
        seen.setdefault(response.id, []).extend(result.as_numpy("INDEX").tolist())
        models[response.id] = response.parameters["headway_model"].string_param
    assert seen == {str(n): list(range(n + 1)) for n in range(6)}
    assert sorted(models.values()) == ["repeat"] * 3 + ["repeat_twin"] * 3
    statistics = daemon.dispatcher.statistics()
    assert (statistics["a", "repeat"].running, statistics["a", "repeat"].finished) == (0, 3)
    assert (statistics["b", "repeat_twin"].running, statistics["b", "repeat_twin"].finished) == (0, 3)


async def collect(client: Client, model: str, inputs: list[grpcclient.InferInput], **more: Any) -> list[str]:
    texts = []
    try:
        async for result, error in stream(client, model, inputs, **more):
            texts.append(str(error) if error is not None else result.get_response().id)
    except InferenceServerException as failed:
        texts.append(f"ended: {failed}")
    return texts


async def test_errors_in_a_stream_are_as_from_triton(client: Client, direct: Client) -> None:
    bad = nap(0.0)
    assert await collect(client, "numbers", bad, request_id="1") == await collect(direct, "repeat", bad, request_id="1")
    assert await collect(client, "nope", bad) == await collect(direct, "nope", bad)


async def test_a_sequence_stays_on_one_model(client: Client) -> None:
    async def add(sequence: int | str, value: int, **flags: bool) -> int:
        inputs = [tensor("VALUE", np.array([[value]], np.int32), "INT32")]
        result = await client.infer("sums", inputs, sequence_id=sequence, **flags)
        return int(result.as_numpy("SUM")[0, 0])

    sums: dict[int, int] = {}
    for step in range(5):
        for sequence in (11, 12):  # each model takes one at a time
            sums[sequence] = await add(sequence, sequence + step, sequence_start=step == 0, sequence_end=step == 4)
    assert sums == {11: 65, 12: 70}


async def test_models_are_asked_about_under_the_route_s_name(client: Client, direct: Client) -> None:
    assert await client.is_model_ready("words")
    assert not await client.is_model_ready("nothing")
    assert not await client.is_model_ready("nope")
    expected = await direct.get_model_metadata("echo")
    expected.name = "words"
    assert await client.get_model_metadata("words") == expected
    config = await direct.get_model_config("echo")
    config.config.name = "words"
    assert await client.get_model_config("words") == config
    assert await outcome(client.get_model_metadata("nope")) == await outcome(direct.get_model_metadata("nope"))


async def test_statistics_of_a_route_count_all_its_candidates(client: Client) -> None:
    async def count() -> int:
        (model,) = (await client.get_inference_statistics("words")).model_stats
        assert model.name == "words"
        return int(model.inference_stats.success.count)

    before = await count()
    for _ in range(4):
        await client.infer("words", words(b"x"))
    assert await count() == before + 4


async def test_the_index_has_routes_beside_models(client: Client, direct: Client) -> None:
    def states(index: Any) -> dict[str, str]:
        return {model.name: model.state for model in index.models}

    through, own = states(await client.get_model_repository_index()), states(await direct.get_model_repository_index())
    assert through == {
        **own,
        "words": "READY",
        "numbers": "READY",
        "sums": "READY",
        "naps": "READY",
        "nothing": "UNAVAILABLE",
    }


@pytest.mark.parametrize("model", ["naps", "sleepy"])
async def test_a_client_s_deadline_is_kept_and_frees_the_model(client: Client, model: str) -> None:
    started = CLOCK.now()
    status, text = await outcome(client.infer(model, nap(30.0), client_timeout=0.05))
    assert 0.045 < CLOCK.now() - started < 0.3
    assert (status, text) == ("StatusCode.DEADLINE_EXCEEDED", "Deadline Exceeded")
    async with asyncio.timeout(2):
        await client.infer(model, nap(0.01))


@pytest.mark.parametrize("model", ["naps", "sleepy"])
async def test_a_client_that_gives_up_frees_the_model(daemon: Served, client: Client, model: str) -> None:
    sleeping = spawn(client.infer(model, nap(30.0)), name="sleeping")
    await until(lambda: daemon.dispatcher.report().calls == 1)
    await asyncio.wait([sleeping], timeout=0.1)
    sleeping.cancel()
    async with asyncio.timeout(2):
        await client.infer(model, nap(0.01))
    await until(lambda: daemon.dispatcher.report().calls == 0)


async def until(condition: Callable[[], bool]) -> None:
    """Give the event loop turns until something has come about."""
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 -- what is waited for has no event
            await asyncio.sleep(0)


async def test_shared_memory_on_one_host_is_triton_s_affair(client: Client, direct: Client) -> None:
    through = await outcome(client.register_system_shared_memory("region", "/no_such_region", 64))
    assert through == await outcome(direct.register_system_shared_memory("region", "/no_such_region", 64))


async def test_a_triton_that_goes_away_is_replaced_and_used_again_when_it_is_back(
    triton: TritonServer, test_models: Path
) -> None:
    async with (
        TritonServer(test_models, TritonSettings(models=("failing", "repeat_twin"))) as lost,
        served(a=triton, b=lost) as daemon,
        Client(daemon.url) as client,
    ):
        daemon.dispatcher.use_policy("words", "static:failing")

        async def model() -> str:
            response = (await client.infer("words", words(b"x"))).get_response()
            name: str = response.parameters["headway_model"].string_param
            return name

        assert await model() == "failing"
        await lost.kill()
        assert await model() == "echo"
        await lost.start()
        async with asyncio.timeout(3):
            while await model() != "failing":  # each look is a request
                pass


async def to_the_end(tokens: AsyncIterator[Any]) -> None:
    async for _, error in tokens:
        assert error is None


async def test_a_triton_killed_under_a_stream_makes_it_unavailable_and_is_named(
    triton: TritonServer, test_models: Path
) -> None:
    async with (
        TritonServer(test_models, TritonSettings(models=("failing", "repeat_twin"))) as lost,
        served(a=triton, b=lost) as daemon,
        Client(daemon.url) as client,
    ):
        daemon.dispatcher.use_policy("numbers", "static:repeat_twin")
        tokens = stream(client, "numbers", count_to(1000, 0.02))
        _, error = await anext(tokens)
        assert error is None
        await lost.kill()
        with pytest.raises(grpc.aio.AioRpcError) as ended:
            await asyncio.wait_for(to_the_end(tokens), 2)
        assert ended.value.code() == grpc.StatusCode.UNAVAILABLE
        assert str(ended.value.details()).startswith(f"triton 'b' at {lost.grpc_url} ")


async def test_with_the_default_triton_away_calls_fail_at_once_by_name_and_health_says_not_serving(
    test_models: Path,
) -> None:
    async with (
        TritonServer(test_models, TritonSettings(models=("echo",))) as only,
        served(a=only) as daemon,
        Client(daemon.url) as client,
        grpc.aio.insecure_channel(daemon.url) as channel,
    ):
        check = channel.unary_unary(HEALTH_CHECK, None, None)
        assert await check(b"") == b"\x08\x01"
        await only.kill()
        started = CLOCK.now()
        status, text = await outcome(client.infer("echo", words(b"x")))
        assert CLOCK.now() - started < 1
        assert status == "StatusCode.UNAVAILABLE"
        assert text.startswith(f"triton 'a' at {only.grpc_url} ")
        assert await check(b"") == b"\x08\x02"
        await until(lambda: daemon.dispatcher.report().serving == ())
        await only.start()
        async with asyncio.timeout(3):
            while True:
                try:
                    await client.infer("echo", words(b"x"))
                    break
                except InferenceServerException:
                    continue
        assert await check(b"") == b"\x08\x01"
        await until(lambda: daemon.dispatcher.report().serving == ("a",))


CLASSES = {
    "strict": {"deadline": "150ms", "on_miss": "fail"},
    "lenient": {"deadline": "150ms", "on_miss": "deliver"},
}


async def test_through_the_tunnel_classes_decide_what_becomes_of_late_answers(triton: TritonServer) -> None:
    routes = {"naps": {"policy": "static:sleepy", "candidates": [{"triton": "a", "model": "sleepy", "quality": 1}]}}
    async with (
        HeadwayStack(
            triton.grpc_url, daemon={"routes": routes}, top={"classes": CLASSES, "default_class": "lenient"}
        ) as stack,
        Client(stack.address) as client,
    ):
        started = CLOCK.now()
        strict = {"x-traffic-class": "strict"}
        status, text = await outcome(client.infer("naps", nap(30.0), headers=strict))
        assert status == "StatusCode.DEADLINE_EXCEEDED"
        assert text.startswith("the deadline of class strict passed before the answer")  # both ends keep it
        assert 0.14 < CLOCK.now() - started < 0.5
        late = await client.infer("naps", nap(0.3), headers={"x-traffic-class": "lenient"})
        assert late.get_response().model_name == "naps"
        in_time = await client.infer("naps", nap(0.01), headers=strict)
        assert in_time.get_response().parameters["headway_model"].string_param == "sleepy"
