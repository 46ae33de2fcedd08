"""What one decision of a policy takes in the daemon's `Selection`, on an event loop, with requests under way."""

from __future__ import annotations

import asyncio
import heapq
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass

from ops.bench.figures import percentile
from policies.simulation.workload import Workload
from policies.traffic import TrafficClass
from proxy.daemon.routes import Backend, CandidateSettings, Route, RouteCandidate, Routes, RouteSettings
from proxy.daemon.selection import RoutedRequest, Selection
from proxy.daemon.sequences import Sequences
from proxy.daemon.triton import InferFacts
from proxy.daemon.way_back import TunnelPath, WaysBack
from proxy.errors import CallError, Code
from proxy.testing.calls import MemoryCarrier, hanging

TUNNEL = "192.0.2.1:4433"
PATH = TunnelPath(rtt_s=0.1, rate_bytes_s=625_000.0)
"""A round trip of 100 ms, 5 Mbit/s: the poster's link."""
ANSWER_BYTES = 2000
FACTS = InferFacts("", None, sequence_start=False, sequence_end=False, timeout_s=None, empty_final=False)
GIVEN_UP_S = 0.5
"""After the predicted finish, where none is predicted: without one nothing would ever end."""


@dataclass(frozen=True, slots=True)
class DecisionTimes:
    """Seconds. Wall time has in it what else the machine did meanwhile; CPU time is this thread's alone."""

    p50_s: float
    p99_s: float
    longest_s: float
    cpu_p50_s: float
    cpu_p99_s: float
    hold_s: float
    """The longest that the event loop went without a turn for another task: a decision and the loop's own work."""


class DecisionLoad:
    """A daemon's selection for one route, and requests that arrive there, are sent, and end as predicted."""

    def __init__(self, policy: str, workload: Workload, *, rate: float, seed: int) -> None:
        classes = {kind.traffic.name: kind.traffic for kind in workload.classes}
        self._kinds: list[TrafficClass] = [*classes.values()]
        self._sizes: Mapping[str, bytes] = {name: bytes(8192) for name in classes}
        self._streaming = workload.streaming
        self._rate = rate
        self._rng = random.Random(seed)
        self._now = 1000.0
        self._under_way: list[tuple[float, int, RouteCandidate]] = []
        self._number = 0
        candidates = tuple(
            CandidateSettings("a", candidate.model, candidate.quality, candidate.profile)
            for candidate in workload.candidates
        )
        backends = {"a": Backend("a", "a:8001", MemoryCarrier(hanging()))}
        self._route: Route = next(iter(Routes([RouteSettings("llm", policy, candidates)], backends)))
        for name in classes:
            self._route.answers.answered(name, ANSWER_BYTES)
        self._selection = Selection(classes, Sequences(), WaysBack(lambda: {TUNNEL: PATH}))
        self.shed = 0

    def decide(self) -> tuple[float, float]:
        """Take the next request, and the seconds that its decision took by the wall and of this thread's CPU."""
        self._now = now = self._now + self._rng.expovariate(self._rate)
        while self._under_way and self._under_way[0][0] <= now:
            at, key, candidate = heapq.heappop(self._under_way)
            candidate.load.finished(key, Code.OK, now=at)
        kind = self._rng.choice(self._kinds)
        deadline_at = now + kind.deadline_s - PATH.rtt_s / 2
        message = self._sizes[kind.name]
        request = RoutedRequest(self._route, message, FACTS, kind.name, deadline_at, self._streaming, TUNNEL)
        selected = None
        cpu_ns, wall_ns = time.thread_time_ns(), time.perf_counter_ns()
        try:
            selected = self._selection.choose(request, now=now)
        except CallError:
            self.shed += 1
        wall_s, cpu_s = (time.perf_counter_ns() - wall_ns) / 1e9, (time.thread_time_ns() - cpu_ns) / 1e9
        if selected is not None:
            self._send(selected.candidate, now)
        return wall_s, cpu_s

    def _send(self, candidate: RouteCandidate, now: float) -> None:
        self._number += 1
        ends_at = candidate.load.account.candidate(now=now).predicted_finish_at
        candidate.load.sent(self._number, now=now)
        heapq.heappush(self._under_way, (ends_at or now + GIVEN_UP_S, self._number, candidate))


async def decision_times(load: DecisionLoad, decisions: int, *, warm_up: int) -> DecisionTimes:
    """One decision in each turn of the running loop, while another task notes how long it waits for its own turns."""
    for _ in range(warm_up):
        load.decide()
    wall: list[float] = []
    cpu: list[float] = []
    gaps: list[float] = []
    done = asyncio.Event()

    async def watch() -> None:
        seen_ns = time.perf_counter_ns()
        while not done.is_set():
            await asyncio.sleep(0)
            now_ns = time.perf_counter_ns()
            gaps.append((now_ns - seen_ns) / 1e9)
            seen_ns = now_ns

    async with asyncio.TaskGroup() as group:
        group.create_task(watch(), name="watch")
        for _ in range(decisions):
            await asyncio.sleep(0)
            wall_s, cpu_s = load.decide()
            wall.append(wall_s)
            cpu.append(cpu_s)
        done.set()
    wall.sort()
    cpu.sort()
    return DecisionTimes(
        p50_s=percentile(wall, 0.5) or 0.0,
        p99_s=percentile(wall, 0.99) or 0.0,
        longest_s=wall[-1],
        cpu_p50_s=percentile(cpu, 0.5) or 0.0,
        cpu_p99_s=percentile(cpu, 0.99) or 0.0,
        hold_s=max(gaps),
    )
