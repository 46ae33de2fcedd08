"""What the daemon's policy saw and chose, from the traces of a cell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from proxy.telemetry import names
from proxy.tracefile.spans import LineError, OtherSignalError, parse_line

NS = 1e9


def decisions(file: Path, *, began_unix_s: float) -> list[dict[str, Any]]:
    """Every decision by time: `at` in seconds from the cell's beginning, `slack_s`, `way_back_s`, `choice`.

    `slack_s` is what a model may take for the first token to be in time. Lines that can't be read are left out. Raises
    OSError.
    """
    found = []
    for line in file.read_bytes().splitlines():
        try:
            spans = list(parse_line(line))
        except (LineError, OtherSignalError):
            continue
        for span in spans:
            for event in span.events:
                if event.name == names.DECISION:
                    told = event.attributes
                    found.append(
                        {
                            "at": round(event.at_ns / NS - began_unix_s, 3),
                            "slack_s": _seconds(told.get(names.DECISION_SLACK)),
                            "way_back_s": _seconds(told.get(names.DECISION_WAY_BACK)),
                            "choice": told.get(names.DECISION_CHOICE),
                        }
                    )
    return sorted(found, key=lambda one: float(one["at"]))


def _seconds(milliseconds: object) -> float | None:
    return round(milliseconds / 1000, 4) if isinstance(milliseconds, int | float) else None
