"""A completion token by token over `ModelStreamInfer`; a token of these models is one byte.

Start `headway demo --keep` in another terminal, then: python examples/03_streaming.py
"""

import argparse
import asyncio
import itertools
import time
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc import InferInput


def completion_inputs(prompt: str, tokens: int, temperature: float) -> list[InferInput]:
    inputs = []
    for name, kind, value in (
        ("PROMPT", "BYTES", np.array([[prompt.encode()]], dtype=np.object_)),
        ("MAX_TOKENS", "INT32", np.array([[tokens]], dtype=np.int32)),
        ("TEMPERATURE", "FP32", np.array([[temperature]], dtype=np.float32)),
    ):
        tensor = InferInput(name, [1, 1], kind)
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-u", "--url", default="localhost:8001", help="HOST:PORT of the proxy (default: %(default)s)")
    parser.add_argument("-m", "--model", default="llm-stream", help="route to ask (default: %(default)s)")
    parser.add_argument("--prompt", default="An exception is raised when ", help="text to continue")
    parser.add_argument("--tokens", type=int, default=96, help="bytes to write, 192 at most (default: %(default)s)")
    parser.add_argument("--temperature", type=float, default=0.6, help="0 always takes the likeliest byte")
    parser.add_argument("--traffic-class", default="realtime", help="x-traffic-class (default: %(default)s)")
    arguments = parser.parse_args()

    async def requests() -> AsyncIterator[dict[str, Any]]:
        yield {
            "model_name": arguments.model,
            "inputs": completion_inputs(arguments.prompt, arguments.tokens, arguments.temperature),
        }

    arrivals: list[float] = []
    model = ""
    print(arguments.prompt, end="", flush=True)
    async with grpcclient.InferenceServerClient(arguments.url) as client:
        started = time.monotonic()
        headers = {"x-traffic-class": arguments.traffic_class}
        async for result, error in client.stream_infer(requests(), headers=headers, stream_timeout=30.0):
            if error is not None:
                raise SystemExit(f"\n{error}")
            response = result.get_response()
            token = result.as_numpy("TOKEN")
            if token is not None:
                arrivals.append(time.monotonic() - started)
                model = response.parameters["headway_model"].string_param or response.model_name
                print(token[0, 0].decode(errors="replace"), end="", flush=True)

    gaps = [later - earlier for earlier, later in itertools.pairwise(arrivals)]
    print(f"\n\n{len(arrivals)} tokens from {model}")
    print(f"first after {arrivals[0] * 1000:.0f} ms, then one every {sum(gaps) / max(1, len(gaps)) * 1000:.1f} ms")


asyncio.run(main())
