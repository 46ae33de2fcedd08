"""Quantities that differ from request to request: sizes, tokens, delays."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


class Distribution(Protocol):
    """Where values come from."""

    def draw(self, generator: np.random.Generator, count: int) -> Values:
        """`count` of them."""


@dataclass(frozen=True, slots=True)
class Constant:
    """Always the same."""

    value: float

    def draw(self, generator: np.random.Generator, count: int) -> Values:
        """`count` times the value."""
        return np.full(count, self.value)


@dataclass(frozen=True, slots=True)
class Uniform:
    """Anything from `low` to `high`."""

    low: float
    high: float

    def draw(self, generator: np.random.Generator, count: int) -> Values:
        """Independent values."""
        return generator.uniform(self.low, self.high, count)


@dataclass(frozen=True, slots=True)
class Lognormal:
    """`median` times e to a normal of deviation `sigma`."""

    median: float
    sigma: float

    def draw(self, generator: np.random.Generator, count: int) -> Values:
        """Independent values."""
        return generator.lognormal(math.log(self.median), self.sigma, count)


@dataclass(frozen=True, slots=True)
class Recorded:
    """Values as recorded, from the first on and over again."""

    values: tuple[float, ...]

    def draw(self, generator: np.random.Generator, count: int) -> Values:
        """The first `count` of them."""
        return np.resize(np.array(self.values), count)
