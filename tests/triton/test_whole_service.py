"""Triton's whole service, called with the stock clients, is through headway what it is directly, errors included.

Every call is made twice, by the same kind of client: to Triton, and to the proxy before it, over either tunnel.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import pytest_asyncio
from grpc_health.v1 import health_pb2
from tritonclient.grpc import InferRequestedOutput, service_pb2

from proxy.demo.triton_server import TritonServer, TritonSettings
from proxy.testing.stack import HeadwayStack
from tests.triton.service_calls import (
    ABOUT_MODEL,
    ABOUT_SERVER,
    INFER,
    MESSAGES,
    ROUTED,
    ROUTES,
    STREAMS,
    UNKNOWN_MODEL,
    UNKNOWN_STREAMS,
    Call,
    Stream,
    as_model,
    count_to,
    nap,
    route_of,
    tensor,
    value,
    words,
)
from tests.triton.stock_clients import CLIENTS, AioClient, Failure, StockClient, SyncClient

pytestmark = pytest.mark.asyncio(loop_scope="session")

SERVICE = "/inference.GRPCInferenceService/"
HEALTH = "/grpc.health.v1.Health/"
HEADERS = {"x-a": "1"}


@dataclass(frozen=True)
class Ways:
    """The same kind of client on both ways to one Triton."""

    direct: StockClient
    through: StockClient

    async def both(self, method: str, **arguments: Any) -> Any:
        """What the call comes to, the same on both ways."""
        direct = await self.direct.call(method, **arguments)
        through = await self.through.call(method, **arguments)
        assert through == direct
        return direct

    async def routed(self, method: str, model: str, **arguments: Any) -> Any:
        """What the call comes to, the same but for the name when a route is asked."""
        direct = await self.direct.call(method, model_name=model, **arguments)
        through = await self.through.call(method, model_name=route_of(model), **arguments)
        assert as_model(through, model) == direct
        return direct


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["quic", "tcp"])
async def stack(triton: TritonServer, request: pytest.FixtureRequest) -> AsyncIterator[HeadwayStack]:
    async with HeadwayStack(triton.grpc_url, transport=request.param, daemon={"routes": ROUTES}) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session", params=["sync", "aio"])
async def ways(triton: TritonServer, stack: HeadwayStack, request: pytest.FixtureRequest) -> AsyncIterator[Ways]:
    kind = CLIENTS[request.param]
    both = Ways(kind(triton.grpc_url), kind(stack.address))
    yield both
    await both.direct.close()
    await both.through.close()


def cases(table: Mapping[str, Any]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("case", table.values(), ids=table)


@cases({**ABOUT_SERVER, **{f"unknown-{name}": call for name, call in UNKNOWN_MODEL.items()}})
async def test_about_the_server(ways: Ways, case: Call) -> None:
    method, arguments = case
    await ways.both(method, **arguments, headers=HEADERS)


@cases(ABOUT_MODEL)
async def test_about_a_model(ways: Ways, case: tuple[str, str, dict[str, Any]]) -> None:
    method, model, arguments = case
    await ways.both(method, model_name=model, **arguments)


@cases(ABOUT_MODEL)
async def test_about_a_route(ways: Ways, case: tuple[str, str, dict[str, Any]]) -> None:
    method, model, arguments = case
    await ways.routed(method, model, **arguments)


@cases(INFER)
async def test_infer(ways: Ways, case: tuple[str, dict[str, Any]]) -> None:
    model, arguments = case
    await ways.both("infer", model_name=model, **arguments)


@cases(INFER)
async def test_infer_of_a_route(ways: Ways, case: tuple[str, dict[str, Any]]) -> None:
    model, arguments = case
    await ways.routed("infer", model, **arguments)


@cases(STREAMS)
async def test_stream(ways: Ways, case: Stream) -> None:
    requests, arguments = case
    assert await ways.through.stream(requests, **arguments) == await ways.direct.stream(requests, **arguments)


@cases(STREAMS)
async def test_stream_of_a_route(ways: Ways, case: Stream) -> None:
    requests, arguments = case
    if not requests:
        return
    model = requests[0]["model_name"]
    routed = [{**request, "model_name": route_of(model)} for request in requests]
    through = await ways.through.stream(routed, **arguments)
    assert as_model(through, model) == await ways.direct.stream(requests, **arguments)


@cases(UNKNOWN_STREAMS)
async def test_stream_for_what_is_not_there(ways: Ways, case: Stream) -> None:
    requests, arguments = case
    assert await ways.through.stream(requests, **arguments) == await ways.direct.stream(requests, **arguments)


async def test_infer_of_an_unknown_model(ways: Ways) -> None:
    failed = await ways.both("infer", model_name="nope", inputs=words(b"x"), request_id="u")
    assert failed.status == "StatusCode.NOT_FOUND"
    await ways.both("infer", model_name="", inputs=words(b"x"))


async def test_16_mib_each_way(ways: Ways) -> None:
    values = (np.arange(16 << 20, dtype=np.uint32) % 251).astype(np.uint8)
    inputs = [tensor("INPUT", values, np.uint8, "UINT8")]
    answer = await ways.both("infer", model_name="echo_raw", inputs=inputs)
    assert answer.raw_output_contents == [values.tobytes()]


async def test_a_stream_of_4_mib_messages_for_a_route(ways: Ways) -> None:
    inputs = [tensor("INPUT", np.arange(4 << 20) % 253, np.uint8, "UINT8")]
    requests = [{"inputs": inputs, "request_id": str(n)} for n in range(2)]
    through = await ways.through.stream([{"model_name": route_of("echo_raw"), **request} for request in requests])
    direct = await ways.direct.stream([{"model_name": "echo_raw", **request} for request in requests])
    assert as_model(through, "echo_raw") == direct
    assert [len(answer.raw_output_contents[0]) for answer in direct] == [4 << 20, 4 << 20]


async def test_answers_to_callbacks(ways: Ways) -> None:
    if not isinstance(ways.direct, SyncClient) or not isinstance(ways.through, SyncClient):
        pytest.skip("async_infer with a callback is the synchronous client's")
    for model, inputs in (("echo", words(b"x")), ("nope", words(b"x")), ("failing", words(b"error:NOT_FOUND:gone"))):
        direct = await ways.direct.call_back(model_name=model, inputs=inputs, request_id="1")
        assert await ways.through.call_back(model_name=model, inputs=inputs, request_id="1") == direct
    for model in ("sleepy", route_of("sleepy")):
        cancelled = await ways.through.call_back_cancelled(model_name=model, inputs=nap(30.0))
        assert cancelled == await ways.direct.call_back_cancelled(model_name="sleepy", inputs=nap(30.0))
        assert cancelled.status == "StatusCode.CANCELLED"


@pytest.mark.parametrize("count", [0, 2])
async def test_the_mark_of_an_empty_end_for_who_asks(ways: Ways, count: int) -> None:
    if not isinstance(ways.direct, SyncClient):
        pytest.skip("the asynchronous client can't ask for it")
    request = {"inputs": count_to(count), "request_id": "e", "enable_empty_final_response": True}
    direct = await ways.direct.stream([{"model_name": "repeat", **request}])
    assert await ways.through.stream([{"model_name": "repeat", **request}]) == direct
    through = await ways.through.stream([{"model_name": route_of("repeat"), **request}])
    assert as_model(through, "repeat") == direct
    assert [answer.parameters["triton_final_response"].bool_param for answer in direct] == [False] * (count - 1) + [
        True
    ]


async def test_a_stream_that_is_given_up(ways: Ways) -> None:
    inputs = count_to(100, 1.0)
    first, ended = await ways.direct.given_up({"model_name": "repeat", "inputs": inputs})
    assert await ways.through.given_up({"model_name": "repeat", "inputs": inputs}) == (first, ended)
    routed, routed_ended = await ways.through.given_up({"model_name": route_of("repeat"), "inputs": inputs})
    assert (as_model(routed, "repeat"), routed_ended) == (first, ended)


async def _sums(client: StockClient, model: str) -> list[Any]:
    return [
        await client.call(
            "infer",
            model_name=model,
            inputs=value(step),
            sequence_id=7_000_002,
            sequence_start=step == 0,
            sequence_end=step == 3,
        )
        for step in range(4)
    ]


async def test_a_sequence(ways: Ways) -> None:
    direct = await _sums(ways.direct, "stateful")
    assert await _sums(ways.through, "stateful") == direct
    assert as_model(await _sums(ways.through, route_of("stateful")), "stateful") == direct
    sums = [np.frombuffer(answer.raw_output_contents[0], np.int32).tolist() for answer in direct]
    assert sums == [[0], [1], [3], [6]]


RAW = {
    "live": (f"{SERVICE}ServerLive", b"", ()),
    "metadata": (f"{SERVICE}ServerMetadata", b"", (("x-a", "1"), ("x-b-bin", b"\0\xff"), ("x-a", "2"))),
    "error": (f"{SERVICE}ModelMetadata", b"\x0a\x04nope", (("x-a", "1"),)),
    "not-a-message": (f"{SERVICE}ModelInfer", b"\xff\xff\xff", ()),
    "not-a-message-about-a-model": (f"{SERVICE}ModelConfig", b"\xff\xff\xff", ()),
    "not-a-message-at-all": (f"{SERVICE}RepositoryIndex", b"\xff\xff\xff", ()),
    "route-cut-off": (f"{SERVICE}ModelInfer", b"\x0a\x08any_echo\x1a\xff", ()),
    "empty": (f"{SERVICE}ModelInfer", b"", ()),
    "unknown-field": (f"{SERVICE}ModelReady", b"\x0a\x04echo\xfa\x3f\x03abc", ()),
    "unknown-method": (f"{SERVICE}ModelTrain", b"", ()),
    "unknown-service": ("/inference.Training/Train", b"x", ()),
    "health": (f"{HEALTH}Check", b"", ()),
    "health-of-the-service": (
        f"{HEALTH}Check",
        health_pb2.HealthCheckRequest(service="inference.GRPCInferenceService").SerializeToString(),
        (),
    ),
    "health-of-nobody": (f"{HEALTH}Check", health_pb2.HealthCheckRequest(service="nope").SerializeToString(), ()),
    "health-watch": (f"{HEALTH}Watch", b"", ()),
    "health-list": (f"{HEALTH}List", b"", ()),
    "reflection": ("/grpc.reflection.v1.ServerReflection/ServerReflectionInfo", b"\x3a\0", ()),
    "reflection-alpha": ("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo", b"\x3a\0", ()),
}


@cases(RAW)
async def test_status_message_and_metadata_of_both_kinds(ways: Ways, case: tuple[str, bytes, Any]) -> None:
    direct = await ways.direct.raw(*case)
    through = await ways.through.raw(*case)
    assert replace(through, added=frozenset()) == direct
    assert through.added >= {"x-headway-class"}


@cases(MESSAGES)
async def test_messages_that_the_clients_would_not_make(ways: Ways, case: Any) -> None:
    path = f"{SERVICE}ModelInfer"
    direct = await ways.direct.raw(path, case.SerializeToString())
    through = await ways.through.raw(path, case.SerializeToString())
    assert replace(through, added=frozenset()) == direct
    asked = service_pb2.ModelInferRequest()
    asked.CopyFrom(case)
    asked.model_name = route_of(case.model_name)
    routed = await ways.through.raw(path, asked.SerializeToString())
    assert routed.added >= {"x-headway-class", "x-headway-model", "x-headway-instance", "x-headway-policy"}
    assert replace(routed, added=frozenset(), message=None) == replace(direct, message=None)
    if direct.message is not None:
        answer = service_pb2.ModelInferResponse.FromString(routed.message)
        assert as_model(answer, case.model_name) == service_pb2.ModelInferResponse.FromString(direct.message)


async def test_health(ways: Ways) -> None:
    answer = await ways.through.raw(f"{HEALTH}Check", b"")
    assert answer.code is grpc.StatusCode.OK
    assert health_pb2.HealthCheckResponse.FromString(answer.message or b"").status == 1  # SERVING


async def test_statistics(ways: Ways) -> None:
    async with asyncio.timeout(10):
        while True:
            # Triton counts an inference when its answer is out. Between two looks that agree nothing is counted.
            first = await ways.direct.call("get_inference_statistics", model_name="add_sub")
            one = await ways.through.call("get_inference_statistics", model_name="add_sub", model_version="1")
            routed = await ways.through.call("get_inference_statistics", model_name=route_of("add_sub"))
            whole = await ways.through.call("get_inference_statistics")
            if first == await ways.direct.call("get_inference_statistics", model_name="add_sub"):
                break
    assert one == first
    assert as_model(routed, "add_sub") == first
    assert [entry for entry in whole.model_stats if entry.name == "add_sub"] == list(first.model_stats)
    assert len(whole.model_stats) == len((await ways.direct.call("get_inference_statistics")).model_stats)


async def test_the_index(ways: Ways) -> None:
    direct = await ways.direct.call("get_model_repository_index", headers=HEADERS)
    through = await ways.through.call("get_model_repository_index", headers=HEADERS)
    known = [model for model in through.models if model.name not in ROUTES]
    assert known == list(direct.models)
    added = [(model.name, model.version, model.state) for model in through.models if model.name in ROUTES]
    assert added == [(route_of(model), "1", "READY") for model in sorted(ROUTED)]


async def test_settings_of_logs_and_traces(ways: Ways) -> None:
    before = await ways.both("get_log_settings")
    levels: list[Any] = []
    for client in (ways.direct, ways.through):
        levels.append(await client.call("update_log_settings", settings={"log_verbose_level": 1}))
        assert await ways.both("get_log_settings") == levels[-1]
        assert await client.call("update_log_settings", settings={"log_verbose_level": 0}) == before
    assert levels[0] == levels[1]
    traces = await ways.both("get_trace_settings", model_name="echo")
    rates: list[Any] = []
    for client in (ways.direct, ways.through):
        rates.append(
            await client.call(
                "update_trace_settings", model_name="echo", settings={"trace_rate": "77", "log_frequency": "9"}
            )
        )
        assert await ways.both("get_trace_settings", model_name="echo") == rates[-1]
        cleared = {"trace_rate": None, "log_frequency": None}
        assert await client.call("update_trace_settings", model_name="echo", settings=cleared) == traces
    assert rates[0] == rates[1]
    assert rates[0] != traces


async def let_go(client: StockClient, region: str) -> Any:
    """Unregister a region. Triton holds it for a moment after the answer that used it, whoever asks."""
    told: Any = None
    for _ in range(1000):
        told = await client.call("unregister_system_shared_memory", name=region)
        if "currently in use" not in str(told):
            break
    return told


async def test_shared_memory_from_registration_to_use(ways: Ways) -> None:
    """Client, headway and Triton are on one host here; elsewhere headway refuses."""
    region = SharedMemory(create=True, size=64)
    content = region.buf
    assert content is not None
    try:
        content[:7] = b"\x03\0\0\0abc"
        source, target = words(b"abc"), InferRequestedOutput("OUTPUT")
        source[0].set_shared_memory("region", 7)
        target.set_shared_memory("region", 32, 32)
        told: list[list[Any]] = []
        for client in (ways.direct, ways.through):
            arguments = {"name": "region", "key": f"/{region.name}", "byte_size": 64}
            content[32:] = bytes(32)
            told.append(
                [
                    await client.call("register_system_shared_memory", **arguments),
                    await client.call("register_system_shared_memory", **arguments),
                    await client.call("get_system_shared_memory_status"),
                    await client.call("infer", model_name="echo", inputs=source, outputs=[target]),
                    bytes(content[32:40]),
                    await let_go(client, "region"),
                    await client.call("infer", model_name="echo", inputs=source, outputs=[target]),
                ]
            )
    finally:
        region.close()
        region.unlink()
    assert told[0] == told[1]
    assert told[0][4] == b"\x03\0\0\0abc\0"


async def test_models_are_loaded_and_unloaded(ways: Ways, test_models: Path) -> None:
    config = {"backend": "python", "max_batch_size": 0, "instance_group": [{"kind": "KIND_CPU"}]}
    for direction in ("input", "output"):
        config[direction] = [{"name": direction.upper(), "data_type": "TYPE_UINT8", "dims": [-1]}]
    made = {
        "model_name": "from_the_client",
        "config": json.dumps(config),
        "files": {"file:1/model.py": (test_models / "echo_raw" / "1" / "model.py").read_bytes()},
    }
    inputs = [tensor("INPUT", [1, 2, 3], np.uint8, "UINT8")]
    told: list[list[Any]] = []
    for client in (ways.direct, ways.through):
        told.append(
            [
                await client.call("load_model", **made),
                await client.call("is_model_ready", model_name="from_the_client"),
                await client.call("infer", model_name="from_the_client", inputs=inputs),
                await client.call("unload_model", model_name="from_the_client"),
                await client.call("infer", model_name="from_the_client", inputs=inputs),
            ]
        )
        async with asyncio.timeout(10):
            while await _state(client, "from_the_client") == "UNLOADING":
                pass
        told[-1].append(await client.call("is_model_ready", model_name="from_the_client"))
    assert told[0] == told[1]
    assert [told[0][1], told[0][5]] == [True, False]
    assert list(told[0][2].raw_output_contents) == [b"\1\2\3"]
    assert told[0][4].status == "StatusCode.NOT_FOUND"


async def _state(client: StockClient, model: str) -> str:
    index = await client.call("get_model_repository_index")
    states: list[str] = [entry.state for entry in index.models if entry.name == model]
    return states[0] if states else ""


@pytest.mark.slow
async def test_an_error_of_a_model_ends_a_stream_with_a_status_for_who_wants_that(test_models: Path) -> None:
    """With a Triton for each call: 2.51 is often gone after such a one, of a segmentation fault, directly too."""
    told = await asyncio.gather(
        *(
            _first_error(test_models, "failing", through=through, route=route)
            for through, route in ((False, False), (True, False), (True, True))
        )
    )
    assert told == [[Failure("StatusCode.INVALID_ARGUMENT", "bad")]] * 3


async def _first_error(test_models: Path, model: str, *, through: bool, route: bool) -> list[Any]:
    name = route_of(model) if route else model
    request = {"model_name": name, "inputs": words(b"error:INVALID_ARG:bad"), "request_id": "2"}
    got: list[Any] = []
    for _ in range(5):
        async with (
            TritonServer(test_models, TritonSettings(models=(model,))) as own,
            HeadwayStack(own.grpc_url, daemon={"routes": {route_of(model): ROUTES[route_of(model)]}}) as stack,
        ):
            client = AioClient(stack.address if through else own.grpc_url)
            got = await client.stream([request], headers={"triton_grpc_error": "true"})
            await client.close()
        if got[0].status != "StatusCode.UNAVAILABLE":  # that is Triton's end
            break
    return got
