"""Tensor bytes that are not what shape and type say (fault 6): they pass, and Triton's refusal comes back as it is."""

from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest
import pytest_asyncio
from tritonclient.grpc import service_pb2 as pb

from proxy.daemon.triton import MODEL_INFER
from proxy.demo.triton_server import TritonServer
from proxy.testing.stack import HeadwayStack

ROUTES = {
    name: {"policy": f"static:{model}", "candidates": [{"triton": "a", "model": model, "quality": 0.9}]}
    for name, model in (("sums", "add_sub"), ("words", "echo"))
}


@pytest_asyncio.fixture
async def stack(triton: TritonServer) -> AsyncIterator[HeadwayStack]:
    async with HeadwayStack(triton.grpc_url, daemon={"routes": ROUTES}) as running:
        yield running


def numbers(model: str, first: bytes) -> bytes:
    """A request whose first input has 16 bytes by its shape."""
    request = pb.ModelInferRequest(model_name=model)
    for name, raw in (("INPUT0", first), ("INPUT1", bytes(16))):
        request.inputs.add(name=name, datatype="FP32", shape=[1, 4])
        request.raw_input_contents.append(raw)
    message: bytes = request.SerializeToString()
    return message


def strings(model: str, raw: bytes) -> bytes:
    """A request with one byte string by its shape."""
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[raw])
    request.inputs.add(name="INPUT", datatype="BYTES", shape=[1, 1])
    message: bytes = request.SerializeToString()
    return message


async def refusal(address: str, message: bytes) -> tuple[grpc.StatusCode, str | None]:
    async with grpc.aio.insecure_channel(address) as channel:
        call = channel.unary_unary(MODEL_INFER, None, None)(message, timeout=10)
        return await call.code(), await call.details()


@pytest.mark.parametrize("size_bytes", [0, 1, 15, 17, 32])
async def test_as_many_bytes_as_the_shape_has_not(triton: TritonServer, stack: HeadwayStack, size_bytes: int) -> None:
    direct = await refusal(triton.grpc_url, numbers("add_sub", bytes(size_bytes)))
    assert direct[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert await refusal(stack.address, numbers("add_sub", bytes(size_bytes))) == direct
    assert await refusal(stack.address, numbers("sums", bytes(size_bytes))) == direct


@pytest.mark.parametrize(
    "raw",
    [b"", b"\x01", b"\x05\0\0\0abc", b"\xff\xff\xff\xffabc", b"\x01\0\0\0a\x01\0\0\0b"],
    ids=["none", "cut_length", "cut_string", "4_gib", "two"],
)
async def test_byte_strings_with_a_wrong_length_inside(triton: TritonServer, stack: HeadwayStack, raw: bytes) -> None:
    direct = await refusal(triton.grpc_url, strings("echo", raw))
    assert direct[0] is grpc.StatusCode.INVALID_ARGUMENT
    assert await refusal(stack.address, strings("echo", raw)) == direct
    assert await refusal(stack.address, strings("words", raw)) == direct
