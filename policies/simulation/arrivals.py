"""When requests are sent: Poisson with a rate that holds for a time and then changes, or recorded times."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np

from policies.simulation.distribution import Values

DIURNAL_STEPS = 100
"""Pieces of constant rate in one period: the rate is off by at most 3 % of high - low (sin's slope, 2π / 100 / 2)."""


class Arrivals(Protocol):
    """A process that sends requests."""

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Ascending, from 0 to `seconds`."""


def _poisson(pieces: Iterator[tuple[float, float]], generator: np.random.Generator, seconds: float) -> Values:
    """Times from (rate, hold) pieces, until `seconds` are full."""
    start = 0.0
    times = []
    while start < seconds:
        rate, hold = next(pieces)
        end = min(start + hold, seconds)
        count = generator.poisson(rate * (end - start))
        times.append(np.sort(generator.uniform(start, end, count)))
        start = end
    return np.concatenate(times)


@dataclass(frozen=True, slots=True)
class Stable:
    """Each rate (requests a second) holds for `hold` seconds, in turn and over again."""

    rates: tuple[float, ...]
    hold: float

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Poisson at the rates."""
        return _poisson(self._pieces(), generator, seconds)

    def _pieces(self) -> Iterator[tuple[float, float]]:
        while True:
            yield from ((rate, self.hold) for rate in self.rates)


@dataclass(frozen=True, slots=True)
class Unpredictable:
    """A random rate that holds for a random time, then another; both drawn between low and high."""

    rate: tuple[float, float]
    hold: tuple[float, float]
    distribution: Literal["uniform", "loguniform"] = "uniform"
    """Of the rate. The time is uniform."""

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Poisson at the rates."""
        return _poisson(self._pieces(generator), generator, seconds)

    def _pieces(self, generator: np.random.Generator) -> Iterator[tuple[float, float]]:
        low, high = self.rate
        while True:
            if self.distribution == "uniform":
                rate = generator.uniform(low, high)
            else:
                rate = math.exp(generator.uniform(math.log(low), math.log(high)))
            yield rate, generator.uniform(*self.hold)


@dataclass(frozen=True, slots=True)
class Mmpp:
    """Markov-modulated: states with a rate each, left after an exponential time for another, any as likely."""

    rates: tuple[float, ...]
    mean_hold: tuple[float, ...]

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Poisson at the state's rate; the first state is drawn."""
        return _poisson(self._pieces(generator), generator, seconds)

    def _pieces(self, generator: np.random.Generator) -> Iterator[tuple[float, float]]:
        states = len(self.rates)
        state = int(generator.integers(states))
        while True:
            yield self.rates[state], generator.exponential(self.mean_hold[state])
            if states > 1:
                state = (state + 1 + int(generator.integers(states - 1))) % states


@dataclass(frozen=True, slots=True)
class Diurnal:
    """The rate swings as a cosine from `low` to `high` and back once in `period` seconds."""

    low: float
    high: float
    period: float

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Poisson at the rate."""
        return _poisson(self._pieces(), generator, seconds)

    def _pieces(self) -> Iterator[tuple[float, float]]:
        hold = self.period / DIURNAL_STEPS
        while True:
            for step in range(DIURNAL_STEPS):
                phase = 2 * math.pi * (step + 0.5) / DIURNAL_STEPS
                yield self.low + (self.high - self.low) * (1 - math.cos(phase)) / 2, hold


@dataclass(frozen=True, slots=True)
class Flash:
    """`base`, but `peak` for `hold` seconds from `at` on."""

    base: float
    peak: float
    at: float
    hold: float

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Poisson at the rates."""
        pieces = iter([(self.base, self.at), (self.peak, self.hold), (self.base, math.inf)])
        return _poisson(pieces, generator, seconds)


@dataclass(frozen=True, slots=True)
class RecordedTimes:
    """Times as recorded; the same for every seed."""

    at: tuple[float, ...]

    def times(self, generator: np.random.Generator, seconds: float) -> Values:
        """Those before `seconds`."""
        times = np.array(self.at)
        return times[times < seconds]
