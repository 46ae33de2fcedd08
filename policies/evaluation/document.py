"""The results file, in the format that the experiments share."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from policies.evaluation.jobs import Cell
from policies.evaluation.summary import NO_NETWORK, metrics, summarise
from policies.simulation.results import MixPoint
from policies.simulation.workload import Workload

FORMAT = 1
DIGITS = 5
"""Of a figure in the file; scores of 20 seeds differ in the third."""


def document(
    cells: Sequence[Cell],
    workloads: Sequence[Workload],
    *,
    about: Mapping[str, Any],
    notes: Mapping[str, Any],
) -> dict[str, Any]:
    """What `--json` writes: `about` the run (command, commit, machine), and what else is to be known.

    Each cell of a workload's first seed has `mix`, the models over time beside the arrival rate.
    """
    first = {workload.name: min(_seeds(cells, workload.name), default=None) for workload in workloads}
    content = {
        "experiment": "serving",
        "format": FORMAT,
        **about,
        "scenario": {"workloads": {workload.name: asdict(workload) for workload in workloads}},
        **notes,
        "cells": [_cell(cell, with_mix=cell.result.seed == first[cell.result.workload]) for cell in cells],
        "summary": summarise(cells),
    }
    plain: dict[str, Any] = _plain(content)
    return plain


def as_json(content: Mapping[str, Any]) -> str:
    """The file's text: a line for each cell and entry, of which there are thousands."""
    parts = []
    for key, value in content.items():
        if key in {"cells", "summary"}:
            rows = ",\n  ".join(json.dumps(row, ensure_ascii=False) for row in value)
            parts.append(f"{json.dumps(key)}: [\n  {rows}\n ]")
        else:
            parts.append(f"{json.dumps(key)}: {json.dumps(value, ensure_ascii=False)}")
    return "{\n " + ",\n ".join(parts) + "\n}\n"


def _seeds(cells: Sequence[Cell], workload: str) -> list[int]:
    return [cell.result.seed for cell in cells if cell.result.workload == workload]


def _cell(cell: Cell, *, with_mix: bool) -> dict[str, Any]:
    result = cell.result
    entry = {**NO_NETWORK, "policy": cell.contestant.name, "workload": result.workload, "seed": result.seed}
    mix = {"mix": _columns(result.mix)} if with_mix else {}
    return {**entry, "requests": result.requests, "metrics": metrics(cell), **mix}


def _columns(mix: Sequence[MixPoint]) -> dict[str, Any]:
    """Points by column: `share` has one for each model, and `shed` and `failed`."""
    names = mix[0].share if mix else {}
    return {
        "at_s": [round(point.at, 2) for point in mix],
        "rate": [round(point.rate, 2) for point in mix],
        "share": {name: [round(point.share[name], 3) for point in mix] for name in names},
    }


def _plain(value: Any) -> Any:
    """As JSON can say it: infinity, which it has no number for, is None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items() if not str(key).startswith("_")}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, DIGITS) if math.isfinite(value) else None
    return value
