"""The demo's load: three traffic classes, arriving independently of the answers, and the count of what came back."""

from __future__ import annotations

import asyncio
import math
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field

from proxy.clock import Clock


@dataclass(frozen=True, slots=True)
class ClassLoad:
    """What the demo sends of one traffic class."""

    name: str
    deadline_s: float
    rate_hz: float
    """Requests per second on average."""
    tokens: int
    """Bytes that each request asks the model to write."""


CLASSES = (
    ClassLoad("realtime", deadline_s=1.0, rate_hz=8.0, tokens=16),
    ClassLoad("standard", deadline_s=2.0, rate_hz=5.0, tokens=48),
    ClassLoad("bulk", deadline_s=7.0, rate_hz=2.0, tokens=160),
)
"""The classes of the configuration's defaults, at rates that two cores serve with all three models in use."""

PROMPTS = (
    "The for statement is used to ",
    "A list is a ",
    "An exception is raised when ",
    "The import statement ",
    "Function definitions may ",
    "Dictionaries compare equal if ",
    "In a class body, ",
    "A string literal can be ",
)
"""Beginnings in the manner of what the models were trained on, Python's help topics."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of the load."""

    at_s: float
    """Seconds after the load's start."""
    load: ClassLoad
    prompt: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a request ended."""

    model: str = ""
    """The model that answered."""
    error: str = ""
    """The status and message of a request that failed; empty for one that was answered."""


Ask = Callable[[Arrival], Awaitable[Answer]]
"""Sends one request and waits for its answer; a call that fails is an `Answer`, too."""


@dataclass(slots=True)
class ClassTally:
    """What became of the requests of one class so far."""

    load: ClassLoad
    sent: int = 0
    answered: int = 0
    on_time: int = 0
    latencies_s: list[float] = field(default_factory=list)
    models: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)

    def add(self, answer: Answer, latency_s: float) -> None:
        """Count one answer, `latency_s` after its request."""
        if answer.error:
            self.errors[answer.error] += 1
            return
        self.answered += 1
        self.on_time += latency_s <= self.load.deadline_s
        self.latencies_s.append(latency_s)
        self.models[answer.model] += 1

    def latency_s(self, share: float) -> float:
        """The latency within which `share` of the answers came (nearest rank), NaN before the first."""
        if not self.latencies_s:
            return math.nan
        return sorted(self.latencies_s)[max(0, math.ceil(share * len(self.latencies_s)) - 1)]


def new_tallies(loads: Sequence[ClassLoad] = CLASSES) -> dict[str, ClassTally]:
    """A tally for each class, in order."""
    return {load.name: ClassTally(load) for load in loads}


def arrivals(seconds: float, generator: random.Random, loads: Sequence[ClassLoad] = CLASSES) -> list[Arrival]:
    """A Poisson process for each class, merged in order of time."""
    drawn: list[Arrival] = []
    for load in loads:
        at_s = generator.expovariate(load.rate_hz)
        while at_s < seconds:
            drawn.append(Arrival(at_s, load, generator.choice(PROMPTS)))
            at_s += generator.expovariate(load.rate_hz)
    return sorted(drawn, key=lambda arrival: arrival.at_s)


async def send_load(
    schedule: Sequence[Arrival], ask: Ask, tallies: dict[str, ClassTally], *, clock: Clock, seconds: float = 0.0
) -> None:
    """Send each request at its time, whatever became of others; end when all are answered, not before `seconds`."""
    started_at = clock.now()

    async def send(arrival: Arrival) -> None:
        tally = tallies[arrival.load.name]
        tally.sent += 1
        sent_at = clock.now()
        tally.add(await ask(arrival), clock.now() - sent_at)

    async with asyncio.TaskGroup() as requests:
        for arrival in schedule:
            await asyncio.sleep(max(0.0, started_at + arrival.at_s - clock.now()))
            requests.create_task(send(arrival))
        await asyncio.sleep(max(0.0, started_at + seconds - clock.now()))
