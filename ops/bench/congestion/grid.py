"""The cells of a scenario, and the order in which they are visited."""

from __future__ import annotations

import random
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ops.bench.congestion.scenario import CongestionScenario, Flow
from ops.link import Direction, LinkSettings, parse_link


@dataclass(frozen=True, slots=True)
class Cell:
    """One run. Cells that differ in the seed only are repetitions."""

    part: str
    flows: tuple[Flow, ...]
    """In the order in which they join."""
    rate_bits_s: float
    loss: float
    queue_bdp: float
    """The link's queue, in what the link holds in a round trip."""
    direction: str
    """up: from the client to the backend; down; both."""
    event: str | None
    """Of the scenario's changes, by name; for `realtime`, the deadline of the bulk calls."""
    seed: int

    def __str__(self) -> str:
        parts = [self.part, " + ".join(map(str, self.flows)), self.direction, f"{self.rate_bits_s / 1e6:g} Mbit/s"]
        parts += [f"loss {self.loss * 100:g} %", f"queue {self.queue_bdp:g} BDP", self.event or "", f"seed {self.seed}"]
        return ", ".join(filter(None, parts))

    @property
    def setting(self) -> Cell:
        """The cell without its seed."""
        return Cell(
            *(self.part, self.flows, self.rate_bits_s, self.loss, self.queue_bdp, self.direction, self.event), seed=0
        )

    def as_json(self) -> dict[str, Any]:
        """The keys that name a cell in the results."""
        first = self.flows[0]
        return {
            "transport": first.transport,
            "scheduler": first.scheduler,
            "congestion_control": first.control,
            "policy": None,
            "workload": self.part if self.event is None else f"{self.part} {self.event}",
            "load": None,
            "part": self.part,
            "flows": [str(flow) for flow in self.flows],
            "rate_bits_s": self.rate_bits_s,
            "loss": self.loss,
            "queue_bdp": self.queue_bdp,
            "direction": self.direction,
            "event": self.event,
            "seed": self.seed,
        }


def cell_of(entry: Mapping[str, Any]) -> Cell:
    """The cell that an entry's keys name."""
    return Cell(
        entry["part"],
        tuple(Flow.parse(text) for text in entry["flows"]),
        entry["rate_bits_s"],
        entry["loss"],
        entry["queue_bdp"],
        entry["direction"],
        entry["event"],
        entry["seed"],
    )


def link_of(cell: Cell, scenario: CongestionScenario) -> LinkSettings:
    """The link of a cell."""
    base = dict(scenario.link)
    round_trip_s = 2 * parse_link(scenario.link, "link").delay_s
    base |= {
        "rate": f"{cell.rate_bits_s:.0f}bit",
        "loss": cell.loss,
        "queue": int(cell.queue_bdp * cell.rate_bits_s / 8 * round_trip_s),
    }
    if cell.part == "changes" and cell.event is not None:
        base["changes"] = list(scenario.changes.events[cell.event])
    return parse_link(base, "link")


def towards(cell: Cell) -> Direction:
    """The direction of the link whose queue and wire a cell is about."""
    return Direction.DOWN if cell.direction == "down" else Direction.UP


def cells(scenario: CongestionScenario, parts: Collection[str]) -> list[Cell]:
    """All cells of some parts, seed after seed.

    The order within a seed is drawn, so that a slow minute of the machine falls on no row more than on others.
    """
    found: list[Cell] = []
    for seed in scenario.seeds:
        some = [cell for part, make in _PARTS.items() if part in parts for cell in make(scenario, seed)]
        random.Random(f"order {seed}").shuffle(some)
        found.extend(some)
    return found


def usable(
    wanted: Sequence[Cell],
    *,
    schedulers: Collection[str],
    congestion_controls: Collection[str],
    kernel_controls: Collection[str],
) -> tuple[list[Cell], dict[str, str]]:
    """The cells that can be run here, and what stands in the way of the others, one reason a name."""
    found: list[Cell] = []
    missing: dict[str, str] = {}
    for cell in wanted:
        lacking: dict[str, str] = {}
        for flow in cell.flows:
            if flow.transport != "quic" and flow.control not in kernel_controls:
                lacking[f"{flow.transport}/{flow.control}"] = "not in this kernel"
            elif flow.transport == "quic" and flow.scheduler not in schedulers:
                lacking[f"scheduler {flow.scheduler}"] = "not in this version"
            elif flow.transport == "quic" and flow.control not in congestion_controls:
                lacking[f"congestion control {flow.control}"] = "not in this version"
        missing |= lacking
        if not lacking:
            found.append(cell)
    return found, missing


def _goodput(scenario: CongestionScenario, seed: int) -> Iterator[Cell]:
    part = scenario.goodput
    for flow in part.flows:
        for rate in part.rates_bits_s:
            for loss in part.losses:
                for queue in part.queues_bdp:
                    for direction in part.directions:
                        yield Cell("goodput", (flow,), rate, loss, queue, direction, None, seed)


def _realtime(scenario: CongestionScenario, seed: int) -> Iterator[Cell]:
    part = scenario.realtime
    for flow in part.flows:
        for loss in part.losses:
            for due in part.bulk_deadlines:
                yield Cell("realtime", (flow,), scenario.rate_bits_s, loss, part.queue_bdp, "both", due, seed)


def _fairness(scenario: CongestionScenario, seed: int) -> Iterator[Cell]:
    part = scenario.fairness
    for pair in part.pairs:
        for queue in part.queues_bdp:
            yield Cell("fairness", pair, scenario.rate_bits_s, 0.0, queue, "up", None, seed)


def _changes(scenario: CongestionScenario, seed: int) -> Iterator[Cell]:
    part = scenario.changes
    for flow in part.flows:
        for event in part.events:
            yield Cell("changes", (flow,), scenario.rate_bits_s, 0.0, part.queue_bdp, "up", event, seed)


_PARTS = {"goodput": _goodput, "realtime": _realtime, "fairness": _fairness, "changes": _changes}
PARTS = tuple(_PARTS)
