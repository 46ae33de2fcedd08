from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from policies.simulation.model import Model


class Bench:
    """Runs one model alone: keeps its appointments and writes down what it tells."""

    def __init__(self) -> None:
        self.log: list[tuple[object, ...]] = []
        self._due: list[tuple[float, object]] = []

    def later(self, at: float, what: object) -> None:
        self._due.append((at, what))

    def run(self, model: Model, submissions: dict[float, Callable[[], None]] | None = None) -> None:
        """To the end, with calls at times."""
        calls = dict(submissions or {})
        while self._due or calls:
            first_due = min((at for at, _ in self._due), default=float("inf"))
            first_call = min(calls, default=float("inf"))
            if first_call < first_due:
                calls.pop(first_call)()
                continue
            entry = next(entry for entry in self._due if entry[0] == first_due)
            self._due.remove(entry)
            model.due(entry[1], now=entry[0])

    def began(self, model: int, key: int, now: float) -> None:
        self.log.append(("began", key, round(now, 6)))

    def answered(self, model: int, keys: Sequence[int], longest_gap_s: float, now: float) -> None:
        self.log.append(("answered", tuple(keys), round(longest_gap_s, 6), round(now, 6)))

    def failed(self, model: int, keys: Sequence[int], now: float) -> None:
        self.log.append(("failed", tuple(keys), round(now, 6)))


@pytest.fixture
def bench() -> Bench:
    return Bench()
