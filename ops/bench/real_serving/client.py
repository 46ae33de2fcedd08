"""The client, as a program: sends each request when it is due, whatever becomes of the others.

Commands come as JSON lines on standard input, each answered by one JSON line on standard output (`ops.bench.commands`):

    {"ask": ADDRESS, "models": [NAME, …], "calls": N, "streaming": BOOL, "timeout": S} → {}   N answers of each model
    {"run": ADDRESS, "route": NAME, "requests": FILE, "give_up": S, "answers": FILE}   → {}

`give_up` is how long after the last request those are cancelled whose answer has not begun; streams that have begun may
come to their end. FILEs are those of `requests`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from tritonclient.grpc import service_pb2

from ops.bench.commands import serve_commands
from ops.bench.real_serving.requests import Answer, PlannedRequest, read_requests, write_answers
from ops.bench.serving import INFER, STREAM_INFER, UNLIMITED
from ops.emulated.requests import infer_request

LEAD_S = 0.2
"""Between the command and the beginning: time to make the messages."""
PROBE_BYTES = 102_400
"""Of a request that only warms up: a long one, so that no window is small any more."""
PROBE_TOKENS = 2
MODEL_TRAILER = "x-headway-model"
CANCELLED = "GIVEN_UP"
STREAM_END_S = 60.0
"""How long a stream that has begun may take past the time when others are given up."""


class Sender:
    """Requests to one address, of whole answers or of token streams."""

    def __init__(self, address: str) -> None:
        # A local pool: a channel of its own, whatever other channels of this process lead there.
        self._channel = grpc.aio.insecure_channel(address, options=(*UNLIMITED, ("grpc.use_local_subchannel_pool", 1)))
        self._whole = self._channel.unary_unary(INFER, None, None)
        self._stream = self._channel.stream_stream(STREAM_INFER, None, None)

    async def close(self) -> None:
        """End what is under way."""
        await self._channel.close(None)

    async def send(
        self,
        message: bytes,
        metadata: tuple[tuple[str, str], ...],
        *,
        streaming: bool,
        began_at: float,
        on_first: Callable[[], None] = lambda: None,
    ) -> Answer:
        """Send one now. Times in the answer are from `began_at`; cancelling this gives the request up.

        `on_first` is called when a stream's first message comes.
        """
        if streaming:
            return await self._send_stream(message, metadata, began_at, on_first)
        sent_at = time.monotonic() - began_at
        call = self._whole(message, metadata=metadata)
        try:
            await call
            done_at = time.monotonic() - began_at
            return Answer(sent_at, done_at, done_at, 0.0, model_of(await call.trailing_metadata()), "OK")
        except grpc.aio.AioRpcError as error:
            return Answer(sent_at, None, None, 0.0, model_of(error.trailing_metadata()), error.code().name)
        except asyncio.CancelledError:
            call.cancel()
            return Answer(sent_at, None, None, 0.0, "", CANCELLED)

    async def _send_stream(
        self, message: bytes, metadata: tuple[tuple[str, str], ...], began_at: float, on_first: Callable[[], None]
    ) -> Answer:
        sent_at = time.monotonic() - began_at
        first_at = last_at = None
        longest_gap_s = 0.0
        model, status = "", "OK"
        call = self._stream(_only(message), metadata=metadata)
        try:
            async for content in call:
                now = time.monotonic() - began_at
                if last_at is None:
                    answer = service_pb2.ModelStreamInferResponse.FromString(content)
                    if answer.error_message:
                        status = answer.error_message
                        continue
                    first_at = now
                    on_first()
                else:
                    longest_gap_s = max(longest_gap_s, now - last_at)
                last_at = now
            model = model_of(await call.trailing_metadata())
        except grpc.aio.AioRpcError as error:
            status, model = error.code().name, model_of(error.trailing_metadata())
        except asyncio.CancelledError:
            call.cancel()
            status = CANCELLED
        return Answer(sent_at, first_at, last_at if status == "OK" else None, longest_gap_s, model, status)


def model_of(metadata: Any) -> str:
    """Who answered, as the daemon's trailers say."""
    return next((str(value) for key, value in metadata or () if key == MODEL_TRAILER), "")


async def _only(message: bytes) -> AsyncIterator[bytes]:
    yield message


async def run(
    sender: Sender, requests: list[PlannedRequest], *, route: str, give_up_s: float, began_at: float
) -> list[Answer]:
    """Send each request when it is due after `began_at`; the answers, in the requests' order."""

    @cache
    def message(size_bytes: int, answer_bytes: int, prompt_tokens: int, answer_tokens: int | None) -> bytes:
        return infer_request(
            route,
            size_bytes=size_bytes,
            answer_bytes=answer_bytes,
            prompt_tokens=prompt_tokens,
            answer_tokens=answer_tokens,
        )

    under_way: list[asyncio.Task[Answer]] = []
    begun: set[int] = set()
    async with asyncio.TaskGroup() as group:
        for number, request in enumerate(requests):
            content = message(request.size_bytes, request.answer_bytes, request.prompt_tokens, request.answer_tokens)
            await asyncio.sleep(began_at + request.at - time.monotonic())
            sending = sender.send(
                content,
                (("x-traffic-class", request.traffic_class), ("x-deadline-ms", f"{request.deadline_ms:.3f}")),
                streaming=request.answer_tokens is not None,
                began_at=began_at,
                on_first=partial(begun.add, number),
            )
            under_way.append(group.create_task(sending, name="request"))
        await asyncio.wait(under_way, timeout=give_up_s)
        for number, task in enumerate(under_way):
            if number not in begun:
                task.cancel()
        await asyncio.wait(under_way, timeout=STREAM_END_S)
        for task in under_way:
            task.cancel()
    return [task.result() for task in under_way]


async def ask(sender: Sender, model: str, *, streaming: bool, timeout_s: float) -> str:
    """Repeat a request until it is answered; what the last one got if that takes too long."""
    tokens = PROBE_TOKENS if streaming else None
    message = infer_request(model, size_bytes=PROBE_BYTES, prompt_tokens=1, answer_tokens=tokens)
    until = time.monotonic() + timeout_s
    while True:
        answer = await sender.send(message, (), streaming=streaming, began_at=0.0)
        if answer.status == "OK":
            return ""
        if time.monotonic() >= until:
            return answer.status
        await asyncio.sleep(0.05)  # the proxy answers UNAVAILABLE until its tunnel is up


class _Client:
    def __init__(self) -> None:
        self._senders: dict[str, Sender] = {}

    async def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if "ask" in command:
            sender = self._sender(command["ask"])
            for model in command["models"]:
                for _ in range(command["calls"]):
                    problem = await ask(sender, model, streaming=command["streaming"], timeout_s=command["timeout"])
                    if problem:
                        return {"error": f"{model} at {command['ask']} does not answer: {problem}"}
            return {}
        requests = read_requests(Path(command["requests"]))
        answers = await run(
            self._sender(command["run"]),
            requests,
            route=command["route"],
            give_up_s=command["give_up"],
            began_at=time.monotonic() + LEAD_S,
        )
        write_answers(Path(command["answers"]), answers)
        return {}

    def _sender(self, address: str) -> Sender:
        if address not in self._senders:
            self._senders[address] = Sender(address)
        return self._senders[address]

    async def close(self) -> None:
        for sender in self._senders.values():
            await sender.close()


if __name__ == "__main__":
    uvloop.run(serve_commands(_Client))
