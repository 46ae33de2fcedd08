from __future__ import annotations

import asyncio

import pytest
from tritonclient.grpc import service_pb2 as pb

from proxy.daemon import triton as messages
from proxy.errors import Code
from proxy.testing.calls import Answer, MemoryCarrier, exchange, hanging
from proxy.tunnel.exchange import CallStatus
from tests.unit.daemon.stub_triton import StubModel, StubTriton, daemon, head, infer_request, settings

TWO = {"large": "a", "small": "b"}


def tritons() -> tuple[StubTriton, StubTriton]:
    return StubTriton({"large": StubModel(), "other": StubModel()}), StubTriton({"small": StubModel()})


def about(name: str, version: str = "") -> bytes:
    message: bytes = pb.ModelReadyRequest(name=name, version=version).SerializeToString()
    return message


async def ask(path: str, message: bytes, a: StubTriton, b: StubTriton) -> Answer:
    return await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(path), message)


def only(answer: Answer) -> bytes:
    assert answer.status.code == Code.OK, answer.status
    (message,) = answer.messages
    return message


@pytest.mark.parametrize(("large", "small", "ready"), [(True, True, True), (False, True, True), (False, False, False)])
async def test_a_route_is_ready_when_a_candidate_is(large: bool, small: bool, ready: bool) -> None:
    a, b = StubTriton({"large": StubModel(ready=large)}), StubTriton({"small": StubModel(ready=small)})
    assert messages.is_ready(only(await ask(messages.MODEL_READY, about("llm"), a, b))) is ready


async def test_a_route_is_ready_with_one_triton_away_and_unavailable_with_all() -> None:
    a, b = tritons()
    a.down = True
    assert messages.is_ready(only(await ask(messages.MODEL_READY, about("llm"), a, b)))
    b.down = True
    assert (await ask(messages.MODEL_READY, about("llm"), a, b)).status.code == Code.UNAVAILABLE


async def test_metadata_comes_from_a_candidate_under_the_route_s_name() -> None:
    got = pb.ModelMetadataResponse.FromString(only(await ask(messages.MODEL_METADATA, about("llm", "1"), *tritons())))
    assert (got.name, got.versions, got.platform) == ("llm", ["1"], "stub")


async def test_configuration_comes_from_a_candidate_under_the_route_s_name() -> None:
    got = pb.ModelConfigResponse.FromString(only(await ask(messages.MODEL_CONFIG, about("llm"), *tritons())))
    assert (got.config.name, got.config.max_batch_size) == ("llm", 8)


async def test_the_version_asked_for_goes_to_the_candidate() -> None:
    a, b = tritons()
    await ask(messages.MODEL_METADATA, about("llm", "3"), a, b)
    asked = pb.ModelMetadataRequest.FromString(a.carrier.calls[0].requests[0])
    assert (asked.name, asked.version) == ("large", "3")


@pytest.mark.parametrize("path", [messages.MODEL_METADATA, messages.MODEL_CONFIG])
async def test_the_next_candidate_answers_when_the_first_does_not(path: str) -> None:
    a, b = tritons()
    a.down = True
    assert only(await ask(path, about("llm"), a, b))
    b.down = True
    assert (await ask(path, about("llm"), a, b)).status.message == "triton is unreachable: connection refused"


async def test_a_candidate_that_is_ready_is_asked_before_one_that_is_not() -> None:
    a, b = StubTriton({"large": StubModel(ready=False)}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    await dispatcher.probe.probe()
    await exchange(MemoryCarrier(dispatcher), head(messages.MODEL_METADATA), about("llm"))
    assert messages.MODEL_METADATA not in {call.head.path for call in a.carrier.calls}
    assert b.carrier.calls[-1].head.path == messages.MODEL_METADATA


async def test_statistics_of_a_route_are_its_candidates_together() -> None:
    a, b = tritons()
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    for _ in range(3):
        await exchange(carrier, head(), infer_request("llm"))
    answer = await exchange(carrier, head(messages.MODEL_STATISTICS), about("llm"))
    (model,) = pb.ModelStatisticsResponse.FromString(only(answer)).model_stats
    assert (model.name, model.version, model.inference_count, model.last_inference) == ("llm", "1", 3, 2)
    b.down = True
    answer = await exchange(carrier, head(messages.MODEL_STATISTICS), about("llm"))
    assert pb.ModelStatisticsResponse.FromString(only(answer)).model_stats[0].inference_count == 2
    a.down = True
    assert (await exchange(carrier, head(messages.MODEL_STATISTICS), about("llm"))).status.code == Code.UNAVAILABLE


@pytest.mark.parametrize(
    "path", [messages.MODEL_METADATA, messages.MODEL_CONFIG, messages.MODEL_READY, messages.MODEL_STATISTICS]
)
async def test_other_names_pass_to_the_default_triton(path: str) -> None:
    a, b = tritons()
    assert only(await ask(path, about("other"), a, b))
    assert a.carrier.calls[0].requests == [about("other")]
    unknown = await ask(path, about("nope"), a, b)
    if path in (messages.MODEL_METADATA, messages.MODEL_CONFIG):
        assert unknown.status == CallStatus(Code.NOT_FOUND, "Request for unknown model: 'nope' is not found")


def listed(answer: Answer) -> list[tuple[str, str]]:
    return [(model.name, model.state) for model in pb.RepositoryIndexResponse.FromString(only(answer)).models]


async def test_the_index_lists_the_models_of_all_tritons_and_the_routes() -> None:
    answer = await ask(messages.REPOSITORY_INDEX, b"", *tritons())
    assert listed(answer) == [("large", "READY"), ("other", "READY"), ("small", "READY"), ("llm", "READY")]


async def test_the_index_leaves_out_a_triton_that_is_away_but_not_the_default_one() -> None:
    a, b = tritons()
    b.down = True
    assert listed(await ask(messages.REPOSITORY_INDEX, b"", a, b)) == [
        ("large", "READY"),
        ("other", "READY"),
        ("llm", "READY"),
    ]
    a.down, b.down = True, False
    assert (await ask(messages.REPOSITORY_INDEX, b"", a, b)).status.code == Code.UNAVAILABLE


async def test_an_index_request_that_cannot_be_read_is_left_to_the_backend() -> None:
    a, b = tritons()
    answer = await ask(messages.REPOSITORY_INDEX, b"\x0a\xff", a, b)
    assert answer.status.code == Code.OK
    assert a.carrier.calls[0].requests == [b"\x0a\xff"]
    assert b.carrier.calls == []


@pytest.mark.parametrize("path", [messages.MODEL_READY, messages.MODEL_STATISTICS, messages.REPOSITORY_INDEX])
async def test_a_cancelled_question_is_cancelled_at_every_triton(path: str) -> None:
    a, b = tritons()
    a.carrier.handler = b.carrier.handler = hanging()
    call = MemoryCarrier(daemon(settings(TWO), a=a, b=b)).open(head(path))
    await call.send(about("llm") if path != messages.REPOSITORY_INDEX else b"", last=True)
    await asyncio.wait_for(asyncio.gather(a.carrier.opened.wait(), b.carrier.opened.wait()), 1)
    call.cancel()
    await asyncio.wait_for(call.served.wait(), 1)
    assert a.carrier.calls[0].cancelled
    assert b.carrier.calls[0].cancelled
