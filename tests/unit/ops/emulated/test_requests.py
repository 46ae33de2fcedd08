"""Requests as the daemon reads them."""

from __future__ import annotations

from tritonclient.grpc import service_pb2 as pb

from ops.emulated.requests import infer_request
from proxy.daemon.triton import infer_facts


def test_a_request_for_a_whole_answer() -> None:
    request = pb.ModelInferRequest.FromString(infer_request("llm", size_bytes=8192, answer_bytes=100, request_id="7"))
    assert (request.model_name, request.id) == ("llm", "7")
    assert {tensor.name: list(tensor.shape) for tensor in request.inputs} == {
        "PAYLOAD": [1, 8192],
        "ANSWER_BYTES": [1, 1],
    }
    assert [len(content) for content in request.raw_input_contents] == [8192, 4]


def test_a_request_for_a_stream_has_a_prompt_of_its_length_for_the_daemon() -> None:
    message = infer_request("llm", size_bytes=8192, prompt_tokens=300, answer_tokens=20)
    request = pb.ModelInferRequest.FromString(message)
    assert {tensor.name: list(tensor.shape) for tensor in request.inputs} == {
        "PROMPT": [300],
        "MAX_TOKENS": [1],
        "PAYLOAD": [8192 - 4 * 300],
        "ANSWER_BYTES": [1],
    }
    assert infer_facts(message, prompt=True).prompt == 300


def test_a_prompt_that_is_longer_than_the_request_makes_it_longer() -> None:
    message = infer_request("llm", size_bytes=100, prompt_tokens=300, answer_tokens=1)
    assert len(pb.ModelInferRequest.FromString(message).raw_input_contents[0]) == 1200
