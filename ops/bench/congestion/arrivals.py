"""What a receiver noted, as bytes in steps of time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ops.bench.congestion.backend import arrivals_file
from ops.bench.congestion.wire import STEP_S
from ops.bench.visit import CellError


def read_arrivals(
    directory: Path, number: int, *, begins_at: float, ends_at: float, origin_at: float
) -> dict[str, Any]:
    """A flow's arrivals between two moments. Times are seconds after `origin_at`. Raises `CellError`."""
    file = directory / arrivals_file(number)
    if not file.exists():
        raise CellError(f"nothing of flow {number} arrived")
    arrivals = [(at, size) for at, size in json.loads(file.read_text()) if begins_at <= at < ends_at]
    steps = [0] * (int((ends_at - origin_at) / STEP_S) + 1)
    for at, size in arrivals:
        steps[int((at - origin_at) / STEP_S)] += size
    return {
        "begins_s": round(begins_at - origin_at, 6),
        "ends_s": round(ends_at - origin_at, 6),
        "bytes": sum(size for _, size in arrivals),
        "arrived": steps,
    }
