"""Two metadata keys tell headway what a request needs; the answer says how that went.

    x-traffic-class: realtime     one of the classes of the configuration
    x-deadline-ms: 300            for this request, in place of the class's deadline

What comes back: the parameter `headway_model` in the response, which the stock client shows, and the trailing metadata
`x-headway-class`, `-model`, `-instance`, `-policy` and `-slack-ms`. tritonclient keeps trailing metadata to itself, so
the second half asks with the gRPC stub that it is built on.

Start `headway demo --keep` in another terminal, then: python examples/02_traffic_classes.py
"""

import argparse
import asyncio

import grpc.aio
import numpy as np
import tritonclient.grpc.aio as grpcclient
from tritonclient.grpc import InferInput, service_pb2, service_pb2_grpc


def completion_inputs(prompt: str, tokens: int) -> list[InferInput]:
    text = InferInput("PROMPT", [1, 1], "BYTES")
    text.set_data_from_numpy(np.array([[prompt.encode()]], dtype=np.object_))
    length = InferInput("MAX_TOKENS", [1, 1], "INT32")
    length.set_data_from_numpy(np.array([[tokens]], dtype=np.int32))
    return [text, length]


async def with_the_stock_client(url: str, model: str) -> None:
    """One request of each class, all at once."""
    async with grpcclient.InferenceServerClient(url) as client:

        async def ask(traffic_class: str, tokens: int) -> str:
            result = await client.infer(
                model,
                completion_inputs("A list is a ", tokens),
                headers={"x-traffic-class": traffic_class},
                client_timeout=10.0,
            )
            answered_by = result.get_response().parameters["headway_model"].string_param
            return f"{traffic_class}: {tokens} bytes from {answered_by}"

        print(*await asyncio.gather(ask("bulk", 160), ask("standard", 48), ask("realtime", 16)), sep="\n")


async def with_the_stub(url: str, model: str, deadline_ms: int) -> None:
    """One request with a deadline of its own, and the trailing metadata of its answer."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for name, kind, contents in (
        ("PROMPT", "BYTES", service_pb2.InferTensorContents(bytes_contents=[b"A list is a "])),
        ("MAX_TOKENS", "INT32", service_pb2.InferTensorContents(int_contents=[32])),
    ):
        request.inputs.add(name=name, datatype=kind, shape=[1, 1], contents=contents)
    async with grpc.aio.insecure_channel(url) as channel:
        call = service_pb2_grpc.GRPCInferenceServiceStub(channel).ModelInfer(
            request,
            metadata=(("x-traffic-class", "realtime"), ("x-deadline-ms", str(deadline_ms))),
            timeout=10.0,
        )
        await call
        for key, value in await call.trailing_metadata():
            if key.startswith("x-headway-"):
                print(f"{key}: {value}")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-u", "--url", default="localhost:8001", help="HOST:PORT of the proxy (default: %(default)s)")
    parser.add_argument("-m", "--model", default="llm", help="route to ask (default: %(default)s)")
    parser.add_argument("--deadline-ms", type=int, default=300, help="x-deadline-ms (default: %(default)s)")
    arguments = parser.parse_args()
    await with_the_stock_client(arguments.url, arguments.model)
    print()
    await with_the_stub(arguments.url, arguments.model, arguments.deadline_ms)


asyncio.run(main())
