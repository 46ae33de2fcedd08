"""The scenario of `real_serving`: YAML file → record.

name: real-serving
workloads: [stable, unpredictable]     # shipped workloads, or files beside this one or by path
policies: [static:small, greedy, dqn]  # a static one by the candidate's name in the workload
seeds: [1, 2, 3]
settle: 1.0                            # seconds past the last deadline until requests without an answer are given up
scheduler: edf
headway: {}                            # laid on the configuration of proxy and daemon
quick: {…}                             # keys that --quick replaces
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ops.bench.keys import Keys, read_file
from ops.bench.scenario import SHIPPED
from policies.scheduling.registry import SCHEDULERS
from policies.selection.registry import make_policy, require_candidate
from policies.simulation.keys import WorkloadError
from policies.simulation.workload import Workload
from policies.simulation.workload_file import read_workload, shipped_workloads

SHIPPED_SCENARIO = SHIPPED / "real-serving.yaml"

_TOP = ("name", "workloads", "policies", "seeds", "settle", "scheduler", "headway", "quick")


@dataclass(frozen=True, slots=True)
class RealServingScenario:
    """What is measured."""

    name: str
    workloads: Mapping[str, Workload]
    """By their own names."""
    policies: tuple[str, ...]
    seeds: tuple[int, ...]
    settle_s: float
    scheduler: str
    headway: Mapping[str, Any]
    source: Mapping[str, Any]
    """The file's keys, after what `quick` and the command line replaced."""

    @property
    def fingerprint(self) -> str:
        """Equal for runs whose cells may stand in one result."""
        source = [self.settle_s, self.scheduler, self.headway]
        return hashlib.sha256(json.dumps(source, sort_keys=True, default=str).encode()).hexdigest()[:16]


def read_scenario(path: Path, *, quick: bool = False, over: Mapping[str, Any] | None = None) -> RealServingScenario:
    """Read a file, with its `quick` keys and then those of `over` laid on it. Raises `ScenarioError`."""
    return read_file(path, _TOP, lambda source: _parse(source, path.parent), quick=quick, over=over)


def _parse(source: Mapping[str, Any], directory: Path) -> RealServingScenario:
    keys = Keys(source, "", _TOP)
    workloads = {}
    for name in _words(keys, "workloads"):
        workload = _workload(keys, name, directory)
        if workload.name in workloads:
            raise keys.error("workloads", f"two are called {workload.name}")
        workloads[workload.name] = workload
    policies = _words(keys, "policies")
    for spec in policies:
        for workload in workloads.values():
            try:
                require_candidate(spec, {candidate.model for candidate in workload.candidates})
                make_policy(spec)
            except (ValueError, ImportError) as error:
                raise keys.error("policies", str(error)) from error
    return RealServingScenario(
        name=keys.word("name", "real-serving"),
        workloads=workloads,
        policies=policies,
        seeds=keys.wholes("seeds", (1,), at_least=0),
        settle_s=keys.number("settle", 1.0, at_least=0.0),
        scheduler=keys.word("scheduler", "edf", tuple(SCHEDULERS)),
        headway=keys.mapping("headway"),
        source=source,
    )


def _words(keys: Keys, key: str) -> tuple[str, ...]:
    value = keys.get(key, ())
    if not isinstance(value, list | tuple) or not value or not all(isinstance(item, str) for item in value):
        raise keys.error(key, f"{value!r} is not a list of names")
    return tuple(dict.fromkeys(value))


def _workload(keys: Keys, name: str, directory: Path) -> Workload:
    beside = directory / name
    try:
        return read_workload(beside if beside.is_file() else name)
    except WorkloadError as error:
        shipped = ", ".join(path.stem for path in shipped_workloads())
        raise keys.error("workloads", f"{error}; a file, or one that ships: {shipped}") from error
