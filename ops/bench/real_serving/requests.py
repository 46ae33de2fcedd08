"""What the client is told to send, and what it tells of the answers."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np

from policies.simulation.trace import Trace
from policies.simulation.workload import Workload

LEAST_DEADLINE_MS = 1.0
"""For a request whose time is over when it reaches the daemon: it is sent all the same, as in the simulator."""


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """One request. Times are seconds from the beginning."""

    at: float
    """When it is to reach the proxy."""
    traffic_class: str
    deadline_ms: float
    """From then to when its answer must leave the daemon, as far as anyone can know then."""
    size_bytes: int
    answer_bytes: int
    prompt_tokens: int
    answer_tokens: int | None
    """Messages of a token stream; None for a whole answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a request, in the order of the requests."""

    sent_at: float
    first_at: float | None
    """The first message; None where none came."""
    done_at: float | None
    """The last message; None where the answer did not come to its end."""
    longest_gap_s: float
    """From one message to the next."""
    model: str
    """Which candidate answered, by the name of its Triton model; empty where nobody says."""
    status: str
    """Of the call: OK, or the status in its place."""


def planned(workload: Workload, trace: Trace) -> list[PlannedRequest]:
    """The requests of a trace, in its order."""
    sizes = [round(float(described.answer_size.draw(np.random.default_rng(0), 1)[0])) for described in workload.classes]
    streaming = workload.streaming
    return [
        PlannedRequest(
            at=arrived_at,
            traffic_class=workload.classes[trace.kind[place]].traffic.name,
            deadline_ms=max(
                LEAST_DEADLINE_MS,
                1e3 * (trace.deadline_at[place] - arrived_at - trace.known_way_back_s[place]),
            ),
            size_bytes=trace.size_bytes[place],
            answer_bytes=sizes[trace.kind[place]],
            prompt_tokens=trace.prompt_tokens[place],
            answer_tokens=trace.answer_tokens[place] if streaming else None,
        )
        for place, arrived_at in enumerate(trace.arrived_at)
    ]


def write_requests(file: Path, requests: Sequence[PlannedRequest]) -> None:
    """As JSON, a list of lists."""
    file.write_text(json.dumps([astuple(request) for request in requests]))


def read_requests(file: Path) -> list[PlannedRequest]:
    """What `write_requests` wrote."""
    return [PlannedRequest(*values) for values in json.loads(file.read_text())]


def write_answers(file: Path, answers: Sequence[Answer]) -> None:
    """As JSON, a list of lists."""
    file.write_text(json.dumps([astuple(answer) for answer in answers]))


def read_answers(file: Path) -> list[Answer]:
    """What `write_answers` wrote."""
    return [Answer(*values) for values in json.loads(file.read_text())]
