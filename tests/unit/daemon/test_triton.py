from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as pb

from proxy.daemon import triton
from proxy.errors import Code
from proxy.tunnel.exchange import CallStatus
from tests.unit.daemon.stub_triton import infer_request


@pytest.mark.parametrize("name", ["llm", "a" * 127, "b" * 128, "größe", ""])
def test_the_name_is_read_from_requests_of_all_kinds(name: str) -> None:
    assert triton.model_name(infer_request(name)) == name.encode()
    assert triton.model_name(pb.ModelReadyRequest(name=name, version="1").SerializeToString()) == name.encode()


def test_the_name_is_found_wherever_it_stands() -> None:
    named, rest = pb.ModelInferRequest(model_name="llm"), pb.ModelInferRequest(id="7")
    assert triton.model_name(rest.SerializeToString() + named.SerializeToString()) == b"llm"
    assert triton.model_name(rest.SerializeToString()) == b""


@pytest.mark.parametrize("message", [b"", b"\x0a", b"\xff\xff", b"\x12\x7fx"])
def test_what_is_no_request_has_no_name(message: bytes) -> None:
    assert triton.model_name(message) == b""


@given(st.binary(max_size=64))
def test_reading_a_name_never_fails(message: bytes) -> None:
    triton.model_name(message)


def test_a_request_without_parameters() -> None:
    assert triton.infer_facts(infer_request("llm", id="7")) == triton.InferFacts(
        id="7", sequence=None, sequence_start=False, sequence_end=False, timeout_s=None, empty_final=False
    )


def test_a_request_with_parameters() -> None:
    message = infer_request(
        "llm",
        sequence_id=42,
        sequence_start=True,
        sequence_end=True,
        timeout=30_000,
        triton_enable_empty_final_response=True,
    )
    assert triton.infer_facts(message) == triton.InferFacts(
        id="", sequence=42, sequence_start=True, sequence_end=True, timeout_s=0.03, empty_final=True
    )


def prompt(**tensors: tuple[str, list[int], bytes]) -> int | None:
    """The length of the prompt in a request with these inputs: type, shape and bytes."""
    request = pb.ModelInferRequest(model_name="llm")
    for name, (kind, shape, raw) in tensors.items():
        request.inputs.add(name=name, datatype=kind, shape=shape)
        request.raw_input_contents.append(raw)
    return triton.infer_facts(request.SerializeToString(), prompt=True).prompt


def test_the_prompt_is_the_longest_text_or_else_the_longest_row_of_tokens() -> None:
    text = ("BYTES", [1, 1], b"\x05\0\0\0hello")
    limit = ("INT32", [1, 1], bytes(4))
    assert prompt(max_tokens=limit, text=text, stop=("BYTES", [1, 1], b"\x01\0\0\0.")) == 5
    tokens = ("INT64", [1, 300], bytes(2400))
    assert prompt(input_ids=tokens, length=limit) == 300
    assert prompt(image=("FP32", [3, 224, 224], bytes(4))) is None
    assert prompt() is None
    assert prompt(input_ids=("INT32", [2**40, 2**40], b"")) == 2**31
    typed = pb.ModelInferRequest()
    typed.inputs.add(name="text", datatype="BYTES", shape=[1]).contents.bytes_contents.append(b"four")
    assert triton.prompt_length(typed) == 4
    shared = pb.ModelInferRequest()
    shared.inputs.add(name="text", datatype="BYTES", shape=[1]).parameters["shared_memory_region"].string_param = "r"
    assert triton.prompt_length(shared) is None


def test_nobody_pays_for_a_prompt_who_does_not_ask() -> None:
    assert triton.infer_facts(infer_request("llm")).prompt is None


@pytest.mark.parametrize(("value", "sequence"), [("abc", "abc"), ("", None), (0, None), (True, None)])
def test_sequence_ids(value: bool | int | str, sequence: str | None) -> None:
    assert triton.infer_facts(infer_request("llm", sequence_id=value)).sequence == sequence


@pytest.mark.parametrize("value", [0, -5, "30", True])
def test_a_timeout_that_is_none_or_that_triton_refuses_is_not_acted_on(value: bool | int | str) -> None:
    assert triton.infer_facts(infer_request("llm", timeout=value)).timeout_s is None


def test_an_empty_final_of_the_wrong_type_is_told_from_one_that_is_absent() -> None:
    assert triton.infer_facts(infer_request("llm", triton_enable_empty_final_response="yes")).empty_final is None
    assert triton.infer_facts(infer_request("llm", triton_enable_empty_final_response=False)).empty_final is False


def test_malformed_messages_are_refused_by_name() -> None:
    with pytest.raises(triton.MalformedMessageError, match="not a ModelInferRequest"):
        triton.infer_facts(b"\x0a\x7f")
    with pytest.raises(triton.MalformedMessageError, match="not a ModelStreamInferResponse"):
        triton.stream_answer(b"\x0a\x7f")


def test_the_suffix_makes_a_request_one_for_another_model_and_leaves_the_rest() -> None:
    message = infer_request("llm", "text", id="7", priority=1)
    renamed = pb.ModelInferRequest.FromString(message + triton.request_suffix("llm-large"))
    expected = pb.ModelInferRequest.FromString(message)
    expected.model_name = "llm-large"
    assert renamed == expected


def test_the_suffix_can_have_the_end_marked() -> None:
    message = infer_request("llm", priority=1) + triton.request_suffix("llm-large", mark_end=True)
    request = pb.ModelInferRequest.FromString(message)
    assert request.parameters["triton_enable_empty_final_response"].bool_param is True
    assert request.parameters["priority"].int64_param == 1


def test_the_suffix_makes_an_answer_one_of_the_name_asked_for() -> None:
    answer = pb.ModelInferResponse(model_name="llm-large", model_version="3", id="7", raw_output_contents=[b"x"])
    answer.parameters["own"].int64_param = 5
    renamed = pb.ModelInferResponse.FromString(answer.SerializeToString() + triton.answer_suffix("llm", "llm-large"))
    assert (renamed.model_name, renamed.model_version, renamed.id) == ("llm", "3", "7")
    assert renamed.raw_output_contents == [b"x"]
    assert renamed.parameters["own"].int64_param == 5
    assert renamed.parameters["headway_model"].string_param == "llm-large"


def test_the_same_within_a_stream() -> None:
    answer = pb.ModelStreamInferResponse(infer_response=pb.ModelInferResponse(model_name="llm-large", id="7"))
    answer.infer_response.parameters["triton_final_response"].bool_param = True
    suffix = triton.answer_suffix("llm", "llm-large", stream=True)
    renamed = pb.ModelStreamInferResponse.FromString(answer.SerializeToString() + suffix).infer_response
    assert (renamed.model_name, renamed.id) == ("llm", "7")
    assert renamed.parameters["triton_final_response"].bool_param is True
    assert renamed.parameters["headway_model"].string_param == "llm-large"


def test_answers_of_a_stream() -> None:
    infer = pb.ModelInferResponse(model_name="m", id="7")
    infer.outputs.add(name="OUT")
    infer.parameters["triton_final_response"].bool_param = False
    token = pb.ModelStreamInferResponse(infer_response=infer)
    assert triton.stream_answer(token.SerializeToString()) == triton.StreamAnswer(
        "7", "m", failed=False, final=False, empty=False
    )
    token.infer_response.parameters["triton_final_response"].bool_param = True
    assert triton.stream_answer(token.SerializeToString()).final
    del token.infer_response.outputs[:]
    assert triton.stream_answer(token.SerializeToString()).empty
    failed = pb.ModelStreamInferResponse(error_message="oh")
    assert triton.stream_answer(failed.SerializeToString()) == triton.StreamAnswer(
        "", "", failed=True, final=True, empty=False
    )


def test_an_answer_without_the_mark_is_the_only_one() -> None:
    infer = pb.ModelInferResponse(model_name="m")
    infer.outputs.add(name="OUT")
    assert triton.stream_answer(pb.ModelStreamInferResponse(infer_response=infer).SerializeToString()).final


def test_an_error_in_a_stream_keeps_the_id() -> None:
    answer = pb.ModelStreamInferResponse.FromString(triton.stream_error("7", "too much"))
    assert (answer.error_message, answer.infer_response.id) == ("too much", "7")


def test_metadata_and_configuration_get_another_name() -> None:
    metadata = pb.ModelMetadataResponse(name="llm-large", versions=["1"], platform="python")
    renamed = pb.ModelMetadataResponse.FromString(metadata.SerializeToString() + triton.name_suffix("llm"))
    assert (renamed.name, renamed.versions, renamed.platform) == ("llm", ["1"], "python")
    config = pb.ModelConfigResponse(config={"name": "llm-large", "max_batch_size": 8})
    answer = pb.ModelConfigResponse.FromString(config.SerializeToString() + triton.config_suffix("llm"))
    assert (answer.config.name, answer.config.max_batch_size) == ("llm", 8)


@pytest.mark.parametrize("ready", [True, False])
def test_ready_answers(ready: bool) -> None:
    assert triton.is_ready(triton.ready_answer(ready=ready)) is ready
    assert not triton.is_ready(b"\xff\xff")


def statistics(name: str, version: str, count: int, last: int, batch: int) -> bytes:
    response = pb.ModelStatisticsResponse()
    model = response.model_stats.add(name=name, version=version, inference_count=count, last_inference=last)
    model.inference_stats.success.count = count
    model.inference_stats.success.ns = count * 10
    entry = model.batch_stats.add(batch_size=batch)
    entry.compute_infer.count = count
    model.memory_usage.add(type="CPU", id=0, byte_size=100)
    model.response_stats["0"].success.count = count
    message: bytes = response.SerializeToString()
    return message


def test_statistics_of_candidates_add_up() -> None:
    combined = pb.ModelStatisticsResponse.FromString(
        triton.combined_statistics(
            [statistics("large", "1", 3, 50, 1), statistics("small", "1", 4, 40, 1), statistics("tiny", "2", 5, 60, 2)],
            "llm",
        )
    )
    assert [(model.name, model.version) for model in combined.model_stats] == [("llm", "1"), ("llm", "2")]
    first, second = combined.model_stats
    assert (first.inference_count, first.last_inference, second.inference_count) == (7, 50, 5)
    assert (first.inference_stats.success.count, first.inference_stats.success.ns) == (7, 70)
    assert [(entry.batch_size, entry.compute_infer.count) for entry in first.batch_stats] == [(1, 7)]
    assert [(entry.batch_size, entry.compute_infer.count) for entry in second.batch_stats] == [(2, 5)]
    assert [(memory.type, memory.byte_size) for memory in first.memory_usage] == [("CPU", 200)]
    assert first.response_stats["0"].success.count == 7


def index(*models: tuple[str, str, str]) -> bytes:
    response = pb.RepositoryIndexResponse()
    for name, version, state in models:
        response.models.add(name=name, version=version, state=state)
    message: bytes = response.SerializeToString()
    return message


def listed(message: bytes) -> list[tuple[str, str, str]]:
    return [(model.name, model.version, model.state) for model in pb.RepositoryIndexResponse.FromString(message).models]


def test_the_index_has_the_models_of_all_tritons_and_the_routes() -> None:
    answers = {
        "a": index(("large", "1", "UNAVAILABLE"), ("small", "2", "READY")),
        "b": index(("large", "1", "READY"), ("other", "1", "READY")),
    }
    routes = [
        triton.IndexedRoute("llm", (("a", "large"), ("a", "small"))),
        triton.IndexedRoute("away", (("a", "large"), ("c", "large"))),
    ]
    assert listed(triton.merged_index(answers, routes, ready_only=False)) == [
        ("large", "1", "READY"),
        ("small", "2", "READY"),
        ("other", "1", "READY"),
        ("llm", "2", "READY"),
        ("away", "", "UNAVAILABLE"),
    ]
    assert ("away", "", "UNAVAILABLE") not in listed(triton.merged_index(answers, routes, ready_only=True))


def test_a_model_that_one_triton_has_loaded_and_another_has_not_is_listed_once() -> None:
    answers = {"a": index(("echo", "1", "READY"), ("cold", "", "")), "b": index(("echo", "", ""), ("cold", "", ""))}
    assert listed(triton.merged_index(answers, [], ready_only=False)) == [("echo", "1", "READY"), ("cold", "", "")]


def test_a_route_hides_the_model_of_its_name_in_the_index() -> None:
    routes = [triton.IndexedRoute("large", (("a", "small"),))]
    answers = {"a": index(("large", "7", "READY"), ("small", "1", "READY"))}
    assert listed(triton.merged_index(answers, routes, ready_only=False)) == [
        ("small", "1", "READY"),
        ("large", "1", "READY"),
    ]


def test_the_wish_for_ready_models_only() -> None:
    assert triton.wants_ready_only(pb.RepositoryIndexRequest(ready=True).SerializeToString())
    assert not triton.wants_ready_only(b"")


def test_only_triton_s_own_words_tell_that_a_model_is_not_loaded() -> None:
    assert triton.is_unknown_model(CallStatus(Code.NOT_FOUND, "Request for unknown model: 'm' is not found"))
    assert triton.is_unknown_model(
        CallStatus(Code.NOT_FOUND, "Request for unknown model: 'm' has no available versions")
    )
    assert not triton.is_unknown_model(
        CallStatus(Code.NOT_FOUND, "Request for unknown model: 'm' version 9 is not found")
    )
    assert not triton.is_unknown_model(CallStatus(Code.NOT_FOUND, "no such customer"))
    assert not triton.is_unknown_model(CallStatus(Code.INTERNAL, "Request for unknown model: 'm' is not found"))
