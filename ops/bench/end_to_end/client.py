"""The client, as a program: a stock grpc.aio client that opens token streams when they are due.

Commands come as JSON lines on standard input, each answered by one JSON line on standard output; it ends when its input
ends.

    {"warm_up": ADDRESS, "models": […], "timeout": S}    → {}      one token of each model
    {"run": ADDRESS, "route": NAME, "requests": FILE, "outcomes": FILE, "answer_bytes": N, "sample": URL}
                                                         → {"began_unix": S, "samples": […]}

`began_unix` is the beginning of the cell as Unix time, which traces have. With `sample`,
which may be null, the proxy's metrics are read there all the while, and `samples` of the answer are what they said.
FILEs are JSON: a list of `TokenRequest`s, a list of `TokenOutcome`s. A command that fails is answered by
`{"error": TEXT}`.

The cell ends when every request's outcome is known: once none is open any more that could be on time, what is left is
cancelled.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import uvloop
from tritonclient.grpc import service_pb2

from ops.bench.channels import Channels
from ops.bench.commands import serve_commands
from ops.bench.end_to_end.requests import (
    CUT,
    TokenOutcome,
    TokenRequest,
    met_deadlines,
    read_requests,
    write_outcomes,
)
from ops.bench.end_to_end.samples import Sampler
from ops.bench.serving import STREAM_INFER
from ops.emulated.requests import infer_request

LEAD_S = 0.2
"""Between the command and the beginning of the cell: time to make the messages and tasks of a few hundred requests."""

LOOK_EVERY_S = 0.05
"""How often it looks whether an open request can still be on time."""

GRPC_ERROR = ("triton_grpc_error", "true")
"""Asks for a refusal as the stream's status (Triton's own extension), not as a message in a stream that goes on."""

MODEL = "headway_model"
"""The response parameter that names the model."""

EOF: Any = grpc.aio.EOF  # type: ignore[attr-defined]  # the stubs lack it
Open = Callable[..., Any]
"""A stub's method of a stream each way; the stubs of its type ask for a request iterator, which grpc does not."""


@dataclass(slots=True, eq=False)
class OpenRequest:
    """What is known of a request while it is under way. Times on the monotonic clock."""

    request: TokenRequest
    began_at: float
    """Of the cell."""
    sent_at: float = 0.0
    first_at: float | None = None
    last_at: float = 0.0
    longest_gap_s: float = 0.0
    tokens: int = 0
    model: str | None = None

    def token(self, message: bytes, *, now: float) -> str:
        """Count a message of the answer; the error in it, empty for a token."""
        answer = service_pb2.ModelStreamInferResponse.FromString(message)
        if answer.error_message:
            return str(answer.error_message)
        if self.first_at is None:
            self.first_at = now
            parameters = answer.infer_response.parameters
            self.model = parameters[MODEL].string_param if MODEL in parameters else answer.infer_response.model_name
        else:
            self.longest_gap_s = max(self.longest_gap_s, now - self.last_at)
        self.last_at = now
        self.tokens += 1
        return ""

    def may_be_on_time(self, *, now: float) -> bool:
        """Whether no token has been late yet."""
        request = self.request
        deadline_at = self.began_at + request.arrival_s + request.deadline_s
        if self.first_at is None:
            return now <= deadline_at
        return self.first_at <= deadline_at and max(self.longest_gap_s, now - self.last_at) <= request.token_deadline_s

    def outcome(self, status: str, *, done_at: float | None) -> TokenOutcome:
        """At its end."""
        request = self.request
        first_s = None if self.first_at is None else self.first_at - self.began_at
        return TokenOutcome(
            request.number,
            request.traffic_class,
            request.arrival_s,
            self.sent_at - self.began_at,
            first_s,
            self.longest_gap_s,
            None if done_at is None else done_at - self.began_at,
            self.tokens,
            self.model,
            status,
            met_deadlines(
                request, first_s=first_s, longest_gap_s=self.longest_gap_s, tokens=self.tokens, status=status
            ),
        )


async def run(
    call: Open, requests: Sequence[TokenRequest], *, route: str, answer_bytes: int, began_at: float
) -> list[TokenOutcome]:
    """Send each request when it is due after `began_at`; the outcomes, in the requests' order."""
    opened = [OpenRequest(request, began_at) for request in requests]
    messages = [
        infer_request(
            route,
            size_bytes=request.size_bytes,
            answer_bytes=answer_bytes,
            prompt_tokens=request.prompt_tokens,
            answer_tokens=request.answer_tokens,
            request_id=str(request.number),
        )
        for request in requests
    ]
    async with asyncio.TaskGroup() as group:
        sending = [
            group.create_task(_send(call, one, message), name=f"request {one.request.number}")
            for one, message in zip(opened, messages, strict=True)
        ]
        under_way = set(sending)
        open_of = dict(zip(sending, opened, strict=True))
        while under_way and any(open_of[task].may_be_on_time(now=time.monotonic()) for task in under_way):
            await asyncio.sleep(LOOK_EVERY_S)
            under_way = {task for task in under_way if not task.done()}
        for task in under_way:
            task.cancel()
    return [task.result() for task in sending]


async def _send(call: Open, one: OpenRequest, message: bytes) -> TokenOutcome:
    await asyncio.sleep(one.began_at + one.request.arrival_s - time.monotonic())
    one.sent_at = time.monotonic()
    stream = call(metadata=(("x-traffic-class", one.request.traffic_class), GRPC_ERROR))
    try:
        await stream.write(message)
        await stream.done_writing()
        while (token := await stream.read()) is not EOF:
            if error := one.token(token, now=time.monotonic()):
                return one.outcome(f"ERROR: {error}", done_at=time.monotonic())
        status = str((await stream.code()).name)
    except grpc.aio.AioRpcError as error:
        status = error.code().name
    except asyncio.CancelledError:
        stream.cancel()
        return one.outcome(CUT, done_at=None)
    finally:
        stream.cancel()
    return one.outcome(status, done_at=time.monotonic())


async def warm_up(call: Open, models: Sequence[str], timeout_s: float) -> str:
    """A token from each model, asked for by its own name, past the policy; what went wrong if that takes too long."""
    until = time.monotonic() + timeout_s
    for model in models:
        message = infer_request(model, size_bytes=64, answer_bytes=1, prompt_tokens=1, answer_tokens=1)
        said = ""
        while problem := await _one_token(call, message, until):
            if time.monotonic() >= until:
                # What ends with the time says no more than that (grpc says INTERNAL where it ends between two writes).
                return f"{model}: {said or problem}"
            said = problem
            await asyncio.sleep(0.02)
    return ""


async def _one_token(call: Open, message: bytes, until: float) -> str:
    stream = call(metadata=(GRPC_ERROR,), wait_for_ready=True, timeout=max(0.0, until - time.monotonic()))
    try:
        await stream.write(message)
        await stream.done_writing()
        answers = [answer async for answer in stream]
    except grpc.aio.AioRpcError as error:
        # The proxy answers UNAVAILABLE until its tunnel is up.
        return f"{error.code().name}: {error.details()}"
    except asyncio.InvalidStateError:
        # It had ended before the message was written.
        return f"{(await stream.code()).name}: {await stream.details()}"
    return "" if answers else "no token came"


class _Client:
    def __init__(self) -> None:
        self._channels = Channels()

    async def answer(self, command: Mapping[str, Any]) -> dict[str, Any]:
        if "warm_up" in command:
            problem = await warm_up(self._call(command["warm_up"]), command["models"], command["timeout"])
            return {"error": f"no call came through: {problem}"} if problem else {}
        requests = read_requests(Path(command["requests"]))
        began_at = time.monotonic() + LEAD_S
        async with Sampler(command["sample"], began_at=began_at) as sampler:
            outcomes = await run(
                self._call(command["run"]),
                requests,
                route=command["route"],
                answer_bytes=command["answer_bytes"],
                began_at=began_at,
            )
        write_outcomes(Path(command["outcomes"]), outcomes)
        began_unix = time.time() + began_at - time.monotonic()
        return {"began_unix": began_unix, "samples": sampler.samples}

    def _call(self, address: str) -> Open:
        return self._channels.to(address).stream_stream(STREAM_INFER, None, None)

    async def close(self) -> None:
        await self._channels.close()


if __name__ == "__main__":
    uvloop.run(serve_commands(_Client))
