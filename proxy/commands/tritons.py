"""Whether the servers behind the daemon are there and a route's candidates fit together, for `headway check`."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import grpc
import grpc.aio

from proxy.commands.extras import from_extra
from proxy.config import Config, DaemonSettings, RouteSettings

TIMEOUT_S = 5.0
"""How long a server may take to answer one call."""

ANY_LENGTH = -1
"""Triton's shape entry for a dimension of any length."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One input or output of a model."""

    name: str
    datatype: str
    shape: tuple[int, ...]

    def __str__(self) -> str:
        """Such as `TEXT BYTES[-1,1]`."""
        return f"{self.name} {self.datatype}[{','.join(str(length) for length in self.shape)}]"

    def fits(self, other: Tensor) -> bool:
        """Whether a tensor made for one is one for the other: a length of -1 fits any."""
        same = (self.name, self.datatype, len(self.shape)) == (other.name, other.datatype, len(other.shape))
        return same and all(
            mine == its or ANY_LENGTH in {mine, its} for mine, its in zip(self.shape, other.shape, strict=True)
        )


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and gives."""

    inputs: Sequence[Tensor]
    outputs: Sequence[Tensor]


def differences(one: Signature, other: Signature) -> list[str]:
    """What `other` takes or gives that `one` does not, and the other way round; empty when clients can't tell."""
    return [
        *_differences("input", one.inputs, other.inputs),
        *_differences("output", one.outputs, other.outputs),
    ]


def _differences(noun: str, one: Sequence[Tensor], other: Sequence[Tensor]) -> list[str]:
    theirs = {tensor.name: tensor for tensor in other}
    ours = {tensor.name: tensor for tensor in one}
    lines = [f"lacks {noun} {tensor}" for name, tensor in ours.items() if name not in theirs]
    lines += [f"has another {noun}, {tensor}" for name, tensor in theirs.items() if name not in ours]
    lines += [
        f"has {noun} {theirs[name]} where the other has {tensor}"
        for name, tensor in ours.items()
        if name in theirs and not tensor.fits(theirs[name])
    ]
    return lines


async def check_tritons(config: Config, daemon: DaemonSettings, *, timeout_s: float = TIMEOUT_S) -> list[str]:
    """Call every server and compare every route's candidates; a line for each problem.

    Raises `MissingExtraError` in an installation without Triton's messages.
    """
    _messages()
    async with _Channels(daemon, timeout_s) as channels:
        answers = await asyncio.gather(*(channels.not_ready(name) for name in daemon.tritons))
        down = {name: why for name, why in zip(daemon.tritons, answers, strict=True) if why}
        problems = [config.problem(f"daemon.tritons.{name}", why) for name, why in down.items()]
        for route in daemon.routes.values():
            problems += await _check_route(config, route, channels, down)
    return problems


async def _check_route(config: Config, route: RouteSettings, channels: _Channels, down: Mapping[str, str]) -> list[str]:
    problems: list[str] = []
    first: tuple[str, Signature] | None = None
    for index, candidate in enumerate(route.candidates):
        if candidate.triton in down:
            continue
        key = f"daemon.routes.{route.name}.candidates[{index}]"
        name = f"{candidate.model} on {candidate.triton}"
        try:
            signature = await channels.signature(candidate.triton, candidate.model)
        except grpc.aio.AioRpcError as error:
            problems.append(config.problem(key, f"{name}: {error.details()}"))
            continue
        if first is None:
            first = name, signature
            continue
        problems += [
            config.problem(key, f"{name} {line}", f"the inputs and outputs of {first[0]}")
            for line in differences(first[1], signature)
        ]
    return problems


class _Channels:
    """One channel a server, open while the check lasts."""

    def __init__(self, daemon: DaemonSettings, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._channels = {name: grpc.aio.insecure_channel(str(triton.url)) for name, triton in daemon.tritons.items()}
        self._urls = {name: triton.url for name, triton in daemon.tritons.items()}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for channel in self._channels.values():
            await channel.close(None)

    async def not_ready(self, name: str) -> str:
        """Why a server can't be used, or empty. One that is no Triton at all is ready once it answers."""
        pb = _messages()
        url = self._urls[name]
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._channels[name].channel_ready()
            answer = await self._call(name, "ServerReady", pb.ServerReadyRequest(), pb.ServerReadyResponse)
        except TimeoutError:
            return f"{url} cannot be reached within {self._timeout_s:g} s"
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNIMPLEMENTED:
                return ""
            return f"{url}: {error.details()}"
        return "" if answer.ready else f"{url} says that it is not ready"

    async def signature(self, name: str, model: str) -> Signature:
        """A model's inputs and outputs. Raises `AioRpcError`."""
        pb = _messages()
        answer = await self._call(name, "ModelMetadata", pb.ModelMetadataRequest(name=model), pb.ModelMetadataResponse)
        return Signature(_tensors(answer.inputs), _tensors(answer.outputs))

    async def _call(self, name: str, method: str, request: Any, response: Any) -> Any:
        call = self._channels[name].unary_unary(
            f"/inference.GRPCInferenceService/{method}",
            request_serializer=type(request).SerializeToString,
            response_deserializer=response.FromString,
        )
        return await call(request, timeout=self._timeout_s)


def _tensors(items: Sequence[Any]) -> tuple[Tensor, ...]:
    return tuple(Tensor(item.name, item.datatype, tuple(item.shape)) for item in items)


def _messages() -> Any:
    """Triton's messages. Part of the daemon's extra, so imported when they are needed."""
    with from_extra("daemon", "the daemon"):
        from tritonclient.grpc import service_pb2  # noqa: PLC0415

    return service_pb2
