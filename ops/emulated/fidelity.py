"""How near emulated models on a real Triton come to their profiles: alone, and under load beside the simulator."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from statistics import fmean

import grpc
import grpc.aio
import numpy as np
from tritonclient.grpc import service_pb2 as pb

from ops.emulated.expected import Expected, expected
from ops.emulated.repository import EmulatedModel
from ops.emulated.requests import infer_request

SERVICE = "/inference.GRPCInferenceService/"
UNLIMITED = (("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1))
WARM_UP_CALLS = 3
REQUEST_BYTES = 8192
PROMPT_TOKENS, ANSWER_TOKENS = 200, 30
PAUSE_S = 0.01
"""Between one request and the next, alone: a batch that follows another at once counts as one that waited."""
APART, APART_S = 2000, 1000.0
"""Of the simulator's requests, alone: how many, and how far from one another."""
LOADS = (0.3, 0.7, 0.9)
"""Of the most that the profile can answer."""
MOST_TOKENS_PER_S = 400.0
"""Of streams under load: what two cores carry with the client beside Triton, and some to spare."""


@dataclass(frozen=True, slots=True)
class Figures:
    """A median and a 95th percentile, in seconds."""

    p50_s: float
    p95_s: float


@dataclass(frozen=True, slots=True)
class Fidelity:
    """One model at one load, as measured at a client on the same machine and as the simulator has it.

    Whole answers have `answer`; token streams `first`, and the `mean_gap` and `longest_gap` of each stream, from one
    message to the next.
    """

    model: str
    load: float
    """Of what the profile can answer at most; 0: one request after the other."""
    requests: int
    measured: Mapping[str, Figures]
    simulated: Mapping[str, Figures]
    measured_batch: float | None = None
    """Mean size of the batches of whole answers that Triton has made."""
    simulated_batch: float | None = None


@dataclass(frozen=True, slots=True)
class _Answered:
    """One answer: seconds to its first message, and from each message to the next."""

    first_s: float
    gaps_s: tuple[float, ...]


class Prober:
    """Requests to models on one Triton."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._whole = channel.unary_unary(f"{SERVICE}ModelInfer", None, None)
        self._stream = channel.stream_stream(f"{SERVICE}ModelStreamInfer", None, None)
        self._statistics = channel.unary_unary(
            f"{SERVICE}ModelStatistics",
            request_serializer=pb.ModelStatisticsRequest.SerializeToString,
            response_deserializer=pb.ModelStatisticsResponse.FromString,
        )

    async def measure(self, model: EmulatedModel, *, load: float, seconds: float, seed: int) -> Fidelity:
        """Measure for about `seconds`; with load 0, one request after the other."""
        for _ in range(WARM_UP_CALLS):
            await self._ask(model)
        before = await self._executions(model.name)
        if load:
            generator = random.Random(seed)
            count = max(1, round(peak_rate(model) * load * seconds))
            arrivals = sorted(generator.uniform(0, seconds) for _ in range(count))
            answered = await self._send(model, arrivals)
        else:
            arrivals = [APART_S * number for number in range(APART)]
            answered = await self._one_by_one(model, seconds)
        requests, executions = (
            after - then for after, then in zip(await self._executions(model.name), before, strict=True)
        )
        said = expected(
            model.profile,
            arrivals,
            prompts=[PROMPT_TOKENS] * len(arrivals),
            answers=[ANSWER_TOKENS] * len(arrivals),
            seed=seed,
        )
        whole = model.profile.tokens is None
        return Fidelity(
            model.name,
            load,
            len(answered),
            _measured(answered, whole=whole),
            _simulated(said, arrivals, whole=whole),
            requests / executions if whole and executions else None,
            fmean(said.batches) if whole else None,
        )

    async def _one_by_one(self, model: EmulatedModel, seconds: float) -> list[_Answered]:
        until = time.monotonic() + seconds
        answered = []
        while time.monotonic() < until:
            answered.append(await self._ask(model))
            await asyncio.sleep(PAUSE_S)
        return answered

    async def _send(self, model: EmulatedModel, arrivals: Sequence[float]) -> list[_Answered]:
        began_at = time.monotonic() + 0.1
        async with asyncio.TaskGroup() as group:
            tasks = []
            for at in arrivals:
                await asyncio.sleep(began_at + at - time.monotonic())
                tasks.append(group.create_task(self._ask(model), name="request"))
        return [task.result() for task in tasks]

    async def _ask(self, model: EmulatedModel) -> _Answered:
        began_at = time.monotonic()
        if model.profile.tokens is None:
            await self._whole(infer_request(model.name, size_bytes=REQUEST_BYTES))
            return _Answered(time.monotonic() - began_at, ())
        message = infer_request(
            model.name, size_bytes=REQUEST_BYTES, prompt_tokens=PROMPT_TOKENS, answer_tokens=ANSWER_TOKENS
        )
        times = [time.monotonic() async for _ in self._stream(_only(message))]
        return _Answered(times[0] - began_at, tuple(b - a for a, b in pairwise(times)))

    async def _executions(self, model: str) -> tuple[int, int]:
        """Requests so far, and the batches that they ran in."""
        answer = await self._statistics(pb.ModelStatisticsRequest(name=model))
        entries = list(answer.model_stats)
        return sum(entry.inference_count for entry in entries), sum(entry.execution_count for entry in entries)


def peak_rate(model: EmulatedModel) -> float:
    """Requests a second that a model answers at most; of token streams, no more than this machine carries."""
    tokens = model.profile.tokens
    if tokens is None:
        return model.profile.peak_rate
    most = tokens.max_sequences
    seconds = most * tokens.prefill(PROMPT_TOKENS) + ANSWER_TOKENS * tokens.step(most)
    return min(most / seconds, MOST_TOKENS_PER_S / ANSWER_TOKENS)


def _measured(answered: Sequence[_Answered], *, whole: bool) -> dict[str, Figures]:
    first = _figures([each.first_s for each in answered])
    if whole:
        return {"answer": first}
    return {
        "first": first,
        "mean_gap": _figures([fmean(each.gaps_s) for each in answered]),
        "longest_gap": _figures([max(each.gaps_s) for each in answered]),
    }


def _simulated(said: Expected, arrivals: Sequence[float], *, whole: bool) -> dict[str, Figures]:
    first = _figures([said.first_at[key] - at for key, at in enumerate(arrivals)])
    if whole:
        return {"answer": first}
    steps = ANSWER_TOKENS - 1
    return {
        "first": first,
        "mean_gap": _figures([(said.last_at[key] - at) / steps for key, at in said.first_at.items()]),
        "longest_gap": _figures([*said.longest_gap_s.values()]),
    }


def _figures(values: Sequence[float]) -> Figures:
    p50, p95 = np.percentile(values, [50, 95])
    return Figures(float(p50), float(p95))


async def _only(message: bytes) -> AsyncIterator[bytes]:
    yield message
