"""What a simulated model has in common whatever its way of batching: its clock, its spread, its failures."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

Later = Callable[[float, object], None]
"""Have the model called back (`due`) at a time, with something of its own."""


class Outcomes(Protocol):
    """Where a model tells what became of requests, by their keys."""

    def began(self, model: int, key: int, now: float) -> None:
        """The first token is out, and more follow."""

    def answered(self, model: int, keys: Sequence[int], longest_gap_s: float, now: float) -> None:
        """The last of the answers is out."""

    def failed(self, model: int, keys: Sequence[int], now: float) -> None:
        """They failed through the model's fault."""


class Model(Protocol):
    """One model on one Triton. Requests are given to it only while it is not down."""

    def submit(self, key: int, *, now: float) -> None:
        """A request comes."""

    def withdraw(self, key: int) -> None:
        """A request is cancelled: it leaves the queue. One that runs runs on, and its answer is for nobody."""

    def due(self, what: object, *, now: float) -> None:
        """A time that it asked for has come."""

    def fail(self, *, now: float) -> None:
        """It goes down; all of its requests fail."""

    def slow(self, factor: float) -> None:
        """What begins from now on takes `factor` times as long."""


class Spread:
    """Factors of latencies about the median, lognormal."""

    __slots__ = ("_factors", "_generator", "_sigma")

    CHUNK = 1024
    """Drawn at once: a draw of one costs about as much as of a hundred."""

    def __init__(self, deviation: float, generator: np.random.Generator) -> None:
        self._sigma = math.sqrt(math.log1p(deviation**2))
        self._generator = generator
        self._factors: list[float] = []

    def next(self) -> float:
        """The next factor."""
        if not self._sigma:
            return 1.0
        if not self._factors:
            self._factors = self._generator.lognormal(0.0, self._sigma, self.CHUNK).tolist()
        return self._factors.pop()
