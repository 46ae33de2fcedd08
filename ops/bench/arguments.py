"""What options of several experiments have in common."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T", str, int, float)


def list_of(kind: Callable[[str], T]) -> Callable[[str], list[T]]:
    """Reads `a,b,c`, for argparse, whose complaints name the type."""

    def read(text: str) -> list[T]:
        return [kind(item) for item in text.split(",")]

    read.__name__ = f"comma-separated {kind.__name__}"
    return read


SEEDS = "N|N-M,…"
"""What `seeds` reads, for `--help`."""


def seeds(text: str) -> list[int]:
    """Reads `1,2,6-9`, for argparse. Raises ValueError where that is no number or a range is empty."""
    found: list[int] = []
    for item in text.split(","):
        first, _, last = item.rpartition("-") if item[1:].count("-") else (item, "", item)
        some = range(int(first), int(last) + 1)
        if not some:
            raise ValueError(f"{item} has nothing in it")
        found.extend(some)
    return found
