"""Calls of Triton's service, right and wrong ones, for models beside this file.

Each table is from a case's name to what is called. Where the model is `ROUTED` in a route too, the same call is made
with the route's name.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import Message
from tritonclient.grpc import InferInput, InferRequestedOutput, service_pb2

ROUTED = ("echo", "echo_raw", "add_sub", "failing", "repeat", "sleepy", "stateful")
PARAMETER = "headway_model"


def route_of(model: str) -> str:
    """The route whose only candidate is the model."""
    return f"any_{model}"


ROUTES = {
    route_of(model): {
        "policy": f"static:{model}",
        "candidates": [{"triton": "a", "model": model, "quality": 1.0}],
    }
    for model in ROUTED
}


def tensor(name: str, values: Any, kind: Any, data_type: str, shape: list[int] | None = None) -> InferInput:
    """An input; its `shape` may be a lie."""
    array = np.array(values, dtype=kind)
    made = InferInput(name, list(array.shape), data_type)
    made.set_data_from_numpy(array)
    if shape is not None:
        made.set_shape(shape)
    return made


def words(*values: bytes) -> list[InferInput]:
    return [tensor("INPUT", [values], object, "BYTES")]


def raw_words(content: bytes, count: int) -> list[InferInput]:
    """Strings whose lengths are not what they should be."""
    made = words(*[b""] * count)
    made[0]._raw_content = content
    return made


def numbers(*values: float, name: str = "INPUT0", shape: list[int] | None = None) -> InferInput:
    return tensor(name, [values], np.float32, "FP32", shape)


def count_to(count: int, delay_s: float = 0.0) -> list[InferInput]:
    return [tensor("COUNT", [count], np.int32, "INT32"), tensor("DELAY_S", [delay_s], np.float32, "FP32")]


def nap(seconds: float) -> list[InferInput]:
    return [tensor("SLEEP_S", [[seconds]], np.float32, "FP32")]


def value(number: int) -> list[InferInput]:
    return [tensor("VALUE", [[number]], np.int32, "INT32")]


def _with_type(made: InferInput, data_type: str) -> InferInput:
    made._get_tensor().datatype = data_type
    return made


def _with_shape(made: InferInput, shape: list[int]) -> InferInput:
    return made.set_shape(shape)


def _in_region(made: InferInput, region: str) -> InferInput:
    made.set_shared_memory(region, 8)
    return made


FIRST = numbers(1, 2, 3, 4)
SECOND = numbers(8, 7, 6, 5, name="INPUT1")
BOTH = [FIRST, SECOND]

Call = tuple[str, dict[str, Any]]

ABOUT_SERVER: Mapping[str, Call] = {
    "live": ("is_server_live", {}),
    "ready": ("is_server_ready", {}),
    "metadata": ("get_server_metadata", {}),
    "metadata-json": ("get_server_metadata", {"as_json": True}),
    "trace-settings": ("get_trace_settings", {}),
    "trace-settings-model": ("get_trace_settings", {"model_name": "echo"}),
    "trace-settings-unknown-model": ("get_trace_settings", {"model_name": "nope"}),
    "trace-settings-unknown": ("update_trace_settings", {"settings": {"trace_volume": "3"}}),
    "trace-settings-wrong-rate": ("update_trace_settings", {"settings": {"trace_rate": "often"}}),
    "log-settings": ("get_log_settings", {}),
    "log-settings-wrong": ("update_log_settings", {"settings": {"log_format": "prose"}}),
    "load-missing": ("load_model", {"model_name": "nope"}),
    "load-wrong-config": ("load_model", {"model_name": "repeat_twin", "config": "{"}),
    "load-files-without-config": ("load_model", {"model_name": "nope", "files": {"file:1/model.py": b""}}),
    "unload-missing": ("unload_model", {"model_name": "nope"}),
    "system-status": ("get_system_shared_memory_status", {}),
    "system-status-unknown": ("get_system_shared_memory_status", {"region_name": "nope"}),
    "system-register-unknown": (
        "register_system_shared_memory",
        {"name": "nope", "key": "/no_such_region", "byte_size": 64},
    ),
    "system-unregister-unknown": ("unregister_system_shared_memory", {"name": "nope"}),
    "system-unregister-all": ("unregister_system_shared_memory", {}),
    "cuda-status": ("get_cuda_shared_memory_status", {}),
    "cuda-status-unknown": ("get_cuda_shared_memory_status", {"region_name": "nope"}),
    "cuda-register": (
        "register_cuda_shared_memory",
        {"name": "nope", "raw_handle": b"AAAA", "device_id": 0, "byte_size": 64},
    ),
    "cuda-unregister": ("unregister_cuda_shared_memory", {"name": "nope"}),
    "cuda-unregister-all": ("unregister_cuda_shared_memory", {}),
}

ABOUT_MODEL: Mapping[str, tuple[str, str, dict[str, Any]]] = {
    "ready": ("is_model_ready", "echo", {}),
    "ready-version": ("is_model_ready", "echo", {"model_version": "1"}),
    "ready-unknown-version": ("is_model_ready", "echo", {"model_version": "9"}),
    "ready-wrong-version": ("is_model_ready", "echo", {"model_version": "first"}),
    "metadata": ("get_model_metadata", "add_sub", {}),
    "metadata-version": ("get_model_metadata", "add_sub", {"model_version": "1"}),
    "metadata-unknown-version": ("get_model_metadata", "add_sub", {"model_version": "9"}),
    "metadata-wrong-version": ("get_model_metadata", "add_sub", {"model_version": "first"}),
    "config": ("get_model_config", "stateful", {}),
    "config-version": ("get_model_config", "repeat", {"model_version": "1"}),
    "config-unknown-version": ("get_model_config", "repeat", {"model_version": "9"}),
    "statistics-unknown-version": ("get_inference_statistics", "echo", {"model_version": "9"}),
}

UNKNOWN_MODEL: Mapping[str, Call] = {
    method: (method, {"model_name": "nope"})
    for method in ("is_model_ready", "get_model_metadata", "get_model_config", "get_inference_statistics")
}

INFER: Mapping[str, tuple[str, dict[str, Any]]] = {
    "values": ("add_sub", {"inputs": BOTH}),
    "id": ("add_sub", {"inputs": BOTH, "request_id": "of the caller's own"}),
    "version": ("add_sub", {"inputs": BOTH, "model_version": "1"}),
    "unknown-version": ("add_sub", {"inputs": BOTH, "model_version": "9", "request_id": "v"}),
    "wrong-version": ("add_sub", {"inputs": BOTH, "model_version": "first"}),
    "one-output": ("add_sub", {"inputs": BOTH, "outputs": [InferRequestedOutput("OUTPUT1")]}),
    "classes": ("add_sub", {"inputs": BOTH, "outputs": [InferRequestedOutput("OUTPUT0", class_count=2)]}),
    "unknown-output": ("add_sub", {"inputs": BOTH, "outputs": [InferRequestedOutput("OUTPUT7")], "request_id": "o"}),
    "unknown-input": ("add_sub", {"inputs": [FIRST, numbers(1, 2, 3, 4, name="INPUT7")]}),
    "additional-input": ("add_sub", {"inputs": [*BOTH, numbers(1, name="INPUT7")]}),
    "missing-input": ("add_sub", {"inputs": [FIRST], "request_id": "m"}),
    "no-input": ("add_sub", {"inputs": []}),
    "same-input-twice": ("add_sub", {"inputs": [FIRST, FIRST]}),
    "wrong-shape": ("add_sub", {"inputs": [numbers(1, 2, 3), SECOND]}),
    "wrong-rank": ("add_sub", {"inputs": [numbers(1, 2, 3, 4, shape=[1, 2, 2]), SECOND]}),
    "batch-too-large": (
        "add_sub",
        {"inputs": [tensor(name, np.ones((9, 4)), np.float32, "FP32") for name in ("INPUT0", "INPUT1")]},
    ),
    "batches-differ": ("add_sub", {"inputs": [tensor("INPUT0", np.ones((2, 4)), np.float32, "FP32"), SECOND]}),
    "too-few-bytes": ("add_sub", {"inputs": [numbers(1, 2, 3, shape=[1, 4]), SECOND]}),
    "too-many-bytes": ("add_sub", {"inputs": [numbers(1, 2, 3, 4, 5, shape=[1, 4]), SECOND]}),
    "negative-shape": ("add_sub", {"inputs": [numbers(1, 2, 3, 4, shape=[1, -4]), SECOND]}),
    "wrong-type": ("add_sub", {"inputs": [tensor("INPUT0", [[1, 2, 3, 4]], np.int32, "INT32"), SECOND]}),
    "unknown-type": ("add_sub", {"inputs": [_with_type(numbers(1, 2, 3, 4), "FP99"), SECOND]}),
    "no-content": ("add_sub", {"inputs": [InferInput("INPUT0", [1, 4], "FP32"), SECOND]}),
    "strings": ("echo", {"inputs": words(b"", b"\0\xff", "wörter".encode(), b"x" * 70_000)}),
    "batch-of-strings": ("echo", {"inputs": [tensor("INPUT", [[b"a"], [b"b"]], object, "BYTES")]}),
    "no-strings": ("echo", {"inputs": [_with_shape(raw_words(b"", 1)[0], [1, 0])]}),
    "string-too-short": ("echo", {"inputs": raw_words(b"\x09\0\0\0abc", 1)}),
    "length-cut-off": ("echo", {"inputs": raw_words(b"\x03\0", 1)}),
    "string-missing": ("echo", {"inputs": raw_words(b"\x03\0\0\0abc", 2), "request_id": "s"}),
    "string-too-many": ("echo", {"inputs": raw_words(b"\x03\0\0\0abc\x01\0\0\0d", 1)}),
    "priority": ("echo", {"inputs": words(b"x"), "priority": 1, "request_id": "p"}),
    "timeout": ("echo", {"inputs": words(b"x"), "timeout": 5_000_000}),
    "parameters": (
        "echo",
        {"inputs": words(b"x"), "parameters": {"text": "a", "count": 3, "share": 0.5, "really": True}},
    ),
    "headers": ("echo", {"inputs": words(b"x"), "headers": {"authorization": "Bearer ü".encode().hex(), "x-a": "1"}}),
    "gzip": ("echo", {"inputs": words(b"x" * 50_000), "compression_algorithm": "gzip"}),
    "deflate": ("echo", {"inputs": words(b"x" * 50_000), "compression_algorithm": "deflate"}),
    "gzip-error": ("echo", {"inputs": nap(0.0), "compression_algorithm": "gzip"}),
    "client-timeout": ("sleepy", {"inputs": nap(30.0), "client_timeout": 0.05}),
    "client-timeout-in-time": ("echo", {"inputs": words(b"x"), "client_timeout": 10.0}),
    "decoupled": ("repeat", {"inputs": count_to(1)}),
    "sequence-without-start": ("stateful", {"inputs": value(1), "sequence_id": 7_000_001}),
    "sequence-without-id": ("stateful", {"inputs": value(1)}),
    "sequence-id-of-wrong-type": ("stateful", {"inputs": value(1), "sequence_id": "seven"}),
    "region-unknown": ("echo", {"inputs": [_in_region(words(b"x")[0], "nowhere")]}),
    **{
        f"model-says-{code.lower()}": ("failing", {"inputs": words(f"error:{code}:bad lück".encode())})
        for code in ("INTERNAL", "NOT_FOUND", "INVALID_ARG", "UNAVAILABLE", "UNKNOWN", "UNSUPPORTED", "ALREADY_EXISTS")
    },
    "model-cancels": ("failing", {"inputs": words(b"error:CANCELLED:no"), "request_id": "c"}),
    "model-says-nothing": ("failing", {"inputs": words(b"error:INTERNAL:")}),
    "model-raises": ("failing", {"inputs": words(b"raise:boom")}),
}


def _bare(model: str = "echo", **parameters: Any) -> service_pb2.ModelInferRequest:
    request = service_pb2.ModelInferRequest(model_name=model)
    if model == "echo":
        request.inputs.add(name="INPUT", datatype="BYTES", shape=[1, 1])
        request.raw_input_contents.append(b"\1\0\0\0x")
    for key, (choice, content) in parameters.items():
        setattr(request.parameters[key], choice, content)
    return request


def _typed(*contents: list[float]) -> service_pb2.ModelInferRequest:
    request = _bare("add_sub")
    for n, content in enumerate(contents):
        request.inputs.add(name=f"INPUT{n}", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend(content)
    return request


def _with_too_much(request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferRequest:
    request.raw_input_contents.append(b"more")
    return request


MESSAGES: Mapping[str, service_pb2.ModelInferRequest] = {
    "timeout-of-wrong-type": _bare(timeout=("string_param", "soon")),
    "negative-timeout": _bare(timeout=("int64_param", -1)),
    "priority-of-wrong-type": _bare(priority=("bool_param", True)),
    "sequence-id-of-wrong-type": _bare(sequence_id=("bool_param", True)),
    "sequence-start-of-wrong-type": _bare(sequence_id=("int64_param", 9), sequence_start=("int64_param", 1)),
    "sequence-of-a-stateless-model": _bare(sequence_id=("int64_param", 9), sequence_start=("bool_param", True)),
    "mark-of-wrong-type": _bare(triton_enable_empty_final_response=("string_param", "yes")),
    "mark": _bare(triton_enable_empty_final_response=("bool_param", True)),
    "typed-contents": _typed([1, 2, 3, 4], [8, 7, 6, 5]),
    "typed-contents-too-short": _typed([1, 2, 3, 4], [8]),
    "typed-and-raw": _with_too_much(_typed([1, 2, 3, 4], [8, 7, 6, 5])),
    "contents-too-many": _with_too_much(_bare()),
    "nothing-but-a-name": _bare("add_sub"),
}
"""What the stock clients would not make."""

Stream = tuple[list[dict[str, Any]], dict[str, Any]]


def _ask(model: str, inputs: list[InferInput], **more: Any) -> dict[str, Any]:
    return {"model_name": model, "inputs": inputs, **more}


GRPC_ERROR = {"headers": {"triton_grpc_error": "true"}}

STREAMS: Mapping[str, Stream] = {
    "empty": ([], {}),
    "one": ([_ask("echo", words(b"a"), request_id="1")], {}),
    "several": ([_ask("echo", words(b"%d" % n), request_id=str(n)) for n in range(5)], {}),
    "without-ids": ([_ask("echo", words(b"%d" % n)) for n in range(3)], {}),
    "gzip": ([_ask("echo", words(b"x" * 20_000))], {"compression_algorithm": "gzip"}),
    "headers": ([_ask("echo", words(b"x"))], {"headers": {"x-a": "1"}}),
    "decoupled": ([_ask("repeat", count_to(4), request_id="r")], {}),
    "decoupled-none": ([_ask("repeat", count_to(0), request_id="r")], {}),
    "decoupled-none-without-id": ([_ask("repeat", count_to(0))], {}),
    "decoupled-version": ([_ask("repeat", count_to(2), model_version="1", priority=2)], {}),
    "error-and-on": (
        [
            _ask("failing", words(b"first"), request_id="1"),
            _ask("failing", words(b"error:INVALID_ARG:bad"), request_id="2"),
            _ask("failing", words(b"error:UNAVAILABLE:later")),
            _ask("failing", words(b"last"), request_id="3"),
        ],
        {},
    ),
    "no-error-as-status": ([_ask("echo", words(b"x"), request_id="2")], GRPC_ERROR),
    "wrong-input": ([_ask("repeat", nap(0.0), request_id="w")], {}),
    "wrong-input-as-status": ([_ask("repeat", nap(0.0), request_id="w")], GRPC_ERROR),
    "unknown-version": ([_ask("echo", words(b"x"), model_version="9")], {}),
    "unknown-version-as-status": ([_ask("echo", words(b"x"), model_version="9")], GRPC_ERROR),
    "timeout": ([_ask("repeat", count_to(2, 30.0))], {"stream_timeout": 0.2}),
    "sequence": (
        [
            _ask("stateful", value(n), sequence_id=7_000_003, sequence_start=n == 0, sequence_end=n == 3)
            for n in range(4)
        ],
        {},
    ),
    "sequence-without-start": ([_ask("stateful", value(1), sequence_id=7_000_004, request_id="n")], {}),
}

UNKNOWN_STREAMS: Mapping[str, Stream] = {
    "unknown-model": ([_ask("nope", words(b"x"), request_id="u"), _ask("echo", words(b"x"), request_id="k")], {}),
    "unknown-model-as-status": ([_ask("nope", words(b"x"), request_id="u")], GRPC_ERROR),
    "no-model": ([_ask("", words(b"x"))], {}),
}


def as_model(answer: Any, model: str) -> Any:
    """The answer for a route, put into the words of an answer for its candidate; checks what is taken away."""
    if isinstance(answer, list):
        return [as_model(each, model) for each in answer]
    if not isinstance(answer, Message):
        return answer
    changed: Any = type(answer)()
    changed.CopyFrom(answer)
    match changed.DESCRIPTOR.name:
        case "ModelInferResponse":
            assert changed.model_name == route_of(model)
            assert changed.parameters[PARAMETER].string_param == model
            changed.model_name = model
            del changed.parameters[PARAMETER]
        case "ModelMetadataResponse":
            assert changed.name == route_of(model)
            changed.name = model
        case "ModelConfigResponse":
            assert changed.config.name == route_of(model)
            changed.config.name = model
        case "ModelStatisticsResponse":
            for entry in changed.model_stats:
                assert entry.name == route_of(model)
                entry.name = model
        case other:
            raise AssertionError(f"no route answers with {other}")
    return changed
