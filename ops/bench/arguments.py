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
