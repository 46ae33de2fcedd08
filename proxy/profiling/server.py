"""Triton over gRPC, for one model that is to be measured."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

import grpc
import grpc.aio
from tritonclient.grpc import model_config_pb2 as config_pb
from tritonclient.grpc import service_pb2 as pb

from proxy.config.values import Address
from proxy.daemon.triton import (
    MODEL_CONFIG,
    MODEL_INFER,
    MODEL_METADATA,
    MODEL_STATISTICS,
    MODEL_STREAM_INFER,
    SERVICE,
    request_suffix,
    stream_answer,
)
from proxy.profiling.model import Model, ModelInput, ProfilingError, Queued, Tensor

REACH_TIMEOUT_S = 5.0
"""How long the server may take to answer what costs it nothing."""
ANSWER_TIMEOUT_S = 120.0
"""How long a model may take. A candidate for requests with deadlines takes seconds; only what hangs takes this."""

_OPTIONS = [("grpc.max_send_message_length", -1), ("grpc.max_receive_message_length", -1)]


class TritonModel:
    """A `Server`, and what it says of the model. An async context manager."""

    def __init__(self, url: Address, model: str, *, reach_timeout_s: float = REACH_TIMEOUT_S) -> None:
        self._url = url
        self._model = model
        self._reach_timeout_s = reach_timeout_s
        self._channel = grpc.aio.insecure_channel(str(url), options=_OPTIONS)
        self._infer = self._channel.unary_unary(MODEL_INFER, request_serializer=None, response_deserializer=None)
        self._stream = self._channel.stream_stream(
            MODEL_STREAM_INFER, request_serializer=None, response_deserializer=None
        )

    def __repr__(self) -> str:
        return f"<TritonModel {self._model} at {self._url}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close(None)

    async def describe(self) -> Model:
        """What the model takes and how the server runs it."""
        try:
            async with asyncio.timeout(self._reach_timeout_s):
                await self._channel.channel_ready()
        except TimeoutError:
            raise ProfilingError(f"{self._url} cannot be reached within {self._reach_timeout_s:g} s") from None
        server = await self._ask(f"{SERVICE}ServerMetadata", pb.ServerMetadataRequest(), pb.ServerMetadataResponse)
        metadata = await self._ask(MODEL_METADATA, pb.ModelMetadataRequest(name=self._model), pb.ModelMetadataResponse)
        answer = await self._ask(MODEL_CONFIG, pb.ModelConfigRequest(name=self._model), pb.ModelConfigResponse)
        return describe(metadata, answer.config, f"{server.name} {server.version}".strip())

    def request(self, tensors: Sequence[Tensor]) -> bytes:
        """See `Server`. An answer that streams is marked at its end."""
        message = pb.ModelInferRequest(model_name=self._model)
        for tensor in tensors:
            message.inputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
            message.raw_input_contents.append(tensor.content)
        return bytes(message.SerializeToString()) + request_suffix(self._model, mark_end=True)

    async def infer(self, request: bytes) -> None:
        """See `Server`."""
        with self._problems():
            await self._infer(request, timeout=ANSWER_TIMEOUT_S)

    async def stream(self, request: bytes) -> AsyncIterator[None]:
        """See `Server`. A gRPC stream of its own, as the daemon's clients have one."""
        call = self._stream(_only(request), timeout=ANSWER_TIMEOUT_S)
        try:
            with self._problems():
                async for message in call:
                    answer = stream_answer(message)
                    if answer.failed:
                        text = pb.ModelStreamInferResponse.FromString(message).error_message
                        raise ProfilingError(f"{self._model} at {self._url}: {text}")
                    if not answer.empty:
                        yield None
                    if answer.final:
                        break
        finally:
            call.cancel()

    async def queued(self) -> Queued:
        """See `Server`."""
        answer = await self._ask(
            MODEL_STATISTICS, pb.ModelStatisticsRequest(name=self._model), pb.ModelStatisticsResponse
        )
        entries = [entry.inference_stats.queue for entry in answer.model_stats]
        return Queued(sum(entry.count for entry in entries), sum(entry.ns for entry in entries) / 1e9)

    async def _ask(self, method: str, request: Any, response: Any) -> Any:
        call = self._channel.unary_unary(
            method, request_serializer=type(request).SerializeToString, response_deserializer=response.FromString
        )
        with self._problems():
            return await call(request, timeout=self._reach_timeout_s)

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except grpc.aio.AioRpcError as error:
            raise ProfilingError(f"{self._model} at {self._url}: {error.details()}") from error


async def _only(request: bytes) -> AsyncIterator[bytes]:
    yield request


def describe(metadata: Any, config: Any, server: str) -> Model:
    """A model from its `ModelMetadataResponse` and `ModelConfig`."""
    datatypes = {entry.name: entry.datatype for entry in metadata.inputs}
    declared = [
        ModelInput(entry.name, datatypes.get(entry.name, _datatype(entry)), tuple(entry.dims), entry.optional)
        for entry in config.input
    ]
    batching = config.dynamic_batching
    # A group on GPUs has `count` instances on each of them.
    instances = sum(max(1, group.count) * max(1, len(group.gpus)) for group in config.instance_group)
    return Model(
        name=metadata.name,
        inputs=tuple(declared),
        max_rows=config.max_batch_size,
        batched=config.HasField("dynamic_batching"),
        preferred=tuple(sorted(batching.preferred_batch_size)),
        batch_delay_s=batching.max_queue_delay_microseconds / 1e6,
        instances=max(1, instances),
        decoupled=config.model_transaction_policy.decoupled,
        cached=config.response_cache.enable,
        server=server,
    )


def _datatype(entry: Any) -> str:
    """The name that requests use for a data type of the configuration."""
    name = str(config_pb.DataType.Name(entry.data_type)).removeprefix("TYPE_")
    return "BYTES" if name == "STRING" else name
