"""Requests of token streams: when they arrive, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from policies.reward import is_on_time
from policies.simulation.trace import draw
from policies.simulation.workload import Workload

CUT = "CUT"
"""Status of a request that was late already when the cell ended, and not answered."""


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """One request, before it is sent."""

    number: int
    traffic_class: str
    arrival_s: float
    """From the beginning of the cell."""
    size_bytes: int
    """Of the request."""
    prompt_tokens: int
    answer_tokens: int
    deadline_s: float
    """From the arrival to the first token at the client."""
    token_deadline_s: float
    """From one token at the client to the next."""


@dataclass(frozen=True, slots=True)
class TokenOutcome:
    """What became of a request. Times are seconds from the beginning of the cell."""

    number: int
    traffic_class: str
    arrival_s: float
    """When it was due to be sent, and is counted from; a client that is behind does not shorten it."""
    sent_s: float
    """When the client sent it."""
    first_s: float | None
    """When the first token came; None without one."""
    longest_gap_s: float
    """The longest time from one token to the next."""
    done_s: float | None
    """When the answer ended; None where it had not when the cell did."""
    tokens: int
    """How many came."""
    model: str | None
    """Which one answered."""
    status: str
    """The gRPC status, or `CUT`."""
    on_time: bool

    @property
    def first_latency_s(self) -> float | None:
        """From arrival to the first token."""
        return None if self.first_s is None else self.first_s - self.arrival_s


def draw_requests(workload: Workload, seed: int) -> tuple[TokenRequest, ...]:
    """The requests of every cell of this workload and seed, by arrival: those of the simulator's trace."""
    trace = draw(workload, seed)
    order = sorted(range(len(trace)), key=trace.sent_at.__getitem__)
    found = []
    for number, place in enumerate(order):
        kind = workload.classes[trace.kind[place]].traffic
        found.append(
            TokenRequest(
                number,
                kind.name,
                trace.sent_at[place],
                trace.size_bytes[place],
                trace.prompt_tokens[place],
                trace.answer_tokens[place],
                kind.deadline_s,
                kind.token_deadline_s,
            )
        )
    return tuple(found)


def met_deadlines(
    request: TokenRequest, *, first_s: float | None, longest_gap_s: float, tokens: int, status: str
) -> bool:
    """Whether the whole answer came, each token by its own deadline."""
    return (
        status == "OK"
        and first_s is not None
        and tokens == request.answer_tokens
        and is_on_time(
            delivered_at=first_s,
            deadline_at=request.arrival_s + request.deadline_s,
            longest_gap_s=longest_gap_s,
            token_deadline_s=request.token_deadline_s,
        )
    )


def write_requests(file: Path, requests: Sequence[TokenRequest]) -> None:
    """For the client."""
    file.write_text(json.dumps([asdict(request) for request in requests]))


def read_requests(file: Path) -> list[TokenRequest]:
    """What `write_requests` wrote."""
    return [TokenRequest(**item) for item in json.loads(file.read_text())]


def write_outcomes(file: Path, outcomes: Sequence[TokenOutcome]) -> None:
    """For the experiment."""
    file.write_text(json.dumps([asdict(outcome) for outcome in outcomes]))


def read_outcomes(file: Path) -> tuple[TokenOutcome, ...]:
    """What `write_outcomes` wrote."""
    return tuple(TokenOutcome(**item) for item in json.loads(file.read_text()))
