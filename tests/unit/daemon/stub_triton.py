"""A Triton of a few lines, as a call handler: its behaviour and texts as far as what stands before it needs them."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from tritonclient.grpc import service_pb2 as pb

from policies.traffic import Deadline
from proxy.clock import MonotonicClock
from proxy.daemon.dispatch import Dispatcher
from proxy.daemon.routes import BackendSettings, CandidateSettings, DispatchSettings, RouteSettings
from proxy.daemon.triton import HEALTH_CHECK, HEALTH_SERVING, SERVICE
from proxy.daemon.way_back import ReadPaths, no_paths
from proxy.errors import Code
from proxy.telemetry.tracing import NO_TRACING, Tracing
from proxy.testing.calls import MemoryCarrier
from proxy.tunnel.exchange import CallHead, CallStatus, IncomingCall, Metadata
from proxy.tunnel.methods import is_unary

INFER = f"{SERVICE}ModelInfer"
STREAM = f"{SERVICE}ModelStreamInfer"
UNREACHABLE = CallStatus(Code.UNAVAILABLE, "triton is unreachable: connection refused", retryable=True)
BROKEN = CallStatus(Code.UNAVAILABLE, "triton broke the connection: Socket closed")


@dataclass
class StubModel:
    """Answers each request with `model:input`; a decoupled one with `tokens` of them."""

    tokens: int | None = None
    """None: not decoupled."""
    status: CallStatus | None = None
    """Instead of an answer."""
    error: str = ""
    """Instead of an answer, in a stream's `error_message`."""
    gate: asyncio.Event | None = None
    """Answers wait for it."""
    die_after: int | None = None
    """In a stream: the connection breaks after this many answers."""
    ready: bool = True
    inferences: int = 0


@dataclass
class StubTriton:
    models: Mapping[str, StubModel]
    down: bool = False
    headers: Metadata | None = None
    trailers: Metadata = ()
    seen: list[pb.ModelInferRequest] = field(default_factory=list)
    """Inference requests, as they came."""
    cancelled: int = 0

    def __post_init__(self) -> None:
        self.carrier = MemoryCarrier(self)

    async def __call__(self, call: IncomingCall) -> None:
        if self.down:
            await call.finish(UNREACHABLE)
            return
        try:
            if call.head.path == STREAM:
                await self._stream(call)
                return
            message = await call.receive()
            assert message is not None
            if self.headers is not None:
                await call.send_initial_metadata(self.headers)
            await self._unary(call, message)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def _unary(self, call: IncomingCall, message: bytes) -> None:
        match call.head.path.rpartition("/")[2]:
            case "ModelInfer":
                await self._infer(call, pb.ModelInferRequest.FromString(message))
            case "ModelReady":
                name = pb.ModelReadyRequest.FromString(message).name
                await self._answer(call, pb.ModelReadyResponse(ready=name in self.models and self.models[name].ready))
            case "ModelMetadata":
                name = pb.ModelMetadataRequest.FromString(message).name
                await self._about(call, name, pb.ModelMetadataResponse(name=name, versions=["1"], platform="stub"))
            case "ModelConfig":
                name = pb.ModelConfigRequest.FromString(message).name
                await self._about(call, name, pb.ModelConfigResponse(config={"name": name, "max_batch_size": 8}))
            case "ModelStatistics":
                name = pb.ModelStatisticsRequest.FromString(message).name
                count = self.models[name].inferences if name in self.models else 0
                response = pb.ModelStatisticsResponse()
                response.model_stats.add(name=name, version="1", inference_count=count, last_inference=count)
                await self._about(call, name, response)
            case "RepositoryIndex":
                index = pb.RepositoryIndexResponse()
                for name, model in self.models.items():
                    index.models.add(name=name, version="1", state="READY" if model.ready else "UNAVAILABLE")
                await self._answer(call, index)
            case "Check" if call.head.path == HEALTH_CHECK:
                await call.send(HEALTH_SERVING)
                await call.finish(CallStatus(Code.OK))
            case method:
                await call.finish(CallStatus(Code.UNIMPLEMENTED, f"no {method} here"))

    async def _infer(self, call: IncomingCall, request: pb.ModelInferRequest) -> None:
        self.seen.append(request)
        model = self.models.get(request.model_name)
        if model is None or not model.ready:
            await call.finish(unknown(request.model_name))
            return
        if model.gate is not None:
            await model.gate.wait()
        if model.status is not None:
            await call.finish(model.status)
            return
        model.inferences += 1
        await self._answer(call, infer_response(request))

    async def _about(self, call: IncomingCall, name: str, answer: object) -> None:
        if name not in self.models:
            await call.finish(unknown(name))
        else:
            await self._answer(call, answer)

    async def _answer(self, call: IncomingCall, answer: object) -> None:
        await call.send(answer.SerializeToString())  # type: ignore[attr-defined]
        await call.finish(CallStatus(Code.OK, "", self.trailers))

    async def _stream(self, call: IncomingCall) -> None:
        if self.headers is not None:
            await call.send_initial_metadata(self.headers)
        try:
            async with asyncio.TaskGroup() as group:
                while (message := await call.receive()) is not None:
                    request = pb.ModelInferRequest.FromString(message)
                    self.seen.append(request)
                    group.create_task(self._stream_one(call, request), name="stub answer")
        except* ConnectionResetError:
            await call.finish(BROKEN)
        except* ValueError as refused:
            await call.finish(CallStatus(Code.INVALID_ARGUMENT, str(refused.exceptions[0])))
        await call.finish(CallStatus(Code.OK, "", self.trailers))

    async def _stream_one(self, call: IncomingCall, request: pb.ModelInferRequest) -> None:
        model = self.models.get(request.model_name)
        if model is None:
            await call.send(stream_error(request, f"Request for unknown model: '{request.model_name}' is not found"))
            return
        if model.gate is not None:
            await model.gate.wait()
        if model.error:
            if ("triton_grpc_error", "true") in call.head.metadata:
                raise ValueError(model.error)
            await call.send(stream_error(request, model.error, model=request.model_name))
            return
        model.inferences += 1
        for token in range(1 if model.tokens is None else model.tokens):
            if token == model.die_after:
                raise ConnectionResetError
            last = model.tokens is None
            response = infer_response(request, "" if last else f":{token}")
            response.parameters["triton_final_response"].bool_param = last
            await call.send(pb.ModelStreamInferResponse(infer_response=response).SerializeToString())
        if model.die_after is not None:
            raise ConnectionResetError
        if model.tokens is not None and request.parameters["triton_enable_empty_final_response"].bool_param:
            response = pb.ModelInferResponse(model_name=request.model_name, id=request.id)
            response.parameters["triton_final_response"].bool_param = True
            await call.send(pb.ModelStreamInferResponse(infer_response=response).SerializeToString())


def unknown(name: str) -> CallStatus:
    return CallStatus(Code.NOT_FOUND, f"Request for unknown model: '{name}' is not found")


def stream_error(request: pb.ModelInferRequest, text: str, *, model: str = "") -> bytes:
    response = pb.ModelStreamInferResponse(error_message=text)
    response.infer_response.id = request.id
    response.infer_response.model_name = model
    message: bytes = response.SerializeToString()
    return message


def infer_request(model: str, text: str = "hi", /, **parameters: bool | int | str) -> bytes:
    request_id = str(parameters.pop("id", ""))
    request = pb.ModelInferRequest(model_name=model, id=request_id, raw_input_contents=[text.encode()])
    for key, value in parameters.items():
        if isinstance(value, bool):
            request.parameters[key].bool_param = value
        elif isinstance(value, int):
            request.parameters[key].int64_param = value
        else:
            request.parameters[key].string_param = value
    message: bytes = request.SerializeToString()
    return message


def infer_response(request: pb.ModelInferRequest, more: str = "") -> pb.ModelInferResponse:
    response = pb.ModelInferResponse(model_name=request.model_name, model_version="1", id=request.id)
    response.outputs.add(name="OUT", datatype="BYTES", shape=[1])
    response.raw_output_contents.append(
        f"{request.model_name}:".encode() + request.raw_input_contents[0] + more.encode()
    )
    return response


def settings(
    candidates: Mapping[str, str],
    *,
    policy: str = "round_robin",
    tritons: str = "ab",
    route: str = "llm",
    **more: object,
) -> DispatchSettings:
    """A daemon with one route; `candidates` has the Triton of each model, better ones first."""
    specs = tuple(
        CandidateSettings(triton, model, 0.9 - position / 10)
        for position, (model, triton) in enumerate(candidates.items())
    )
    return DispatchSettings(
        backends=tuple(BackendSettings(name, f"localhost:{8100 + n}") for n, name in enumerate(tritons, 1)),
        default="a",
        listen="127.0.0.1:4433",
        routes=(RouteSettings(route, policy, specs),) if specs else (),
        **more,  # type: ignore[arg-type]
    )


def daemon(
    settings: DispatchSettings,
    *,
    tracing: Tracing = NO_TRACING,
    paths: ReadPaths = no_paths,
    **tritons: StubTriton,
) -> Dispatcher:
    carriers = {name: triton.carrier for name, triton in tritons.items()}
    return Dispatcher(settings, carriers, clock=MonotonicClock(), tracing=tracing, paths=paths)


def head(
    path: str = INFER,
    *,
    target_s: float = math.inf,
    limit_s: float = math.inf,
    traffic_class: str = "",
    metadata: Metadata = (),
    peer: str = "10.1.1.1:5000",
) -> CallHead:
    """A call that has just arrived."""
    now = MonotonicClock().now()
    return CallHead(
        path,
        metadata=metadata,
        traffic_class=traffic_class,
        deadline=Deadline(now + min(target_s, limit_s), now + limit_s),
        peer=peer,
        accepted_at=now,
        unary=is_unary(path),
    )
