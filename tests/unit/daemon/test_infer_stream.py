"""`ModelStreamInfer` calls, through the whole dispatcher, with Tritons of a few lines behind it."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tritonclient.grpc import service_pb2 as pb

from policies.profile import Profile, TokenProfile
from policies.selection.base import Choice
from policies.traffic import TrafficClass
from proxy.clock import MonotonicClock
from proxy.daemon.load import LoadStatistics
from proxy.daemon.routes import CandidateSettings, RouteSettings
from proxy.errors import Code
from proxy.tasks import spawn
from proxy.testing.calls import Answer, MemoryCarrier, MemoryOutgoing, exchange
from proxy.tunnel.exchange import CallHandler, CallStatus, CallTimes, IncomingCall, InitialMetadata
from tests.unit.daemon.stub_triton import STREAM, StubModel, StubTriton, daemon, head, infer_request, settings

TWO = {"large": "a", "small": "b"}
CLASSES = {"strict": TrafficClass("strict", 0.05, on_miss="fail")}


def parsed(message: bytes) -> pb.ModelStreamInferResponse:
    return pb.ModelStreamInferResponse.FromString(message)


def texts(answer: Answer) -> list[str]:
    return [parsed(message).infer_response.raw_output_contents[0].decode() for message in answer.messages]


async def next_answer(call: MemoryOutgoing) -> pb.ModelStreamInferResponse:
    async with asyncio.timeout(1):
        event = await call.receive()
        while isinstance(event, InitialMetadata):
            event = await call.receive()
    assert isinstance(event, bytes), event
    return parsed(event)


async def status_of(call: MemoryOutgoing) -> CallStatus:
    async with asyncio.timeout(1):
        while not isinstance(event := await call.receive(), CallStatus):
            pass
    return event


async def test_a_decoupled_model_streams_token_by_token_under_the_name_asked_for() -> None:
    a = StubTriton({"large": StubModel(tokens=3)}, headers=(("h", "1"),), trailers=(("t", "2"),))
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a))
    answer = await exchange(carrier, head(STREAM), infer_request("llm", "x", id="7"))
    assert texts(answer) == ["large:x:0", "large:x:1", "large:x:2"]
    for message in answer.messages:
        got = parsed(message).infer_response
        assert (got.model_name, got.id) == ("llm", "7")
        assert got.parameters["headway_model"].string_param == "large"
        assert got.parameters["triton_final_response"].bool_param is False
    assert answer.initial == (("h", "1"),)
    assert answer.status.code == Code.OK
    assert answer.status.metadata == (
        ("t", "2"),
        ("x-headway-model", "large"),
        ("x-headway-instance", "a"),
        ("x-headway-policy", "round_robin"),
    )


async def test_each_answer_is_passed_on_before_the_next_is_made() -> None:
    gate = asyncio.Event()
    a = StubTriton({"large": StubModel(), "small": StubModel(gate=gate)})
    dispatcher = daemon(settings({"large": "a", "small": "a"}, tritons="a"), a=a)
    call = MemoryCarrier(dispatcher).open(head(STREAM))
    await call.send(infer_request("llm", "first"))
    assert (await next_answer(call)).infer_response.raw_output_contents == [b"large:first"]
    await call.send(infer_request("llm", "second"), last=True)
    gate.set()
    assert (await next_answer(call)).infer_response.raw_output_contents == [b"small:second"]
    status = await status_of(call)
    assert dict(status.metadata)["x-headway-model"] == "large, small"
    assert dict(status.metadata)["x-headway-instance"] == "a"
    assert len(a.carrier.calls) == 1


async def test_messages_are_routed_one_by_one_over_several_tritons() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    requests = [infer_request("llm", str(n)) for n in range(6)]
    answer = await exchange(MemoryCarrier(dispatcher), head(STREAM), *requests)
    assert sorted(texts(answer)) == ["large:0", "large:2", "large:4", "small:1", "small:3", "small:5"]
    assert (len(a.carrier.calls), len(b.carrier.calls)) == (1, 1)
    assert a.carrier.calls[0].half_closed
    assert dispatcher.statistics() == {
        ("a", "large"): LoadStatistics(running=0, finished=3),
        ("b", "small"): LoadStatistics(running=0, finished=3),
    }


async def test_routed_and_other_models_share_a_stream_without_mixing_names() -> None:
    a = StubTriton({"large": StubModel()})
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a))
    answer = await exchange(
        carrier, head(STREAM), infer_request("llm", "routed", id="1"), infer_request("large", "direct", id="2")
    )
    got = {parsed(message).infer_response.id: parsed(message).infer_response for message in answer.messages}
    assert (got["1"].model_name, "headway_model" in got["1"].parameters) == ("llm", True)
    assert (got["2"].model_name, "headway_model" in got["2"].parameters) == ("large", False)


async def test_a_stream_of_other_models_passes_byte_for_byte_and_without_trailers() -> None:
    a = StubTriton({"large": StubModel(), "other": StubModel(tokens=2)}, trailers=(("t", "2"),))
    carrier = MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a))
    message = infer_request("other", "x")
    answer = await exchange(carrier, head(STREAM), message)
    assert texts(answer) == ["other:x:0", "other:x:1"]
    assert answer.status == CallStatus(Code.OK, "", (("t", "2"),))
    assert a.carrier.calls[0].requests == [message]


async def test_an_empty_stream_is_answered_by_the_backend() -> None:
    a = StubTriton({"large": StubModel()}, headers=(("h", "1"),))
    answer = await exchange(MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head(STREAM))
    assert (answer.status.code, answer.initial, answer.messages) == (Code.OK, (("h", "1"),), ())


async def test_the_mark_of_the_end_reaches_only_clients_that_ask_for_it() -> None:
    a = StubTriton({"large": StubModel(tokens=2)})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    carrier = MemoryCarrier(dispatcher)
    plain = await exchange(carrier, head(STREAM), infer_request("llm"))
    asked = await exchange(carrier, head(STREAM), infer_request("llm", triton_enable_empty_final_response=True))
    assert [parsed(m).infer_response.parameters["triton_final_response"].bool_param for m in plain.messages] == [
        False,
        False,
    ]
    assert [parsed(m).infer_response.parameters["triton_final_response"].bool_param for m in asked.messages] == [
        False,
        False,
        True,
    ]
    assert parsed(asked.messages[2]).infer_response.model_name == "llm"
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(running=0, finished=2)


async def test_a_request_counts_as_running_until_its_last_token() -> None:
    a = StubTriton({"large": StubModel(tokens=2)})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    call = MemoryCarrier(dispatcher, capacity=1).open(head(STREAM))
    await call.send(infer_request("llm"))
    await next_answer(call)
    assert dispatcher.statistics()["a", "large"].running == 1
    await next_answer(call)
    call.cancel()
    await asyncio.wait_for(call.served.wait(), 1)


async def test_the_account_of_a_model_with_tokens_learns_from_a_stream() -> None:
    """From the first message to the last: against steps of a nanosecond any pace is slow."""
    tokens = TokenProfile(0.0, 0.1, ((1, 1e-9), (8, 1e-9)), max_sequences=8)
    candidate = CandidateSettings("a", "large", 0.9, Profile(((1, 2.0),), tokens=tokens))
    gate = asyncio.Event()
    a = StubTriton({"large": StubModel(tokens=3, gate=gate)})
    made = replace(settings({"large": "a"}, tritons="a"), routes=(RouteSettings("llm", "round_robin", (candidate,)),))
    dispatcher = daemon(made, a=a)
    call = MemoryCarrier(dispatcher).open(head(STREAM))
    await call.send(infer_request("llm", "x" * 100), last=True)
    await asyncio.wait_for(a.carrier.opened.wait(), 1)
    (waits,) = dispatcher.candidates()["llm"]
    assert (waits.running, waits.waiting) == (0, 1)
    gate.set()
    assert (await status_of(call)).ok
    (after,) = dispatcher.candidates()["llm"]
    assert (after.running, after.waiting) == (0, 0)
    assert after.slow_down > 2


async def test_an_error_message_of_one_request_passes_and_the_stream_goes_on() -> None:
    a = StubTriton({"large": StubModel(error="bad token"), "small": StubModel()})
    dispatcher = daemon(settings({"large": "a", "small": "a"}, tritons="a"), a=a)
    answer = await exchange(
        MemoryCarrier(dispatcher), head(STREAM), infer_request("llm", id="1"), infer_request("llm", id="2")
    )
    got = {parsed(message).infer_response.id: parsed(message) for message in answer.messages}
    assert (got["1"].error_message, got["2"].error_message) == ("bad token", "")
    assert got["1"].infer_response.model_name == "llm"
    assert answer.status.code == Code.OK
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(finished=1, failed=1)


async def test_an_unknown_model_in_a_stream_gets_triton_s_error_message() -> None:
    a = StubTriton({"large": StubModel()})
    answer = await exchange(
        MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head(STREAM), infer_request("nope", id="3")
    )
    (message,) = answer.messages
    assert parsed(message).error_message == "Request for unknown model: 'nope' is not found"
    assert parsed(message).infer_response.id == "3"


async def test_with_triton_grpc_error_a_status_ends_the_stream() -> None:
    a = StubTriton({"large": StubModel(error="bad token")})
    answer = await exchange(
        MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)),
        head(STREAM, metadata=(("triton_grpc_error", "true"),)),
        infer_request("llm"),
    )
    assert (answer.status.code, answer.status.message) == (Code.INVALID_ARGUMENT, "bad token")
    assert a.carrier.calls[0].head.metadata == (("triton_grpc_error", "true"),)


class Shedding:
    name = "shedding"

    def choose(self, request: object, candidates: object, *, now: float) -> Choice:
        return Choice(None, "too late")

    def log_data(self) -> dict[str, object]:
        return {}


@pytest.mark.parametrize("grpc_error", [False, True])
async def test_a_shed_request_is_told_of_as_the_client_wants(grpc_error: bool) -> None:
    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    dispatcher.use_policy("llm", Shedding())
    metadata = (("triton_grpc_error", "true"),) if grpc_error else ()
    answer = await exchange(MemoryCarrier(dispatcher), head(STREAM, metadata=metadata), infer_request("llm", id="7"))
    text = "policy shedding sheds this request for 'llm': too late"
    if grpc_error:
        assert (answer.status.code, answer.status.message, answer.messages) == (Code.RESOURCE_EXHAUSTED, text, ())
        assert answer.trailer("x-headway-dropped-reason") == "rejected-saturated"
    else:
        assert answer.status.code == Code.OK
        assert [(parsed(m).error_message, parsed(m).infer_response.id) for m in answer.messages] == [(text, "7")]


async def test_a_backend_that_dies_in_the_middle_ends_the_call_unavailable_in_trailers() -> None:
    a, b = StubTriton({"large": StubModel(tokens=5, die_after=2)}), StubTriton({"small": StubModel(tokens=5)})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    answer = await exchange(MemoryCarrier(dispatcher), head(STREAM), infer_request("llm", "x"))
    assert texts(answer) == ["large:x:0", "large:x:1"]
    assert answer.status.code == Code.UNAVAILABLE
    assert answer.status.message == "triton broke the connection: Socket closed"
    assert answer.trailer("x-headway-model") == "large"
    assert b.carrier.calls == []
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(finished=1, failed=1)


async def test_before_the_first_token_another_candidate_takes_over() -> None:
    a, b = StubTriton({"large": StubModel(tokens=5, die_after=0)}), StubTriton({"small": StubModel(tokens=2)})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    answer = await exchange(MemoryCarrier(dispatcher), head(STREAM), infer_request("llm", "x"))
    assert texts(answer) == ["small:x:0", "small:x:1"]
    assert answer.status.code == Code.OK
    assert answer.trailer("x-headway-model") == "small"
    assert b.carrier.calls[0].half_closed


async def test_a_request_after_another_triton_took_over_reaches_it_too() -> None:
    a, b = StubTriton({}, down=True), StubTriton({"small": StubModel()})
    call = MemoryCarrier(daemon(settings(TWO, policy="static:large"), a=a, b=b)).open(head(STREAM))
    for text in ("one", "two"):
        await call.send(infer_request("llm", text))
        assert (await next_answer(call)).infer_response.raw_output_contents == [f"small:{text}".encode()]
    await call.close_sending()
    assert (await status_of(call)).code == Code.OK
    assert (len(a.carrier.calls), len(b.carrier.calls)) == (1, 1)


async def test_with_all_tritons_away_the_stream_is_unavailable() -> None:
    a, b = StubTriton({}, down=True), StubTriton({}, down=True)
    answer = await exchange(MemoryCarrier(daemon(settings(TWO), a=a, b=b)), head(STREAM), infer_request("llm"))
    assert answer.status.code == Code.UNAVAILABLE
    assert answer.initial is None


async def test_a_stream_that_waits_for_its_next_request_outlives_its_triton() -> None:
    gate = asyncio.Event()
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    a.carrier.handler = _dies_when(gate, a)
    call = MemoryCarrier(daemon(settings(TWO, policy="static:large"), a=a, b=b)).open(head(STREAM))
    await call.send(infer_request("llm", "one"))
    assert (await next_answer(call)).infer_response.raw_output_contents == [b"large:one"]
    gate.set()
    await asyncio.wait_for(a.carrier.calls[0].served.wait(), 1)
    a.down, a.carrier.handler = True, a
    await call.send(infer_request("llm", "two"))
    assert (await next_answer(call)).infer_response.raw_output_contents == [b"small:two"]
    call.cancel()


def _dies_when(gate: asyncio.Event, triton: StubTriton) -> CallHandler:
    async def handler(call: IncomingCall) -> None:
        serving = spawn(triton(call), name="stub triton")
        await gate.wait()
        serving.cancel()
        await call.finish(CallStatus(Code.UNAVAILABLE, "Socket closed"))

    return handler


async def test_a_sequence_stays_on_its_candidate_within_a_stream() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO), a=a, b=b))
    answer = await exchange(
        carrier,
        head(STREAM),
        infer_request("llm", "1", sequence_id=5, sequence_start=True),
        infer_request("llm", "2"),
        infer_request("llm", "3", sequence_id=5),
        infer_request("llm", "4", sequence_id=5, sequence_end=True),
    )
    assert sorted(texts(answer)) == ["large:1", "large:3", "large:4", "small:2"]


async def test_a_sequence_whose_triton_is_lost_ends_the_call_and_may_go_elsewhere_afterwards() -> None:
    a, b = StubTriton({"large": StubModel()}), StubTriton({"small": StubModel()})
    carrier = MemoryCarrier(daemon(settings(TWO, policy="static:large"), a=a, b=b))
    await exchange(carrier, head(STREAM), infer_request("llm", "1", sequence_id=5, sequence_start=True))
    a.down = True
    lost = await exchange(carrier, head(STREAM), infer_request("llm", "2", sequence_id=5))
    assert (lost.status.code, b.seen) == (Code.UNAVAILABLE, [])
    again = await exchange(carrier, head(STREAM), infer_request("llm", "3", sequence_id=5))
    assert texts(again) == ["small:3"]


async def test_headers_are_sent_once_however_many_tritons_send_some() -> None:
    a = StubTriton({"large": StubModel()}, headers=(("h", "a"),))
    b = StubTriton({"small": StubModel()}, headers=(("h", "b"),))
    call = MemoryCarrier(daemon(settings(TWO), a=a, b=b)).open(head(STREAM))
    for _ in range(2):
        await call.send(infer_request("llm"))
    await call.close_sending()
    events = []
    while not isinstance(event := await call.receive(), CallStatus):
        events.append(type(event))
    assert events == [InitialMetadata, bytes, bytes]


async def test_a_cancelled_stream_is_cancelled_at_every_triton() -> None:
    a, b = StubTriton({"large": StubModel(gate=asyncio.Event())}), StubTriton({"small": StubModel()})
    dispatcher = daemon(settings(TWO), a=a, b=b)
    call = MemoryCarrier(dispatcher).open(head(STREAM))
    await call.send(infer_request("llm"))
    await call.send(infer_request("llm"))
    await next_answer(call)
    call.cancel()
    await asyncio.wait_for(call.served.wait(), 1)
    for triton in (a, b):
        await asyncio.wait_for(triton.carrier.calls[0].served.wait(), 1)
        assert triton.carrier.calls[0].cancelled
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(abandoned=1)
    assert dispatcher.report().calls == 0


async def test_at_the_grpc_deadline_the_stream_ends_after_what_it_has_sent() -> None:
    a = StubTriton({"large": StubModel(), "small": StubModel(gate=asyncio.Event())})
    carrier = MemoryCarrier(daemon(settings({"large": "a", "small": "a"}, tritons="a"), a=a))
    answer = await exchange(carrier, head(STREAM, limit_s=0.05), infer_request("llm", "1"), infer_request("llm", "2"))
    assert texts(answer) == ["large:1"]
    assert answer.status.code == Code.DEADLINE_EXCEEDED
    assert a.carrier.calls[0].cancelled


async def test_a_class_that_fails_late_answers_counts_from_the_message_not_from_the_opening() -> None:
    gate = asyncio.Event()
    a = StubTriton({"large": StubModel(gate=gate)})
    gate.set()
    dispatcher = daemon(settings({"large": "a"}, tritons="a", classes=CLASSES), a=a)
    call = MemoryCarrier(dispatcher).open(head(STREAM, target_s=0.05, traffic_class="strict"))
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call.receive(), 0.08)
    await call.send(infer_request("llm"))
    await next_answer(call)
    gate.clear()
    await call.send(infer_request("llm"))
    status = await status_of(call)
    assert status.code == Code.DEADLINE_EXCEEDED
    assert dict(status.metadata)["x-headway-dropped-reason"] == "rejected-deadline-expired"
    assert a.carrier.calls[0].cancelled


async def test_what_the_proxy_says_of_a_message_s_deadline_counts_and_not_when_it_came() -> None:
    a = StubTriton({"large": StubModel()})
    dispatcher = daemon(settings({"large": "a"}, tritons="a", classes=CLASSES), a=a)
    times = CallTimes()
    call = MemoryCarrier(dispatcher).open(head(STREAM, target_s=5.0, traffic_class="strict")._replace(times=times))
    times.due_at = MonotonicClock().now() + 5.0
    await call.send(infer_request("llm"))
    await next_answer(call)
    times.due_at = MonotonicClock().now() - 1.0
    await call.send(infer_request("llm"))
    status = await status_of(call)
    assert status.code == Code.DEADLINE_EXCEEDED
    assert dict(status.metadata)["x-headway-dropped-reason"] == "rejected-deadline-expired"


async def test_a_slow_reader_holds_back_its_own_stream_only() -> None:
    a = StubTriton({"large": StubModel(tokens=1000)})
    dispatcher = daemon(settings({"large": "a"}, tritons="a"), a=a)
    carrier = MemoryCarrier(dispatcher, capacity=2)
    slow = carrier.open(head(STREAM))
    await slow.send(infer_request("llm"), last=True)
    await next_answer(slow)
    other = await exchange(carrier, head(STREAM), infer_request("llm"))
    assert len(other.messages) == 1000
    assert dispatcher.statistics()["a", "large"] == LoadStatistics(running=1, finished=1)
    slow.cancel()
    await asyncio.wait_for(slow.served.wait(), 1)


async def test_a_message_that_cannot_be_read_is_left_to_the_backend() -> None:
    a = StubTriton({"large": StubModel()})
    seen: list[bytes] = []

    async def handler(call: IncomingCall) -> None:
        seen.append(await call.receive() or b"")
        await call.finish(CallStatus(Code.INTERNAL, "Unable to parse request"))

    a.carrier.handler = handler
    message = infer_request("llm") + b"\x3a\xff"
    answer = await exchange(MemoryCarrier(daemon(settings({"large": "a"}, tritons="a"), a=a)), head(STREAM), message)
    assert answer.status.message == "Unable to parse request"
    assert seen == [message]
