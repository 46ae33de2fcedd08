"""The demo's clients: stock `tritonclient`, which knows nothing of headway but the address and two metadata keys."""

from __future__ import annotations

import asyncio
import codecs
import queue
from collections.abc import Iterator
from typing import Any

import numpy as np
import tritonclient.grpc as triton
import tritonclient.grpc.aio as triton_aio
from tritonclient.utils import InferenceServerException

from proxy.demo.configuration import ROUTE, STREAM_ROUTE
from proxy.demo.load import Answer, Arrival, Ask
from proxy.demo.processes import DemoError

CLASS_KEY = "x-traffic-class"
TIMEOUT_S = 20.0
"""No answer takes that long; a client that hangs would keep the demo from ending."""
NO_HTTP_PROXY = [("grpc.enable_http_proxy", 0)]
"""The proxy is on this machine, whatever `http_proxy` says."""


def completion_inputs(prompt: str, tokens: int, *, temperature: float = 0.0, seed: int = 0) -> list[Any]:
    """The inputs of the demo's models: continue `prompt` by `tokens` bytes."""
    values = (
        ("PROMPT", "BYTES", np.array([[prompt.encode()]], dtype=np.object_)),
        ("MAX_TOKENS", "INT32", np.array([[tokens]], dtype=np.int32)),
        ("TEMPERATURE", "FP32", np.array([[temperature]], dtype=np.float32)),
        ("SEED", "INT32", np.array([[seed]], dtype=np.int32)),
    )
    inputs = []
    for name, kind, value in values:
        tensor = triton.InferInput(name, [1, 1], kind)
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def answering_model(result: Any) -> str:
    """The model that answered: the daemon puts it into a parameter of the response, as clients see no trailers."""
    response = result.get_response()
    chosen = response.parameters["headway_model"].string_param if "headway_model" in response.parameters else ""
    return chosen or str(response.model_name)


def open_client(url: str) -> Any:
    """A `tritonclient.grpc.aio` client."""
    return triton_aio.InferenceServerClient(url, channel_args=NO_HTTP_PROXY)


def ask_with(client: Any) -> Ask:
    """Requests of the load, by `client`."""

    async def ask(arrival: Arrival) -> Answer:
        try:
            result = await client.infer(
                ROUTE,
                completion_inputs(arrival.prompt, arrival.load.tokens),
                headers={CLASS_KEY: arrival.load.name},
                client_timeout=TIMEOUT_S,
            )
        except InferenceServerException as error:
            return Answer(error=str(error))
        return Answer(model=answering_model(result))

    return ask


async def until_ready(url: str, *, timeout_s: float) -> None:
    """Return when Triton says, through `url`, that it is ready. Raises `DemoError` after `timeout_s`."""
    said = "nothing"
    try:
        async with asyncio.timeout(timeout_s):
            while True:
                # A new client each time: the old one's channel would wait out its back-off first.
                async with open_client(url) as client:
                    try:
                        if await client.is_server_ready(client_timeout=timeout_s):
                            return
                    except InferenceServerException as error:
                        said = str(error)
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise DemoError(f"Triton is not ready through {url} after {timeout_s:g} s; last answer: {said}") from None


def complete(url: str, traffic_class: str, prompt: str, tokens: int, *, traceparent: str = "") -> tuple[str, str]:
    """One completion by the synchronous client: text and model. Blocks; raises `DemoError`."""
    headers = {CLASS_KEY: traffic_class}
    if traceparent:
        headers["traceparent"] = traceparent
    with triton.InferenceServerClient(url, channel_args=NO_HTTP_PROXY) as client:
        try:
            inputs = completion_inputs(prompt, tokens, temperature=0.6, seed=7)
            result = client.infer(ROUTE, inputs, headers=headers, client_timeout=TIMEOUT_S)
        except InferenceServerException as error:
            raise DemoError(f"no completion: {error}") from error
    return bytes(result.as_numpy("COMPLETION")[0, 0]).decode(errors="replace"), answering_model(result)


def stream_completion(url: str, traffic_class: str, prompt: str, tokens: int) -> Iterator[tuple[str, str]]:
    """One completion as it is written, by the synchronous client: text and model of each piece. Blocks between them."""
    answers: queue.SimpleQueue[tuple[Any, Any]] = queue.SimpleQueue()
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    with triton.InferenceServerClient(url, channel_args=NO_HTTP_PROXY) as client:
        client.start_stream(
            lambda result, error: answers.put((result, error)),
            stream_timeout=TIMEOUT_S,
            headers={CLASS_KEY: traffic_class},
        )
        inputs = completion_inputs(prompt, tokens, temperature=0.6, seed=7)
        client.async_stream_infer(STREAM_ROUTE, inputs)
        for _ in range(tokens):
            try:
                result, error = answers.get(timeout=TIMEOUT_S)
            except queue.Empty:
                raise DemoError(f"no more of the completion within {TIMEOUT_S:g} s") from None
            if error is not None:
                raise DemoError(f"the completion stopped: {error}")
            yield decoder.decode(bytes(result.as_numpy("TOKEN")[0, 0])), answering_model(result)
        client.stop_stream()
