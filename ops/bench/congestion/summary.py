"""Cells of several seeds → one entry a setting: means and 95 % intervals."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ops.bench.congestion.grid import Cell, cell_of
from ops.bench.figures import Spread, spread

Entry = Mapping[str, Any]


def summarise(entries: Sequence[Entry], order: Sequence[Cell]) -> list[dict[str, Any]]:
    """The summary of a results file, in the order of the settings.

    `ci95` is the half width of Student's interval, None for a single seed.
    """
    by_setting: dict[Cell, list[Entry]] = {}
    for entry in entries:
        by_setting.setdefault(cell_of(entry).setting, []).append(entry)
    found = []
    for setting in dict.fromkeys(cell.setting for cell in order):
        if some := by_setting.get(setting):
            measured = [entry["metrics"] for entry in some]
            keys = setting.as_json()
            del keys["seed"]
            found.append(
                {
                    **keys,
                    "seeds": len(some),
                    "mean": dict(_figures(measured, lambda one: one.mean)),
                    "ci95": dict(_figures(measured, lambda one: one.ci95)),
                }
            )
    return found


def _figures(measured: Sequence[Entry], figure: Callable[[Spread], float | None]) -> Iterator[tuple[str, Any]]:
    for key in dict.fromkeys(key for one in measured for key in one):
        values = [one.get(key) for one in measured]
        if any(isinstance(value, Mapping) for value in values):
            yield key, dict(_figures([value for value in values if isinstance(value, Mapping)], figure))
        else:
            found = spread(values)
            yield key, None if found is None else figure(found)
