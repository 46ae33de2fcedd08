"""The models in `models/` do what the tests that use them count on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as grpcclient
from tritonclient.utils import InferenceServerException

from proxy.demo.triton_server import TritonServer


@pytest_asyncio.fixture
async def client(triton: TritonServer) -> AsyncIterator[grpcclient.InferenceServerClient]:
    async with grpcclient.InferenceServerClient(triton.grpc_url) as connected:
        yield connected


def tensor(name: str, values: np.ndarray[Any, Any], data_type: str) -> grpcclient.InferInput:
    made = grpcclient.InferInput(name, list(values.shape), data_type)
    made.set_data_from_numpy(values)
    return made


def strings(*values: bytes) -> grpcclient.InferInput:
    return tensor("INPUT", np.array([values], dtype=object), "BYTES")


def repeat_inputs(count: int, delay_s: float = 0.0) -> list[grpcclient.InferInput]:
    return [
        tensor("COUNT", np.array([count], np.int32), "INT32"),
        tensor("DELAY_S", np.array([delay_s], np.float32), "FP32"),
    ]


async def one_request(model: str, inputs: list[grpcclient.InferInput]) -> AsyncIterator[dict[str, Any]]:
    yield {"model_name": model, "inputs": inputs}


async def sleep(client: grpcclient.InferenceServerClient, seconds: float) -> float:
    result = await client.infer("sleepy", [tensor("SLEEP_S", np.array([[seconds]], np.float32), "FP32")])
    return float(result.as_numpy("SLEPT_S")[0, 0])


@pytest.mark.parametrize("model", ["echo", "failing"])
async def test_echo_answers_byte_strings(client: grpcclient.InferenceServerClient, model: str) -> None:
    result = await client.infer(model, [strings(b"", b"\x00\xff", "grün".encode())])
    assert result.as_numpy("OUTPUT").tolist() == [[b"", b"\x00\xff", "grün".encode()]]


async def test_echo_raw_answers_16_mib(client: grpcclient.InferenceServerClient) -> None:
    sent = np.arange(16 << 20, dtype=np.uint32).astype(np.uint8)
    result = await client.infer("echo_raw", [tensor("INPUT", sent, "UINT8")])
    assert np.array_equal(result.as_numpy("OUTPUT"), sent)


async def test_add_sub(client: grpcclient.InferenceServerClient) -> None:
    first = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)
    second = np.array([[4, 3, 2, 1], [1, 1, 1, 1]], np.float32)
    result = await client.infer("add_sub", [tensor("INPUT0", first, "FP32"), tensor("INPUT1", second, "FP32")])
    assert result.as_numpy("OUTPUT0").tolist() == [[5, 5, 5, 5], [6, 7, 8, 9]]
    assert result.as_numpy("OUTPUT1").tolist() == [[-3, -1, 1, 3], [4, 5, 6, 7]]


@pytest.mark.parametrize("model", ["repeat", "repeat_twin"])
@pytest.mark.parametrize(("count", "finals"), [(0, []), (1, [True]), (3, [False, False, True])])
async def test_repeat_streams_and_marks_the_last(
    client: grpcclient.InferenceServerClient, model: str, count: int, finals: list[bool]
) -> None:
    indices: list[int] = []
    seen: list[bool] = []
    async for result, error in client.stream_infer(one_request(model, repeat_inputs(count))):
        assert error is None
        response = result.get_response()
        seen.append(response.parameters["triton_final_response"].bool_param)
        indices += [] if result.as_numpy("INDEX") is None else result.as_numpy("INDEX").tolist()
        if seen[-1]:
            break
    assert indices == list(range(count))
    assert seen == finals


async def test_streams_run_side_by_side(client: grpcclient.InferenceServerClient) -> None:
    async def count(delay_s: float) -> int:
        seen = 0
        async for _, error in client.stream_infer(one_request("repeat", repeat_inputs(10, delay_s))):
            assert error is None
            seen += 1
            if seen == 10:
                break
        return seen

    async with asyncio.timeout(0.9):  # one after the other they would take a second
        assert await asyncio.gather(*(count(0.05) for _ in range(2))) == [10, 10]


async def test_a_cancelled_sleep_frees_the_model(client: grpcclient.InferenceServerClient) -> None:
    sleeping = asyncio.get_running_loop().create_task(sleep(client, 30.0))
    await asyncio.wait([sleeping], timeout=0.2)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping
    async with asyncio.timeout(2.0):
        assert await sleep(client, 0.01) >= 0.01


@pytest.mark.parametrize("model", ["stateful", "stateful_twin"])
async def test_sequences_keep_their_own_sum(client: grpcclient.InferenceServerClient, model: str) -> None:
    async def add(sequence: int, value: int, *, start: bool = False, end: bool = False) -> int:
        inputs = [tensor("VALUE", np.array([[value]], np.int32), "INT32")]
        flags = {"sequence_start": start, "sequence_end": end}
        result = await client.infer(model, inputs, sequence_id=sequence, **flags)
        return int(result.as_numpy("SUM")[0, 0])

    assert await add(7, 1, start=True) == 1
    assert await add(7, 10) == 11
    assert await add(7, 100, end=True) == 111
    assert await add(8, 5, start=True) == 5
    assert await add(8, 1, end=True) == 6


@pytest.mark.parametrize(
    ("wish", "status", "text"),
    [
        (b"error:INTERNAL:no luck", "StatusCode.INTERNAL", "no luck"),
        (b"error:NOT_FOUND:gone", "StatusCode.NOT_FOUND", "gone"),
        (b"error:INVALID_ARG:odd", "StatusCode.INVALID_ARGUMENT", "odd"),
        (b"error:UNAVAILABLE:later", "StatusCode.UNAVAILABLE", "later"),
        (b"error:UNSUPPORTED:never", "StatusCode.UNIMPLEMENTED", "never"),
        (b"raise:thrown", "StatusCode.INTERNAL", "thrown"),
    ],
)
async def test_failing_fails_as_asked(
    client: grpcclient.InferenceServerClient, wish: bytes, status: str, text: str
) -> None:
    with pytest.raises(InferenceServerException) as caught:
        await client.infer("failing", [strings(wish)])
    assert caught.value.status() == status
    assert text in caught.value.message()
