"""A small scenario and made-up cells, for the tests of this folder."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ops.bench.end_to_end.grid import Cell
from ops.bench.end_to_end.metrics import metrics, with_simulated
from ops.bench.end_to_end.requests import TokenOutcome, draw_requests
from ops.bench.end_to_end.scenario import EndToEndScenario, parse_scenario
from ops.bench.end_to_end.stations import CellRun
from ops.bench.network.grid import Row

QUIC, EDF, TCP = Row("quic", "adaptive", "bbr"), Row("quic", "edf", "bbr"), Row("tcp", None, "cubic")

SOURCE: Mapping[str, Any] = {
    "name": "pond",
    "seconds": 3,
    "link": {"rate": "10mbit", "delay": "10ms"},
    "workloads": {"stable": {"kind": "stable", "rates": [5], "hold": 3}},
    "classes": {
        "fast": {
            "deadline": 0.5,
            "token_deadline": 0.2,
            "weight": 2,
            "level": "high",
            "size": 1000,
            "prompt_tokens": 10,
            "answer_tokens": 3,
        },
        "slow": {"deadline": 2.0, "token_deadline": 1.0, "priority": 1, "size": 20000, "answer_tokens": 2},
    },
    "candidates": [
        {"model": name, "quality": quality, "latency": {1: 0.1}, "tokens": {"prefill": s, "step": {1: s, 4: 2 * s}}}
        for name, quality, s in (("large", 0.8, 0.04), ("small", 0.4, 0.004))
    ],
    "cells": {
        "policy": ["static:small", "dqn"],
        "columns": [
            {"scheduler": ["edf", "adaptive"], "congestion_control": ["bbr"]},
            {"transport": "tcp", "congestion_control": ["cubic"]},
        ],
    },
}


def scenario(**over: object) -> EndToEndScenario:
    """The scenario, with other values for some keys."""
    return parse_scenario({**SOURCE, **over}, file=Path("pond.yaml"))


def outcomes(pond: EndToEndScenario, seed: int, *, late: int = 0, model: str = "large") -> tuple[TokenOutcome, ...]:
    """Of a seed's requests; the first few late."""
    found = []
    for request in draw_requests(pond.workloads["stable"], seed):
        first_s = request.arrival_s + (request.deadline_s + 1 if request.number < late else 0.1)
        found.append(
            TokenOutcome(
                request.number,
                request.traffic_class,
                request.arrival_s,
                request.arrival_s,
                first_s,
                0.05,
                first_s + 0.1,
                request.answer_tokens,
                model,
                "OK",
                request.number >= late,
            )
        )
    return tuple(found)


def entry(pond: EndToEndScenario, cell: Cell, *, late: int = 0, model: str = "large") -> dict[str, Any]:
    """A cell of the results."""
    there = outcomes(pond, cell.seed, late=late, model=model)
    recorded = [{"at": 0.5, "slack_s": 0.3, "way_back_s": 0.01, "choice": model}] if pond.trace else []
    samples = [{"at": 0.0, "mode": "edf", "queue_bytes": 0.0}, {"at": 1.0, "mode": "pruning", "queue_bytes": 9.0}]
    run = CellRun(there, 3.5, waited_s={"proxy": 0.1, "daemon": 0.2}, samples=samples, decisions=recorded)
    figures = metrics(there, pond.workloads["stable"])
    return {
        **cell.as_json(),
        **run.as_json(),
        "commit": "c",
        "metrics": with_simulated(figures, {"score": 0.5, "by_class": {}}),
    }
