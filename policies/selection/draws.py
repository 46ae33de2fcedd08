"""Seeded draws for policies that choose by chance.

`policies` imports no generator of its own: whoever makes a policy may hand in anything that has `random()`, such as
`random.Random(seed)`. `SplitMix64` is for those who hand in nothing.
"""

from __future__ import annotations

from typing import Protocol

_MASK = (1 << 64) - 1


class Draws(Protocol):
    """A source of numbers between 0 and 1."""

    def random(self) -> float:
        """The next number, at least 0 and below 1."""


class SplitMix64:
    """Draws that depend on the seed alone, the same on every Python.

    The generator of Steele, Lea and Flood, "Fast splittable pseudorandom number generators" (OOPSLA 2014): a counter
    that advances by the golden ratio, and a mixing function. The constants are theirs.
    """

    def __init__(self, seed: int = 0) -> None:
        self._state = seed & _MASK

    def random(self) -> float:
        """The next number, at least 0 and below 1, a multiple of 2⁻⁵³."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & _MASK
        mixed = self._state
        mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _MASK
        mixed ^= mixed >> 31
        return (mixed >> 11) / (1 << 53)
