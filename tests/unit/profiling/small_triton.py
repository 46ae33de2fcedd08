"""A gRPC server that answers what `headway profile` asks a Triton."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb

MESSAGES = 6
"""Of an answer that streams."""


def text_model(**config: Any) -> Any:
    """A configuration with one text as input."""
    made = config_pb.ModelConfig(**config)
    made.input.add(name="TEXT", data_type=config_pb.TYPE_STRING, dims=[1])
    return made


class SmallTriton(grpc.GenericRpcHandler):  # type: ignore[type-arg]  # generic in the stubs only
    """Has models by their configurations; answers at once."""

    def __init__(self, models: Mapping[str, Any], *, error: str = "") -> None:
        self._models = models
        self._error = error
        self._asked = 0
        self.requests: list[Any] = []

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> Any:
        methods: dict[str, tuple[Callable[..., Any], Any]] = {
            "ServerMetadata": (self._server, pb.ServerMetadataRequest),
            "ModelMetadata": (self._metadata, pb.ModelMetadataRequest),
            "ModelConfig": (self._config, pb.ModelConfigRequest),
            "ModelStatistics": (self._statistics, pb.ModelStatisticsRequest),
            "ModelInfer": (self._infer, pb.ModelInferRequest),
        }
        method = str(handler_call_details.method).rpartition("/")[2]
        codecs = {"response_serializer": lambda reply: reply.SerializeToString()}
        if method == "ModelStreamInfer":
            return grpc.stream_stream_rpc_method_handler(
                self._stream, request_deserializer=pb.ModelInferRequest.FromString, **codecs
            )
        if method not in methods:
            return None
        answer, request = methods[method]
        return grpc.unary_unary_rpc_method_handler(answer, request_deserializer=request.FromString, **codecs)

    async def _server(self, request: Any, context: Any) -> Any:
        return pb.ServerMetadataResponse(name="triton", version="2.51.0")

    async def _metadata(self, request: Any, context: Any) -> Any:
        config = await self._model(request.name, context)
        answer = pb.ModelMetadataResponse(name=request.name)
        for each in config.input:
            answer.inputs.add(name=each.name, datatype="BYTES", shape=each.dims)
        return answer

    async def _config(self, request: Any, context: Any) -> Any:
        return pb.ModelConfigResponse(config=await self._model(request.name, context))

    async def _statistics(self, request: Any, context: Any) -> Any:
        answer = pb.ModelStatisticsResponse()
        for asked in (self._asked, 7):  # two versions, one of which nobody asks any more
            queue = answer.model_stats.add(name=request.name).inference_stats.queue
            queue.count, queue.ns = asked, 1000 * asked
        return answer

    async def _infer(self, request: Any, context: Any) -> Any:
        self.requests.append(request)
        self._asked += 1
        if self._error:
            await context.abort(grpc.StatusCode.INTERNAL, self._error)
        return pb.ModelInferResponse(model_name=request.model_name)

    async def _stream(self, requests: Any, context: Any) -> AsyncIterator[Any]:
        async for request in requests:
            self.requests.append(request)
            if self._error:
                yield pb.ModelStreamInferResponse(error_message=self._error)
                return
            for _ in range(MESSAGES):
                answer = pb.ModelInferResponse(model_name=request.model_name)
                answer.outputs.add(name="TOKEN")
                answer.parameters["triton_final_response"].bool_param = False
                yield pb.ModelStreamInferResponse(infer_response=answer)
            if "triton_enable_empty_final_response" in request.parameters:
                last = pb.ModelInferResponse(model_name=request.model_name)
                last.parameters["triton_final_response"].bool_param = True
                yield pb.ModelStreamInferResponse(infer_response=last)

    async def _model(self, name: str, context: Any) -> Any:
        if name not in self._models:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"Request for unknown model: '{name}' is not found")
        return self._models[name]


@asynccontextmanager
async def serving(triton: SmallTriton) -> AsyncIterator[int]:
    """The port of a server."""
    server = grpc.aio.server()
    server.add_generic_rpc_handlers((triton,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield port
    finally:
        await server.stop(None)
