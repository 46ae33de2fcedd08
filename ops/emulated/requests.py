"""Requests to emulated models, as bytes."""

from __future__ import annotations

import struct

from tritonclient.grpc import service_pb2 as pb

TOKEN_BYTES = 4
"""Of an INT32."""


def infer_request(
    model: str,
    *,
    size_bytes: int,
    answer_bytes: int = 0,
    prompt_tokens: int = 0,
    answer_tokens: int | None = None,
    request_id: str = "",
) -> bytes:
    """A `ModelInferRequest` for a model or a route: of whole answers, or with `answer_tokens` of a token stream.

    `size_bytes` is the length of its inputs; a prompt (`prompt_tokens`, for token streams) that is longer makes it
    longer. `answer_bytes` are those of the answer, in a stream those of each of its `answer_tokens` messages.
    """
    request = pb.ModelInferRequest(model_name=model, id=request_id)
    if answer_tokens is None:
        _add(request, "PAYLOAD", "UINT8", [1, size_bytes], bytes(size_bytes))
        _add(request, "ANSWER_BYTES", "INT32", [1, 1], struct.pack("<i", answer_bytes))
        return bytes(request.SerializeToString())
    payload_bytes = max(0, size_bytes - TOKEN_BYTES * prompt_tokens)
    _add(request, "PROMPT", "INT32", [prompt_tokens], bytes(TOKEN_BYTES * prompt_tokens))
    _add(request, "MAX_TOKENS", "INT32", [1], struct.pack("<i", answer_tokens))
    _add(request, "PAYLOAD", "UINT8", [payload_bytes], bytes(payload_bytes))
    _add(request, "ANSWER_BYTES", "INT32", [1], struct.pack("<i", answer_bytes))
    return bytes(request.SerializeToString())


def _add(request: pb.ModelInferRequest, name: str, datatype: str, shape: list[int], content: bytes) -> None:
    request.inputs.add(name=name, datatype=datatype, shape=shape)
    request.raw_input_contents.append(content)
