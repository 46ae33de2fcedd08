"""Triton's messages: what the daemon reads and writes in them. The only module that imports their generated code.

Requests and answers are not taken apart and put together again. What must change is appended: protobuf has the last
value of a field win, merges a sub-message that occurs twice and adds to maps
(https://protobuf.dev/programming-guides/encoding/#last-one-wins), so a message with `model_name` appended is the same
message with another name, at the cost of one copy.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError, Message
from tritonclient.grpc import service_pb2 as pb

from proxy.errors import Code, HeadwayError
from proxy.tunnel.exchange import CallStatus

SERVICE = "/inference.GRPCInferenceService/"
MODEL_INFER = f"{SERVICE}ModelInfer"
MODEL_STREAM_INFER = f"{SERVICE}ModelStreamInfer"
MODEL_READY = f"{SERVICE}ModelReady"
MODEL_METADATA = f"{SERVICE}ModelMetadata"
MODEL_CONFIG = f"{SERVICE}ModelConfig"
MODEL_STATISTICS = f"{SERVICE}ModelStatistics"
REPOSITORY_INDEX = f"{SERVICE}RepositoryIndex"
SHARED_MEMORY = tuple(
    f"{SERVICE}{kind}SharedMemory{verb}" for kind in ("System", "Cuda") for verb in ("Status", "Register", "Unregister")
)
HEALTH_CHECK = "/grpc.health.v1.Health/Check"

GRPC_ERROR_KEY = "triton_grpc_error"
"""Request metadata: with `true`, an error ends a stream with a status instead of going in `error_message`."""

HEALTH_SERVING = b"\x08\x01"
HEALTH_NOT_SERVING = b"\x08\x02"
"""`grpc.health.v1.HealthCheckResponse` with `status`; written out, since Triton's clients come without its generated
code.
"""

MODEL_PARAMETER = "headway_model"
"""Response parameter: the model that answered."""

_FINAL = "triton_final_response"
_EMPTY_FINAL = "triton_enable_empty_final_response"
_UNKNOWN_MODEL = "Request for unknown model: "
_UNKNOWN_VERSION = re.compile(r" version -?\d+ is not found$")
"""A version that the model does not have: the caller's mistake, which says nothing of the model. A version that it has
but that is not loaded is UNAVAILABLE, "not at ready state".
"""
_READY = "READY"
_IDENTITY = frozenset({"name", "version", "batch_size", "type", "id"})
"""Fields of statistics that say what is counted, not how much."""
_ONE_BYTE_VARINT = 0x7F
_TOKEN_TYPES = frozenset({"INT32", "INT64", "UINT32", "UINT64"})
_LONGEST_PROMPT = 1 << 31
"""Shapes that are larger are nonsense, which is Triton's to refuse."""
_LENGTH_BYTES = 4
"""Before each element of a BYTES tensor in `raw_input_contents`."""
_NAME_TAG = 0x0A
"""Field 1, length-delimited: `model_name` of inference messages, `name` of requests about a model."""


class MalformedMessageError(HeadwayError):
    """A message is not of the type its method takes. The backend has the words for it: pass the message on."""


@dataclass(frozen=True, slots=True)
class InferFacts:
    """What the daemon acts on in a `ModelInferRequest`."""

    id: str
    sequence: int | str | None
    """The sequence that the request belongs to; None for most. Triton takes 0 and "" for none."""
    sequence_start: bool
    sequence_end: bool
    timeout_s: float | None
    """From the request parameter `timeout`; None where it is absent, not above zero, or of a type that Triton
    refuses.
    """
    empty_final: bool | None
    """Whether the client asks for the empty answer that ends a decoupled one; None: in a type that Triton refuses."""
    prompt: int | None = None
    """Length of the prompt, see `prompt_length`; None where the inputs have none, or where nobody asked for it."""


@dataclass(frozen=True, slots=True)
class StreamAnswer:
    """What the daemon acts on in a `ModelStreamInferResponse`."""

    id: str
    model: str
    """Empty where Triton did not come as far as a model."""
    failed: bool
    """An error message stands in place of an answer."""
    final: bool
    """No more answers to the same request follow."""
    empty: bool
    """There is nothing in it but the mark of the end."""


def model_name(message: bytes) -> bytes:
    """The name in an inference request, or in a request about a model; empty where there is none.

    Serialisers write fields in their order, so the name comes first; where it does not, the message is parsed.
    """
    if len(message) > 1 and message[0] == _NAME_TAG and (length := message[1]) <= _ONE_BYTE_VARINT:
        return message[2 : 2 + length]
    try:
        return str(pb.ModelInferRequest.FromString(message).model_name).encode()
    except DecodeError:
        return b""


def is_unknown_model(status: CallStatus) -> bool:
    """Whether Triton refused a request because it does not have the model loaded: then it surely did not run."""
    return (
        status.code == Code.NOT_FOUND
        and status.message.startswith(_UNKNOWN_MODEL)
        and not _UNKNOWN_VERSION.search(status.message)
    )


def infer_facts(message: bytes, *, prompt: bool = False) -> InferFacts:
    """Read an inference request, with the length of its `prompt` if that is asked for. Raises MalformedMessageError."""
    request = _parse(pb.ModelInferRequest, message)
    values = {key: _value(parameter) for key, parameter in request.parameters.items()}
    sequence = values.get("sequence_id")
    timeout_us = values.get("timeout") if _is(request, "timeout", "int64_param") else None
    empty_final = values.get(_EMPTY_FINAL, False)
    return InferFacts(
        id=request.id,
        sequence=sequence if sequence and isinstance(sequence, (int, str)) and sequence is not True else None,
        sequence_start=values.get("sequence_start") is True,
        sequence_end=values.get("sequence_end") is True,
        timeout_s=timeout_us / 1e6 if isinstance(timeout_us, int) and timeout_us > 0 else None,
        empty_final=empty_final if isinstance(empty_final, bool) else None,
        prompt=prompt_length(request) if prompt else None,
    )


def prompt_length(request: Any) -> int | None:
    """How long the prompt in a `ModelInferRequest` is, in the unit in which `headway profile` measures prompts.

    The prompt is the longest text, in bytes; without a text, the longest row of whole numbers, which are tokens. None
    where there is neither, or where they lie in shared memory.
    """
    text = tokens = None
    raw = request.raw_input_contents
    for index, tensor in enumerate(request.inputs):
        if tensor.datatype == "BYTES":
            length = len(raw[index]) if index < len(raw) else sum(map(len, tensor.contents.bytes_contents))
            if length:
                text = max(text or 0, length - _LENGTH_BYTES if index < len(raw) else length)
        elif tensor.datatype in _TOKEN_TYPES:
            tokens = max(tokens or 0, min(math.prod(tensor.shape), _LONGEST_PROMPT))
    return tokens if text is None else text


def stream_answer(message: bytes) -> StreamAnswer:
    """Read one answer of a stream. Raises MalformedMessageError."""
    response = _parse(pb.ModelStreamInferResponse, message)
    infer = response.infer_response
    failed = bool(response.error_message)
    # Triton marks every answer, and so an answer without the mark comes from a server that sends one for each request.
    final = failed or _FINAL not in infer.parameters or infer.parameters[_FINAL].bool_param
    return StreamAnswer(infer.id, infer.model_name, failed, final, empty=final and not failed and not infer.outputs)


def request_suffix(model: str, *, mark_end: bool = False) -> bytes:
    """What makes an inference request one for `model`; with `mark_end`, the last answer to it is marked as such."""
    request = pb.ModelInferRequest(model_name=model)
    if mark_end:
        request.parameters[_EMPTY_FINAL].bool_param = True
    return _bytes(request)


def answer_suffix(asked: str, model: str, *, stream: bool = False) -> bytes:
    """What makes an answer of `model` one to a request for `asked`, with the parameter that says who answered."""
    response = pb.ModelInferResponse(model_name=asked)
    response.parameters[MODEL_PARAMETER].string_param = model
    return _bytes(pb.ModelStreamInferResponse(infer_response=response) if stream else response)


def stream_error(request_id: str, text: str) -> bytes:
    """An answer that tells of an error in the way Triton does."""
    return _bytes(pb.ModelStreamInferResponse(error_message=text, infer_response=pb.ModelInferResponse(id=request_id)))


def name_suffix(name: str) -> bytes:
    """What makes a request about a model, or a model's metadata, one of `name`."""
    return _bytes(pb.ModelReadyRequest(name=name))


def config_suffix(name: str) -> bytes:
    """What makes a model's configuration one of `name`."""
    response = pb.ModelConfigResponse()
    response.config.name = name
    return _bytes(response)


def ready_answer(*, ready: bool) -> bytes:
    """A `ModelReadyResponse`."""
    return _bytes(pb.ModelReadyResponse(ready=ready))


def is_ready(message: bytes) -> bool:
    """Whether a `ModelReadyResponse` says so."""
    try:
        return bool(pb.ModelReadyResponse.FromString(message).ready)
    except DecodeError:
        return False


def combined_statistics(answers: Iterable[bytes], name: str) -> bytes:
    """The statistics of several models as those of one: counts and times added, `last_inference` the latest.

    One entry for each model version, since clients look entries up by name and version.
    """
    combined = pb.ModelStatisticsResponse()
    entries: dict[str, Any] = {}
    for answer in answers:
        for model in _parse(pb.ModelStatisticsResponse, answer).model_stats:
            if model.version not in entries:
                entries[model.version] = combined.model_stats.add(name=name, version=model.version)
            _add(entries[model.version], model)
    return _bytes(combined)


@dataclass(frozen=True, slots=True)
class IndexedRoute:
    """A route as the repository index needs it."""

    name: str
    candidates: tuple[tuple[str, str], ...]
    """Triton's name in the configuration, and the model's there."""


def wants_ready_only(message: bytes) -> bool:
    """Whether a `RepositoryIndexRequest` asks for the models that are ready."""
    return bool(_parse(pb.RepositoryIndexRequest, message).ready)


def merged_index(answers: Mapping[str, bytes], routes: Sequence[IndexedRoute], *, ready_only: bool) -> bytes:
    """One `RepositoryIndexResponse` from those of several Tritons, by their names, and the routes.

    A model version that several have is listed once, ready if it is ready anywhere. A route is ready if a candidate is,
    and hides models of its own name, which cannot be asked for any more.
    """
    parsed = {triton: _parse(pb.RepositoryIndexResponse, answer).models for triton, answer in answers.items()}
    hidden = {route.name for route in routes}
    merged = pb.RepositoryIndexResponse(models=_union(list(parsed.values()), hidden))
    for route in routes:
        ready = next(
            (
                model.version
                for triton, name in route.candidates
                for model in parsed.get(triton, ())
                if model.name == name and model.state == _READY
            ),
            None,
        )
        if ready is not None:
            merged.models.add(name=route.name, version=ready, state=_READY)
        elif not ready_only:
            merged.models.add(name=route.name, state="UNAVAILABLE", reason="no candidate is ready")
    return _bytes(merged)


def _union(indices: Sequence[Sequence[Any]], hidden: Container[str]) -> Iterable[Any]:
    models: dict[tuple[str, str], Any] = {}
    listed = [model for index in indices for model in index]
    loaded = {model.name for model in listed if model.version}
    for model in listed:
        # Triton lists a model that it has never loaded without a version, and without a state.
        if model.name in hidden or (model.name in loaded and not model.version):
            continue
        known = models.get((model.name, model.version))
        if known is None or known.state != _READY:
            models[model.name, model.version] = model
    return models.values()


def _add(total: Any, part: Any) -> None:
    for field, value in part.ListFields():
        if field.name in _IDENTITY:
            continue
        if field.name == "last_inference":
            total.last_inference = max(total.last_inference, value)
        elif field.name == "batch_stats":
            _add_keyed(total.batch_stats, value, lambda entry: entry.batch_size)
        elif field.name == "memory_usage":
            _add_keyed(total.memory_usage, value, lambda entry: (entry.type, entry.id))
        elif field.name == "response_stats":
            for key, entry in value.items():
                _add(total.response_stats[key], entry)
        elif isinstance(value, Message):
            whole = getattr(total, field.name)
            whole.SetInParent()  # Triton's are there where nothing is counted yet, too
            _add(whole, value)
        elif isinstance(value, int):
            setattr(total, field.name, getattr(total, field.name) + value)


def _add_keyed(totals: Any, parts: Any, key: Callable[[Any], object]) -> None:
    known = {key(entry): entry for entry in totals}
    for part in parts:
        if key(part) in known:
            _add(known[key(part)], part)
        else:
            totals.add().CopyFrom(part)


def _is(request: Any, key: str, choice: str) -> bool:
    return key in request.parameters and request.parameters[key].WhichOneof("parameter_choice") == choice


def _value(parameter: Any) -> object:
    choice = parameter.WhichOneof("parameter_choice")
    return None if choice is None else getattr(parameter, choice)


def _bytes(message: Any) -> bytes:
    return bytes(message.SerializeToString())


def _parse(kind: Any, message: bytes) -> Any:
    try:
        return kind.FromString(message)
    except DecodeError as error:
        raise MalformedMessageError(f"not a {kind.DESCRIPTOR.name}: {error}") from error
