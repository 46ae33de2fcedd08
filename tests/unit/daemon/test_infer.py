"""Routed `ModelInfer` calls, through the whole dispatcher, with Tritons of a few lines behind it."""

from __future__ import annotations

import asyncio

import pytest
from tritonclient.grpc import service_pb2 as pb

from policies.selection.base import Choice
from policies.traffic import TrafficClass
from proxy.clock import MonotonicClock
from proxy.daemon.load import LoadStatistics
from proxy.daemon.way_back import TunnelPath
from proxy.errors import Code
from proxy.telemetry import names
from proxy.testing.calls import Answer, MemoryCarrier, exchange
from proxy.tunnel.exchange import CallStatus, IncomingCall
from tests.unit.daemon.spans import RecordedTracing
from tests.unit.daemon.stub_triton import (
    BROKEN,
    StubModel,
    StubTriton,
    daemon,
    head,
    infer_request,
    settings,
)

TWO = {"large": "a", "small": "b"}
FULL = CallStatus(Code.UNAVAILABLE, "Exceeds maximum queue size")


def response(answer: Answer) -> pb.ModelInferResponse:
    assert answer.status.code == Code.OK, answer.status
    (message,) = answer.messages
    return pb.ModelInferResponse.FromString(message)


async def test_the_answer_comes_under_the_name_asked_for_and_says_who_gave_it() -> None:
    a = StubTriton({"large": StubModel()}, headers=(("h", "1"),), trailers=(("t", "2"),))
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a))
    answer = await exchange(carrier, head(metadata=(("k", "v"),)), infer_request("llm", "text", id="7", priority=1))
    got = response(answer)
    assert (got.model_name, got.model_version, got.id) == ("llm", "1", "7")
    assert got.raw_output_contents == [b"large:text"]
    assert got.parameters["headway_model"].string_param == "large"
    assert answer.initial == (("h", "1"),)
    assert answer.status.metadata == (
        ("t", "2"),
        ("x-headway-model", "large"),
        ("x-headway-instance", "a"),
        ("x-headway-policy", "round_robin"),
    )
    (seen,) = a.seen
    assert (seen.model_name, seen.id, seen.parameters["priority"].int64_param) == ("large", "7", 1)
    assert a.carrier.calls[0].head.metadata == (("k", "v"),)
    assert a.carrier.calls[0].head.unary


async def test_the_policy_decides_and_can_be_switched() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    carrier = MemoryCarrier(dispatcher)

    async def model() -> object:
        return (await exchange(carrier, head(), infer_request("llm"))).trailer("x-headway-model")

    assert [await model() for _ in range(4)] == ["large", "small", "large", "small"]
    dispatcher.use_policy("llm", "static:small")
    assert [await model() for _ in range(2)] == ["small", "small"]
    assert dispatcher.policies() == {"llm": "static:small"}
    assert dispatcher.statistics() == {
        ("a", "large"): LoadStatistics(running=0, finished=2),
        ("b", "small"): LoadStatistics(running=0, finished=4),
    }


async def test_any_other_model_passes_through_to_the_default_triton_byte_for_byte() -> None:
    a, b = StubTriton({"large": StubModel(), "other": StubModel()}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    message = infer_request("other", "text", id="7")
    answer = await exchange(carrier, head(), message)
    got = response(answer)
    assert (got.model_name, got.raw_output_contents) == ("other", [b"other:text"])
    assert not got.parameters
    assert answer.status == CallStatus(Code.OK)
    assert a.carrier.calls[0].requests == [message]


async def test_an_unknown_model_gets_triton_s_own_text() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(), infer_request("nope"))
    assert answer.status == CallStatus(Code.NOT_FOUND, "Request for unknown model: 'nope' is not found")
    assert answer.initial is None


async def test_an_error_of_the_model_passes_with_its_metadata() -> None:
    failing = StubModel(status=CallStatus(Code.INVALID_ARGUMENT, "bad shape", (("grpc-status-details-bin", b"\x01"),)))
    a = StubTriton({"large": failing})
    answer = await exchange(
        MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head(), infer_request("llm")
    )
    assert (answer.status.code, answer.status.message) == (Code.INVALID_ARGUMENT, "bad shape")
    assert answer.status.metadata[0] == ("grpc-status-details-bin", b"\x01")
    assert answer.trailer("x-headway-model") == "large"
    assert answer.initial is None


@pytest.mark.parametrize("status", [FULL, BROKEN])
async def test_a_request_that_fails_unavailable_goes_to_another_candidate_once(status: CallStatus) -> None:
    a, b = StubTriton({"large": StubModel(status=status)}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    answer = await exchange(carrier, head(target_s=5), infer_request("llm", "text"))
    assert response(answer).raw_output_contents == [b"small:text"]
    assert (len(a.seen), len(b.seen)) == (1, 1)
    assert answer.trailer("x-headway-instance") == "b"


async def test_a_candidate_whose_triton_is_away_is_left_out_until_it_is_back() -> None:
    a, b = StubTriton({"large": StubModel()}, down=True), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO, policy="static:large"), a=a, b=b)
    carrier = MemoryCarrier(dispatcher)
    for _ in range(3):
        answer = await exchange(carrier, head(), infer_request("llm"))
        assert answer.trailer("x-headway-model") == "small"
    assert len(a.carrier.calls) == 1
    a.down = False
    await dispatcher.probe.probe()
    answer = await exchange(carrier, head(), infer_request("llm"))
    assert answer.trailer("x-headway-model") == "large"


async def test_with_every_candidate_away_the_call_is_unavailable_and_says_what_is() -> None:
    a, b = StubTriton({}, down=True), StubTriton({}, down=True)
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(), infer_request("llm"))
    assert (answer.status.code, answer.status.message) == (
        Code.UNAVAILABLE,
        "triton is unreachable: connection refused",
    )
    assert (len(a.carrier.calls), len(b.carrier.calls)) == (1, 1)


@pytest.mark.parametrize(
    "status",
    [
        CallStatus(Code.INTERNAL, "boom"),
        CallStatus(Code.RESOURCE_EXHAUSTED, "too long"),
        CallStatus(Code.NOT_FOUND, "no such customer"),
        FULL._replace(metadata=(("grpc-retry-pushback-ms", "-1"),)),
        FULL._replace(metadata=(("grpc-retry-pushback-ms", "soon"),)),
    ],
)
async def test_other_failures_are_not_tried_again(status: CallStatus) -> None:
    a, b = StubTriton({"large": StubModel(status=status)}), StubTriton({"small": StubModel()})
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(), infer_request("llm"))
    assert (answer.status.code, answer.status.message) == (status.code, status.message)
    assert b.carrier.calls == []


async def test_pushback_that_allows_a_retry_is_no_reason_against_another_candidate() -> None:
    status = FULL._replace(metadata=(("grpc-retry-pushback-ms", "100"),))
    a, b = StubTriton({"large": StubModel(status=status)}), StubTriton({"small": StubModel()})
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(), infer_request("llm"))
    assert answer.status.code == Code.OK


async def test_without_slack_there_is_no_second_try() -> None:
    a, b = StubTriton({"large": StubModel(status=FULL)}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    answer = await exchange(carrier, head(target_s=-0.1), infer_request("llm"))
    assert answer.status.code == Code.UNAVAILABLE
    assert b.carrier.calls == []


async def test_a_candidate_that_is_not_loaded_is_passed_over() -> None:
    a, b = StubTriton({}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    answers = [await exchange(carrier, head(), infer_request("llm")) for _ in range(3)]
    assert [answer.trailer("x-headway-model") for answer in answers] == ["small"] * 3
    assert len(a.seen) == 1


async def test_with_no_candidate_loaded_the_call_is_unavailable() -> None:
    a, b = StubTriton({}), StubTriton({})
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(), infer_request("llm"))
    assert answer.status.code == Code.UNAVAILABLE
    assert answer.status.message == "no candidate of 'llm' is loaded: Request for unknown model: 'small' is not found"
    assert answer.trailer("x-headway-dropped-reason") == "rejected-no-backend"


async def test_a_sequence_stays_on_its_candidate_and_is_forgotten_at_its_end() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))

    async def model(**parameters: bool | int | str) -> object:
        return (await exchange(carrier, head(), infer_request("llm", **parameters))).trailer("x-headway-model")

    assert await model(sequence_id=1, sequence_start=True) == "large"
    assert await model(sequence_id="x", sequence_start=True) == "small"
    assert [await model(sequence_id=1) for _ in range(3)] == ["large"] * 3
    assert [await model(sequence_id="x") for _ in range(3)] == ["small"] * 3
    assert await model(sequence_id=1, sequence_end=True) == "large"
    assert await model() == "large"
    assert await model(sequence_id=1, sequence_start=True, sequence_end=True) == "small"
    assert await model(sequence_id="x", sequence_end=True) == "small"


async def test_a_sequence_is_not_tried_elsewhere_and_starts_afresh_after_its_candidate_is_lost() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO, policy="static:large"), a=a, b=b))
    first = await exchange(carrier, head(), infer_request("llm", sequence_id=1, sequence_start=True))
    assert first.trailer("x-headway-model") == "large"
    a.down = True
    lost = await exchange(carrier, head(), infer_request("llm", sequence_id=1))
    assert lost.status.code == Code.UNAVAILABLE
    assert b.seen == []
    again = await exchange(carrier, head(), infer_request("llm", sequence_id=1, sequence_start=True))
    assert again.trailer("x-headway-model") == "small"


async def test_sequences_beyond_the_table_are_refused() -> None:
    a = StubTriton({"large": StubModel()})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a", sequences=1), a=a))
    await exchange(carrier, head(), infer_request("llm", sequence_id=1, sequence_start=True))
    answer = await exchange(carrier, head(), infer_request("llm", sequence_id=2, sequence_start=True))
    assert answer.status.code == Code.RESOURCE_EXHAUSTED
    assert answer.status.message == "1 sequences are under way, no more can be remembered"
    assert answer.trailer("x-headway-dropped-reason") == "rejected-saturated"


async def test_a_cancelled_call_is_cancelled_at_triton_at_once() -> None:
    a = StubTriton({"large": StubModel(gate=asyncio.Event())})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    call = MemoryCarrier(dispatcher).open(head())
    await call.send(infer_request("llm"), last=True)
    await asyncio.wait_for(a.carrier.opened.wait(), 1)
    call.cancel()
    await asyncio.wait_for(a.carrier.calls[0].served.wait(), 1)
    await asyncio.wait_for(call.served.wait(), 1)
    assert a.carrier.calls[0].cancelled
    assert a.cancelled == 1
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(running=0, abandoned=1)
    assert dispatcher.report().calls == 0


async def test_at_the_grpc_deadline_the_call_ends_and_triton_s_is_cancelled() -> None:
    a = StubTriton({"large": StubModel(gate=asyncio.Event())})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a))
    clock = MonotonicClock()
    started = clock.now()
    asked = head(limit_s=0.05)
    answer = await exchange(carrier, asked, infer_request("llm"))
    assert 0.045 < clock.now() - started < 5
    assert (answer.status.code, answer.status.message) == (Code.DEADLINE_EXCEEDED, "Deadline Exceeded")
    assert a.carrier.calls[0].cancelled
    assert a.carrier.calls[0].head.deadline.limit_at == asked.deadline.limit_at


CLASSES = {
    "strict": TrafficClass("strict", 0.05, on_miss="fail"),
    "lenient": TrafficClass("lenient", 0.05, on_miss="deliver"),
}


async def test_a_class_that_fails_late_answers_ends_the_call_at_its_deadline() -> None:
    a = StubTriton({"large": StubModel(gate=asyncio.Event())})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a", classes=CLASSES), a=a))
    answer = await exchange(carrier, head(target_s=0.05, limit_s=60, traffic_class="strict"), infer_request("llm"))
    assert answer.status.code == Code.DEADLINE_EXCEEDED
    assert answer.status.message == "the deadline of class strict passed before the answer began"
    assert answer.trailer("x-headway-dropped-reason") == "rejected-deadline-expired"
    assert a.carrier.calls[0].cancelled


async def test_a_class_that_delivers_late_answers_waits_for_them() -> None:
    gate = asyncio.Event()
    a = StubTriton({"large": StubModel(gate=gate)})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a", classes=CLASSES), a=a))
    asyncio.get_running_loop().call_later(0.08, gate.set)
    answer = await exchange(carrier, head(target_s=0.05, traffic_class="lenient"), infer_request("llm", "late"))
    assert response(answer).raw_output_contents == [b"large:late"]


async def test_the_timeout_parameter_brings_the_class_s_deadline_forward_and_goes_to_triton() -> None:
    a = StubTriton({"large": StubModel(gate=asyncio.Event())})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a", classes=CLASSES), a=a))
    async with asyncio.timeout(5):
        answer = await exchange(
            carrier, head(target_s=60, traffic_class="strict"), infer_request("llm", timeout=50_000)
        )
    assert answer.status.code == Code.DEADLINE_EXCEEDED
    assert a.seen[0].parameters["timeout"].int64_param == 50_000


async def test_a_request_that_cannot_be_read_gets_the_backend_s_words() -> None:
    async def refuse(call: IncomingCall) -> None:
        await call.finish(CallStatus(Code.INTERNAL, "Unable to parse request"))

    a = StubTriton({"large": StubModel()})
    a.carrier.handler = refuse
    message = infer_request("llm") + b"\x3a\xff"
    answer = await exchange(MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head(), message)
    assert answer.status.message == "Unable to parse request"
    assert a.carrier.calls[0].requests == [message]


async def test_a_policy_that_sheds_ends_the_call_with_its_reason() -> None:
    class Shedding:
        name = "shedding"

        def choose(self, request: object, candidates: object, *, now: float) -> Choice:
            return Choice(None, "no candidate can be on time")

        def log_data(self) -> dict[str, object]:
            return {}

    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    dispatcher.use_policy("llm", Shedding())
    answer = await exchange(MemoryCarrier(dispatcher), head(), infer_request("llm"))
    assert answer.status.code == Code.RESOURCE_EXHAUSTED
    assert answer.status.message == "policy shedding sheds this request for 'llm': no candidate can be on time"
    assert answer.trailer("x-headway-dropped-reason") == "rejected-saturated"
    assert a.carrier.calls == []


async def test_the_way_back_is_that_of_the_tunnel_and_of_the_answers_so_far() -> None:
    """An answer of some 30 bytes at 100 bytes a second would be late from the large model; from the small one too."""
    a = StubTriton({"large": StubModel()})
    paths = {"10.0.0.9:4000": TunnelPath(0.0, 100.0)}
    dispatcher = daemon(settings({"large": "a"}, tritons="a", policy="greedy"), paths=lambda: paths, a=a)
    carrier = MemoryCarrier(dispatcher)
    through = head(target_s=0.2)._replace(tunnel="10.0.0.9:4000")
    first = await exchange(carrier, through, infer_request("llm"))
    assert first.status.code == Code.OK
    late = head(target_s=0.2)._replace(tunnel="10.0.0.9:4000")
    assert (await exchange(carrier, late, infer_request("llm"))).status.code == Code.RESOURCE_EXHAUSTED
    other_way = await exchange(carrier, head(target_s=0.2), infer_request("llm"))
    assert other_way.status.code == Code.OK


async def test_where_greedy_had_to_decide_the_span_says_why() -> None:
    tracing = RecordedTracing()
    a = StubTriton({"large": StubModel()})
    routed = settings({"large": "a"}, tritons="a", policy="dqn:/nowhere/x.safetensors")
    dispatcher = daemon(routed, tracing=tracing, a=a)
    answer = await exchange(MemoryCarrier(dispatcher), head(), infer_request("llm"))
    assert answer.status.code == Code.OK
    (server,) = tracing.spans
    assert server.attributes[names.POLICY] == "dqn:/nowhere/x.safetensors"
    assert server.attributes[names.DECISION_FALLBACK] == "unusable checkpoint"
    assert dispatcher.guards()["llm"].fallbacks == {"unusable checkpoint": 1}


async def test_a_policy_that_cannot_be_had_does_not_replace_one_that_works() -> None:
    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    with pytest.raises(ValueError, match="nowhere"):
        dispatcher.use_policy("llm", "dqn:/nowhere/x.safetensors")
    assert dispatcher.policies() == {"llm": "round_robin"}
    assert dispatcher.guards() == {}


async def test_candidates_are_shown_as_the_policy_sees_them() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    await exchange(MemoryCarrier(dispatcher), head(), infer_request("llm"))
    large, small = dispatcher.candidates()["llm"]
    assert (large.name, large.instance, large.quality, large.load) == ("large", "a", 0.9, 0)
    assert (large.latency_s is None, small.latency_s) == (False, None)
