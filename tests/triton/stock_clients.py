"""The stock `tritonclient`, synchronous and asynchronous, called in one way and with outcomes that compare."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import grpc
import grpc.aio
import tritonclient.grpc as syncclient
import tritonclient.grpc.aio as aioclient
from tritonclient.utils import InferenceServerException

from proxy.tasks import spawn

ANSWER_S = 20.0
"""What a test waits for an answer at most."""
ADDED = "x-headway-"
"""What the names of all that headway adds to trailing metadata begin with."""


@dataclass(frozen=True)
class Failure:
    """What a client learns of a call that failed."""

    status: str | None
    """`StatusCode.NOT_FOUND` and the like; None for an error inside a stream."""
    message: str


@dataclass(frozen=True)
class RawAnswer:
    """All that gRPC tells of a unary call."""

    code: grpc.StatusCode
    details: str
    message: bytes | None
    initial: tuple[tuple[str, str | bytes], ...]
    trailing: tuple[tuple[str, str | bytes], ...]
    """Without what headway adds."""
    added: frozenset[str]
    """The names of what headway adds."""


Request = dict[str, Any]
"""Arguments of `async_stream_infer`, which are those that `stream_infer` takes in its dictionaries."""


class StockClient(Protocol):
    """One of the two clients, connected to one address."""

    async def call(self, method: str, **arguments: Any) -> Any:
        """What a method returns, inference results as messages; a `Failure` where it raises."""

    async def stream(self, requests: Sequence[Request], **arguments: Any) -> list[Any]:
        """All that a stream of these requests brings: messages, `Failure`s in it, and a `Failure` that ends it."""

    async def given_up(self, request: Request, **arguments: Any) -> Any:
        """What a client sees of a stream that it cancels after the first answer to `request`."""

    async def raw(self, path: str, message: bytes, metadata: Sequence[tuple[str, str]] = ()) -> RawAnswer:
        """A unary call by bytes."""

    async def close(self) -> None:
        """Disconnect."""


class SyncClient:
    """`tritonclient.grpc`, in threads."""

    def __init__(self, url: str) -> None:
        self._client = syncclient.InferenceServerClient(url)
        self._channel: Any = grpc.insecure_channel(url)

    async def call(self, method: str, **arguments: Any) -> Any:
        try:
            return _message(await asyncio.to_thread(getattr(self._client, method), **arguments))
        except InferenceServerException as error:
            return _failure(error)

    async def call_back(self, **arguments: Any) -> Any:
        """What `async_infer` hands to its callback."""
        return await asyncio.wait_for(self._started(arguments)[1], ANSWER_S)

    async def call_back_cancelled(self, **arguments: Any) -> Any:
        """The same for one that is cancelled at once."""
        context, done = self._started(arguments)
        context.cancel()
        return await asyncio.wait_for(done, ANSWER_S)

    async def stream(self, requests: Sequence[Request], **arguments: Any) -> list[Any]:
        got: list[Any] = []

        def run() -> None:
            self._client.start_stream(
                lambda result, error: got.append(_message(result) if error is None else _failure(error)), **arguments
            )
            try:
                for request in requests:
                    self._client.async_stream_infer(**request)
            finally:
                self._client.stop_stream()  # returns when the last answer is there

        await asyncio.to_thread(run)
        return got

    async def given_up(self, request: Request, **arguments: Any) -> Any:
        loop = asyncio.get_running_loop()
        arrived: asyncio.Queue[Any] = asyncio.Queue()

        def take(result: Any, error: Any) -> None:
            loop.call_soon_threadsafe(arrived.put_nowait, _message(result) if error is None else _failure(error))

        self._client.start_stream(take, **arguments)
        self._client.async_stream_infer(**request)
        first = await asyncio.wait_for(arrived.get(), ANSWER_S)
        await asyncio.to_thread(self._client.stop_stream, cancel_requests=True)
        return first, await asyncio.wait_for(arrived.get(), ANSWER_S)

    async def raw(self, path: str, message: bytes, metadata: Sequence[tuple[str, str]] = ()) -> RawAnswer:
        def run() -> tuple[bytes | None, Any]:
            try:
                answer, call = self._channel.unary_unary(path).with_call(message, metadata=metadata)
            except grpc.RpcError as error:
                return None, error
            return answer, call

        answer, call = await asyncio.to_thread(run)
        return _raw(answer, call.code(), call.details(), call.initial_metadata(), call.trailing_metadata())

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)
        self._channel.close()

    def _started(self, arguments: dict[str, Any]) -> tuple[Any, asyncio.Future[Any]]:
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def take(result: Any, error: Any) -> None:
            loop.call_soon_threadsafe(done.set_result, _message(result) if error is None else _failure(error))

        return self._client.async_infer(callback=take, **arguments), done


class AioClient:
    """`tritonclient.grpc.aio`."""

    def __init__(self, url: str) -> None:
        self._client = aioclient.InferenceServerClient(url)
        self._channel: Any = grpc.aio.insecure_channel(url)

    async def call(self, method: str, **arguments: Any) -> Any:
        try:
            return _message(await getattr(self._client, method)(**arguments))
        except InferenceServerException as error:
            return _failure(error)

    async def stream(self, requests: Sequence[Request], **arguments: Any) -> list[Any]:
        async def each() -> AsyncIterator[Request]:
            for request in requests:
                yield dict(request)  # the client adds to it

        got: list[Any] = []
        try:
            async for result, error in self._client.stream_infer(each(), **arguments):
                got.append(_message(result) if error is None else _failure(error))
        except grpc.RpcError as error:
            got.append(_grpc_failure(error))
        return got

    async def given_up(self, request: Request, **arguments: Any) -> Any:
        never = asyncio.Event()

        async def requests() -> AsyncIterator[Request]:
            yield dict(request)
            await never.wait()

        answers = self._client.stream_infer(requests(), **arguments)
        result, error = await anext(answers)
        assert error is None
        rest = spawn(_next(answers), name="rest of the stream")
        answers.cancel()
        return _message(result), await asyncio.wait_for(rest, ANSWER_S)

    async def raw(self, path: str, message: bytes, metadata: Sequence[tuple[str, str]] = ()) -> RawAnswer:
        call = self._channel.unary_unary(path)(message, metadata=tuple(metadata))
        try:
            answer = await call
        except grpc.RpcError:
            answer = None
        return _raw(
            answer,
            await call.code(),
            await call.details(),
            await call.initial_metadata(),
            await call.trailing_metadata(),
        )

    async def close(self) -> None:
        await self._client.close()
        await self._channel.close()


CLIENTS: dict[str, type[SyncClient | AioClient]] = {"sync": SyncClient, "aio": AioClient}


async def _next(answers: Any) -> Any:
    try:
        return await anext(answers)
    except asyncio.CancelledError:  # what grpc.aio has for a call that is cancelled here
        return "cancelled"


def _message(result: Any) -> Any:
    return result.get_response() if isinstance(result, syncclient.InferResult) else result


def _failure(error: InferenceServerException) -> Failure:
    return Failure(error.status(), _in_one_wording(error.message()))


def _grpc_failure(error: Any) -> Failure:
    return Failure(str(error.code()), _in_one_wording(error.details()))


def _in_one_wording(text: str) -> str:
    """The text; at a deadline grpc words it in one of two ways, depending on whose clock is ahead, directly too."""
    return "Deadline Exceeded" if text == "Stream removed (Deadline Exceeded)" else text


def _raw(message: bytes | None, code: grpc.StatusCode, details: str | None, initial: Any, trailing: Any) -> RawAnswer:
    own = tuple((key, value) for key, value in trailing or () if not key.startswith(ADDED))
    added = frozenset(key for key, _ in trailing or () if key.startswith(ADDED))
    return RawAnswer(code, details or "", message, tuple((k, v) for k, v in initial or ()), own, added)
