"""A stock gRPC client for the suite's service, and what it can know about how a call went."""

import dataclasses
import itertools
from collections.abc import AsyncIterator, Iterable, Sequence
from types import TracebackType
from typing import Any, Self

import grpc

from tests.conformance.backend import EOF, SERVICE
from tests.conformance.journal import CALL_ID_KEY
from tests.conformance.pb import conformance_pb2 as pb

HEADWAY_PREFIX = "x-headway-"
UNLIMITED = -1

Metadata = tuple[tuple[str, str | bytes], ...]

_call_ids = itertools.count(1)


def new_call_id() -> str:
    """Return a call id that no other call in this process has."""
    return f"call-{next(_call_ids)}"


def named(call_id: str, *more: tuple[str, str | bytes]) -> Metadata:
    """Return request metadata under whose id the backend records the call."""
    return ((CALL_ID_KEY, call_id), *more)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Everything a client learns from one call."""

    code: grpc.StatusCode
    details: str
    initial: Metadata
    trailing: Metadata
    messages: tuple[Any, ...]

    def without_headway(self) -> "Outcome":
        """Return the outcome less what headway may add: trailing metadata of its own prefix."""
        trailing = tuple(item for item in self.trailing if not item[0].startswith(HEADWAY_PREFIX))
        return dataclasses.replace(self, trailing=trailing)


def pairs(metadata: Any) -> Metadata:
    return tuple((key, value) for key, value in metadata or ())


def by_key(metadata: Metadata) -> dict[str, list[str | bytes]]:
    """Group metadata as grpc.aio does: it keeps the order of one key's values, not that of different keys."""
    grouped: dict[str, list[str | bytes]] = {}
    for key, value in metadata:
        grouped.setdefault(key, []).append(value)
    return grouped


async def outcome(call: Any) -> Outcome:
    """Run a call of any arity to its end and return what it told, whatever its status.

    For a call on which the test has used `read` or `write`, there is `drained`: grpc.aio forbids to mix the two.
    """
    messages: list[Any] = []
    try:
        if hasattr(call, "__aiter__"):
            async for message in call:
                messages.append(message)  # noqa: PERF401 - what came before an error counts
        else:
            messages.append(await call)
    except grpc.aio.AioRpcError:
        pass
    return await _outcome(call, messages)


async def drained(call: Any) -> Outcome:
    """Read a stream to its end with `read` and return what the call told."""
    messages: list[Any] = []
    try:
        while (message := await call.read()) is not EOF:
            messages.append(message)
    except grpc.aio.AioRpcError:
        pass
    return await _outcome(call, messages)


async def _outcome(call: Any, messages: list[Any]) -> Outcome:
    return Outcome(
        code=await call.code(),
        details=await call.details(),
        initial=pairs(await call.initial_metadata()),
        trailing=pairs(await call.trailing_metadata()),
        messages=tuple(messages),
    )


async def sending(requests: Iterable[pb.CallRequest]) -> AsyncIterator[pb.CallRequest]:
    """Turn requests into the asynchronous iterator that grpc.aio's streaming calls take."""
    for request in requests:
        yield request


class Client:
    """One channel with the methods of the conformance service, each a stock multi-callable."""

    def __init__(self, address: str, *, options: Sequence[tuple[str, Any]] = ()) -> None:
        self.channel = grpc.aio.insecure_channel(
            address,
            options=(
                ("grpc.max_receive_message_length", UNLIMITED),
                ("grpc.max_send_message_length", UNLIMITED),
                # A channel of its own for each client: stock clients in one process share connections otherwise.
                ("grpc.use_local_subchannel_pool", 1),
                *options,
            ),
        )
        nothing = pb.Nothing.SerializeToString, pb.Nothing.FromString
        codec = pb.CallRequest.SerializeToString, pb.CallResponse.FromString
        path = f"/{SERVICE}/"
        # The published stubs type the call objects without what the suite asks of them.
        self.empty: Any = self.channel.unary_unary(path + "Empty", *nothing)
        self.unary: Any = self.channel.unary_unary(path + "Unary", *codec)
        self.client_stream: Any = self.channel.stream_unary(path + "ClientStream", *codec)
        self.server_stream: Any = self.channel.unary_stream(path + "ServerStream", *codec)
        self.bidi: Any = self.channel.stream_stream(path + "Bidi", *codec)
        self.bidi_after_half_close: Any = self.channel.stream_stream(path + "BidiAfterHalfClose", *codec)
        self.unimplemented: Any = self.channel.unary_unary(path + "Unimplemented", *nothing)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.channel.close(None)
