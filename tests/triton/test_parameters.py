"""Request parameters `priority` and `timeout` through headway to a real Triton (fault 2), on a route and beside it.

What is wrong about them is Triton's to say; what headway reads of them, a `timeout` above zero, brings the class's
deadline forward and never back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb

from proxy.daemon.triton import MODEL_INFER
from proxy.demo.triton_server import TritonServer
from proxy.testing.stack import HeadwayStack

CLASSES = {"lenient": {"deadline": "2s"}, "strict": {"deadline": "2s", "on_miss": "fail"}}
ROUTES = {
    "words": {"policy": "static:echo", "candidates": [{"triton": "a", "model": "echo", "quality": 0.9}]},
    "naps": {"policy": "static:sleepy", "candidates": [{"triton": "a", "model": "sleepy", "quality": 0.9}]},
}


@pytest_asyncio.fixture
async def stack(triton: TritonServer) -> AsyncIterator[HeadwayStack]:
    async with HeadwayStack(
        triton.grpc_url, daemon={"routes": ROUTES}, top={"classes": CLASSES, "default_class": "lenient"}
    ) as running:
        yield running


def request(model: str, **parameters: tuple[str, Any]) -> bytes:
    """A request with parameters of the given kinds, for `echo` or `sleepy`."""
    made = pb.ModelInferRequest(model_name=model)
    if model in ("naps", "sleepy"):
        made.inputs.add(name="SLEEP_S", datatype="FP32", shape=[1, 1]).contents.fp32_contents.append(0.4)
    else:
        made.inputs.add(name="INPUT", datatype="BYTES", shape=[1, 1]).contents.bytes_contents.append(b"x")
    for key, (kind, value) in parameters.items():
        setattr(made.parameters[key], kind, value)
    data: bytes = made.SerializeToString()
    return data


async def infer(address: str, message: bytes, *metadata: tuple[str, str]) -> tuple[grpc.StatusCode, str, list[bytes]]:
    """Status, text and outputs."""
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(MODEL_INFER, None, pb.ModelInferResponse.FromString)(message, metadata=metadata)
        try:
            outputs = list((await call).raw_output_contents)
        except grpc.aio.AioRpcError as error:
            return error.code(), error.details() or "", []
        return grpc.StatusCode.OK, "", outputs


@pytest.mark.parametrize(
    "parameter",
    [
        {"priority": ("int64_param", 1)},
        {"priority": ("int64_param", 0)},
        {"priority": ("int64_param", -1)},
        {"priority": ("int64_param", 10**9)},
        {"priority": ("uint64_param", 2**64 - 1)},
        {"priority": ("string_param", "high")},
        {"priority": ("double_param", 1.0)},
        {"priority": ("bool_param", True)},
        {"timeout": ("int64_param", 0)},
        {"timeout": ("int64_param", -1)},
        {"timeout": ("int64_param", 10**12)},
        {"timeout": ("int64_param", 2**63 - 1)},
        {"timeout": ("uint64_param", 1_000_000)},
        {"timeout": ("string_param", "soon")},
        {"timeout": ("double_param", 0.5)},
        {"timeout": ("bool_param", True)},
    ],
    ids=str,
)
async def test_parameters_get_triton_s_answer(
    triton: TritonServer, stack: HeadwayStack, parameter: dict[str, tuple[str, Any]]
) -> None:
    direct = await infer(triton.grpc_url, request("echo", **parameter))
    assert await infer(stack.address, request("echo", **parameter)) == direct
    assert await infer(stack.address, request("words", **parameter)) == direct


async def test_wrong_types_are_invalid_arguments(stack: HeadwayStack) -> None:
    for key, kind, value in (
        ("priority", "string_param", "high"),
        ("timeout", "string_param", "soon"),
        ("timeout", "bool_param", True),
    ):
        code, text, _ = await infer(stack.address, request("words", **{key: (kind, value)}))
        assert code is grpc.StatusCode.INVALID_ARGUMENT
        assert key in text


@pytest.mark.parametrize(
    ("timeout_us", "asked_ms", "code"),
    [
        (100_000, None, grpc.StatusCode.DEADLINE_EXCEEDED),
        (0, None, grpc.StatusCode.OK),
        (10**9, None, grpc.StatusCode.OK),
        (10**9, "100", grpc.StatusCode.DEADLINE_EXCEEDED),
    ],
    ids=["shorter", "none", "longer", "longer_than_asked"],
)
async def test_of_timeout_and_deadline_the_shorter_counts(
    stack: HeadwayStack, timeout_us: int, asked_ms: str | None, code: grpc.StatusCode
) -> None:
    """A nap of 0.4 s in a class of 2 s that fails what is late."""
    metadata = [("x-traffic-class", "strict")] + ([("x-deadline-ms", asked_ms)] if asked_ms else [])
    answer = await infer(stack.address, request("naps", timeout=("int64_param", timeout_us)), *metadata)
    assert answer[0] is code
