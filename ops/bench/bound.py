"""What no schedule can exceed: the weight of requests on time that a clairvoyant one reaches at most.

It knows all arrivals, sizes and deadlines and the link's rate, and may interrupt any message anywhere. A message that
goes up may be sent from the request's arrival and must leave time for both delays and for the answer's own bytes; an
answer may be sent once the request can have arrived and must leave time for the way back. On one direction a set of
messages can be sent in time by interruption if and only if for every pair of a release and a due time the messages
released and due between them fit between them (Horn, 1974). Each pair is a row of an integer programme with one binary
variable a request, for both directions at once. As the directions are coupled by no more than the request's being kept
in both, and as answers may be released earlier than any real server could, the programme's optimum is at least what any
schedule reaches: an upper bound. Rows are added as solutions break them, first to the linear relaxation; HiGHS, through
scipy, solves the programme.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import Bounds, LinearConstraint, OptimizeResult, milp  # type: ignore[import-untyped]

from proxy.clock import Clock, MonotonicClock

_Floats = NDArray[np.float64]
_Row = tuple[_Floats, float]

TOLERANCE_S = 1e-6
"""A row counts as broken by more than this: HiGHS calls a row kept that is broken by up to 1e-6."""
_OPTIMAL = 0
_OUT_OF_TIME = 1


class Request(NamedTuple):
    """One request and its answer."""

    arrived_at: float
    """Seconds."""
    up_bytes: int
    down_bytes: int
    deadline: float
    """When the answer is due where the request came from; seconds, on the clock of `arrived_at`."""
    weight: float = 1.0
    service_s: float = 0.0
    """From the request's last byte to the answer's first at the server."""


class Path(NamedTuple):
    """Two directions of the same kind."""

    rate_bytes_s: float
    """What a direction carries, headers included."""
    delay_s: float
    """One way."""
    payload_bytes: int = 1200
    """What a full packet has of messages, and ..."""
    overhead_bytes: int = 0
    """... of headers; a message's last packet has as many."""

    def time_s(self, size_bytes: int) -> float:
        """How long a direction needs for a message."""
        packets = -(-size_bytes // self.payload_bytes)
        return (size_bytes + packets * self.overhead_bytes) / self.rate_bytes_s


class Bound(NamedTuple):
    """What the programme says."""

    weight: float
    """No schedule has more weight on time."""
    total: float
    """The weight of all requests."""
    tight: bool
    """Whether this is the programme's optimum. If the time ran out before that was found, it is the lowest bound that
    had been proved."""

    @property
    def share(self) -> float:
        """The bound as a share of all weight; 1 where there is none."""
        return self.weight / self.total if self.total else 1.0


class _Direction:
    """The messages of one direction: each needs `work_s` between its release and its due time."""

    def __init__(self, release: _Floats, due: _Floats, work_s: _Floats) -> None:
        self._release = release
        self._due = due
        self._work_s = work_s
        self._by_due = np.argsort(due, kind="stable")

    @property
    def fits_alone(self) -> NDArray[np.bool_]:
        """Which messages are in time on a direction that has nothing else to do."""
        return self._release + self._work_s <= self._due + TOLERANCE_S

    def broken(self, kept: _Floats) -> list[_Row]:
        """Rows that a choice breaks, with their limits: for each release the pair that is broken by most."""
        order = self._by_due
        due = self._due[order]
        rows = []
        for start in np.unique(self._release[kept > 0]):
            inside = self._release[order] >= start
            excess = np.cumsum(np.where(inside, self._work_s[order] * kept[order], 0.0)) - (due - start)
            worst = int(np.argmax(np.where(inside, excess, -np.inf)))
            if excess[worst] > TOLERANCE_S:
                within = (self._release >= start) & (self._due <= due[worst])
                rows.append((np.where(within, self._work_s, 0.0), max(float(due[worst] - start), 0.0)))
        return rows


def on_time_bound(
    requests: Sequence[Request], path: Path, *, time_limit_s: float = 10.0, clock: Clock | None = None
) -> Bound:
    """The weight that can be on time at most. Raises ArithmeticError if the solver fails otherwise than by its time."""
    total = float(sum(request.weight for request in requests))
    clock = clock or MonotonicClock()
    give_up_at = clock.now() + time_limit_s
    directions = _directions(requests, path)
    possible = np.logical_and(*(direction.fits_alone for direction in directions))
    requests = [request for request, fits in zip(requests, possible, strict=True) if fits]
    directions = _directions(requests, path)
    weights = np.array([request.weight for request in requests], dtype=np.float64)
    weight = float(weights.sum())
    rows = _broken(directions, np.ones(len(requests)))
    if not rows:
        return Bound(weight, total, tight=True)
    for whole in (False, True):
        while True:
            result = _solve(weights, rows, whole=whole, time_limit_s=give_up_at - clock.now())
            weight = min(weight, proved(result))
            if result.status == _OUT_OF_TIME:
                return Bound(weight, total, tight=False)
            new = _broken(directions, np.round(result.x) if whole else result.x)
            if not new:
                break
            rows += new
    return Bound(weight, total, tight=True)


def _directions(requests: Sequence[Request], path: Path) -> tuple[_Direction, _Direction]:
    def column(values: Iterable[float]) -> _Floats:
        return np.array(list(values), dtype=np.float64)

    up_s = column(path.time_s(request.up_bytes) for request in requests)
    down_s = column(path.time_s(request.down_bytes) for request in requests)
    arrived_at = column(request.arrived_at for request in requests)
    service_s = column(request.service_s for request in requests)
    back_by = column(request.deadline - path.delay_s for request in requests)
    up = _Direction(arrived_at, back_by - down_s - service_s - path.delay_s, up_s)
    down = _Direction(arrived_at + up_s + path.delay_s + service_s, back_by, down_s)
    return up, down


def _broken(directions: Sequence[_Direction], kept: _Floats) -> list[_Row]:
    return [row for direction in directions for row in direction.broken(kept)]


def _solve(weights: _Floats, rows: Sequence[_Row], *, whole: bool, time_limit_s: float) -> OptimizeResult:
    result = milp(
        -weights,
        integrality=np.full(len(weights), int(whole)),
        bounds=Bounds(0.0, 1.0),
        constraints=LinearConstraint(np.array([row for row, _ in rows]), ub=np.array([limit for _, limit in rows])),
        options={"time_limit": max(time_limit_s, 0.0), "mip_rel_gap": 0.0},
    )
    if result.status not in {_OPTIMAL, _OUT_OF_TIME}:
        raise ArithmeticError(f"the bound's programme was not solved: {result.message}")
    return result


def proved(result: OptimizeResult) -> float:
    """What the solver has proved that no solution exceeds; its best solution so far would be no bound."""
    if result.status == _OPTIMAL:
        return -float(result.fun)
    proved = result.get("mip_dual_bound")
    return math.inf if proved is None else -float(proved)
