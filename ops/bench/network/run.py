"""What running one cell brings, over either link."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from ops.bench.network.requests import Outcome


@dataclass(frozen=True, slots=True)
class CellRun:
    """A cell that ran to its end."""

    outcomes: tuple[Outcome, ...]
    link: Mapping[str, Any] = field(default_factory=dict)
    """What became of the packets, by direction: `up` is the requests'."""
    cpu_s: Mapping[str, float] = field(default_factory=dict)
    """CPU time from the first arrival to the last answer, by process."""
    waited_s: Mapping[str, float] = field(default_factory=dict)
    """How long a process's threads were ready to run and had no core, in that time: on a machine with cores to spare,
    a few hundredths of a second."""
    lateness_s: float = 0.0
    """The longest that the client was behind an arrival."""
    wire: Mapping[str, Mapping[str, Sequence[int]]] = field(default_factory=dict)
    """Where it was recorded: bytes of each class that the schedulers let out, by direction, in bins of `BIN_S`."""

    def as_json(self) -> dict[str, Any]:
        """For the journal. Outcomes are lists, in the order of `Outcome`'s fields, to the microsecond."""
        return {
            "link": dict(self.link),
            "cpu_s": {name: round(value, 3) for name, value in self.cpu_s.items()},
            "waited_s": {name: round(value, 3) for name, value in self.waited_s.items()},
            "lateness_s": round(self.lateness_s, 6),
            "wire": {direction: dict(series) for direction, series in self.wire.items()},
            "outcomes": [
                [round(value, 6) if isinstance(value, float) else value for value in asdict(outcome).values()]
                for outcome in self.outcomes
            ],
        }


def outcomes_of(entry: Mapping[str, Any]) -> tuple[Outcome, ...]:
    """The outcomes in an entry of the journal."""
    return tuple(Outcome(*values) for values in entry["outcomes"])
