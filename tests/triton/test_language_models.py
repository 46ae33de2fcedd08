"""The demo's language models, inside the real Triton."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable
from typing import Any

import numpy as np
import pytest
import pytest_asyncio
import tritonclient.grpc.aio as grpcclient
from tritonclient.utils import InferenceServerException

from proxy.demo.triton_server import TritonServer, model_repository

SIZES = ["small", "medium", "large"]
PROMPT = b"The for statement is used to"


@pytest_asyncio.fixture
async def client(llm_triton: TritonServer) -> AsyncIterator[grpcclient.InferenceServerClient]:
    async with grpcclient.InferenceServerClient(llm_triton.grpc_url) as connected:
        yield connected


def ask(prompt: bytes, length: int, temperature: float = 0.0, seed: int = 0) -> list[grpcclient.InferInput]:
    values: list[tuple[str, str, Any]] = [
        ("PROMPT", "BYTES", np.array([[prompt]], dtype=object)),
        ("MAX_TOKENS", "INT32", np.array([[length]], dtype=np.int32)),
        ("TEMPERATURE", "FP32", np.array([[temperature]], dtype=np.float32)),
        ("SEED", "INT32", np.array([[seed]], dtype=np.int32)),
    ]
    inputs = []
    for name, data_type, value in values:
        inputs.append(grpcclient.InferInput(name, [1, 1], data_type))
        inputs[-1].set_data_from_numpy(value)
    return inputs


async def complete(client: grpcclient.InferenceServerClient, model: str, *asked: Any) -> bytes:
    result = await client.infer(model, ask(*asked))
    completion: bytes = result.as_numpy("COMPLETION")[0, 0]
    assert result.as_numpy("TOKENS").tolist() == [[len(completion)]]
    return completion


async def stream(client: grpcclient.InferenceServerClient, model: str, *asked: Any) -> AsyncIterator[bytes]:
    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {"model_name": model, "inputs": ask(*asked)}

    async for result, error in client.stream_infer(requests()):
        if error is not None:
            raise error
        yield result.as_numpy("TOKEN")[0, 0]


async def read(parts: AsyncIterator[bytes]) -> list[bytes]:
    return [part async for part in parts]


async def seconds(work: Awaitable[object]) -> float:
    started_at = time.monotonic()
    await work
    return time.monotonic() - started_at


@pytest.mark.parametrize("size", SIZES)
async def test_streamed_bytes_are_the_completion(client: grpcclient.InferenceServerClient, size: str) -> None:
    whole = await complete(client, f"llm-{size}", PROMPT, 24)
    parts = await read(stream(client, f"llm-stream-{size}", PROMPT, 24))
    assert len(whole) == 24
    assert [len(part) for part in parts] == [1] * 24
    assert b"".join(parts) == whole


async def test_the_seed_decides_what_is_drawn(client: grpcclient.InferenceServerClient) -> None:
    first = await complete(client, "llm-medium", PROMPT, 32, 1.0, 1)
    again = await complete(client, "llm-medium", PROMPT, 32, 1.0, 1)
    other = await complete(client, "llm-medium", PROMPT, 32, 1.0, 2)
    assert first == again
    assert first != other


async def test_only_the_prompt_is_required(client: grpcclient.InferenceServerClient) -> None:
    result = await client.infer("llm-small", ask(PROMPT, 1)[:1])
    assert len(result.as_numpy("COMPLETION")[0, 0]) == 32


async def test_concurrent_requests_run_as_one_batch(client: grpcclient.InferenceServerClient) -> None:
    async def executions() -> tuple[int, int]:
        (model,) = (await client.get_inference_statistics("llm-large", as_json=True))["model_stats"]
        return int(model["inference_count"]), int(model.get("execution_count", 0))

    before = await executions()
    # While the model is busy with this one, the others gather in Triton's queue.
    busy = asyncio.get_running_loop().create_task(complete(client, "llm-large", PROMPT, 192))
    lengths = [16 + 2 * index for index in range(8)]
    answers = await asyncio.gather(*(complete(client, "llm-large", PROMPT, length) for length in lengths))
    await busy
    after = await executions()
    assert [len(answer) for answer in answers] == lengths
    assert after[0] - before[0] == 9
    assert after[1] - before[1] <= 4
    assert all(answers[-1].startswith(answer) for answer in answers)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ((PROMPT, 0), "length is 0 and must be between 1 and 192"),
        ((PROMPT, 193), "length is 193 and must be between 1 and 192"),
        ((PROMPT, 8, -0.5), "temperature is -0.5 and must be between 0 and 10"),
    ],
)
async def test_what_cannot_be_generated_is_invalid(
    client: grpcclient.InferenceServerClient, asked: tuple[Any, ...], text: str
) -> None:
    with pytest.raises(InferenceServerException, match=text) as caught:
        await complete(client, "llm-small", *asked)
    assert caught.value.status() == "StatusCode.INVALID_ARGUMENT"
    with pytest.raises(InferenceServerException, match=text):
        await read(stream(client, "llm-stream-small", *asked))


async def test_a_cancelled_stream_frees_the_model(client: grpcclient.InferenceServerClient) -> None:
    """With eight streams the batch is full, so that a ninth would wait until one of them ends."""

    async def abandon() -> None:
        async def requests() -> AsyncIterator[dict[str, Any]]:
            yield {"model_name": "llm-stream-large", "inputs": ask(PROMPT, 192)}

        responses = client.stream_infer(requests())
        await anext(responses)
        responses.cancel()

    streams = [read(stream(client, "llm-stream-large", PROMPT, 192)) for _ in range(8)]
    whole_s = await seconds(asyncio.gather(*streams))
    await asyncio.gather(*(abandon() for _ in range(8)))
    next_s = await seconds(read(stream(client, "llm-stream-large", PROMPT, 1)))
    assert next_s < whole_s / 2


async def test_a_cancelled_completion_frees_the_model(client: grpcclient.InferenceServerClient) -> None:
    whole_s = await seconds(complete(client, "llm-large", PROMPT, 192))
    abandoned = asyncio.get_running_loop().create_task(complete(client, "llm-large", PROMPT, 192))
    await asyncio.wait([abandoned], timeout=whole_s / 4)
    abandoned.cancel()
    next_s = await seconds(complete(client, "llm-large", PROMPT, 1))
    assert next_s < whole_s / 2
    with pytest.raises(asyncio.CancelledError):
        await abandoned


async def test_quality_grows_with_size() -> None:
    described = [json.loads((model_repository() / f"llm-{size}" / "metadata.json").read_text()) for size in SIZES]
    assert [each["model"] for each in described] == ["llm-small", "llm-medium", "llm-large"]
    small, medium, large = (each["quality"] for each in described)
    assert 0.4 < small < medium < large < 0.8
